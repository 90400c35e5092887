"""The progress bar of a command that takes longer than a second."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_PATIENCE = 1.0  # seconds, after which a person wonders
_EVERY = 0.1  # seconds between two looks at how far it is


class Progress:
    """A bar on standard error while the block runs, gone when it ends.

    There is none before a second is over, in a pipe, on a dumb terminal, or where it is not to be ``shown``. A thread
    of its own draws it, so that it appears also while the first thing takes long; the work only counts. With ``rated``
    it has the rate and the remaining time too, and where there is no terminal a line is written each time that
    ``every`` more things are done.
    """

    def __init__(
        self,
        *,
        shown: bool,
        colour: str,
        doing: str = "checking",
        unit: str = "files",
        rated: bool = False,
        every: int = 0,
    ) -> None:
        terminal = _is_terminal()
        self._rated = rated
        self._every = every if shown and not terminal else 0
        self._said = 0
        self._shown = shown and terminal
        self._doing, self._unit = doing, unit
        self._colour = colour
        self._state = (0, 0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def __enter__(self) -> Self:
        if self._shown:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._shown:
            self._thread.join()

    @property
    def state(self) -> tuple[int, int]:
        """How many things of how many are done."""
        return self._state

    def tell(self, done: int, total: int) -> None:
        """Say how many things of how many are done."""
        self._state = (done, total)
        if self._every and done // self._every > self._said:
            self._said = done // self._every
            # A log that nobody reads any more ends the lines, not the work.
            with contextlib.suppress(OSError):
                click.echo(f"mdmprofile: {self._doing} {done:,} of {total:,} {self._unit}", err=True)

    def _draw(self) -> None:
        if self._over.wait(_PATIENCE):
            return
        # A terminal that is gone ends the bar, not the work.
        with contextlib.suppress(OSError), _bar(self._colour, self._unit, rated=self._rated) as bar:
            task = bar.add_task(self._doing, total=None)
            while True:
                done, total = self._state
                bar.update(task, completed=done, total=total or None)
                if self._over.wait(_EVERY):
                    return


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _bar(colour: str, unit: str, *, rated: bool) -> RichProgress:
    from rich.console import Console  # noqa: PLC0415 - slow to import, and few runs last so long
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Rate(ProgressColumn):
        """How many are done in a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "")

    no_colour = colour == "never" or (colour == "auto" and bool(os.environ.get("NO_COLOR")))
    console = Console(stderr=True, no_color=no_colour, color_system=None if no_colour else "auto")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    more = (Rate(), TimeRemainingColumn()) if rated else ()
    return Bar(*columns, *more, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
