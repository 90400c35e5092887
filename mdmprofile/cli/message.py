"""``mdmprofile message``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import click

from mdmprofile.anchors import load_anchors
from mdmprofile.certificates import Certificate, Identity
from mdmprofile.cli.config_flags import SIGNER_OPTIONS, in_flags, signer_from
from mdmprofile.cli.params import AT, DURATION, FILE, MOMENT, report_options, right_now
from mdmprofile.cli.pins import ONE_STORE, PINS_OPTIONS, pin_facts, store_of
from mdmprofile.cli.session import Session, ask, with_session
from mdmprofile.cms.algorithms import DIGEST_IDS
from mdmprofile.device_messages import read_message
from mdmprofile.device_trust import DeviceTrust
from mdmprofile.errors import CertificateError, MessageError, MessageFormatError, PinError, SigningError
from mdmprofile.findings import Finding, Severity, by_severity, finding, has_errors
from mdmprofile.inputs import STDIN, read_file
from mdmprofile.materials import load_signer
from mdmprofile.message import CLOCK_SKEW, HEADER, MAX_HEADER, Signer, verify_mdm_signature
from mdmprofile.message_signing import sign_mdm_message
from mdmprofile.moments import day, stamp
from mdmprofile.output import STDOUT, write_one
from mdmprofile.output import place_of as place_of_output
from mdmprofile.pins import check_pin, unknown
from mdmprofile.propertylist import looks_like_plist
from mdmprofile.reports.model import View
from mdmprofile.twins import twin_of

# A device's answer with a list of apps or certificates has a few megabytes at most.
MAX_BODY = 64 * 1024 * 1024
_BODY = click.option("--body", type=FILE, required=True, help="The message's body, byte for byte; - for stdin.")


@click.group("message")
def command() -> None:
    """Verify the Mdm-Signature header of a device's message, or make one.

    \b
    Example:
      mdmprofile message verify --signature header.txt --body body.plist --ca device-ca.pem
    """


@command.command("verify", short_help="Tell who signed a message, and whether it is the device's own certificate.")
@click.option("--signature", type=FILE, required=True, help="The value of the Mdm-Signature header; - for stdin.")
@_BODY
@click.option("--ca", "authorities", multiple=True, metavar="CA", help="CA that issues the devices' identities.")
@click.option("--clock-skew", type=DURATION, help="What the device's clock may be off.  [default: 5m]")
@PINS_OPTIONS
@AT
@report_options("error")
@with_session
def verify(
    session: Session,
    signature: Path,
    body: Path,
    authorities: tuple[str, ...],
    clock_skew: timedelta | None,
    pins: Path | None,
    pins_url_env: str | None,
    at: datetime | None,
) -> int:
    """Tell who signed a message, and whether that is the device's own certificate.

    Without --ca only the signature is judged, not who issued the certificate and whether it is still valid. With
    --pins, which is made where it is absent, the device that the body names is held against its certificate:
    Authenticate makes or moves the pin, every other message has to match.

    \b
    Example:
      mdmprofile message verify --signature header.txt --body body.plist --ca device-ca.pem
      mdmprofile message verify --signature header.txt --body body.plist --ca device-ca.pem --pins pins.sqlite
    """
    now = at or right_now()
    skew = CLOCK_SKEW if clock_skew is None else clock_skew
    if signature == body == STDIN:
        raise click.UsageError("--signature and --body cannot both be read from standard input")
    if pins is not None and pins_url_env is not None:
        raise click.UsageError(ONE_STORE)
    trusted = load_anchors(authorities) if authorities else None
    header = _value(read_file(signature, limit=MAX_HEADER + 1024))
    content = read_file(body, limit=MAX_BODY)
    judged = _judge(header, content, trusted, skew, now)
    findings, sentences, pin = list(judged.findings), list(judged.sentences), None
    # A message that is refused already is no reason to pin anything, nor to make a file.
    if (pins is not None or pins_url_env is not None) and judged.signer and not has_errors(findings):
        device = read_message(content)
        issuer = judged.path[1] if judged.path else None
        twin = twin_of(judged.signer.certificate, issuer) if issuer else ""
        try:
            if pins is not None and not device.authenticates and not os.path.lexists(pins):
                # Without pins there is none of this device; a message that is refused makes no file.
                raise unknown(device.identifier)
            with store_of(pins, pins_url_env, create=True) as store:
                pin = check_pin(store, device, judged.signer.sha256, at=now, twin=twin)
            sentences.append(f"  {device.identifier} has this certificate since {stamp(pin.since)}")
        except PinError as error:
            findings.append(_finding(error))
    if has_errors(findings):
        sentences.append("the message is refused")
    view = View(
        now=now,
        findings=by_severity(findings),
        files=sentences,
        extra={"signer": _facts(judged), "pin": pin_facts(pin) if pin else None},
    )
    return session.finish(view)


@command.command("sign", short_help="Make the header that a device would send with a message.")
@_BODY
@SIGNER_OPTIONS
@click.option("--digest", type=click.Choice(list(DIGEST_IDS)), default="sha1", show_default=True, help="Digest.")
@click.option("--signing-time", type=MOMENT, help="Sign attributes with this time, as tvOS does.  [default: none]")
@click.option("--der", is_flag=True, help="Encode in DER.  [default: BER with indefinite lengths, as devices do]")
@click.option("-o", "--output", type=FILE, default=STDOUT, help="Where the header's value goes.  [default: stdout]")
@report_options("error")
@with_session
def sign(
    session: Session,
    body: Path,
    digest: str,
    signing_time: datetime | None,
    der: bool,
    output: Path,
    **flags: Any,  # noqa: ANN401 - the signer's flags
) -> int:
    """Make the Mdm-Signature header that a device would send with a message.

    By default it has the shape of macOS: SHA-1 over the body, BER, no signed attributes. It is for simulators, and to
    try a server; --signer is the device's identity.

    \b
    Example:
      mdmprofile message sign --body body.plist --signer device.pem --signer-key device.key > header.txt
      mdmprofile message sign --body body.plist --signer-pkcs12 device.p12 \\
        --signer-pkcs12-password-file device.password.txt --signing-time 2027-06-01T12:00:00Z -o header.txt
    """
    session.keep_stdout_free(output)
    settings = signer_from(flags)
    content = read_file(body, limit=MAX_BODY)
    with in_flags():
        signer = load_signer(settings, prompt=ask())
    if not isinstance(signer, Identity):
        raise SigningError(
            "--signer-cms-command signs profiles", hint="give --signer with --signer-key, or --signer-pkcs12"
        )
    header = sign_mdm_message(content, signer, digest=digest, signing_time=signing_time, ber=not der)
    write_one(output, header.encode() + b"\n")
    to_stderr = output == STDOUT
    files = [] if to_stderr else [f"wrote {place_of_output(output)} (signed by {signer.certificate.name})"]
    return session.finish(View(now=right_now(), findings=[], files=files), to_stderr=to_stderr)


class _Judged(NamedTuple):
    """What is known of a message: the signer where there is one, and the path to a trusted CA."""

    signer: Signer | None
    path: tuple[Certificate, ...] | None
    findings: tuple[Finding, ...]
    sentences: tuple[str, ...]


def _judge(
    header: bytes, body: bytes, trusted: Sequence[Certificate] | None, skew: timedelta, now: datetime
) -> _Judged:
    findings: list[Finding] = []
    path = None
    try:
        signer = verify_mdm_signature(header, body, clock_skew=skew)
    except MessageFormatError:
        raise
    except MessageError as error:
        return _Judged(None, None, (_finding(error),), ())
    findings += signer.findings
    if trusted is None:
        message = "the signature was judged, not who issued the certificate, nor whether it is still valid"
        hint = "name the CA that issues the devices' identities with --ca"
        findings.append(
            finding("signature.trust-not-judged", message, where=HEADER, hint=hint, severity=Severity.WARNING)
        )
    else:
        try:
            path = DeviceTrust(trusted, clock_skew=skew).judge(signer, now=now)
        except MessageError as error:
            findings.append(_finding(error))
            if not _is_readable(signer):
                return _Judged(None, None, tuple(findings), ())
    return _Judged(signer, path, tuple(findings), tuple(_sentences(signer, path)))


def _is_readable(signer: Signer) -> bool:
    """Whether there is something to say of the certificate."""
    try:
        return bool(signer.certificate)
    except CertificateError:
        return False


def _value(data: bytes) -> bytes:
    """The header's value, where somebody copied its name too. Raises ``MessageFormatError`` for the usual mix-ups."""
    if looks_like_plist(data):
        raise MessageFormatError("is a property list", where="--signature", hint="are --signature and --body swapped?")
    if data.lstrip().startswith(b"-----BEGIN"):
        hint = "give the header's value alone, without the lines that begin with dashes"
        raise MessageFormatError("is in PEM", where="--signature", hint=hint)
    name, colon, value = data.partition(b":")
    return value if colon and name.strip().lower() == HEADER.lower().encode() else data


