"""Dates and durations as users write them, and as reports show them."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta, timezone

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdmprofile.cli.params import DURATION, MOMENT, right_now
from mdmprofile.moments import as_utc, day, days_between, parse_duration, parse_moment, shift, spoken, stamp

BERLIN = timezone(timedelta(hours=2))
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
quick = settings(derandomize=True, database=None, deadline=None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2031-03-01", datetime(2031, 3, 1, tzinfo=UTC)),
        (" 2031-03-01\n", datetime(2031, 3, 1, tzinfo=UTC)),
        ("2031-03-01T12:30", datetime(2031, 3, 1, 12, 30, tzinfo=UTC)),
        ("2031-03-01 12:30:15", datetime(2031, 3, 1, 12, 30, 15, tzinfo=UTC)),
        ("2031-03-01T12:30:15Z", datetime(2031, 3, 1, 12, 30, 15, tzinfo=UTC)),
        ("2031-03-01T12:30:15+02:00", datetime(2031, 3, 1, 10, 30, 15, tzinfo=UTC)),
        ("2031-03-01T00:30:00+02:00", datetime(2031, 2, 28, 22, 30, tzinfo=UTC)),
        ("20310301", datetime(2031, 3, 1, tzinfo=UTC)),
        ("2032-02-29", datetime(2032, 2, 29, tzinfo=UTC)),
        ("0001-01-01", FIRST),
        ("9999-12-31", datetime(9999, 12, 31, tzinfo=UTC)),
    ],
)
def test_moment_is_read_as_utc(text: str, expected: datetime) -> None:
    """A date is its midnight in UTC, and an offset is worked in."""
    found = parse_moment(text)
    assert found == expected
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "2031", "2031-3-1", "01.03.2031", "03/01/2031", "2031-02-29", "2031-13-01", "2031-03-01T25:00"),
        *("2031-03-01T12:00+25:00", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "10000-01-01", "30d"),
    ],
)
def test_text_that_is_no_moment_is_told_what_one_looks_like(text: str) -> None:
    """Impossible dates and those beyond the calendar are refused in the same sentence."""
    with pytest.raises(ValueError, match="is not a date; write it as 2027-06-01 or 2027-06-01T12:00:00Z") as caught:
        parse_moment(text)
    assert repr(text) in str(caught.value)


@given(st.datetimes(timezones=st.just(UTC)))
@quick
def test_stamp_is_read_back_as_the_same_second(moment: datetime) -> None:
    """What a report shows can be given to a flag, in every year of the calendar."""
    assert parse_moment(stamp(moment)) == moment.replace(microsecond=0)
    assert parse_moment(day(moment)) == moment.replace(hour=0, minute=0, second=0, microsecond=0)


@given(st.text(max_size=30))
@quick
def test_any_text_is_a_moment_a_duration_or_a_value_error(text: str) -> None:
    """No other exception comes out, and what comes out is aware and bounded."""
    with contextlib.suppress(ValueError):
        assert parse_moment(text).tzinfo is UTC
    with contextlib.suppress(ValueError):
        assert timedelta() <= parse_duration(text) <= timedelta(days=36500)


@pytest.mark.parametrize(
    ("given_moment", "expected"),
    [
        (date(2031, 3, 1), datetime(2031, 3, 1, tzinfo=UTC)),
        (datetime(2031, 3, 1, 12), datetime(2031, 3, 1, 12, tzinfo=UTC)),  # noqa: DTZ001 - TOML's local date-times are naive
        (datetime(2031, 3, 1, 12, tzinfo=BERLIN), datetime(2031, 3, 1, 10, tzinfo=UTC)),
        (datetime(2031, 3, 1, 12, tzinfo=UTC), datetime(2031, 3, 1, 12, tzinfo=UTC)),
    ],
)
def test_any_date_becomes_aware_utc(given_moment: date, expected: datetime) -> None:
    """A naive one is taken to be UTC already."""
    assert as_utc(given_moment) == expected
    assert as_utc(given_moment).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45s", timedelta(seconds=45)),
        ("90m", timedelta(minutes=90)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        (" 30 d ", timedelta(days=30)),
        ("2w", timedelta(days=14)),
        ("1y", timedelta(days=365)),
        ("0d", timedelta()),
        ("100y", timedelta(days=36500)),
    ],
)
def test_duration_is_read_with_its_unit(text: str, expected: timedelta) -> None:
    """Seconds to years; a year has 365 days."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "+1d", "1.5d", "1d12h", "30 days", "30D", "P30D", "9999999s"])
