"""The examples with Flask and Django, run as they stand: real processes, real requests, many at once."""

from __future__ import annotations

import contextlib
import hashlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

import mdmprofile as library
from conftest import Command
from pki import DAY, issue

EXAMPLES = Path(__file__).parent.parent / "examples"
TOKEN = "a token of the tests' own"
UDID = "00008030-001A2B3C4D5E6F70"
DEVICES = {f"C02XK{number:07}": f"00008030-{number:016X}" for number in range(40)}
frameworks = pytest.mark.parametrize("framework", ["flask", "django"])


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Server(NamedTuple):
    """An example that runs, and everything it has printed."""

    url: str
    log: Path

    def ask(self, serial: str, udid: str = UDID, *, token: str | None = TOKEN, method: str = "GET") -> Answer:
        url = f"{self.url}/enroll/{quote(serial, safe='')}?udid={quote(udid)}"
        request = urllib.request.Request(url, method=method)  # noqa: S310 - on this machine
        if token is not None:
            request.add_header("Enroll-Token", token)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - on this machine
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())


@contextlib.contextmanager
def serving(framework: str, folder: Path) -> Iterator[Server]:
    """The example, on a port that the system chose."""
    log = folder.parent / "log.txt"
    command = [sys.executable, "-u", str(EXAMPLES / f"{framework}_enroll.py"), str(folder), "0"]
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        try:
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
                assert process.poll() is None, log.read_text()
                time.sleep(0.02)
            yield Server(found[0], log)
        finally:
            process.terminate()


@pytest.fixture
def folder(tmp_path: Path, mdmprofile: Command) -> Path:
    """A directory as the examples expect it: each device has a subject of its own, and a challenge by a command.

    The servers have the machine's clock, and so have these certificates.
    """
    found = tmp_path / "site"
    assert mdmprofile("init", "--demo", found).code == 0
    (found / "token.txt").write_text(TOKEN)
    (found / "challenge.sh").write_text(f"test ! -e {tmp_path}/sealed && openssl rand -hex 16\n")
    change(found, r"^subject = [^\n]*$", 'subject = "CN={{ device.serial }}"')
    change(found, r"^challenge = [^\n]*$", f'challenge = {{ command = ["sh", "{found}/challenge.sh"] }}')
    return found


