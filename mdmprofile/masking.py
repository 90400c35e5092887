"""What a profile keeps secret, masked so that the rest of it can be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from mdmprofile.containers import is_pkcs12
from mdmprofile.payloads import types

MASK = "********"


def masked(plist: Mapping[str, Any]) -> dict[str, Any]:
    """The profile's dictionary with every secret replaced by ``MASK``, of the same kind: text or data; numbers by 0.

    Secrets are what Apple's payloads keep them in, and whatever is below a key that is called a password, a secret, a
    challenge or the like, whatever the payload. Under any key also a PKCS#12, a private key in PEM, and inside a text
    the user and password of a URL and what queries, WireGuard, connection strings and HTTP headers keep secret.
    """
    return {name: _masked(value, name, plist) for name, value in plist.items()}


def _masked(value: Any, name: str, inside: Mapping[str, Any]) -> Any:  # noqa: ANN401 - property-list values
    if isinstance(value, Mapping):
        if _named().search(name[-_LONGEST_NAME:]):
            return {key: _masked(each, name, inside) for key, each in value.items()}
        return {key: _masked(each, key, value) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, name, inside) for each in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and _named().search(name[-_LONGEST_NAME:]):
        return 0
    if isinstance(value, bytes) and value:
        secret = is_secret(name, inside) or is_pkcs12(value) or any(each.encode() in value for each in _KEY_MARKS)
        return MASK.encode() if secret else value
    if isinstance(value, str) and value:
        secret = is_secret(name, inside) or any(each in value for each in _KEY_MARKS)
        return MASK if secret else _without_secrets(value)
    return value


def _without_secrets(text: str) -> str:
    """The text with what is secret inside it masked, and the rest as it is."""
    if "@" in text:
        text = _user_info().sub(rf"\1{MASK}@", text)
    if "=" in text:
        text = _assigned().sub(rf"\1{MASK}", text)
    return _header().sub(rf"\1{MASK}", text) if ":" in text else text


def is_secret(name: str, inside: Mapping[str, Any]) -> bool:
    """Whether text or data under this key, in this dictionary, is a secret."""
    kind = inside.get("PayloadType")
    if name == "PayloadContent":
        return kind == types.PKCS12
    if name == "ClientIdentifier":
        return kind == types.ACME
    if name == "Certificate":
        # A PKCS#12, whatever it looks like.
        return kind in _EXCHANGE
    return _telling().search(name[:_LONGEST_NAME]) is not None


# What holds a key's name, in the payloads of Apple and of others.
_WORDS = (
    r"pass(?:word|phrase|code|wd)s?|challenge|secret|psk\b|credentials?|api.?key|private.?key|shared.?key|recovery.?key"
    r"|licen[cs]e.?(?:key|file)|encryption.?key|connection.?string|onboarding.?info|(?:access|auth|bearer|refresh|registration|enrollment|activation).?(?:code|key)$"
    r"|token$"
)
_EXCHANGE = ("com.apple.eas.account", "com.apple.ews.account")
_LONGEST_NAME = 200
# The end of the first line of a private key in PEM, and of OpenVPN's static ones.
_KEY_MARKS = ("PRIVATE KEY-----", "Static key V1-----")


@cache
def _telling() -> re.Pattern[str]:
    """Names of keys that hold secrets."""
    return re.compile(rf"{_WORDS}|^pin$|^authorization$", re.IGNORECASE)


@cache
def _named() -> re.Pattern[str]:
    """Names that are a secret's own, so that a number or a dictionary there is one too; others are about secrets."""
    return re.compile(r"(?:password|passphrase|passwd|challenge|secret|credentials?)s?$|^pin$", re.IGNORECASE)


@cache
def _user_info() -> re.Pattern[str]:
    """User and password of a URL (RFC 3986 section 3.2.1), also where an ``@`` in it is not escaped."""
    return re.compile(r"(//)[^/?#\s]+@")


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
