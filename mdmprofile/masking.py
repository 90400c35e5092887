"""What a profile keeps secret, masked so that the rest of it can be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from mdmprofile.payloads import types

MASK = "********"


def masked(plist: Mapping[str, Any]) -> dict[str, Any]:
    """The profile's dictionary with every secret replaced by ``MASK``, of the same kind: text or data; numbers by 0.

    Secrets are what Apple's payloads keep them in, a PKCS#12's content, a private key in PEM, the user and password of
    a URL and secrets in its query, and whatever is below a key that is called a password, a secret, a challenge or the
    like, whatever the payload.
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
    if isinstance(value, bytes):
        return MASK.encode() if value and (_PEM_KEY in value or is_secret(name, inside)) else value
    if isinstance(value, str):
        return MASK if value and (_PEM_KEY.decode() in value or is_secret(name, inside)) else _without_secrets(value)
    return value


def _without_secrets(text: str) -> str:
    """Text with the URLs in it masked."""
    if "@" in text:
        text = _user_info().sub(rf"\1{MASK}@", text)
    return _query().sub(rf"\1{MASK}", text) if "=" in text else text


def is_secret(name: str, inside: Mapping[str, Any]) -> bool:
    """Whether text or data under this key, in this dictionary, is a secret."""
    kind = inside.get("PayloadType")
    if name == "PayloadContent":
        return kind == types.PKCS12
    if name == "ClientIdentifier":
        return kind == types.ACME
    if name == "Certificate":
        # A PKCS#12 too.
        return kind in _EXCHANGE
    return _telling().search(name[:_LONGEST_NAME]) is not None


# What holds a key's name, in the payloads of Apple and of others.
_WORDS = (
    r"pass(?:word|phrase|code|wd)s?|challenge|secret|psk\b|credentials?|api.?key|private.?key|shared.?key|recovery.?key"
    r"|licen[cs]e.?key|encryption.?key|(?:access|auth|bearer|refresh|registration|enrollment|activation).?(?:code|key)$"
    r"|token$"
)
_EXCHANGE = ("com.apple.eas.account", "com.apple.ews.account")
_LONGEST_NAME = 200
_PEM_KEY = b"PRIVATE KEY-----"


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
def _query() -> re.Pattern[str]:
    """A secret in the query of a URL."""
    words = r"(?:pass(?:word|phrase|code|wd)|challenge|secret|token|credential|api.?key)"
    return re.compile(rf"([?&;][^=&;#\s]{{0,100}}?{words}[^=&;#\s]{{0,100}}=)[^&;#\s]+", re.IGNORECASE)
