"""Tables and converters: what each accepts, what it says otherwise, and how a mistake finds its key."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdmprofile import tables as t
from mdmprofile.errors import TemplateError
from mdmprofile.payloads.names import SHORT_NAMES, check_type, parse_subject, subject_plist
from mdmprofile.templating import renderer


def context(**variables: Any) -> t.Context:
    """A context whose paths start in ``base``, with these variables."""
    return t.Context(Path("base"), renderer(variables))


def problems(of: t.Context) -> dict[str, str]:
    """What went wrong, by the key's path."""
    return {each.where: f"{each.message} ({each.hint})" if each.hint else each.message for each in of.problems}


@pytest.mark.parametrize(
    ("convert", "value", "expected"),
    [
        (t.text, "  padded text\n", "  padded text\n"),
        (t.word, "https://mdm.example.com/ö?a={{ x }}", "https://mdm.example.com/ö?a=42"),
        (t.boolean, False, False),
        (t.integer, -7, -7),
        (t.integer, "-7", -7),
        (t.integer, "{{ x }}", 42),
        (t.integer, 2**63 - 1, 2**63 - 1),
        (t.moment, date(2031, 3, 1), datetime(2031, 3, 1, tzinfo=UTC)),
        (t.moment, datetime(2031, 3, 1, 12, tzinfo=UTC), datetime(2031, 3, 1, 12, tzinfo=UTC)),
        (t.moment, "2031-03-01T12:00+01:00", datetime(2031, 3, 1, 11, tzinfo=UTC)),
        (t.duration, "{{ x }}d", timedelta(days=42)),
        (t.duration, timedelta(hours=1), timedelta(hours=1)),
        (t.path, "a/{{ x }}.pem", Path("base/a/42.pem")),
        (t.path, "/etc/a.pem", Path("/etc/a.pem")),
        (t.path, Path("a.pem"), Path("a.pem")),
        (t.several(t.integer), [1, "2"], (1, 2)),
        (t.several(t.integer), 1, (1,)),
        (t.several(t.integer), [], ()),
        (t.one_of({"Alpha": 1, "beta": 2}), "aLPHA", 1),
        (t.uuid_text, "0123ABCD-4567-89ab-cdef-0123456789AB", "0123ABCD-4567-89ab-cdef-0123456789AB"),
    ],
)
def test_converter_makes_of_a_value_what_its_key_wants(convert: t.Convert[Any], value: object, expected: Any) -> None:
    """Values of the right kind come out converted, templates filled, paths in the config's folder."""
    found = convert(value, context(x=42))
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("convert", "value", "message"),
    [
        (t.text, 1, "must be text in quotes, not a number"),
        (t.text, True, "must be text in quotes, not a boolean"),
        (t.text, [], "must be text in quotes, not a list"),
        (t.text, {}, "must be text in quotes, not a table"),
        (t.text, datetime(2031, 3, 1, tzinfo=UTC), "must be text in quotes, not a date"),
        (t.text, time(7), "must be text in quotes, not time"),
        (t.text, "{{ empty }}", "is empty"),
        (t.word, "a\u00a0b", "must not hold spaces or control characters"),
        (t.word, "a\u202eb", "must not hold spaces or control characters"),
        (t.boolean, 1, "must be true or false, not a number"),
        (t.boolean, "true", "must be true or false, not str"),
        (t.integer, 1.0, "must be a whole number"),
        (t.integer, "1.0", "'1.0' is not a whole number"),
        (t.integer, "12345678901", "'12345678901' is not a whole number"),
        (t.integer, 2**63, "is too large"),
        (t.integer, -(2**63), "is too large"),
        (t.moment, "tomorrow", "'tomorrow' is not a date"),
        (t.duration, "soon", "'soon' is not a duration"),
        (t.path, "", "is empty"),
        (t.several(t.integer), [1, []], "must be a whole number, not a list"),
        (t.one_of({"alpha": 1}), "alhpa", "'alhpa' is not known here; did you mean 'alpha'?"),
        (t.one_of({"alpha": 1, "beta": 2}), "zzz", "'zzz' is not known here; use one of alpha, beta"),
        (t.uuid_text, "0123ABCD-4567-89ab-cdef-0123456789AB\n", "is not a UUID of the form 8-4-4-4-12"),
        (t.uuid_text, "0123ABCD456789abcdef0123456789AB", "is not a UUID of the form 8-4-4-4-12"),
        (t.secret("a.b"), {}, "must be text or a table with one of env, file, command or prompt"),
        (t.secret("a.b"), {"vault": "x"}, "'vault' is not known here"),
        (t.secret("a.b"), "", "is empty"),
    ],
)
def test_converter_says_what_its_key_wants(convert: t.Convert[Any], value: object, message: str) -> None:
    """A wrong value is a mistake that is collected with the key's path, and the default takes its place."""
    ours = context(empty="")
    default = object()
    assert t.Table({"key": value}, "table", ours).take("key", convert, default) is default
    assert list(problems(ours)) == ["table.key"]
    assert message in problems(ours)["table.key"]


