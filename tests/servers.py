"""Real web servers on loopback: nginx and Caddy started by a test, on free ports, and gone when it ends."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from conftest import system_tool

LOOPBACK = "127.0.0.1"
_PATIENCE = 15.0


class Host(NamedTuple):
    """One server block: what stands inside it, and its TLS.

    ``certificate`` is the PEM that is served, leaf first; without it the block speaks plain HTTP. ``ciphers`` may hold
    ``@SECLEVEL=0``, which old keys, digests and protocols need. Blocks of one ``port`` are told apart by ``name``.
    """

    body: str = ""
    certificate: bytes = b""
    key: bytes = b""
    name: str = ""
    port: int = 0
    protocols: str = ""
    ciphers: str = ""


class Answer(NamedTuple):
    """What a server answered; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")


def free_port(address: str = LOOPBACK) -> int:
    """A TCP port that nobody listens on."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def nginx(hosts: str | Host | Sequence[Host], tmp: Path, *, address: str = LOOPBACK, http: str = "") -> Iterator[int]:
    """Run nginx and give the port of the first block; text alone is the inside of one plain block.

    ``tmp`` gets its configuration, logs and temporary files; ``http`` is added at the http level. It runs as whoever
    runs the tests, so it reads files that are closed to others.
    """
    listening = _with_ports(hosts, address)
    tmp.mkdir(parents=True, exist_ok=True)
    blocks = "\n".join(_nginx_block(each, tmp, address, number) for number, each in enumerate(listening))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{kind}_temp_path {_quoted(tmp / kind)};" for kind in kinds)
    (tmp / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {_quoted(tmp / 'nginx.pid')};\n"
        f"error_log {_quoted(tmp / 'error.log')} info;\nevents {{ }}\n"
        f"http {{\naccess_log {_quoted(tmp / 'access.log')};\n{temporary}\n{http}\n{blocks}\n}}\n",
        encoding="utf-8",
    )
    command = [system_tool("nginx"), "-p", str(tmp), "-e", str(tmp / "error.log"), "-c", str(tmp / "nginx.conf")]
    with _running(command, tmp, [(address, each.port) for each in listening]):
        yield listening[0].port


@contextlib.contextmanager
def caddy(hosts: str | Host | Sequence[Host], tmp: Path, *, address: str = LOOPBACK) -> Iterator[int]:
    """Run Caddy and give the port of the first block; otherwise as ``nginx``, without ciphers."""
    listening = _with_ports(hosts, address)
    tmp.mkdir(parents=True, exist_ok=True)
    blocks = "\n".join(_caddy_block(each, tmp, address, number) for number, each in enumerate(listening))
    options = "{\nadmin off\nauto_https off\nskip_install_trust\n}\n"
    (tmp / "Caddyfile").write_text(f"{options}{blocks}\n", encoding="utf-8")
    command = [system_tool("caddy"), "run", "--adapter", "caddyfile", "--config", str(tmp / "Caddyfile")]
    variables = {"HOME": str(tmp), "XDG_DATA_HOME": str(tmp / "data"), "XDG_CONFIG_HOME": str(tmp / "config")}
    with _running(command, tmp, [(address, each.port) for each in listening], variables):
        yield listening[0].port


@contextlib.contextmanager
def silent(address: str = LOOPBACK) -> Iterator[int]:
    """A port that accepts connections and says nothing."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        listener.bind((address, 0))
        listener.listen(64)
        yield listener.getsockname()[1]


def fetch(port: int, target: str, *, method: str = "GET", host: str = "mdm.example.com", tls: bool = True) -> Answer:
    """One request on loopback, its target sent as written, without judging the certificate."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    with contextlib.closing(connection):
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            plain = socket.create_connection((LOOPBACK, port), timeout=10)
            connection.sock = context.wrap_socket(plain, server_hostname=host)
        connection.request(method, target, body=b"x" if method == "POST" else None, headers={"Host": host})
        answer = connection.getresponse()
        headers = {key.lower(): value for key, value in answer.getheaders()}
        return Answer(answer.status, headers, answer.read())


def _with_ports(hosts: str | Host | Sequence[Host], address: str) -> list[Host]:
    if isinstance(hosts, str):
        hosts = Host(hosts)
    given = [hosts] if isinstance(hosts, Host) else hosts
    return [each if each.port else each._replace(port=free_port(address)) for each in given]


def _pem_files(host: Host, tmp: Path, number: int) -> tuple[Path, Path]:
    certificate, key = tmp / f"server-{number}.pem", tmp / f"server-{number}.key"
    certificate.write_bytes(host.certificate)
    key.write_bytes(host.key)
    return certificate, key


def _quoted(path: Path) -> str:
    return f'"{path}"'


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _nginx_block(host: Host, tmp: Path, address: str, number: int) -> str:
    lines = [f"listen {_bracketed(address)}:{host.port}{' ssl' if host.certificate else ''};"]
    if host.name:
        lines.append(f"server_name {host.name};")
    if host.certificate:
        certificate, key = _pem_files(host, tmp, number)
        lines += [f"ssl_certificate {_quoted(certificate)};", f"ssl_certificate_key {_quoted(key)};"]
        lines += [f"ssl_protocols {host.protocols};"] if host.protocols else []
        lines += [f'ssl_ciphers "{host.ciphers}";'] if host.ciphers else []
    return "server {\n" + "\n".join([*lines, host.body]) + "\n}"


def _caddy_block(host: Host, tmp: Path, address: str, number: int) -> str:
    scheme = "https" if host.certificate else "http"
    lines = [f"bind {address}"]
    if host.certificate:
        certificate, key = _pem_files(host, tmp, number)
        protocols = f" {{\nprotocols {host.protocols}\n}}" if host.protocols else ""
        lines.append(f'tls "{certificate}" "{key}"{protocols}')
    return f"{scheme}://{host.name}:{host.port} {{\n" + "\n".join([*lines, host.body]) + "\n}"


@contextlib.contextmanager
def _running(
    command: list[str], tmp: Path, addresses: Sequence[tuple[str, int]], variables: dict[str, str] | None = None
) -> Iterator[None]:
    """Run a server until the block ends; one that does not start fails the test with what it wrote."""
    log = tmp / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=tmp, env=variables
        )
    try:
        for each in addresses:
            _wait(process, lambda each=each: _answers(each), log)  # type: ignore[misc]  # a default binds the loop's
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while not ready():
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < end, f"no answer in {_PATIENCE} s: {log.read_text(errors='replace')}"
        time.sleep(0.02)
    assert process.poll() is None, log.read_text(errors="replace")


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True
