"""Dates and durations as users write them, and as reports show them; always UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_DURATION = r"(\d{1,6})\s*(s|m|h|d|w|y)"
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}
_LONGEST = timedelta(days=365 * 100)
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)


def parse_moment(text: str) -> datetime:
    """Read an ISO 8601 date (midnight UTC) or date and time (UTC unless it names an offset).

    Raises ``ValueError`` with a sentence that says what is expected.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        return as_utc(moment)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date; write it as 2027-06-01 or 2027-06-01T12:00:00Z") from None


def as_utc(moment: datetime | date) -> datetime:
    """Make any date or date-time an aware UTC one; a naive one is taken to be UTC already."""
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_duration(text: str) -> timedelta:
    """Read a duration such as ``30d``, ``12h``, ``90m``, ``2w`` or ``1y`` (365 days).

    Raises ``ValueError`` with a sentence that says what is expected.
    """
    match = re.fullmatch(_DURATION, text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write it as 30d or 12h")
    amount = int(match[1])
    unit = _UNITS[match[2]]
    if amount > _LONGEST // unit:
        raise ValueError(f"{text!r} is longer than 100 years")
    return amount * unit


def shift(moment: datetime, by: timedelta) -> datetime:
    """Add ``by`` to ``moment``, stopping at the calendar's ends.

    Certificates may say 9999-12-31 (RFC 5280 section 4.1.2.5), where plain addition would overflow.
    """
    try:
        return moment + by
    except OverflowError:
        return _LATEST if by > timedelta() else _EARLIEST


def stamp(moment: datetime) -> str:
    """The date and time in ISO 8601 with seconds, ``2027-06-01T12:00:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def day(moment: datetime) -> str:
    """The date in ISO 8601, ``2027-06-01``."""
    return moment.astimezone(UTC).date().isoformat()


def days_between(start: datetime, end: datetime) -> int:
    """Whole days from ``start`` to ``end``, rounded down; negative when ``end`` came first."""
    return (end - start).days


def calendar_days(start: datetime, end: datetime) -> timedelta:
    """Whole days of the calendar in UTC, as whoever reads both dates counts them."""
    return as_utc(end).date() - as_utc(start).date()


def ago(moment: datetime, now: datetime) -> str:
    """How many days of the calendar ago it was: ``12 days ago``."""
    return f"{spoken(calendar_days(moment, now))} ago"


def spoken(duration: timedelta) -> str:
    """A duration as a person says it: ``30 days``, ``1 day``, ``12 hours``."""
    if abs(duration) >= timedelta(days=1) or not duration:
        count, unit = duration.days, "day"
    elif abs(duration) >= timedelta(hours=1):
        count, unit = int(duration.total_seconds() // 3600), "hour"
    elif abs(duration) >= timedelta(minutes=1):
        count, unit = int(duration.total_seconds() // 60), "minute"
    else:
        count, unit = int(duration.total_seconds()), "second"
    return f"{count} {unit}" if abs(count) == 1 else f"{count} {unit}s"
