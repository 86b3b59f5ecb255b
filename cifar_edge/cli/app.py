"""The command `cifar-edge`: each command is a thin skin over a call that Python users can make themselves."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer.core

from cifar_edge import __version__
from cifar_edge.cli.program import HELP, ClusterHere, Commands, run
from cifar_edge.errors import CifarEdgeError, Interrupted, UnreadablePhotos, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cifar_edge.data import Cifar10, Split
    from cifar_edge.results.row import Row
    from cifar_edge.results.summary import Summary
    from cifar_edge.tflite.model import EdgeModel


app = typer.Typer(
    cls=Commands,
    help="Train a CNN on CIFAR-10, export it to int8 TFLite, classify folders of photos.",
    context_settings=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

data_app = typer.Typer(help="Fetch CIFAR-10, or see what is there.", no_args_is_help=True)

app.add_typer(data_app, name="data")

models_app = typer.Typer(invoke_without_command=True)

app.add_typer(models_app, name="models")


def main() -> None:
    """Run the command line."""
    run(app, prog_name="cifar-edge")


def _be_quiet(quiet: bool) -> bool:
    if quiet:
        from cifar_edge.cli.terminal import messages

        messages.quiet = True
    return quiet


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cifar-edge {__version__}")
        raise typer.Exit


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=_be_quiet, help="Print results and errors, nothing else.")
]

Data = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|ARCHIVE|sample",
        help="CIFAR-10: a folder or .tar.gz in an official layout, or 'sample'.",
        show_default="the cached copy",
    ),
]
CIFAR10 = Path("cifar10")  # the labels of that name, not a file's

Labels = Annotated[
    Path | None,
    typer.Option("--labels", metavar="FILE|cifar10", help="A class name a line, for a model that does not say."),
]

PixelRange = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", help="What it takes for black and white, for a model that does not say."),
]


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def train(
    model: Annotated[
        str | None, typer.Option(help="Network: ann, cnn, resnet8, quick, nano or small.", show_default="quick")
    ] = None,
    data: Data = None,
    augment: Annotated[
        str | None, typer.Option(help="none, standard (mirror and shift), or robust (photos, noise).")
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, adam, adamw, nadam, rmsprop, lion or muon.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak of the schedule.")] = None,
    schedule: Annotated[str | None, typer.Option(help="constant, cosine, one-cycle, linear or trapezoid.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Decoupled, as a share of the learning rate.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(help="Share of a label's weight that all classes get; not with a teacher.")
    ] = None,
    cycle: Annotated[
        int | None,
        typer.Option(metavar="EPOCHS", help="After so many a teacher's images come again, damaged anew; 0: never."),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(metavar="FILE|NAME", help="A .tflite model to learn from, not labels; '' for none.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32, or mixed_bfloat16, quicker where the processor has it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random choice.")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/MODEL-DATE-TIME")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue --run, or the newest unfinished run in runs/.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a network on CIFAR-10; what is not given comes from the network's own recipe."""
    from cifar_edge.cli.terminal import say, training_progress
    from cifar_edge.tflite.names import RUNS
    from cifar_edge.training.recipe import DEFAULT, recipe_for
    from cifar_edge.training.run import Run, newest_run

    changes = {
        "augment": augment,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "weight_decay": weight_decay,
        "epochs": epochs,
        "batch_size": batch_size,
        "label_smoothing": label_smoothing,
        "cycle": cycle,
        "teacher": teacher,
        "precision": precision,
        "seed": seed,
    }
    if resume:
        folder = run or newest_run(finished=False).folder
        recipe = Run(folder).recipe_if_same(model=model, **changes)
    else:
        recipe = recipe_for(model or DEFAULT, **changes)
        folder = run or RUNS / f"{recipe.model}-{datetime.now():%Y%m%d-%H%M%S}"
        Run(folder).check_unused()  # before data is fetched for nothing
    _import_keras()
    from cifar_edge.training import loop

    arrays = _load_or_fetch(data or Run(folder).data_source)
    say(f"{'continuing' if resume else 'training'} {recipe.model}, {recipe.epochs} epochs, in {folder}")
    with training_progress() as progress:
        result = loop.resume(folder, arrays, progress) if resume else loop.train(recipe, arrays, folder, progress)
    typer.echo(f"test accuracy {result.accuracy:.2%}, loss {result.loss:.4f}: {folder}")
    say(f"next: cifar-edge export --quantize {folder}")


