"""What a profile keeps secret, masked so that the rest of it can be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from mdmprofile.payloads import types

MASK = "********"


def masked(plist: Mapping[str, Any]) -> dict[str, Any]:
    """The profile's dictionary with every secret replaced by ``MASK``, of the same kind: text or data.

    Secrets are what Apple's payloads keep them in, a PKCS#12's content, the user and password of a URL, and any text
    or data whose key is called a password, a secret, a challenge or the like, whatever the payload.
    """
    return {name: _masked(value, name, plist) for name, value in plist.items()}


def _masked(value: Any, name: str, inside: Mapping[str, Any]) -> Any:  # noqa: ANN401 - property-list values
    if isinstance(value, Mapping):
        return {key: _masked(each, key, value) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, name, inside) for each in value]
    if isinstance(value, str | bytes) and value and is_secret(name, inside):
        return MASK if isinstance(value, str) else MASK.encode()
    return _user_info().sub(rf"\1{MASK}@", value) if isinstance(value, str) and "@" in value else value


def is_secret(name: str, inside: Mapping[str, Any]) -> bool:
    """Whether text or data under this key, in this dictionary, is a secret."""
    kind = inside.get("PayloadType")
    if name == "PayloadContent":
        return kind == types.PKCS12
    if name == "ClientIdentifier":
        return kind == types.ACME
    return _telling().search(name) is not None


@cache
def _telling() -> re.Pattern[str]:
    """Names of keys that hold secrets in the payloads of Apple and of others."""
    return re.compile(
        r"pass(word|phrase|code|wd)|challenge|secret|psk\b|credential|api.?key|private.?key|shared.?key|licen[cs]e.?key"
        r"|encryption.?key|(access|auth|bearer|refresh|registration|enrollment|activation).?(token|code|key)$|^(token|pin)$",
        re.IGNORECASE,
    )


@cache
def _user_info() -> re.Pattern[str]:
    """User and password of a URL (RFC 3986 section 3.2.1)."""
    return re.compile(r"(//)[^/@\s]{1,1000}@")
