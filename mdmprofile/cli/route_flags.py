"""The flags that say how servers are reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import click

from mdmprofile.cli.params import Decorator, options
from mdmprofile.errors import NetworkError
from mdmprofile.moments import parse_duration
from mdmprofile.probe.locations import host_of
from mdmprofile.probe.network import ANSWER_TIMEOUT, CONNECT_TIMEOUT, Route

_LONGEST = 600.0
_LAST_PORT = 65_535


class Seconds(click.ParamType[float]):
    """A short time: seconds, or a duration such as 5s or 1m."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Seconds, more than none and at most ten minutes."""
        try:
            seconds = float(value)
        except ValueError:
            try:
                seconds = parse_duration(str(value)).total_seconds()
            except ValueError as error:
                self.fail(f"{error}, or as seconds", param, ctx)
        if not 0 < seconds <= _LONGEST:
            self.fail(f"{value!r} is not between 0 and {_LONGEST:g} seconds", param, ctx)
        return seconds


class Resolved(click.ParamType[tuple[tuple[str, int], str]]):
    """``HOST:PORT:ADDRESS``, as curl takes it."""

    name = "host:port:address"

    def convert(
        self,
        value: Any,  # noqa: ANN401
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[tuple[str, int], str]:
        """The host in lower case and the port, and the IP address."""
        if isinstance(value, tuple):
            return value
        host, _, rest = str(value).partition(":")
        port, _, address = rest.partition(":")
        try:
            known = str(ipaddress.ip_address(address.strip("[]")))
            number = int(port)
            host = host_of(host.removesuffix("."), str(value))
        except (ValueError, NetworkError):
            number, known = 0, ""
        if not 0 < number <= _LAST_PORT:
            self.fail(f"{value!r} is not HOST:PORT:ADDRESS, for example mdm.example.com:443:192.0.2.1", param, ctx)
        return (host, number), known


ROUTE_OPTIONS: Decorator = options(
    click.option(
        "--resolve",
        multiple=True,
        type=Resolved(),
        metavar="HOST:PORT:ADDRESS",
        help="Connect to this IP address for the host and port; repeatable.",
    ),
    click.option(
        "--connect-timeout",
        type=Seconds(),
        metavar="SECONDS",
        help=f"Time for name, connection and TLS handshake.  [default: {CONNECT_TIMEOUT:g}]",
    ),
    click.option(
        "--timeout",
        type=Seconds(),
        metavar="SECONDS",
        help=f"Time for a whole answer.  [default: {ANSWER_TIMEOUT:g}]",
    ),
    click.option(
        "--proxy",
        metavar="URL",
        help='HTTP proxy; "" for none.  [default: HTTPS_PROXY, HTTP_PROXY, NO_PROXY]',
    ),
)


def route_from(flags: Mapping[str, Any]) -> Route:
    """The route that the flags describe."""
    return Route(
        resolve=dict(flags["resolve"]),
        proxy=flags["proxy"],
        connect_timeout=flags["connect_timeout"] or CONNECT_TIMEOUT,
        answer_timeout=flags["timeout"] or ANSWER_TIMEOUT,
    )
