"""Where each document of a config is published: its file, host, path and media type, and what stands in its way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from mdmprofile.config import EnrollmentConfig
from mdmprofile.config_identity import AcmeSettings, ScepSettings
from mdmprofile.errors import ConfigError, MdmprofileError, collect
from mdmprofile.printable import shown
from mdmprofile.published import DISCOVERY_PATH, SERVICE_PATH
from mdmprofile.trust import account_servers, published_urls

PROFILE = "application/x-apple-aspen-config"
SERVICE = "application/json; charset=UTF8"
DISCOVERY = "application/json"

# Where the printed configuration of a web server keeps what it answers a POST with.
RESERVED = "/.mdmprofile/"

# The names in the output directory.
FILES = {
    "enrollment": "enroll.mobileconfig",
    "trust": "trust.mobileconfig",
    "service-config": "MDMServiceConfig",
    "anchor-certificates": "dep_anchor_certs",
    "discovery": "com.apple.remotemanagement",
}
_MEDIA_TYPES = {
    "enrollment": PROFILE,
    "trust": PROFILE,
    "service-config": SERVICE,
    "anchor-certificates": SERVICE,
    "discovery": DISCOVERY,
}
# Beyond this, web servers' own limits on a request line and on a word of their configuration begin.
_LONGEST_PATH = 1024


class Place(NamedTuple):
    """Host and path of a URL; ``key`` is where it was configured.

    ``host`` is in lower case and ASCII, with a port where that is not 443. ``path`` is decoded: what web servers
    compare requests with.
    """

    key: str
    host: str
    path: str


class Document(NamedTuple):
    """One document that a server publishes; ``host`` of its place is empty where the config does not name it."""

    kind: str
    place: Place

    @property
    def file(self) -> str:
        """The name of its file in the output directory."""
        return FILES[self.kind]

    @property
    def media_type(self) -> str:
        """The exact value of the Content-Type header."""
        return _MEDIA_TYPES[self.kind]


def documents(config: EnrollmentConfig) -> tuple[Document, ...]:
    """Every document that ``build`` makes of the config and that has a place on a server.

    The enrollment profile without a URL of its own is at ``/enroll.mobileconfig`` of the MDM server. Raises
    ``ConfigError``, or ``Problems``, for a URL that no exact path can be made of, and for two things at one path.
    """
    problems: list[MdmprofileError] = []
    found = _documents(config, problems)
    problems += _collisions(found, _answered(config))
    if problems:
        raise collect(problems)
    return tuple(found)


def place_of_url(url: str, key: str) -> Place:
    """Host and decoded path of a URL. Raises ``ConfigError`` for one that a server could take for another."""
    host = host_of_url(url, key)
    return Place(key, host, _decoded(urlsplit(url).path, url, key))


def host_of_url(url: str, key: str) -> str:
    """The host of a URL as ``Place`` has it. Raises ``ConfigError`` where it has none."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, (parts.hostname or "").rstrip(".")
        host = host if ":" in host else host.encode("idna").decode("ascii")
    except ValueError:
        host, port = "", None
    # Comments of the server's configuration show it.
    if re.fullmatch(r"[0-9a-z._-]+|[0-9a-f:.]+", host) is None:
        raise ConfigError(f"{shown(url)} has no host that a server can have", where=key, hint="correct its host")
    bracketed = f"[{host}]" if ":" in host else host
    return f"{bracketed}:{port}" if port not in {None, 443} else bracketed


def _decoded(path: str, url: str, key: str) -> str:
    hint = "publish it at a plainer path"
    if re.search(r"%(?![0-9A-Fa-f]{2})", path):
        raise ConfigError(f"{shown(url)} has a % that is not followed by two hexadecimal digits", where=key, hint=hint)
    try:
        decoded = unquote(path, errors="strict") or "/"
    except UnicodeDecodeError:
        raise ConfigError(f"{shown(url)} has a path that is not UTF-8", where=key, hint=hint) from None
    if "%2f" in path.lower() or not decoded.isprintable():
        message = f"{shown(url)} has a path with an encoded slash or control character"
        raise ConfigError(message, where=key, hint=hint)
    # Clients and servers remove these, not all of them alike.
    segments = decoded.split("/")[1:]
    if {".", ".."} & set(segments) or "" in segments[:-1]:
        raise ConfigError(f"{shown(url)} has a path with an empty segment, . or ..", where=key, hint=hint)
    if len(decoded.encode("utf-8")) > _LONGEST_PATH:
        raise ConfigError(f"has a path of more than {_LONGEST_PATH} bytes", where=key, hint=hint)
    return decoded


def _documents(config: EnrollmentConfig, problems: list[MdmprofileError]) -> list[Document]:
    trust = config.trust
    own = ""
    try:
        own = host_of_url(config.server.url, "server.url")
    except ConfigError as error:
        problems.append(error)
    default = Place("trust.enrollment_url", own, f"/{FILES['enrollment']}")
    urls = {
        "enrollment": ("trust.enrollment_url", trust.enrollment_url),
        "trust": ("trust.trust_profile_url", None if trust.public else trust.trust_profile_url),
        "anchor-certificates": ("trust.anchor_certs_url", trust.anchor_certs_url),
    }
    places = {kind: _placed(url, key, problems) if url else None for kind, (key, url) in urls.items()}
    places["enrollment"] = default if not trust.enrollment_url else places["enrollment"]
    if published_urls(trust):
        places["service-config"] = Place(SERVICE_PATH, own, SERVICE_PATH)
    if account_servers(trust):
        places["discovery"] = Place(DISCOVERY_PATH, "", DISCOVERY_PATH)
    return [Document(kind, place) for kind, place in places.items() if place is not None]


def _answered(config: EnrollmentConfig) -> list[Place]:
    """What the MDM server or the issuer answers itself; a file in its place would cut devices off."""
    identity = config.identity
    urls = {
        "server.url": config.server.url,
        "server.checkin_url": config.server.checkin_url,
        "trust.byod_enrollment_url": config.trust.byod_enrollment_url,
        "trust.adde_enrollment_url": config.trust.adde_enrollment_url,
        "identity.url": identity.url if isinstance(identity, ScepSettings) else None,
        "identity.directory_url": identity.directory_url if isinstance(identity, AcmeSettings) else None,
    }
    # Nothing is served at these, so one that cannot be compared is for the rules to judge.
    places = (_placed(url, key, []) for key, url in urls.items() if url)
    return [place for place in places if place is not None]


def _placed(url: str, key: str, problems: list[MdmprofileError]) -> Place | None:
    try:
        return place_of_url(url, key)
    except ConfigError as error:
        problems.append(error)
        return None


def _collisions(found: Iterable[Document], answered: Iterable[Place]) -> Iterator[ConfigError]:
    """Two documents at one path, on whatever host: a server's configuration that is one file cannot hold both."""
    hint = "give each a path of its own"
    taken: dict[str, Place] = {}
    for place in (each.place for each in found):
        if place.path.startswith(RESERVED):
            yield ConfigError(
                f"is published below {RESERVED}, which the web server's configuration needs", where=place.key, hint=hint
            )
        other = taken.setdefault(place.path, place)
        if other is not place:
            message = f"is published at the path {place.path!r}, as {place.key} is"
            yield ConfigError(message, where=other.key, hint=hint)
        for each in answered:
            if each.path == place.path and place.host in {each.host, ""}:
                message = f"is published at the path {place.path!r}, where {each.key} is answered"
                yield ConfigError(message, where=place.key, hint=hint)
