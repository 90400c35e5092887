"""The names of the devices' files: whatever a device is called, its file is below the output directory."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mdmprofile.devices.filenames import DEFAULT_NAME, FileNames
from mdmprofile.errors import TemplateError, UnfilledError

BY_SITE = "{{ device.site }}/{{ device.serial }}.mobileconfig"
NAMES = FileNames(BY_SITE, ["site", "serial"], {})
examples = settings(derandomize=True, deadline=None, max_examples=300)


def name_of(template: str, **values: str) -> str:
    """The name of one device's file."""
    return FileNames(template, list(values), {"root": "eu/west", "year": "2031"}).of(values)


def objection(template: str, **values: str) -> str:
    """Why a name is refused."""
    with pytest.raises(ValueError, match=r"^the file's name ") as caught:
        name_of(template, **values)
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"serial": "C02X", "udid": "00008030-1"}, "C02X.mobileconfig"),
        ({"serial": "C02X"}, "C02X.mobileconfig"),
        ({"serial": "", "udid": "00008030-1"}, "00008030-1.mobileconfig"),
        ({"udid": "00008030-1"}, "00008030-1.mobileconfig"),
        ({"udid": "00008030-1", "room": "12"}, "00008030-1.mobileconfig"),
    ],
)
def test_file_is_named_for_the_serial_number_or_else_the_udid(values: dict[str, str], name: str) -> None:
    """Each row has one of them."""
    assert name_of(DEFAULT_NAME, **values) == name
    assert FileNames(DEFAULT_NAME, [], {}).of(values) == name


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (BY_SITE, "Berlin Mitte/C02X.mobileconfig"),
        ("{{ device.serial | lower }}-{{ year }}.xml", "c02x-2031.xml"),
        ("{{ root }}/{{ device.serial }}", "eu/west/C02X"),
        ("{{ device.path | replace('/', '-') }}/{{ device.serial }}", "a-b/C02X"),
        ("{% if device.site == 'Oslo' %}no/{% else %}de/berlin/{% endif %}{{ device.serial }}", "de/berlin/C02X"),
        ("{{ device.gone | default('none') }}/{{ device.serial }}", "none/C02X"),
        ("{{ device.tag.split('-')[1] }}/{{ device.serial }}", "b/C02X"),
        ("x{{ device.owner }}", "xZoë　李"),
    ],
)
def test_template_gives_directories_and_names(template: str, name: str) -> None:
    """Directories are the template's, or the administrator's own variables'."""
    values = {"serial": "C02X", "site": "Berlin Mitte", "path": "a/b", "tag": "a-b", "owner": "Zoë　李"}
    assert name_of(template, **values) == name


@pytest.mark.parametrize("template", [BY_SITE, "{{ device.serial }}/{{ device.site }}", "{{ device.site }}"])
@pytest.mark.parametrize(
    "value",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "a/",
        "/",
        "..",
        ".",
        ".ssh",
        "",
        " ",
        "CON",
        "con",
        "nul.txt",
        "COM1",
        "lpt³.tar",
        "AUX .x",
        "x\0",
        "a\\b",
        "..\\..\\x",
        "C:",
        "c:x",
        "a:stream",
        "a\nb",
        "a\tb",
        "\x7f",
        "\x85",
        "\u202egnp.gifnocelibom",
        "a\u200fb",
        "a\u2066b",
        "\u2028",
        "\ufeff",
        "\ud800",
        "\ue000",
        "a<b",
        "a>b",
        'a"b',
        "a|b",
        "a?",
        "a*",
        "{{ 7*7 }}",
        "x" * 300,
        "ä" * 128,
    ],
)
def test_hostile_value_is_refused(template: str, value: str) -> None:
    """None leaves the directory, hides, or means something else on another system."""
    reason = objection(template, serial="C02X", site=value)
    assert reason.isprintable()
    assert len(reason) < 300


@pytest.mark.parametrize("value", ["a.", "a ", "a\u3000", "..."])
def test_end_that_windows_would_cut_off_is_refused(value: str) -> None:
    """Two devices' files would be one."""
    assert "a part that" in objection(BY_SITE, serial="C02X", site=value)
    assert "a part that" in objection("x/{{ device.site }}", serial="C02X", site=value)


@pytest.mark.parametrize("value", ["{{ 7+7 }}", "{% if %}", "{{ device.serial }}", "{# x #}"])
def test_template_in_a_value_is_text(value: str) -> None:
    """A value is never filled."""
    assert name_of("{{ device.serial }}.xml", serial=value) == f"{value}.xml"


@pytest.mark.parametrize(
    "name",
    [
        "ledger.sqlite",
        "ledger.sqlite-wal",
        "Ledger.SQLite-journal",
        "ledger.sqlite/x",
        "ledger.\N{LATIN SMALL LETTER LONG S}qlite",
    ],
)
def test_name_of_the_ledger_is_refused(name: str) -> None:
    """A device of that name would take the place of what is known of all."""
    with pytest.raises(ValueError, match="is the ledger's"):
        FileNames(name, ["serial"], {}).of({"serial": "x"})
    assert name_of("x/{{ device.serial }}", serial="ledger.sqlite") == "x/ledger.sqlite"


