"""What a device is told whose message is refused: as little as possible, and never 401, at which it may unenroll.

https://developer.apple.com/documentation/devicemanagement/errorunrecognizeddevice
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from typing import NamedTuple

from mdmprofile.errors import MdmprofileError, MessageError, MessageFormatError
from mdmprofile.middleware.guard import Headers
from mdmprofile.printable import printable

# A device's answer with a list of apps or certificates has a few megabytes at most.
MAX_BODY = 16 * 1024 * 1024
LOGGER = logging.getLogger("mdmprofile.middleware")

_UNRECOGNIZED = {
    "code": "com.apple.unrecognized.device",
    "description": "The device is not enrolled here.",
    "message": "This device is not enrolled here.",
}


class Answer(NamedTuple):
    """A response: its status line without the version, its content type, and its body."""

    status: int
    reason: str
    content_type: str
    body: bytes


REFUSED = Answer(400, "Bad Request", "text/plain; charset=utf-8", b"Bad Request\n")
# What a device takes as the order to unenroll.
UNRECOGNIZED = Answer(403, "Forbidden", "application/json", json.dumps(_UNRECOGNIZED).encode())
UNAVAILABLE = Answer(503, "Service Unavailable", "text/plain; charset=utf-8", b"Service Unavailable\n")


def answer_to(error: MdmprofileError, headers: Headers, unenroll: Collection[type[MessageError]]) -> Answer:
    """The answer to a message that is refused, or that cannot be judged; the reason goes to the log alone."""
    where = printable(str(headers.address or "a socket"))
    if not isinstance(error, MessageError):
        LOGGER.error("a message from %s cannot be judged: %s", where, printable(str(error)))
        return UNAVAILABLE
    LOGGER.warning("refused a message from %s: %s", where, printable(str(error)))
    return UNRECOGNIZED if isinstance(error, tuple(unenroll)) else REFUSED


def too_large(most: int) -> MessageFormatError:
    """The error for a body that nobody reads to its end."""
    return MessageFormatError(f"has more than {most:,} bytes", where="the message's body", hint="refuse the message")
