"""The name of each device's file below the output directory.

What a device calls itself is no more than a part of a name: it can reach no other directory, hide no file, and take
the place of none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping

from mdmprofile.errors import TemplateError, UnfilledError
from mdmprofile.ledger_rows import LEDGER_NAME
from mdmprofile.printable import shown
from mdmprofile.tables import nearest
from mdmprofile.templating import Variables, compiled, names_in

DEFAULT_NAME = "{{ device.serial | default('') or device.udid }}.mobileconfig"
MAX_PART = 255
MAX_NAME = 1024
_LISTED = 12
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_FORBIDDEN = frozenset('\\:<>"|?*')
_WINDOWS = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"]
    + [f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"]
)
# What most names are; no device of Windows, and not the ledger's, has so long a first part without a dot.
_USUAL = re.compile(r"[A-Za-z0-9_-]{7,200}\.mobileconfig")


class FileNames:
    """Names by a template such as ``{{ device.site }}/{{ device.serial }}.mobileconfig``.

    ``columns`` are those of the device table, empty when they are not known beforehand. Raises ``TemplateError`` for
    a template that is wrong, or that speaks of a column or variable that is not there.
    """

    def __init__(self, template: str, columns: Collection[str], variables: Variables) -> None:
        self._fill = _default_name if template == DEFAULT_NAME else compiled(template)
        self._variables = dict(variables)
        names = names_in(template)
        asked = {each.removeprefix("device.") for each in names if each.startswith("device.")}
        known = columns or asked
        try:
            self._fill(self._variables | {"device": dict.fromkeys(known, "x")})
        except UnfilledError:
            # Where every name is known, it is a piece of a value that x does not have.
            for name in sorted(asked.difference(known)):
                message = f"the device table has no column {name}"
                raise _unknown(message, name, {each: each for each in known}) from None
            here = {each: f"device.{each}" for each in known} | {each: each for each in variables}
            for name in sorted(each for each in names if "." not in each and each not in {"device", *variables}):
                raise _unknown(f"a variable is not known: {name}", name, here) from None

    def of(self, values: Mapping[str, str]) -> str:
        """The path of a device's file below the output directory, its parts separated by ``/``.

        Raises ``ValueError``, in words for people, for one that must not be.
        """
        try:
            name = self._fill(self._variables | {"device": values})
            reason = _objection(name)
            if not reason and "/" in name and self._leads_astray(name, values):
                reason = "has a slash out of a value, which would make a directory"
        except TemplateError as error:
            raise ValueError(f"the file's name cannot be made: {error.message}") from None
        if reason:
            raise ValueError(f"the file's name {shown(name)} {reason}")
        return name

    def _leads_astray(self, name: str, values: Mapping[str, str]) -> bool:
        """Whether a slash in the name is from a value: it is gone when the values have another character for it."""
        if not any("/" in each for each in values.values()):
            return False
        without = {column: value.replace("/", "\0") for column, value in values.items()}
        return self._fill(self._variables | {"device": without}).count("/") != name.count("/")


def _default_name(variables: Variables) -> str:
    """What the default template gives, without a template's time."""
    device: Mapping[str, str] = variables["device"]
    return f"{device.get('serial') or device.get('udid', '')}.mobileconfig"


def _unknown(message: str, name: str, known: Mapping[str, str]) -> UnfilledError:
    near = nearest(name, known)
    listed = ", ".join(sorted(known.values())[:_LISTED])
    return UnfilledError(message, hint=f"did you mean {known[near]}?" if near else f"known are: {listed}")


def _objection(name: str) -> str:
    """What is wrong with a name, as the rest of a sentence; empty when nothing is."""
    if _USUAL.fullmatch(name):
        return ""
    if not name.isprintable() or not _FORBIDDEN.isdisjoint(name):
        for each in name:
            # An ideographic space is in names as a space is.
            if each in _FORBIDDEN or not (each.isprintable() or unicodedata.category(each) == "Zs"):
                return f"has the character {each!r}"
    if len(name.encode()) > MAX_NAME:
        return f"is longer than {MAX_NAME:,} bytes"
    parts = name.split("/")
    for part in parts:
        if not part:
            return "has an empty part"
        if part[0] == ".":
            return "has a part that begins with a dot"
        if part[-1] == "." or part[-1].isspace():
            return "has a part that ends with a dot or a space"
        if len(part.encode()) > MAX_PART:
            return f"has a part longer than {MAX_PART} bytes"
        if part.partition(".")[0].rstrip().upper() in _WINDOWS:
            return "has a part that is a device on Windows"
    return "is the ledger's" if parts[0].casefold().startswith(LEDGER_NAME) else ""
