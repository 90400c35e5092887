"""The library in a long-lived program: from several threads at once, and with each profile recorded."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

import mdmprofile as library
from mdmprofile.errors import InputError, LedgerError, SecretError
from mdmprofile.ledger import Recorded
from pki import CONFIG, NOW, Site, make_site

UDID = "00008030-001A2B3C4D5E6F70"
HEAD, _, _REST = CONFIG.partition("[identity]")
SIGNING = _REST[_REST.index("[signing]") :]
ISSUED = f"""{HEAD}[identity]
type = "pkcs12"
ca_certificate = "intermediate.pem"
ca_key = "intermediate.key"
key = "p256"

{SIGNING}"""
NAMED = CONFIG.replace("[identity]\n", '[identity]\nsubject = "CN={{ device.serial }}"\n')


def maker_of(folder: Path, config: str) -> library.ProfileMaker:
    """A maker of a fresh site with this config, prepared at ``NOW``."""
    site = make_site(folder, config=config)
    (folder / "intermediate.key").write_bytes(site.intermediate.key_pem())
    return library.ProfileMaker.from_config(site.config, now=NOW)


def with_challenge(folder: Path, script: str) -> str:
    """The config whose challenges this shell script prints."""
    folder.mkdir()
    (folder / "challenge.sh").write_text(f"set -e\n{script}\n")
    return NAMED.replace('{ file = "challenge.txt" }', f'{{ command = ["sh", "{folder}/challenge.sh"] }}')


def history(folder: Path) -> list[Recorded]:
    """Every row of the folder's ledger."""
    with library.Ledger.read(folder / "ledger.sqlite") as ledger:
        return list(ledger.history())


def test_builds_in_eight_threads_at_once_are_the_same_byte_for_byte(site: Site) -> None:
    """Nothing of one build shows in another; only the signatures have a time of their own."""
    config = library.load_config(site.config)

    def build(_: int) -> tuple[bytes, ...]:
        result = library.build(config, now=NOW)
        sent = (library.open_profile(each.data).content if each.signed else each.data for each in result.artifacts)
        return (result.profile.to_bytes(), *sent)

    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(build, range(80)))
    assert len(built[0]) == 5
    assert set(built) == {build(0)}


@pytest.mark.parametrize("later", [timedelta(), timedelta(hours=5)], ids=["at its time", "later"])
def test_a_maker_in_eight_threads_makes_what_it_makes_in_one(tmp_path: Path, later: timedelta) -> None:
    """Each device's profile is its own, whatever the others ask for meanwhile."""
    maker = maker_of(tmp_path / "site", NAMED)

    def content(number: int) -> bytes:
        made = maker.make({"serial": f"C02X{number:05}"}, now=NOW + later)
        return library.open_profile(made.data).content

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(content, range(80)))
    assert len(set(made)) == 80
    maker = library.ProfileMaker.from_config(tmp_path / "site" / "enroll.toml", now=NOW + later)
    assert made == [content(number) for number in range(80)]


def test_the_variables_of_a_maker_fill_the_templates_beside_the_devices_own(tmp_path: Path) -> None:
    """What is the same for all devices need not be given with each."""
    site = make_site(tmp_path, config=NAMED.replace("{{ device.serial }}", "{{ device.serial }} {{ site }}"))
    maker = library.ProfileMaker.from_config(site.config, now=NOW, variables={"site": "Bern"})
    assert maker.make({"serial": "C02X"}, now=NOW).subject == "CN=C02X Bern"


