from __future__ import annotations

import os

import pytest

from cifar_edge.system.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("photos/cat.jpg", "photos/cat.jpg"),
        ("café 猫 🐈.jpg", "café 猫 🐈.jpg"),
        (r"C:\cat.jpg", r"C:\cat.jpg"),
        ("[red]cat[/] :cat:", "[red]cat[/] :cat:"),
        ("\x1b[2Jcat", r"\x1b[2Jcat"),
        ("\x9b2J", r"\x9b2J"),
        ("\x1b]0;title\a", r"\x1b]0;title\x07"),
        ("a\nerror: b\rc\td\0", r"a\nerror: b\rc\td\x00"),
        ("\u2028\u2029\x85", r"\u2028\u2029\x85"),
        ("\u202egpj.tac\u2066\u200f", r"\u202egpj.tac\u2066\u200f"),
        (os.fsdecode(b"caf\xe9"), r"caf\udce9"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_could_do_harm_is_escaped_and_the_rest_stays(text: str, shown: str) -> None:
    assert visible(text) == shown
