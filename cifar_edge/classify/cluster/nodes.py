"""A Ray cluster: connect to it, and check that each node can do the work."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from cifar_edge import __version__
from cifar_edge.errors import CifarEdgeError, UsageError, first_line
from cifar_edge.photos.find import list_photos
from cifar_edge.system import uris
from cifar_edge.system.uris import Uri, place_of

SAMPLES = 3  # photos of each place, of which each node has to be able to read one

RETRIES = 2  # of a group whose worker is lost; then it is left to the next round
HANGING = 300  # seconds for a photo, after which its worker is killed
FAILURES = 20  # in a row, or 2 for each processor, after which the run ends: it is not about these groups
OBJECT_STORE = 150_000_000  # bytes, for a cluster that is started here


class Trouble(logging.Handler):
    """Why photos were left to the next round; of lost tasks, Ray Data tells this to nobody but its log.

    Attributes:
        last: of the reasons, "" if there is none.
        in_a_row: how many groups have failed or were lost since one was done.
        limit: as many mean that it is no use to go on.
    """

    last = ""
    in_a_row = 0
    limit = FAILURES

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the reason; at the limit raise it, which ends what Ray Data is at."""
        if record.exc_info and isinstance(error := record.exc_info[1], Exception):
            self.add(first_line(error))
            if self.too_much():
                raise error

    def add(self, reason: str) -> None:
        """Count a group that has failed or been lost."""
        self.last = reason
        self.in_a_row += 1

    def too_much(self) -> str:
        """Return why it is no use to go on, or ""."""
        if self.in_a_row < self.limit:
            return ""
        return f"{self.in_a_row} groups in a row have failed or were lost, the last one {self.last}"


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Trouble]:
    """Be connected to a cluster, or have one; give what is heard of lost tasks."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody unless the user wants it
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # or a thread that outlives a stopped run would connect again
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # of who takes too much memory; Ray would never end
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # or a cluster that is gone is waited for 15 minutes
    import ray
    import ray.data

    trouble = Trouble()
    log = logging.getLogger("ray.data")
    log.handlers = [trouble]  # what counts is said below
    log.setLevel(logging.ERROR)
    warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
    if ray.is_initialized():  # by who calls this
        if address:
            raise UsageError(f"{address}: Ray is connected in this process already; leave the address out")
        yield trouble
        return
    if address:
        _check_address(address)
    quiet = {"logging_level": "ERROR", "log_to_driver": False, "include_dashboard": False}
    try:
        ray.init(address or "auto", **quiet)
    except (ConnectionError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        if "Version mismatch" in str(error):  # and which, in several lines
            raise UsageError(f"{' '.join(str(error).split())}; install the same on all machines") from error
        if address or "Could not find any running Ray instance" not in str(error):
            raise UsageError(
                f"{first_line(error)}: this machine has to be a node of it (ray start --address=HOST:PORT); if it is "
                "gone, `ray stop` lets this machine forget it; a cluster that was started with a token needs "
                "RAY_AUTH_MODE=token and ~/.ray/auth_token"
            ) from error
        ray.init("local", object_store_memory=OBJECT_STORE, **quiet)
    try:
        yield trouble
    finally:
        for thread in threading.enumerate():
            # Of a run that was stopped; one that asks Ray for something after its end would end this process at once.
            if thread.name.startswith(("StreamingExecutor", "iter_threaded")):
                thread.join(timeout=10)
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise `UsageError` if nobody listens there; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise UsageError(f"{address}: no Ray cluster answers there ({error}); HOST:PORT is what is needed") from error


def shared_files(places: Sequence[Path | Uri]) -> list[tuple[str, ...]]:
    """Return places with a few files of each that this machine can read: any other one can read one of them at least.

    A disk that is not mounted is an empty folder, and who may list a bucket may not always read it; so files tell.
    There are several of each place, for one may be deleted while a run goes on; and none that is unreadable itself.

    Raises:
        UsageError, StorageError: as `list_photos` of any of the places.
    """
    readable = ((str(place), *_readable(place)) for place in places)
    return [(place, *files) for place, *files in readable if files]


def _readable(place: Path | Uri) -> list[str]:
    return [file for file, _ in islice(list_photos([place]), SAMPLES) if not _unreadable(file)]


def check_nodes(shared: Sequence[tuple[str, ...]]) -> str:
    """Return how many nodes there are.

    Raises:
        UsageError: one has not this version of the package, or cannot read what all have to share; or there is none.
    """
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if not nodes:
        raise UsageError("the cluster has no processors; add a node: ray start --address=HOST:PORT")
    asked = [(node["NodeManagerAddress"], _on(node["NodeID"], _about).remote(shared)) for node in nodes]
    kinds = set()
    for address, answer in asked:
        try:
            version, kind, lacking = ray.get(answer, timeout=HANGING)
        except ray.exceptions.RayError as error:
            raise UsageError(f"node {address}: cifar-edge does not run there ({first_line(error)})") from error
        if version != __version__:
            raise UsageError(f"node {address}: has cifar-edge {version}, here it is {__version__}; install the same")
        if lacking:
            raise UsageError(
                f"node {address}: {lacking[0]}; each node needs the same paths, as on a network drive, and for URIs "
                "the package and the credentials"
            )
        kinds.add(kind)
    processors = sum(node["Resources"]["CPU"] for node in nodes)
    return f"cluster: nodes {len(nodes)}, processors {processors:g} ({', '.join(sorted(kinds))})"


def _about(shared: Sequence[tuple[str, ...]]) -> tuple[str, str, list[str]]:
    return __version__, platform.machine(), lacking(shared)


def lacking(shared: Sequence[tuple[str, ...]]) -> list[str]:
    """Return why the first file is not to be read of each place that has none for this machine, not even new ones."""
    reasons = ((place, [_unreadable(file) for file in files]) for place, *files in shared)
    return [of_place[0] for place, of_place in reasons if all(of_place) and not _has_others(place)]


def _has_others(place: str) -> bool:
    try:
        return bool(_readable(place_of(place)))
    except CifarEdgeError:
        return False


def _unreadable(file: str) -> str:
    """Return why the first byte behind a URI cannot be read, or that a path is not there; or ""."""
    if isinstance(place_of(file), Path):
        return "" if os.path.lexists(file) else f"{file} is not there"
    try:
        uris.read(file, 1)
    except Exception as error:  # whatever is not installed or set up
        return f"{file}: {first_line(error).removeprefix(f'{file}: ')}"
    return ""


def _on(node: str, function: Callable[..., Any]) -> Any:
    """Return a function as a task of a certain node that takes no processor."""
    import ray

    return ray.remote(function).options(**only_on(node), max_retries=0)


def only_on(node: str) -> dict[str, Any]:
    """Return the options of a task that runs on this node and takes no processor."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