def test_an_issued_identity_is_recorded_with_its_certificate_and_profile(tmp_path: Path) -> None:
    """The record is of the very certificate and the very bytes, and says when and from what they were made."""
    now = NOW + timedelta(hours=1)
    maker = maker_of(tmp_path, ISSUED)
    with library.RecordingMaker(maker, tmp_path) as recording:
        made = recording.make({"serial": "C02XK1ABJG5H", "udid": UDID}, now=now)
    (row,) = history(tmp_path)
    assert made.certificate is not None
    assert row.state == "made"
    assert row.entry == library.Entry(
        name="C02XK1ABJG5H.mobileconfig",
        udid=UDID,
        serial="C02XK1ABJG5H",
        identity="pkcs12",
        certificate_sha256=made.certificate.sha256,
        certificate_serial=f"{made.certificate.parsed.serial_number:x}",
        subject=f"CN={UDID}",
        not_before=made.certificate.not_before,
        not_after=made.certificate.not_after,
        client_identifier="",
        profile_sha256=hashlib.sha256(made.data).hexdigest(),
        size=len(made.data),
        made=now,
        config=str(tmp_path / "enroll.toml"),
        config_sha256=maker.recipe.made_from({"serial": "C02XK1ABJG5H", "udid": UDID}),
    )


def test_a_device_is_recorded_before_anything_is_fetched_for_it(tmp_path: Path) -> None:
    """Where the power fails in between, the ledger knows of the challenge that is out."""
    folder = tmp_path / "site"
    maker = maker_of(folder, with_challenge(folder, f"cp {folder}/ledger.sqlite* {tmp_path}; echo challenge"))
    with library.RecordingMaker(maker, folder) as recording:
        assert recording.make({"serial": "C02X"}, now=NOW).data
    assert [each.state for each in history(tmp_path)] == ["begun"]
    assert [each.state for each in history(folder)] == ["made"]


def test_a_device_that_was_being_made_for_when_the_program_was_killed_can_ask_again(tmp_path: Path) -> None:
    """The next program finds the row and gives it up: nobody has that profile."""
    folder = tmp_path / "site"
    maker_of(
        folder,
        with_challenge(folder, "test -e again || kill -9 $PPID; echo challenge".replace("again", f"{tmp_path}/again")),
    )
    script = """
import sys
from datetime import datetime
from pathlib import Path
from mdmprofile import ProfileMaker, RecordingMaker
now, folder = datetime.fromisoformat(sys.argv[2]), Path(sys.argv[1])
maker = RecordingMaker(ProfileMaker.from_config(folder / "enroll.toml", now=now), folder)
assert maker.make({"serial": "C02X"}, now=now).data
"""
    command = [sys.executable, "-c", script, str(folder), NOW.isoformat()]
    assert subprocess.run(command, check=False).returncode == -9
    assert [each.state for each in history(folder)] == ["begun"]
    (tmp_path / "again").touch()
    subprocess.run(command, check=True)
    assert [(each.state, each.reason) for each in history(folder)] == [("abandoned", "interrupted"), ("made", "")]


def test_what_comes_to_nothing_is_recorded_as_abandoned_and_can_be_asked_for_again(tmp_path: Path) -> None:
    """A challenge that cannot be fetched is the device's loss for a moment, not for good."""
    folder = tmp_path / "site"
    maker = maker_of(folder, with_challenge(folder, f"test -e {tmp_path}/open; echo challenge"))
    with library.RecordingMaker(maker, folder) as recording:
        with pytest.raises(SecretError, match=r"identity\.challenge"):
            recording.make({"serial": "C02X"}, now=NOW)
        (tmp_path / "open").touch()
        # By then the signer has ended, so the finding is an error.
        assert recording.make({"serial": "C02X"}, now=NOW + timedelta(days=5000)).data == b""
        assert recording.make({"serial": "C02X"}, now=NOW).data
    assert [each.state for each in history(folder)] == ["abandoned", "abandoned", "made"]


def test_a_new_profile_takes_the_place_of_those_of_the_same_serial_number_and_of_the_same_udid(tmp_path: Path) -> None:
    """A main board that was swapped has the serial number of one device and the UDID of another."""
    with library.RecordingMaker(maker_of(tmp_path, NAMED), tmp_path) as recording:
        for serial, udid in (("S1", "U1"), ("S2", "U2"), ("S3", "U3"), ("s1", "u2")):
            recording.make({"serial": serial, "udid": udid}, now=NOW)
    assert [each.state for each in history(tmp_path)] == ["superseded", "superseded", "made", "made"]


