"""The command ``command install-profile``: what it writes, what it refuses, and how a delivery reports and resumes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import plistlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from conftest import Command, Outcome
from ledgers import device, entry, record
from mdm_api import ALWAYS, HOST, KEY, Asked, MdmApi, Said
from mdmprofile.moments import stamp
from mdmprofile.sent import open_record
from pki import DAY, NOW, Site, issue
from replacing import MDM, payload

UUID = "0f0e0d0c-1111-4222-8333-444455556666"
_PATIENCE = 30.0

Send = Callable[..., Outcome]


@pytest.fixture
def profile(site: Site, mdmprofile: Command) -> Path:
    """A signed profile as it is built."""
    assert mdmprofile("build", "-c", site.config, "-o", site.folder / "out").code == 0
    return site.folder / "out" / "enroll.mobileconfig"


@pytest.fixture
def plain(profile: Path, mdmprofile: Command) -> Path:
    """The same without its signature."""
    path = profile.with_name("plain.mobileconfig")
    assert mdmprofile("unsign", profile, "-o", path, at=None).code == 0
    return path


@pytest.fixture
def api() -> Iterator[MdmApi]:
    """A NanoMDM on loopback."""
    with MdmApi() as server:
        yield server


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The file with its API key."""
    path = tmp_path / "api.key"
    path.write_text(f"{KEY}\n")
    return path


@pytest.fixture
def send(api: MdmApi, key: Path, mdmprofile: Command) -> Send:
    """Send to the server, without waiting."""

    def call(file: Path, *words: str | Path, retries: str = "0") -> Outcome:
        flags = ("--nanomdm", api.url, "--api-key-file", key, "--rate", "1000", "--retries", retries)
        return mdmprofile("command", "install-profile", file, *flags, *words)

    return call


def edited(profile: Path, name: str, **keys: Any) -> Path:
    """The plain profile with other keys in its MDM payload."""
    plist = plistlib.loads(profile.read_bytes())
    payload(plist, MDM).update(keys)
    path = profile.with_name(name)
    path.write_bytes(plistlib.dumps(plist))
    return path


# --- the command as a file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [True, False])
def test_command_holds_exactly_the_file(
    profile: Path, plain: Path, signed: bool, mdmprofile: Command, plistutil: Callable[[bytes], bytes]
) -> None:
    """Read by another implementation, the payload is the file byte for byte."""
    file = profile if signed else plain
    out = file.with_name("install.plist")
    outcome = mdmprofile("command", "install-profile", file, "-o", out)
    assert (outcome.code, outcome.err) == (0, "")
    command = plistlib.loads(plistutil(out.read_bytes()))
    assert command["Command"] == {"RequestType": "InstallProfile", "Payload": file.read_bytes()}
    assert command["CommandUUID"] in outcome.out
    assert out.stat().st_mode & 0o777 == 0o600


def test_command_goes_to_standard_output(profile: Path, mdmprofile: Command) -> None:
    """And nothing but the command does; each run makes another one."""
    first, second = (mdmprofile("command", "install-profile", profile) for _ in range(2))
    assert plistlib.loads(first.out.encode())["Command"]["Payload"] == profile.read_bytes()
    assert first.err.startswith("wrote standard output (")
    assert plistlib.loads(first.out.encode())["CommandUUID"] != plistlib.loads(second.out.encode())["CommandUUID"]


def test_uuid_is_the_one_that_was_asked_for(profile: Path, mdmprofile: Command) -> None:
    """As it was written; anything else than a UUID is a mistake."""
    outcome = mdmprofile("command", "install-profile", profile, "--command-uuid", UUID)
    assert plistlib.loads(outcome.out.encode())["CommandUUID"] == UUID
    for wrong in ("1", f"{UUID}0", "../../x"):
        outcome = mdmprofile("command", "install-profile", profile, "--command-uuid", wrong)
        assert (outcome.code, outcome.out) == (3, "")


