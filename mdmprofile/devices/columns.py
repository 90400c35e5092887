"""What the columns of a device table are called in templates."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache

from mdmprofile.errors import InputError, MdmprofileError, collect
from mdmprofile.printable import shortened, shown
from mdmprofile.tables import nearest

SERIAL, UDID = "serial", "udid"
_SAME = {
    "serialnumber": SERIAL,
    "serialno": SERIAL,
    "serialnum": SERIAL,
    "deviceserial": SERIAL,
    "deviceserialnumber": SERIAL,
    "deviceudid": UDID,
}
MAX_COLUMNS = 1000
_LONGEST = 255
_LISTED = 12


@lru_cache(maxsize=4096)
def column_name(header: str) -> str:
    """The variable that a column's header stands for: ``Asset Tag`` is ``asset_tag``, ``Serial No.`` is ``serial``.

    Empty for a header without a letter or digit. Raises ``ValueError``, with the header in its text, for one that no
    template could name.
    """
    if len(header) > _LONGEST:
        raise ValueError(f"{shown(header)} is longer than {_LONGEST} characters, so it cannot name a column")
    # An accent may be a character of its own.
    text = unicodedata.normalize("NFC", header).lower()
    name = "_".join("".join(each if f"a{each}".isidentifier() else " " for each in text).split())
    if name and not name.isidentifier():
        raise ValueError(f"{shown(header)} does not begin with a letter, so it cannot name a column")
    return _SAME.get(name.replace("_", ""), name)


def columns_of(headers: Sequence[str], *, source: str, line: int, required: Collection[str]) -> list[str]:
    """The variables' names of a header, empty where the header is.

    Raises ``InputError``, or ``Problems`` with every mistake: two columns of one name, a name that cannot be, no
    column that tells devices apart, and ``required`` ones that are absent.
    """
    where = f"{source}:{line}"
    if len(headers) > MAX_COLUMNS:
        hint = "leave out what no template needs"
        raise InputError(f"has more than {MAX_COLUMNS:,} columns", where=where, hint=hint)
    if any("\0" in each for each in headers):
        hint = "save it as UTF-8, or give its encoding with --encoding"
        raise InputError("holds zero bytes, so it is not text in UTF-8", where=where, hint=hint)
    names: list[str] = []
    problems: list[MdmprofileError] = []
    for header in headers:
        try:
            name = column_name(header)
        except ValueError as error:
            problems.append(InputError(str(error), where=where, hint="rename it"))
            name = ""
        if name in names and name:
            message = f"the columns {shown(headers[names.index(name)])} and {shown(header)} have the same name"
            problems.append(InputError(message, where=where, hint=f"both are {{{{ device.{name} }}}}: rename one"))
        names.append(name)
    problems += _absent(list(filter(None, names)), where, required)
    if problems:
        raise collect(problems)
    return names


def _absent(names: Sequence[str], where: str, required: Iterable[str]) -> Iterator[MdmprofileError]:
    there = ", ".join(shortened(each) for each in names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    there = f"its columns are: {there}" if names else "the first line must name the columns"
    if not {SERIAL, UDID} & set(names):
        near = nearest("serial_number", names) or nearest(UDID, names)
        hint = f"should {near} be serial? {there}" if near else there
        yield InputError("has no column serial or udid", where=where, hint=hint)
    for name in required:
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean {near}?" if near else there
            yield InputError(f"has no column {name}", where=where, hint=hint)
