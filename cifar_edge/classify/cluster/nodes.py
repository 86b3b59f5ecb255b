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
    """Why photos were left to the next round. Ray Data reports lost tasks to its log only.

    Attributes:
        last: the last reason, or "".
        in_a_row: groups that failed or were lost since the last success.
        limit: the number at which the run ends.
    """

    last = ""
    in_a_row = 0
    limit = FAILURES

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the reason; at the limit raise it, which ends the Ray Data execution."""
        if record.exc_info and isinstance(error := record.exc_info[1], Exception):
            self.add(first_line(error))
            if self.too_much():
                raise error

    def add(self, reason: str) -> None:
        """Count a group that has failed or been lost."""
        self.last = reason
        self.in_a_row += 1

    def too_much(self) -> str:
        """Return why the run ends, or ""."""
        if self.in_a_row < self.limit:
            return ""
        return f"{self.in_a_row} groups in a row have failed or were lost, the last one {self.last}"


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Trouble]:
    """Connect to a cluster, or start one; yield the record of lost tasks."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics unless the user wants them
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
    elif not os.environ.get("RAY_ADDRESS"):
        check_owner()
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


def check_owner() -> None:
    """Raise `UsageError` if what Ray takes for a cluster of this machine is another user's, who could run code as you.

    Ray reads the address in its folder of temporary files and in the arguments of all processes.
    """
    folder = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp", "ray")  # noqa: S108 - as Ray has it
    for place in (folder, folder / "ray_current_cluster", *Path("/proc").glob("[0-9]*")):
        try:
            ours = place.lstat().st_uid in (0, os.geteuid())
            if not ours and (place.parent != Path("/proc") or b"\0--gcs-address=" in (place / "cmdline").read_bytes()):
                raise UsageError(
                    f"{place}: is of another user's Ray, whose owner could run code as you; name a cluster that you "
                    "trust (--cluster HOST:PORT), or set RAY_TMPDIR to a folder of yours"
                )
        except OSError:  # not there
            continue


def _check_address(address: str) -> None:
    """Raise `UsageError` if nobody listens there; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise UsageError(f"{address}: no Ray cluster answers there ({error}); HOST:PORT is what is needed") from error


def shared_files(places: Sequence[Path | Uri]) -> list[tuple[str, ...]]:
    """Return places, each with a few files that this machine can read. Every node must be able to read one of each.

    Files decide, because an unmounted disk is an empty folder, and the right to list a bucket is not the right to read
    it. Several files of each place, because one may be deleted during the run.

    Raises:
        UsageError, StorageError: as `list_photos` of any of the places.
    """
    readable = ((str(place), *_readable(place)) for place in places)
    return [(place, *files) for place, *files in readable if files]


def _readable(place: Path | Uri) -> list[str]:
    return [file for file, _ in islice(list_photos([place]), SAMPLES) if not _unreadable(file)]


def check_nodes(shared: Sequence[tuple[str, ...]]) -> str:
    """Return a description of the nodes.

    Raises:
        UsageError: there is no node; or one has another version of the package, or cannot read the shared files.
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
    """Return a reason for each place of which this machine can read no file, not even a new one."""
    reasons = ((place, [_unreadable(file) for file in files]) for place, *files in shared)
    return [of_place[0] for place, of_place in reasons if all(of_place) and not _has_others(place)]


def _has_others(place: str) -> bool:
    try:
        return bool(_readable(place_of(place)))
    except CifarEdgeError:
        return False


def _unreadable(file: str) -> str:
    """Return why a file cannot be read, or "": the first byte of a URI, the existence of a path."""
    if isinstance(place_of(file), Path):
        return "" if os.path.lexists(file) else f"{file} is not there"
    try:
        uris.read(file, 1)
    except Exception as error:  # anything that is not installed or set up
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