@pytest.mark.parametrize(
    ("kind", "place", "expected"),
    [
        ("env", "SCEP_{{ x }}", "SCEP_42"),
        ("file", "{{ x }}.txt", Path("base/42.txt")),
        ("file", Path("x.txt"), Path("x.txt")),
        ("command", ["pass", "show", "{{ x }}"], ("pass", "show", "42")),
        ("prompt", "Challenge {{ x }}?", "Challenge 42?"),
    ],
)
def test_secret_keeps_its_place_and_fetches_nothing(kind: str, place: object, expected: object) -> None:
    """A source knows its kind, its place and its key; no file or variable of that name need exist."""
    source = t.secret("identity.challenge")({kind: place}, context(x=42))
    assert (source.kind, source.place, source.key) == (kind, expected, "identity.challenge")


@pytest.mark.parametrize("empty", [None, "", " "], ids=["absent", "empty", "blank"])
def test_required_key_is_one_mistake_whether_absent_or_empty(empty: str | None) -> None:
    """Absent it comes with the advice, empty it is told to be."""
    ours = context()
    values = {} if empty is None else {"url": empty}
    t.Table(values, "server", ours).require("url", t.word, "set it")
    assert problems(ours) == {"server.url": "is missing (set it)" if empty is None else "is empty"}


def test_keys_nobody_took_are_reported_with_the_nearest_or_all_known() -> None:
    """A likely misspelling gets its correction; anything else the list of what there is, each once."""
    ours = context()
    table = t.Table({"alpha": "x", "alhpa": 1, "qqq": 2}, "", ours)
    table.take("beta", t.text, None)
    table.take("alpha", t.text, None)
    table.take("alpha", t.text, None)
    table.finish()
    assert problems(ours) == {
        "alhpa": "is not a known key (did you mean alpha?)",
        "qqq": "is not a known key (known here: alpha, beta)",
    }


def test_rejected_key_has_its_reason_and_is_not_unknown_too() -> None:
    """Only keys that are there are rejected."""
    ours = context()
    table = t.Table({"later": 1}, "signing", ours)
    table.reject({"later": "comes later", "never": "is not there"})
    table.finish()
    assert problems(ours) == {"signing.later": "comes later"}


def test_nested_table_has_a_dotted_path_and_may_be_absent() -> None:
    """An absent table is empty, and its keys are found under its path."""
    ours = context()
    outer = t.Table({"inner": {"x": 1}}, "", ours)
    outer.table("inner").take("x", t.text, None)
    outer.table("absent").require("y", t.text, "give it")
    assert "x" in outer.table("inner")
    assert "x" not in outer.table("absent")
    outer.finish()
    assert problems(ours) == {
        "inner.x": "must be text in quotes, not a number",
        "absent.y": "is missing (give it)",
    }


def test_template_that_fails_is_a_mistake_with_its_hint() -> None:
    """The hint of a template's error stays with it."""
    ours = context()
    t.Table({"a": "{{ gone }}"}, "x", ours).take("a", t.text, None)
    (found,) = ours.problems
    assert (found.where, found.hint) == ("x.a", "give it with --var NAME=VALUE")
    assert not isinstance(found, TemplateError)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner) | st.dictionaries(st.sampled_from(("env", "file", "command", "prompt", "x")), inner)


