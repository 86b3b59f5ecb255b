from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from cifar_edge.system.silence import silenced


def test_two_threads_at_once_leave_the_terminal_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    entered, first_is_out = Event(), Event()

    def second() -> None:
        with silenced():
            entered.set()
            first_is_out.wait(10)
            os.write(2, b"unheard")

    with ThreadPoolExecutor(1) as threads:
        with silenced():
            later = threads.submit(second)
            os.write(1, b"unheard")
            entered.wait(0.2)  # in vain, as they take turns
        first_is_out.set()
        later.result()
    os.write(1, b"heard")
    os.write(2, b"heard")
    assert tuple(capfd.readouterr()) == ("heard", "heard")
