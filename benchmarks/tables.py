"""A record of measurements as tables of text: (title, columns, rows) each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from cifar_edge.benchmarks.compare import Change
from cifar_edge.benchmarks.measures.corruptions import FAMILIES, SEVERITIES
from cifar_edge.benchmarks.record import ModelRecord, Record, Throughput
from cifar_edge.system.machine import Machine, State
from cifar_edge.system.visible import visible

WIDE = 10_000  # columns, so that no line is folded

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]


def markdown(columns: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as Markdown, to be printed."""
    grid = RichTable(*(escape(visible(str(column))) for column in columns), box=box.MARKDOWN)
    for row in rows:
        grid.add_row(*(escape(visible(str(cell))) for cell in row))
    console = Console(width=WIDE, color_system=None)
    with console.capture() as printed:
        console.print(grid)
    return "\n".join(line for line in printed.get().splitlines() if line.strip())


def tables(record: Record) -> Iterator[Table]:
    """Yield the tables of a record: models, latency by setting, operations, accuracy on corrupted images."""
    yield _models(record)
    for setting in dict.fromkeys((timing.threads, timing.batch) for model in record.models for timing in model.timings):
        yield _latency(record, *setting)
    for model in record.models:
        if model.profile:
            yield _operations(model)
        if model.throughput:
            yield _throughput(model.name, model.throughput)
            yield _stages(model.name, model.throughput)
    if any(model.robustness for model in record.models):
        yield _families(record)
        yield _severities(record)
        if twins := _twins(record):
            yield _quantization(twins)


def share(record: Record) -> str:
    """Write the gist of a record as Markdown, for a page or a message where others' computers are compared."""
    columns = ("model", "MACs", "threads", "batch", "median", "p95", "GMAC/s", "of peak", "start", "memory", "top-1")
    rows = [
        (
            f"{model.name} ({timing.precision}, {timing.runtime})",
            f"{model.macs / 1e6:.1f} M",
            str(timing.threads),
            str(timing.batch),
            f"{timing.latency.median / 1e3:.3f} ms",
            f"{timing.latency.p95 / 1e3:.3f} ms",
            f"{timing.macs_per_second / 1e9:.2f}",
            f"{timing.of_peak:.0%}",
            f"{model.footprints['LiteRT'].start:.2f} s",
            f"{model.footprints['LiteRT'].memory / 1e6:.0f} MB",
            _percent(model.evaluation.accuracy) if model.evaluation else "-",
        )
        for model in record.models
        for timing in model.timings
    ]
    folders = [
        f"- {model.name}: {model.throughput.photos['classify']:,.1f} photos/s of {record.photos:,}"
        for model in record.models
        if model.throughput
    ]
    table = markdown(columns, rows).splitlines()
    about = f"`cifar-edge bench` on {machine_text(record.machine, record.before, record.after)}; {record.date[:10]}"
    notes = [f"- note: {note}" for note in record.notes]
    return "\n".join([about, "", *table, "", *folders, *notes]).rstrip() + "\n"


def changes_table(changes: Sequence[Change]) -> Table:
    """List changes, the worst first."""
    rows = [
        (change.model, change.figure, f"{change.old:.4g}", f"{change.new:.4g}", f"{change.factor:.2f}")
        for change in sorted(changes, key=lambda change: -change.factor)
    ]
    title = "changed beyond the noise" if rows else "nothing changed beyond the noise"
    return title, ("model", "figure", "before", "now", "times"), rows


def machine_text(machine: Machine, before: State, after: State) -> str:
    """Describe the computer in one line."""
    parts = [f"{machine.cpu}, {machine.processors} processor{'s' * (machine.processors > 1)}"]
    if machine.governor:
        parts.append(f"governor {machine.governor}")
    if before.clock and after.clock:
        parts.append(f"{before.clock:.0f} MHz before, {after.clock:.0f} MHz after")
    if before.temperature is not None and after.temperature is not None:
        parts.append(f"{before.temperature:.0f} °C before, {after.temperature:.0f} °C after")
    runtimes = [f"{name} {number}" for name, number in machine.versions.items() if name not in ("numpy", "pillow")]
    return "; ".join([*parts, machine.system, f"Python {machine.python}", ", ".join(runtimes)])


def _models(record: Record) -> Table:
    columns = ("model", "size", "parameters", "MACs", "start", "load", "memory", "top-1", "ECE")
    rows = [
        (
            model.name,
            f"{model.size / 1000:.1f} KB",
            f"{model.parameters:,}",
            f"{model.macs / 1e6:.2f} M",
            f"{model.footprints['LiteRT'].start * 1e3:.0f} ms",
            f"{model.footprints['LiteRT'].load * 1e3:.1f} ms",
            f"{model.footprints['LiteRT'].memory / 1e6:.1f} MB",
            *(
                (_percent(model.evaluation.accuracy), f"{100 * model.evaluation.ece:.1f}")
                if model.evaluation
                else ("-", "-")
            ),
        )
        for model in record.models
    ]
    return f"models; {record.images:,} test images", columns, rows