def test_profile_comes_from_standard_input(plain: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pipes."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(plain.read_bytes())))
    outcome = mdmprofile("command", "install-profile", "-")
    assert outcome.code == 0
    assert plistlib.loads(outcome.out.encode())["Command"]["Payload"] == plain.read_bytes()


def test_json_says_what_was_written(profile: Path, mdmprofile: Command) -> None:
    """For scripts: the UUID, to find the device's answer by."""
    out = profile.with_name("install.plist")
    report = mdmprofile("command", "install-profile", profile, "-o", out, "--format", "json").json
    assert report["command_uuid"] == plistlib.loads(out.read_bytes())["CommandUUID"]
    assert report["profile_sha256"] == hashlib.sha256(profile.read_bytes()).hexdigest()
    assert report["request_type"] == "InstallProfile"
    assert mdmprofile("command", "install-profile", profile, "--format", "json").code == 3


@pytest.mark.parametrize("content", [b"", b"no profile", plistlib.dumps({"a": 1}), plistlib.dumps(["x"])])
def test_nothing_but_a_profile_is_wrapped(tmp_path: Path, content: bytes, mdmprofile: Command) -> None:
    """A device could do nothing with it."""
    file, out = tmp_path / "x.mobileconfig", tmp_path / "install.plist"
    file.write_bytes(content)
    assert mdmprofile("command", "install-profile", file, "-o", out).code == 3
    assert not out.exists()


def test_profile_that_was_changed_after_signing_is_refused(profile: Path, mdmprofile: Command) -> None:
    """It is not what the signer signed, and an older command stays as it is."""
    data = profile.read_bytes()
    profile.write_bytes(data.replace(b"Example MDM", b"Another MDM"))
    out = profile.with_name("install.plist")
    out.write_bytes(b"older")
    outcome = mdmprofile("command", "install-profile", profile, "-o", out, "--format", "json")
    assert (outcome.code, outcome.rules) == (2, ["signature.invalid"])
    assert out.read_bytes() == b"older"


def test_what_devices_would_refuse_is_not_written(plain: Path, mdmprofile: Command) -> None:
    """The judgement of diff; whoever knows better can force it, and is warned."""
    new, out = edited(plain, "new.mobileconfig", ServerURL="https://mdm.example.com/other"), plain.with_name("i.plist")
    words = ("command", "install-profile", new, "--old", plain, "-o", out)
    outcome = mdmprofile(*words)
    assert outcome.code == 2
    assert "[replacement.server-url]" in outcome.out
    assert not out.exists()
    outcome = mdmprofile(*words, "--force")
    assert outcome.code == 0
    assert "warning:" in outcome.out
    assert out.exists()


# --- sending ----------------------------------------------------------------------------------------------------


def test_sent_profile_is_the_file(api: MdmApi, profile: Path, send: Send) -> None:
    """Byte for byte; the report names each device, and that nobody compared it."""
    outcome = send(profile, "--id", "A1", "--id", "B2")
    assert outcome.code == 0
    assert [each.payload for each in api.asked] == [profile.read_bytes()] * 2
    lines = outcome.out.splitlines()
    assert lines[:3] == [
        f"NanoMDM at {api.url}",
        f"  A1  sent as {api.asked[0].command_uuid}",
        f"  B2  sent as {api.asked[1].command_uuid}",
    ]
    assert "sent to 2 devices" in lines
    assert "[delivery.not-compared]" in outcome.out
    assert KEY not in outcome.out + outcome.err
    assert (profile.parent / "enroll.mobileconfig.sent.jsonl").exists()
    again = send(profile, "--id", "A1", "--id", "B2", "--id", "C3", "--format", "json").json
    assert again["counts"] | {"sent": 1, "skipped": 2} == again["counts"]
    assert [each["state"] for each in again["devices"]] == ["skipped", "skipped", "sent"]


def test_old_profile_that_allows_it_is_no_remark(api: MdmApi, plain: Path, send: Send) -> None:
    """What was compared is not said to be not compared."""
    new = edited(plain, "new.mobileconfig", SignMessage=True)
    outcome = send(new, "--id", "A1", "--old", plain, "--format", "json")
    assert outcome.code == 0
    assert "delivery.not-compared" not in outcome.rules
    assert api.devices == ["A1"]


def test_what_devices_would_refuse_is_not_sent(api: MdmApi, plain: Path, send: Send) -> None:
    """Nobody is asked, unless it is forced."""
    new = edited(plain, "new.mobileconfig", Topic="com.apple.mgmt.External.other")
    outcome = send(new, "--id", "A1", "--old", plain)
    assert outcome.code == 2
    assert "Nothing was sent; --force sends it all the same." in outcome.out
    assert api.asked == []
    assert send(new, "--id", "A1", "--old", plain, "--force").code == 0
    assert api.devices == ["A1"]


def test_profile_with_an_error_is_not_sent(api: MdmApi, plain: Path, key: Path, mdmprofile: Command) -> None:
    """As lint judges it: nonsense, and certificates that have ended; that it is not signed is no error over MDM."""
    words = ("--nanomdm", api.url, "--api-key-file", key, "--id", "A1", "--rate", "1000", "--format", "json")
    wrong = edited(plain, "wrong.mobileconfig", Topic="nonsense")
    outcome = mdmprofile("command", "install-profile", wrong, *words)
    assert outcome.code == 2
    assert "mdm.topic-prefix" in outcome.rules
    later = stamp(NOW + 4000 * DAY)
    outcome = mdmprofile("command", "install-profile", plain, *words, "--at", later, at=None)
    assert outcome.code == 2
    assert "expiry.expired" in outcome.rules
    assert api.asked == []
    assert mdmprofile("command", "install-profile", plain, *words).code == 0


def test_exit_codes(api: MdmApi, profile: Path, send: Send) -> None:
    """0 all accepted, 2 a device was refused, 3 the server could not be used; the worse of both is 2."""
    assert send(profile, "--id", "A1").code == 0
    api.unknown = {"B2"}
    outcome = send(profile, "--id", "A1", "--id", "B2", "--format", "json")
    assert (outcome.code, outcome.rules.count("delivery.refused")) == (2, 1)
    assert outcome.json["devices"][1]["reason"] == "enrollment not found"
    api.answer = lambda asked: Said(401) if asked.device == "C3" else None
    outcome = send(profile, "--id", "C3", "--id", "D4")
    assert outcome.code == 3
    assert "mdmprofile: error: " in outcome.err
    assert "refuses the API key" in outcome.err
    assert "failed for 1 device; 1 device left" in outcome.out
    assert "run it again, and it goes on from there" in outcome.out
    assert send(profile, "--id", "B2", "--id", "C3").code == 2


def test_key_comes_from_the_environment(
    api: MdmApi, profile: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in the arguments would be everybody's."""
    monkeypatch.setenv("NANO_KEY", KEY)
    words = ("command", "install-profile", profile, "--nanomdm", api.url, "--id", "A1")
    assert mdmprofile(*words, "--api-key-env", "NANO_KEY").code == 0
    outcome = mdmprofile(*words, "--api-key-env", "OTHER_KEY")
    assert outcome.code == 3
    assert "OTHER_KEY is not set" in outcome.err


def test_https_needs_a_ca_that_vouches(tmp_path: Path, profile: Path, key: Path, mdmprofile: Command) -> None:
    """A private CA is named; without it nothing is sent."""
    ca = issue("Private Root", ca=True, start=ALWAYS["start"], end=ALWAYS["end"])
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    with MdmApi(tls=(ca, tmp_path)) as api:
        words = ("command", "install-profile", profile, "--nanomdm", api.url, "--api-key-file", key, "--id", "A1")
        route = ("--resolve", f"{HOST}:{api.port}:127.0.0.1")
        outcome = mdmprofile(*words, *route)
        assert outcome.code == 3
        assert "is not trusted" in outcome.err
        assert api.asked == []
        assert mdmprofile(*words, *route, "--server-ca", tmp_path / "ca.pem").code == 0
        assert api.devices == ["A1"]


def test_http_elsewhere_needs_to_be_allowed(profile: Path, key: Path, mdmprofile: Command) -> None:
    """Nobody is even looked up."""
    words = ("command", "install-profile", profile, "--api-key-file", key, "--id", "A1")
    outcome = mdmprofile(*words, "--micromdm", "http://mdm.example.com")
    assert outcome.code == 3
    assert "--allow-http" in outcome.err


def test_micromdm_is_asked_in_its_own_way(profile: Path, key: Path, mdmprofile: Command) -> None:
    """The same flags, another API."""
    with MdmApi("micromdm") as api:
        words = ("command", "install-profile", profile, "--micromdm", api.url, "--api-key-file", key, "--id", "A1")
        report = mdmprofile(*words, "--format", "json").json
        assert (report["api"], report["devices"][0]["state"]) == ("MicroMDM", "sent")
        assert api.asked[0].payload == profile.read_bytes()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--id", "A1"], "--id is for a server"),
        (["--dry-run"], "--dry-run is for a server"),
        (["--nanomdm", "http://localhost:1"], "name the devices"),
        (["--nanomdm", "http://localhost:1", "--id", "A1"], "--api-key-file"),
        (["--nanomdm", "http://localhost:1", "--id", "A1", "--api-key-file", "x", "--api-key-env", "Y"], "--api-key"),
        (["--nanomdm", "http://localhost:1", "--micromdm", "http://localhost:1", "--id", "A1"], "use one"),
        (["--nanomdm", "http://localhost:1", "--id", "A1", "-o", "out.plist"], "use one"),
        (["--nanomdm", "http://localhost:1", "--id", "A1", "--id", "B2", "--command-uuid", UUID], "for one device"),
        (["--nanomdm", "http://localhost:1", "--id", "A 1"], "can be no UDID"),
        (["--nanomdm", "ftp://localhost", "--id", "A1"], "no http or https URL"),
        (["--nanomdm", "https://user:pw@localhost", "--id", "A1"], "has a user name or password in it"),
        (["--nanomdm", "http://localhost:1", "--id", "A1", "--record", "-", "--dry-run"], "name a file"),
    ],
)  # fmt: skip
def test_mistakes_are_said(profile: Path, mdmprofile: Command, words: list[str], told: str) -> None:
    """With what to do instead; exit 3, as everywhere."""
    outcome = mdmprofile("command", "install-profile", profile, *words)
    assert outcome.code == 3
    assert told in outcome.err


