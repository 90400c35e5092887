"""Device tables: every form they come in, and everything that can be wrong with one."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mdmprofile.devices.columns import MAX_COLUMNS, column_name
from mdmprofile.devices.lines import MAX_ROW
from mdmprofile.devices.table import MAX_FIELD, BadRow, Device, read_table
from mdmprofile.errors import InputError, MdmprofileError, Problems

Form = Literal["csv", "jsonl"]
examples = settings(derandomize=True, deadline=None, max_examples=300)
PIECE = 64 * 1024


def rows(data: bytes | str, **options: Any) -> list[Device | BadRow]:
    """All rows of a table; text is in UTF-8."""
    raw = data.encode() if isinstance(data, str) else data
    return list(read_table(io.BytesIO(raw), source="fleet.csv", **options))


def devices(data: bytes | str, **options: Any) -> list[dict[str, str]]:
    """The values of a table without a bad row."""
    found = rows(data, **options)
    assert [each for each in found if isinstance(each, BadRow)] == []
    return [dict(each.values) for each in found if isinstance(each, Device)]


def bad(data: bytes | str, **options: Any) -> list[tuple[int, str]]:
    """Line and reason of each bad row."""
    return [(each.line, each.reason) for each in rows(data, **options) if isinstance(each, BadRow)]


def refusal(data: bytes | str, **options: Any) -> InputError:
    """The error of a table that is refused as a whole."""
    with pytest.raises(InputError) as caught:
        rows(data, **options)
    assert caught.value.__cause__ is None
    assert caught.value.hint
    return caught.value


# --- CSV ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_of_every_spreadsheet_is_read(end: str, delimiter: str, encoding: str) -> None:
    """Line ends, delimiters and byte-order marks differ from program to program, the devices do not."""
    lines = [["Serial Number", "UDID", "Room"], ["C02X", "00008030-1", '"a, b; c\td"'], ["C02Y", "", "Zoë 🍏"]]
    text = end.join(delimiter.join(each) for each in lines)
    expected = [
        {"serial": "C02X", "udid": "00008030-1", "room": "a, b; c\td"},
        {"serial": "C02Y", "udid": "", "room": "Zoë 🍏"},
    ]
    assert devices(text.encode(encoding)) == expected
    assert devices((text + end).encode(encoding)) == expected


def test_utf_16_is_told_by_its_mark_in_both_orders() -> None:
    """The mark itself is no part of the first header."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        assert devices(mark + "serial\nÄ1\n".encode(encoding)) == [{"serial": "Ä1"}]


def test_line_is_that_of_the_row_in_the_file() -> None:
    """Blank lines and line ends within quotes count, as they do in an editor."""
    found = rows('\r\n  \r\nserial,note\r\nA,"one\r\ntwo"\r\n\r\n,,\r\nB,x\r\nC\r\n')
    assert [each.line for each in found] == [4, 8, 9]
    assert isinstance(found[0], Device)
    assert found[0].values == {"serial": "A", "note": "one\ntwo"}


@pytest.mark.parametrize("blank", ["\n", "   \n", ",,\n", ' ,"",\t\n', "\r\n"])
def test_blank_line_is_passed_over(blank: str) -> None:
    """Also one that a spreadsheet wrote with all its delimiters."""
    assert devices(f"serial,a,b\n{blank}A,1,2\n{blank}") == [{"serial": "A", "a": "1", "b": "2"}]


def test_values_lose_the_white_space_around_them() -> None:
    """It is not visible in a spreadsheet, and would be part of a name in the profile."""
    assert devices('serial , room\n A1 ,"  12 b "\n\xa0B2\xa0, "x"') == [
        {"serial": "A1", "room": "12 b"},
        {"serial": "B2", "room": "x"},
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Name, first;serial;UDID", ["name_first", "serial", "udid"]),
        ('"a;b;c;d",serial', ["a_b_c_d", "serial"]),
        ('"Serial\r\nNumber";"Room, floor"', ["serial", "room_floor"]),
        ('serial,Screen 6",x', ["serial", "screen_6", "x"]),
        ("serial", ["serial"]),
    ],
)
def test_delimiter_is_told_from_the_header(header: str, expected: list[str]) -> None:
    """What is within quotes does not count, and the quotes can hold line ends."""
    table = read_table(io.BytesIO(header.encode()), source="x")
    assert list(table.columns) == expected
    assert list(table) == []


