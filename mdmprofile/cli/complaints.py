"""Errors as a person sees them, one line on standard error whatever bytes are in it, and as a script does."""

from __future__ import annotations

import click

from mdmprofile.errors import MdmprofileError
from mdmprofile.printable import printable


def complain(message: str) -> None:
    """Print one line that begins with the program's name."""
    click.echo(f"mdmprofile: error: {printable(' '.join(message.split()))}", err=True)


def complain_in_json(error: MdmprofileError) -> None:
    """Print a JSON report that holds the error alone."""
    import json  # noqa: PLC0415 - only for scripts

    from mdmprofile.output import write_stdout  # noqa: PLC0415
    from mdmprofile.reports.model import errors_dict  # noqa: PLC0415

    write_stdout((json.dumps({"findings": []} | errors_dict([error]), indent=2) + "\n").encode("utf-8"))
