"""An inspected profile as sections for people and as JSON."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from mdmprofile.certificates import Certificate
from mdmprofile.inspection import (
    NOT_VALID,
    VERIFIED,
    Inspection,
    ShownCertificate,
    ShownPayload,
    ShownSigner,
)
from mdmprofile.masking import MASK
from mdmprofile.moments import as_utc, day, stamp
from mdmprofile.payloads import types
from mdmprofile.reports.model import Line, Section, facts

NOT_AUTHENTIC = "NOT AUTHENTIC: this is not what a signer is known to have signed"

_COMMON = ("PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName")
_LONGEST = 400
_MOST_LINES = 150
_ENTITLED = ("PayloadContent", "EncryptedPayloadContent")


def sections(shown: Inspection) -> list[Section]:
    """The status first, then the signature, the profile's own keys, and a section a payload."""
    top = _top(shown)
    title = "  ".join(filter(None, (_text(top.get("PayloadDisplayName")), _text(top.get("PayloadIdentifier")))))
    signers = [line for each in shown.signers for line in _signer(each)]
    return [
        Section(title or "A profile without a name", _status(shown)),
        *([Section("Signature", signers)] if signers else []),
        Section("Profile", [Line(each) for each in _limited(_rows(top))]),
        *(_payload(each) for each in shown.payloads),
        *(
            [Section("Payloads", [Line("encrypted: give the recipient's key to see them", "warn")])]
            if not shown.decrypted
            else []
        ),
    ]


def as_dict(shown: Inspection) -> dict[str, Any]:
    """The JSON report beside the findings; data in base64, dates in ISO 8601 UTC."""
    return {
        "status": shown.status,
        "reason": shown.reason,
        "signed": bool(shown.signers),
        "encrypted": shown.encrypted,
        "recipients": list(shown.recipients),
        "signers": [_signer_dict(each) for each in shown.signers],
        "profile": {key: _plain(value) for key, value in _top(shown).items()},
        "payloads": [_payload_dict(each) for each in shown.payloads],
    }


def _top(shown: Inspection) -> dict[str, Any]:
    """The profile's own keys: all but the payloads, which are shown by themselves where they are an array."""
    return {key: value for key, value in shown.plist.items() if key not in _ENTITLED or isinstance(value, Mapping)}


def _status(shown: Inspection) -> list[Line]:
    style = {VERIFIED: "good", NOT_VALID: "bad"}.get(shown.status, "warn")
    lines = [Line(f"{shown.status}: {shown.reason}", style)]
    if shown.status == NOT_VALID:
        lines.insert(0, Line(NOT_AUTHENTIC, "bad"))
    if shown.encrypted:
        lines.append(Line("Encrypted" + (", opened with the recipient's key" if shown.decrypted else "")))
        lines += [Line(f"for {each}") for each in shown.recipients]
    return lines


def _signer(found: ShownSigner) -> Iterable[Line]:
    signer = found.signer
    when = f", signed {stamp(signer.signing_time)}" if signer.signing_time else ""
    if signer.certificate is None:
        yield Line(f"signed by somebody whose certificate is not embedded; {signer.digest}{when}", "bad")
        return
    yield Line(f"signed by {signer.certificate.subject or signer.certificate.name}; {signer.digest}{when}")
    if signer.problem:
        yield Line(f"NOT VALID: {signer.problem}", "bad")
    yield Line(f"{_validity(signer.certificate)}; sha256 {signer.certificate.sha256}", "dim")
    if found.chain:
        yield Line(f"chain: {' > '.join(each.name for each in found.chain)}")
    elif found.distrust:
        yield Line(f"chain: {found.distrust}", "warn")