def test_header_with_a_stray_quote_takes_no_row_with_it() -> None:
    """The lines that were looked at for the other quote are rows all the same."""
    assert devices('Screen 6",serial\n1,A\n2,B\n') == [
        {"screen_6": "1", "serial": "A"},
        {"screen_6": "2", "serial": "B"},
    ]
    assert bad('Screen 6",serial\n1,A\n"2"x,B\n') == [(3, "is not CSV: ',' expected after '\"'")]


def test_rows_are_read_as_they_are_asked_for() -> None:
    """A table is never in memory as a whole, nor read further than needed."""
    stream = io.BytesIO(b"serial\n" + b"".join(b"S%d\n" % number for number in range(100_000)))
    table = read_table(stream, source="x")
    assert next(table) == Device(2, {"serial": "S0"})
    assert stream.tell() == PIECE
    assert sum(1 for _ in table) == 99_999


@pytest.mark.parametrize("shift", range(-2, 3))
@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_end_and_letter_at_the_edge_of_a_piece(shift: int, end: str) -> None:
    """What was read in two pieces is one."""
    beginning = f"serial,room{end}"
    first = "A," + "x" * (PIECE - len(beginning) - 2 - shift)
    found = devices(f"{beginning}{first}{end}äöü🍏,y{end}B,z")
    assert [each["serial"] for each in found] == ["A", "äöü🍏", "B"]
    assert [each["room"] for each in found[1:]] == ["y", "z"]


# --- names of columns --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Asset Tag", "asset_tag"),
        ("  Room (floor) - no.  ", "room_floor_no"),
        ("serial", "serial"),
        ("SERIAL_NUMBER", "serial"),
        ("SerialNumber", "serial"),
        ("Serial No.", "serial"),
        ("serial no", "serial"),
        ("Device Serial Number", "serial"),
        ("UDID", "udid"),
        ("device_udid", "udid"),
        ("_private", "_private"),
        ("Größe", "größe"),
        ("Gro\N{LATIN SMALL LETTER SHARP S}e A\N{COMBINING DIAERESIS}", "große_ä"),
        ("क्रमांक", "क्रमांक"),
        ("***", ""),
        ("", ""),
    ],
)
def test_column_is_named_as_a_template_can_name_it(header: str, name: str) -> None:
    """Case, spaces and punctuation make no difference, in any script."""
    assert column_name(header) == name


@pytest.mark.parametrize(
    ("table", "message", "hint"),
    [
        ("name,room\nx,y\n", "has no column serial or udid", "its columns are: name, room"),
        ("seriel,name\n", "has no column serial or udid", "should seriel be serial? its columns are: seriel, name"),
        ('""\n', "has no column serial or udid", "the first line must name the columns"),
        ("serial,Room,room \n", "the columns 'Room' and 'room' have the same name", "both are {{ device.room }}"),
        ("Serial,Serial No.\n", "the columns 'Serial' and 'Serial No.' have the same name", "rename one"),
        ("serial,1st room\n", "'1st room' does not begin with a letter", "rename it"),
        (f"serial,{'x' * 256}\n", "is longer than 255 characters", "rename it"),
        ("serial,a\0b\n", "holds zero bytes", "save it as UTF-8"),
        ("serial," + "x," * MAX_COLUMNS, "has more than 1,000 columns", "leave out"),
        ('serial,"room\nA,1\n', "its header is not CSV", "check that every quote is closed"),
    ],
)
def test_header_that_cannot_be_is_refused_with_its_line(table: str, message: str, hint: str) -> None:
    """A mistake in the header is one about every device, so nothing is read."""
    error = refusal(f"\n{table}")
    assert message in error.message
    assert hint in error.hint
    assert error.where == "fleet.csv:2"