@app.command()
def export(
    run: Annotated[
        Path | None, typer.Argument(help="A run's folder, a .keras or an .h5 file.", show_default="the newest run")
    ] = None,
    quantize: Annotated[
        bool, typer.Option("--quantize", help="float32 and int8; the same as --formats float32,int8.")
    ] = False,
    formats: Annotated[
        str | None, typer.Option(help="Of float32,float16,dynamic,int8,int16x8.", show_default="float32")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Photos for quantization.", show_default="from the training images"),
    ] = None,
    calibration_images: Annotated[int, typer.Option(min=1, help="How many of them.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Of their choice.")] = 0,
    max_drop: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="Of held-out top-1 that a format may lose; if one loses more, nothing is written.",
            show_default="1; where classes are unknown, 10 of changed answers",
        ),
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Of the model, for its card.", show_default="not known")] = None,
    label_file: Labels = None,
    pixel_range: PixelRange = None,
    data: Data = None,
    quiet: Quiet = False,
) -> None:
    """Export a trained model to TFLite, verified: float32, --quantize for int8 too, or --formats."""
    from cifar_edge.cli.terminal import print_exports, say
    from cifar_edge.training.run import Run, newest_run

    if quantize and formats is not None:
        raise UsageError("--quantize stands for --formats float32,int8: give one of them")
    source = run or newest_run(finished=True).folder
    keras_file = Run(source).model if source.is_dir() else source
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever it was trained with, TFLite comes from TensorFlow
    _import_keras()
    from cifar_edge.export.calibration import from_folder, from_training_set
    from cifar_edge.export.source import load_source
    from cifar_edge.export.write import export as export_files

    network = load_source(keras_file, _labels(label_file), _pair(pixel_range) or (0.0, 255.0))
    arrays = _load_or_fetch(data or Run(keras_file.parent).data_source)
    if calibration:
        chosen = from_folder(calibration, network.size, calibration_images, seed)
        say(f"calibrating with {len(chosen.images)} photos from {calibration}; {chosen.unreadable} could not be read")
    else:
        chosen = from_training_set(arrays.train, calibration_images, seed)
    first, *_, last = network.labels
    say(f"exporting {keras_file}; its {len(network.labels)} outputs are called {first} ... {last} (--labels)")
    if not network.of_cifar10:
        say("not a model of CIFAR-10: what it says is compared with Keras, but not with the truth")
    names = "float32,int8" if quantize else "float32" if formats is None else formats
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",")))
    files = export_files(network, arrays, wanted, chosen, max_drop, licence)
    print_exports(files)
    fastest = min(files, key=lambda file: file.latency.median)
    say(f"next: cifar-edge classify PHOTOS --model {fastest.path}")


