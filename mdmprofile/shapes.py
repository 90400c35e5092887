"""Which devices' values are alike, so that the judgement of two holds for all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from mdmprofile.findings import Finding

# Strange values must not fill the memory.
_MOST = 5000
_PLAIN = re.compile("[A-Za-z0-9]+")


class _Seen(NamedTuple):
    """What the first device of a shape had; ``proven`` when another one had the same findings."""

    values: tuple[str, ...]
    findings: tuple[Finding, ...]
    proven: bool


class Shapes:
    """Remembers the findings of devices by what a judgement of their values could depend on.

    A shape is proven when two devices of it have got the same findings, and their profiles were the same when they were
    filled in. It never is once two of them differ. Several threads may use it at once.
    """

    def __init__(self) -> None:
        self._seen: dict[object, _Seen | None] = {}

    def findings(self, values: Sequence[str]) -> tuple[Finding, ...] | None:
        """The findings about a profile with these values; None where they are not known beforehand."""
        seen = self._seen.get(_shape_of(values))
        return seen.findings if seen is not None and seen.proven else None

    def learn(self, values: Sequence[str], findings: tuple[Finding, ...], *, alike: bool) -> None:
        """Keep what was found about a profile that was made in full; ``alike`` when filling it in gives the same."""
        shape, given = _shape_of(values), tuple(values)
        if shape in self._seen:
            seen = self._seen[shape]
            if seen is None or (alike and seen.values == given):
                return
            self._seen[shape] = _Seen(given, findings, True) if alike and findings == seen.findings else None
        elif len(self._seen) < _MOST:
            # Where no value is a device's own, the next profile is this one.
            self._seen[shape] = _Seen(given, findings, not any(given)) if alike else None


def _shape_of(values: Sequence[str]) -> object:
    """Of each value its lengths, its odd characters, whether it is digits alone, and space around it."""
    return tuple(map(_shape, values))


def _shape(text: str) -> object:
    if text.isalnum() and text.isascii():
        # As most are.
        return len(text), text.isdigit()
    odd = "".join(sorted(set(_PLAIN.sub("", text))))
    bare = text.strip()
    return len(text), len(text.encode("utf-8", "replace")), odd, text.isdigit(), text != bare, not bare