def test_every_mistake_in_the_header_is_named_at_once() -> None:
    """Nobody has to run it once for each."""
    with pytest.raises(Problems) as caught:
        rows("seriel,room,Room,2nd\n", required=["site", "rom"])
    assert [each.message for each in caught.value.errors] == [
        "the columns 'room' and 'Room' have the same name",
        "'2nd' does not begin with a letter, so it cannot name a column",
        "has no column serial or udid",
        "has no column site",
        "has no column rom",
    ]
    assert [each.hint for each in caught.value.errors][-2:] == [
        "its columns are: seriel, room, room",
        "did you mean room?",
    ]


@pytest.mark.parametrize("table", ["serial,,room,,\nA,,1,,\nB,,2\nC,,3,,,,,\n", "serial,,room\nA,,1\nB,,2,\nC,,3\n"])
def test_empty_columns_are_tolerated(table: str) -> None:
    """A spreadsheet leaves them behind, and adds or leaves out empty fields at the end of a row."""
    assert devices(table) == [{"serial": each, "room": room} for each, room in ("A1", "B2", "C3")]
    assert read_table(io.BytesIO(table.encode()), source="x").columns == ("serial", "room")


@pytest.mark.parametrize("table", ["serial,,room\nA,,1\nB,x,2\n", "serial,room,,\nA,1,,\nB,2,,x\n"])
def test_column_with_values_and_no_name_is_refused(table: str) -> None:
    """Nobody could say what they are, and perhaps the whole row is shifted."""
    error = refusal(table)
    assert error.message.endswith("has values, but no name")
    assert error.where == "fleet.csv:3"


# --- bad rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("A", "has 1 field where the header has 3"),
        ("A,,1,2", "has 4 fields where the header has 3"),
        ('A,"u\nv",1,2', "has 4 fields where the header has 3 (it goes on to line 4: check its quotes)"),
        (",,1", "has neither a serial number nor a UDID"),
        (' ,"",1', "has neither a serial number nor a UDID"),
        ("A,,", "has no room"),
        ("A\0,,1", "has the character U+0000 in the column serial, which a property list cannot hold"),
        ("A,,\x1b[2J", "has the character U+001B in the column room, which a property list cannot hold"),
        ("A,,x\x0bx", "has the character U+000B in the column room, which a property list cannot hold"),
        ("A,,\ufffe", "has the character U+FFFE in the column room, which a property list cannot hold"),
        (f"A,,{'x' * (MAX_FIELD + 1)}", "has more than 64 KiB in the column room"),
        ('A,"b"c,1', "is not CSV: ',' expected after '\"'"),
        ('A,"b\nc"d,1', "is not CSV: ',' expected after '\"' (it goes on to line 4: check its quotes)"),
    ],
)
def test_bad_row_is_told_with_its_line_and_the_others_are_read(row: str, reason: str) -> None:
    """One row that is wrong costs nobody else a profile."""
    found = rows(f"serial,udid,room\nX,,1\n{row}\nY,,1\n", required=["room"])
    assert [(each.line, each.reason) for each in found if isinstance(each, BadRow)] == [(3, reason)]
    assert [each.serial for each in found if isinstance(each, Device)] == ["X", "Y"]


def test_missing_values_break_a_rule_of_their_own() -> None:
    """They are filled in, where the others are corrected."""
    found = rows("serial,room,site\n,1,2\nA,,\nB,1\n", required=["room", "site"])
    assert found == [
        BadRow(2, "has neither a serial number nor a UDID", "devices.missing"),
        BadRow(3, "has no room, site", "devices.missing"),
        BadRow(4, "has 2 fields where the header has 3", "devices.row"),
    ]