def _finding(error: MessageError) -> Finding:
    return finding(error.rule, error.message, where=error.where, hint=error.hint)


def _sentences(signer: Signer, path: Sequence[Certificate] | None) -> Iterator[str]:
    """Who signed, in one line, and below it what was signed and the path to trust."""
    certificate = signer.certificate
    when = f", signed {stamp(signer.signing_time)}" if signer.signing_time else ""
    yield f"signed by {certificate.subject or certificate.name}: intact; {signer.digest}{when}"
    yield f"  sha256 {signer.sha256}"
    yield f"  valid from {day(certificate.not_before)} to {day(certificate.not_after)}"
    yield f"  {signer.signature_algorithm}; signed attributes: {', '.join(signer.signed_attributes) or 'none'}"
    if path:
        yield f"  path to a trusted certificate: {' > '.join(each.name for each in path)}"


def _facts(judged: _Judged) -> dict[str, Any] | None:
    """The signer in the JSON report; ``chain`` is null where trust was not judged, or not found."""
    signer = judged.signer
    if signer is None:
        return None
    certificate = signer.certificate
    return {
        "subject": certificate.subject,
        "sha256": signer.sha256,
        "not_before": stamp(certificate.not_before),
        "not_after": stamp(certificate.not_after),
        "digest": signer.digest,
        "signature_algorithm": signer.signature_algorithm,
        "signed_attributes": list(signer.signed_attributes),
        "signing_time": stamp(signer.signing_time) if signer.signing_time else None,
        "chain": [each.subject for each in judged.path] if judged.path else None,
    }
