"""What both kinds of middleware are told when they are put before an application."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

from mdmprofile.errors import MessageError
from mdmprofile.middleware.answers import MAX_BODY
from mdmprofile.middleware.guard import Guard

Application = TypeVar("Application")


class Guarded(Generic[Application]):
    """An application behind a guard.

    Every request is judged but those to paths in ``unguarded``, which are compared as they are. A body over
    ``max_body`` bytes is refused without being read to its end. Errors in ``unenroll``, such as ``PinUnknownError``,
    are answered with 403 and Apple's error body, which has the device remove its profile; all others with 400.
    """

    def __init__(
        self,
        app: Application,
        guard: Guard,
        *,
        unguarded: Collection[str] = (),
        max_body: int = MAX_BODY,
        unenroll: Collection[type[MessageError]] = (),
    ) -> None:
        self._app = app
        self._guard = guard
        self._unguarded = frozenset(unguarded)
        self._most = max_body
        self._unenroll = tuple(unenroll)