def test_quote_that_is_never_closed_is_told() -> None:
    """Strict reading finds it at the end of the file, and the rows in front of it count."""
    found = rows('serial,room\nA,1\nB,"2\nC,3\n')
    assert found == [
        Device(2, {"serial": "A", "room": "1"}),
        BadRow(3, "has a quote that is not closed before the end of the file"),
    ]


class Endless(io.BytesIO):
    """A beginning, and then the same again and again; it counts what is read."""

    def __init__(self, beginning: bytes, more: bytes) -> None:
        super().__init__()
        self.beginning = beginning
        self.more = more
        self.count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size > 0
        data = self.beginning[self.count : self.count + size]
        self.count += size
        return data + (self.more * size)[: size - len(data)]


@pytest.mark.parametrize(
    ("beginning", "more", "line"),
    [
        (b'serial,a\nA,1\nB,"', b"x", 3),
        (b'serial,a\nA,1\nB,"', b"\n", 3),
        (b'serial,a\nA,1\nB,"', b"x\r\n", 3),
        (b'serial,a\nA,1\nB,"', b'""', 3),
        (b"serial,a\nA,1\nB,", b"x", 3),
        (b"serial,a\nA,1\nB,", b",", 3),
        (b"serial,a\nA,1\n", b" ", 3),
        (b'{"serial": "A"}\n{"x": "', b"x", 2),
        (b'{"serial": "A"}\n', b"[", 2),
        (b'serial,"', b"x\n", 1),
        (b'serial,"', b"x", 1),
        (b"", b" ", 1),
        (b"", b"x", 1),
    ],
)
def test_endless_row_costs_no_more_than_its_limit(beginning: bytes, more: bytes, line: int) -> None:
    """A quote that is not closed must not take the rest of a large file into memory."""
    stream = Endless(beginning, more)
    with pytest.raises(InputError) as caught:
        list(read_table(stream, source="x"))
    assert caught.value.where == f"x:{line}"
    assert stream.count <= MAX_ROW + 2 * PIECE


def test_limit_of_the_csv_module_stays_as_it_was() -> None:
    """It is one for the whole process, and somebody else's."""
    before = csv.field_size_limit()
    rows("serial\n" + "x" * (MAX_FIELD + 1))
    assert csv.field_size_limit() == before
    csv.field_size_limit(2**31 - 1)
    try:
        assert "a row is longer than 1,024 KiB" in refusal('serial\n"' + "x\n" * MAX_ROW).message
    finally:
        csv.field_size_limit(before)


def test_longest_field_is_read() -> None:
    """64 KiB fit."""
    assert devices("serial,x\nA," + "x" * MAX_FIELD) == [{"serial": "A", "x": "x" * MAX_FIELD}]


def test_values_show_in_no_repr() -> None:
    """A column can hold a password, and a traceback would show it."""
    device = Device(7, {"serial": "A", "password": "open-sesame-4711"})
    assert repr(device) == "Device(line=7)"
    assert (device.serial, device.udid) == ("A", "")


@pytest.mark.parametrize("secret", ['open"sesame"4711', "open\0sesame4711", "open-sesame4711,x"])
def test_no_reason_quotes_a_value(secret: str) -> None:
    """Reports go further than the table."""
    for data in (
        f"serial,password\nA,{secret}\n",
        f'serial,password\nA,"{secret}\n',
        f'{{"serial": "A", "p": "{secret}"',
    ):
        assert "sesame" not in repr(rows(data))


# --- the file as a whole -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\n\r\n   \n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xef\xbb\xbf\n"])
def test_empty_file_is_refused(data: bytes) -> None:
    """Somebody named the wrong file."""
    error = refusal(data)
    assert (error.message, error.where) == ("holds no device", "fleet.csv")


@pytest.mark.parametrize("form", [None, *get_args(Form)])
def test_header_alone_gives_no_row(form: Form) -> None:
    """Whether that is wrong, the caller says."""
    assert rows("serial,udid\n", form=None if form == "jsonl" else form) == []


