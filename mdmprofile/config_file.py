"""A config file as tables: TOML read within bounds, with the flags laid over it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mdmprofile.config_identity import ISSUING_KEYS
from mdmprofile.config_signing import ALTERNATIVES
from mdmprofile.errors import ConfigError
from mdmprofile.inputs import MAX_CONFIG, STDIN, read_file

CONFIG_NAME = "enroll.toml"

# The parser's time and memory grow with the square of a dotted key's parts.
_MAX_DOTS = 500


class ConfigTables(NamedTuple):
    """A config before its templates are filled: nested tables, the directory its paths start from, and its name.

    ``flags`` holds, by table, the keys that were given as flags. Values may be secret, so they never show in ``repr``.
    """

    values: Mapping[str, Any]
    base: Path
    source: str
    flags: Mapping[str, frozenset[str]]

    def __repr__(self) -> str:
        return f"ConfigTables(source={self.source!r})"

    def place_of(self, key: str) -> str:
        """What a message calls a key: the file and the key, or the key alone where a flag gave it."""
        table, _, inner = key.partition(".")
        from_flag = self.source == "flags" or inner.partition(".")[0] in self.flags.get(table, frozenset())
        return key if from_flag else f"{self.source}: {key}"


def read_tables(file: Path | None, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> ConfigTables:
    """Read a config file and lay flags over it; ``-`` reads standard input.

    ``overrides`` is a table of tables like the file, whose ``Path`` values are relative to the working directory.
    Raises ``InputError``, or ``ConfigError`` for what is no TOML.
    """
    source = "flags" if file is None else "standard input" if file == STDIN else str(file)
    data = _tables_of(file, source) if file is not None else {}
    base = file.parent if file is not None and file != STDIN else Path()
    return lay_over(ConfigTables(data, base, source, {}), overrides or {})


def lay_over(tables: ConfigTables, overrides: Mapping[str, Mapping[str, Any]]) -> ConfigTables:
    """The tables with the flags on top."""
    flags = {name: frozenset(keys) for name, keys in overrides.items()}
    return tables._replace(values=_merge(tables.values, overrides), flags=flags)


def _tables_of(file: Path, source: str) -> dict[str, Any]:
    data = read_file(file, limit=MAX_CONFIG)
    try:
        return parse_toml(data, source=source)
    except ConfigError:
        from mdmprofile.reader import is_profile  # noqa: PLC0415 - slow to import, needed for a mistake only

        if not is_profile(data):
            raise
        hint = "mdmprofile init --from makes a config of it"
        raise ConfigError("is a profile, not a config", where=source, hint=hint) from None


def parse_toml(data: bytes, *, source: str) -> dict[str, Any]:
    """TOML bytes as tables; raises ``ConfigError`` with line and column for a syntax error."""
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 text (byte {error.start})", where=source, hint="save it as UTF-8") from None
    dotted = next((number for number, line in enumerate(text.splitlines(), 1) if line.count(".") > _MAX_DOTS), None)
    if dotted is not None:
        raise ConfigError(f"line {dotted} has more than {_MAX_DOTS} dots", where=source, hint="shorten that line")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        lines = text.split("\n")
        end = f"at line {len(lines)}, column {len(lines[-1]) + 1}, the end of the file"
        reason = str(error).replace("at end of document", end)
        raise ConfigError(f"is not valid TOML: {reason}", where=source, hint="correct it there") from None
    except (RecursionError, ValueError):
        raise ConfigError(
            "is not valid TOML: nested too deeply, or a value out of range", where=source, hint="simplify it"
        ) from None


def has_config_table(data: bytes) -> bool:
    """Whether one of a config's tables begins somewhere in the bytes, broken as the rest may be."""
    return re.search(rb"(?m)^(?:\xef\xbb\xbf)?[ \t]*\[(?:profile|server|identity)\]", data) is not None


def is_damaged_config(data: bytes) -> bool:
    """Whether the bytes have a config's table and are no TOML."""
    if len(data) > MAX_CONFIG or not has_config_table(data):
        return False
    try:
        parse_toml(data, source="")
    except ConfigError:
        return True
    return False


# What a flag chooses instead of another key of the same table.
_ALTERNATIVES = {
    ("server", "topic"): ("push_certificate",),
    ("server", "push_certificate"): ("topic",),
    ("identity", "file"): ISSUING_KEYS,
    **{("signing", flag): replaced for flag, replaced in ALTERNATIVES.items()},
    # The CA that issues is named as a signer is; the one of a SCEP server by its certificate or fingerprint.
    **{
        ("identity", f"ca_{flag}"): (*(f"ca_{each}" for each in replaced), "ca_fingerprint")
        for flag, replaced in ALTERNATIVES.items()
    },
}


def _merge(data: Mapping[str, Any], overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The file's tables with the flags on top; a flag also takes the place of the keys it is an alternative to."""
    merged = dict(data)
    for name, flags in overrides.items():
        below = merged.get(name, {})
        if not isinstance(below, Mapping):
            continue
        kind = below.get("type")
        if "type" in flags and (not isinstance(kind, str) or kind.casefold() != flags["type"]):
            merged[name] = dict(flags)
            continue
        replaced = {each for flag in flags for each in _ALTERNATIVES.get((name, flag), ())}
        merged[name] = {key: value for key, value in below.items() if key not in replaced} | dict(flags)
    return merged
