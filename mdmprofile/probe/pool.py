"""Many servers at once: each waits in a thread of its own, so one that hangs holds no other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

MAX_AT_ONCE = 256


def at_once(do: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """What ``do`` makes of each item, in the items' order; at most ``MAX_AT_ONCE`` run at the same time.

    What one of them raises is raised when its turn comes. The threads are daemons: an interrupted command does not
    wait for servers.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(items)):
        waiting.put(number)
    results: list[queue.SimpleQueue[tuple[R | None, BaseException | None]]] = [queue.SimpleQueue() for _ in items]

    def work() -> None:
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                results[number].put((do(items[number]), None))
            except BaseException as error:  # noqa: BLE001 - it is raised again where the result is taken
                results[number].put((None, error))

    for _ in range(min(len(items), MAX_AT_ONCE)):
        threading.Thread(target=work, daemon=True).start()
    for each in results:
        result, error = each.get()
        if error is not None:
            raise error
        yield result  # type: ignore[misc]  # R may be None itself