@app.command(cls=ClusterHere)
def classify(
    paths: Annotated[list[str], typer.Argument(metavar="PATH|URI", help="Photos, and folders of them.")],
    model: Annotated[
        str,
        typer.Option(
            metavar="FILE|NAME", help="A .tflite file, nano or small, or an export in runs/ such as cnn-int8."
        ),
    ] = "small",
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE|URI", help="Write .csv, .jsonl or .parquet; '-' is CSV on stdout."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page with charts and thumbnails too.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a stopped run to the same FILE was, if there was one.")
    ] = False,
    top_k: Annotated[int, typer.Option(help="How many of the most probable classes a row has.")] = 1,
    min_confidence: Annotated[float, typer.Option(help="0-1; below it the label is 'unknown'.")] = 0.0,
    sort_into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy each photo into a folder of its label's name in DIR.")
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Make links in DIR instead of copies.")] = False,
    fit: Annotated[
        str | None, typer.Option(help="crop, pad or stretch to the network's shape.", show_default="the card's")
    ] = None,
    exif_thumbnails: Annotated[
        bool, typer.Option("--exif-thumbnails", help="Read only cameras' thumbnails, where they fit: fast, less exact.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Threads that decode.", show_default="one a processor, if memory allows"),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:PORT]",
            help="Work on a Ray cluster; without an address on this machine's, or on its processors.",
        ),
    ] = None,
    label_file: Labels = None,
    pixel_range: PixelRange = None,
    quiet: Quiet = False,
) -> None:
    """Classify photos and whole folders of them (JPEG, PNG, WebP, BMP, GIF, TIFF).

    Exit code 0: all are classified. 3: some could not be read; their rows say why.
    """
    from cifar_edge.classify.folder import classify_folder
    from cifar_edge.cli.terminal import messages, photo_progress, print_rows, print_summary, results_console, say
    from cifar_edge.results.formats import write_csv
    from cifar_edge.results.summary import Summary
    from cifar_edge.tflite.model import EdgeModel

    here_only = {"--report": report, "--sort-into": sort_into, "--link": link, "--workers": workers}
    if cluster is not None and (unusable := [name for name, given in here_only.items() if given]):
        raise UsageError(f"{' and '.join(unusable)}: not on a cluster")
    if cluster is not None and output in (None, "-"):
        raise UsageError("a cluster writes many files: name a folder or URI for them (--output)")
    chosen = EdgeModel(model, labels=_labels(label_file), pixel_range=_pair(pixel_range))
    say(f"model: {chosen.path}")
    _say_note(chosen)
    if cluster is not None:
        _classify_on_cluster(
            paths,
            chosen,
            cluster or None,
            output=output,
            fit=fit,
            exif_thumbnails=exif_thumbnails,
            top_k=top_k,
            min_confidence=min_confidence,
            resume=resume,
        )
        return
    summary = Summary(chosen.labels)
    file = None if output == "-" else output
    rows: Iterator[Row] = classify_folder(
        paths,
        chosen,
        workers,
        fit=fit,
        exif_thumbnails=exif_thumbnails,
        top_k=top_k,
        min_confidence=min_confidence,
        sort_into=sort_into,
        link=link,
        output=file,
        resume=resume,
        report=report,
        say=say,
    )
    if output == "-":
        rows = write_csv(rows, sys.stdout, top_k)
    elif output is None:
        rows = print_rows(rows)
    try:
        with photo_progress(paths, visible=bool(file) or not sys.stdout.isatty()) as advance:
            for row in rows:
                summary.add(row)
                advance()
    except KeyboardInterrupt:
        how = "; go on with the same command and --resume" if file else ""
        raise Interrupted(f"stopped after {summary.photos:,} photos{how}") from None
    finally:
        print_summary(summary, messages if output == "-" else results_console())
    _say_unreadable(summary)


def _classify_on_cluster(paths: list[str], model: EdgeModel, address: str | None, **options: Any) -> None:
    from cifar_edge.classify.cluster.run import classify_on_cluster
    from cifar_edge.cli.terminal import photo_progress, print_summary, results_console, say

    try:
        with photo_progress(paths, visible=True) as advance:
            summary = classify_on_cluster(paths, model, address, **options, say=say, advance=advance)
    except KeyboardInterrupt:
        raise Interrupted("stopped; what is done is kept, go on with the same command and --resume") from None
    print_summary(summary, results_console())
    _say_unreadable(summary)


def _say_unreadable(summary: Summary) -> None:
    if summary.unreadable:
        raise UnreadablePhotos(f"{summary.unreadable:,} of {summary.photos:,} photos could not be read; see their rows")


