"""Hostile text made safe to show: certificates, file names and profiles can hold anything."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """The text with every control, format and surrogate character written as its escape.

    Without this, a certificate's subject could move the cursor, clear the screen or reverse the reading order.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or unicodedata.category(each) == "Zs" else each.encode("unicode_escape").decode()
        for each in text
    )