def test_dry_run_asks_nobody(api: MdmApi, profile: Path, mdmprofile: Command) -> None:
    """It needs no key, writes no record, and says what would be sent where."""
    words = ("command", "install-profile", profile, "--nanomdm", api.url, "--id", "A1", "--dry-run")
    outcome = mdmprofile(*words)
    assert outcome.code == 0
    assert outcome.out.splitlines()[:2] == [f"NanoMDM at {api.url}", f"  A1  planned: {profile}"]
    assert "Nothing was sent: this is a dry run." in outcome.out
    assert api.asked == []
    assert {each.name for each in profile.parent.iterdir() if "sent" in each.name} == set()


def test_devices_come_from_a_file_or_a_pipe(
    api: MdmApi, profile: Path, tmp_path: Path, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that names none is an error; the others get theirs."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"A1\nB2\n")))
    assert send(profile, "--ids-file", "-").code == 0
    table = tmp_path / "devices.csv"
    table.write_text("serial,udid\nC1,B2\nC2,\nC3,C3\n")
    outcome = send(profile, "--ids-file", table, "--format", "json")
    assert outcome.code == 2
    assert [each["rule"] for each in outcome.json["findings"]].count("devices.missing") == 1
    assert api.devices == ["A1", "B2", "C3"]


def test_progress_without_a_terminal_is_a_line_now_and_then(profile: Path, tmp_path: Path, send: Send) -> None:
    """A log shows that something happens; quiet shows nothing."""
    (tmp_path / "udids.txt").write_text("".join(f"D{number}\n" for number in range(25)))
    outcome = send(profile, "--ids-file", tmp_path / "udids.txt", "--every", "10")
    assert outcome.err.splitlines() == [
        "mdmprofile: sending 10 of 25 devices",
        "mdmprofile: sending 20 of 25 devices",
    ]
    outcome = send(
        profile, "--ids-file", tmp_path / "udids.txt", "--every", "1", "--again", "--quiet", "--old", profile
    )
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


# --- ledgers ----------------------------------------------------------------------------------------------------


@pytest.fixture
def fleet(tmp_path: Path, plain: Path) -> Path:
    """The directory of a ledger with three devices, each with a profile of its own."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    made = []
    for number in range(3):
        plist = plistlib.loads(plain.read_bytes()) | {"PayloadDescription": f"Device {number}"}
        made.append(entry(device(number), profile=plistlib.dumps(plist)))
        (folder / made[-1].name).write_bytes(plistlib.dumps(plist))
    record(folder / "ledger.sqlite", made)
    return folder


def test_each_device_of_a_ledger_gets_its_own(api: MdmApi, fleet: Path, send: Send) -> None:
    """Out of the ledger's directory; first to one device, then to the others."""
    ledger = fleet / "ledger.sqlite"
    assert send(fleet, "--ledger", ledger, "--id", device(1).udid).code == 0
    outcome = send(fleet, "--ledger", fleet, "--format", "json").json
    assert [each["state"] for each in outcome["devices"]] == ["sent", "skipped", "sent"]
    assert [each.device for each in api.asked] == [device(number).udid for number in (1, 0, 2)]
    assert [each.payload for each in api.asked] == [(fleet / device(number).name).read_bytes() for number in (1, 0, 2)]
    assert (fleet / "sent.jsonl").exists()


def test_unfit_profile_of_one_device_stops_no_other(api: MdmApi, fleet: Path, send: Send) -> None:
    """Each is judged before it is sent, in a dry run too."""
    old = fleet.parent / "old.mobileconfig"
    plist = plistlib.loads((fleet / device(0).name).read_bytes())
    payload(plist, MDM)["AccessRights"] = 8189
    old.write_bytes(plistlib.dumps(plist))
    outcome = send(fleet, "--ledger", fleet, "--old", old, "--format", "json")
    assert outcome.code == 2
    assert outcome.rules.count("replacement.no-install-right") + outcome.rules.count("replacement.access-rights") >= 3
    assert api.asked == []
    changed = fleet / device(1).name
    changed.write_bytes(changed.read_bytes() + b"\n")
    outcome = send(fleet, "--ledger", fleet, "--dry-run", "--format", "json")
    assert [each["state"] for each in outcome.json["devices"]] == ["planned", "withheld", "planned"]
    outcome = send(fleet, "--ledger", fleet, "--format", "json")
    assert (outcome.code, outcome.rules.count("delivery.profile")) == (2, 1)
    assert len(api.asked) == 2


def test_one_profile_goes_to_every_device_of_a_ledger(api: MdmApi, fleet: Path, plain: Path, send: Send) -> None:
    """Where it is the same for all."""
    assert send(plain, "--ledger", fleet / "ledger.sqlite").code == 0
    assert {each.payload for each in api.asked} == {plain.read_bytes()}
    assert len(api.asked) == 3


def test_directory_needs_its_own_ledger(fleet: Path, plain: Path, send: Send) -> None:
    """Otherwise nobody knows whose profile is whose."""
    assert "with --ledger each device gets its own" in send(fleet, "--id", "A1").err
    assert "is not the directory of the ledger" in send(plain.parent, "--ledger", fleet).err


def test_empty_list_does_not_mean_everybody(api: MdmApi, fleet: Path, tmp_path: Path, send: Send) -> None:
    """Of a ledger's devices only those that are named are wanted."""
    (tmp_path / "devices.csv").write_text("serial,udid\nC02,\n")
    outcome = send(fleet, "--ledger", fleet, "--ids-file", tmp_path / "devices.csv")
    assert outcome.code == 2
    assert "no device to send anything to" in outcome.out
    assert api.asked == []


# --- runs that end in the middle --------------------------------------------------------------------------------


class Gate:
    """Lets so many requests through, and holds the next: before the server has queued its command, or after."""

    def __init__(self, api: MdmApi, number: int, *, queued: bool) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self.api, self.number, self.queued = api, number, queued
        api.raw = self.hold

    def hold(self, handler: BaseHTTPRequestHandler, asked: Asked) -> bool:
        if len(self.api.asked) <= self.number or self.open.is_set():
            return False
        if self.queued:
            self.api.documented(asked)
        self.reached.set()
        self.open.wait(_PATIENCE)
        handler.close_connection = True
        return True


def started(api: MdmApi, profile: Path, key: Path, *words: str | Path) -> subprocess.Popen[str]:
    """The command in a process of its own, for ten devices."""
    devices = [word for number in range(10) for word in ("--id", f"D{number}")]
    flags = ("--nanomdm", api.url, "--api-key-file", key, "--rate", "1000", "--at", stamp(NOW))
    command = [sys.executable, "-m", "mdmprofile", "command", "install-profile", profile, *flags, *devices, *words]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [0, 4, 9])
