"""Whether a device that has one profile takes another in its place.

https://developer.apple.com/documentation/devicemanagement/mdm names the keys that must not change. What only devices
have shown (the error codes, an absent CheckInURL) is marked ``observed`` in the catalogue or said in the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.changes import Changes, find_changes
from mdmprofile.config import Via
from mdmprofile.errors import CertificateError, ProfileError
from mdmprofile.findings import Finding, Severity, by_severity, finding, has_errors
from mdmprofile.mdm_replacement import MANUAL, MDM, judge_install_right, judge_mdm
from mdmprofile.payloads import types
from mdmprofile.profile import Profile, parse
from mdmprofile.reader import OpenedProfile, payload_certificates
from mdmprofile.rollover import ServerTrust, judge_fetch, judge_pins, judge_roots, server_trust
from mdmprofile.rules import judge
from mdmprofile.values import changed, same

MISMATCH = 'error 12012, "The new MDM payload does not match the old payload"'
_SECOND = "error 12001, a second MDM payload"
# The rules of a single profile that a device refuses to install by; what OLD broke too did not stop the device.
_REFUSED = frozenset(
    (
        "mdm.access-rights",
        "mdm.identity-reference",
        "mdm.missing-key",
        "mdm.multiple",
        "mdm.topic-prefix",
        "mdm.url-scheme",
        "profile.duplicate-identifier",
        "profile.duplicate-uuid",
    )
)
# What a device answers, by rule; in the order in which it comes across them.
_ANSWERS = {
    "signature.invalid": "its signature is broken",
    "signature.weak-digest": "its signature uses a digest of the past",
    "replacement.no-install-right": "the server has no right to install profiles",
    "replacement.identifier": "another identifier makes it a second profile",
    "replacement.signer": "the signer is another one",
    "replacement.mdm-removed": "it ends management",
    "replacement.mdm-added": _SECOND,
    **dict.fromkeys(
        (
            "replacement.server-url",
            "replacement.checkin-url",
            "replacement.topic",
            "replacement.access-rights",
            "replacement.per-user-connections",
            "replacement.enrollment-mode",
            "replacement.managed-apple-id",
            "replacement.required-app",
        ),
        MISMATCH,
    ),
    **dict.fromkeys((*_REFUSED, "profile.certificate-unreadable"), "no device installs it"),
}


class Replacement(NamedTuple):
    """The verdict: ``accepted`` when a device takes it, with everything that changes beside it.

    A device that loses the server by it (``replacement.ca-rollover``) takes it all the same. ``trust`` is whether the
    profiles trust the server's own certificate.
    Not ``old_intact`` is an old profile whose signature is broken, so that it need not be what devices have.
    """

    accepted: bool
    via: Via
    identifier: str
    findings: tuple[Finding, ...]
    changes: Changes
    old_intact: bool = True
    trust: ServerTrust = ServerTrust(None, None)

    @property
    def verdict(self) -> str:
        """What a device will do, in one sentence."""
        if not self.old_intact:
            return "Nobody can tell: the signature of the old file is broken, so it need not be what devices have."
        how = "sent over MDM" if self.via == MDM else "installed by hand"
        if self.accepted:
            return self._taken(how)
        broken = {each.rule for each in self.findings if each.severity is Severity.ERROR}
        answers = "; ".join(dict.fromkeys(text for rule, text in _ANSWERS.items() if rule in broken))
        return f"A device will refuse the new profile, {how}{f': {answers}' if answers else ''}."

    def _taken(self, how: str) -> str:
        """What a device takes, and what it can do no more afterwards."""
        found = {each.rule for each in self.findings if each.severity is not Severity.INFO}
        behind = "; nothing in it changes" if self.changes.nothing else ""
        if "replacement.rights-dropped" in found:
            behind = "; it is the last one that can be sent over MDM"
        if self.via == MDM and self.trust.old is False:
            return "A device cannot fetch the new profile over MDM: with the old one it does not trust the server."
        if self.trust.new is False:
            behind = f", and then not trust the server any more{behind}"
        elif "replacement.ca-rollover" in found:
            behind = f", and then perhaps not trust the server any more{behind}"
        return f"A device will take the new profile, {how}{behind}."


def compare(
    old: Profile,
    new: Profile,
    *,
    via: Via = MDM,
    old_signer: Certificate | None = None,
    new_signer: Certificate | None = None,
    servers: Sequence[Certificate] = (),
    at: datetime | None = None,
    old_source: str = "",
    new_source: str = "",
) -> Replacement:
    """Judge whether a device with ``old`` takes ``new``, and find what changes.

    The signers count for ``via`` manual only: None stands for a profile that is not signed. ``servers`` are the
    server's own certificates as it shows them today; with them the change of a root is judged by what they need, and
    a root that has ended ``at`` that time (aware UTC) is not missed. The sources say in messages which file is meant.
    Raises ``ProfileError`` for an encrypted profile, because nobody can compare it without its key, and for one that
    is too large.
    """
    for profile, source in ((old, old_source), (new, new_source)):
        if profile.encrypted:
            raise ProfileError(
                "is encrypted, so it cannot be compared", where=source, hint="decrypt it first: mdmprofile decrypt"
            )
    changes = find_changes(old, new)
    trust = server_trust(old, new, servers)
    findings = by_severity(
        (
            *_at(new_source, _identifier(old, new)),
            *_at(new_source, judge_mdm(old, new, via)),
            *_at(old_source, judge_install_right(old, via)),
            *(_signer(old_signer, new_signer, new_source) if via == MANUAL else ()),
            *_at(new_source, _new_flaws(old, new)),
            *_at(new_source, _unreadable(old, new)),
            *(_at(old_source, judge_fetch(trust, servers)) if via == MDM else ()),
            *_at(new_source, judge_roots(old, new, trust, servers=servers, at=at)),
            *_at(new_source, judge_pins(old, new)),
            *_at(new_source, _scope(old, new)),
            *_at(new_source, _new_identity(changes)),
        )
    )
    return Replacement(_taken(findings), via, new.identifier, findings, changes, trust=trust)


def compare_opened(
    old: OpenedProfile,
    new: OpenedProfile,
    *,
    via: Via = MDM,
    servers: Sequence[Certificate] = (),
    at: datetime | None = None,
) -> Replacement:
    """Like ``compare``, for two files with their signatures, which are judged too.

    A broken signature of either is an error: of the old one, because it need not be what devices have.
    """
    result = compare(
        old.profile,
        new.profile,
        via=via,
        old_signer=signer_of(old),
        new_signer=signer_of(new),
        servers=servers,
        at=at,
        old_source=old.source,
        new_source=new.source,
    )
    flaws = (*judge_old_signature(old), *_at(new.source, new.findings))
    findings = by_severity((*flaws, *result.findings))
    return result._replace(
        accepted=_taken(findings), findings=findings, old_intact=not has_errors(judge_old_signature(old))
    )


def judge_replacement(
    old: OpenedProfile,
    new: Profile,
    *,
    via: Via = MDM,
    signer: Certificate | None = None,
    servers: Sequence[Certificate] = (),
    at: datetime | None = None,
) -> tuple[Finding, ...]:
    """What a build finds about the profile that it replaces: the verdict's findings, and those of the old signature.

    A broken signature of the old profile is an error here too: its names are kept in the new one, and whoever changed
    the file chose them.
    """
    result = compare(
        old.profile,
        # As a device reads it: dates and arrays as a property list has them.
        parse(new.to_bytes()),
        via=via,
        old_signer=signer_of(old),
        new_signer=signer,
        servers=servers,
        at=at,
        old_source=old.source,
    )
    # What a device takes may be written: it is for the administrator to say when it is sent.
    found = (
        each._replace(severity=Severity.WARNING) if each.rule == "replacement.ca-rollover" else each
        for each in result.findings
    )
    return (*judge_old_signature(old), *found)


def _taken(findings: Iterable[Finding]) -> bool:
    """Whether a device takes it; losing the server afterwards is no refusal."""
    return not has_errors(each for each in findings if each.rule != "replacement.ca-rollover")


def signer_of(opened: OpenedProfile) -> Certificate | None:
    """The certificate of the signer, valid or not; None when the profile is not signed."""
    signers = opened.signature.signers if opened.signature else ()
    return next((each.certificate for each in signers if each.certificate is not None), None)


def judge_old_signature(old: OpenedProfile) -> tuple[Finding, ...]:
    """What is wrong with the signature of the installed profile.

    An old digest is information alone: devices took it when it was installed.
    """
    return tuple(
        each._replace(severity=Severity.INFO) if each.rule == "signature.weak-digest" else each
        for each in _at(old.source, old.findings)
    )


def _at(source: str, findings: Iterable[Finding]) -> Iterable[Finding]:
    """The findings with the file before their place."""
    for each in findings:
        yield each._replace(where=f"{source}: {each.where}") if source else each


def _identifier(old: Profile, new: Profile) -> Iterable[Finding]:
    """The same identifier makes it a replacement; another one makes it a second profile."""
    where = "PayloadIdentifier"
    if not old.identifier:
        yield finding("replacement.identifier", "the old profile has none, so nothing can replace it", where=where)
    elif not new.identifier:
        yield finding("replacement.identifier", "the new profile has none, so it can replace nothing", where=where)
    elif old.identifier != new.identifier:
        second = (
            f"it would be a second profile with an MDM payload, which a device refuses ({_SECOND})"
            if old.of_type(types.MDM) and new.of_type(types.MDM)
            else "a device installs it as a second profile beside the old one"
        )
        message = f"PayloadIdentifier {changed(old.identifier, new.identifier)}: {second}"
        yield finding("replacement.identifier", message, where=where)


def _signer(old: Certificate | None, new: Certificate | None, source: str) -> Iterable[Finding]:
    """By hand, the signing identity must be the same.

    An identity is a certificate with its key: Apple says "the exact same", so a renewed certificate is another one
    even where the key stayed.
    """
    rule, where = "replacement.signer", source or "signature"
    if old is None and new is None:
        message = "neither profile is signed; Apple says nothing of replacing one without a signature by hand"
        yield finding(rule, message, where=where, severity=Severity.WARNING, hint="try it on one device first")
    elif old is None and new is not None:
        yield finding(rule, f"the old profile is not signed, the new one is signed by {_who(new)}", where=where)
    elif old is not None and new is None:
        yield finding(rule, f"the old profile is signed by {_who(old)}, the new one is not signed", where=where)
    elif old is not None and new is not None and old != new:
        renewed = old.key_info == new.key_info
        why = ": the key is the same, but a renewed certificate is not the same signing identity" if renewed else ""
        yield finding(rule, f"the old profile is signed by {_who(old)}, the new one by {_who(new)}{why}", where=where)


def _who(signer: Certificate) -> str:
    return f"{signer.name} (sha256 {signer.sha256[:16]})"


def _new_flaws(old: Profile, new: Profile) -> Iterable[Finding]:
    """What a device refuses in the new profile by itself."""
    known = {each.rule for each in judge(old)}
    return (each for each in judge(new) if each.rule in _REFUSED - known and each.severity is Severity.ERROR)


def _unreadable(old: Profile, new: Profile) -> Iterable[Finding]:
    """Certificate payloads that hold no certificate, unless the old profile had the same."""
    known = [each.get("PayloadContent") for _, each in old.of_type(*types.CERTIFICATES)]
    for path, each in new.of_type(*types.CERTIFICATES):
        content = each.get("PayloadContent")
        try:
            payload_certificates(content, source=path)
        except CertificateError as error:
            if not any(same(content, one) for one in known):
                yield finding("profile.certificate-unreadable", error.message, where=path)


def _scope(old: Profile, new: Profile) -> Iterable[Finding]:
    """A Mac keeps the profiles of the system and of each user apart; User is the default."""
    before, after = (each.plist.get("PayloadScope", "User") for each in (old, new))
    if not same(before, after):
        message = f"PayloadScope {changed(before, after)}"
        yield finding("replacement.scope", message, where="PayloadScope")


def _new_identity(changes: Changes) -> Iterable[Finding]:
    identity = changes.identity
    if identity is not None and identity.issued is not False:
        yield finding("replacement.new-identity", identity.why, where=identity.where)
