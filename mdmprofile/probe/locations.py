"""URLs as places to connect to: scheme, host, port and what is asked for there."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from mdmprofile.errors import NetworkError
from mdmprofile.printable import printable

_PORTS = {"https": 443, "http": 80}
_LONGEST = 8_000
_SHOWN = 120
# What may stand in a request's target as it is (RFC 3986 section 2); everything else is percent-encoded.
_SAFE = "/?:@!$&'()*+,;=%[]-._~"


class Location(NamedTuple):
    """A URL taken apart; ``host`` is a name in ASCII or an IP address without brackets, ``target`` path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> str:
        """Scheme, host and port as a URL; the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.origin + self.target

    @property
    def place(self) -> str:
        """The URL as reports show it: without the query, which may hold a token."""
        path = self.target.partition("?")[0]
        return self.origin + ("" if path == "/" else path)

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host as an IP address; None where it is a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def is_secure(self) -> bool:
        """Whether it is https."""
        return self.scheme == "https"

    def at(self, target: str) -> Location:
        """Another document of the same server."""
        return self._replace(target=target)

    def follow(self, reference: str) -> Location:
        """Where a redirect leads (RFC 9110 section 10.2.2); raises ``NetworkError`` when that is nowhere."""
        try:
            return locate(urljoin(self.url, reference))
        except (NetworkError, ValueError):
            raise NetworkError(
                "redirects to what is no web address", where=self.place, hint="check the server"
            ) from None

    def asking(self, **parameters: str) -> Location:
        """The same with more parameters in the query."""
        added = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
        return self._replace(target=self.target + ("&" if "?" in self.target else "?") + added)


def is_url(name: str) -> bool:
    """Whether a target of the command line is a URL, of whatever scheme, and no file."""
    scheme, mark, _ = name.partition("://")
    return bool(mark) and scheme.isascii() and scheme.replace("+", "").replace("-", "").isalnum()


def name_of(url: str) -> str:
    """What reports call a URL: without its query, and short and printable whatever is wrong with it."""
    try:
        return locate(url).place
    except NetworkError as error:
        return error.where or _shown(url)


def locate(url: str) -> Location:
    """Take a URL apart; raises ``NetworkError`` for anything but http and https with a host, and for credentials."""
    problem = _problem(url)
    if problem:
        raise NetworkError(*problem[:1], where=_shown(url), hint=problem[1])
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        hint = "write it as https://mdm.example.com"
        raise NetworkError("cannot be read as a URL", where=_shown(url), hint=hint) from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not host:
        hint = "give an https:// URL with a host"
        raise NetworkError("is no http or https URL", where=_shown(url), hint=hint)
    if parts.username is not None or parts.password is not None:
        raise NetworkError("has a user name or password in it", where=f"{scheme}://{host}", hint="remove it")
    host = host.removesuffix(".") or host
    target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    return Location(scheme, host_of(host, url), _PORTS[scheme] if port is None else port, target)


def _problem(url: str) -> tuple[str, str] | None:
    if "{{" in url or "{%" in url:
        return "has a variable that is not known", "give it with --var NAME=VALUE"
    if len(url) > _LONGEST:
        return f"is longer than {_LONGEST:,} characters", "check it"
    # urlsplit takes tabs and line ends out without a word; a request line ends at a space.
    if not url.isprintable() or " " in url:
        return "has a space or a control character in it", "check it"
    return None


def host_of(host: str, url: str = "") -> str:
    """A host as it is looked up: an IP address as it is usually written, or a name in ASCII and lower case.

    Raises ``NetworkError`` that speaks of ``url`` when there can be no such host.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        name = host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise NetworkError("has a host name that cannot exist", where=_shown(url), hint="check it") from None
    if not all(letter.isalnum() or letter in "-._" for letter in name) or "" in name.split("."):
        raise NetworkError("has a host name that cannot exist", where=_shown(url), hint="check it")
    return name


def _shown(url: str) -> str:
    """The URL as an error names it: short, printable, and without what may be a password or a token."""
    scheme, mark, rest = url.partition("://")
    visible = re.split(r"[?#]", rest if mark else url)[0].rpartition("@")[2]
    text = f"{scheme}{mark}{visible}" if mark else visible
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
