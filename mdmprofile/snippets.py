"""What a web server is told, so that it serves the documents as devices expect them: for nginx and for Caddy.

https://nginx.org/en/docs/http/ngx_http_core_module.html
https://caddyserver.com/docs/caddyfile/directives
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Literal, NamedTuple

from mdmprofile.config import EnrollmentConfig
from mdmprofile.errors import ConfigError
from mdmprofile.publishing import Document, documents, host_of_url
from mdmprofile.resources import template_text

WebServer = Literal["nginx", "caddy"]
WEB_SERVERS: tuple[WebServer, ...] = ("nginx", "caddy")
_TEMPLATES = {"nginx": "nginx.conf.j2", "caddy": "Caddyfile.j2"}


class Block(NamedTuple):
    """One document as a template writes it; ``path`` is quoted for the web server."""

    kind: str
    path: str
    file: str
    media_type: str


class Group(NamedTuple):
    """The documents of one host; its name is empty where the config does not say it."""

    host: str
    blocks: tuple[Block, ...]


def server_snippet(config: EnrollmentConfig, server: WebServer, directory: PurePath) -> str:
    """The configuration that serves what ``build`` wrote into ``directory``, an absolute path.

    Raises ``ConfigError``, or ``Problems``, where two documents are at one path and for what the web server's syntax
    cannot hold. The URLs' schemes are ``trust.judge_urls``'s to judge.
    """
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - slow to import, needed here only

    found = documents(config)
    own = host_of_url(config.server.url, "server.url")
    # What is filled in was quoted for the server's syntax; HTML's escapes would end up in paths.
    layout = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    environment = Environment(undefined=StrictUndefined, autoescape=False, **layout)  # type: ignore[arg-type]  # noqa: S701
    return environment.from_string(template_text(_TEMPLATES[server])).render(
        host=own, groups=_groups(found, own, _PATHS[server]), directory=_DIRECTORIES[server](directory.as_posix())
    )


def _groups(found: Iterable[Document], own: str, quoted: Callable[[str], str]) -> list[Group]:
    """The documents by host, the MDM server's own first and those of no known host last."""
    by_host: dict[str, list[Block]] = {own: []}
    for each in found:
        block = Block(each.kind, quoted(each.place.path), each.file, each.media_type)
        by_host.setdefault(each.place.host, []).append(block)
    return [Group(host, tuple(blocks)) for host, blocks in by_host.items() if blocks]


def _nginx_path(path: str) -> str:
    r"""A word in quotes, in which nginx knows ``\\`` and ``\"`` alone; a location's path holds no variables."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _nginx_directory(directory: str) -> str:
    """A file name in quotes; nginx fills in variables there and knows no way to write a dollar sign."""
    return _nginx_path(_refuse(directory, "$", "nginx"))


def _caddy_path(path: str) -> str:
    r"""A string of the Common Expression Language; what is not plain is written as ``\U`` and its code point.

    So neither Caddy's placeholders, nor its quotes, nor those of the expression can be in it.
    """
    letters = "".join(each if each.isalnum() or each in "/._~-" else f"\\U{ord(each):08x}" for each in path)
    return f'"{letters}"'


def _caddy_directory(directory: str) -> str:
    """A file name in quotes; braces are placeholders there, and what a backslash does depends on what follows."""
    escaped = _refuse(directory, "{}\\", "Caddy").replace('"', '\\"')
    return f'"{escaped}"'


def _refuse(directory: str, letters: str, name: str) -> str:
    wrong = next((each for each in directory if each in letters or not each.isprintable()), None)
    if wrong is not None:
        message = f"{directory!r} holds {wrong!r}, which the configuration of {name} cannot"
        raise ConfigError(message, where="output.directory", hint="write into a directory with a plainer name")
    return directory


_PATHS = {"nginx": _nginx_path, "caddy": _caddy_path}
_DIRECTORIES = {"nginx": _nginx_directory, "caddy": _caddy_directory}