def test_a_device_whose_profile_is_being_made_is_refused_another_until_it_is(tmp_path: Path) -> None:
    """Two answers to one device would be two identities, one of them unknown; other devices do not wait."""
    folder = tmp_path / "site"
    script = (
        f"test -e {tmp_path}/asked || {{ touch {tmp_path}/asked; until test -e {tmp_path}/go; do sleep 0.02; done; }}"
    )
    maker = maker_of(folder, with_challenge(folder, f"{script}\necho challenge"))
    with library.RecordingMaker(maker, folder) as recording, ThreadPoolExecutor(1) as pool:
        first = pool.submit(recording.make, {"serial": "C02X", "udid": UDID}, now=NOW)
        while not (tmp_path / "asked").exists():
            assert not first.done()
            time.sleep(0.01)
        try:
            with pytest.raises(LedgerError, match="is being made already"):
                recording.make({"serial": "C03X", "udid": UDID.lower()}, now=NOW)
            assert recording.make({"serial": "C04X"}, now=NOW).data
        finally:
            (tmp_path / "go").touch()
        assert first.result().data
        assert recording.make({"serial": "C02X", "udid": UDID}, now=NOW).data
    assert [each.state for each in history(folder)] == ["superseded", "made", "made"]


@pytest.mark.parametrize(
    "device",
    [
        {},
        {"serial": "", "udid": ""},
        {"serial": "../C02X"},
        {"serial": "C02X/../../etc/x"},
        {"serial": ".."},
        {"serial": "C02X\0"},
        {"serial": "C02X\ud800"},
        {"serial": "ledger.sqlite"},
        {"serial": "C" * 300},
        {"serial": "C02X", "udid": "U" * 100_000},
        {"serial": "C02X", "udid": "\ud800"},
    ],
    ids=lambda device: repr(device)[:40],
)
def test_a_device_that_cannot_be_told_apart_or_named_is_refused_before_it_is_recorded(
    tmp_path: Path, device: dict[str, str]
) -> None:
    """A name in the ledger is one that a file below its directory can have."""
    with library.RecordingMaker(maker_of(tmp_path, CONFIG), tmp_path) as recording:
        with pytest.raises(InputError, match=r"^device: "):
            recording.make(device, now=NOW)
        assert recording.make({"udid": UDID}, now=NOW).data
    assert [each.entry.name for each in history(tmp_path)] == [f"{UDID}.mobileconfig"]


def test_a_directory_has_one_writer_until_it_lets_go(tmp_path: Path) -> None:
    """A second program would give up the rows that the first has begun."""
    maker = maker_of(tmp_path, CONFIG)
    with library.RecordingMaker(maker, tmp_path), pytest.raises(LedgerError, match="another run is at work"):
        library.RecordingMaker(maker, tmp_path)
    library.RecordingMaker(maker, tmp_path).close()


def test_a_server_can_sign_requests_with_the_public_names(tmp_path: Path, openssl: Callable[..., bytes]) -> None:
    """A CA from two files issues a certificate for a key that it never sees."""
    site = make_site(tmp_path)
    (ca,) = library.load_certificates(site.intermediate.pem)
    issuer = library.Issuer(
        library.Identity(ca, library.load_private_key(site.intermediate.key_pem())), library.Wanted(), now=NOW
    )
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", tmp_path / "key",
            "-out", tmp_path / "csr")  # fmt: skip
    certificate = issuer.sign_request((tmp_path / "csr").read_bytes(), (("CN", "C02X"),))
    assert certificate.subject == "CN=C02X"
    public = openssl("pkey", "-in", tmp_path / "key", "-pubout")
    (tmp_path / "certificate.der").write_bytes(certificate.der)
    assert openssl("x509", "-inform", "DER", "-in", tmp_path / "certificate.der", "-noout", "-pubkey") == public
