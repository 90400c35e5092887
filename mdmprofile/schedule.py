"""The plan with everything that has to be done by a date: a change of the CA, and identities sent again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.findings import Finding, finding
from mdmprofile.moments import as_utc, calendar_days, day, shift, spoken
from mdmprofile.plan import CONSEQUENCES, LATEST, PLANNED, Plan, Step, Thresholds, Watched, is_ahead, make_plan
from mdmprofile.succession import Succession, find_succession, stranded_signers

OVERLAP, MOVE = "overlap", "move"
_RENEWED, _RETIRE, _AGAIN = "renewed", "retire ", "identity "
_RENEW_LEAF = "renew leaf "
# The beginnings of the keys of what sends a profile: of those of one day, the first names the sending.
_SENDINGS = (OVERLAP, _RENEWED, _RETIRE, "device ", _AGAIN, PLANNED, LATEST)
# The old root is retired after the move, so that this is never the sending that comes first.
_BEFORE_A_MOVE = tuple(each for each in _SENDINGS if each != _RETIRE)
_MOST_NAMES = 3


class _Sending(NamedTuple):
    """When the next profile is sent, and why then; ``margin`` is the time that the fleet needs to get it.

    ``was`` is the date for it where that has passed. With ``made`` the profile is on its way since ``date``.
    """

    date: datetime
    margin: timedelta
    why: str
    was: datetime | None = None
    made: bool = False

    @property
    def ready(self) -> datetime:
        """When the fleet has it."""
        return shift(self.date, self.margin)


class _Turn(NamedTuple):
    """A change from the CAs ``old`` to ``new``, which are not there yet where it is empty.

    ``limit`` is what the old chain ends with, and ``served`` what the server shows until it moves. The ``caveat`` is
    said where the change begins, ``signing`` where it ends.
    """

    old: Sequence[Certificate]
    new: Sequence[Certificate]
    limit: Certificate
    served: Sequence[Certificate]
    caveat: str
    signing: str

    def ready(self, sending: _Sending) -> datetime:
        """When the fleet trusts what is new."""
        return max((sending.ready, *(each.not_before for each in self.new)))

    def late(self, sending: _Sending, now: datetime) -> str:
        """What to say where the old chain ends before the fleet can have the new CA; else nothing."""
        end, ready = self.limit.not_after, self.ready(sending)
        if end < now and not (sending.made and ready <= end):
            return f"{self.limit.name} ended on {day(end)}, and devices that trust nothing else must enroll again"
        if end < ready:
            return f"{self.limit.name} ends on {day(end)}, but the fleet has the new profile on {day(ready)}"
        return ""


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
        trust, late = _change(succession, plan, sending, watched, now=now, sent=sent)
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
    whys = dict.fromkeys(each.why for each in (lead, *others))
    kept = [why for why in whys if not any(why != other and why in other for other in whys)]
    passed = [each.was for each in (lead, *others) if each.was is not None]
    return lead._replace(why="; ".join(kept), was=min(passed, default=None))


def _joins(step: Step) -> bool:
    """Whether any profile that is sent that day does it."""
    return step.key in {PLANNED, LATEST} or step.key.startswith(_AGAIN)


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
    if is_ahead(date, now):
        return _Sending(date, plan.margin, f"{name}{more}")
    return _Sending(now, plan.margin, f"now: {name}, {day(date)}, has passed{more}", date)


def _change(
    succession: Succession,
    plan: Plan,
    sending: _Sending,
    watched: Sequence[Watched],
    *,
    now: datetime,
    sent: datetime | None,
) -> tuple[Sequence[Step], tuple[Finding, ...]]:
    """The steps of a change of the CA, and the finding where its dates cannot work."""
    limit = plan.limited_by.certificate if plan.limited_by is not None else None
    steps: list[Step] = []
    turn = None
    if succession.former:
        steps.append(_farewell(succession, sending, watched))
    if succession.following:
        turn = _turn(succession, succession.roots, succession.following, succession.limit, watched)
    elif isinstance(limit, Certificate) and limit in succession.current:
        turn = _turn(succession, (limit,), succession.heirs[limit], limit, watched)
    if turn is None:
        return steps, ()
    if sent is not None and turn.new:
        # What is in the profile is on its way to devices with it.
        sending = _Sending(min(sent, now), plan.margin, "", made=True)
    if not turn.new:
        steps.append(_get_next(turn.limit, sending, now))
    if turn.new and turn.new[0].key_info == turn.limit.key_info:
        steps.append(_arrival(turn, sending) if sending.made else _renewed(turn, sending))
    else:
        steps += _overlap(turn, sending, now)
    late = turn.late(sending, now)
    places = [each.where for each in watched if each.certificate == turn.limit]
    message = f"too late for a change of the CA that loses no device: {late}{_doubt(succession, turn.old)}"
    return steps, (finding("plan.too-late", message, where=places[0] if places else ""),) if late else ()


def _turn(
    succession: Succession,
    old: Sequence[Certificate],
    new: Sequence[Certificate],
    limit: Certificate,
    watched: Sequence[Watched],
) -> _Turn:
    doubt = _doubt(succession, old) if new else ""
    if any(each.role == "pinned" for each in watched):
        doubt += "; the server's certificate is pinned, so pin the next one beside it"
    return _Turn(old, new, limit, succession.served, doubt, _signing(watched, old, _names(new) or "the next CA"))


def _signing(watched: Sequence[Watched], old: Sequence[Certificate], after: str) -> str:
    """What to say where the old CAs are all that the profile's signer leads to; else nothing."""
    signers = stranded_signers(watched, old)
    if not signers:
        return ""
    return (
        f"; the signer {_names(signers)} leads to {_names(old)} alone, so sign with a certificate of {after} from then "
        "on, and name it in signing.certificate: new installs would show the profile as not verified"
    )