@app.command()
def watch(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="DIR", help="Folders that photos arrive in.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.jsonl", help="Rows are added to it.")] = Path(
        "results.jsonl"
    ),
    model: Annotated[
        str, typer.Option(metavar="FILE|NAME", help="A .tflite file, nano or small, or an export in runs/.")
    ] = "small",
    on_label: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Run a program for photos of this class; repeatable.")
    ] = None,
    run: Annotated[
        str | None, typer.Option(metavar="CMD", help="The program; path, label and confidence are added.")
    ] = None,
    poll: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="Search the folders instead of being told of new photos."),
    ] = None,
    rotate: Annotated[float, typer.Option(min=0.001, metavar="MB", help="Begin a new FILE at this size.")] = 10,
    top_k: Annotated[int, typer.Option(help="How many of the most probable classes a row has.")] = 1,
    min_confidence: Annotated[float, typer.Option(help="0-1; below it the label is 'unknown'.")] = 0.0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that decode.", show_default="one a processor, if memory allows")
    ] = None,
    print_systemd_unit: Annotated[
        bool, typer.Option("--print-systemd-unit", help="Print a hardened service that does this, and end.")
    ] = False,
    label_file: Labels = None,
    pixel_range: PixelRange = None,
    quiet: Quiet = False,
) -> None:
    """Classify the photos in folders, then whatever arrives there, until SIGTERM or Ctrl-C.

    Each photo gets one row, when it is complete; started again, it goes on where it was.
    """
    from cifar_edge.classify.watch.hook import Hook
    from cifar_edge.classify.watch.watch import watch as watch_folders
    from cifar_edge.cli.terminal import print_rows, say, warn
    from cifar_edge.tflite.model import EdgeModel

    if bool(on_label) != bool(run):
        raise UsageError("--on-label and --run belong together: give both")
    chosen = EdgeModel(model, labels=_labels(label_file), pixel_range=_pair(pixel_range))
    hook = Hook(on_label, run, chosen.labels) if on_label and run else None
    if print_systemd_unit:
        from cifar_edge.classify.watch.unit import systemd_unit

        unit = systemd_unit(
            folders or [],
            output,
            chosen,
            hook,
            labels="cifar10" if label_file == CIFAR10 else label_file,
            pixel_range=pixel_range,
            on_label=on_label,
            poll=poll,
            rotate=rotate,
            top_k=top_k,
            min_confidence=min_confidence,
            workers=workers,
        )
        typer.echo(unit, nl=False)
        return
    if not folders:
        raise UsageError("which folder? name it, as in `cifar-edge watch ./photos`")
    say(f"model: {chosen.path}")
    _say_note(chosen)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    rows = watch_folders(
        folders,
        chosen,
        output,
        workers,
        poll=poll,
        rotate=int(1e6 * rotate),
        hook=hook,
        warn=warn,
        stop=stop,
        top_k=top_k,
        min_confidence=min_confidence,
    )
    say(f"watching {', '.join(map(str, folders))}; rows go to {output}")
    try:
        for _ in rows if quiet else print_rows(rows):
            pass
    except KeyboardInterrupt:
        raise Interrupted("stopped; started again, it goes on from here") from None


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A run's folder, a .keras or a .tflite file.")],
    data: Data = None,
    validation: Annotated[
        bool,
        typer.Option("--validation", help="Use the held-out part of the training set, not the test set."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model on CIFAR-10: accuracy, loss, accuracy per class, confusion matrix."""
    from cifar_edge.cli.terminal import print_evaluation, say
    from cifar_edge.data import hold_out
    from cifar_edge.training.evaluate import evaluate_file
    from cifar_edge.training.run import Run

    if model.suffix != ".tflite":
        _import_keras()
    source = data or (Run(model).data_source if model.is_dir() else None)
    split = hold_out(_load_or_fetch(source).train)[1] if validation else _load_test(source)
    say(f"evaluating {model}")
    print_evaluation(evaluate_file(model, split))


@app.command()
def bench(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL", help="nano, small, anybody's .tflite files, or names of exports in runs/."),
    ],
    threads: Annotated[str, typer.Option(metavar="N,...", help="Threads for an image, as in 1,2,4.")] = "1",
    batch: Annotated[str, typer.Option(metavar="N,...", help="Images a call, as in 1,8.")] = "1",
    baseline: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="What latency is compared with.", show_default="the first one")
    ] = None,
    runtime: Annotated[
        bool, typer.Option("--runtime", help="Also time TensorFlow and ONNX Runtime, where they are installed.")
    ] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Also time each operation of each model.")] = False,
    noise: Annotated[
        bool, typer.Option("--noise", help="Also measure accuracy under the 15 corruptions of CIFAR-10-C.")
    ] = False,
    cifar10c: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The published CIFAR-10-C, instead of our corruptions.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also classify these photos: how many a second, and why.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.json", help="Write every figure to FILE.json.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Say what changed since FILE.json was written.")
    ] = None,
    regression: Annotated[
        float | None,
        typer.Option(
            min=1, metavar="FACTOR", help="With --compare: more than so much worse exits with 4.", show_default="1.2"
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="DIR", help="Draw pictures, PNG, into DIR.")] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Turns of each model, or operation: fewer say less.", show_default="40"),
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help="Print Markdown instead, to be pasted where computers are compared.")
    ] = False,
    label_file: Labels = None,
    pixel_range: PixelRange = None,
    data: Data = None,
    quiet: Quiet = False,
) -> None:
    """Compare models: size, latency (in turn), memory, accuracy on clean and on corrupted images."""
    from cifar_edge.benchmarks import compare as comparing
    from cifar_edge.benchmarks.bench import Options, Outputs, measure, model_names
    from cifar_edge.benchmarks.measures.runtimes import OTHERS
    from cifar_edge.benchmarks.record import as_json
    from cifar_edge.cli.terminal import bench_progress, print_bench, print_changes, print_shared, say
    from cifar_edge.system.timing import ROUNDS
    from cifar_edge.tflite.model import EdgeModel
    from cifar_edge.tflite.names import find_model

    if regression and not compare:
        raise UsageError("--regression: of what? name an earlier bench.json with --compare")
    paths = [find_model(model) for model in models]
    options = Options(
        threads=_counts("--threads", threads),
        batches=_counts("--batch", batch),
        baseline=_number(baseline, models) if baseline else 0,
        runtimes=OTHERS if runtime else (),
        profile=profile,
        corruptions=noise or cifar10c is not None,
        cifar10c=cifar10c,
        folder=folder,
        rounds=rounds or ROUNDS,
    )
    outputs = Outputs(output, plot)
    outputs.check()
    old = comparing.read(compare, model_names(paths)) if compare else None
    told = _labels(label_file), _pair(pixel_range)
    loaded = [EdgeModel(path, 1, *told) for path in paths]
    for model in loaded:
        _say_note(model)
    test = _load_test(data)
    with bench_progress() as progress:
        record = measure(loaded, test, options, progress)
    (print_shared if share else print_bench)(record)
    if pictures := outputs.write(record, test):
        say(f"pictures: {' '.join(map(str, pictures))}")
    if old:
        new = as_json(record)
        changes = comparing.compare(old, new)
        print_changes(changes, comparing.differences(old, new))
        comparing.check(changes, regression or comparing.REGRESSION)


@app.command()
def doctor(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help=".tflite files, or names.", show_default="those that ship, as int8"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Say whether this computer is fit to classify photos, what is wrong, and what to do.

    Exit code 0: nothing is wrong. 1: something is.
    """
    from cifar_edge.classify.doctor import examine
    from cifar_edge.cli.terminal import print_findings

    findings = examine(models)
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=1))
    else:
        print_findings(findings)
    if any(finding.wrong for finding in findings):
        raise typer.Exit(1)


