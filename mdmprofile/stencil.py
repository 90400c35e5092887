"""A text whose changing parts are cut out once, so that filling them in many times costs next to nothing."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable, Mapping
from xml.sax.saxutils import escape

from mdmprofile.errors import UnfilledError
from mdmprofile.templating import Render

_LINE, _SHORTEST = 76, 16


class Marks:
    """Marks that stand for the values of templates which only a device can fill.

    A mark is found again wherever it went, because nobody else has it. With ``spaced``, marks hold a space, as values
    may: a key that takes one takes the other.
    """

    def __init__(self, static: Render, *, spaced: bool) -> None:
        self._static = static
        self._spaced = spaced
        self.templates: dict[str, str] = {}

    def render(self, text: str) -> str:
        """The filled template where its variables are the same for every device, else its mark."""
        try:
            return self._static(text)
        except UnfilledError:
            known = {template: mark for mark, template in self.templates.items()}
            mark = known.get(text) or self.fresh()
            self.templates[mark] = text
            return mark

    def fresh(self) -> str:
        """A mark that stands for no template."""
        mark = secrets.token_hex(8)
        return f"m{mark} {mark}m" if self._spaced else f"m{mark}m"


class Stencil:
    """A text with marks in it."""

    def __init__(self, text: str, marks: Iterable[str]) -> None:
        self._parts = re.split("|".join(f"({re.escape(each)})" for each in marks) or r"(?!)", text)
        # Each group of the pattern gives a part, None where another one matched.
        self._parts = [each for each in self._parts if each]

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with the values in the place of their marks."""
        return "".join([values.get(each, each) for each in self._parts])


def xml_text(value: str) -> str:
    """A text as ``plistlib`` writes it into XML."""
    return escape(value)


def data_mark() -> tuple[bytes, str]:
    """Bytes, and the mark that stands for them in an XML property list."""
    data = secrets.token_bytes(24)
    return data, base64.b64encode(data).decode()


def indent_of(mark: str, text: str) -> str:
    """The white space in front of a mark that is alone in its line."""
    start = text.index(mark)
    return text[text.rindex("\n", 0, start) + 1 : start]


def xml_data(data: bytes, indent: str) -> str:
    """Bytes as ``plistlib`` writes them into XML, in lines behind ``indent``."""
    width = max(_SHORTEST, _LINE - len(indent.replace("\t", " " * 8))) // 4 * 3
    lines = (base64.b64encode(data[start : start + width]).decode() for start in range(0, len(data), width))
    return f"\n{indent}".join(lines)
