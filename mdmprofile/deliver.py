"""Deliver a replacement: have an MDM server queue ``InstallProfile`` for each device, once, however often it is run.

A command's UUID is recorded before its first request. Whatever ends the run in between, the next one asks for the same
command again, so that a server which has it already does not queue a second one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from mdmprofile.courier import Courier
from mdmprofile.errors import DeliveryError, MdmprofileError, NetworkError
from mdmprofile.findings import Finding, finding, has_errors
from mdmprofile.mdm_command import fresh_command_uuid
from mdmprofile.mdm_servers import Answered, MdmServer, Verdict, seconds_to_wait
from mdmprofile.moments import stamp
from mdmprofile.parcels import Parcel
from mdmprofile.probe.network import UnreachableError
from mdmprofile.probe.tls import DistrustedError
from mdmprofile.sent import FAILED, REFUSED, SENDING, SENT, SentLine, SentLines, SentRecord

SKIPPED, WITHHELD, PLANNED, LEFT = "skipped", "withheld", "planned", "left"
RATE = 10.0
RETRIES = 5
# Seconds: the longest of our own waits, and the longest that a server may ask for before the run ends instead.
_LONGEST_WAIT = 60.0
_PATIENCE = 300.0
# What databases call a command that they have already.
_THERE = "duplicate"


# Looks at a profile before it is sent; an error among what it finds holds it back.
Vet = Callable[[Parcel, bytes], Sequence[Finding]]


class Clock(NamedTuple):
    """The time, aware UTC; seconds on a clock that nobody sets; and how to let seconds pass."""

    date: Callable[[], datetime]
    monotonic: Callable[[], float]
    wait: Callable[[float], None]


class Pace(NamedTuple):
    """How many requests a second at most, and how often one that may yet succeed is repeated."""

    rate: float = RATE
    retries: int = RETRIES


class Outcome(NamedTuple):
    """What became of one device.

    ``state`` is ``sent``, ``skipped`` (it was sent before), ``refused`` by the server, ``withheld`` because its profile
    is not fit, ``failed``, ``left`` when the run ended before, or ``planned``. ``reason`` is short and printable.
    """

    device: str
    profile_sha256: str
    state: str
    command_uuid: str = ""
    reason: str = ""
    findings: tuple[Finding, ...] = ()


class Delivery(NamedTuple):
    """What became of all of them, in order; ``error`` is why the run ended early."""

    outcomes: tuple[Outcome, ...]
    error: DeliveryError | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found about the devices."""
        return tuple(found for each in self.outcomes for found in each.findings)

    def count(self, state: str) -> int:
        """How many devices are in this state."""
        return sum(each.state == state for each in self.outcomes)


class _StopError(Exception):
    """The server is of no use for any other device either; holds the outcome of this one, and the error."""

    def __init__(self, outcome: Outcome, error: DeliveryError) -> None:
        super().__init__()
        self.outcome = outcome
        self.error = error