def test_slash_in_a_value_makes_no_directory_where_the_template_has_one() -> None:
    """Also where the number of parts can differ from device to device."""
    template = "{% if device.site %}{{ device.site }}/{% endif %}{{ device.serial }}"
    assert name_of(template, site="", serial="A") == "A"
    assert name_of(template, site="x", serial="A") == "x/A"
    for site, serial in (("", "x/A"), ("x/y", "A"), ("x", "y/A")):
        assert "a slash out of a value" in objection(template, site=site, serial=serial)
    assert "a slash out of a value" in objection("{{ device.site | urlencode }}/x", site="a/b")
    assert name_of("{{ device.site }}/x", site="a", other="b/c") == "a/x"


@pytest.mark.parametrize(("length", "fits"), [(255, True), (256, False)])
def test_length_of_a_part_is_bounded_in_bytes(length: int, fits: bool) -> None:
    """As file systems do."""
    for value in ("x" * length, "ä" * (length // 2) + "x" * (length % 2)):
        if fits:
            assert name_of("{{ device.serial }}", serial=value) == value
        else:
            assert "has a part longer than 255 bytes" in objection("{{ device.serial }}", serial=value)


def test_length_of_the_whole_is_bounded() -> None:
    """Some systems take no more in a path."""
    template = "{{ device.serial }}/" * 4 + "{{ device.last }}"
    assert len(name_of(template, serial="x" * 250, last="y" * 20)) == 1024
    assert "is longer than 1,024 bytes" in objection(template, serial="x" * 250, last="y" * 21)


@pytest.mark.parametrize(
    ("template", "message", "hint"),
    [
        ("{{ device.seral }}", "the device table has no column seral", "did you mean serial?"),
        ("{{ device['q'] }}", "the device table has no column q", "known are: serial, site"),
        ("{{ serial }}", "a variable is not known: serial", "did you mean device.serial?"),
        ("{{ yaer }}", "a variable is not known: yaer", "did you mean year?"),
    ],
)
def test_name_that_nobody_knows_is_one_error_before_the_first_device(template: str, message: str, hint: str) -> None:
    """Otherwise there were one for each of a million devices."""
    with pytest.raises(UnfilledError) as caught:
        FileNames(template, ["serial", "site"], {"year": "2031"})
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    "template", ["{{ device.serial", "{% for a in device %}{% endfor %}", "{{ 2 ** 3 }}", "{{ ''.__class__ }}"]
)
def test_wrong_template_is_refused(template: str) -> None:
    """Templates of names are held to what those of values are held to."""
    with pytest.raises(TemplateError):
        FileNames(template, ["serial"], {})


def test_device_whose_name_cannot_be_made_is_told() -> None:
    """The reason names no value."""
    names = FileNames("{{ device.tag.split('-')[1] }}{{ device.room }}", [], {})
    assert names.of({"tag": "a-b", "room": "1"}) == "b1"
    for values in ({"tag": "sesame", "room": "1"}, {"tag": "a-sesame"}):
        with pytest.raises(ValueError, match=r"^the file's name cannot be made: a variable is not known: ") as caught:
            names.of(values)
        assert "sesame" not in str(caught.value)


def test_every_device_name_of_windows_is_refused() -> None:
    """With any extension, in any case; names that only begin so are good."""
    for name in ("CON", "PRN", "AUX", "NUL", "COM1", "COM9", "LPT1", "LPT9", "COM¹", "CONIN$", "CONOUT$"):
        assert "is a device on Windows" in objection(DEFAULT_NAME, serial=name)
        assert PureWindowsPath(name_of(DEFAULT_NAME, serial=f"{name}X")).name == f"{name}X.mobileconfig"


@examples
@given(site=st.text(max_size=12), serial=st.text(max_size=12))
@example(site="a", serial="b")
def test_no_value_leaves_the_output_directory(site: str, serial: str) -> None:
    """On no system, and never at another depth than the template's."""
    try:
        name = NAMES.of({"site": site, "serial": serial})
    except ValueError:
        return
    assert name == f"{site}/{serial}.mobileconfig"
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        assert not path.is_absolute()
        assert len(path.parts) == 2
        assert not any(part in {"", ".", ".."} or part.startswith(".") for part in path.parts)
    assert not re.search(r'[\x00-\x1f\\:<>"|?*]', name)
    assert not any(unicodedata.bidirectional(each) in {"RLO", "LRO", "RLE", "LRE", "RLI", "LRI"} for each in name)


def test_names_that_are_given_can_be_written(tmp_path: Path) -> None:
    """A file system is the judge."""
    for values in (
        {"site": "Zoë　李", "serial": "🍏"},
        {"site": "x" * 255, "serial": "y" * 242},
        {"site": "-rf", "serial": "~"},
    ):
        path = tmp_path / name_of(BY_SITE, **values)
        path.parent.mkdir()
        path.write_text("x", encoding="utf-8")
        assert path.resolve().is_relative_to(tmp_path.resolve())
