"""How far a training is: a bar on a terminal, a line an epoch elsewhere; and Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import FrameType
from typing import Any

from cifar_edge.cli.terminal import messages, progress_bar, say

MEASURED = 5.0  # seconds of training after which its end can be told


@contextlib.contextmanager
def training_progress() -> Iterator[Callable[[int, int, str, dict[str, float]], None]]:
    """Show how far a training is, with loss, accuracy and the time left; a Ctrl-C that was lost ends it at a step."""
    with progress_bar() as bar, _remembered_interrupt() as interrupted:
        task = bar.add_task("step", total=None)
        pace = _Pace(lines=not messages().is_terminal)

        def progress(done: int, total: int, doing: str, logs: dict[str, float]) -> None:
            if interrupted():
                raise KeyboardInterrupt
            if bar.tasks[task].total != total:  # resumed: what was done before says nothing of the speed
                bar.reset(task, total=total, completed=done)
            figures = f" loss {logs['loss']:.3f} accuracy {logs['accuracy']:.1%}" if logs else ""
            pace.step(done, total, doing, figures)
            bar.update(task, completed=done, description=doing + figures)

        yield progress
        pace.finish()


class _Pace:
    """Says once when the training will be done; and, where there is no bar, what each epoch came to."""

    def __init__(self, lines: bool) -> None:
        self._lines, self._line, self._doing = lines, "", ""
        self._first: tuple[float, int] | None = None
        self._said = False

    def step(self, done: int, total: int, doing: str, figures: str) -> None:
        now = time.monotonic()
        if doing != self._doing:
            self.finish()
            self._doing = doing
        self._line = doing + figures
        if self._first is None:  # the first step takes longer: it compiles
            self._first = now, done
            return
        began, before = self._first
        if not self._said and now - began > MEASURED and done > before:
            left = timedelta(seconds=(now - began) / (done - before) * (total - done))
            say(f"about {_words(left)} left, until {datetime.now() + left:%H:%M}")
            self._said = True

    def finish(self) -> None:
        """End an epoch."""
        if self._lines and self._line:
            say(self._line)
        self._line = ""


def _words(time_: timedelta) -> str:
    seconds = time_.total_seconds()
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 90 * 60 else f"{seconds / 3600:.1f} hours"


@contextlib.contextmanager
def _remembered_interrupt() -> Iterator[Callable[[], bool]]:
    """Tell whether Ctrl-C was pressed: one KeyboardInterrupt in a hundred or two is dropped while Keras saves."""
    interrupt, pressed = signal.getsignal(signal.SIGINT), False
    if isinstance(interrupt, int) or not interrupt:  # ignored, as in a shell's background job
        yield lambda: False
        return

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        interrupt(number, frame)  # a second time it ends the program

    def show(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            show_any(dropped)

    signal.signal(signal.SIGINT, press)
    show_any, sys.unraisablehook = sys.unraisablehook, show
    try:
        yield lambda: pressed
    finally:
        if signal.getsignal(signal.SIGINT) is press:
            signal.signal(signal.SIGINT, interrupt)
        sys.unraisablehook = show_any
