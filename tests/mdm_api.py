"""An MDM server's API on loopback, as NanoMDM and MicroMDM document theirs: it queues commands, or misbehaves."""

from __future__ import annotations

import base64
import contextlib
import json
import plistlib
import ssl
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from cryptography import x509

from pki import Entity, issue

HOST = "mdm.example.com"
KEY = "an-api-key-that-nobody-shows"
# The system's own clock judges TLS, so that these certificates are valid whenever the tests run.
ALWAYS = {"start": datetime(2001, 1, 1, tzinfo=UTC), "end": datetime(2120, 1, 1, tzinfo=UTC)}


class Asked(NamedTuple):
    """One request: what was asked, by whom, and with which body."""

    method: str
    path: str
    user: str
    key: str
    content_type: str
    body: bytes

    @property
    def device(self) -> str:
        """The one device that the command is for."""
        if self.path.endswith("/v1/commands"):
            return str(json.loads(self.body)["udid"])
        return unquote(self.path.rpartition("/")[2])

    @property
    def command_uuid(self) -> str:
        if self.path.endswith("/v1/commands"):
            return str(json.loads(self.body)["command_uuid"])
        return str(plistlib.loads(self.body)["CommandUUID"])

    @property
    def payload(self) -> bytes:
        if self.path.endswith("/v1/commands"):
            return base64.b64decode(json.loads(self.body)["payload"])
        payload = plistlib.loads(self.body)["Command"]["Payload"]
        assert isinstance(payload, bytes)
        return payload


class Said(NamedTuple):
    """What a server answers: status, body, and headers."""

    status: int = 200
    body: bytes = b"{}"
    headers: Sequence[tuple[str, str]] = ()


Answer = Callable[[Asked], Said | None]


class MdmApi:
    """A server that remembers what was asked; ``answer`` says what else than success it answers.

    An answer of None is as the API documents it. ``unknown`` are devices that it does not know.
    """

    def __init__(self, kind: str = "nanomdm", *, tls: tuple[Entity, Path] | None = None) -> None:
        self.kind = kind
        self.asked: list[Asked] = []
        self.queued: dict[str, list[str]] = {}
        self.unknown: set[str] = set()
        self.answer: Answer = lambda _: None
        self.raw: Callable[[BaseHTTPRequestHandler, Asked], bool] = lambda _handler, _asked: False
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if tls is not None:
            ca, folder = tls
            leaf = server_certificate(ca)
            (folder / "api.pem").write_bytes(leaf.pem + leaf.key_pem())
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / "api.pem")
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://{HOST}:{self.port}"

    @property
    def resolve(self) -> dict[tuple[str, int], str]:
        return {(HOST, self.port): "127.0.0.1"}

    @property
    def devices(self) -> list[str]:
        """Who was asked for, in order."""
        return [each.device for each in self.asked]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(api: MdmApi) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - self is the handler's below
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Tests are quiet."""

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
                user, _, key = base64.b64decode(token).decode().partition(":") if scheme == "Basic" else ("", "", "")
                content_type = self.headers.get("Content-Type") or ""
                asked = Asked(self.command, urlsplit(self.path).path, user, key, content_type, body)
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    with api._lock:
                        api.asked.append(asked)
                    if api.raw(self, asked):
                        return
                    said = api.answer(asked) or api.documented(asked)
                    self.send_response(said.status)
                    for name, value in (("Content-Type", "application/json"), *said.headers):
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(said.body)))
                    self.end_headers()
                    self.wfile.write(said.body)

            do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the base class's names

        return Handler

    def documented(self, asked: Asked) -> Said:
        """What the API documents for this request."""
        if (asked.user, asked.key) != (self.kind, KEY):
            return Said(401, b"Authorization Required\n", [("WWW-Authenticate", 'Basic realm="api"')])
        if self.kind == "micromdm":
            return self._micromdm(asked)
        if asked.method != "PUT" or not asked.path.startswith("/v1/enqueue/"):
            return Said(404, b"404 page not found\n")
        return self._nanomdm(asked)

    def _nanomdm(self, asked: Asked) -> Said:
        devices, uuid = asked.device.split(","), asked.command_uuid
        result: dict[str, Any] = {"command_uuid": uuid, "request_type": "InstallProfile"}
        with self._lock:
            if uuid in self.queued:
                result["command_error"] = f"inserting command: Error 1062 (23000): Duplicate entry '{uuid}' for key"
                return Said(500, json.dumps(result).encode())
            self.queued |= {uuid: [each for each in devices if each not in self.unknown]}
        lost = {each: {"command_error": "enrollment not found"} for each in devices if each in self.unknown}
        result["status"] = {each: {"push_result": "8B16D295-AB2C-EAB9-90FF-8615C0DFBB08"} for each in devices} | lost
        status = 200 if not lost else 500 if len(lost) == len(devices) else 207
        return Said(status, json.dumps(result).encode())

    def _micromdm(self, asked: Asked) -> Said:
        if asked.method != "POST" or asked.path != "/v1/commands":
            return Said(404, b"404 page not found\n")
        command = json.loads(asked.body)
        if not command["udid"] or not command["request_type"] or asked.device in self.unknown:
            return Said(500, json.dumps({"error": "request must contain UDID of the device"}).encode())
        with self._lock:
            self.queued.setdefault(command["command_uuid"], []).append(command["udid"])
        inner = {"request_type": command["request_type"], "payload": command["payload"]}
        answer = {"payload": {"command_uuid": command["command_uuid"], "command": inner}}
        return Said(201, json.dumps(answer, indent=2).encode())


def server_certificate(ca: Entity) -> Entity:
    """A certificate for mdm.example.com that is valid today, whenever that is."""
    names = x509.SubjectAlternativeName([x509.DNSName(HOST)])
    return issue(HOST, ca, extensions=(names,), start=ALWAYS["start"], end=ALWAYS["end"])
