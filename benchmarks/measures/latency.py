"""Latency of several networks at one number of threads and one batch, in a process of its own."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cifar_edge.benchmarks.measures.graphs import PRECISIONS, matrix_product
from cifar_edge.benchmarks.measures.own_process import in_fresh_process, report
from cifar_edge.benchmarks.measures.runtimes import RUNTIMES
from cifar_edge.errors import first_line
from cifar_edge.system.timing import ROUNDS, Latency, Progress, measure
from cifar_edge.tflite.interpreter import load_interpreter

PRODUCTS = ((1024, 256, 256), (512, 512, 512))
"""Matrix products (rows, inner, columns) that a CPU is good at; which is better depends on its caches."""


@dataclass(frozen=True)
class Timings:
    """Results of the same rounds.

    Attributes:
        latencies: of each network, of a call; None where it does not run so.
        reasons: why not, by the network's number.
        peaks: multiply-accumulates a second of the best of `PRODUCTS` in its best round, by precision.
    """

    latencies: list[Latency | None]
    reasons: dict[int, str]
    peaks: dict[str, float]


def time_networks(
    networks: Sequence[tuple[str, Path]],
    threads: int = 1,
    batch: int = 1,
    baseline: int = 0,
    rounds: int = ROUNDS,
    progress: Progress = lambda *_: None,
) -> Timings:
    """Time networks in turn, and matrix products among them as a measure of what the CPU can do.

    Args:
        networks: name of a runtime, and the file that it prepared.
        threads: for each of them.
        batch: images a call.
        baseline: number of the network that the others are compared with.
        rounds: how often each has its turn.
        progress: called after each round.

    Raises:
        CifarEdgeError: the process was killed, most likely because memory ran out.
    """
    request = {
        "networks": [(runtime, str(file)) for runtime, file in networks],
        "threads": threads,
        "batch": batch,
        "baseline": baseline,
        "rounds": rounds,
    }
    answer = in_fresh_process("latency", request, f"latency (threads {threads}, batch {batch})", progress)
    return Timings(
        [latency and Latency(**latency) for latency in answer["latencies"]],
        {int(number): reason for number, reason in answer["reasons"].items()},
        answer["peaks"],
    )


def main() -> None:
    """Read the arguments of `time_networks` from stdin; print the fields of `Timings`."""
    request = json.load(sys.stdin)
    threads, batch = request["threads"], request["batch"]
    calls, reasons = {}, {}
    for number, (runtime, file) in enumerate(request["networks"]):
        try:
            network = RUNTIMES[runtime].load(Path(file), threads, batch)
            network()
        except Exception as error:  # a runtime raises any error for a graph that it cannot run
            reasons[number] = f"{Path(file).name}: {first_line(error)}"
        else:
            calls[number] = network
    products = [(precision, product) for precision in PRECISIONS for product in PRODUCTS]
    graphs = [load_interpreter(matrix_product(*product, precision), threads) for precision, product in products]
    order = list(calls)
    reference = order.index(request["baseline"]) if request["baseline"] in calls else None
    everything = [*calls.values(), *(graph.invoke for graph in graphs)]
    latencies = measure(everything, reference, request["rounds"], report)
    of_networks = dict(zip(order, latencies, strict=False))
    peaks = dict.fromkeys(PRECISIONS, 0.0)
    for (precision, product), latency in zip(products, latencies[len(order) :], strict=True):
        peaks[precision] = max(peaks[precision], 1e6 * math.prod(product) / latency.best)
    found = [of_networks.get(number) for number in range(len(request["networks"]))]
    print(
        json.dumps(
            {"latencies": [latency and asdict(latency) for latency in found], "reasons": reasons, "peaks": peaks}
        )
    )


if __name__ == "__main__":
    main()
