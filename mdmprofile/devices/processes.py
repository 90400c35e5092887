"""Units of work on all cores of this machine: in this process, or in others that end with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import Protocol, Self, TypeVar

from mdmprofile.devices.unit import Item, Outcome, work
from mdmprofile.errors import WorkerError
from mdmprofile.recipe import Recipe
from mdmprofile.templating import names_in

# From a unit that was begun to what came of it.
Waiting = Callable[[], Outcome]
_Result = TypeVar("_Result")


class Engine(Protocol):
    """Where units of work are done, ``workers`` of them at once."""

    workers: int

    def begin(self, items: Sequence[Item]) -> Waiting:
        """Begin a unit; what is returned waits for it, and raises what stopped it."""

    def close(self) -> None:
        """Let the workers go; every unit was waited for."""

    def abort(self) -> None:
        """End the workers at once, whatever they are doing: the next run makes it again."""


class Here:
    """One unit after the other, in this process."""

    workers = 1

    def __init__(self, recipe: Recipe, staging: Path) -> None:
        self._recipe = recipe
        self._staging = staging

    def begin(self, items: Sequence[Item]) -> Waiting:
        """Do it when it is waited for."""
        return lambda: work(self._recipe, items, self._staging)

    def close(self) -> None:
        """Nothing goes on."""

    abort = close


class Pool:
    """Processes of this machine, started anew: a fork would take locks and database connections with it.

    They start with ``start``, while this process has something else to do, or else with the first units of work. A
    context manager that ends them at once.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def executor(self) -> ProcessPoolExecutor:
        """What hands them their units; made when it is asked for, since it starts a process of its own."""
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.jobs, mp_context=context, initializer=_end_with_parent)
        return self._executor

    def start(self) -> None:
        """Start all of them, unless some were; what is wrong with one is said when it gets a unit of work."""
        if self._executor is None:
            with contextlib.suppress(BrokenProcessPool):
                for _ in range(self.jobs):
                    self.submit(_get_ready)

    def submit(self, function: Callable[..., _Result], *given: object) -> Future[_Result]:
        """Have the next process that is free do it. Raises ``BrokenProcessPool``."""
        # Outside of the block: making it starts a process, after which the standard library lets interruptions in.
        executor = self.executor
        with _uninterrupted():
            return executor.submit(function, *given)

    def kill(self) -> None:
        """End them without waiting for what they do.

        Waiting would keep a person who interrupts, and a second interruption meanwhile would leave them and Python's
        own end waiting for each other.
        """
        if self._executor is not None:
            # Python 3.14 has kill_workers for it.
            for each in list((self._executor._processes or {}).values()):  # noqa: SLF001
                each.kill()
            self._executor.shutdown(cancel_futures=True)


class Processes:
    """Units of work in the processes of a pool."""

    def __init__(self, recipe: Recipe, staging: Path, pool: Pool) -> None:
        self.workers = pool.jobs
        self._recipe = recipe
        self._staging = staging
        self._pool = pool

    def begin(self, items: Sequence[Item]) -> Waiting:
        """Hand the unit to the next process that is free."""
        try:
            future = self._pool.submit(work, self._recipe, items, self._staging)
        except BrokenProcessPool:
            raise _died() from None
        return lambda: _result(future)

    def close(self) -> None:
        """Wait for the processes to end."""
        self._pool.executor.shutdown()

    def abort(self) -> None:
        """Kill the processes."""
        self._pool.kill()


def _result(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        raise _died() from None


def _died() -> WorkerError:
    hint = "was there enough memory? run it again, and it goes on where it stopped; --jobs makes it use fewer"
    return WorkerError("a process that made profiles has died", hint=hint)


def _get_ready() -> None:
    """Load what templates need; that a process has this function says that it has loaded the rest."""
    names_in("{{ device.serial }}")


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold an interruption back until the end; a process that is started meanwhile holds it back from its beginning.

    Else it would say with a traceback that it was interrupted while it was loading.
    """
    if not hasattr(signal, "pthread_sigmask"):
        # Windows.
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """Leave an interruption to the parent, and do not outlive it: nobody would record what is made."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