def _latency(record: Record, threads: int, batch: int) -> Table:
    peaks = ", ".join(
        f"{peak.precision} {peak.macs_per_second / 1e9:.0f} GMAC/s"
        for peak in record.peaks
        if (peak.threads, peak.batch) == (threads, batch)
    )
    title = f"latency of {_counted(batch, 'image')}, {_counted(threads, 'thread')}; peak of this CPU: {peaks}"
    columns = ("model", "runtime", "weights", "median", "p95", "p99", "spread", "ratio", "GMAC/s", "of peak")
    rows = [
        (
            model.name,
            timing.runtime,
            timing.precision,
            *(f"{figure:.1f} µs" for figure in (timing.latency.median, timing.latency.p95, timing.latency.p99)),
            f"{timing.latency.spread:.1f} µs",
            "-" if timing.latency.ratio is None else f"{timing.latency.ratio:.2f}",
            f"{timing.macs_per_second / 1e9:.1f}",
            f"{timing.of_peak:.0%}",
        )
        for model in record.models
        for timing in model.timings
        if (timing.threads, timing.batch) == (threads, batch)
    ]
    return title, columns, rows


def _operations(model: ModelRecord) -> Table:
    total = sum(operation.time for operation in model.profile)
    rows = [
        (
            operation.name,
            "x".join(map(str, operation.output)),
            f"{operation.macs / 1e6:.3f} M" if operation.macs else "",
            f"{operation.time:.1f} µs",
            f"± {operation.error:.1f}",
            f"{operation.time / total:.0%}",
        )
        for operation in model.profile
    ]
    columns = ("operation", "output", "MACs", "time", "error", "share")
    return f"{model.name}: {len(rows)} operations, {total:.1f} µs", columns, rows


def _throughput(name: str, throughput: Throughput) -> Table:
    ours = throughput.photos["classify"]
    rows = [(way, f"{rate:,.1f}", f"{ours / rate:.2f}") for way, rate in throughput.photos.items()]
    return f"{name}: a folder of photos", ("way", "photos a second", "classify is times as quick"), rows


def _stages(name: str, throughput: Throughput) -> Table:
    total = sum(throughput.stages.values())
    rows = [(stage, f"{spent:.3f} ms", f"{spent / total:.0%}") for stage, spent in throughput.stages.items()]
    return f"{name}: where the time goes, one thread, a photo", ("stage", "time", "share"), rows


def _families(record: Record) -> Table:
    models = [(model.name, model.robustness) for model in record.models if model.robustness]
    rows = [
        (
            family.replace("_", " "),
            *(_percent(robustness.corrupted_accuracy[number].mean()) for _, robustness in models),
        )
        for number, family in enumerate(FAMILIES)
    ]
    rows.append(("mean corruption accuracy", *(_percent(robust.mean_corrupted_accuracy) for _, robust in models)))
    rows.append(("clean accuracy", *(_percent(robust.accuracy) for _, robust in models)))
    title = f"top-1 by corruption, mean of five severities ({record.corruptions})"
    return title, ("corruption", *(name for name, _ in models)), rows


def _severities(record: Record) -> Table:
    rows = []
    for model in record.models:
        if model.robustness:
            by_severity = model.robustness.corrupted_accuracy.mean(axis=0)
            eces = model.robustness.corrupted_ece.mean(axis=0)
            rows.append((f"{model.name}: top-1", *map(_percent, (model.robustness.accuracy, *by_severity))))
            rows.append((f"{model.name}: ECE", *(f"{100 * ece:.1f}" for ece in (model.robustness.ece, *eces))))
    return "by severity, mean of the corruptions", ("", "clean", *(f"severity {number}" for number in SEVERITIES)), rows


def _twins(record: Record) -> list[tuple[ModelRecord, ModelRecord]]:
    """The exports of the same network as float32 and as int8."""
    named = {model.name: model for model in record.models if model.robustness}
    return [
        (model, named[twin])
        for name, model in named.items()
        if name.endswith("-float32") and (twin := name.removesuffix("float32") + "int8") in named
    ]


def _quantization(twins: Sequence[tuple[ModelRecord, ModelRecord]]) -> Table:
    rows = []
    for exact, quantized in twins:
        if exact.robustness and quantized.robustness:
            lost = 100 * (quantized.robustness.corrupted_accuracy - exact.robustness.corrupted_accuracy).mean(axis=1)
            worst = int(np.argmin(lost))
            rows.append(
                (
                    exact.name.removesuffix("-float32"),
                    f"{100 * (quantized.robustness.accuracy - exact.robustness.accuracy):+.2f}",
                    f"{lost.mean():+.2f}",
                    f"{lost[worst]:+.2f} ({FAMILIES[worst].replace('_', ' ')})",
                    f"{100 * (quantized.robustness.mean_corrupted_ece - exact.robustness.mean_corrupted_ece):+.2f}",
                )
            )
    title = "what int8 changes against float32, in points of top-1"
    return title, ("network", "clean", "corrupted", "most changed for the worse", "ECE, corrupted"), rows


def _percent(share: float) -> str:
    return f"{share:.2%}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count > 1)}"
