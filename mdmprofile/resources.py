"""The templates that ship with the package."""

from __future__ import annotations

from importlib.resources import files


def template_text(name: str) -> str:
    """The text of a template, from the installed package or from a source checkout."""
    package = files("mdmprofile")
    packaged = package / "templates" / name
    # An editable install has no copy of the folder beside the package.
    source = packaged if packaged.is_file() else package / ".." / "templates" / name
    return source.read_text(encoding="utf-8")
