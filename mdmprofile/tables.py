"""Reading configuration tables: every mistake is kept with its key's path, and all are reported at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from mdmprofile.errors import ConfigError, MdmprofileError, TemplateError, UnfilledError
from mdmprofile.moments import as_utc, parse_duration, parse_moment
from mdmprofile.secret import SecretSource
from mdmprofile.templating import Render

T = TypeVar("T")
D = TypeVar("D")

UUID_FORM = r"[0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}"


class Context:
    """What the tables of one config share: where paths start, how templates are filled, what went wrong.

    ``for_device`` says that the variables are one device's, so that whatever only devices fill must be filled.
    """

    def __init__(self, base: Path, render: Render, *, lenient: bool = False, for_device: bool = True) -> None:
        self.base = base
        self.render = render
        self.lenient = lenient
        self.for_device = for_device and not lenient
        self.problems: list[MdmprofileError] = []
        self.unfilled: list[str] = []

    def problem(self, where: str, message: str, hint: str = "") -> None:
        """Keep one mistake."""
        self.problems.append(ConfigError(message, where=where, hint=hint))


Convert = Callable[[Any, Context], T]


class Table:
    """One table of the config. Each key is taken once; ``finish`` reports the keys nobody took.

    ``prefix`` stands before the names of all its keys in the file.
    """

    def __init__(
        self,
        values: Any,  # noqa: ANN401 - TOML values are of any type
        path: str,
        context: Context,
        *,
        prefix: str = "",
    ) -> None:
        self.path = path
        self.prefix = prefix
        self.context = context
        self.known: list[str] = []
        if isinstance(values, Mapping):
            self.values = dict(values)
        else:
            self.values = {}
            context.problem(path, "must be a table", f"write it as [{path}]")

    def where(self, name: str) -> str:
        """The dotted path of a key."""
        return f"{self.path}.{self.prefix}{name}" if self.path else name

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def take(self, name: str, convert: Convert[T], default: D) -> T | D:
        """The converted value of a key, or ``default`` when it is absent or wrong."""
        self.known.append(name)
        if name not in self.values:
            return default
        try:
            return convert(self.values[name], self.context)
        except UnfilledError as error:
            if self.context.lenient:
                self.context.unfilled.append(self.where(name))
            else:
                self.context.problem(self.where(name), error.message, error.hint)
        except TemplateError as error:
            self.context.problem(self.where(name), error.message, error.hint)
        except OverflowError:
            self.context.problem(self.where(name), "is beyond the calendar")
        except (ValueError, TypeError) as error:
            self.context.problem(self.where(name), str(error))
        return default

    def require(self, name: str, convert: Convert[T], hint: str) -> T:
        """The converted value of a key that must be there; its absence is one more problem.

        A lenient reading keeps the text of a template that nobody can fill yet.
        """
        if name not in self.values:
            self.context.problem(self.where(name), "is missing", hint)
        found = self.take(name, convert, None)
        if found is None and self.context.lenient and isinstance(self.values.get(name), str):
            return cast("T", Path(self.values[name]) if convert is path else self.values[name])
        return cast("T", found)

    def table(self, name: str) -> Table:
        """A table inside this one, empty when absent."""
        self.known.append(name)
        return Table(self.values.get(name, {}), self.where(name), self.context)

    def prefixed(self, prefix: str, names: Iterable[str]) -> Table:
        """The keys that are ``names`` with ``prefix`` before them, as a table of their own without it."""
        full = {name: f"{prefix}{name}" for name in names}
        self.known += full.values()
        values = {name: self.values[key] for name, key in full.items() if key in self.values}
        return Table(values, self.path, self.context, prefix=prefix)

    def reject(self, names: Mapping[str, str]) -> None:
        """Keys that exist but cannot be used here, each with the reason."""
        for name, reason in names.items():
            if name in self.values:
                self.known.append(name)
                self.context.problem(self.where(name), reason)

    def finish(self) -> None:
        """Report every key that nobody asked for, with the nearest one that exists."""
        for name in self.values:
            if name in self.known:
                continue
            near = nearest(name, self.known)
            known = ", ".join(sorted(set(self.known)))
            hint = f"did you mean {near}?" if near else f"known here: {known}"
            self.context.problem(self.where(name), "is not a known key", hint)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like this one; empty when none is like it."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for mistakes

    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.5)), "")


def text(value: Any, context: Context) -> str:  # noqa: ANN401 - TOML values are of any type
    """A non-empty string with its templates filled."""
    if not isinstance(value, str):
        raise TypeError(f"must be text in quotes, not {_kind(value)}")
    filled = context.render(value)
    if not filled.strip():
        raise ValueError("is empty")
    return filled


def word(value: Any, context: Context) -> str:  # noqa: ANN401
    """Text without white space or control characters: identifiers, URLs, topics."""
    filled = text(value, context)
    if any(each.isspace() or not each.isprintable() for each in filled):
        raise ValueError(f"{filled!r} must not hold spaces or control characters")
    return filled


def boolean(value: Any, _context: Context) -> bool:  # noqa: ANN401
    """True or false."""
    if not isinstance(value, bool):
        raise TypeError(f"must be true or false, not {_kind(value)}")
    return value


def integer(value: Any, context: Context) -> int:  # noqa: ANN401
    """A whole number that a property list can hold, also as text from a flag or a template."""
    if isinstance(value, str):
        filled = text(value, context)
        if not re.fullmatch(r"-?\d{1,10}", filled):
            raise ValueError(f"{filled!r} is not a whole number")
        return int(filled)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"must be a whole number, not {_kind(value)}")
    if abs(value) >= 2**63:
        raise ValueError("is too large")
    return value


def moment(value: Any, context: Context) -> datetime:  # noqa: ANN401
    """A date or date-time, TOML's own or ISO 8601 text; aware UTC."""
    if isinstance(value, datetime | date):
        return as_utc(value)
    if not isinstance(value, str):
        raise TypeError(f"must be a date such as 2027-06-01, not {_kind(value)}")
    return parse_moment(text(value, context))


