"""Option types and option groups that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from mdmprofile.moments import parse_duration, parse_moment

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Moment(click.ParamType[datetime]):
    """An ISO 8601 date or date-time."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401
        """An aware UTC time."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Duration(click.ParamType[timedelta]):
    """A duration such as 30d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ANN401
        """A time difference."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


MOMENT, DURATION = Moment(), Duration()
FILE = click.Path(path_type=Path)


def right_now() -> datetime:
    """The clock: the only place that reads it for a judgement."""
    return datetime.now(UTC)


def options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, shown in the order given."""

    def decorate(function: F) -> F:
        for each in reversed(decorators):
            function = each(function)
        return function

    return decorate


def report_options(fail_on: str, *more: str) -> Callable[[F], F]:
    """Format, colour, quietness and the severity from which the exit code is not 0; ``more`` are further formats."""
    return options(
        click.option(
            "--format",
            "report_format",
            type=click.Choice(["text", "json", *more]),
            default="text",
            show_default=True,
            help="Format of the report.",
        ),
        click.option(
            "--fail-on",
            type=click.Choice(["warning", "error"]),
            default=fail_on,
            show_default=True,
            help="The least severity that makes the exit code 1 or 2.",
        ),
        click.option(
            "--color",
            "colour",
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            show_default=True,
            help="Colour the report; NO_COLOR is honoured.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Print nothing unless something was found."),
        click.option("-v", "--verbose", is_flag=True, help="Say where each rule is written."),
    )


AT = click.option("--at", type=MOMENT, help="Judge as if it were this date.")
END_OPTIONS: Decorator = options(
    click.option("--warn", type=DURATION, help="Warn about ends within this time.  [default: 30d]"),
    click.option("--critical", type=DURATION, help="Ends within this time are errors.  [default: 7d]"),
)
DATE_OPTIONS: Decorator = options(
    click.option("--replace-on", type=MOMENT, help="The planned replacement of the profile."),
    click.option("--margin", type=DURATION, help="Safety margin after the replacement.  [default: 30d]"),
    END_OPTIONS,
    AT,
)