_DATES = st.datetimes() | st.dates() | st.times()
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | _DATES


@given(st.recursive(_SCALARS, _nested, max_leaves=4))
@settings(derandomize=True, database=None, deadline=None)
def test_any_value_is_converted_or_is_one_mistake(value: object) -> None:
    """No converter lets another exception out, whatever a TOML parser may hand it."""
    kinds: tuple[t.Convert[Any], ...] = (
        *(t.text, t.word, t.boolean, t.integer, t.moment, t.duration, t.uuid_text, t.path),
        *(t.one_of({"a": 1}), t.several(t.word), t.secret("k")),
    )
    for convert in kinds:
        ours = context()
        missing = object()
        found = t.Table({"k": value}, "", ours).take("k", convert, missing)
        assert (found is missing) == (len(ours.problems) == 1)


@pytest.mark.parametrize("offset", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_date_beyond_the_calendar_is_a_mistake(offset: str) -> None:
    """TOML's own date-times are held to the same bounds as text."""
    for value in (tomllib.loads(f"k = {offset}")["k"], offset):
        ours = context()
        t.Table({"k": value}, "", ours).take("k", t.moment, None)
        assert list(problems(ours)) == ["k"]


# --- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CN=device", (("CN", "device"),)),
        (" cn = device , o = Example Inc. ", (("CN", "device"), ("O", "Example Inc."))),
        ("/C=US/O=Example/CN=a,b", (("C", "US"), ("O", "Example"), ("CN", "a,b"))),
        ("O=a\\,b,CN=c/d", (("O", "a,b"), ("CN", "c/d"))),
        ("/O=a\\/b", (("O", "a/b"),)),
        ("CN=a=b", (("CN", "a=b"),)),
        ("2.5.4.3=x,0.9.2342.19200300.100.1.1=y", (("2.5.4.3", "x"), ("0.9.2342.19200300.100.1.1", "y"))),
    ],
)
def test_subject_is_read_in_both_spellings(text: str, expected: tuple[tuple[str, str], ...]) -> None:
    """Commas or slashes, with a backslash before one that belongs to the value; order and case of values stay."""
    assert parse_subject(text) == expected


@pytest.mark.parametrize("text", ["", "device", "CN", "CN=", "=x", "CN=a,,O=b", "CN=a,", "/", "/CN=a/", "CN=a,b"])
def test_subject_that_is_not_type_and_value_is_refused(text: str) -> None:
    """Every part needs both."""
    with pytest.raises(ValueError, match=r"is not TYPE=value|is not a name type"):
        parse_subject(text)


@pytest.mark.parametrize("name", [*SHORT_NAMES, "ou", "2.5.4.5", "1.2.840.113549.1.9.1"])
def test_name_type_that_devices_know_is_accepted(name: str) -> None:
    """Short names come out in capitals."""
    assert check_type(name) == name.upper()


@pytest.mark.parametrize("name", ["", "DC", "emailAddress", "2", "2.", ".5", "2.5.", "2..5", "2.5.4.x", "3 .4", "CN "])
def test_name_type_that_devices_do_not_know_is_refused(name: str) -> None:
    """Neither other short names nor broken OIDs."""
    with pytest.raises(ValueError, match="use C, ST, L, O, OU, CN or a dotted OID"):
        check_type(name)


def test_subject_becomes_apples_array_of_arrays_of_pairs() -> None:
    """One pair in an array of its own for each relative name."""
    assert subject_plist((("O", "a"), ("CN", "b"))) == [[["O", "a"]], [["CN", "b"]]]


# --- nearest ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "expected"),
    [("identifer", "identifier"), ("push_cert", "push_certificate"), ("URL", ""), ("zzz", "")],
)
def test_nearest_is_a_likely_misspelling_or_nothing(word: str, expected: str) -> None:
    """A word that is like none gets no far-fetched advice."""
    assert t.nearest(word, ["identifier", "push_certificate", "url"]) == expected