def duration(value: Any, context: Context) -> timedelta:  # noqa: ANN401
    """A duration such as ``30d``."""
    if isinstance(value, timedelta):
        return value
    return parse_duration(text(value, context))


def path(value: Any, context: Context) -> Path:  # noqa: ANN401
    """A path: text is relative to the config, a ``Path`` (from a flag) to the working directory."""
    return value if isinstance(value, Path) else context.base / text(value, context)


def several(convert: Convert[T]) -> Convert[tuple[T, ...]]:
    """A list of values, or one value alone."""

    def convert_all(value: Any, context: Context) -> tuple[T, ...]:  # noqa: ANN401
        if not isinstance(value, list | tuple):
            return (convert(value, context),)
        found, mistakes = [], []
        for number, each in enumerate(value, 1):
            try:
                found.append(convert(each, context))
            except (ValueError, TypeError) as error:
                mistakes.append(f"item {number} {error}")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return tuple(found)

    return convert_all


def one_of(choices: Mapping[str, T]) -> Convert[T]:
    """One of some words, told apart without case; the error names the nearest."""

    def convert(value: Any, context: Context) -> T:  # noqa: ANN401
        return choose(text(value, context), choices)

    return convert


def choose(given: str, choices: Mapping[str, T]) -> T:
    """What the word stands for, told apart without case; raises ``ValueError`` that names the nearest."""
    by_fold = {name.casefold(): result for name, result in choices.items()}
    if given.casefold() in by_fold:
        return by_fold[given.casefold()]
    near = nearest(given, choices)
    advice = f"did you mean {near!r}?" if near else f"use one of {', '.join(choices)}"
    raise ValueError(f"{given!r} is not known here; {advice}")


def uuid_text(value: Any, context: Context) -> str:  # noqa: ANN401
    """A UUID in 8-4-4-4-12 form, kept as written."""
    filled = text(value, context)
    if re.fullmatch(UUID_FORM, filled) is None:
        raise ValueError(f"{filled!r} is not a UUID of the form 8-4-4-4-12")
    return filled


def secret(key: str) -> Convert[SecretSource]:
    """Where a secret comes from: text, or a table with one of env, file, command or prompt."""

    def convert(value: Any, context: Context) -> SecretSource:  # noqa: ANN401
        if isinstance(value, str):
            return SecretSource("value", _literal(value, context), key)
        forms = "text or a table with one of env, file, command or prompt"
        if not isinstance(value, Mapping) or len(value) != 1:
            raise TypeError(f"must be {forms}")
        kind, place = next(iter(value.items()))
        if kind == "env":
            return SecretSource(kind, word(place, context), key)
        if kind == "file":
            return SecretSource(kind, path(place, context), key)
        if kind == "command":
            if not isinstance(place, Sequence) or isinstance(place, str) or not place:
                raise ValueError('command must be a list, for example ["pass", "show", "scep"]; no shell is run')
            return SecretSource(kind, several(text)(place, context), key)
        if kind == "prompt" and not isinstance(place, str):
            raise TypeError('prompt must be the question to ask, for example { prompt = "Password of the signer" }')
        if kind == "prompt":
            return SecretSource(kind, text(place, context), key)
        raise ValueError(f"{kind!r} is not known here; use {forms}")

    return convert


def _literal(value: str, context: Context) -> str:
    """A secret written into the config; a template's own error would quote it."""
    try:
        return text(value, context)
    except UnfilledError:
        if context.lenient:
            raise
    except TemplateError:
        pass
    raise ValueError("holds a template that cannot be filled; put a secret that has braces into a file")


def _kind(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a fraction", list: "a list", dict: "a table"}
    return names.get(type(value), "a date" if isinstance(value, date) else type(value).__name__)
