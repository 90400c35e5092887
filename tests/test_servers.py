"""The servers that other tests start: they speak as they were told to, and are gone afterwards."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pki import intermediate_ca, root_ca, server_leaf
from servers import LOOPBACK, Host, caddy, fetch, free_port, nginx, silent

Server = Callable[..., AbstractContextManager[int]]


def block(body: str, name: str = "mdm.example.com", **more: str) -> Host:
    """A TLS block with a chain of its own for the name."""
    middle = intermediate_ca(root_ca())
    leaf = server_leaf(middle, name)
    return Host(body, leaf.pem + middle.pem, leaf.key_pem(), name, **more)  # type: ignore[arg-type]  # texts alone


@pytest.mark.parametrize(("server", "say"), [(nginx, 'return 200 "{}";'), (caddy, 'respond "{}"')])
def test_blocks_of_one_port_are_told_apart_by_name(server: Server, say: str, tmp_path: Path) -> None:
    """Two hosts with a certificate each behind one port, and nobody there afterwards."""
    port = free_port()
    hosts = [block(say.format(name), f"{name}.example")._replace(port=port) for name in ("one", "two")]
    with server(hosts, tmp_path / "server") as found:
        assert found == port
        assert [fetch(port, "/", host=f"{name}.example").body for name in ("one", "two")] == [b"one", b"two"]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((LOOPBACK, port), timeout=5)


@pytest.mark.parametrize(("server", "say"), [(nginx, 'return 200 "plain";'), (caddy, 'respond "plain"')])
def test_text_alone_is_a_block_without_tls(server: Server, say: str, tmp_path: Path) -> None:
    """What most tests need: a few directives."""
    with server(say, tmp_path / "server") as port:
        assert fetch(port, "/", tls=False).body == b"plain"


def test_an_old_protocol_is_spoken_where_it_is_asked_for(tmp_path: Path) -> None:
    """TLS 1.1 alone, which a client of today refuses."""
    old = block('return 200 "old";', protocols="TLSv1.1", ciphers="ALL:@SECLEVEL=0")
    with nginx(old, tmp_path / "server") as port, pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        fetch(port, "/")


@pytest.mark.parametrize("server", [nginx, caddy])
def test_a_server_that_does_not_start_fails_the_test_with_its_reason(server: Server, tmp_path: Path) -> None:
    """Not with a time-out."""
    with pytest.raises(AssertionError, match="no_such_directive"), server("no_such_directive x;", tmp_path / "server"):
        pass


def test_a_silent_port_accepts_and_says_nothing() -> None:
    """A connection stands, and nothing comes."""
    with silent() as port, socket.create_connection((LOOPBACK, port), timeout=5) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
