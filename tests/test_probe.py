"""Connections within bounds: nothing that a server does costs more than its time and size limits."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from live import Spoken
from mdmprofile.errors import NetworkError
from mdmprofile.probe.http import MAX_REDIRECTS, fetch
from mdmprofile.probe.locations import Location, is_url, locate
from mdmprofile.probe.network import Route
from mdmprofile.probe.pool import at_once
from mdmprofile.probe.tls import MAX_SERVED, Served, shake_hands
from pki import Entity, intermediate_ca, root_ca, server_leaf
from servers import LOOPBACK, Host, free_port, nginx, silent

QUICK = Route(connect_timeout=2, answer_timeout=1.5, proxy="")
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def entity() -> Entity:
    """A certificate for the hosts of these tests."""
    return server_leaf(intermediate_ca(root_ca()), "localhost")


def answering(data: bytes | Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """A talk that reads the request and answers so."""

    def talk(connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request and (part := connection.recv(4096)):
            request += part
        if callable(data):
            data(connection)
        else:
            connection.sendall(data)

    return talk


@contextlib.contextmanager
def at(talk: Callable[[socket.socket], None], folder: Path) -> Iterator[Location]:
    """The location of a plain server that talks so."""
    with Spoken(talk, None, folder) as port:
        yield locate(f"http://{LOOPBACK}:{port}/document")


class TestLocations:
    """URLs taken apart."""

    @pytest.mark.parametrize(
        ("url", "origin", "target"),
        [
            ("https://mdm.example.com", "https://mdm.example.com", "/"),
            ("HTTPS://MDM.Example.com:443/a?b=c#d", "https://mdm.example.com", "/a?b=c"),
            ("https://mdm.example.com:8443/mdm", "https://mdm.example.com:8443", "/mdm"),
            ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443", "/"),
            ("https://[::1]", "https://[::1]", "/"),
            ("http://192.0.2.1/x", "http://192.0.2.1", "/x"),
            ("https://bücher.example/ä", "https://xn--bcher-kva.example", "/%C3%A4"),
            ("https://mdm.example.com/%41%zz", "https://mdm.example.com", "/%41%zz"),
        ],
    )
    def test_url_is_taken_apart_as_it_is_written(self, url: str, origin: str, target: str) -> None:
        """Host in ASCII, the scheme's own port left out, the fragment too, the path not decoded."""
        location = locate(url)
        assert (location.origin, location.target) == (origin, target)
        assert locate(location.url) == location

    @pytest.mark.parametrize(
        "url",
        [
            "ftp://mdm.example.com/", "file:///etc/passwd", "gopher://x/", "https://", "https:///x", "mdm.example.com",
            "https://h:99999/", "https://h:x/", "https://[::1/", "https://a b/", "https://h/\r\nHost: x", "https://h/\t",
            "https://h/\x00", "https://\u202eh/", f"https://{'a' * 9000}/", f"https://{'a' * 70}.example/", "https://h../",
            "https://a@b/", "https://a:b@c/", "https://a\\b/", "https://a%00b/", "",
        ],
    )  # fmt: skip
    def test_anything_else_is_refused(self, url: str) -> None:
        """Only http and https with a host, and no password that a device would not send."""
        with pytest.raises(NetworkError) as caught:
            locate(url)
        assert caught.value.hint
        assert len(str(caught.value)) < 400
        assert str(caught.value).isprintable()

    def test_password_in_a_url_is_not_repeated(self) -> None:
        """The error goes to logs."""
        with pytest.raises(NetworkError) as caught:
            locate("https://admin:hunter2@mdm.example.com/")
        assert "hunter2" not in str(caught.value)

    def test_query_is_not_part_of_what_reports_show(self) -> None:
        """Enrollment URLs carry tokens there."""
        assert locate("https://h/enroll?token=secret").place == "https://h/enroll"

    @pytest.mark.parametrize(
        ("name", "url"),
        [("https://x", True), ("HTTP://x", True), ("ftp://x", True), ("a/b", False), ("C:\\x", False), ("-", False)],
    )
    def test_urls_are_told_from_files(self, name: str, url: bool) -> None:
        """Of any scheme, so that a wrong one is refused as a URL and not as a missing file."""
        assert is_url(name) is url