def test_other_encoding_is_refused_with_line_and_byte() -> None:
    """A guess would put wrong letters into every profile."""
    data = "serial,owner\nA,Bob\nB,Zoë\n".encode("latin-1")
    error = refusal(data)
    assert str(error) == (
        "fleet.csv:3: is not text in UTF-8 (byte 23) (save it as UTF-8, or give its encoding with --encoding)"
    )
    assert data[23:24] == b"\xeb"
    assert devices(data, encoding="latin-1")[1] == {"serial": "B", "owner": "Zoë"}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("before", [10, 9_000, 60_000])
def test_line_of_an_undecodable_byte_is_right_far_into_the_file(end: bytes, before: int) -> None:
    """It counts what the pieces in front of it held."""
    data = b"serial" + end + b"".join(b"S%d" % number + end for number in range(before)) + b"\xff" + end
    error = refusal(data)
    assert error.where == f"fleet.csv:{before + 2}"
    assert f"(byte {data.index(0xFF)})" in error.message


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"\xff\xfes\0e\0r\0i\0a\0l\0\n\0A", 2),
        (b"\xff\xfe" + "serial\nA\n".encode("utf-16-le") + b"\x00\xd8\x41\x00", 3),
        (b"\xfe\xff" + "serial\nA\nB\n".encode("utf-16-be") + b"\xd8\x00\x00\x41", 4),
        (b"serial\nA\n\xe2\x82", 3),
    ],
)
def test_file_that_ends_within_a_letter_or_has_half_of_one(data: bytes, line: int) -> None:
    """It was cut, or is not what its mark says."""
    assert refusal(data).where == f"fleet.csv:{line}"


@pytest.mark.parametrize("encoding", ["nothing", "hex", "zlib", "rot13", "a\0b"])
def test_encoding_that_is_none_is_refused(encoding: str) -> None:
    """Some of Python's codecs decode no text."""
    assert "is not known" in refusal("serial\nA", encoding=encoding).message


@pytest.mark.parametrize(
    "encoding", ["utf-16-le", "utf-16", "cp1252", "shift_jis", "iso2022_jp", "utf-7", "utf-8", "gb18030"]
)
def test_named_encoding_is_used(encoding: str) -> None:
    """Whatever the file's beginning looks like."""
    assert devices("serial\nA\nB".encode(encoding), encoding=encoding) == [{"serial": "A"}, {"serial": "B"}]


