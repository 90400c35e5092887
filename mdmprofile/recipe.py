"""What the profiles of many devices are made from: a config's tables, variables, and everything read for them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mdmprofile.config_file import ConfigTables, read_tables
from mdmprofile.errors import TemplateError
from mdmprofile.sources import Kept
from mdmprofile.templating import Variables, has_template, names_in, renderer

# A config may name it: an ACME client identifier that no device had before.
FRESH = "{{ fresh.client_identifier }}"
_ENCODER = json.JSONEncoder(sort_keys=True, default=str)
# In a template: an absent value is no mistake.
_OTHER_WAY = re.compile(r"\{%|\bif\b|\bor\b|\bdefault\b|\bd\(")
# The device itself, not one of its values by name.
_WHOLE = re.compile(r"\bdevice\b(?!\s*(?:\.|\[\s*['\"]))")
# What says when a profile is to be replaced, and is not in it.
_PLANNING = frozenset(("replace_on", "replace_margin", "warn", "critical"))


@dataclass(frozen=True, repr=False, eq=False)
class Recipe:
    """Everything that profiles are made from, here or in another process; secrets are inside.

    ``now`` (aware UTC) is the time that profiles are judged at and identities issued. Recipes are told apart by their
    ``token``, so that a process knows one again that it was sent before.
    """

    tables: ConfigTables
    now: datetime
    variables: Variables
    kept: Kept
    token: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and other.token == self.token

    def __hash__(self) -> int:
        return hash(self.token)

    def made_from(self, device: Mapping[str, str]) -> str:
        """What a device's profile is made from as SHA-256, lower-case hexadecimal: another one makes another profile.

        The time, the dates of the planned replacement, and values that no template asks for are no part of it.
        """
        if self._columns is None:
            values = _canonical(device)
        else:
            # No value of a table holds this character, which a property list cannot hold either.
            values = "\0".join([device.get(name, "") for name in self._columns])
        return hashlib.sha256(f"{self._digest}{values}".encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def _names(self) -> frozenset[str]:
        """Every variable that a template speaks of; what is wrong with a template is said when it is filled."""
        found: set[str] = set()
        for text in texts_of(self.tables.values):
            with contextlib.suppress(TemplateError):
                found |= names_in(str(text))
        return frozenset(found)

    @cached_property
    def _columns(self) -> tuple[str, ...] | None:
        """The columns that make a profile another one; None where a template may ask for any."""
        if any(_WHOLE.search(str(text)) for text in texts_of(self.tables.values) if has_template(str(text))):
            return None
        asked = {name.removeprefix("device.") for name in self._names if name.startswith("device.")}
        # The subject of an identity that is issued here names the device by these where nothing else is said.
        return tuple(sorted(asked | {"serial", "udid"}))

    @cached_property
    def _digest(self) -> str:
        tables = {name: table for name, table in self.tables.values.items() if name != "output"}
        profile = tables.get("profile")
        if isinstance(profile, Mapping):
            tables["profile"] = {key: value for key, value in profile.items() if key not in _PLANNING}
        base = self.tables.base
        files = {_place(path, base): hashlib.sha256(data).hexdigest() for path, data in self.kept.files.items()}

        def spoken(value: object) -> str:
            return _place(value, base) if isinstance(value, Path) else str(value)

        variables = {name: value for name, value in self.variables.items() if name in self._names}
        text = json.dumps([tables, variables, files], sort_keys=True, default=spoken)
        return hashlib.sha256(text.encode()).hexdigest()


def _place(path: Path, base: Path) -> str:
    """What a file is called wherever the config is and whoever names it from where."""
    try:
        return os.path.relpath(path, base)
    except ValueError:
        # On another drive of Windows.
        return str(path)


def recipe_of(
    file: Path | None,
    *,
    now: datetime,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    variables: Variables | None = None,
) -> Recipe:
    """The recipe of a config file with flags laid over it.

    An ACME identity gets a fresh client identifier for each device, unless a template or a flag gives it. Raises
    ``InputError`` or ``ConfigError`` as ``read_tables`` does.
    """
    tables = read_tables(file, overrides)
    identity = tables.values.get("identity")
    if isinstance(identity, Mapping) and str(identity.get("type")).casefold() == "acme" and _wants_fresh(tables):
        with_fresh = dict(identity) | {"client_identifier": FRESH}
        tables = tables._replace(values=dict(tables.values) | {"identity": with_fresh})
    return Recipe(tables, now, variables or {}, Kept(), secrets.token_hex(16))


def _wants_fresh(tables: ConfigTables) -> bool:
    """Whether the config has no client identifier, or one for a single device, which a build needs."""
    given = tables.values["identity"].get("client_identifier", "")
    from_flag = "client_identifier" in tables.flags.get("identity", ())
    return isinstance(given, str) and not has_template(given) and not from_flag


def needed_columns(recipe: Recipe) -> frozenset[str]:
    """The columns of a device table that the config cannot do without: those of templates that know no other way."""
    found: set[str] = set()
    for text in texts_of(recipe.tables.values):
        if isinstance(text, str) and has_template(text) and not _OTHER_WAY.search(text):
            found |= {name.removeprefix("device.") for name in names_in(text) if name.startswith("device.")}
    return frozenset(found)


def texts_of(value: object) -> Iterator[str | Path]:
    """Every text and path in a config's value, however deep."""
    if isinstance(value, str | Path):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts_of(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_of(each)


def keeping(recipe: Recipe, files: Mapping[Path, bytes], known: Mapping[str, str]) -> Recipe:
    """The recipe with what was read for it, except files and secrets that each device has its own of."""
    static = {key: value for key, value in known.items() if not is_individual(recipe.tables, key)}
    shared = _shared_paths(recipe)
    common = {path: data for path, data in files.items() if path in shared}
    kept = Kept(dict(recipe.kept.files) | common, dict(recipe.kept.secrets) | static)
    return Recipe(recipe.tables, recipe.now, recipe.variables, kept, secrets.token_hex(16))


def _shared_paths(recipe: Recipe) -> set[Path]:
    """What can be a path in the config and is the same for every device."""
    fill = renderer(recipe.variables)
    found = set()
    for each in texts_of(recipe.tables.values):
        with contextlib.suppress(TemplateError):
            found.add(each if isinstance(each, Path) else recipe.tables.base / fill(each))
    return found


def is_individual(tables: ConfigTables, key: str) -> bool:
    """Whether the value of a config key is each device's own: a template, or a challenge that a command prints."""
    table, _, name = key.partition(".")
    values = tables.values.get(table)
    value = values.get(name) if isinstance(values, Mapping) else None
    # Whoever has a command print a challenge wants another one for each device.
    fetched = key == "identity.challenge" and isinstance(value, Mapping) and "command" in value
    return fetched or has_template(_canonical(value))


def _canonical(value: object) -> str:
    return _ENCODER.encode(value)