class TestBounds:
    """Time and size."""

    def test_server_that_says_nothing_is_left_in_time(self) -> None:
        """In the handshake and in the answer."""
        with silent() as port:
            started = time.monotonic()
            with pytest.raises(NetworkError, match=r"within 0\.5 seconds"):
                shake_hands(locate(f"https://{LOOPBACK}:{port}"), Route(connect_timeout=0.5, proxy=""))
            with pytest.raises(NetworkError, match=r"within 0\.5 seconds"):
                fetch(locate(f"http://{LOOPBACK}:{port}/"), Route(answer_timeout=0.5, proxy=""))
            assert time.monotonic() - started < 10

    def test_server_that_drips_is_left_in_time(self, tmp_path: Path) -> None:
        """A byte now and then resets no clock."""

        def drip(connection: socket.socket) -> None:
            connection.sendall(HEAD)
            with contextlib.suppress(OSError):
                for _ in range(600):
                    connection.sendall(b"X")
                    time.sleep(0.05)

        with at(answering(drip), tmp_path) as location:
            started = time.monotonic()
            with pytest.raises(NetworkError, match=r"within 1\.5 seconds"):
                fetch(location, QUICK)
            assert time.monotonic() - started < 10

    def test_handshake_that_drips_is_left_in_time(self, tmp_path: Path) -> None:
        """The bytes of a TLS record one by one."""

        def drip(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                for byte in b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + bytes(600):
                    connection.sendall(bytes([byte]))
                    time.sleep(0.05)

        with Spoken(drip, None, tmp_path) as port:
            started = time.monotonic()
            with pytest.raises(NetworkError, match="within 2 seconds"):
                shake_hands(locate(f"https://{LOOPBACK}:{port}"), QUICK)
            assert time.monotonic() - started < 10

    @pytest.mark.parametrize(
        "length", [b"Content-Length: 5368709120\r\n\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n"]
    )
    def test_answer_of_five_gigabytes_ends_at_the_limit(self, tmp_path: Path, length: bytes) -> None:
        """Announced, without an end, or in chunks: what is read is the limit and a little."""
        sent = 0

        def pour(connection: socket.socket) -> None:
            nonlocal sent
            connection.sendall(HEAD + length)
            block = bytes(65_536)
            if b"chunked" in length:
                block = b"10000\r\n" + block + b"\r\n"
            with contextlib.suppress(OSError):
                while sent < 5 * 1024**3:
                    connection.sendall(block)
                    sent += len(block)

        with at(answering(pour), tmp_path) as location:
            with pytest.raises(NetworkError, match="more than the limit of 1,024 KiB"):
                fetch(location, Route(proxy=""), limit=1024 * 1024)
            time.sleep(0.2)
        assert sent < 64 * 1024 * 1024

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"\x00\xff" * 500,
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"HTTP/1.1 302 Found\r\nLocation: https://h:0x/\r\n\r\n",
            b"HTTP/1.1 302 Found\r\nLocation: \x1b[2J://\r\n\r\n",
            b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
        ],
    )
    def test_answer_that_is_none_is_one_error(self, tmp_path: Path, answer: bytes) -> None:
        """Whatever the bytes are: one line, printable, naming the server."""
        with at(answering(answer), tmp_path) as location, pytest.raises(NetworkError) as caught:
            fetch(location, QUICK)
        assert caught.value.where
        assert str(caught.value).isprintable()

    def test_interim_answers_without_end_are_left_in_time(self, tmp_path: Path) -> None:
        """100 Continue, for ever."""

        def talk(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    time.sleep(0.01)

        with at(answering(talk), tmp_path) as location, pytest.raises(NetworkError, match=r"within 1\.5 seconds"):
            fetch(location, QUICK)

    def test_chain_of_a_hundred_certificates_is_read_in_part(self, tmp_path: Path, entity: Entity) -> None:
        """As many as any chain has, and how many there were."""
        pem = entity.pem + root_ca().pem * 60
        with nginx(Host(certificate=pem, key=entity.key_pem()), tmp_path) as port:
            served = shake_hands(locate(f"https://{LOOPBACK}:{port}"), QUICK)
        assert len(served.chain) == MAX_SERVED
        assert served.sent == 61


class TestRedirects:
    """On the same server a few are followed, to others none."""

    def test_redirect_on_the_same_server_is_followed(self, tmp_path: Path) -> None:
        """The answer says where it came from."""
        body = 'location = /document { return 301 /b?x=1; } location = /b { return 200 "$arg_x"; }'
        with nginx(body, tmp_path) as port:
            answer = fetch(locate(f"http://{LOOPBACK}:{port}/document"), QUICK)
        assert (answer.status, answer.body, answer.location.target) == (200, b"1", "/b?x=1")

    @pytest.mark.parametrize("target", ["https://elsewhere.example.com/x", "//elsewhere.example.com/x"])
    def test_redirect_to_another_host_is_reported(self, tmp_path: Path, target: str) -> None:
        """Nobody named that host."""
        with nginx(f"absolute_redirect off; location / {{ return 302 {target}; }}", tmp_path) as port:
            answer = fetch(locate(f"http://{LOOPBACK}:{port}/document"), QUICK)
        assert not answer.ok
        assert answer.elsewhere.endswith("://elsewhere.example.com/x")

    def test_redirect_to_another_port_or_scheme_is_another_server(self, tmp_path: Path) -> None:
        """What runs there is not what was named."""
        with nginx(f"location / {{ return 302 http://{LOOPBACK}:{free_port()}/; }}", tmp_path) as port:
            assert fetch(locate(f"http://{LOOPBACK}:{port}/"), QUICK).elsewhere

    def test_circle_ends(self, tmp_path: Path) -> None:
        """After a handful."""
        with nginx("absolute_redirect off; location / { return 302 /again; }", tmp_path) as port:
            with pytest.raises(NetworkError, match=f"more than {MAX_REDIRECTS} times"):
                fetch(locate(f"http://{LOOPBACK}:{port}/"), QUICK)
            asked = (tmp_path / "access.log").read_text().count("GET")
        assert asked == MAX_REDIRECTS + 1


class TestRoutes:
    """Names, addresses and proxies."""

    def test_server_name_indication_picks_the_certificate(self, tmp_path: Path) -> None:
        """One address, two names, two certificates."""
        root = root_ca()
        port = free_port()
        hosts = []
        for each in ("one.example.com", "two.example.com"):
            leaf = server_leaf(root, each)
            hosts.append(Host(certificate=leaf.pem, key=leaf.key_pem(), name=each, port=port))
        with nginx(hosts, tmp_path):
            for each in ("one.example.com", "two.example.com"):
                route = Route(resolve={(each, port): LOOPBACK}, proxy="")
                assert shake_hands(locate(f"https://{each}:{port}"), route).leaf.name == each

    def test_address_of_ipv6_is_reached(self, tmp_path: Path, entity: Entity) -> None:
        """In brackets, as URLs have it."""
        with nginx(Host(certificate=entity.pem, key=entity.key_pem()), tmp_path, address="::1") as port:
            assert shake_hands(locate(f"https://[::1]:{port}"), QUICK).leaf.name == "localhost"

    def test_next_address_is_tried_when_the_first_refuses(self, tmp_path: Path, entity: Entity) -> None:
        """Localhost is ::1 and 127.0.0.1, and the server listens on one of them."""
        with nginx(Host(certificate=entity.pem, key=entity.key_pem()), tmp_path) as port:
            assert shake_hands(locate(f"https://localhost:{port}"), QUICK).leaf.name == "localhost"

    @pytest.mark.parametrize("way", ["flag", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
    def test_proxy_is_asked_to_connect(
        self, tmp_path: Path, entity: Entity, monkeypatch: pytest.MonkeyPatch, way: str
    ) -> None:
        """The certificates are the server's, and the proxy gets its credentials."""
        with (
            nginx(Host(certificate=entity.pem, key=entity.key_pem()), tmp_path) as port,
            proxy(tmp_path) as (proxy_port, asked),
        ):
            url = f"http://user:pa%20ss@{LOOPBACK}:{proxy_port}"
            if way != "flag":
                monkeypatch.setenv(way, url)
            route = Route(proxy=url if way == "flag" else None, connect_timeout=5)
            assert shake_hands(locate(f"https://localhost:{port}"), route).leaf.name == "localhost"
        assert asked[0].startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % port)
        assert b"Proxy-Authorization: Basic dXNlcjpwYSBzcw==" in asked[0]

    def test_proxy_gets_the_whole_url_of_plain_http(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As RFC 9112 section 3.2.2 has it."""
        asked: list[bytes] = []

        def talk(connection: socket.socket) -> None:
            asked.append(connection.recv(4000))
            connection.sendall(HEAD + b"Content-Length: 2\r\n\r\nok")

        with Spoken(talk, None, tmp_path) as port:
            monkeypatch.setenv("http_proxy", f"http://{LOOPBACK}:{port}")
            assert fetch(locate("http://scep.example.com/scep?x=1"), Route()).body == b"ok"
        assert asked[0].startswith(b"GET http://scep.example.com/scep?x=1 HTTP/1.1\r\n")
        assert b"Host: scep.example.com\r\n" in asked[0]

    def test_hosts_of_no_proxy_are_reached_directly(
        self, tmp_path: Path, entity: Entity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And an empty --proxy is none."""
        monkeypatch.setenv("https_proxy", f"http://{LOOPBACK}:{free_port()}")
        with nginx(Host(certificate=entity.pem, key=entity.key_pem()), tmp_path) as port:
            location = locate(f"https://localhost:{port}")
            with pytest.raises(NetworkError, match=r"the proxy 127\.0\.0\.1 refuses"):
                shake_hands(location, Route())
            assert shake_hands(location, Route(proxy="")).leaf
            monkeypatch.setenv("no_proxy", "localhost")
            assert shake_hands(location, Route()).leaf

    @pytest.mark.parametrize(
        "answer",
        [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"nonsense\r\n\r\n", b"", b"A" * 100_000],
    )
    def test_proxy_that_refuses_is_named(self, tmp_path: Path, answer: bytes) -> None:
        """One error, in bounded time."""
        with (
            Spoken(answering(answer), None, tmp_path) as port,
            pytest.raises(NetworkError, match=r"proxy|breaks|reached") as caught,
        ):
            shake_hands(locate("https://mdm.example.com"), Route(proxy=f"http://{LOOPBACK}:{port}", connect_timeout=2))
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize("url", ["socks5://h:1", "https://h:1", "http://", "http://[", "http://u:secret@[x"])
    def test_proxy_of_another_kind_is_refused_without_its_password(self, url: str) -> None:
        """Only plain HTTP proxies are spoken to."""
        with pytest.raises(NetworkError) as caught:
            shake_hands(locate("https://mdm.example.com"), Route(proxy=url))
        assert "secret" not in str(caught.value) + repr(Route(proxy=url))
        assert "--proxy" in str(caught.value)


@contextlib.contextmanager
def proxy(folder: Path) -> Iterator[tuple[int, list[bytes]]]:
    """An HTTP proxy that connects through, and what it was asked."""
    asked: list[bytes] = []

    def talk(client: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += client.recv(1)
        asked.append(request)
        port = int(request.split(b" ")[1].rpartition(b":")[2])
        with socket.create_connection((LOOPBACK, port)) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join(5)

    with Spoken(talk, None, folder) as port:
        yield port, asked


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class TestPool:
    """Many servers at once."""

    def test_results_come_in_the_order_asked(self) -> None:
        """However long each takes."""

        def slow(number: int) -> int:
            time.sleep(0.05 if number % 2 else 0)
            return number

        assert list(at_once(slow, range(50))) == list(range(50))

    def test_what_one_raises_is_raised_when_its_turn_comes(self) -> None:
        """And not before."""

        def fail(number: int) -> int:
            return 10 // number

        results = at_once(fail, [5, 0])
        assert next(results) == 2
        with pytest.raises(ZeroDivisionError):
            next(results)

    def test_two_hundred_silent_servers_take_the_time_of_one(self) -> None:
        """They wait side by side."""
        with silent() as port:
            location = locate(f"https://{LOOPBACK}:{port}")

            def ask(_number: int) -> str:
                try:
                    shake_hands(location, Route(connect_timeout=2, proxy=""))
                except NetworkError as error:
                    return str(error)
                return ""

            started = time.monotonic()
            found = list(at_once(ask, range(200)))
            assert time.monotonic() - started < 40
        assert all(found)


def test_nothing_is_asked_before_the_certificates_were_looked_at(tmp_path: Path, entity: Entity) -> None:
    """Whoever is not trusted learns no URL."""

    class Refused(Exception):  # noqa: N818 - it is no error of the project
        """What the caller raises."""

    def refuse(served: Served) -> None:
        assert served.leaf.name == "localhost"
        raise Refused

    with nginx(Host("location / { return 200; }", entity.pem, entity.key_pem()), tmp_path) as port:
        with pytest.raises(Refused):
            fetch(locate(f"https://localhost:{port}/secret"), QUICK, vet=refuse)
        assert (tmp_path / "access.log").read_text() == ""
        assert fetch(locate(f"https://localhost:{port}/open"), QUICK, vet=lambda _: None).ok
