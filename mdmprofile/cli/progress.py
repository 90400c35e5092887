"""The progress bar of a command that takes longer than a second."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_PATIENCE = 1.0  # seconds, after which a person wonders
_EVERY = 0.1  # seconds between two looks at how far it is


class Progress:
    """A bar on standard error while the block runs, gone when it ends.

    There is none before a second is over, in a pipe, on a dumb terminal, or where it is not to be ``shown``. A thread
    of its own draws it, so that it appears also while the first thing takes long; the work only counts.
    """

    def __init__(self, *, shown: bool, colour: str, doing: str = "checking", unit: str = "files") -> None:
        self._shown = shown and _is_terminal()
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

    def tell(self, done: int, total: int) -> None:
        """Say how many things of how many are done."""
        self._state = (done, total)

    def _draw(self) -> None:
        if self._over.wait(_PATIENCE):
            return
        # A terminal that is gone ends the bar, not the work.
        with contextlib.suppress(OSError), _bar(self._colour, self._unit) as bar:
            task = bar.add_task(self._doing, total=None)
            while True:
                done, total = self._state
                bar.update(task, completed=done, total=total or None)
                if self._over.wait(_EVERY):
                    return


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _bar(colour: str, unit: str) -> RichProgress:
    from rich.console import Console  # noqa: PLC0415 - slow to import, and few runs last so long
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    no_colour = colour == "never" or (colour == "auto" and bool(os.environ.get("NO_COLOR")))
    console = Console(stderr=True, no_color=no_colour, color_system=None if no_colour else "auto")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    return Bar(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