def _overlap(turn: _Turn, sending: _Sending, now: datetime) -> Iterable[Step]:
    """Both CAs in one profile, the server moved when every device has it, the old CA gone after that."""
    end = turn.limit.not_after
    before, after = _names(turn.old), _names(turn.new) or "the next CA"
    # After the end no device connects by the old chain, so nothing is gained by waiting on.
    move = max(min(turn.ready(sending), end), now)
    late = turn.late(sending, now)
    if sending.made:
        yield _arrival(turn, sending)
    else:
        yield Step(
            sending.date,
            f"send the overlap profile, which has {after} beside {before}",
            f"{sending.why}; devices must trust {after} before the server shows it{turn.caveat}"
            f"{f'; too late for some: {late}' if late else ''}",
            OVERLAP,
            sending.was,
        )
        yield Step(
            move,
            "end the wait for the fleet: every device must have the overlap profile, "
            f"{spoken(calendar_days(sending.date, move))} after it was sent",
            f"the margin, {spoken(sending.margin)}, is the time that the fleet needs; a device without the overlap "
            "profile loses the server when that moves",
            "wait",
        )
    yield _move(turn, move, late, after, now)
    yield Step(
        # Time for devices to be seen at the moved server, but the old CA is best gone before it ends.
        min(shift(move, sending.margin), max(move, end)),
        f"retire {before}: send the next profile without {before}, built with --replaces "
        f"{'this one' if sending.made else 'the overlap profile'}",
        f"after the move, when devices reach the server, nothing needs {before} any more{turn.signing}",
        _retire_key(turn.old),
    )


