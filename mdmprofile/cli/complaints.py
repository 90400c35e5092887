"""Errors as a person sees them, one line on standard error whatever bytes are in it, and as a script does."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import click

from mdmprofile.errors import MdmprofileError
from mdmprofile.printable import printable


def complain(message: str) -> None:
    """Print one line that begins with the program's name."""
    click.echo(f"mdmprofile: error: {printable(' '.join(message.split()))}", err=True)


def complain_in_format(error: MdmprofileError, words: Sequence[str]) -> None:
    """Give a program that reads standard output its own format there even when the run came to nothing.

    ``words`` are those of the command line. Raises ``OutputError``.
    """
    from mdmprofile.output import write_stdout  # noqa: PLC0415 - only for programs

    made = _FORMATS.get(_wanted(words))
    if made is not None:
        write_stdout(f"{made(error)}\n".encode("utf-8", "backslashreplace"))


def _wanted(words: Sequence[str]) -> str:
    """The format that was asked for; the command line itself may be what could not be read."""
    given = [each.removeprefix("--format=") for each in words if each.startswith("--format=")]
    given += [value for option, value in itertools.pairwise(words) if option == "--format"]
    return next((each for each in given if each in _FORMATS), "")


def _in_json(error: MdmprofileError) -> str:
    import json  # noqa: PLC0415 - only for scripts

    from mdmprofile.reports.model import errors_dict  # noqa: PLC0415

    return json.dumps({"findings": []} | errors_dict([error]), indent=2)


def _in_nagios(error: MdmprofileError) -> str:
    from mdmprofile.reports.nagios import failure  # noqa: PLC0415 - only for monitors

    return failure(error)


# The other formats have no word for a run that came to nothing.
_FORMATS: dict[str, Callable[[MdmprofileError], str]] = {"json": _in_json, "nagios": _in_nagios}
