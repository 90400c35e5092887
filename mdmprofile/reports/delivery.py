"""What became of each device of a delivery, for people and for machines."""

from __future__ import annotations

from typing import Any

from mdmprofile.deliver import LEFT, PLANNED, SKIPPED, WITHHELD, Delivery, Outcome
from mdmprofile.reports.limits import MAX_ROWS
from mdmprofile.reports.model import Line, Section
from mdmprofile.sent import FAILED, REFUSED, SENT

_STYLES = {SENT: "good", REFUSED: "bad", FAILED: "bad", WITHHELD: "bad", SKIPPED: "dim", LEFT: "warn"}
_SAID = {
    PLANNED: "would be sent to {}",
    SENT: "sent to {}",
    SKIPPED: "{} had it already",
    REFUSED: "refused for {}",
    WITHHELD: "not sent to {}, whose profile is not fit",
    FAILED: "failed for {}",
    LEFT: "{} left",
}


def as_dict(delivery: Delivery) -> dict[str, Any]:
    """The devices of the JSON report, and how many are in which state."""
    return {
        "counts": {state: delivery.count(state) for state in _SAID},
        "devices": [
            {
                "id": each.device,
                "state": each.state,
                "profile_sha256": each.profile_sha256,
                "command_uuid": each.command_uuid or None,
                "reason": each.reason,
            }
            for each in delivery.outcomes
        ],
    }


def section(delivery: Delivery, title: str) -> Section:
    """A line for each device; of more than a hundred, first those that did not get it."""
    outcomes = list(delivery.outcomes)
    if len(outcomes) > MAX_ROWS:
        order = [REFUSED, WITHHELD, FAILED, LEFT, PLANNED, SENT, SKIPPED]
        outcomes.sort(key=lambda each: order.index(each.state))
    lines = [Line(_line(each), _STYLES.get(each.state, "")) for each in outcomes[:MAX_ROWS]]
    more = len(outcomes) - MAX_ROWS
    if more > 0:
        lines.append(Line(f"... and {more:,} more; --format json has them all", "dim"))
    return Section(title, lines)


def summary(delivery: Delivery) -> str:
    """How many devices there are of each kind, in one line."""
    counts = {state: delivery.count(state) for state in _SAID}
    said = [text.format(_devices(counts[state])) for state, text in _SAID.items() if counts[state]]
    return "; ".join(said) if said else "no device to send anything to"


def _line(outcome: Outcome) -> str:
    reason = f": {outcome.reason}" if outcome.reason else ""
    uuid = f" as {outcome.command_uuid}" if outcome.command_uuid and outcome.state == SENT else ""
    return f"{outcome.device}  {outcome.state}{uuid}{reason}"


def _devices(count: int) -> str:
    return f"{count:,} device" if count == 1 else f"{count:,} devices"
