"""The plan with everything that has to be done by a date: a change of the CA, and identities sent again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.moments import day, shift, spoken
from mdmprofile.plan import CONSEQUENCES, PLANNED, Plan, Step, Thresholds, Watched, make_plan
from mdmprofile.succession import Succession, find_succession

OVERLAP = "overlap"
_MOST_NAMES = 3


class _Sending(NamedTuple):
    """When the next profile is sent, and why then; ``margin`` is the time that the fleet needs to get it."""

    date: datetime
    margin: timedelta
    why: str

    @property
    def ready(self) -> datetime:
        """When the fleet has it."""
        return shift(self.date, self.margin)


def make_schedule(
    watched: Sequence[Watched],
    thresholds: Thresholds,
    *,
    now: datetime,
    validity: timedelta | None = None,
    carries_trust: bool = True,
) -> Plan:
    """The plan of ``make_plan`` with the dated steps of a change of the CA and of renewed device identities.

    ``validity`` is what the issuer of the identities grants. Only what ``carries_trust`` for devices, a profile or a
    config, has a CA to change. The margin is the time that the fleet needs to get a profile.
    """
    plan = make_plan(watched, thresholds)
    succession = find_succession(watched) if carries_trust else None
    pinned = any(each.role == "pinned" for each in watched)
    trust = tuple(_trust_steps(succession, plan, now, pinned=pinned)) if succession is not None else ()
    steps = [*plan.steps, *trust, *_identity_steps(watched, plan, now, validity)]
    if any(each.key == OVERLAP and each.date == plan.replace_on for each in trust):
        # What is sent on the planned date is the overlap profile.
        steps = [each for each in steps if each.key != PLANNED]
    return plan._replace(steps=tuple(sorted(steps, key=lambda step: step.date)))


def _trust_steps(succession: Succession, plan: Plan, now: datetime, *, pinned: bool) -> Iterable[Step]:
    sending = _sending(plan, now)
    if sending is None:
        return
    limit = plan.limited_by.certificate if plan.limited_by is not None else None
    pins = "; the server's certificate is pinned, so pin the next one beside it" if pinned else ""
    if succession.former:
        yield _farewell(succession.former, sending)
    if succession.following:
        roots = succession.roots
        caveat = _doubt(succession, roots) + pins
        yield from _overlap(roots, succession.following, succession.limit, sending, now, caveat)
    elif limit in succession.current:
        heirs = succession.heirs[limit]
        if not heirs:
            yield _get_next(limit, sending, now)
            yield from _overlap((limit,), (), limit, sending, now, pins)
        elif heirs[0].key_info == limit.key_info:
            yield _renewed(limit, heirs[0], sending)
        else:
            yield from _overlap((limit,), heirs, limit, sending, now, _doubt(succession, (limit,)) + pins)


def _sending(plan: Plan, now: datetime) -> _Sending | None:
    """The planned date, or the latest safe one where that comes first; now, where it has passed."""
    latest, planned = plan.latest_safe_date, plan.replace_on
    if latest is None:
        return None
    if planned is not None and planned <= latest:
        date, name, more = planned, "the planned date", f"; {day(latest)} is the latest safe one"
    else:
        date, name = latest, "the latest safe date"
        more = f", since the planned {day(planned)} is too late" if planned is not None else ""
    why = f"{name}{more}"
    if date.date() < now.date():
        date, why = now, f"now: {name}, {day(date)}, has passed"
    return _Sending(date, plan.margin, why)


def _overlap(
    old: Sequence[Certificate],
    new: Sequence[Certificate],
    limit: Certificate,
    sending: _Sending,
    now: datetime,
    caveat: str,
) -> Iterable[Step]:
    """Both CAs in one profile, the server moved when every device has it, the old CA gone after that.

    ``limit`` is what the old chain ends with; without ``new`` the next CA is not there yet. The ``caveat`` is said
    where the overlap profile is made.
    """
    end = limit.not_after
    before, after = _names(old), _names(new) or "the next CA"
    ready = max((sending.ready, *(each.not_before for each in new)))
    # After the end no device connects by the old chain, so nothing is gained by waiting on.
    move = max(min(ready, end), now)
    late = _too_late(limit, ready, now)
    yield Step(
        sending.date,
        f"send the overlap profile, which has {after} beside {before}",
        f"{sending.why}; devices must trust {after} before the server shows it{caveat}{late}",
        OVERLAP,
    )
    yield Step(
        move,
        f"end the wait for the fleet: every device must have the overlap profile, {spoken(move - sending.date)} after "
        "it was sent",
        f"the margin, {spoken(sending.margin)}, is the time that the fleet needs; a device without the overlap profile "
        "loses the server when that moves",
        "wait",
    )
    left = (end - move).days
    room = f"{spoken(timedelta(days=left))} after the wait" if left > 0 else "which leaves no day to spare"
    yield Step(
        move,
        f"move the server to a certificate of {after}, and name it in trust.server_certificate",
        f"at the latest before {limit.name} ends on {day(end)}, {room}; then {CONSEQUENCES['root']}"
        if not late
        else f"{late.removeprefix('; ')}; devices that have no overlap profile by then are lost to MDM",
        "move",
    )
    yield Step(
        # Time for devices to be seen at the moved server, but the old CA is best gone before it ends.
        min(shift(move, sending.margin), max(move, end)),
        f"retire {before}: send the next profile without {before}, built with --replaces the overlap profile",
        f"after the move, when devices reach the server, nothing needs {before} any more",
        "retire",
    )


def _too_late(limit: Certificate, ready: datetime, now: datetime) -> str:
    """What to say where the old chain ends before the fleet can have the new CA; else nothing."""
    end = limit.not_after
    if end < now:
        return f"; too late: {limit.name} ended on {day(end)}, and devices that trust nothing else must enroll again"
    if end < ready:
        return (
            f"; too late for some: {limit.name} ends on {day(end)}, but the fleet has the new profile on {day(ready)}"
        )
    return ""


def _doubt(succession: Succession, old: Sequence[Certificate]) -> str:
    if succession.certain:
        return ""
    return (
        f"; which CA the server uses is not known, so {_names(old)}, "
        f"{'which was issued first' if old[0].self_signed else 'which ends first'}, is taken to be it "
        "(a config with trust.server_certificate tells)"
    )


def _get_next(limit: Certificate, sending: _Sending, now: datetime) -> Step:
    """The next CA is made ready as long before the overlap profile as the fleet will need to get that."""
    kind = "root" if limit.self_signed else "intermediate"
    date = shift(sending.date, -sending.margin)
    passed = "" if date.date() >= now.date() else f"; now: {day(date)}, {spoken(sending.margin)} before it, has passed"
    return Step(
        max(date, now) if passed else date,
        f"get the next CA: a{'n' if kind == 'intermediate' else ''} {kind} that follows {limit.name}",
        f"the {kind} {limit.name} ends on {day(limit.not_after)}, nothing is there to follow it, and the overlap "
        f"profile of {day(sending.date)} needs it{passed}; where it is renewed with the same key, a new profile is "
        "enough, and the steps of the overlap fall away",
        "next-ca",
    )


def _renewed(limit: Certificate, heir: Certificate, sending: _Sending) -> Step:
    return Step(
        sending.date,
        f"send a profile with the renewed {heir.name}, which lasts until {day(heir.not_after)}",
        f"{sending.why}; it has the key of the one that ends on {day(limit.not_after)}, so the server stays as it is "
        "and no overlap is needed",
        "renewed",
    )


def _farewell(former: Sequence[Certificate], sending: _Sending) -> Step:
    names = _names(former)
    return Step(
        sending.date,
        f"retire {names}: send the next profile without {names}, built with --replaces the one that devices have",
        f"{sending.why}; the server's certificate comes from a later CA, so nothing needs {names} any more",
        "retire former",
    )


def _identity_steps(
    watched: Sequence[Watched], plan: Plan, now: datetime, validity: timedelta | None
) -> Iterable[Step]:
    for each in dict.fromkeys(watched):
        if each.role != "identity" or each.not_after is None:
            continue
        date = shift(each.not_after, -plan.margin)
        why = f"{each.label} ends on {day(each.not_after)}; then {each.consequence}"
        if date.date() < now.date():
            why += f"; now: {day(date)}, the latest safe date for it, has passed"
            date = now
        if each.certificate is not None:
            action = f"send the device a profile with a renewed identity by {day(date)}"
        else:
            action = f"send the profile again by {day(date)}, so that each device fetches a new identity"
            why += "; Apple's devices renew nothing by themselves, and every profile that is sent starts it anew"
            if validity is not None and plan.replace_on is not None and now <= plan.replace_on <= date:
                again = shift(shift(plan.replace_on, validity), -plan.margin)
                why += f": after the replacement on {day(plan.replace_on)} the next is by {day(again)}"
        yield Step(date, action, why, f"identity {each.lasting_name}")


def _names(certificates: Sequence[Certificate]) -> str:
    """The names as a sentence has them; of many only the first."""
    names = [each.name for each in certificates[:_MOST_NAMES]]
    more = len(certificates) - len(names)
    return " and ".join([*names, f"{more} more"] if more else names)
