"""How MDM servers are asked to queue a command for a device, and what their answers mean.

NanoMDM: https://github.com/micromdm/nanomdm/blob/main/docs/openapi.yaml and operations-guide.md. It takes many devices
in one request, but a server on a database queues for all of them or for none; so each device has a request of its own.
MicroMDM: https://github.com/micromdm/micromdm/blob/main/docs/API-Docs.md.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from mdmprofile.courier import Reply, Request
from mdmprofile.errors import PARSER_ERRORS
from mdmprofile.mdm_command import INSTALL_PROFILE, install_profile
from mdmprofile.moments import as_utc

# What is in a UDID, in NanoMDM's enrollment ids of users, and in the short names of a Shared iPad's.
_DEVICE = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9_@+.:-]{0,254}")
_LATER = (429, 502, 503, 504)
_KEY_REFUSED = (401, 403)
_NOT_THERE = (404, 405)
_REDIRECTS = range(300, 400)
_SUCCESSES = range(200, 300)


class Answered(StrEnum):
    """What becomes of a request: done, refused for this device, to be tried again, or of no use for any device."""

    QUEUED = "queued"
    REFUSED = "refused"
    LATER = "later"
    NEVER = "never"


class Verdict(NamedTuple):
    """What a server's answer means.

    ``reason`` is why, in the server's own words where it gave any: unbounded, and not printable. ``command_uuid`` is
    the one that the server named, empty where it named none. Not ``pushed`` is a command that is queued, although the
    device could not be told so.
    """

    kind: Answered
    reason: str = ""
    command_uuid: str = ""
    pushed: bool = True


class MdmServer(Protocol):
    """One kind of MDM server: its name, the user that its API key belongs to, and its API."""

    name: str
    user: str

    def request(self, base: str, device: str, profile: bytes, command_uuid: str) -> Request:
        """What queues the profile's installation for a device; ``base`` is the path of the server's URL."""

    def judge(self, reply: Reply, device: str) -> Verdict:
        """What the answer to it means."""


class NanoMdm:
    """NanoMDM's ``PUT /v1/enqueue/ID``, with the command as a property list."""

    name, user = "NanoMDM", "nanomdm"

    def request(self, base: str, device: str, profile: bytes, command_uuid: str) -> Request:
        """What queues the profile's installation for a device; ``base`` is the path of the server's URL."""
        target = f"{base}/v1/enqueue/{quote(device, safe=':@+')}"
        return Request("PUT", target, "application/xml", install_profile(profile, command_uuid))

    def judge(self, reply: Reply, device: str) -> Verdict:
        """What the answer means: an error of the command is a refusal, one of the push alone is not."""
        common = _common(reply, self.name)
        if common is not None:
            return common
        answer = _object(reply.body)
        if answer is None:
            return _unreadable(reply, self.name)
        own = _of_device(answer.get("status"), device)
        named = _text(answer.get("command_uuid"))
        refused = _text(own.get("command_error")) or _text(answer.get("command_error"))
        if refused:
            return Verdict(Answered.REFUSED, refused, named)
        not_pushed = _text(own.get("push_error")) or _text(answer.get("push_error"))
        if not_pushed:
            return Verdict(Answered.QUEUED, not_pushed, named, pushed=False)
        if reply.status in _SUCCESSES:
            return Verdict(Answered.QUEUED, "", named)
        return Verdict(Answered.REFUSED, reply.said, named)


class MicroMdm:
    """MicroMDM's ``POST /v1/commands``, with the command as JSON."""

    name, user = "MicroMDM", "micromdm"

    def request(self, base: str, device: str, profile: bytes, command_uuid: str) -> Request:
        """What queues the profile's installation for a device; ``base`` is the path of the server's URL."""
        command = {
            "udid": device,
            "request_type": INSTALL_PROFILE,
            "command_uuid": command_uuid,
            "payload": base64.b64encode(profile).decode("ascii"),
        }
        return Request("POST", f"{base}/v1/commands", "application/json; charset=utf-8", json.dumps(command).encode())

    def judge(self, reply: Reply, device: str) -> Verdict:  # noqa: ARG002 - each request is for one device
        """What the answer means; old servers answer 200 with an error in it, and choose the UUID themselves."""
        common = _common(reply, self.name)
        if common is not None:
            return common
        answer = _object(reply.body)
        if answer is None:
            return _unreadable(reply, self.name)
        refused = _text(answer.get("error"))
        if refused or reply.status not in _SUCCESSES:
            return Verdict(Answered.REFUSED, refused or reply.said)
        payload = answer.get("payload")
        return Verdict(Answered.QUEUED, "", _text(payload.get("command_uuid")) if isinstance(payload, dict) else "")


def is_device(text: str) -> bool:
    """Whether the text can be a device's UDID or a server's enrollment id: no other text becomes part of a URL."""
    return _DEVICE.fullmatch(text) is not None


def seconds_to_wait(retry_after: str, now: datetime) -> float:
    """What a ``Retry-After`` asks for (RFC 9110 section 10.2.3), in seconds; 0 where it is no such thing."""
    if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10:  # noqa: PLR2004 - 30 years
        return float(retry_after)
    try:
        return max((as_utc(parsedate_to_datetime(retry_after)) - now).total_seconds(), 0.0)
    except PARSER_ERRORS:
        return 0.0


def _common(reply: Reply, name: str) -> Verdict | None:
    """The verdicts that every HTTP API shares."""
    if reply.status in _KEY_REFUSED:
        return Verdict(Answered.NEVER, f"refuses the API key ({reply.said})")
    if reply.status in _NOT_THERE:
        return Verdict(Answered.NEVER, f"has no {name} API at this URL ({reply.said})")
    if reply.status in _REDIRECTS:
        where = f" to {reply.elsewhere}" if reply.elsewhere else ""
        return Verdict(Answered.NEVER, f"redirects{where}, which is not followed with the API key")
    return Verdict(Answered.LATER, f"answers {reply.said}") if reply.status in _LATER else None


def _unreadable(reply: Reply, name: str) -> Verdict:
    """A page of somebody in between is no success, whatever its status; an error needs no words."""
    if reply.status in _SUCCESSES:
        return Verdict(Answered.NEVER, f"answers {reply.said}, but not as {name} does")
    return Verdict(Answered.REFUSED, reply.said)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except PARSER_ERRORS:
        return None
    return answer if isinstance(answer, dict) else None


def _of_device(status: object, device: str) -> dict[str, Any]:
    """What a status says of the device; whatever else is in it, is nobody's business here."""
    if not isinstance(status, dict):
        return {}
    own = next((value for key, value in status.items() if key.lower() == device.lower()), None)
    return own if isinstance(own, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value) if value else ""
