"""Which certificate ends what, and when, against the planned replacement of the profile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from typing import NamedTuple

from mdmprofile.certificates import Certificate, CertificateFacts
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.moments import as_utc, day, days_between, shift, spoken, stamp

CONSEQUENCES = {
    "root": "devices no longer trust the server and are lost to MDM",
    "intermediate": "devices no longer trust the server and are lost to MDM",
    "pinned": "devices refuse the server's certificate and are lost to MDM",
    "identity": "the device can no longer prove who it is and is lost to MDM",
    "own-ca": "the device can no longer prove who it is and is lost to MDM",
    "devices": "these devices can no longer prove who they are and are lost to MDM",
    "signer": "new installs show the profile as not verified; installed profiles keep working",
    "leaf": "devices cannot connect until the server has a new certificate; the profile stays as it is",
    "scep-ca": "devices can no longer fetch an identity; the next CA's fingerprint needs a new profile",
    "file": "whoever checks it no longer accepts it",
    "recipient": "a device that renewed it cannot open the profile; installed profiles keep working",
    "push": "the server can no longer wake devices until it is renewed; the profile stays as it is",
}
_RENEWALS = {
    "leaf": "renew the server's certificate {name}",
    "push": "renew the push certificate with the same Apple Account, so that its topic stays",
    "recipient": "encrypt the profile again for the next certificate of {name}",
}
# An identity that an own CA issues for each device, and that no device fetches.
OWN_CA = "own-ca"
# The two steps of every plan by their keys.
LATEST, PLANNED = "replace at the latest", "replace as planned"


class Watched(NamedTuple):
    """Something that ends: a certificate, or an identity that a device will fetch.

    ``baked_in`` things change only with a new profile; the others are renewed elsewhere and the profile survives
    it. ``not_after`` is None when nobody knows it. Times are aware UTC. Where thousands are kept, ``certificate`` is
    only what reports say of it.
    """

    role: str
    name: str
    where: str
    baked_in: bool
    not_after: datetime | None
    not_before: datetime | None = None
    certificate: Certificate | CertificateFacts | None = None
    consequence_of: str = ""

    @property
    def consequence(self) -> str:
        """What stops working when it ends; ``consequence_of`` names another role where its own would mislead."""
        return CONSEQUENCES[self.consequence_of or self.role]

    @property
    def label(self) -> str:
        """Role and name, as reports call it."""
        return f"{self.role} {self.name}"

    @property
    def several(self) -> bool:
        """Whether it stands for the identities of several devices that end on one day."""
        return self.consequence_of == "devices"

    @property
    def lasting_name(self) -> str:
        """The part of its name that a renewal leaves alone: the subject, or the protocol it is fetched by."""
        if self.several:
            return "of devices"
        return self.name.partition(",")[0] if self.certificate is None else self.certificate.subject


def watch(certificate: Certificate, role: str, where: str) -> Watched:
    """A certificate in its role; the server's leaf, the push certificate and a recipient's are not baked in."""
    return Watched(
        role=role,
        name=certificate.name,
        where=where,
        baked_in=role not in _RENEWALS,
        not_after=certificate.not_after,
        not_before=certificate.not_before,
        certificate=certificate,
    )


class Thresholds(NamedTuple):
    """What the ends are held against; ``replace_on`` is None when no replacement is planned."""

    replace_on: datetime | None = None
    margin: timedelta = timedelta(days=30)
    warn: timedelta = timedelta(days=30)
    critical: timedelta = timedelta(days=7)


class Step(NamedTuple):
    """Something to do by ``date``, and why.

    ``key`` tells which step it is, the same whenever the plan is made again: no date is in it. ``was`` is the date
    that has passed where it is to be done now.
    """

    date: datetime
    action: str
    why: str
    key: str = ""
    was: datetime | None = None

    def as_dict(self) -> dict[str, str]:
        """The step as the JSON reports show it."""
        passed = {"was": day(self.was)} if self.was is not None else {}
        return {"date": day(self.date), "action": self.action, "why": self.why} | passed

    def due(self, now: datetime) -> Step:
        """The same step, to be done now where the day for it has passed."""
        return self if is_ahead(self.date, now) else self._replace(date=now, was=self.was or self.date)


class Plan(NamedTuple):
    """The latest date on which replacing the profile is still safe, what sets it, and the steps up to it.

    ``findings`` say which of its dates cannot work.
    """

    replace_on: datetime | None
    margin: timedelta
    latest_safe_date: datetime | None
    limited_by: Watched | None
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """The plan as the JSON reports show it."""
        return {
            "replace_on": self.replace_on and stamp(self.replace_on),
            "margin_days": self.margin / timedelta(days=1),
            "latest_safe_date": self.latest_safe_date and day(self.latest_safe_date),
            "limited_by": self.limited_by and self.limited_by.label,
            "steps": [each.as_dict() for each in self.steps],
        }


def make_plan(watched: Sequence[Watched], thresholds: Thresholds) -> Plan:
    """Find the latest safe replacement date: the earliest end of anything baked in, minus the margin."""
    ends = [(each.not_after, each) for each in watched if each.baked_in and each.not_after is not None]
    first, limit = min(ends, key=lambda pair: pair[0], default=(None, None))
    latest = shift(first, -thresholds.margin) if first is not None else None
    steps = []
    pinned = {each.certificate for each in watched if each.role == "pinned"}
    if limit is not None and first is not None and latest is not None:
        why = f"{limit.label} ends on {day(first)}; then {limit.consequence}"
        steps.append(Step(latest, "replace the profile at the latest", why, LATEST))
    if thresholds.replace_on is not None:
        steps.append(Step(thresholds.replace_on, "replace the profile as planned", "the planned date", PLANNED))
    for each in dict.fromkeys(watched):
        if each.role in _RENEWALS and not each.baked_in and each.not_after is not None:
            action = _RENEWALS[each.role].format(name=each.name)
            why = f"it ends on {day(each.not_after)}; then {each.consequence}"
            date = shift(each.not_after, -thresholds.margin)
            if each.certificate is not None and each.certificate in pinned:
                # The fleet needs the margin to get the next pin, before the server may show it.
                date = shift(date, -thresholds.margin)
                action = f"send devices a profile that pins the next certificate of {each.name} beside this one"
                why = f"{why.partition('; ')[0]}, and is pinned: devices refuse a renewed one that they do not know; "
                why += f"renew it when every device has that profile, {spoken(thresholds.margin)} later"
            steps.append(Step(date, action, why, f"renew {each.role} {each.lasting_name}"))
    steps.sort(key=lambda step: step.date)
    return Plan(thresholds.replace_on, thresholds.margin, latest, limit, tuple(steps))


def judge_dates(
    watched: Iterable[Watched],
    thresholds: Thresholds,
    *,
    now: datetime,
    building: bool = False,
    ledger: str = "",
) -> tuple[Finding, ...]:
    """Every expiry finding at the time ``now``.

    While ``building``, what is renewed elsewhere gives warnings only: an expired server certificate is no reason not
    to make a profile that outlives it. Of the thousands in a ``ledger``, those whose end nobody knows are told
    together.
    """
    found: list[Finding] = []
    things = list(dict.fromkeys(watched))
    unknown = sum(each.not_after is None for each in things) if ledger else 0
    if unknown > 1:
        things = [each for each in things if each.not_after is not None]
        found.append(_unknown(f"identity of {unknown:,} devices", CONSEQUENCES["devices"], ledger))
    # Thousands of files are judged with no replacement planned, where the plan has no part in it.
    plan = make_plan(things, thresholds) if thresholds.replace_on is not None else None
    for each in things:
        found.extend(_judge(each, thresholds, plan, now, building))
    if thresholds.replace_on is not None and _has_passed(thresholds.replace_on, now):
        found.append(
            finding(
                "plan.replacement-past",
                f"the planned replacement on {day(thresholds.replace_on)} has passed",
                where="profile.replace_on",
                severity=Severity.ERROR if building else None,
            )
        )
    return tuple(found)


def _judge(
    each: Watched, thresholds: Thresholds, plan: Plan | None, now: datetime, building: bool
) -> Iterable[Finding]:
    if each.not_after is None:
        yield _unknown(each.label, each.consequence, each.where)
        return
    softer = Severity.WARNING if building and not each.baked_in else None
    renew = "" if each.baked_in else "renew it where it is installed"
    if each.role == "signer":
        renew = "sign with a renewed certificate"
    left = each.not_after - now
    if each.not_before is not None and each.not_before > now:
        message = f"{each.label} is not valid before {stamp(each.not_before)}"
        yield finding("expiry.not-yet-valid", message, where=each.where)
    if left < timedelta():
        message = f"{each.label} expired on {day(each.not_after)}: {each.consequence}"
        yield finding("expiry.expired", message, where=each.where, hint=renew, severity=softer)
        return
    if left <= max(thresholds.critical, thresholds.warn):
        remaining = f"{each.label} ends on {day(each.not_after)}, in {spoken(left)}; then {each.consequence}"
        if left <= thresholds.critical:
            yield finding("expiry.critical", remaining, where=each.where, hint=renew, severity=softer)
        else:
            yield finding("expiry.soon", remaining, where=each.where, hint=renew)
    if each.baked_in and thresholds.replace_on is not None and plan is not None:
        needed = shift(thresholds.replace_on, thresholds.margin)
        if each.not_after < needed and plan.latest_safe_date is not None:
            safe = plan.latest_safe_date
            when = f"by {day(safe)}, the latest safe date" if safe > now else "now: the latest safe date has passed"
            again = "have the issuer grant a longer validity" if _issued_later(each) else "renew it and build again"
            # Where something else ends first, renewing this changes nothing about the date.
            also = f", or {again}" if each == plan.limited_by else ""
            yield finding(
                "expiry.before-replacement",
                f"{each.label} ends on {day(each.not_after)}, before the replacement on {day(thresholds.replace_on)} "
                f"plus {spoken(thresholds.margin)}; then {each.consequence}",
                where=each.where,
                hint=f"replace the profile {when}{also}",
            )


def _unknown(label: str, consequence: str, where: str) -> Finding:
    message = f"nobody said how long {label} is valid; when it ends, {consequence}"
    return finding("expiry.identity-unknown", message, where=where)


def assume_sent(each: Watched, on: datetime, *, sent: str = "") -> tuple[Watched, Finding]:
    """An identity that a device will fetch, called after the day ``on`` from which its end is counted, and the note.

    ``sent`` is the file that devices may have, whose signature tells their own dates.
    """
    plan = f"plan the profile that was sent{f', such as {sent}' if sent else ''}"
    note = finding(
        "expiry.identity-assumed",
        f"the identity is counted from {day(on)}, as if every device got the profile that day; for devices that have "
        f"it, {plan}",
        where=each.where,
    )
    name = each.name if each.name.endswith(day(on)) else f"{each.name}, if sent on {day(on)}"
    return each._replace(name=name), note


def beginnings(each: Watched) -> tuple[str, ...]:
    """How the messages of ``judge_dates`` about this one begin: what tells them apart in one place."""
    end = each.not_after and day(each.not_after)
    start = each.not_before and stamp(each.not_before)
    return (
        f"{each.label} ends on {end}, ",
        f"{each.label} expired on {end}: ",
        f"{each.label} is not valid before {start}",
        f"nobody said how long {each.label} is valid; ",
    )


def is_ahead(moment: datetime, now: datetime) -> bool:
    """Whether its day is today or one to come: what is due today is not late."""
    return as_utc(moment).date() >= as_utc(now).date()


def _has_passed(moment: datetime, now: datetime) -> bool:
    """Whether the moment is over; a date without a time is its whole day, on which the profile is built and sent."""
    return shift(moment, timedelta(days=1)) <= now if moment.time() == time() else moment < now


def _issued_later(each: Watched) -> bool:
    """Whether it is an identity that the device will fetch, so that there is nothing to renew yet."""
    return each.role == "identity" and each.certificate is None


def remedy(each: Watched) -> str:
    """What to do about its end, as an order without a date."""
    if each.baked_in:
        if each.consequence_of == OWN_CA:
            return "issue each device a new identity, and send it in a new profile"
        if _issued_later(each):
            return "send the profile again, so that each device fetches a new identity"
        return "sign with a renewed certificate" if each.role == "signer" else "send a new profile with its successor"
    if each.consequence_of == "scep-ca":
        return "send a profile with the next CA's fingerprint"
    return _RENEWALS.get(each.role, "renew it where it is installed").format(name=each.name)


def days_left(each: Watched, now: datetime) -> int | None:
    """Whole days until its end, negative when it is over, None when nobody knows."""
    return None if each.not_after is None else days_between(now, each.not_after)