def deliver(
    parcels: Sequence[Parcel],
    server: MdmServer,
    courier: Courier,
    record: SentRecord,
    *,
    clock: Clock,
    pace: Pace = Pace(),  # noqa: B008 - it cannot be changed
    again: bool = False,
    command_uuid: str = "",
    vet: Vet | None = None,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> Delivery:
    """Send each device its profile, unless the record says that this was done; ``again`` sends it all the same.

    ``vet`` is asked about each profile before; where it finds an error that device gets nothing, and the others go on.
    ``command_uuid`` is for a single device; without it each command gets a fresh one. What a device or its profile is
    at fault for is in the outcomes; what the server is at fault for ends the run, and is the ``error``. Raises
    ``OutputError`` when the record cannot be written.
    """
    run = _Run(server, courier, record, clock, pace, again, command_uuid)
    outcomes: list[Outcome] = []
    for number, parcel in enumerate(parcels):
        tell(number, len(parcels))
        try:
            outcomes.append(run.send(parcel, vet))
        except _StopError as stop:
            left = [Outcome(each.device, each.profile_sha256, LEFT) for each in parcels[number + 1 :]]
            return Delivery((*outcomes, stop.outcome, *left), stop.error)
    tell(len(parcels), len(parcels))
    return Delivery(tuple(outcomes))


def plan_delivery(
    parcels: Sequence[Parcel], lines: SentLines, server: str, *, again: bool = False, vet: Vet | None = None
) -> Delivery:
    """What ``deliver`` would do, as far as anybody can tell without asking the server at this URL."""
    return Delivery(tuple(_planned(each, lines, server, again=again, vet=vet) for each in parcels))


def _planned(parcel: Parcel, lines: SentLines, server: str, *, again: bool, vet: Vet | None) -> Outcome:
    before = lines.last(parcel.device, parcel.profile_sha256, server)
    if before is not None and before.state == SENT and not again:
        return _skipped(parcel, before)
    _, outcome = _read(parcel, vet)
    return outcome


def _read(parcel: Parcel, vet: Vet | None) -> tuple[bytes, Outcome]:
    """The profile, and that it is to be sent, or why not."""
    profile = b""
    try:
        profile = parcel.read()
        found = tuple(vet(parcel, profile)) if vet is not None else ()
    except MdmprofileError as error:
        found = (finding("delivery.profile", f"{parcel.device}: {error.message}", where=error.where or parcel.source),)
    planned = Outcome(parcel.device, parcel.profile_sha256, PLANNED, "", parcel.source, found)
    if not has_errors(found):
        return profile, planned
    return b"", planned._replace(state=WITHHELD, reason=next(each.message for each in found if has_errors([each])))


class _Run:
    def __init__(
        self,
        server: MdmServer,
        courier: Courier,
        record: SentRecord,
        clock: Clock,
        pace: Pace,
        again: bool,
        command_uuid: str,
    ) -> None:
        self._server = server
        self._courier = courier
        self._record = record
        self._clock = clock
        self._pace = pace
        self._again = again
        self._command_uuid = command_uuid
        self._next = clock.monotonic()

    def send(self, parcel: Parcel, vet: Vet | None) -> Outcome:
        before = self._record.last(parcel.device, parcel.profile_sha256, self._courier.location.place)
        if before is not None and before.state == SENT and not self._again:
            return _skipped(parcel, before)
        profile, planned = _read(parcel, vet)
        if planned.state == WITHHELD:
            return planned
        outcome = self._ask(parcel, profile, before)
        return outcome._replace(findings=(*planned.findings, *outcome.findings))

    def _ask(self, parcel: Parcel, profile: bytes, before: SentLine | None) -> Outcome:
        uuid = self._command_uuid
        if before is not None and before.may_have_arrived:
            uuid = uuid or before.command_uuid
        may_be_there = before is not None and before.may_have_arrived and before.command_uuid == uuid
        uuid = uuid or fresh_command_uuid()
        self._note(parcel, SENDING, uuid)
        base = self._courier.location.target
        request = self._server.request(base, parcel.device, profile, uuid)
        for attempt in range(self._pace.retries + 1):
            self._keep_pace()
            asked_to_wait = 0.0
            try:
                reply = self._courier.bring(request)
            except DistrustedError as error:
                raise self._stop(parcel, uuid, error.message, error.hint) from None
            except NetworkError as error:
                reason, hint = error.message, error.hint
                may_be_there = may_be_there or not isinstance(error, UnreachableError)
            else:
                verdict = self._server.judge(reply, parcel.device)
                if verdict.kind is Answered.NEVER:
                    raise self._stop(parcel, uuid, self._courier.masked(verdict.reason), "check the URL and the key")
                if verdict.kind is not Answered.LATER:
                    return self._done(parcel, uuid, verdict, may_be_there=may_be_there)
                # A gateway that gave up says nothing about the server behind it.
                may_be_there = True
                reason, hint = verdict.reason, "wait until the server is well"
                asked_to_wait = seconds_to_wait(reply.retry_after, self._clock.date())
            if asked_to_wait > _PATIENCE:
                reason = f"{reason}, and wants to be asked again in {asked_to_wait:,.0f} seconds"
                break
            if attempt < self._pace.retries:
                self._clock.wait(max(min(2.0**attempt, _LONGEST_WAIT), asked_to_wait))
        raise self._stop(parcel, uuid, reason, hint)

    def _keep_pace(self) -> None:
        now = self._clock.monotonic()
        if now < self._next:
            self._clock.wait(self._next - now)
        self._next = max(self._next, now) + 1 / self._pace.rate

    def _done(self, parcel: Parcel, uuid: str, verdict: Verdict, *, may_be_there: bool) -> Outcome:
        """The outcome of an answer, recorded; a command that an earlier request had brought there is sent, too."""
        reason = self._courier.masked(verdict.reason)
        if verdict.kind is Answered.REFUSED and not (may_be_there and _THERE in verdict.reason.lower()):
            self._note(parcel, REFUSED, uuid, reason)
            wrong = finding("delivery.refused", f"{parcel.device}: {reason}", where=self._courier.location.place)
            return Outcome(parcel.device, parcel.profile_sha256, REFUSED, uuid, reason, (wrong,))
        found: tuple[Finding, ...] = ()
        if verdict.kind is Answered.REFUSED:
            reason = f"it was there already: {reason}"
        elif not verdict.pushed:
            message = f"{parcel.device}: {reason}"
            found = (finding("delivery.not-pushed", message, where=self._courier.location.place),)
        uuid = self._courier.masked(verdict.command_uuid) or uuid
        self._note(parcel, SENT, uuid, reason)
        return Outcome(parcel.device, parcel.profile_sha256, SENT, uuid, reason, found)

    def _stop(self, parcel: Parcel, uuid: str, reason: str, hint: str) -> _StopError:
        self._note(parcel, FAILED, uuid, reason)
        place = self._courier.location.place
        error = DeliveryError(reason, where=place, hint=hint)
        return _StopError(Outcome(parcel.device, parcel.profile_sha256, FAILED, uuid, reason), error)

    def _note(self, parcel: Parcel, state: str, uuid: str, answer: str = "") -> None:
        at, server = stamp(self._clock.date()), self._courier.location.place
        self._record.add(SentLine(at, parcel.device, parcel.profile_sha256, state, uuid, server, answer))


def _skipped(parcel: Parcel, before: SentLine) -> Outcome:
    reason = f"it was sent at {before.at}"
    return Outcome(parcel.device, parcel.profile_sha256, SKIPPED, before.command_uuid, reason)
