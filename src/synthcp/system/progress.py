"""How far a long run is: bars on a terminal, a line now and then in a log, nothing when asked to be quiet."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich import progress as rich
from rich.console import Console

Progress = Callable[[str, int, int, Mapping[str, float]], None]
"""Called as progress(stage, step, steps, losses) after every step of a stage."""

LINE_SECONDS = 20.0


def silent(stage: str, step: int, steps: int, losses: Mapping[str, float]) -> None:
    """Show nothing."""


class Terminal(Console):
    """A console that says so when nobody reads it any more, instead of ending the program."""

    def on_broken_pipe(self) -> None:
        """Raise what was raised when it was written to."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


@contextmanager
def show_progress(console: Console, quiet: bool = False) -> Iterator[Progress]:
    """Give the callable that a run tells its steps.

    Args:
        console: Where progress is shown; bars if it is a terminal, else lines.
        quiet: Show nothing.
    """
    if quiet:
        yield silent
    elif console.is_terminal:
        with _bars(console) as bars:
            yield Bars(bars)
    else:
        yield Lines(lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))


@dataclass(frozen=True)
class Bars:
    """One bar per stage.

    Attributes:
        bars: Where they are drawn.
        tasks: The bar of each stage.
    """

    bars: rich.Progress
    tasks: dict[str, rich.TaskID] = field(default_factory=dict)

    def __call__(self, stage: str, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Show that `step` of `steps` is done."""
        if stage not in self.tasks:
            self.tasks[stage] = self.bars.add_task(stage, total=steps, losses="")
        self.bars.update(self.tasks[stage], completed=step, total=steps, losses=describe(losses))


class Lines:
    """One line at the end of each stage, and one now and then on the way.

    Args:
        write: Takes a line.
        clock: Seconds since any moment.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._stage = ""
        self._began_at = self._told_at = 0.0
        self._began_with = 0

    def __call__(self, stage: str, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Tell that `step` of `steps` is done, if it is time to."""
        now = self._clock()
        if stage != self._stage:  # a resumed stage begins at a later step than the first
            self._stage, self._began_at, self._told_at, self._began_with = stage, now, now, step
        taken = now - self._began_at
        if step == steps:
            self._tell(stage, f"{steps} done in {clock_time(taken)}", losses)
            self._stage = ""
        elif now - self._told_at >= LINE_SECONDS:
            left = taken * (steps - step) / (step - self._began_with)
            self._tell(stage, f"{step}/{steps}, {clock_time(left)} left", losses)
            self._told_at = now

    def _tell(self, stage: str, state: str, losses: Mapping[str, float]) -> None:
        self._write("  ".join(filter(None, (f"{stage}:", state, describe(losses)))))


def describe(losses: Mapping[str, float]) -> str:
    """Return the losses as text: "total 0.412, l1 0.07"."""
    return ", ".join(f"{name} {value:.3g}" for name, value in losses.items())


def clock_time(seconds: float) -> str:
    """Return a duration as h:mm:ss, or m:ss below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _bars(console: Console) -> rich.Progress:
    return rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        rich.TimeRemainingColumn(),
        rich.TextColumn("{task.fields[losses]}", style="dim"),
        console=console,
    )
