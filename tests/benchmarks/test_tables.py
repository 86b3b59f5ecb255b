from __future__ import annotations

from dataclasses import replace

from cifar_edge.benchmarks.record import Record
from cifar_edge.benchmarks.tables import share, tables


def found(record: Record, title: str) -> list[dict[str, str]]:
    """Return the rows of the first table whose title begins so, by column."""
    columns, rows = next(each[1:] for each in tables(record) if each[0].startswith(title))
    return [dict(zip(columns, row, strict=True)) for row in rows]


def test_models(made: Record) -> None:
    assert found(made, "models")[0] == {
        "model": "cnn-float32",
        "size": "100.0 KB",
        "parameters": "98,000",
        "MACs": "12.00 M",
        "start": "321 ms",
        "load": "4.5 ms",
        "memory": "50.0 MB",
        "top-1": "90.00%",
        "ECE": "4.0",
    }


def test_latency(made: Record) -> None:
    title = "latency of 1 image, 2 threads; peak of this CPU: int8 30 GMAC/s, float32 20 GMAC/s"
    quantized, tensorflow = (row for row in found(made, title) if row["model"] == "cnn-int8")
    assert quantized == {
        "model": "cnn-int8",
        "runtime": "LiteRT",
        "weights": "int8",
        "median": "50.0 µs",
        "p95": "55.0 µs",
        "p99": "59.0 µs",
        "spread": "2.0 µs",
        "ratio": "0.50",
        "GMAC/s": "7.5",
        "of peak": "25%",
    }
    assert (tensorflow["runtime"], tensorflow["weights"]) == ("TensorFlow", "float32")


def test_a_model_that_did_not_run_has_no_row(made: Record) -> None:
    made.models[0] = replace(made.models[0], timings=[])
    assert {row["model"] for row in found(made, "latency")} == {"cnn-int8", "ann-int8", "old-int8"}


def test_operations_and_throughput(made: Record) -> None:
    (operation,) = found(made, "cnn-float32: 1 operations")
    assert operation == {
        "operation": "CONV_2D",
        "output": "1x32x32x8",
        "MACs": "12.000 M",
        "time": "30.0 µs",
        "error": "± 0.5",
        "share": "100%",
    }
    assert [tuple(row.values()) for row in found(made, "cnn-float32: a folder")] == [
        ("classify", "100.0", "1.00"),
        ("naive loop", "25.0", "4.00"),
    ]
    assert [tuple(row.values()) for row in found(made, "cnn-float32: where")] == [
        ("read", "1.000 ms", "25%"),
        ("infer", "3.000 ms", "75%"),
    ]


def test_corruptions(made: Record) -> None:
    rows = {row["corruption"]: row["cnn-float32"] for row in found(made, "top-1 by corruption")}
    assert rows["gaussian noise"] == "86.00%"
    assert rows["jpeg compression"] == "72.00%"
    assert (rows["mean corruption accuracy"], rows["clean accuracy"]) == ("79.00%", "90.00%")
    accuracy, error = found(made, "by severity")[:2]
    assert tuple(accuracy.values()) == (
        "cnn-float32: top-1",
        "90.00%",
        "81.00%",
        "80.00%",
        "79.00%",
        "78.00%",
        "77.00%",
    )
    assert tuple(error.values()) == ("cnn-float32: ECE", "4.0", *["20.0"] * 5)


def test_what_int8_loses_is_below_zero(made: Record) -> None:
    exact, quantized = (made.models[number].robustness for number in range(2))
    assert exact is not None
    assert quantized is not None
    quantized.corrupted_accuracy[3] -= 0.05  # defocus blur
    quantized.corrupted_ece[:] = 0.21
    (row,) = found(made, "what int8 changes")
    assert row == {
        "network": "cnn",
        "clean": "-2.00",
        "corrupted": "-2.33",
        "most changed for the worse": "-7.00 (defocus blur)",
        "ECE, corrupted": "+1.00",
    }


def test_what_is_shared_is_markdown_with_the_computer_and_each_latency(made: Record) -> None:
    text = share(replace(made, notes=["the computer was busy"]))
    assert text.startswith("`cifar-edge bench` on A Pi, 4 processors; 1800 MHz before")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert ["cnn-int8 (int8, LiteRT)", "12.0 M", "2", "1", "0.050 ms", "0.055 ms"] in [row[:6] for row in cells]
    assert "- cnn-int8: 100.0 photos/s of 10" in text
    assert text.endswith("- note: the computer was busy\n")