def test_text_that_is_no_duration_is_told_what_one_looks_like(text: str) -> None:
    """A number without a unit is nobody's guess."""
    with pytest.raises(ValueError, match="is not a duration; write it as 30d or 12h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["101y", "36501d", "5300w", "999999h"])
def test_duration_is_at_most_a_century(text: str) -> None:
    """Beyond it, a slip is more likely than a plan."""
    with pytest.raises(ValueError, match="is longer than 100 years"):
        parse_duration(text)


def test_shift_stops_at_the_ends_of_the_calendar() -> None:
    """Certificates that never end say 9999-12-31, and a margin after that is still the last day."""
    assert shift(datetime(2031, 3, 1, tzinfo=UTC), timedelta(days=-1)) == datetime(2031, 2, 28, tzinfo=UTC)
    assert shift(datetime(9999, 12, 31, tzinfo=UTC), timedelta(days=30)) == LAST
    assert shift(datetime(1, 1, 2, tzinfo=UTC), timedelta(days=-30)) == FIRST


def test_moments_are_shown_in_utc() -> None:
    """The day of an offset is not the day in UTC, and years have four digits."""
    late = datetime(2031, 3, 1, 1, 30, 15, 999, tzinfo=BERLIN)
    assert (stamp(late), day(late)) == ("2031-02-28T23:30:15Z", "2031-02-28")
    assert (stamp(FIRST), day(FIRST)) == ("0001-01-01T00:00:00Z", "0001-01-01")
    assert (stamp(LAST), day(LAST)) == ("9999-12-31T23:59:59Z", "9999-12-31")


@pytest.mark.parametrize(("hours", "days"), [(0, 0), (23, 0), (24, 1), (47, 1), (-1, -1), (-24, -1), (-25, -2)])
def test_days_are_counted_down(hours: int, days: int) -> None:
    """A day that has begun does not count, and an end that is an hour past is a day past."""
    start = datetime(2031, 3, 1, tzinfo=UTC)
    assert days_between(start, start + timedelta(hours=hours)) == days


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (timedelta(days=30), "30 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=1, hours=23), "1 day"),
        (timedelta(hours=23, minutes=59), "23 hours"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(minutes=59), "59 minutes"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(), "0 days"),
        (timedelta(days=-2), "-2 days"),
        (timedelta(days=-1), "-1 day"),
    ],
)
def test_duration_is_spoken_in_its_largest_unit(duration: timedelta, expected: str) -> None:
    """One day is no plural."""
    assert spoken(duration) == expected


# --- as flags --------------------------------------------------------------------------------------------------


def test_flag_types_read_text_and_keep_what_is_read_already() -> None:
    """Click hands a default that is a value to the type as well."""
    moment, duration = datetime(2031, 3, 1, tzinfo=UTC), timedelta(days=30)
    assert MOMENT.convert("2031-03-01", None, None) == MOMENT.convert(moment, None, None) == moment
    assert DURATION.convert("30d", None, None) == DURATION.convert(duration, None, None) == duration


def test_flag_types_refuse_as_click_does() -> None:
    """The sentence becomes a usage error."""
    with pytest.raises(click.BadParameter, match="'x' is not a date"):
        MOMENT.convert("x", None, None)
    with pytest.raises(click.BadParameter, match="'x' is not a duration"):
        DURATION.convert("x", None, None)


def test_clock_is_aware_utc_and_between_two_looks_at_it() -> None:
    """Without ``--at`` the judgement is as of now."""
    before = datetime.now(UTC)
    found = right_now()
    assert before <= found <= datetime.now(UTC)
    assert found.tzinfo is UTC