@data_app.command()
def fetch(
    url: Annotated[str | None, typer.Option(help="A mirror of the official archive.")] = None,
    quiet: Quiet = False,
) -> None:
    """Fetch CIFAR-10 (170 MB) into the cache; an interrupted download is continued."""
    typer.echo(_fetch(url))


@data_app.command()
def info(quiet: Quiet = False) -> None:
    """Say which copies of CIFAR-10 are cached, and whether they are intact."""
    from cifar_edge.cli.terminal import results_console, table
    from cifar_edge.data import cifar10

    copies: list[str | Path] = [*cifar10.cached_copies(), cifar10.SAMPLE]
    table(
        "CIFAR-10 on this computer",
        ("copy", "state"),
        [(copy, _state(copy)) for copy in copies],
        results_console(),
    )


@models_app.callback()
def models(ctx: typer.Context) -> None:
    """List the models that come with this package, or look into any model's file."""
    from cifar_edge.cli.terminal import results_console, table
    from cifar_edge.tflite.describe import FIGURES, shipped

    if ctx.invoked_subcommand is None:
        table("Models that ship", FIGURES, shipped(), results_console())


@models_app.command()
def show(
    file: Annotated[str, typer.Argument(metavar="FILE|NAME", help="As for `classify --model`.")],
    quiet: Quiet = False,
) -> None:
    """Print what a model's card says, or what its graph says where there is none."""
    from cifar_edge.cli.terminal import results_console, table
    from cifar_edge.tflite.describe import describe
    from cifar_edge.tflite.model import EdgeModel

    model = EdgeModel(file)
    table(str(model.path), ("", ""), describe(model), results_console())
    _say_note(model)


