from __future__ import annotations

import inspect

from cifar_edge import errors
from cifar_edge.errors import CifarEdgeError, first_line


def test_every_error_is_in_one_tree_whose_drawing_names_it_and_its_exit_code() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    assert all(issubclass(kind, CifarEdgeError) for kind in kinds)
    drawing = str(errors.__doc__)
    for kind in kinds:
        (line,) = (line for line in drawing.splitlines() if line.strip(" +-").startswith(f"{kind.__name__} "))
        assert kind.exit_code == 1 or line.endswith(f"exit code {kind.exit_code}")


def test_a_message_is_one_line() -> None:
    assert first_line(ValueError("what\nand why")) == "what"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError("x" * 10_000_000))) == 500
