"""The middleware before real applications: what reaches them, what does not, and what the device is told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
import os
import plistlib
import re
import socket
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509

from mdmprofile.device_trust import DeviceTrust
from mdmprofile.errors import ConfigError, MessageError, PinUnknownError
from mdmprofile.message_signing import sign_mdm_message
from mdmprofile.middleware import AsgiMiddleware, Guard, ProxyCertificates, Sender, WsgiMiddleware
from mdmprofile.middleware.guard import Headers
from mdmprofile.middleware.proxies import Form
from mdmprofile.pins_sqlite import SqlitePinStore
from messages import CLIENT, IDLE, device, device_ca, identity
from pki import DAY, NOW, Entity, issue

EXAMPLES = Path(__file__).parent.parent / "examples"
UDID = "00008030-000A11111111802E"
AUTHENTICATE = plistlib.dumps({"MessageType": "Authenticate", "UDID": UDID, "SerialNumber": "S1", "Topic": "x"})
BINARY = plistlib.dumps({"Status": "Idle", "UDID": UDID}, fmt=plistlib.FMT_BINARY)
LARGE = plistlib.dumps({"Status": "Acknowledged", "UDID": UDID, "Data": b"x" * 300_000})


class Answer(NamedTuple):
    """What the client gets, and what the application saw; None when nothing reached it."""

    status: int
    headers: dict[str, str]
    body: bytes
    seen: dict[str, Any] | None


Ask = Callable[..., Answer]


def ask_asgi(guard: Guard, body: bytes, headers: Sequence[tuple[str, str]], **options: Any) -> Answer:
    """One request through the ASGI middleware, its body in pieces."""
    seen: dict[str, Any] = {}
    sent: list[Any] = []
    path = options.pop("path", "/mdm")
    client = options.pop("client", ("203.0.113.9", 1234))
    chunks = [body[at : at + 100_000] for at in range(0, len(body), 100_000)] or [b""]
    waiting = [{"type": "http.request", "body": each, "more_body": True} for each in chunks]
    waiting[-1]["more_body"] = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        seen.update(scope, body=message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "path": path,
        "client": client,
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(AsgiMiddleware(app, guard, **options)(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], found, sent[1]["body"], seen or None)


def ask_wsgi(guard: Guard, body: bytes, headers: Sequence[tuple[str, str]], **options: Any) -> Answer:
    """One request through the WSGI middleware; headers of one name come as one, as servers have it."""
    seen: dict[str, Any] = {}
    started: list[Any] = []
    environ: dict[str, Any] = {"PATH_INFO": options.pop("path", "/mdm"), "wsgi.input": io.BytesIO(body)}
    client = options.pop("client", ("203.0.113.9", 1234))
    if client:
        environ["REMOTE_ADDR"] = client[0]
    environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in headers:
        key = f"HTTP_{name.upper().replace('-', '_')}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.update(environ, body=environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start_response("200 OK", [])
        return [b"done"]

    def start_response(status: str, headers: Any) -> None:
        started.append((int(status[:3]), {name.lower(): value for name, value in headers}))

    answer = b"".join(WsgiMiddleware(app, guard, **options)(environ, start_response))
    return Answer(started[0][0], started[0][1], answer, seen or None)


@pytest.fixture(params=[ask_asgi, ask_wsgi], ids=["asgi", "wsgi"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """A request through one of both."""
    found: Ask = request.param
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlitePinStore]:
    """Pins in a new file."""
    with SqlitePinStore(tmp_path / "pins.sqlite") as opened:
        yield opened


@pytest.fixture
def guard(store: SqlitePinStore) -> Guard:
    """Trust in the device CA, and the pins."""
    return Guard(DeviceTrust([device_ca().ours]), store, clock=lambda: NOW)


def signed(entity: Entity, body: bytes) -> list[tuple[str, str]]:
    """The header that the device sends with the body."""
    return [("Mdm-Signature", sign_mdm_message(body, identity(entity)))]


class TestAccepted:
    """What reaches the application."""

    @pytest.mark.parametrize("body", [IDLE, BINARY, LARGE], ids=["xml", "binary", "large"])
    def test_message_of_a_pinned_device_arrives_with_its_sender(self, body: bytes, ask: Ask, guard: Guard) -> None:
        """The body is the one that was sent, byte for byte, however many pieces it came in."""
        entity = device()
        assert ask(guard, AUTHENTICATE, signed(entity, AUTHENTICATE)).status == 200
        answer = ask(guard, body, signed(entity, body))
        assert (answer.status, answer.body) == (200, b"done")
        assert answer.seen is not None
        assert (answer.seen["body"], answer.seen["mdmprofile.udid"]) == (body, UDID)
        sender = answer.seen["mdmprofile.sender"]
        assert isinstance(sender, Sender)
        assert (sender.sha256, sender.certificate) == (entity.sha256, entity.ours)
        assert sender.signer is not None
        assert UDID in repr(sender)

    def test_paths_that_are_named_are_let_through(self, ask: Ask, guard: Guard) -> None:
        """Exactly these; what only looks like them is judged."""
        for path, status in (("/health", 200), ("/health/", 400), ("/HEALTH", 400), ("//health", 400), ("/", 400)):
            assert ask(guard, b"", [], path=path, unguarded=["/health"]).status == status

    def test_without_pins_trust_decides(self, ask: Ask) -> None:
        """A server that keeps its own."""
        guard = Guard(DeviceTrust([device_ca().ours]), clock=lambda: NOW)
        assert ask(guard, IDLE, signed(device(), IDLE)).status == 200


class TestRefused:
    """What does not reach the application: the reason is in the log, and nothing of it in the response."""

    @pytest.fixture
    def known(self, ask: Ask, guard: Guard) -> Entity:
        """A device that has authenticated."""
        entity = device("known")
        assert ask(guard, AUTHENTICATE, signed(entity, AUTHENTICATE)).status == 200
        return entity

    def test_every_reason_is_answered_with_400(
        self, ask: Ask, guard: Guard, known: Entity, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Never with 401: a device may unenroll at that."""
        other = device("other")
        entities = (
            b'<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY a "x">]><plist><dict>'
            b"<key>UDID</key><string>&a;</string></dict></plist>"
        )
        nobody = plistlib.dumps({"Status": "Idle"})
        foreign = AUTHENTICATE.replace(UDID.encode(), b"ANOTHER")
        good = signed(known, IDLE)
        cases: list[tuple[bytes, list[tuple[str, str]], str]] = [
            (IDLE, [], "missing"),
            (IDLE, [("Mdm-Signature", "")], "missing"),
            (IDLE, [("Mdm-Signature", "garbage")], "base64"),
            (IDLE, [*good, *good], ""),
            (b"", signed(known, b""), "empty"),
            (b"", [], "missing"),
            (IDLE + b"\n", good, "another body"),
            (IDLE, signed(other, IDLE), "another certificate"),
            (foreign, signed(known, foreign), "another device"),
            (IDLE, signed(issue("self", extensions=(CLIENT,)), IDLE), "not issued by a trusted CA"),
            (IDLE, signed(device_ca(), IDLE), "is a CA"),
            (IDLE, signed(device(end=NOW - DAY / 2), IDLE), "is valid from"),
            (nobody, signed(known, nobody), "names no device"),
            (entities, signed(known, entities), "entities"),
        ]
        for body, headers, reason in cases:
            caplog.clear()
            answer = ask(guard, body, headers)
            assert (answer.status, answer.body, answer.seen) == (400, b"Bad Request\n", None), reason
            assert reason in caplog.text
            assert "203.0.113.9" in caplog.text
        assert ask(guard, IDLE, good).status == 200

    def test_log_is_one_line_whatever_is_in_the_message(
        self, ask: Ask, guard: Guard, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nobody writes lines of their own into it."""
        name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "x\nrefused a message\x1b[2J")])
        entity = issue(name, extensions=(CLIENT,))
        ask(guard, IDLE, signed(entity, IDLE))
        (record,) = caplog.records
        assert record.getMessage().isprintable()

    def test_body_over_the_bound_is_refused(self, ask: Ask, guard: Guard, known: Entity) -> None:
        """Whether its length is stated or not."""
        assert ask(guard, LARGE, signed(known, LARGE), max_body=len(LARGE)).status == 200
        assert ask(guard, LARGE, signed(known, LARGE), max_body=len(LARGE) - 1).status == 400
        length = ("Content-Length", str(10**30))
        assert ask(guard, IDLE, [*signed(known, IDLE), length]).status in ({400} if ask is ask_asgi else {200})

    def test_unknown_device_is_told_to_unenroll_where_that_is_wanted(self, ask: Ask, guard: Guard) -> None:
        """Only for the errors that are named: a broken proxy is not to cost the fleet its enrollment."""
        answer = ask(guard, IDLE, signed(device(), IDLE), unenroll=[PinUnknownError])
        assert (answer.status, answer.headers["content-type"]) == (403, "application/json")
        assert json.loads(answer.body)["code"] == "com.apple.unrecognized.device"
        assert ask(guard, IDLE, [], unenroll=[PinUnknownError]).status == 400
        assert ask(guard, IDLE, [], unenroll=[MessageError]).status == 403

    def test_store_that_cannot_be_used_is_no_verdict(
        self, ask: Ask, guard: Guard, known: Entity, store: SqlitePinStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The device is to come again."""
        store.close()
        answer = ask(guard, IDLE, signed(known, IDLE))
        assert (answer.status, answer.seen) == (503, None)
        assert caplog.records[-1].levelno == logging.ERROR


class TestAsgi:
    """What only ASGI has."""

    def test_web_socket_is_refused(self, guard: Guard) -> None:
        """It would be a way past the guard."""
        sent: list[Any] = []

        async def app(*_: Any) -> None:
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(AsgiMiddleware(app, guard)({"type": "websocket", "path": "/mdm"}, None, send))  # type: ignore[arg-type]
        assert [each["type"] for each in sent] == ["websocket.close"]

    def test_lifespan_goes_through(self, guard: Guard) -> None:
        """Applications start and stop with it."""
        seen: list[Any] = []

        async def app(scope: Any, *_: Any) -> None:
            seen.append(scope["type"])

        asyncio.run(AsgiMiddleware(app, guard)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
        assert seen == ["lifespan"]

    def test_client_that_goes_away_reaches_nobody(self, guard: Guard) -> None:
        """Half a message is none."""
        parts = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]

        async def app(*_: Any) -> None:
            raise AssertionError

        async def receive() -> Any:
            return parts.pop(0)

        async def send(message: Any) -> None:
            raise AssertionError(message)

        scope: Any = {"type": "http", "path": "/mdm", "headers": [], "client": None}
        asyncio.run(AsgiMiddleware(app, guard)(scope, receive, send))
        assert parts == []

    def test_body_takes_no_more_memory_than_its_bytes(self, guard: Guard) -> None:
        """However small the pieces are that it comes in."""
        count = 100_000

        async def receive() -> Any:
            nonlocal count
            count -= 1
            return {"type": "http.request", "body": bytes((count & 0xFF, 0)), "more_body": count > 0}

        async def send(_: Any) -> None: ...

        scope: Any = {"type": "http", "path": "/mdm", "headers": [], "client": None}
        tracemalloc.start()
        try:
            asyncio.run(AsgiMiddleware(lambda *_: send(None), guard)(scope, receive, send))
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()

    def test_event_loop_waits_for_no_writer(self, guard: Guard, store: SqlitePinStore, tmp_path: Path) -> None:
        """Whatever bytes an Authenticate is written in."""
        assert not store.find(UDID)
        disguised = AUTHENTICATE.replace(b"Authenticate", b"&#65;uthenticate")
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": disguised, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        async def app(*_: Any) -> None:
            sent.append("served")

        headers = [(name.lower().encode(), value.encode()) for name, value in signed(device(), disguised)]
        scope: Any = {"type": "http", "path": "/mdm", "headers": headers, "client": None}

        async def serve() -> None:
            with contextlib.closing(sqlite3.connect(tmp_path / "pins.sqlite", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                request = asyncio.create_task(AsgiMiddleware(app, guard)(scope, receive, send))
                await asyncio.sleep(0.1)
                assert not sent
                other.execute("ROLLBACK")
                await request

        asyncio.run(serve())
        assert sent == ["served"]


class TestWsgi:
    """What only WSGI has."""

    def test_answer_to_head_has_no_body(self, guard: Guard) -> None:
        """Not every server takes it away, and the proxy before it would read it as the next answer."""
        for method, body in (("HEAD", b""), ("GET", b"Bad Request\n")):
            environ = {"PATH_INFO": "/mdm", "REQUEST_METHOD": method, "wsgi.input": io.BytesIO()}
            assert b"".join(WsgiMiddleware(lambda *_: [], guard)(environ, lambda *_: None)) == body

    @pytest.mark.parametrize("length", ["0" * 20 + "9" * 12, "0" * 5000, "0" * 5000 + "7", "9" * 5000])
    def test_length_with_zeros_is_what_it_says(self, length: str, guard: Guard) -> None:
        """Neither more is read than the bound, nor does the number's length matter."""
        stream = io.BytesIO(b"x" * 20_000)
        environ = {"PATH_INFO": "/mdm", "CONTENT_LENGTH": length, "wsgi.input": stream}
        started: list[str] = []
        WsgiMiddleware(lambda *_: [], guard, max_body=10_000)(environ, lambda status, _: started.append(status))
        assert started == ["400 Bad Request"]
        assert stream.tell() == (7 if length[-1] == "7" else 0)

    @pytest.mark.parametrize("length", ["-1", "x", "1_0", "\u0663", "9" * 40])
    def test_length_that_is_none_is_refused(self, length: str, guard: Guard) -> None:
        """Servers check it; not all do."""
        environ = {"PATH_INFO": "/mdm", "CONTENT_LENGTH": length, "wsgi.input": io.BytesIO(IDLE)}
        started: list[str] = []
        WsgiMiddleware(lambda *_: [], guard)(environ, lambda status, _: started.append(status))
        assert started == ["400 Bad Request"]

    def test_body_without_a_length_is_read_where_it_ends(self, guard: Guard) -> None:
        """As servers hand over chunked bodies."""
        entity = device()
        seen = []

        def app(environ: Any, _: Any) -> list[bytes]:
            seen.append(environ["wsgi.input"].read())
            return []

        for flag, most in ((True, 10_000), (False, 10_000), (True, 10)):
            environ = {
                "PATH_INFO": "/mdm",
                "wsgi.input": io.BytesIO(AUTHENTICATE),
                "wsgi.input_terminated": flag,
                "HTTP_MDM_SIGNATURE": sign_mdm_message(AUTHENTICATE, identity(entity)),
            }
            WsgiMiddleware(app, guard, max_body=most)(environ, lambda *_: None)
        assert seen == [AUTHENTICATE]


def passed_on(form: Form, entity: Entity) -> str:
    """The certificate as this kind of proxy writes it."""
    if form == "rfc9440":
        return f":{base64.b64encode(entity.der).decode()}:"
    pem = quote(entity.pem.decode(), safe="")
    return pem if form == "nginx" else f'Hash={entity.sha256};Cert="{pem}";Subject="CN=\\"x\\",O=y";URI='


HEADERS: dict[Form, str] = {"rfc9440": "Client-Cert", "nginx": "X-Client-Cert", "envoy": "X-Forwarded-Client-Cert"}


@pytest.mark.parametrize("form", HEADERS)
class TestProxies:
    """Certificates that a proxy passes on."""

    def guard(self, form: Form, store: SqlitePinStore, *trusted: str) -> Guard:
        """A guard that knows such a proxy."""
        proxy = ProxyCertificates(form, trusted=trusted)
        return Guard(DeviceTrust([device_ca().ours]), store, proxy=proxy, clock=lambda: NOW)

    def test_certificate_from_a_trusted_address_stands_for_a_signature(
        self, form: Form, ask: Ask, store: SqlitePinStore
    ) -> None:
        """It is trusted and pinned like a signer's."""
        guard = self.guard(form, store, "203.0.113.0/24", "::1")
        entity, other = device(), device("other")
        headers = [(HEADERS[form], passed_on(form, entity))]
        answer = ask(guard, AUTHENTICATE, headers)
        assert answer.status == 200
        assert answer.seen is not None
        assert (answer.seen["mdmprofile.sender"].sha256, answer.seen["mdmprofile.sender"].signer) == (
            entity.sha256,
            None,
        )
        assert ask(guard, IDLE, headers).status == 200
        assert ask(guard, IDLE, [(HEADERS[form], passed_on(form, other))]).status == 400
        assert ask(guard, IDLE, [(HEADERS[form], passed_on(form, issue("self")))]).status == 400
        assert ask(guard, IDLE, headers, client=("::ffff:203.0.113.77", 1)).status == 200

    @pytest.mark.parametrize("client", [("203.0.114.1", 1), ("::1", 1), ("testclient", 1), None])
    def test_certificate_from_any_other_address_counts_for_nothing(
        self, form: Form, client: Any, ask: Ask, store: SqlitePinStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Anybody can write such a header."""
        guard = self.guard(form, store, "203.0.113.0/24")
        entity = device()
        headers = [(HEADERS[form], passed_on(form, entity))]
        assert ask(guard, AUTHENTICATE, headers, client=client).status == 400
        assert "not trusted" in caplog.text
        # A signature is as good as ever.
        assert ask(guard, AUTHENTICATE, [*headers, *signed(entity, AUTHENTICATE)], client=client).status == 200

    def test_socket_is_trusted_by_name(self, form: Form, ask: Ask, store: SqlitePinStore) -> None:
        """It has no address."""
        headers = [(HEADERS[form], passed_on(form, device()))]
        assert ask(self.guard(form, store, "unix"), AUTHENTICATE, headers, client=None).status == 200

    def test_both_have_to_be_the_same(self, form: Form, ask: Ask, store: SqlitePinStore) -> None:
        """A signature by somebody else than the one who made the connection."""
        guard = self.guard(form, store, "203.0.113.9")
        entity, other = device(), device("other")
        headers = [(HEADERS[form], passed_on(form, entity))]
        assert ask(guard, AUTHENTICATE, [*headers, *signed(other, AUTHENTICATE)]).status == 400
        assert ask(guard, AUTHENTICATE, [*headers, *signed(entity, AUTHENTICATE)]).status == 200

    def test_device_without_certificate_has_to_sign(self, form: Form, ask: Ask, store: SqlitePinStore) -> None:
        """The header is empty then."""
        guard = self.guard(form, store, "203.0.113.9")
        assert ask(guard, AUTHENTICATE, [(HEADERS[form], "")]).status == 400
        assert ask(guard, AUTHENTICATE, [(HEADERS[form], ""), *signed(device(), AUTHENTICATE)]).status == 200

    def test_anything_else_in_the_header_is_refused(self, form: Form, ask: Ask, store: SqlitePinStore) -> None:
        """Two, several elements, no certificate, half of one."""
        guard = self.guard(form, store, "203.0.113.9")
        good = passed_on(form, device())
        two = [(HEADERS[form], good), (HEADERS[form], good)]
        assert ask(guard, AUTHENTICATE, two).status == 400
        texts = [
            "x",
            "::",
            ":!:",
            good[:-30],
            f"{good},{good}",
            f"{good};{good}",
            # As WSGI servers join an empty header and somebody else's.
            f",{good}",
            passed_on(form, device(x509.Name([*device_ca().subject] * 2000))),
            "Hash=x,Cert=y",
            'Cert="',
            "%",
            good * 90,
        ]
        for text in texts:
            assert ask(guard, AUTHENTICATE, [(HEADERS[form], text)]).status == 400, text[:50]


@pytest.mark.parametrize(("form", "trusted"), [("other", ["::1"]), ("nginx", ["10.0.0.1/8"]), ("nginx", ["localhost"])])
def test_proxy_that_cannot_be_is_a_config_error(form: Any, trusted: list[str]) -> None:
    """When the server starts, not when the first message comes."""
    with pytest.raises(ConfigError):
        ProxyCertificates(form, trusted=trusted)


def test_header_of_a_proxy_can_have_another_name() -> None:
    """Nginx has no name of its own for it."""
    proxy = ProxyCertificates("nginx", trusted="127.0.0.1", header="X-SSL-Cert")
    guard = Guard(DeviceTrust([device_ca().ours]), proxy=proxy, clock=lambda: NOW)
    assert ask_asgi(guard, IDLE, [("x-ssl-cert", passed_on("nginx", device()))], client=("127.0.0.1", 1)).status == 200
    assert guard.judge(Headers((), [passed_on("nginx", device()).encode()], "127.0.0.1"), IDLE).udid == UDID


class Site(NamedTuple):
    """A server that runs, and a CA whose certificates are valid today."""

    url: str
    ca: Entity
    log: Path


@contextlib.contextmanager
def serving(command: Sequence[str], folder: Path) -> Iterator[Site]:
    """An example as its first lines say it is started."""
    today = datetime.now(UTC)
    ca = issue("Device CA", ca=True, start=today - DAY, end=today + 365 * DAY)
    (folder / "ca.pem").write_bytes(ca.pem)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "DEVICE_CA": str(folder / "ca.pem"), "PINS": str(folder / "pins.sqlite")}
    words = [sys.executable, "-m", *command, "--port", str(port)]
    log = folder / "log"
    with (
        log.open("wb") as stream,
        subprocess.Popen(words, cwd=EXAMPLES, env=environment, stdout=stream, stderr=stream) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            while True:
                assert process.poll() is None, log.read_text()
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"{url}/health").status_code == 200:
                        break
                time.sleep(0.05)
            yield Site(url, ca, log)
        finally:
            process.terminate()


COMMANDS = {
    "starlette": ["uvicorn", "starlette_mdm:app", "--no-proxy-headers"],
    "flask": ["flask", "--app", "flask_mdm", "run"],
}


@pytest.mark.parametrize("framework", COMMANDS)
def test_examples_serve_devices_and_nobody_else(framework: str, tmp_path: Path) -> None:
    """Thirty devices at once enroll and ask for commands; nobody speaks for another."""
    today = datetime.now(UTC)
    with serving(COMMANDS[framework], tmp_path) as site, httpx.Client(base_url=site.url, timeout=60) as client:
        devices = [
            issue(f"device {number}", site.ca, start=today - DAY, end=today + DAY, extensions=(CLIENT,))
            for number in range(30)
        ]

        def send(entity: Entity, udid: str, path: str, **value: str) -> int:
            body = plistlib.dumps({"UDID": udid, **value})
            header = sign_mdm_message(body, identity(entity))
            return client.put(path, content=body, headers={"Mdm-Signature": header}).status_code

        def enroll(number: int) -> list[int]:
            entity, udid = devices[number], f"UDID-{number}"
            return [
                send(entity, udid, "/mdm", Status="Idle"),
                send(entity, udid, "/checkin", MessageType="Authenticate", SerialNumber="S"),
                send(entity, udid, "/checkin", MessageType="TokenUpdate"),
                *(send(entity, udid, "/mdm", Status="Idle") for _ in range(5)),
                send(entity, f"UDID-{(number + 1) % 30}", "/mdm", Status="Idle"),
                send(entity, "UDID-NEW", "/checkin", MessageType="Authenticate"),
            ]

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(enroll, range(30)))
        assert answers == [[400, 200, 200, 200, 200, 200, 200, 200, 400, 400]] * 30
        huge = client.put("/mdm", content=(b"x" * 1_000_000 for _ in range(40)), headers={"Mdm-Signature": "x"})
        assert huge.status_code == 400
        assert client.get("/mdm").status_code in {400, 405}
        assert client.put("/mdm").status_code == 400
        text = re.sub(r"\x1b\[[0-9;]*m", "", site.log.read_text())
        assert "Traceback" not in text
    with SqlitePinStore(tmp_path / "pins.sqlite") as store:
        assert len(list(store.pins())) == 30
