"""``mdmprofile identity``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
from cryptography.hazmat.primitives.serialization import Encoding

from mdmprofile import tables as t
from mdmprofile.certificates import Certificate
from mdmprofile.cli.config_flags import parse_variables
from mdmprofile.cli.issuer_flags import CA_FLAGS, CA_OPTIONS, issuer_in_flags, issuing_tables
from mdmprofile.cli.params import AT, DURATION, FILE, report_options, right_now
from mdmprofile.cli.session import Session, ask, with_session
from mdmprofile.config_file import ConfigTables
from mdmprofile.config_identity import IssuedSettings
from mdmprofile.config_issuing import issuing_settings
from mdmprofile.errors import OutputError
from mdmprofile.findings import by_severity, has_errors
from mdmprofile.identities import Issuer, judge_issuer
from mdmprofile.inputs import is_same, place_of, read_file
from mdmprofile.loader import Loader
from mdmprofile.materials import load_issuer
from mdmprofile.moments import stamp
from mdmprofile.output import STDOUT, Pending, refuse_existing, write_all, write_stdout
from mdmprofile.output import place_of as place_of_output
from mdmprofile.reports.model import Line, Section, View, facts
from mdmprofile.signing_requests import MAX_REQUEST
from mdmprofile.sources import Sources
from mdmprofile.templating import Render, renderer

# What a request has decided already, or has no place for.
_NOT_WITH_REQUEST = ("key", "pkcs12_encryption", "password_file")
_BESIDE = ".password.txt"
_SUFFIXES = (".p12", ".pfx")


@click.group("identity")
def command() -> None:
    """Issue device identities from your own CA.

    \b
    Example:
      mdmprofile identity issue --ca ca.pem --ca-key ca.key --subject CN=C02XK1ZGJG5M -o device.p12
    """


@command.command("issue", short_help="Issue one device's identity as a PKCS#12, or sign its request.")
@click.option("-c", "--config", type=FILE, help="Config whose [identity] names the CA.  [default: enroll.toml]")
@CA_OPTIONS
@click.option("--key", help="rsa2048, rsa3072, rsa4096, p256 or p384.  [default: rsa2048]")
@click.option("--validity", type=DURATION, help="How long it is valid, for example 365d.  [default: 365d]")
@click.option("--subject", help="Subject, for example CN=C02XK1ZGJG5M,O=Example.  [default: the UDID or serial number]")
@click.option("--dns-name", multiple=True, help="DNS name in subjectAltName; repeatable.")
@click.option("--email", multiple=True, help="E-mail address in subjectAltName; repeatable.")
@click.option("--uri", multiple=True, help="URI in subjectAltName; repeatable.")
@click.option("--principal-name", help="User principal name in subjectAltName.")
@click.option("--var", "variables", metavar="NAME=VALUE", multiple=True, help="Template variable; repeatable.")
@click.option("--csr", type=FILE, help="Sign this request instead, of a key that stays where it is; - for stdin.")
@click.option("--pkcs12-encryption", help="compatible, or modern (macOS 14 on).  [default: compatible]")
@click.option("--password-file", type=FILE, help="File with the password to encrypt with.  [default: a fresh one]")
@click.option("-o", "--output", type=FILE, required=True, help="Where the PKCS#12, or certificate, goes; - for stdout.")
@click.option(
    "--password-output",
    type=FILE,
    help="Where the fresh password goes; - for stdout.  [default: beside the PKCS#12, as .password.txt]",
)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@AT
@report_options("error")
@with_session
def issue(
    session: Session,
    config: Path | None,
    variables: tuple[str, ...],
    csr: Path | None,
    output: Path,
    password_output: Path | None,
    force: bool,
    at: datetime | None,
    **flags: Any,  # noqa: ANN401 - one per config key
) -> int:
    """Issue one device's identity: a fresh key and its certificate as a PKCS#12.

    The PKCS#12 is encrypted with a fresh password, which goes into a file of its own beside it. With --csr a device's
    own request (PKCS#10) is signed instead, and the result is a certificate in PEM. Nothing that is issued outlives
    the CA, and what is there already is not overwritten.

    \b
    Example:
      mdmprofile identity issue --var device.serial=C02XK1ZGJG5M -o C02XK1ZGJG5M.p12
      mdmprofile identity issue --ca ca.pem --ca-key ca.key --subject CN=C02XK1ZGJG5M -o device.p12
      mdmprofile identity issue --ca-pkcs12 ca.p12 --ca-pkcs12-password-file pw --key p256 \\
        --subject CN=mac-1,O=Example --dns-name mac-1.example.com --validity 180d -o mac-1.p12
      mdmprofile identity issue --ca ca.pem --ca-command 'openssl dgst -sha256 -sign ca.key' \\
        --csr request.pem -o device.pem
    """
    now = at or right_now()
    for each in (output, password_output):
        session.keep_stdout_free(each)
    to_stderr = STDOUT in (output, password_output)
    if csr is not None:
        _refuse_with_request(flags)
    render = renderer(parse_variables(variables))
    tables = issuing_tables(config, flags)
    with issuer_in_flags(alone=tables.source == "flags"):
        names = CA_FLAGS if tables.source == "flags" else None
        settings = issuing_settings(tables, render, names=names, request=csr is not None)
        secret = _place_of_password(output, password_output, settings, request=csr is not None)
        _refuse_to_overwrite([output, secret], [csr, config, *_paths(settings)], force=force)
        ca = load_issuer(settings, prompt=ask())
        findings = by_severity(judge_issuer(ca, settings.wanted, now=now, available=_trusted(tables, render)))
        if has_errors(findings):
            view = View(now=now, findings=findings, files=["Nothing was written."], extra={"artifacts": []})
            return session.finish(view, to_stderr=to_stderr)
        issuer = Issuer(ca, settings.wanted, now=now)
        made = _signed(issuer, settings, csr, output) if csr is not None else _issued(issuer, settings, output, secret)
    _write(made.files.values())
    view = View(
        now=now,
        findings=findings,
        sections=[_section(made.certificate)],
        files=[f"wrote {place_of_output(each.path)} ({_what(kind, each)})" for kind, each in made.files.items()],
        extra={
            "certificate": facts(made.certificate),
            "artifacts": [{"kind": kind, "path": str(each.path)} for kind, each in made.files.items()],
        },
    )
    return session.finish_written(view, to_stderr=to_stderr)


class _Made(NamedTuple):
    """A certificate, and the files to write by what they are."""

    certificate: Certificate
    files: Mapping[str, Pending]


def _issued(issuer: Issuer, settings: IssuedSettings, output: Path, secret: Path | None) -> _Made:
    password = settings.password.fetch(ask()) if settings.password else None
    identity = issuer.issue(settings.subject, settings.subject_alt_name, password=password)
    files = {"identity": Pending(output, identity.data, private=True)}
    if secret is not None:
        files["password"] = Pending(secret, f"{identity.password}\n".encode(), private=True)
    return _Made(identity.certificate, files)


def _signed(issuer: Issuer, settings: IssuedSettings, csr: Path, output: Path) -> _Made:
    request = read_file(csr, limit=MAX_REQUEST)
    certificate = issuer.sign_request(
        request, settings.subject or None, settings.subject_alt_name, source=place_of(csr)
    )
    return _Made(certificate, {"certificate": Pending(output, certificate.parsed.public_bytes(Encoding.PEM))})


def _write(files: Collection[Pending]) -> None:
    write_all([each for each in files if each.path != STDOUT])
    for each in files:
        if each.path == STDOUT:
            write_stdout(each.data)


def _section(certificate: Certificate) -> Section:
    lines = (
        f"SHA-256 {certificate.sha256}",
        f"valid from {stamp(certificate.not_before)} to {stamp(certificate.not_after)}",
        f"issued by {certificate.issuer}",
    )
    return Section(certificate.subject, [Line(each) for each in lines])


def _what(kind: str, file: Pending) -> str:
    """What the report says of a file; how long a password is, is nobody's business."""
    content = "the password of the PKCS#12" if kind == "password" else f"{len(file.data):,} bytes"
    return f"{content}{', readable by you alone' if file.private and file.path != STDOUT else ''}"


def _refuse_with_request(flags: Mapping[str, Any]) -> None:
    given = [f"--{each.replace('_', '-')}" for each in _NOT_WITH_REQUEST if flags[each] is not None]
    if given:
        raise click.UsageError(f"{' and '.join(given)} belong to a fresh key; with --csr the key stays where it is")


def _place_of_password(output: Path, named: Path | None, settings: IssuedSettings, *, request: bool) -> Path | None:
    """Where a fresh password goes; None where there is none."""
    if request or settings.password is not None:
        if named is not None:
            reason = "a request has none" if request else "there is a given one"
            raise click.UsageError(f"--password-output is for a fresh password, and {reason}")
        return None
    if named is None and output == STDOUT:
        raise click.UsageError("-o - leaves no name for the password's file; give --password-output or --password-file")
    if named == output:
        raise click.UsageError("-o and --password-output are the same; the password needs a place of its own")
    if named is not None:
        return named
    return output.with_name(f"{output.stem if output.suffix.lower() in _SUFFIXES else output.name}{_BESIDE}")


def _refuse_to_overwrite(targets: Iterable[Path | None], inputs: Iterable[Path | None], *, force: bool) -> None:
    """What is there stays there without ``--force``, and what is read from always."""
    read = [each for each in inputs if each is not None]
    written = [each for each in targets if each is not None and each != STDOUT]
    for each in written:
        if any(is_same(each, other) for other in read):
            raise OutputError("is read from", where=str(each), hint="choose another name: it would be lost")
    if not force:
        refuse_existing(written)


def _paths(settings: IssuedSettings) -> list[Path | None]:
    return [settings.ca.certificate, settings.ca.key, settings.ca.pkcs12]


def _trusted(tables: ConfigTables, render: Render) -> tuple[Certificate, ...]:
    """The config's trust certificates, which may be above the CA; what is wrong with them is for build to say."""
    context = t.Context(tables.base, render, lenient=True)
    table = t.Table(tables.values.get("trust", {}), "trust", context)
    return Loader(Sources()).certificates(table.take("certificates", t.several(t.path), ()))