def _payload(payload: ShownPayload) -> Section:
    name = payload.text("ServerURL") if payload.kind == types.MDM else payload.text("PayloadDisplayName")
    names = "  ".join(_cut(payload.text(key)) for key in ("PayloadIdentifier", "PayloadUUID"))
    lines = [Line(f"{names}  ({payload.path})", "dim")]
    lines += [_certificate(each) for each in payload.certificates]
    lines += [Line(payload.problem, "warn")] if payload.problem else []
    lines += [
        Line(f"{each.key} is payload {each.number}, {each.kind or 'without a type'}") for each in payload.references
    ]
    named = {each.key for each in payload.references}
    keys = {key: value for key, value in payload.keys.items() if key not in (*_COMMON, *named)}
    if payload.certificates and isinstance(keys.get("PayloadContent"), bytes):
        del keys["PayloadContent"]
    lines += [Line(each) for each in _limited(_rows(keys))]
    if payload.referred_by:
        lines.append(Line(f"referred to by payload {', '.join(map(str, payload.referred_by))}"))
    return Section(f"{payload.number}. {_cut(payload.kind) or 'no PayloadType'}  {_cut(name)}".rstrip(), lines)


def _certificate(found: ShownCertificate) -> Line:
    certificate = found.certificate
    name = certificate.subject or certificate.name
    return Line(f"{found.role} {name}; {_validity(certificate)}; sha256 {certificate.sha256}")


def _validity(certificate: Certificate) -> str:
    return f"{day(certificate.not_before)} to {day(certificate.not_after)}"


def _rows(keys: Mapping[str, Any], indent: str = "") -> Iterable[str]:
    """One line a value; dictionaries and lists of them a level further in."""
    for name, value in keys.items():
        key = _cut(name)
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _rows(value, f"{indent}  ")
        elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
            yield f"{indent}{key}:"
            yield from _rows({f"[{index}]": each for index, each in enumerate(value)}, f"{indent}  ")
        else:
            yield f"{indent}{key}: {_text(value)}"


def _limited(lines: Iterable[str]) -> Iterable[str]:
    for number, each in enumerate(lines):
        if number == _MOST_LINES:
            yield "... and more; --format json shows everything"
            return
        yield each


def _text(value: object) -> str:
    """A value in one line; data by its size and fingerprint."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value == MASK.encode():
        return MASK
    if isinstance(value, bytes):
        if value == MASK.encode():
            return MASK
        return f"{len(value):,} bytes, sha256 {hashlib.sha256(value).hexdigest()[:16]}"
    if isinstance(value, datetime):
        return stamp(as_utc(value))
    text = ", ".join(map(_text, value[:_LONGEST])) if isinstance(value, list) else str(value)
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text):,} characters)"


def _signer_dict(found: ShownSigner) -> dict[str, Any]:
    signer = found.signer
    return {
        **(facts(signer.certificate) if signer.certificate else {"subject": None, "sha256": None}),
        "digest": signer.digest,
        "signature_algorithm": signer.signature_algorithm,
        "signing_time": stamp(signer.signing_time) if signer.signing_time else None,
        "valid": signer.valid,
        "problem": signer.problem,
        "chain": [each.subject for each in found.chain],
        "distrust": found.distrust,
    }


def _payload_dict(payload: ShownPayload) -> dict[str, Any]:
    return {
        "number": payload.number,
        "path": payload.path,
        "type": payload.kind,
        "identifier": payload.text("PayloadIdentifier"),
        "uuid": payload.text("PayloadUUID"),
        "name": payload.text("PayloadDisplayName"),
        "certificates": [{"role": each.role, **facts(each.certificate)} for each in payload.certificates],
        "problem": payload.problem,
        "referred_to_by": list(payload.referred_by),
        "refers_to": [
            {"key": each.key, "uuid": each.uuid, "payload": each.number, "type": each.kind}
            for each in payload.references
        ],
        "keys": {key: _plain(value) for key, value in payload.keys.items()},
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 - property-list values are of any type
    """The value in what JSON has."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime):
        return stamp(as_utc(value))
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float) else str(value)