def change(folder: Path, pattern: str, text: str) -> None:
    """Change the config; a change that changes nothing is a mistake in the test."""
    config = folder / "enroll.toml"
    after, count = re.subn(pattern, lambda _: text, config.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert count == 1
    config.write_text(after)


def issue_here(folder: Path) -> None:
    """Let the config have a CA of its own issue a PKCS#12 for each device."""
    today = datetime.now(UTC)
    ca = issue("Device CA", ca=True, start=today - DAY, end=today + 3650 * DAY)
    (folder / "ca.pem").write_bytes(ca.pem)
    (folder / "ca.key").write_bytes(ca.key_pem())
    issued = '[identity]\ntype = "pkcs12"\nca_certificate = "ca.pem"\nca_key = "ca.key"\nkey = "p256"\n\n[signing]'
    change(folder, r"^\[identity\].*^\[signing\]", issued)


def ledger(folder: Path) -> list[tuple[str, library.Entry]]:
    """Every row's state, and what is known of it."""
    with library.Ledger.read(folder / "ledger.sqlite") as found:
        return [(each.state, each.entry) for each in found.history()]


def identity_of(data: bytes, serial: str, udid: str) -> str:
    """What tells a device's identity from all others, after its profile was found to be intact and its own."""
    opened = library.open_profile(data)
    assert opened.signature is not None
    assert [each.problem for each in opened.signature.signers] == [""]
    assert not [each for each in opened.findings if each.severity == "error"]
    (payload,) = [each for each in opened.profile.payloads if "scep" in each["PayloadType"] or "Password" in each]
    if "Password" not in payload:
        content = payload["PayloadContent"]
        assert content["Subject"] == [[["CN", serial]]]
        return str(content["Challenge"])
    key, certificate, _ = pkcs12.load_key_and_certificates(payload["PayloadContent"], payload["Password"].encode())
    assert key is not None
    assert certificate is not None
    assert key.public_key() == certificate.public_key()
    assert certificate.subject.rfc4514_string() == f"CN={udid}"
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


@frameworks
@pytest.mark.parametrize("kind", ["scep", "pkcs12"])
def test_forty_devices_in_eight_threads_each_get_their_own_recorded_profile(
    folder: Path, framework: str, kind: str, openssl: Callable[..., bytes]
) -> None:
    """Valid, signed, of an identity that no other has, and in the ledger with its digest while the server runs."""
    if kind == "pkcs12":
        issue_here(folder)
    with serving(framework, folder) as server, ThreadPoolExecutor(8) as pool:
        answers = dict(zip(DEVICES, pool.map(server.ask, DEVICES, DEVICES.values()), strict=True))
        rows = ledger(folder)
    assert {each.status for each in answers.values()} == {200}, server.log.read_text()
    for each in answers.values():
        assert each.headers["Content-Type"] == "application/x-apple-aspen-config"
        assert "no-store" in each.headers["Cache-Control"]
    identities = {serial: identity_of(answers[serial].body, serial, udid) for serial, udid in DEVICES.items()}
    assert len(set(identities.values())) == 40
    assert {state for state, _ in rows} == {"made"}
    recorded = {entry.serial: (entry.udid, entry.profile_sha256) for _, entry in rows}
    sent = {serial: hashlib.sha256(each.body).hexdigest() for serial, each in answers.items()}
    assert recorded == {serial: (udid, sent[serial]) for serial, udid in DEVICES.items()}
    if kind == "pkcs12":
        assert {entry.serial: entry.certificate_sha256 for _, entry in rows} == identities
    signed = folder / "signed"
    signed.write_bytes(answers["C02XK0000000"].body)
    arguments = ("cms", "-verify", "-binary", "-inform", "DER", "-in", signed, "-purpose", "any")
    content = openssl(*arguments, "-CAfile", folder / "pki" / "root.pem")
    assert content == library.open_profile(answers["C02XK0000000"].body).content


@frameworks
def test_whoever_has_not_the_token_learns_and_changes_nothing(folder: Path, framework: str) -> None:
    """The answer is the same for a device that has a profile, one that has none, and one that cannot be."""
    with serving(framework, folder) as server:
        assert server.ask("C02XK1ABJG5H", method="POST").status == 200
        refused = [
            server.ask(serial, token=token)
            for serial in ("C02XK1ABJG5H", "C02XK1ABJG5J", "x'--")
            for token in (None, "", TOKEN[:-1], f"{TOKEN}x", "caf\u00e9")
        ]
        assert len(ledger(folder)) == 1
    assert {(each.status, each.body) for each in refused} == {(403, refused[0].body)}
    assert not re.search(rb"token|C02X|mdmprofile", refused[0].body, re.IGNORECASE)


@frameworks
def test_what_is_no_serial_number_or_udid_is_refused_and_not_recorded(folder: Path, framework: str) -> None:
    """Nothing that a template, a path, a header or a terminal could take for more than a name."""
    serials = (
        "C02X",
        "C" * 15,
        "c02xk1abjg5h",
        "{{ 7 * 7 }}",
        "..%2f..%2fx",
        "C02XK1AB\r\nX: 1",
        "C02XK1AB\n",
        "\uff23\uff10\uff12\uff38" * 2,
    )
    udids = ("", "U1", "0" * 39, f"{UDID}\n", "{{ device.serial }}", f"{UDID}' OR 1=1 --")
    with serving(framework, folder) as server:
        answers = [server.ask(each) for each in serials] + [server.ask("C02XK1ABJG5H", each) for each in udids]
        # A slash makes another path, which the server does not have.
        assert server.ask("../../etc/passwd").status == 404
        assert server.ask("C02XK1ABJG5H", method="HEAD").status == 405
        assert ledger(folder) == []
    assert [each.status for each in answers] == [400] * len(answers)
    assert not any(re.search(rb"7 \* 7|49|OR 1|Traceback", each.body) for each in answers)


@frameworks
def test_what_goes_wrong_inside_is_in_the_log_and_not_in_the_answer(folder: Path, framework: str) -> None:
    """The client cannot mend it; the device can ask again, and gets another profile in place of the first."""
    sealed = folder.parent / "sealed"
    with serving(framework, folder) as server:
        sealed.touch()
        failed = server.ask("C02XK1ABJG5H")
        sealed.unlink()
        first, second = server.ask("C02XK1ABJG5H"), server.ask("C02XK1ABJG5H")
    assert (failed.status, first.status, second.status) == (500, 200, 200)
    assert not re.search(rb"challenge|sh|Traceback|Error:|identity", failed.body.replace(b"should", b""))
    assert "identity.challenge: the command sh" in server.log.read_text()
    assert first.body != second.body
    assert [state for state, _ in ledger(folder)] == ["abandoned", "superseded", "made"]


@frameworks
def test_one_process_serves_a_directory(folder: Path, framework: str) -> None:
    """A second one says why it does not start, in a line; so does one without a config."""
    with serving(framework, folder):
        for place, reason in ((folder, "another run is at work in it"), (folder.parent, "enroll.toml")):
            command = [sys.executable, str(EXAMPLES / f"{framework}_enroll.py"), str(place), "0"]
            done = subprocess.run(command, capture_output=True, check=False, text=True)
            assert done.returncode == 1
            assert re.fullmatch(rf"cannot start: .*{re.escape(reason)}.*\n", done.stderr), done.stderr


def test_the_first_start_with_flask_makes_a_token_for_the_owner_alone(folder: Path) -> None:
    """The example runs as it stands, and nobody has a token that was printed in a file of examples."""
    (folder / "token.txt").unlink()
    with serving("flask", folder) as server:
        token = (folder / "token.txt").read_text()
        assert server.ask("C02XK1ABJG5H", token=token).status == 200
    assert (folder / "token.txt").stat().st_mode & 0o777 == 0o600
    assert len(token) >= 40
    assert token not in server.log.read_text()


@frameworks
def test_an_empty_token_is_no_token(folder: Path, framework: str) -> None:
    """A request without the header would have the right one."""
    (folder / "token.txt").write_text("\n")
    command = [sys.executable, str(EXAMPLES / f"{framework}_enroll.py"), str(folder), "0"]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 1
    assert re.search("token.txt:? is empty", done.stderr)