@pytest.mark.parametrize(
    "encoding", ["idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "shift_jis"]
)
def test_any_text_encoding_gives_rows_or_our_error(encoding: str) -> None:
    """Some raise other errors than that a byte cannot be decoded, or make halves of letters."""
    for data in (b"serial\n\xff\xfe\x80\n", b"serial\n\\ud800,\\x\n", b"serial\nxn--\xe4\n" + b"a" * 300):
        with contextlib.suppress(InputError):
            assert rows(data, encoding=encoding)


def test_utf_16_without_a_mark_is_recognised() -> None:
    """Its zero bytes are valid UTF-8."""
    error = refusal("serial,udid\nA,B\n".encode("utf-16-le"))
    assert error.message == "holds zero bytes, so it is not text in UTF-8"
    assert devices("serial,udid\nA,B\n".encode("utf-16-le"), encoding="utf-16-le") == [{"serial": "A", "udid": "B"}]


@pytest.mark.parametrize("data", [b"PK\x03\x04 an .xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 an .xls"])
def test_spreadsheet_itself_is_refused_with_what_to_do(data: bytes) -> None:
    """It is the file that people have."""
    error = refusal(data)
    assert (error.message, error.hint) == ("is a spreadsheet, not a text file", "save it as CSV in UTF-8")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file whose reading fails")
def test_file_that_cannot_be_read_is_an_error_of_ours() -> None:
    """A disk or a server can fail while the table is read."""
    with Path("/proc/self/mem").open("rb", buffering=0) as stream, pytest.raises(InputError, match="cannot be read: "):
        read_table(stream, source="x")


# --- JSON Lines --------------------------------------------------------------------------------------------------


def test_json_lines_are_told_by_their_first_byte() -> None:
    """Numbers stay as they are written, so that no digit is lost."""
    lines = [
        '{"Serial Number": " C02X ", "asset": 12345678901234567890123.50, "vip": true, "note": null}',
        '{"serial": "C02Y", "asset": -1E5, "vip": false, "note": "a\\nb", "": ""}',
        '{"udid": "1", "asset": NaN}',
    ]
    expected = [
        {"serial": "C02X", "asset": "12345678901234567890123.50", "vip": "true", "note": ""},
        {"serial": "C02Y", "asset": "-1E5", "vip": "false", "note": "a\nb"},
        {"udid": "1", "asset": "NaN"},
    ]
    for end in ("\n", "\r\n", "\n\n"):
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            assert devices((end + end.join(lines)).encode(encoding)) == expected
    assert devices(lines[0], form="jsonl") == expected[:1]
    assert read_table(io.BytesIO(lines[0].encode()), source="x").columns == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"serial": "A", "x": ["b"]}', "has more than one value in the key x"),
        ('{"serial": "A", "x": {"y": 1}}', "has more than one value in the key x"),
        ('{"serial": "A", "x": {}}', "has more than one value in the key x"),
        ('{"serial": "A", "serial": "B"}', "has the key serial twice"),
        ('{"serial": "A", "Serial No": "B"}', "has the key serial twice"),
        ('{"serial": "A", "1st": "B"}', "has a key that cannot be: '1st' does not begin with a letter"),
        ('{"serial": "A", "***": "B"}', "has a key without a letter or digit"),
        (f'{{"serial": "A", "{"x" * 300}": "B"}}', "is longer than 255 characters"),
        ('{"serial": "A"', "is not JSON: Expecting ',' delimiter (column "),
        ('{"serial": "A"} {}', "is not JSON: Extra data (column 17)"),
        ("serial,udid", "is not JSON: Expecting value (column 1)"),
        ('"A"', "is not a JSON object"),
        ("12", "is not a JSON object"),
        ("[1]", "is not a JSON object"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"serial": "A", "x": ' + "[" * 100_000, "is nested too deeply"),
        ('{"serial": "A", "x": "\\u0000"}', "has the character U+0000 in the column x"),
        ('{"serial": "A", "x": "\\ud800"}', "has the character U+D800 in the column x"),
        ('{"serial": "A", "x": "a\tb"}', "is not JSON: Invalid control character at (column"),
        ('{"serial": null, "x": 1}', "has neither a serial number nor a UDID"),
        ("{}", "has neither a serial number nor a UDID"),
        (json.dumps(dict.fromkeys(map("k{}".format, range(MAX_COLUMNS + 1)), 1)), "has more than 1,000 keys"),
        (f'{{"serial": "A", "x": "{"x" * (MAX_FIELD + 1)}"}}', "has more than 64 KiB in the column x"),
        ('{"serial": 1' + "0" * 100_000 + "}", "has more than 64 KiB in the column serial"),
    ],
)
def test_bad_line_of_json_is_told_and_the_others_are_read(line: str, reason: str) -> None:
    """Each line stands for itself."""
    found = rows(f'{{"serial": "X"}}\n\n{line}\n{{"serial": "Y"}}\n')
    assert [each.serial for each in found if isinstance(each, Device)] == ["X", "Y"]
    [row] = [each for each in found if isinstance(each, BadRow)]
    assert row.line == 3
    assert reason in row.reason


def test_required_columns_of_json_are_judged_line_by_line() -> None:
    """There is no header that would name them."""
    found = rows('{"serial": "A", "room": 1}\n{"serial": "B"}\n{"serial": "C", "room": ""}', required=["room"])
    assert found[1:] == [BadRow(each, "has no room", "devices.missing") for each in (2, 3)]


