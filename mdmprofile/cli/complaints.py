"""Errors as a person sees them: one line on standard error, whatever bytes are in it."""

from __future__ import annotations

import click

from mdmprofile.printable import printable


def complain(message: str) -> None:
    """Print one line that begins with the program's name."""
    click.echo(f"mdmprofile: error: {printable(' '.join(message.split()))}", err=True)
