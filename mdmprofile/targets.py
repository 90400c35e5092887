"""What ``check`` is pointed at: profiles, certificates, directories, configs, ledgers, servers, one after the other."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.configured import read_config
from mdmprofile.contents import SUFFIXES, Keys, Target, is_foreign, read_contents
from mdmprofile.errors import InputError, MdmprofileError, PasswordError
from mdmprofile.folders import EVERYTHING, Choice, walk
from mdmprofile.inputs import ABSENT, MAX_PROFILE, STDIN, place_of, read_file
from mdmprofile.pairing import date_identities, pair
from mdmprofile.probe.locations import is_url, name_of
from mdmprofile.recorded import LEDGER, is_ledger, is_own_ledger, read_ledger
from mdmprofile.templating import Variables

__all__ = ["Keys", "Target", "date_identities", "read_target", "read_targets"]

# Begins to read a server, so that all are waited for at once.
Begin = Callable[[str], Callable[[], Target]]
_PLACE = re.compile(r" #\d+$")
_CONFIG = ".toml"
# A host's name or address, with or without a port, where somebody forgot the https://.
_HOST = re.compile(r"(?=.*[.:])[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*(?P<port>:[0-9]{1,5})?")


class _How(NamedTuple):
    """What every target is read with; ``begin`` begins to read a server, and what it returns waits for that one."""

    now: datetime
    keys: Keys
    variables: Variables | None
    choice: Choice
    begin: Begin
    validity: timedelta | None = None


class _Named(NamedTuple):
    """A named target whose configs and ledgers were read already, because they say how other targets are judged.

    ``files`` is the number of files, or servers, that ``read`` goes through; it calls its argument after each.
    """

    files: int
    telling: tuple[Target, ...]
    read: Callable[[Callable[[], None]], Iterator[Target]]


def read_targets(
    names: Iterable[str],
    *,
    now: datetime,
    keys: Keys | None = None,
    variables: Variables | None = None,
    choice: Choice = EVERYTHING,
    validity: timedelta | None = None,
    progress: Callable[[int, int], None] | None = None,
    begin: Begin | None = None,
) -> Iterator[Target]:
    """What each named target holds, file by file, so that a million files need no more memory than one.

    Every config is read first: it says how long the SCEP and ACME identities of its profile are valid, unless
    ``validity`` does, and what the profile's ends are held against. So is every ledger: it knows the devices'
    identities better than the profiles that it lists, so that these tell of everything else alone. ``progress`` is told
    how many files of how many are done. ``begin`` begins to read a server, so that all are asked at once, and what it
    returns waits for one; without it URLs are errors. See ``read_target``.
    """
    how = _How(now, keys or Keys(), variables, choice, begin or _no_servers, validity)
    named = [_named(each, how) for each in names]
    pairing = pair([one for each in named for one in each.telling], validity)
    total = sum(each.files for each in named)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for each in named:
        for target in each.read(advance):
            yield pairing.told(target, now)


def read_target(
    name: str,
    *,
    now: datetime,
    keys: Keys | None = None,
    variables: Variables | None = None,
    choice: Choice = EVERYTHING,
    validity: timedelta | None = None,
) -> tuple[Target, ...]:
    """Everything that ends in one file, or in each file of a directory and those below it.

    ``name`` is a path or ``-``; ``variables`` fill a config's templates, and ``choice`` is of a directory's files. What
    cannot be read is in ``errors``; the rest is still there.
    """
    named = _named(name, _How(now, keys or Keys(), variables, choice, _no_servers, validity))
    return tuple(named.read(lambda: None))


def _no_servers(name: str) -> Callable[[], Target]:
    raise InputError("is a server, and files alone are read here", where=name, hint="mdmprofile check reads servers")


def _named(name: str, how: _How) -> _Named:
    if not name:
        raise InputError("is an empty name", where="target", hint="is a shell variable unset?")
    path = Path(name)
    place = name_of(name) if is_url(name) else place_of(path)
    try:
        if is_url(name):
            return _single(how.begin(name), place)
        if path != STDIN and os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for names that are too long
            return _directory(path, how)
    except MdmprofileError as error:
        failed = Target((), errors=(error,), name=place)
        return _single(lambda: failed, place)
    if path.suffix.lower() == _CONFIG:
        config = _attempt(
            partial(read_config, path, now=how.now, variables=how.variables, validity=how.validity), place
        )
        return _single(lambda: config, place, config)
    if is_ledger(path):
        ledger = _attempt(partial(read_ledger, path), place)
        return _single(lambda: ledger, place, ledger)
    return _single(partial(_file, path, how.keys), place)


def _single(read: Callable[[], Target], place: str, *telling: Target) -> _Named:
    def one(advance: Callable[[], None]) -> Iterator[Target]:
        target = _attempt(read, place)
        advance()
        yield target

    return _Named(1, telling, one)


def _attempt(read: Callable[[], Target], place: str) -> Target:
    """What was read, or why not."""
    try:
        return read()._replace(name=place)
    except MdmprofileError as error:
        return Target((), errors=(error,), name=place)


def _file(path: Path, keys: Keys) -> Target:
    try:
        data = read_file(path, limit=MAX_PROFILE)
    except InputError as error:
        host = _HOST.fullmatch(str(path))
        if error.message == ABSENT and host and path.suffix.lower() not in SUFFIXES:
            error.hint = f"{'' if host['port'] else 'check the path, or, for a server, '}give https://{path}"
        raise
    return read_contents(data, source=place_of(path), keys=keys)


def _directory(path: Path, how: _How) -> _Named:
    """A directory: once through the names, for the configs and ledgers, and then file by file."""
    count = 0
    telling: dict[Path, Target | None] = {}
    for file in walk(path, how.choice):
        count += 1
        if file.suffix.lower() in {_CONFIG, LEDGER}:
            telling[file] = _found(file, how)
    known = [each for each in telling.values() if each is not None]
    opened = {
        os.path.abspath(_PLACE.sub("", watched.certificate.source))  # noqa: PTH100 - a source is text
        for each in known
        for watched in each.watched
        if isinstance(watched.certificate, Certificate)
    }
    dates = [each.thresholds for each in known if each.thresholds is not None]

    def read(advance: Callable[[], None]) -> Iterator[Target]:
        errors: list[MdmprofileError] = []
        empty = True
        for file in walk(path, how.choice, unreadable=errors.append):
            target = telling[file] if telling and file in telling else _found(file, how)
            advance()
            if target is None:
                continue
            empty = False
            if not _opened_elsewhere(file, target, opened):
                # One config speaks for what lies beside it; of several nobody can tell which does.
                yield target._replace(thresholds=target.thresholds or (dates[0] if len(dates) == 1 else None))
        if empty and not errors:
            chosen = " that --include and --exclude leave" if how.choice != EVERYTHING else ""
            errors.append(InputError(f"holds no profile, certificate or config{chosen}", where=str(path)))
        if errors:
            yield Target((), errors=tuple(errors), name=str(path))

    return _Named(count, tuple(known), read)


def _found(file: Path, how: _How) -> Target | None:
    """A file that nobody named, only its directory; None where it is none of ours.

    Whoever put it there must not have commands run. Where files were chosen by a pattern, every one is ours.
    """
    suffix, place = file.suffix.lower(), str(file)
    if suffix.startswith(f"{LEDGER}-"):
        # What a database keeps beside it while it is written to.
        return None
    if suffix == LEDGER:
        return _attempt(partial(read_ledger, file), place) if how.choice.include or is_own_ledger(file) else None
    try:
        data = read_file(file, limit=MAX_PROFILE)
    except InputError as error:
        if suffix not in SUFFIXES and not how.choice.include:
            return None
        return Target((), errors=(error,), name=place)
    if not how.choice.include and is_foreign(data, file):
        return None
    if suffix == _CONFIG:
        return _attempt(partial(read_config, file, now=how.now, commands=False, validity=how.validity), place)
    return _attempt(partial(read_contents, data, source=place, keys=how.keys), place)


def _opened_elsewhere(file: Path, part: Target, opened: Container[str]) -> bool:
    """Whether a PKCS#12 without a password here was opened by a config in the same directory."""
    locked = bool(part.errors) and all(isinstance(each, PasswordError) for each in part.errors)
    return locked and os.path.abspath(file) in opened  # noqa: PTH100