@pytest.mark.parametrize("form", [None, "jsonl"])
def test_json_array_is_refused_with_what_to_do(form: Form | None) -> None:
    """It would have to be in memory as a whole."""
    error = refusal('[\n{"serial": "A"}\n]', form=form)
    assert (error.message, error.hint) == ("is a JSON array, not a table", "write JSON Lines: one object a line")


def test_form_can_be_given() -> None:
    """A header that begins with a brace is one all the same."""
    assert devices("{serial},[room]\nA,1", form="csv") == [{"serial": "A", "room": "1"}]


def test_line_of_json_without_an_end_is_refused() -> None:
    """A line has at most 1 MiB."""
    error = refusal('{"serial": "A"}\n{"serial": "' + "x" * MAX_ROW)
    assert (error.message, error.where) == ("a row is longer than 1,024 KiB", "fleet.csv:2")


# --- anything ----------------------------------------------------------------------------------------------------

PIECES = [
    b"serial",
    b"udid",
    b",",
    b";",
    b"\t",
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b"A",
    b"\xff",
    b"\xfe",
    b"\xef\xbb\xbf",
    b"{",
    b"}",
    b":",
    b"[",
    b"\\u",
]


def any_bytes() -> st.SearchStrategy[bytes]:
    """Bytes of any kind, and such as come close to a table."""
    close = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)
    return st.binary(max_size=300) | close | close.map(lambda data: b"serial,x\nA,1\n" + data)


@examples
@given(
    data=any_bytes(), form=st.sampled_from([None, "csv", "jsonl"]), encoding=st.sampled_from([None, "utf-16", "cp1252"])
)
@example(data=b'serial\n"', form=None, encoding=None)
def test_any_bytes_give_rows_or_our_error(data: bytes, form: Form | None, encoding: str | None) -> None:
    """Nothing a file can hold gets past these, and no value is one that a profile cannot hold."""
    try:
        found = rows(data, form=form, encoding=encoding)
    except MdmprofileError:
        return
    for each in found:
        if isinstance(each, Device):
            assert each.serial or each.udid
            assert all(name.isidentifier() for name in each.values)
            assert all(
                value == value.strip() and "\0" not in value and "\r" not in value for value in each.values.values()
            )
        else:
            assert each.reason


def printable_rows() -> st.SearchStrategy[list[list[str]]]:
    """Rows of four values."""
    letters = st.characters(exclude_categories=["Cs", "Cc", "Cn"])
    value = st.text(letters, max_size=20) | st.text(st.sampled_from(" \",;\t\n'x"), max_size=6)
    return st.lists(st.tuples(st.text(letters, min_size=1, max_size=9), value, value, value).map(list), max_size=6)


@examples
@given(
    values=printable_rows(), dialect=st.sampled_from(["excel", "excel-tab", "unix"]), delimiter=st.sampled_from(",;\t")
)
def test_what_csv_writes_is_read_back(values: list[list[str]], dialect: str, delimiter: str) -> None:
    """Apart from the white space around a value."""
    text = io.StringIO()
    writer = csv.writer(text, dialect, delimiter=delimiter)
    writer.writerow(["serial", "a", "b", "c"])
    writer.writerows(values)
    expected = [[each.strip() for each in row] for row in values]
    found = rows(text.getvalue())
    assert [list(each.values.values()) for each in found if isinstance(each, Device)] == [
        each for each in expected if each[0]
    ]


@examples
@given(values=printable_rows())
def test_what_json_writes_is_read_back(values: list[list[str]]) -> None:
    """JSON Lines and CSV give the same devices."""
    objects = [dict(zip(("serial", "a", "b", "c"), row, strict=True)) for row in values if row[0].strip()]
    if objects:
        assert devices("\n".join(map(json.dumps, objects))) == [
            {name: value.strip() for name, value in each.items()} for each in objects
        ]