def _labels(file: Path | None) -> tuple[str, ...] | None:
    from cifar_edge.data import CLASSES
    from cifar_edge.tflite.labels import read_labels

    if file is None:
        return None
    return CLASSES if file == CIFAR10 else read_labels(file)


def _pair(text: str | None) -> tuple[float, float] | None:
    """Read "LOW,HIGH"."""
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not math.isfinite(high - low) or low == high:
        raise UsageError(f"--pixel-range {text}: give two different numbers, as in 0,1")
    return low, high


def _counts(option: str, text: str) -> tuple[int, ...]:
    """Read "1,2,4"."""
    try:
        counts = tuple(dict.fromkeys(map(int, text.split(","))))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise UsageError(f"{option} {text}: give whole numbers from 1 on, as in 1,2,4")
    return counts


def _number(baseline: Path, models: list[Path]) -> int:
    """Find a model among those to be measured."""
    if baseline not in models:
        raise UsageError(f"--baseline {baseline}: not among the models; name it as one of them")
    return models.index(baseline)


def _say_note(model: EdgeModel) -> None:
    from cifar_edge.cli.terminal import say

    if model.note:
        say(f"{model.path}: {model.note}")


def _import_keras() -> None:
    """Import Keras and its backend without their messages; what fails is raised all the same."""
    from cifar_edge.system.silence import silenced

    with silenced():
        import keras  # noqa: F401


def _load_or_fetch(source: str | None) -> Cifar10:
    """Load CIFAR-10; fetch it first if nothing is said and nothing is there."""
    from cifar_edge.data import load_cifar10
    from cifar_edge.data.cifar10 import cached_copies

    return load_cifar10(source or (None if cached_copies() else _fetch()))


def _load_test(source: str | None) -> Split:
    """Load the test images; those of the sample if nothing is said and nothing is there."""
    from cifar_edge.cli.terminal import say
    from cifar_edge.data import load_split
    from cifar_edge.data.cifar10 import SAMPLE, cached_copies

    if source is None and not cached_copies():
        say("CIFAR-10 is not on this computer (`cifar-edge data fetch`): using the sample's 1,000 test images")
        source = SAMPLE
    return load_split("test", source)


def _fetch(url: str | None = None) -> Path:
    from cifar_edge.cli.terminal import download_progress
    from cifar_edge.data.fetch import fetch

    try:
        with download_progress() as progress:
            return fetch(url, progress)
    except KeyboardInterrupt:
        raise Interrupted("stopped; `cifar-edge data fetch` goes on from here") from None


def _state(copy: str | Path) -> str:
    from cifar_edge.data import load_cifar10

    try:
        data = load_cifar10(copy)
    except CifarEdgeError as error:
        return str(error)
    return f"intact: {len(data.train.labels):,} training and {len(data.test.labels):,} test images"