@pytest.mark.parametrize("queued", [True, False])
def test_killed_run_goes_on_where_it_was(api: MdmApi, profile: Path, key: Path, number: int, queued: bool) -> None:
    """Whatever the moment, each device has one command in the end; only the request on the way is repeated."""
    gate = Gate(api, number, queued=queued)
    with started(api, profile, key) as process:
        assert gate.reached.wait(_PATIENCE)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=_PATIENCE)
    gate.open.set()
    with started(api, profile, key, "--format", "json") as process:
        out, err = process.communicate(timeout=_PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert [each["state"] for each in json.loads(out)["devices"]] == ["skipped"] * number + ["sent"] * (10 - number)
    assert sorted(api.queued.values()) == [[f"D{each}"] for each in range(10)]
    assert api.devices == [f"D{each}" for each in range(number + 1)] + [f"D{each}" for each in range(number, 10)]


def test_interrupted_run_says_what_is_left(api: MdmApi, profile: Path, key: Path) -> None:
    """Ctrl-C while a server thinks: exit 130, no traceback, and the next run goes on."""
    gate = Gate(api, 3, queued=False)
    with started(api, profile, key) as process:
        assert gate.reached.wait(_PATIENCE)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=_PATIENCE)
    gate.open.set()
    assert (process.returncode, out) == (130, "")
    assert [each for each in err.splitlines() if each] == [
        "mdmprofile: 3 of 10 devices are done, 7 left; run it again, and it goes on from there",
        "mdmprofile: interrupted",
    ]
    with started(api, profile, key) as process:
        process.communicate(timeout=_PATIENCE)
    assert sorted(api.queued.values()) == [[f"D{each}"] for each in range(10)]


def test_two_runs_do_not_share_a_record(api: MdmApi, profile: Path, send: Send) -> None:
    """The second one ends at once; with a record of its own it may work."""
    file = profile.with_name("enroll.mobileconfig.sent.jsonl")
    with open_record(file):
        outcome = send(profile, "--id", "A1")
        assert outcome.code == 3
        assert "another run is at work" in outcome.err
        assert api.asked == []
        assert send(profile, "--id", "A1", "--record", file.with_name("other.jsonl")).code == 0
