"""A device table, CSV (RFC 4180) or JSON Lines, row by row in constant memory."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, Literal, NamedTuple

from mdmprofile.devices.columns import MAX_COLUMNS, SERIAL, UDID, column_name, columns_of
from mdmprofile.devices.lines import Lines
from mdmprofile.errors import InputError
from mdmprofile.propertylist import not_xml

MAX_FIELD = 64 * 1024
_HEADER_LINES = 100
_QUOTES = "check that every quote is closed"
# Numbers stay as they are written: a serial number can be one, of more digits than Python reads.
_JSON = json.JSONDecoder(object_pairs_hook=tuple, parse_int=str, parse_float=str, parse_constant=str)


class Device(NamedTuple):
    """A row of the table.

    ``line`` is the row's first, counted from 1. ``values`` has the columns' values by their variables' names, without
    white space around them and with LF for every line end in them; one that is absent is empty.
    """

    line: int
    values: Mapping[str, str]

    def __repr__(self) -> str:
        # A column can hold a password.
        return f"Device(line={self.line})"

    @property
    def serial(self) -> str:
        """The serial number; empty when absent."""
        return self.values.get(SERIAL, "")

    @property
    def udid(self) -> str:
        """The UDID; empty when absent."""
        return self.values.get(UDID, "")


class BadRow(NamedTuple):
    """A row that gives no device: its first line, why as the rest of a sentence, and the rule it breaks."""

    line: int
    reason: str
    rule: str = "devices.row"


class DeviceTable(Iterator[Device | BadRow]):
    """The rows in order. ``columns`` are the variables' names; empty for JSON Lines, where each row has its own."""

    def __init__(self, columns: Sequence[str], rows: Iterator[Device | BadRow]) -> None:
        self.columns = tuple(columns)
        self._rows = rows

    def __next__(self) -> Device | BadRow:
        return next(self._rows)


def read_table(
    stream: BinaryIO,
    *,
    source: str,
    form: Literal["csv", "jsonl"] | None = None,
    required: Collection[str] = (),
    encoding: str | None = None,
) -> DeviceTable:
    """The table's rows, read as they are asked for: the stream must stay open.

    Without ``form`` a file that begins with ``{`` is JSON Lines, a flat object a line. Anything else is CSV with a
    header, separated by commas, semicolons or tabs. ``required`` are columns that no row may leave empty. The text
    is UTF-8, or UTF-16 with a byte-order mark, unless ``encoding`` names another.

    Raises ``InputError`` with the line, or ``Problems``, for what is wrong with the whole file: here for its
    beginning, from the rows where what follows cannot be told from the row that is broken.
    """
    lines = Lines(stream, source=source, encoding=encoding)
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise InputError("holds no device", where=source, hint="write a header, and a line for each device")
    beginning = first.lstrip()[0]
    if form != "csv" and beginning == "[":
        raise InputError("is a JSON array, not a table", where=source, hint="write JSON Lines: one object a line")
    if form == "jsonl" or (form is None and beginning == "{"):
        return DeviceTable((), _json_rows(lines, first, required))
    reader = _CsvReader(lines, first, source, required)
    return DeviceTable([each for each in reader.columns if each], reader.rows())


