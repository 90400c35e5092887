"""Many servers at once: each waits in a thread of its own, so one that hangs holds no other."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MAX_AT_ONCE = 256


class Pool(Generic[R]):
    """Jobs that run beside each other, at most ``MAX_AT_ONCE`` at a time.

    The threads are daemons: an interrupted command does not wait for servers.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._running = 0
        self._lock = threading.Lock()

    def begin(self, do: Callable[[], R]) -> Callable[[], R]:
        """Begin a job as soon as there is room; what is returned waits for it, and raises what the job raised."""
        answer: queue.SimpleQueue[tuple[R | None, BaseException | None]] = queue.SimpleQueue()

        def job() -> None:
            try:
                answer.put((do(), None))
            except BaseException as error:  # noqa: BLE001 - it is raised again where the result is taken
                answer.put((None, error))

        with self._lock:
            self._waiting.append(job)
            if self._running < MAX_AT_ONCE:
                self._running += 1
                threading.Thread(target=self._work, daemon=True).start()

        def wait() -> R:
            result, error = answer.get()
            if error is not None:
                raise error
            return result  # type: ignore[return-value]  # R may be None itself

        return wait

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    return
                job = self._waiting.popleft()
            job()


def at_once(do: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What ``do`` makes of each item, in the items' order; see ``Pool``.

    What one of them raises is raised when its turn comes.
    """
    pool: Pool[R] = Pool()
    begun = [pool.begin(lambda item=item: do(item)) for item in items]  # type: ignore[misc]  # a default binds the item
    for wait in begun:
        yield wait()
