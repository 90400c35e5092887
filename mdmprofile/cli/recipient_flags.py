"""The flags that say with which key an encrypted profile is opened; every command that reads one has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from mdmprofile.certificates import Identity
from mdmprofile.cli.params import FILE, Decorator, options
from mdmprofile.cli.session import ask

_FLAGS = (
    "recipient",
    "recipient_key",
    "recipient_key_password_file",
    "recipient_pkcs12",
    "recipient_pkcs12_password_file",
)

RECIPIENT_KEY_OPTIONS: Decorator = options(
    click.option("--recipient", type=FILE, help="Recipient's certificate, of an encrypted profile."),
    click.option("--recipient-key", "--key", type=FILE, help="Recipient's private key; not needed when in that file."),
    click.option("--recipient-key-password-file", type=FILE, help="File with the key's password."),
    click.option("--recipient-pkcs12", type=FILE, help="Recipient's certificate and key in one PKCS#12."),
    click.option("--recipient-pkcs12-password-file", type=FILE, help="File with the PKCS#12's password."),
)


def load_recipient(flags: dict[str, Any]) -> Identity | None:
    """The identity that the flags name, taken out of ``flags``; None when they name none.

    Raises ``click.UsageError`` where the flags contradict each other, and what ``recipients.load_recipient`` raises.
    """
    given = {name: flags.pop(name, None) for name in _FLAGS}
    if not any(given.values()):
        return None
    _refuse_contradictions(given)
    from mdmprofile import recipients  # noqa: PLC0415 - few profiles are encrypted
    from mdmprofile.secret import SecretSource  # noqa: PLC0415

    def password(name: str) -> SecretSource | None:
        return SecretSource("file", given[name], f"--{name.replace('_', '-')}") if given[name] else None

    files = recipients.RecipientFiles(
        certificate=given["recipient"],
        key=given["recipient_key"],
        key_password=password("recipient_key_password_file"),
        pkcs12=given["recipient_pkcs12"],
        pkcs12_password=password("recipient_pkcs12_password_file"),
    )
    return recipients.load_recipient(files, prompt=ask())


def _refuse_contradictions(given: Mapping[str, Any]) -> None:
    if given["recipient_pkcs12"] and (given["recipient"] or given["recipient_key"]):
        raise click.UsageError("--recipient-pkcs12 holds certificate and key; use it alone")
    if given["recipient_key_password_file"] and not (given["recipient"] or given["recipient_key"]):
        raise click.UsageError("--recipient-key-password-file is of no use without --recipient-key")
    if given["recipient_pkcs12_password_file"] and not given["recipient_pkcs12"]:
        raise click.UsageError("--recipient-pkcs12-password-file is of no use without --recipient-pkcs12")
