"""A site whose servers really run: its config names a port on loopback, and the flags that lead there."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from conftest import system_tool
from pki import CONFIG, DAY, NOW, Entity, Site, issue, make_site
from servers import LOOPBACK, Host, free_port, nginx

HOST = "mdm.example.com"


class LiveSite:
    """A site on a port of its own, with the profile and the documents built into ``out``."""

    def __init__(self, folder: Path, *, change: Callable[[str], str] = lambda config: config) -> None:
        self.port = free_port()
        self.folder = folder
        config = CONFIG.replace(f"https://{HOST}/", f"https://{HOST}:{self.port}/")
        self.site: Site = make_site(folder / "site", config=change(config))
        self.out = folder / "out"
        self.origin = f"https://{HOST}:{self.port}"
        self.route = ("--resolve", f"{HOST}:{self.port}:{LOOPBACK}", "--connect-timeout", "3")

    @property
    def profile(self) -> Path:
        return self.out / "enroll.mobileconfig"

    def locations(self, **changed: str) -> str:
        """The documents as a server publishes them; ``changed`` are whole location bodies by document."""
        types = 'types { } default_type "application/x-apple-aspen-config";'
        bodies = {
            "MDMServiceConfig": f'default_type "application/json; charset=UTF8"; alias {self.out}/MDMServiceConfig;',
            "dep_anchor_certs": f'default_type "application/json; charset=UTF8"; alias {self.out}/dep_anchor_certs;',
            "trust": f"{types} alias {self.out}/trust.mobileconfig;",
        }
        paths = {"trust": "trust.mobileconfig"}
        return "\n".join(
            f"location = /{paths.get(name, name)} {{ {body} }}" for name, body in {**bodies, **changed}.items()
        )

    @contextlib.contextmanager
    def serve(
        self,
        body: str | None = None,
        *,
        certificate: bytes | None = None,
        key: bytes | None = None,
        protocols: str = "",
        ciphers: str = "",
    ) -> Iterator[None]:
        """Run nginx with the site's own certificate and intermediate, or these."""
        host = Host(
            body=self.locations() if body is None else body,
            certificate=certificate or self.site.server.pem + self.site.intermediate.pem,
            key=key or self.site.server.key_pem(),
            port=self.port,
            protocols=protocols,
            ciphers=ciphers,
        )
        with nginx(host, self.folder / "nginx"):
            yield

    def shows(self, entity: Entity, *above: Entity) -> contextlib.AbstractContextManager[None]:
        """Run nginx with this certificate and these above it."""
        return self.serve(certificate=b"".join(each.pem for each in (entity, *above)), key=entity.key_pem())


class Spoken:
    """A server that says what no web server would: it answers each connection with ``talk``, until it is left.

    ``tls`` is certificate and key in PEM.
    """

    def __init__(self, talk: Callable[[socket.socket], None], tls: tuple[bytes, bytes] | None, folder: Path) -> None:
        self.talk = talk
        self.context: ssl.SSLContext | None = None
        if tls is not None:
            (folder / "spoken.pem").write_bytes(b"".join(tls))
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(folder / "spoken.pem")

    def __enter__(self) -> int:
        self.listener = socket.create_server((LOOPBACK, 0), backlog=512)
        threading.Thread(target=self._accept, daemon=True).start()
        port: int = self.listener.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            if self.context is not None:
                connection = self.context.wrap_socket(connection, server_side=True)
            self.talk(connection)


@contextlib.contextmanager
def scep_server(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Debian's SCEP server with a CA of its own; its port, and the CA certificate in PEM."""
    program = system_tool("scepserver")
    port = free_port()
    depot = folder / "depot"
    subprocess.run([program, "ca", "-init", "-keySize", "2048", "-depot", depot], check=True, capture_output=True)
    command: list[str | Path] = [program, "-depot", depot, "-port", str(port), "-challenge", "secret"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
                    break
                time.sleep(0.05)
            yield port, (depot / "ca.pem").read_bytes()
        finally:
            process.kill()


def leaf_of(issuer: Entity, *, start: int = -1, end: int = 397, **more: object) -> Entity:
    """A server certificate for ``HOST``, with the days from today on which it begins and ends."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    extensions = (
        x509.SubjectAlternativeName([x509.DNSName(str(more.get("host", HOST)))]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    )
    return issue(HOST, issuer, start=NOW + start * DAY, end=NOW + end * DAY, extensions=extensions)