class _CsvReader:
    """Strict, since a quote that is not closed would take the rows behind it into its field unseen."""

    def __init__(self, lines: Lines, first: str, source: str, required: Collection[str]) -> None:
        self.lines = lines
        self.source = source
        self.required = required
        self.skipped = lines.number - 1
        self.ended = False
        header = [first]
        # A spreadsheet's header can have line ends in its quotes.
        while "".join(header).count('"') % 2 and len(header) < _HEADER_LINES and (more := next(lines, "")):
            header.append(more)
        self.reader = csv.reader(self._feed(header), delimiter=_delimiter(header), strict=True, skipinitialspace=True)
        try:
            headers = [each.strip() for each in next(self.reader)]
        except csv.Error as error:
            where = f"{source}:{self.skipped + 1}"
            raise InputError(f"its header is not CSV: {error}", where=where, hint=_QUOTES) from None
        self.columns = columns_of(headers, source=source, line=self.skipped + 1, required=required)
        self.unnamed = [index for index, name in enumerate(self.columns) if not name]
        self.needed = max(index + 1 for index, name in enumerate(self.columns) if name)

    def _feed(self, header: list[str]) -> Iterator[str]:
        yield from header
        yield from self.lines
        self.ended = True

    def rows(self) -> Iterator[Device | BadRow]:
        """The rows behind the header."""
        reader, lines, width = self.reader, self.lines, len(self.columns)
        while True:
            line = self.skipped + reader.line_num + 1
            lines.size = 0
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield self._broken(line, error)
                continue
            values = list(map(str.strip, row))
            # A spreadsheet writes its blank lines with all their delimiters.
            if not any(values):
                continue
            if len(values) == width and not self.unnamed:
                yield _judged(line, dict(zip(self.columns, values, strict=True)), self.required)
            else:
                yield self._fitted(line, values)

    def _fitted(self, line: int, values: list[str]) -> Device | BadRow:
        """A row that has not as many fields as the header has names, or a header that is not all names.

        A spreadsheet has columns that are empty, and leaves out or adds empty fields at the end.
        """
        for index in self.unnamed:
            if any(values[index : index + 1]):
                message = f"column {index + 1} has values, but no name"
                raise InputError(message, where=f"{self.source}:{line}", hint="name it in the header, or remove it")
        if len(values) < self.needed or any(values[len(self.columns) :]):
            fields = "1 field" if len(values) == 1 else f"{len(values):,} fields"
            return BadRow(line, f"has {fields} where the header has {self.needed:,}{self._reach(line)}")
        named = {name: value for name, value in zip(self.columns, values, strict=False) if name}
        return _judged(line, named, self.required)

    def _broken(self, line: int, error: csv.Error) -> BadRow:
        if self.lines.size > csv.field_size_limit():
            # Where the next row begins is in doubt, and a guess could leave devices out.
            raise InputError(f"a row is not CSV: {error}", where=f"{self.source}:{line}", hint=_QUOTES)
        if self.ended:
            return BadRow(line, "has a quote that is not closed before the end of the file")
        return BadRow(line, f"is not CSV: {error}{self._reach(line)}")

    def _reach(self, line: int) -> str:
        """What to say of a row of several lines: it may be several rows, one with a quote too many."""
        last = self.skipped + self.reader.line_num
        return f" (it goes on to line {last}: check its quotes)" if last > line else ""


def _delimiter(header: Iterable[str]) -> str:
    """What is there most often outside of quotes."""
    bare = re.sub('"[^"]*"', "", "".join(header))
    return max(",;\t", key=bare.count)


def _json_rows(lines: Lines, first: str, required: Collection[str]) -> Iterator[Device | BadRow]:
    for text in itertools.chain([first], lines):
        lines.size = 0
        if not text.strip():
            continue
        try:
            row = _judged(lines.number, _members(text), required)
        except ValueError as error:
            row = BadRow(lines.number, str(error))
        yield row


def _members(text: str) -> dict[str, str]:
    """The columns of a JSON object; raises ``ValueError`` that says what is wrong with the row."""
    try:
        pairs = _JSON.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(pairs, tuple):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - it is the row that is wrong
    if len(pairs) > MAX_COLUMNS:
        raise ValueError(f"has more than {MAX_COLUMNS:,} keys")
    values: dict[str, str] = {}
    for key, value in pairs:
        try:
            name = column_name(key)
        except ValueError as error:
            raise ValueError(f"has a key that cannot be: {error}") from None
        if name in values:
            raise ValueError(f"has the key {name} twice")
        if isinstance(value, str):
            values[name] = value.strip()
        elif value is None or isinstance(value, bool):
            values[name] = "" if value is None else str(value).lower()
        else:
            raise ValueError(f"has more than one value in the key {name}")
    if values.pop("", ""):
        raise ValueError("has a key without a letter or digit")
    return values


def _judged(line: int, values: dict[str, str], required: Collection[str]) -> Device | BadRow:
    """The row, unless a value cannot be or one is missing that is needed."""
    text = "".join(values.values())
    if len(text) > MAX_FIELD or not text.isprintable():
        for name, value in values.items():
            if len(value) > MAX_FIELD:
                return BadRow(line, f"has more than {MAX_FIELD // 1024} KiB in the column {name}")
            values[name] = value.replace("\r\n", "\n").replace("\r", "\n")
            wrong = not_xml().search(values[name])
            if wrong is not None:
                character = f"the character U+{ord(wrong[0]):04X}"
                return BadRow(line, f"has {character} in the column {name}, which a property list cannot hold")
    if not (values.get(SERIAL) or values.get(UDID)):
        return BadRow(line, "has neither a serial number nor a UDID", "devices.missing")
    if not all(map(values.get, required)):
        missing = [name for name in required if not values.get(name)]
        return BadRow(line, f"has no {', '.join(missing)}", "devices.missing")
    return Device(line, values)
