"""What configs and ledgers tell of the other targets of a run: how long identities last, what ends are held to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from mdmprofile.contents import ISSUED, Target
from mdmprofile.moments import day, shift, spoken
from mdmprofile.plan import Thresholds
from mdmprofile.recorded import fetched


class Pairing(NamedTuple):
    """What configs and ledgers tell of other targets.

    ``validity`` is what somebody asked for; ``validities`` and ``thresholds`` are by the identifier of a profile.
    ``only`` is the one config, where there is one: a ledger does not say which of several its profiles were made from.
    ``listed`` are the SHA-256 of the profiles that ledgers list.
    """

    validity: timedelta | None
    validities: Mapping[str, timedelta]
    thresholds: Mapping[str, Thresholds]
    only: Target
    listed: frozenset[bytes]

    def told(self, target: Target, now: datetime) -> Target:
        """The target with what they tell of it; of a listed profile, the ledger tells the identity."""
        if target.listed is not None:
            own = target._replace(thresholds=target.thresholds or self.only.thresholds)
            return _dated(own, self.validity or self.only.validity, now)
        if target.digest in self.listed:
            target = target._replace(watched=tuple(each for each in target.watched if each.role != "identity"))
        paired = self.thresholds.get(target.identifier) if target.source else None
        own = target._replace(thresholds=paired or target.thresholds)
        return _dated(own, self.validity or self.validities.get(target.identifier), now)


def pair(telling: Sequence[Target], validity: timedelta | None) -> Pairing:
    """Gather it from configs and ledgers."""
    configs = [each for each in telling if each.thresholds is not None]
    listed = frozenset[bytes]().union(*(each.listed for each in telling if each.listed))
    only = configs[0] if len(configs) == 1 else Target(())
    return Pairing(validity, _validities(telling), _thresholds(telling), only, listed)


def date_identities(
    targets: Sequence[Target], *, now: datetime, validity: timedelta | None = None
) -> tuple[Target, ...]:
    """The targets with an end for the SCEP and ACME identities of profiles, where their validity is known.

    It is ``validity``, or that of the config with the profile's identifier among the targets. It counts from the
    signature, because no device enrolled before it, or from ``now`` where there is none.
    """
    known = _validities(targets)
    return tuple(_dated(each, validity or known.get(each.identifier), now) for each in targets)


def _validities(targets: Iterable[Target]) -> dict[str, timedelta]:
    # Of several configs with one identifier, the shortest: nobody can tell which one the profile was built from.
    known: dict[str, timedelta] = {}
    for each in targets:
        if each.validity is not None:
            known[each.identifier] = min(each.validity, known.get(each.identifier, each.validity))
    return known


def _thresholds(configs: Iterable[Target]) -> dict[str, Thresholds]:
    """What profiles are held against, by identifier; of several configs that differ nobody can tell which it is."""
    known: dict[str, set[Thresholds]] = {}
    for each in configs:
        if each.identifier and each.thresholds is not None:
            known.setdefault(each.identifier, set()).add(each.thresholds)
    return {identifier: next(iter(those)) for identifier, those in known.items() if len(those) == 1}


def _dated(target: Target, validity: timedelta | None, now: datetime) -> Target:
    if validity is None or target.validity is not None:
        return target
    if target.listed is not None:
        return fetched(target, validity)
    # The signer states the time; a time to come would make everything last longer than it does.
    start = min(target.signing_time or now, now)
    name = f"valid for {spoken(validity)} from {day(start)}"
    return target._replace(
        watched=tuple(
            each._replace(name=f"{each.name}, {name}", not_after=shift(start, validity))
            if each.not_after is None and each.certificate is None and each.name in ISSUED
            else each
            for each in target.watched
        )
    )
