"""``mdmprofile show``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.serialization import Encoding

from mdmprofile.anchors import load_anchors
from mdmprofile.cli.params import AT, FILE, report_options, right_now
from mdmprofile.cli.recipient_flags import RECIPIENT_KEY_OPTIONS, load_recipient
from mdmprofile.cli.session import Session, with_session
from mdmprofile.cms.trust import judge_trust
from mdmprofile.errors import ProfileError
from mdmprofile.findings import Finding, by_severity, finding
from mdmprofile.inputs import MAX_PROFILE, STDIN, read_file
from mdmprofile.inspection import NOT_VALID, UNVERIFIED, Inspection, ShownPayload, inspect
from mdmprofile.output import place_of, write_one, write_stdout
from mdmprofile.payloads import types
from mdmprofile.profile import Profile
from mdmprofile.public import public_roots
from mdmprofile.reader import OpenedProfile, judge_signature, open_profile
from mdmprofile.reports.inspection import NOT_AUTHENTIC, as_dict, sections
from mdmprofile.reports.model import View

_DER_SUFFIXES = (".der", ".cer")


@click.command("show")
@click.argument("file", type=FILE)
@click.option(
    "--trust",
    "anchors",
    multiple=True,
    metavar="CA|system",
    help="What the device trusts; repeatable.  [default: system, the public roots]",
)
@click.option("--reveal", is_flag=True, help="Show challenges, passwords and PKCS#12 contents too.")
@click.option("--payload", "chosen", metavar="N", help="Only this payload: its number, identifier or UUID.")
@click.option("--extract", type=FILE, help="Write that payload's content into a file; - for stdout.")
@RECIPIENT_KEY_OPTIONS
@AT
@report_options("error", "plist")
@with_session
def command(
    session: Session,
    file: Path,
    anchors: tuple[str, ...],
    reveal: bool,
    chosen: str | None,
    extract: Path | None,
    at: datetime | None,
    **flags: Any,  # noqa: ANN401 - the recipient's flags
) -> int:
    """Show what is inside a profile, signed, encrypted or neither.

    First how a device would show it (Verified, Unverified or Not signed), then its signer, keys, payloads and
    certificates, and which payload refers to which. Secrets are masked. A certificate is extracted in PEM, into .cer
    and .der files in DER; a PKCS#12 as it is.

    \b
    Example:
      mdmprofile show enroll.mobileconfig --trust pki/root.pem
      mdmprofile show enroll.mobileconfig --payload 1 --extract root.pem
      mdmprofile show signed.mobileconfig --format plist | less
      mdmprofile show encrypted.mobileconfig --recipient device.pem --recipient-key device.key
    """
    now = at or right_now()
    if extract is not None and chosen is None:
        raise click.UsageError("--extract needs --payload N: which payload's content?")
    session.keep_stdout_free(extract)
    source = "standard input" if file == STDIN else str(file)
    trusted = load_anchors(anchors) if anchors else public_roots()
    data = read_file(file, limit=MAX_PROFILE)
    recipient = load_recipient(flags)
    try:
        opened = open_profile(data, source=source, recipient=recipient)
    except ProfileError as error:
        # A change can break the property list too; that must not hide the broken signature.
        broken = [_within(source, each) for each in judge_signature(data, source=source)]
        return session.finish(View(now=now, findings=by_severity(broken), errors=[error]))
    shown = inspect(opened, trusted, now=now, reveal=reveal)
    findings = list(opened.findings)
    if opened.signature is not None and anchors:
        findings += judge_trust(opened.signature, trusted, at=now)
    elif shown.status == UNVERIFIED:
        findings.append(_trust_not_judged())
        shown = shown._replace(
            reason=f"{shown.reason}, as far as public roots go; --trust CA adds what the device trusts"
        )
    if chosen is not None:
        shown = shown._replace(payloads=(_chosen(shown, chosen, source),))
    warned = [NOT_AUTHENTIC] if shown.status == NOT_VALID else []
    view = View(now=now, findings=by_severity([_within(source, each) for each in findings]), files=warned)
    if extract is not None:
        return _extract(session, opened, shown, extract, view)
    if session.report_format == "plist":
        write_stdout(_plist(shown, whole=chosen is None))
        return session._replace(report_format="text").finish(view, to_stderr=True)
    return session.finish(view._replace(sections=sections(shown), extra=as_dict(shown), files=()))


def _trust_not_judged() -> Finding:
    return finding(
        "signature.trust-not-judged",
        "the signer leads to no public root; a device that trusts other roots may show the profile as verified",
        where="signature",
    )


def _within(source: str, found: Finding) -> Finding:
    return found._replace(where=f"{source}: {found.where}")


def _chosen(shown: Inspection, wanted: str, source: str) -> ShownPayload:
    """The payload of that number, identifier or UUID."""
    for each in shown.payloads:
        names = (str(each.number), each.text("PayloadIdentifier"), each.text("PayloadUUID"))
        if wanted.casefold() in (name.casefold() for name in names):
            return each
    there = f"it has payloads 1 to {len(shown.payloads)}" if shown.payloads else "it shows no payloads"
    hint = there if shown.decrypted else "its payloads are encrypted: give --recipient and --recipient-key"
    raise ProfileError(f"has no payload {wanted!r}", where=source, hint=hint)


def _extract(session: Session, opened: OpenedProfile, shown: Inspection, target: Path, view: View) -> int:
    (payload,) = shown.payloads
    content = dict(opened.profile.entries)[payload.path].get("PayloadContent")
    if not isinstance(content, bytes):
        raise ProfileError(
            f"payload {payload.number} is {payload.kind or 'without a type'} and holds no certificate",
            where=f"{opened.source}: {payload.path}",
            hint="choose a certificate payload; mdmprofile show lists them",
        )
    is_certificate = payload.kind in types.CERTIFICATES and bool(payload.certificates)
    if is_certificate:
        found = [each.certificate for each in payload.certificates]
        encoding = Encoding.DER if target.suffix.lower() in _DER_SUFFIXES and len(found) == 1 else Encoding.PEM
        content = b"".join(each.parsed.public_bytes(encoding) for each in found)
    write_one(target, content, private=not is_certificate)
    named = ", ".join(each.certificate.name for each in payload.certificates) or payload.kind
    line = f"wrote {place_of(target)} ({len(content):,} bytes): {named}"
    return session.finish(view._replace(files=[*view.files, line]), to_stderr=target == STDIN)


def _plist(shown: Inspection, *, whole: bool) -> bytes:
    """The profile, or the chosen payload alone, as an XML property list."""
    text = Profile(shown.plist if whole else shown.payloads[0].keys).to_bytes().decode("utf-8")
    # As references: a profile's text could steer the terminal that this is read in.
    return "".join(each if each.isprintable() or each in "\t\n" else f"&#{ord(each)};" for each in text).encode("utf-8")
