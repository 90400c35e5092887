"""What a profile keeps secret, masked so that the rest of it can be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from mdmprofile.containers import is_pkcs12
from mdmprofile.payloads import types

MASK = "********"

# The end of the first line of a private key in PEM, and of OpenVPN's static ones.
_KEY_MARKS = ("PRIVATE KEY-----", "Static key V1-----")


def masked(plist: Mapping[str, Any]) -> dict[str, Any]:
    """The profile's dictionary with every secret replaced by ``MASK``, of the same kind: text or data.

    Secrets are what Apple's payloads keep them in, the user and password of a URL, and any text or data whose key is
    called a password, a secret, a challenge or the like, whatever the payload. Under any key also a PKCS#12, a private
    key in PEM, and inside a text what WireGuard, connection strings, queries and HTTP headers keep secret.
    """
    return {name: _masked(value, name, plist) for name, value in plist.items()}


def _masked(value: Any, name: str, inside: Mapping[str, Any]) -> Any:  # noqa: ANN401 - property-list values
    if isinstance(value, Mapping):
        return {key: _masked(each, key, value) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, name, inside) for each in value]
    if isinstance(value, str):
        return MASK if value and (is_secret(name, inside) or _holds_key(value)) else _text_masked(value)
    if isinstance(value, bytes) and value:
        secret = is_secret(name, inside) or is_pkcs12(value) or any(each.encode() in value for each in _KEY_MARKS)
        return MASK.encode() if secret else value
    return value


def _holds_key(value: str) -> bool:
    return any(each in value for each in _KEY_MARKS)


def _text_masked(value: str) -> str:
    """The text with what is secret inside it masked, and the rest as it is."""
    if "@" in value:
        value = _user_info().sub(rf"\1{MASK}@", value)
    if "=" in value:
        value = _assigned().sub(rf"\1{MASK}", value)
    return _header().sub(rf"\1{MASK}", value) if ":" in value else value


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
        r"pass(word|phrase|code|wd)|challenge|secret|psk\b|credential|api.?key|private.?key|shared.?key"
        r"|licen[cs]e.?(key|file)|encryption.?key|connection.?string|onboarding.?info"
        r"|(access|auth|bearer|refresh|registration|enrollment|activation).?(code|key)$|token$|^pin$",
        re.IGNORECASE,
    )


@cache
def _user_info() -> re.Pattern[str]:
    """User and password of a URL (RFC 3986 section 3.2.1)."""
    return re.compile(r"(//)[^/@\s]{1,1000}@")


@cache
def _assigned() -> re.Pattern[str]:
    """What a query, a connection string or WireGuard's configuration assigns to a name that tells.

    A pattern that begins with the telling word, and not with what may stand before it, is tried once a position.
    """
    return re.compile(
        r"((?:pass(?:word|phrase|code|wd)|challenge|secret|token|credential|api.?key|private.?key|shared.?key"
        r"|access.?key|\bsig)[\w.-]{0,40}[ \t]{0,5}=[ \t]{0,5})[^\s;&\"'<>]+",
        re.IGNORECASE,
    )


@cache
def _header() -> re.Pattern[str]:
    """HTTP headers that say who asks (RFC 9110 section 11, RFC 6265), as agents send them with each request."""
    return re.compile(r"\b((?:proxy-)?authorization[ \t]{0,5}:[ \t]{0,5}|cookie:[ \t]{0,5})\S[^\r\n]*", re.IGNORECASE)
