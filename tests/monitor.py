"""What a monitor reads of a plugin: one line by the Monitoring Plugins guidelines, and nothing more lenient."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple


def harmless(text: str) -> bool:
    """Whether nothing in it steers a terminal or ends a line."""
    return all(each.isprintable() or unicodedata.category(each) == "Zs" for each in text)


class Value(NamedTuple):
    """One item of performance data."""

    value: float
    warning: str
    critical: str


RANGE = r"@?(?:(?:~|-?\d+(?:\.\d+)?):)?(?:-?\d+(?:\.\d+)?)?"
NUMBER = r"-?\d+(?:\.\d+)?"
ITEM = re.compile(
    rf"'(?P<label>[^'=]+)'=(?P<value>{NUMBER})(?:;(?P<warning>{RANGE})(?:;(?P<critical>{RANGE})(?:;(?:{NUMBER})?){{0,2}})?)?"
)
LINE = re.compile(r"MDMPROFILE (?P<state>OK|WARNING|CRITICAL|UNKNOWN) - (?P<text>[^|]+?)(?: \| (?P<data>[^|]+))?")


def plugin_line(text: str) -> tuple[str, str, dict[str, Value]]:
    """State, text and performance data of a plugin's output, by the guidelines and nothing more."""
    assert text.count("\n") <= 1
    assert harmless(text.rstrip("\n"))
    assert len(text.encode()) <= 1001
    match = LINE.fullmatch(text.removesuffix("\n"))
    assert match, text
    values: dict[str, Value] = {}
    for each in (match["data"] or "").split(" ") if match["data"] else []:
        item = ITEM.fullmatch(each)
        assert item, each
        assert item["label"] not in values
        values[item["label"]] = Value(float(item["value"]), item["warning"] or "", item["critical"] or "")
    return match["state"], match["text"], values


def alerts(value: float, limits: str) -> bool:
    """Whether a monitor alerts by the range: ``10:`` below 10, ``10`` outside 0 to 10, nothing never."""
    if not limits:
        return False
    low, colon, high = limits.rpartition(":")
    least = float("-inf") if low == "~" else float(low or 0) if colon else 0.0
    return value < least or (bool(high) and value > float(high))
