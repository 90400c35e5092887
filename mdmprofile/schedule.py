"""The plan with everything that has to be done by a date: a change of the CA, and identities sent again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from mdmprofile.changeover import MOVE, OVERLAP, RENEWED, RETIRE, Sending, change_steps
from mdmprofile.moments import as_utc, day, shift
from mdmprofile.plan import LATEST, OWN_CA, PLANNED, Plan, Step, Thresholds, Watched, is_ahead, make_plan
from mdmprofile.succession import find_succession

_AGAIN = "identity "
_RENEW_LEAF = "renew leaf "
# The beginnings of the keys of what sends a profile: of those of one day, the first names the sending.
_SENDINGS = (OVERLAP, RENEWED, RETIRE, "device ", _AGAIN, PLANNED, LATEST)
# The old root is retired after the move, so that this is never the sending that comes first.
_BEFORE_A_MOVE = tuple(each for each in _SENDINGS if each != RETIRE)


def make_schedule(
    watched: Sequence[Watched],
    thresholds: Thresholds,
    *,
    now: datetime,
    validity: timedelta | None = None,
    carries_trust: bool = True,
    sent: datetime | None = None,
) -> Plan:
    """The plan of ``make_plan`` with the dated steps of a change of the CA and of renewed device identities.

    ``validity`` is what the issuer of the identities grants. Only what ``carries_trust`` for devices, a profile or a
    config, has a CA to change. ``sent`` is since when a profile is on its way to devices; None of a config, whose
    profile will be sent. The margin is the time that the fleet needs to get a profile.
    """
    plan = make_plan(watched, thresholds)
    succession = find_succession(watched) if carries_trust else None
    sending = _sending(plan, now)
    trust: Sequence[Step] = ()
    if succession is not None and sending is not None:
        trust, late = change_steps(succession, plan, sending, watched, now=now, sent=sent)
        plan = plan._replace(findings=late)
    told = sending is not None and any(each.why.startswith(sending.why) for each in trust)
    steps = [*_own_steps(plan, now, told=told), *trust, *_identity_steps(watched, plan, now, validity)]
    due = [each.due(now) for each in steps]
    move = next((each.date for each in trust if each.key == MOVE), None)
    if move is not None:
        # The server gets another certificate then, of the next CA.
        due = [each for each in due if not each.key.startswith(_RENEW_LEAF) or _earlier(each.date, move)]
    joined = _joined(due, _SENDINGS if move is None else _BEFORE_A_MOVE)
    return plan._replace(steps=tuple(sorted(joined, key=lambda step: (step.was is None, step.was or step.date))))


def _own_steps(plan: Plan, now: datetime, *, told: bool) -> Iterable[Step]:
    """The steps of the plan itself; a planned date that cannot be kept is no step, but a word about the latest one.

    It is ``told`` already where another step says why it has its date.
    """
    lost = _lost(plan, now)
    for each in plan.steps:
        if each.key == LATEST and lost and not told:
            yield each._replace(why=f"{each.why}{lost}")
        elif each.key != PLANNED or not lost:
            yield each


def _lost(plan: Plan, now: datetime) -> str:
    """Why the planned date cannot be kept; nothing where it can, or where there is none."""
    planned, latest = plan.replace_on, plan.latest_safe_date
    if planned is None:
        return ""
    if not is_ahead(planned, now):
        return f"; the planned date, {day(planned)}, has passed"
    return f"; the planned {day(planned)} is too late" if latest is not None and planned > latest else ""


def _earlier(moment: datetime, other: datetime) -> bool:
    return as_utc(moment).date() < as_utc(other).date()


def _joined(steps: Sequence[Step], sendings: Sequence[str]) -> Iterable[Step]:
    """The steps, with what is one and the same sending as one step that has all the reasons."""

    def rank(step: Step) -> int:
        return next((number for number, key in enumerate(sendings) if step.key.startswith(key)), len(sendings))

    by_day: dict[str, list[Step]] = {}
    for each in steps:
        by_day.setdefault(day(each.date), []).append(each)
    for found in by_day.values():
        lead = min(found, key=rank)
        for each in found:
            if each is lead:
                yield _with(each, [one for one in found if one is not lead and _joins(one)])
            elif not (_joins(each) and rank(lead) < rank(each)):
                yield each


def _with(lead: Step, others: Sequence[Step]) -> Step:
    """The step with the reasons of others, each said once, and since when the first of them is due."""
    kept = dict.fromkeys(clause for each in (lead, *others) for clause in each.why.split("; "))
    passed = [each.was for each in (lead, *others) if each.was is not None]
    return lead._replace(why="; ".join(kept), was=min(passed, default=None))


def _joins(step: Step) -> bool:
    """Whether any profile that is sent that day does it."""
    return step.key in {PLANNED, LATEST} or step.key.startswith(_AGAIN)


def _sending(plan: Plan, now: datetime) -> Sending | None:
    """The planned date, or the latest safe one where that comes first; now, where it has passed."""
    latest, planned = plan.latest_safe_date, plan.replace_on
    if latest is None:
        return None
    if planned is not None and planned <= latest:
        date, name, more = planned, "the planned date", f"; {day(latest)} is the latest safe one"
    else:
        date, name = latest, "the latest safe date"
        more = f", since the planned {day(planned)} is too late" if planned is not None else ""
    if is_ahead(date, now):
        return Sending(date, plan.margin, f"{name}{more}")
    return Sending(now, plan.margin, f"now: {name}, {day(date)}, has passed{more}", date)


def _identity_steps(
    watched: Sequence[Watched], plan: Plan, now: datetime, validity: timedelta | None
) -> Iterable[Step]:
    for each in dict.fromkeys(watched):
        if each.role != "identity" or each.not_after is None:
            continue
        date = shift(each.not_after, -plan.margin)
        by = day(date if is_ahead(date, now) else now)
        why = f"{each.label} ends on {day(each.not_after)}; then {each.consequence}"
        if not is_ahead(date, now):
            why += f"; now: {day(date)}, the latest safe date for it, has passed"
        if each.certificate is not None:
            whom = "each of these devices" if each.several else "the device"
            action = f"send {whom} a profile with a renewed identity by {by}"
            yield Step(date, action, why, f"device {each.lasting_name}")
            continue
        why += "; Apple's devices renew nothing by themselves"
        if each.consequence_of != OWN_CA:
            why += ", and every profile that is sent starts it anew"
        if validity is not None and plan.replace_on is not None and not _lost(plan, now) and plan.replace_on <= date:
            again = shift(shift(plan.replace_on, validity), -plan.margin)
            why += f": after the replacement on {day(plan.replace_on)} the next is by {day(again)}"
        action = f"send the profile again by {by}, so that each device fetches a new identity"
        if each.consequence_of == OWN_CA:
            action = f"issue each device a new identity, and send it in a new profile by {by}"
        yield Step(date, action, why, f"{_AGAIN}{each.lasting_name}")
