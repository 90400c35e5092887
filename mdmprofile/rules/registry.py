"""Every rule as a small registered function: what it may find, and on which profiles it is asked.

Severity, hint and source of what it finds stand in the catalogue, under the ids it is registered for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from mdmprofile.catalogue import RULES
from mdmprofile.findings import Finding

# What a rule looks at: the property list of every profile, of an enrollment or a trust profile, or the whole file
# with its certificates, its signature and the date. The last is for lint alone, because what is built is judged before
# it is a file; so is the schema, which speaks only where no other rule does.
EVERY, ENROLLMENT, TRUST, FILE, SCHEMA = "every", "enrollment", "trust", "file", "schema"

# Of one rule in one profile. A binary property list can name one wrong value millions of times at a few bytes each.
MAX_FINDINGS = 500

Check = Callable[[Any], Iterable[Finding]]
F = TypeVar("F", bound=Check)


class Registered(NamedTuple):
    """One rule: the ids of the catalogue that it may yield, what it looks at, and the function."""

    ids: frozenset[str]
    on: str
    check: Check


_registry: list[Registered] = []


def rule(*ids: str, on: str = EVERY) -> Callable[[F], F]:
    """Register a function that yields findings with these ids.

    Raises ``ValueError`` at import for an id that the catalogue does not hold, so that every rule is documented.
    """
    unknown = sorted(set(ids) - set(RULES))
    if unknown or not ids:
        raise ValueError(f"no rule of the catalogue: {', '.join(unknown) or 'none was named'}")

    def register(function: F) -> F:
        _registry.append(Registered(frozenset(ids), on, function))
        return function

    return register


def registered(*on: str) -> tuple[Registered, ...]:
    """The rules registered so far that look at one of these, in the order of their registration; all without any."""
    return tuple(each for each in _registry if not on or each.on in on)


def apply(subject: object, *on: str) -> tuple[Finding, ...]:
    """What the rules that look at one of these find in ``subject``: a ``Profile``, or for a file an ``Examined``.

    At most ``MAX_FINDINGS`` of each.
    """
    return tuple(found for each in registered(*on) for found in islice(each.check(subject), MAX_FINDINGS))
