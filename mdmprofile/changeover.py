"""A change of the CA as dated steps: the overlap, the wait for the fleet, the server's move, the old CA retired."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.findings import Finding, finding
from mdmprofile.moments import calendar_days, day, shift, spoken
from mdmprofile.plan import CONSEQUENCES, Plan, Step, Watched, is_ahead
from mdmprofile.succession import Succession, stranded_signers

OVERLAP, MOVE, RENEWED, RETIRE = "overlap", "move", "renewed", "retire "
_MOST_NAMES = 3
_DAY = timedelta(days=1)
# Margins that a change of the CA takes: to get the next one, to send it, to retire the old one.
_ROUNDS = 3


class Sending(NamedTuple):
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

    def ready(self, sending: Sending) -> datetime:
        """When the fleet trusts what is new."""
        return max((sending.ready, *(each.not_before for each in self.new)))

    def late(self, sending: Sending, now: datetime) -> str:
        """What to say where the old chain ends before the fleet can have the new CA; else nothing."""
        end, ready = self.limit.not_after, self.ready(sending)
        if end < now and not (sending.made and ready <= end):
            return f"{self.limit.name} ended on {day(end)}, and devices that trust nothing else must enroll again"
        if end < ready:
            return f"{self.limit.name} ends on {day(end)}, but the fleet has the new profile on {day(ready)}"
        return ""


def change_steps(
    succession: Succession,
    plan: Plan,
    sending: Sending,
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
    short = succession.next_limit
    if short is not None and short.not_after <= succession.limit.not_after:
        steps.append(_short_lived(succession, short, sending))
    elif succession.following:
        turn = _turn(succession, succession.roots, succession.following, succession.limit, watched)
    elif isinstance(limit, Certificate) and limit in succession.current:
        turn = _turn(succession, (limit,), succession.heirs[limit], limit, watched)
    elif succession.limit.not_after < shift(sending.date, _ROUNDS * sending.margin):
        # Something else is replaced first, and after that there is no time left for the CA.
        limit = succession.limit
        turn = _turn(succession, (limit,), succession.heirs[limit], limit, watched)
    if turn is None:
        return steps, ()
    if sent is not None and turn.new:
        # What is in the profile is on its way to devices with it.
        sending = Sending(min(sent, now), plan.margin, "", made=True)
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


def _short_lived(succession: Succession, short: Certificate, sending: Sending) -> Step:
    """A next CA that ends first is none to move to."""
    old, new = _names(succession.roots), _names(succession.following)
    return Step(
        sending.date,
        f"do not move the server to {new} yet: have {short.name} renewed, or leave {new} out of the next profile",
        f"{short.name} ends on {day(short.not_after)}, before {succession.limit.name}, which ends on "
        f"{day(succession.limit.not_after)}; devices trust the server by {old} until then",
        "short-lived",
    )


def _turn(
    succession: Succession,
    old: Sequence[Certificate],
    new: Sequence[Certificate],
    limit: Certificate,
    watched: Sequence[Watched],
) -> _Turn:
    doubt = _doubt(succession, old) if new else ""
    if new and new == succession.following and succession.certain:
        doubt += f"; if {_names(new)} {'is' if len(new) == 1 else 'are'} there for something else, leave it as it is"
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


def _overlap(turn: _Turn, sending: Sending, now: datetime) -> Iterable[Step]:
    """Both CAs in one profile, the server moved when every device has it, the old CA gone after that."""
    end = turn.limit.not_after
    before, after = _names(turn.old), _names(turn.new) or "the next CA"
    # After the end no device connects by the old chain, so nothing is gained by waiting on.
    move = max(min(turn.ready(sending), shift(end, -_DAY)), sending.date, now)
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


def _arrival(turn: _Turn, sending: Sending) -> Step:
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


def _get_next(limit: Certificate, sending: Sending, now: datetime) -> Step:
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


def _renewed(turn: _Turn, sending: Sending) -> Step:
    heir = turn.new[0]
    return Step(
        sending.date,
        f"send a profile with the renewed {heir.name}, which lasts until {day(heir.not_after)}",
        f"{sending.why}; it has the key of the one that ends on {day(turn.limit.not_after)}, so the server stays as it "
        "is and no overlap is needed",
        RENEWED,
        sending.was,
    )


def _farewell(succession: Succession, sending: Sending, watched: Sequence[Watched]) -> Step:
    names = _names(succession.former)
    return Step(
        sending.date,
        f"retire {names}: send the next profile without {names}, built with --replaces the one that devices have",
        f"{sending.why}; the server's certificate comes from a later CA, so the server needs {names} "
        "no more; keep what Wi-Fi, VPN or mail needs"
        f"{_signing(watched, succession.former, _names(succession.roots))}",
        _retire_key(succession.former),
        sending.was,
    )


def _retire_key(certificates: Sequence[Certificate]) -> str:
    """The same before and after the server's move."""
    return RETIRE + " ".join(sorted({each.subject for each in certificates}))


def _names(certificates: Sequence[Certificate]) -> str:
    """The names as a sentence has them; of many only the first."""
    names = [each.name for each in certificates[:_MOST_NAMES]]
    more = len(certificates) - len(names)
    return " and ".join([*names, f"{more} more"] if more else names)