def _move(turn: _Turn, move: datetime, late: str, after: str, now: datetime) -> Step:
    """The server's move, before the first of the old chain ends; what ends before the move is renewed before it."""
    first = min(
        (turn.limit, *(each for each in turn.served if each.not_after >= move)), key=lambda each: each.not_after
    )
    end = first.not_after
    left = calendar_days(move, end)
    room = f"{spoken(left)} after the wait" if left > timedelta() else "which leaves no day to spare"
    # The server can get another certificate, but devices cannot get another root from it.
    lost = CONSEQUENCES["root" if first == turn.limit else "leaf"]
    if late:
        why = f"too late for some: {late}; devices that have no overlap profile by then are lost to MDM"
    elif end < now:
        why = f"{first.name} ended on {day(end)}, and devices cannot connect until the server has moved"
    else:
        why = f"at the latest before {first.name} ends on {day(end)}, {room}; then {lost}"
    action = f"move the server to a certificate of {after}, and name it in trust.server_certificate"
    return Step(move, action, why, MOVE, None if late or is_ahead(end, now) else end)


def _arrival(turn: _Turn, sending: _Sending) -> Step:
    """The wait for a profile that was sent."""
    holds = f"it holds {_names(turn.new)} beside {_names(turn.old)}"
    return Step(
        turn.ready(sending),
        "make sure every device has this profile",
        f"{holds}, so the overlap was made; the margin, {spoken(sending.margin)} from {day(sending.date)} on, is the "
        f"time that the fleet needs; a device without it loses the server in the end{turn.caveat}",
        "wait",
    )


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
    date = shift(sending.was or sending.date, -sending.margin)
    passed = f"; now: {day(date)}, {spoken(sending.margin)} before it, has passed" if not is_ahead(date, now) else ""
    return Step(
        date,
        f"get the next CA: a{'n' if kind == 'intermediate' else ''} {kind} that follows {limit.name}",
        f"the {kind} {limit.name} ends on {day(limit.not_after)}, nothing is there to follow it, and the overlap "
        f"profile of {day(sending.date)} needs it{passed}; where it is renewed with the same key, a new profile is "
        "enough, and the steps of the overlap fall away",
        "next-ca",
    )


def _renewed(turn: _Turn, sending: _Sending) -> Step:
    heir = turn.new[0]
    return Step(
        sending.date,
        f"send a profile with the renewed {heir.name}, which lasts until {day(heir.not_after)}",
        f"{sending.why}; it has the key of the one that ends on {day(turn.limit.not_after)}, so the server stays as it "
        "is and no overlap is needed",
        _RENEWED,
        sending.was,
    )


def _farewell(succession: Succession, sending: _Sending, watched: Sequence[Watched]) -> Step:
    names = _names(succession.former)
    return Step(
        sending.date,
        f"retire {names}: send the next profile without {names}, built with --replaces the one that devices have",
        f"{sending.why}; the server's certificate comes from a later CA, so nothing needs {names} any more"
        f"{_signing(watched, succession.former, _names(succession.roots))}",
        _retire_key(succession.former),
        sending.was,
    )


def _retire_key(certificates: Sequence[Certificate]) -> str:
    """The same before and after the server's move."""
    return _RETIRE + " ".join(sorted({each.subject for each in certificates}))


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
            yield Step(
                date, f"send the device a profile with a renewed identity by {by}", why, f"device {each.lasting_name}"
            )
            continue
        why += "; Apple's devices renew nothing by themselves, and every profile that is sent starts it anew"
        if validity is not None and plan.replace_on is not None and not _lost(plan, now) and plan.replace_on <= date:
            again = shift(shift(plan.replace_on, validity), -plan.margin)
            why += f": after the replacement on {day(plan.replace_on)} the next is by {day(again)}"
        action = f"send the profile again by {by}, so that each device fetches a new identity"
        yield Step(date, action, why, f"{_AGAIN}{each.lasting_name}")


def _names(certificates: Sequence[Certificate]) -> str:
    """The names as a sentence has them; of many only the first."""
    names = [each.name for each in certificates[:_MOST_NAMES]]
    more = len(certificates) - len(names)
    return " and ".join([*names, f"{more} more"] if more else names)
