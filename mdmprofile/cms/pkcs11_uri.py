"""PKCS#11 URIs (RFC 7512): which module, token and key a signer is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from mdmprofile.tables import nearest

_SCHEME = "pkcs11:"
_PATH = ("token", "serial", "manufacturer", "model", "slot-id", "object", "id", "type")
_QUERY = ("module-path", "pin-source")
_PIN = "would show the PIN to everybody who sees the URI; use pin-source=file:… or signing.pkcs11_pin"
_MODULE = "differs from system to system; give module-path=/…/module.so"


class Pkcs11Uri(NamedTuple):
    """What a URI says; None where it says nothing. ``module`` is the shared library that speaks PKCS#11."""

    module: Path
    token: str | None
    serial: str | None
    manufacturer: str | None
    model: str | None
    slot_id: int | None
    object: str | None
    id: bytes | None
    pin_file: Path | None

    @property
    def wanted_token(self) -> str:
        """The token as an error names it."""
        names = {"token": self.token, "serial": self.serial, "slot-id": self.slot_id, "model": self.model}
        return _listed(names | {"manufacturer": self.manufacturer})

    @property
    def wanted_key(self) -> str:
        """The key as an error names it."""
        return _listed({"object": self.object, "id": self.id.hex() if self.id is not None else None})


def parse_pkcs11_uri(text: str) -> Pkcs11Uri:
    """Read a URI such as ``pkcs11:token=demo;object=signer?module-path=/usr/lib/softhsm/libsofthsm2.so``.

    Every attribute must be known, because a misspelt one would choose another key. Raises ``ValueError`` that never
    quotes a value, since it could be a PIN.
    """
    if not text.startswith(_SCHEME):
        raise ValueError(f"must begin with {_SCHEME}, for example pkcs11:token=demo;object=signer?module-path=/…")
    path, _, query = text.removeprefix(_SCHEME).partition("?")
    place = _attributes(path, ";", _PATH)
    more = _attributes(query, "&", _QUERY)
    if "module-path" not in more:
        raise ValueError("names no module; add ?module-path= and the absolute path of the token's PKCS#11 library")
    if place.get("type", "private") != "private":
        raise ValueError("type must be private: it is the key that signs; the certificate is found beside it")
    slot = place.get("slot-id")
    if slot is not None and re.fullmatch(r"[0-9]{1,19}", slot) is None:
        raise ValueError("slot-id must be a number")
    return Pkcs11Uri(
        module=_absolute("module-path", more["module-path"]),
        token=_text(place, "token"),
        serial=_text(place, "serial"),
        manufacturer=_text(place, "manufacturer"),
        model=_text(place, "model"),
        slot_id=None if slot is None else int(slot),
        object=_text(place, "object"),
        id=unquote_to_bytes(place["id"]) if "id" in place else None,
        pin_file=_absolute("pin-source", more["pin-source"].removeprefix("file:")) if "pin-source" in more else None,
    )


def _attributes(part: str, separator: str, known: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in filter(None, part.split(separator)):
        name, equals, value = each.partition("=")
        if name in {"pin-value", "module-name"}:
            raise ValueError(f"{name} {_PIN if name == 'pin-value' else _MODULE}")
        if name not in known:
            # What has no name could be a part of a PIN.
            near = nearest(name, known) if equals else ""
            raise ValueError(f"has an attribute that is not known here; {_advice(near, known)}")
        if name in found:
            raise ValueError(f"gives {name} twice")
        if not equals or not value:
            raise ValueError(f"{name} is empty")
        if re.search(r"%(?![0-9A-Fa-f]{2})", value):
            raise ValueError(f"{name} has a % that two hexadecimal digits do not follow; write % itself as %25")
        found[name] = value
    return found


def _advice(near: str, known: tuple[str, ...]) -> str:
    return f"did you mean {near}?" if near else f"use {', '.join(known)}"


def _text(attributes: dict[str, str], name: str) -> str | None:
    if name not in attributes:
        return None
    try:
        return unquote(attributes[name], errors="strict")
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8 text") from None


def _absolute(name: str, value: str) -> Path:
    """A path that means the same wherever the command is run: a library found by chance would get the PIN."""
    path = Path(unquote(value))
    if not path.is_absolute() or "\0" in str(path):
        raise ValueError(f"{name} must be an absolute path")
    return path


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in names.items() if value is not None)
