"""``batch``: a profile and an identity for every device of a table, and the ledger of them."""

from __future__ import annotations

import hashlib
import io
import plistlib
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from batches import (
    ACME,
    ISSUED,
    SCEP,
    assert_in_order,
    certificate_of,
    content_of,
    devices_csv,
    files_of,
    fleet_site,
    payload_of,
    plist_of,
    rows_of,
    set_identity,
)
from conftest import Command, Outcome, system_tool
from mdmprofile.ledger import ABANDONED, MADE, SUPERSEDED
from mdmprofile.moments import stamp
from pki import DAY, NOW, Site, ec_key, issue, rsa_key
from test_check import program, terminal
from test_pkcs11 import PIN, Desk, certificate, module, private

OpenSSL = Callable[..., bytes]
Batch = Callable[..., Outcome]

AT = stamp(NOW)
CMS_COMMAND = (
    'cms_command = ["openssl", "cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-signer", '
    '"{0}/signer.pem", "-inkey", "{0}/signer.key", "-certfile", "{0}/intermediate.pem"]\n'
)


@pytest.fixture
def batch(mdmprofile: Command) -> Batch:
    """Run ``batch`` on a site with this table, into ``out`` beside its config, with a JSON report."""

    def call(site: Site, table: str | bytes, *flags: str | Path, at: str = AT, form: str = "json") -> Outcome:
        file = site.folder / "devices.csv"
        file.write_bytes(table.encode() if isinstance(table, str) else table)
        where = ("-c", site.config, "-o", site.folder / "out")
        return mdmprofile("batch", file, *where, "--format", form, *flags, at=at)

    return call


def fetching(command: str) -> str:
    """A SCEP identity whose challenges this command line prints."""
    return SCEP.replace('"{{ device.challenge }}"', f'{{ command = ["sh", "-c", "{command}"] }}')


def names_in_order(site: Site) -> list[str]:
    """The files of the made rows, as they were begun."""
    return [each.entry.name for each in rows_of(site.folder / "out") if each.state == MADE]


def read(site: Site, serial: str) -> bytes:
    """One device's profile."""
    return (site.folder / "out" / f"{serial}.mobileconfig").read_bytes()


# What each device gets


def test_scep_device_gets_the_challenge_of_its_row(tmp_path: Path, batch: Batch, openssl: OpenSSL) -> None:
    """Its profile is signed, private, and in the ledger with the end that its issuer promises."""
    site = fleet_site(tmp_path, SCEP)
    outcome = batch(site, devices_csv(30, "challenge"))
    assert (outcome.code, outcome.rules) == (0, []), outcome.err
    assert outcome.json["devices"] == {"rows": 30, "bad": 0, "made": 30, "kept": 0, "failed": 0}
    made = assert_in_order(tmp_path / "out", issued=False)
    assert list(made) == [f"S{n:05}.mobileconfig" for n in range(30)]
    for n in range(30):
        scep = payload_of(read(site, f"S{n:05}"), "scep")["PayloadContent"]
        assert (scep["Challenge"], scep["Subject"]) == (f"challenge-{n}", [[["CN", f"S{n:05}"]]])
        entry = made[f"S{n:05}.mobileconfig"].entry
        assert (entry.serial, entry.udid, entry.identity) == (f"S{n:05}", f"U{n:05}", "scep")
        assert (entry.subject, entry.not_after) == (f"CN=S{n:05}", NOW + timedelta(days=365))
    openssl_verifies(openssl, site, "S00007")


def openssl_verifies(openssl: OpenSSL, site: Site, serial: str) -> bytes:
    """What is inside, once openssl has followed the signature to the root."""
    profile = site.folder / "out" / f"{serial}.mobileconfig"
    words = ("cms", "-verify", "-binary", "-inform", "DER", "-in", profile, "-CAfile", site.folder / "root.pem")
    return openssl(*words, "-purpose", "any", "-attime", str(int(NOW.timestamp())))


def test_challenge_command_is_run_once_for_each_device(tmp_path: Path, batch: Batch) -> None:
    """With the device's values in its arguments; a run that goes on asks for the others alone."""
    script = tmp_path / "challenge.sh"
    script.write_text(f'echo "$1" >> {tmp_path}/asked\n[ "$1" = S00003 ] && exit 1\nprintf "for-%s" "$1"\n')
    command = f'{{ command = ["sh", "{script}", "{{{{ device.serial }}}}"] }}'
    site = fleet_site(tmp_path / "site", SCEP.replace('"{{ device.challenge }}"', command))
    outcome = batch(site, devices_csv(6), "--jobs", "1")
    assert (outcome.code, outcome.json["devices"]["made"], outcome.json["devices"]["failed"]) == (2, 5, 1)
    (found,) = [each for each in outcome.json["findings"] if each["severity"] == "error"]
    assert (found["rule"], found["where"]) == ("devices.failed", f"{site.folder}/devices.csv:5: identity.challenge")
    assert (tmp_path / "asked").read_text().split() == [f"S{n:05}" for n in range(6)]
    for n in (0, 1, 2, 4, 5):
        assert payload_of(read(site, f"S{n:05}"), "scep")["PayloadContent"]["Challenge"] == f"for-S{n:05}"
    script.write_text(f'echo "$1" >> {tmp_path}/asked\nprintf "for-%s" "$1"\n')
    assert batch(site, devices_csv(6)).json["devices"] == {"rows": 6, "bad": 0, "made": 1, "kept": 5, "failed": 0}
    assert (tmp_path / "asked").read_text().split()[6:] == ["S00003"]


def test_challenge_of_a_file_is_that_of_every_device(tmp_path: Path, batch: Batch) -> None:
    """It is read once, from beside the config."""
    site = fleet_site(tmp_path, SCEP.replace('"{{ device.challenge }}"', '{ file = "challenge.txt" }'))
    assert batch(site, devices_csv(5)).code == 0
    found = {payload_of(read(site, f"S{n:05}"), "scep")["PayloadContent"]["Challenge"] for n in range(5)}
    assert found == {"open-sesame-4711"}


def test_acme_device_gets_an_identifier_that_only_the_ledger_knows(tmp_path: Path, batch: Batch) -> None:
    """It is in no report; a second table's devices get others."""
    site = fleet_site(tmp_path, ACME)
    outcome = batch(site, devices_csv(20))
    assert outcome.code == 0
    made = assert_in_order(tmp_path / "out", issued=False)
    found = [payload_of(read(site, f"S{n:05}"), "acme")["ClientIdentifier"] for n in range(20)]
    assert found == [made[f"S{n:05}.mobileconfig"].entry.client_identifier for n in range(20)]
    assert len(set(found)) == 20
    assert not any(each in outcome.out + outcome.err for each in found)


def test_acme_identifier_of_a_template_is_recorded(tmp_path: Path, batch: Batch) -> None:
    """What the ledger tells the ACME server's administrator is what the devices have."""
    site = fleet_site(tmp_path, f'{ACME}client_identifier = "{{{{ device.serial }}}}-x"\n')
    assert batch(site, devices_csv(3)).code == 0
    made = assert_in_order(tmp_path / "out", issued=False)
    assert [each.entry.client_identifier for each in made.values()] == ["S00000-x", "S00001-x", "S00002-x"]


@pytest.mark.parametrize("ca", ["rsa", "ec"])
@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384"])
def test_issued_identity_is_one_that_openssl_trusts(
    tmp_path: Path, batch: Batch, openssl: OpenSSL, kind: str, ca: str
) -> None:
    """Certificate, PKCS#12 and signature of every profile, and what the ledger says of them."""
    site = fleet_site(tmp_path, ISSUED.replace("p256", kind), ca_key=rsa_key() if ca == "rsa" else ec_key())
    outcome = batch(site, devices_csv(3))
    assert (outcome.code, outcome.rules) == (0, []), outcome.err
    made = assert_in_order(tmp_path / "out")
    for name, row in made.items():
        serial = name.partition(".")[0]
        data = openssl_verifies(openssl, site, serial)
        payload = payload_of(data, "pkcs12")
        (tmp_path / "device.p12").write_bytes(payload["PayloadContent"])
        (tmp_path / "password").write_text(payload["Password"])
        words = ("pkcs12", "-in", tmp_path / "device.p12", "-passin", f"file:{tmp_path}/password")
        (tmp_path / "device.pem").write_bytes(openssl(*words, "-nokeys"))
        key = openssl(*words, "-nocerts", "-nodes")
        public = openssl("pkey", "-pubout", data=key)
        assert openssl("x509", "-in", tmp_path / "device.pem", "-noout", "-pubkey") == public
        openssl(
            *("verify", "-purpose", "sslclient", "-attime", str(int(NOW.timestamp()))),
            *("-CAfile", tmp_path / "root.pem", "-untrusted", tmp_path / "ca.pem", tmp_path / "device.pem"),
        )
        certificate = certificate_of(data)
        entry = row.entry
        assert entry.certificate_sha256 == hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
        assert (entry.subject, entry.identity) == (certificate.subject.rfc4514_string(), "pkcs12")
        assert (entry.not_before, entry.not_after) == (certificate.not_valid_before_utc, NOW + timedelta(days=365))
        mdm = plist_of(data)["PayloadContent"][-1]
        assert mdm["IdentityCertificateUUID"] == payload["PayloadUUID"]
    passwords = {payload_of(read(site, f"S{n:05}"), "pkcs12")["Password"] for n in range(3)}
    assert len(passwords) == 3
    assert not any(each in outcome.out + outcome.err for each in passwords)


def test_password_that_nobody_would_know_is_refused_before_anything_is_written(tmp_path: Path, batch: Batch) -> None:
    """With a column of passwords it is no mistake, and each opens its device's identity."""
    site = fleet_site(tmp_path, f"{ISSUED}embed_password = false\n")
    outcome = batch(site, devices_csv(3))
    assert outcome.code == 3
    assert f"error: {site.config}: identity.embed_password: is false, and nobody would know" in outcome.err
    assert not (tmp_path / "out").exists()
    set_identity(site, f'{ISSUED}embed_password = false\npassword = "{{{{ device.password }}}}"\n')
    outcome = batch(site, devices_csv(3, "password"))
    assert outcome.code == 0
    for n in range(3):
        payload = dict(payload_of(read(site, f"S{n:05}"), "pkcs12"))
        assert "Password" not in payload
        plist = plist_of(read(site, f"S{n:05}"))
        plist["PayloadContent"] = [payload | {"Password": f"password-{n}"}]
        assert certificate_of(plistlib.dumps(plist))
    assert "password-1" not in outcome.out + outcome.err


def test_unsigned_profiles_are_a_warning_told_once(tmp_path: Path, batch: Batch) -> None:
    """Not once for each device."""
    site = fleet_site(tmp_path, SCEP, signed=False)
    outcome = batch(site, devices_csv(10, "challenge"))
    assert (outcome.code, outcome.rules) == (0, ["signing.unsigned"])
    assert read(site, "S00001").startswith(b"<?xml")
    assert batch(site, devices_csv(12, "challenge"), "--fail-on", "warning").code == 1


def test_finding_of_one_device_names_its_line(tmp_path: Path, batch: Batch) -> None:
    """A warning that others do not have could be anybody's."""
    site = fleet_site(tmp_path, SCEP)
    rows = [*devices_csv(5, "challenge").splitlines(), f"{'S' * 70},U9,c", ""]
    outcome = batch(site, "\n".join(rows))
    assert [(each["rule"], each["where"]) for each in outcome.json["findings"]] == [
        ("scep.common-name", f"{tmp_path}/devices.csv:7: PayloadContent[2].PayloadContent.Subject")
    ]


def test_key_on_a_token_signs_every_profile(tmp_path: Path, openssl: OpenSSL) -> None:
    """Each of two processes logs in with the PIN that was read once."""
    found = module()
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\n")
    site = fleet_site(tmp_path / "site", SCEP)
    desk = Desk(site, found, configuration)
    key = ec_key()
    signer = issue("Token signer", site.intermediate, key=key)
    desk.token("fleet", [private("signer", "01", key), certificate("signer", "01", signer)])
    (site.folder / "pin").write_text(f"{PIN}\n")
    uri = desk.uri("token=fleet;object=signer")
    site.edit(
        lambda text: f'{text.partition("[signing]")[0]}[signing]\npkcs11 = "{uri}"\npkcs11_pin = {{ file = "pin" }}\n'
    )
    (site.folder / "devices.csv").write_text(devices_csv(12, "challenge"))
    done = desk.run("batch", "devices.csv", "-c", "enroll.toml", "-o", "out", "--jobs", "2", "--at", AT)
    assert done.returncode == 0, done.stderr
    assert len(assert_in_order(site.folder / "out", issued=False)) == 12
    for n in range(12):
        openssl_verifies(openssl, site, f"S{n:05}")


@pytest.mark.parametrize(
    "signing",
    [
        'certificate = "signer.pem"\ncommand = ["openssl", "dgst", "-sha256", "-sign", "{}/signer.key"]\n',
        CMS_COMMAND,
    ],
    ids=["command", "cms_command"],
)
def test_command_signs_every_profile(tmp_path: Path, batch: Batch, openssl: OpenSSL, signing: str) -> None:
    """The bare signature or the whole of it."""
    system_tool("openssl")
    site = fleet_site(tmp_path, SCEP)
    site.edit(lambda text: f"{text.partition('[signing]')[0]}[signing]\n{signing.format(tmp_path)}")
    outcome = batch(site, devices_csv(4, "challenge"))
    assert outcome.code == 0, outcome.err
    for n in range(4):
        openssl_verifies(openssl, site, f"S{n:05}")


def test_signing_command_that_fails_stops_the_run(tmp_path: Path, batch: Batch) -> None:
    """The next device would fare no better; nothing that is unsigned is left."""
    site = fleet_site(tmp_path, SCEP)
    signing = '[signing]\ncertificate = "signer.pem"\ncommand = ["false"]\n'
    site.edit(lambda text: f"{text.partition('[signing]')[0]}{signing}")
    outcome = batch(site, devices_csv(4, "challenge"), "--jobs", "1", form="text")
    assert outcome.code == 3
    assert outcome.err.count("\n") == 1
    assert files_of(tmp_path / "out") == {}


# Names and order


def test_names_can_have_directories(tmp_path: Path, batch: Batch) -> None:
    """Out of the device's values, below the output directory."""
    site = fleet_site(tmp_path, SCEP)
    template = "{{ device.site | lower }}/{{ device.serial }}.mobileconfig"
    outcome = batch(site, devices_csv(4, "challenge", "Site"), "--name", template)
    assert outcome.code == 0, outcome.err
    assert sorted(files_of(tmp_path / "out")) == [f"site-{n}/S{n:05}.mobileconfig" for n in range(4)]
    assert_in_order(tmp_path / "out", issued=False)


@pytest.mark.parametrize(
    "serial",
    ["../../evil", "/etc/evil", "..", ".hidden", "a/../../b", "a\\b", "NUL", "ledger.sqlite", "x" * 300, "a\x07"],
)
def test_hostile_serial_number_is_a_bad_row(tmp_path: Path, batch: Batch, serial: str) -> None:
    """It leaves the directory on no path; the other devices get theirs."""
    site = fleet_site(tmp_path / "site", SCEP)
    template = "{{ device.serial }}" if serial == "ledger.sqlite" else "{{ device.serial }}.mobileconfig"
    outcome = batch(site, f"serial,challenge\nS1,c\n{serial},c\nS2,c\n", "--name", template)
    assert (outcome.code, outcome.json["devices"]["made"], outcome.json["devices"]["bad"]) == (2, 2, 1)
    (found,) = [each for each in outcome.json["findings"] if each["severity"] == "error"]
    assert found["where"] == f"{site.folder}/devices.csv:3"
    assert len(assert_in_order(site.folder / "out", issued=False)) == 2
    assert [each.name for each in tmp_path.iterdir()] == ["site"]


def test_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    """The same rows in the same order, and the same bytes where nothing is random."""
    found = []
    for jobs in ("1", "2"):
        site = fleet_site(tmp_path / jobs, SCEP, signed=False)
        (site.folder / "devices.csv").write_text(devices_csv(300, "challenge"))
        words = ("-c", site.config, "-o", site.folder / "out", "--jobs", jobs, "--at", AT)
        done = program("batch", site.folder / "devices.csv", *words)
        assert done.returncode == 0, done.stderr
        assert_in_order(site.folder / "out", issued=False)
        names = names_in_order(site)
        found.append((names, len({(site.folder / "out" / each).read_bytes() for each in names})))
        # Each site has CAs of its own.
        scep = [payload_of((site.folder / "out" / each).read_bytes(), "scep")["PayloadContent"] for each in names]
        found[-1] += ([(each["Challenge"], each["Subject"]) for each in scep],)  # type: ignore[assignment]
    assert found[0] == found[1]
    assert found[0][:2] == ([f"S{n:05}.mobileconfig" for n in range(300)], 300)


def test_same_site_gives_the_same_bytes_with_any_number_of_processes(tmp_path: Path) -> None:
    """Unsigned and with nothing issued, there is nothing random."""
    site = fleet_site(tmp_path, SCEP, signed=False)
    (tmp_path / "devices.csv").write_text(devices_csv(200, "challenge"))
    for jobs in ("1", "2"):
        words = ("-c", site.config, "-o", tmp_path / jobs, "--jobs", jobs, "--at", AT)
        assert program("batch", tmp_path / "devices.csv", *words).returncode == 0
    one, two = ({name: path.read_bytes() for name, path in files_of(tmp_path / each).items()} for each in "12")
    assert one == two
    assert [each.entry for each in rows_of(tmp_path / "1")] == [each.entry for each in rows_of(tmp_path / "2")]


def test_table_can_come_from_standard_input(tmp_path: Path) -> None:
    """And the tar go to standard output: the report is then on standard error."""
    site = fleet_site(tmp_path, SCEP)
    words = [sys.executable, "-m", "mdmprofile", "batch", "-", "-c", str(site.config), "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [*words, "--at", AT, "--archive", "-"],
        input=devices_csv(5, "challenge").encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert archive.getnames() == [f"S{n:05}.mobileconfig" for n in range(5)]
    assert b"wrote 5 profiles and ledger.sqlite" in done.stderr
    done = subprocess.run([*words, "--at", AT], input=b"serial,challenge\n,c\n", capture_output=True, check=False)
    assert done.returncode == 2
    assert b"standard input:2: the row has neither a serial number nor a UDID" in done.stdout


# Archives


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_archive_holds_the_files_in_the_tables_order(tmp_path: Path, batch: Batch, form: str) -> None:
    """Private, byte for byte what is in the directory, and the same each time."""
    site = fleet_site(tmp_path, SCEP)
    rows = devices_csv(9, "challenge").splitlines()
    table = "\n".join([rows[0], *reversed(rows[1:]), ""])
    names = [f"d/S{n:05}.mobileconfig" for n in reversed(range(9))]
    archives = [tmp_path / f"{each}.{form}" for each in ("one", "two")]
    for archive in archives:
        outcome = batch(site, table, "--archive", archive, "--name", "d/{{ device.serial }}.mobileconfig")
        assert outcome.code == 0, outcome.err
        assert archive.stat().st_mode & 0o777 == 0o600
    assert archives[0].read_bytes() == archives[1].read_bytes()
    if form == "tar":
        with tarfile.open(archives[0]) as opened:
            members = opened.getmembers()
            assert [(each.name, each.mode, each.uid, each.uname) for each in members] == [
                (each, 0o600, 0, "") for each in names
            ]
            found = [(opened.extractfile(each) or io.BytesIO()).read() for each in members]
        listed = subprocess.run(["tar", "-tf", archives[0]], capture_output=True, text=True, check=True).stdout
        assert listed.split() == names
    else:
        with zipfile.ZipFile(archives[0]) as zipped:
            assert zipped.testzip() is None
            assert [(each.filename, each.external_attr >> 16) for each in zipped.infolist()] == [
                (each, 0o600) for each in names
            ]
            found = [zipped.read(each) for each in names]
        subprocess.run([system_tool("unzip"), "-tq", archives[0]], capture_output=True, check=True)
    assert found == [(tmp_path / "out" / each).read_bytes() for each in names]


def test_archive_holds_what_is_good_and_what_was_there(tmp_path: Path, batch: Batch) -> None:
    """A device of a bad row has none; one whose profile was kept has."""
    site = fleet_site(tmp_path, SCEP)
    batch(site, "serial,challenge\nS1,a\n")
    outcome = batch(site, "serial,challenge\nS3,c\n,b\nS1,a\n", "--archive", tmp_path / "all.tar")
    assert outcome.code == 2
    with tarfile.open(tmp_path / "all.tar") as archive:
        assert archive.getnames() == ["S3.mobileconfig", "S1.mobileconfig"]


@pytest.mark.parametrize("name", ["all.rar", "all", "all.tar.gz"])
def test_archive_of_an_unknown_kind_is_refused_before_anything_is_done(tmp_path: Path, batch: Batch, name: str) -> None:
    """The hint says which there are."""
    outcome = batch(fleet_site(tmp_path, SCEP), devices_csv(1, "challenge"), "--archive", tmp_path / name)
    assert outcome.code == 3
    assert "name a .tar or .zip file" in outcome.err
    assert not (tmp_path / "out").exists()


# Bad rows


BAD = """\
serial,udid,challenge
S1,U1,c1
S2,U2,
,,c3
S4,U4,c4
S1,U5,c5
S6,u4,c6
S7,U7
"S8
",U8,c8
S9,U9,c9,more
S10,U10,c10
"""


def test_bad_rows_are_named_and_the_good_ones_made(tmp_path: Path, batch: Batch) -> None:
    """Each with the line that it begins in; the exit code is that of an error."""
    site = fleet_site(tmp_path, SCEP)
    outcome = batch(site, BAD)
    assert outcome.code == 2
    where = f"{tmp_path}/devices.csv"
    assert [(each["rule"], each["where"].removeprefix(f"{where}:")) for each in outcome.json["findings"]] == [
        ("devices.missing", "3"),
        ("devices.missing", "4"),
        ("devices.duplicate", "6"),
        ("devices.duplicate", "7"),
        ("devices.row", "8"),
        ("devices.row", "11"),
    ]
    assert outcome.json["devices"] == {"rows": 10, "bad": 6, "made": 4, "kept": 0, "failed": 0}
    assert sorted(assert_in_order(tmp_path / "out", issued=False)) == [
        f"{each}.mobileconfig" for each in ("S1", "S10", "S4", "S8")
    ]


def test_strict_writes_nothing_for_one_bad_row(tmp_path: Path, batch: Batch) -> None:
    """Not even the directory."""
    site = fleet_site(tmp_path, SCEP)
    outcome = batch(site, BAD, "--strict", form="text")
    assert outcome.code == 2
    assert "6 bad rows in the table" in outcome.out
    assert "Nothing was written." in outcome.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("identity", [SCEP, ISSUED], ids=["scep", "issued"])
def test_strict_writes_nothing_for_a_device_that_the_config_cannot_be_filled_with(
    tmp_path: Path, batch: Batch, identity: str
) -> None:
    """Such a row is as bad, and is noticed before anything is issued; without --strict the others are made."""
    site = fleet_site(tmp_path, identity)
    site.edit(lambda text: text.replace("com/mdm", "com/{{ device.serial }}"))
    table = devices_csv(8, "challenge").replace("S00005", "S 5").replace("S00006", "S" * 65)
    outcome = batch(site, table, "--strict")
    bad = 2 if identity == ISSUED else 1
    assert (outcome.code, outcome.json["devices"]["bad"]) == (2, bad)
    lines = [each["where"].partition(":")[2][:1] for each in outcome.json["findings"] if each["severity"] == "error"]
    assert lines == ["7", "8"][:bad]
    assert not (tmp_path / "out").exists()
    outcome = batch(site, table)
    assert (outcome.code, outcome.json["devices"]["failed"], outcome.json["devices"]["made"]) == (2, bad, 8 - bad)
    made = assert_in_order(tmp_path / "out", issued=identity == ISSUED)
    assert len(made) == 8 - bad
    assert [each.reason for each in rows_of(tmp_path / "out") if each.state == ABANDONED] == ["failed"] * bad


def test_first_devices_with_the_same_mistake_do_not_stop_the_others(tmp_path: Path, batch: Batch) -> None:
    """What is wrong with all of a table is the config's fault; what is wrong with its beginning is not."""
    site = fleet_site(tmp_path, SCEP.replace("CN={{ device.serial }}", "CN={{ device.owner | default('') }}"))
    rows = [f"S{n},c," + ("" if n < 20 else f"owner {n}") for n in range(25)]
    outcome = batch(site, "\n".join(["serial,challenge,owner", *rows, ""]))
    assert (outcome.code, outcome.json["devices"]["made"], outcome.json["devices"]["failed"]) == (2, 5, 20)
    places = [each["where"] for each in outcome.json["findings"]]
    assert places[0] == f"{tmp_path}/devices.csv:2: {site.config}: identity.subject"
    outcome = batch(site, "\n".join(["serial,challenge,owner", *rows[:10], ""]))
    assert (outcome.code, outcome.json["ledger"]) == (2, None)


def test_mistake_of_the_config_is_told_once_and_nothing_is_written(tmp_path: Path, batch: Batch) -> None:
    """It is the same for every device."""
    site = fleet_site(tmp_path, SCEP)
    site.edit(lambda text: text.replace("[server]\n", "[server]\naccess_rights = 2\n"))
    outcome = batch(site, devices_csv(50, "challenge"))
    assert (outcome.code, outcome.rules) == (2, ["mdm.access-rights"])
    assert not (tmp_path / "out").exists()


# Parts of a table


@pytest.mark.parametrize("count", [1, 2, 7, 10])
def test_shards_are_disjoint_and_together_the_table(tmp_path: Path, batch: Batch, count: int) -> None:
    """One directory each, or all in one, one after the other."""
    site = fleet_site(tmp_path, SCEP, signed=False)
    table = devices_csv(10, "challenge")
    found: list[str] = []
    for k in range(1, 4):
        outcome = batch(site, "\n".join([*table.splitlines()[: count + 1], ""]), "--shard", f"{k}/3")
        assert outcome.code == 0, outcome.err
        assert outcome.json["devices"]["made"] == len(range(k - 1, count, 3))
        names = set(assert_in_order(tmp_path / "out", issued=False)) - set(found)
        assert sorted(names) == [f"S{n:05}.mobileconfig" for n in range(k - 1, count, 3)]
        found += names
    assert len(found) == count


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1/0", "1", "a/b", "1/3/5", "-1/3"])
def test_shard_that_is_none_is_refused(tmp_path: Path, batch: Batch, shard: str) -> None:
    """With what it should look like."""
    outcome = batch(fleet_site(tmp_path, SCEP), devices_csv(1, "challenge"), f"--shard={shard}")
    assert outcome.code == 3
    assert "K/N" in outcome.err


# Again


def test_second_run_leaves_everything_as_it_is(tmp_path: Path, batch: Batch) -> None:
    """Byte for byte, though the identities would be others; new devices get theirs."""
    site = fleet_site(tmp_path)
    batch(site, devices_csv(5))
    before = {name: path.read_bytes() for name, path in files_of(tmp_path / "out").items()}
    outcome = batch(site, devices_csv(8), at="2031-04-01")
    assert (outcome.code, outcome.json["devices"]["made"], outcome.json["devices"]["kept"]) == (0, 3, 5)
    assert_in_order(tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in before} == before
    site.edit(lambda text: text.replace("2031-09-01", "2031-10-01"))
    assert batch(site, devices_csv(8)).json["devices"]["kept"] == 8


CHANGES: dict[str, Callable[[Site], object]] = {
    "config": lambda site: site.edit(lambda text: text.replace("Example MDM", "Other MDM")),
    "file": lambda site: (site.folder / "intermediate.pem").write_bytes(site.intermediate.pem + site.root.pem),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_config_is_refused_until_somebody_says_what_to_do(tmp_path: Path, batch: Batch, change: str) -> None:
    """Another identity for a device that has one is nobody's wish by accident."""
    site = fleet_site(tmp_path)
    batch(site, devices_csv(4))
    before = {name: path.read_bytes() for name, path in files_of(tmp_path / "out").items()}
    CHANGES[change](site)
    outcome = batch(site, devices_csv(6), form="text")
    assert outcome.code == 3
    assert "made from another config or another row: the profile of S00000 in line 2 and 3 more (" in outcome.err
    assert {name: path.read_bytes() for name, path in files_of(tmp_path / "out").items()} == before
    outcome = batch(site, devices_csv(6), "--keep")
    assert (outcome.code, outcome.json["devices"]["made"], outcome.json["devices"]["kept"]) == (0, 2, 4)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in before} == before
    outcome = batch(site, devices_csv(6), "--again")
    assert (outcome.code, outcome.json["devices"]["made"], outcome.json["devices"]["kept"]) == (0, 4, 2)
    assert_in_order(tmp_path / "out")
    assert not any((tmp_path / "out" / name).read_bytes() == data for name, data in before.items())
    assert [each.state for each in rows_of(tmp_path / "out")].count(SUPERSEDED) == 4
    assert batch(site, devices_csv(6)).json["devices"]["kept"] == 6


def test_changed_row_is_refused_until_somebody_says_what_to_do(tmp_path: Path, batch: Batch) -> None:
    """The other rows are as they were."""
    site = fleet_site(tmp_path)
    site.edit(lambda text: text.replace('"Example MDM"', '"{{ device.note }}"'))
    table = devices_csv(4, "note")
    batch(site, table)
    changed = table.replace("note-2", "other")
    outcome = batch(site, changed, form="text")
    assert outcome.code == 3
    assert "made from another config or another row: the profile of S00002 in line 4 (--again makes" in outcome.err
    outcome = batch(site, changed, "--again")
    assert (outcome.code, outcome.json["devices"]["made"], outcome.json["devices"]["kept"]) == (0, 1, 3)
    assert_in_order(tmp_path / "out")


def test_column_and_variable_that_nothing_asks_for_change_nothing(tmp_path: Path, batch: Batch) -> None:
    """A note in a spreadsheet is no reason to issue a fleet's identities again."""
    site = fleet_site(tmp_path)
    batch(site, devices_csv(4))
    outcome = batch(site, devices_csv(5, "note"), "--var", "site=x")
    assert (outcome.code, outcome.json["devices"]["made"], outcome.json["devices"]["kept"]) == (0, 1, 4)


def test_identities_that_end_too_soon_are_issued_again(tmp_path: Path, batch: Batch) -> None:
    """Those of other devices stay, and the old ones are kept on record; the next run has nothing to do."""
    site = fleet_site(tmp_path)
    batch(site, devices_csv(3))
    old = assert_in_order(tmp_path / "out")
    later = stamp(NOW + 100 * DAY)
    outcome = batch(site, devices_csv(4), at=later)
    assert (outcome.json["devices"]["made"], outcome.json["devices"]["kept"]) == (1, 3)
    outcome = batch(site, devices_csv(4), "--renew", stamp(NOW + 400 * DAY), at=later)
    assert (outcome.code, outcome.json["devices"]["made"], outcome.json["devices"]["kept"]) == (0, 3, 1)
    made = assert_in_order(tmp_path / "out")
    for name, each in old.items():
        assert made[name].entry.certificate_serial != each.entry.certificate_serial
    assert [each.state for each in rows_of(tmp_path / "out")].count(SUPERSEDED) == 3
    outcome = batch(site, devices_csv(4), "--renew", stamp(NOW + 400 * DAY), at=later)
    assert (outcome.json["devices"]["made"], outcome.json["devices"]["kept"]) == (0, 4)


def test_identity_that_a_device_keeps_is_judged(tmp_path: Path, batch: Batch) -> None:
    """A new one would end later, but this device has none."""
    site = fleet_site(tmp_path)
    batch(site, devices_csv(2))
    outcome = batch(site, devices_csv(2), "--replace-on", stamp(NOW + 361 * DAY), at=stamp(NOW + 360 * DAY))
    assert "expiry.critical" in outcome.rules
    assert "S00000" in outcome.json["plan"]["limited_by"]


def test_challenge_that_every_device_gets_is_a_warning(tmp_path: Path, batch: Batch) -> None:
    """The column of the table may have been meant; a column or a command is none."""
    site = fleet_site(tmp_path, SCEP.replace('"{{ device.challenge }}"', '"the same"'))
    assert "scep.shared-challenge" in batch(site, devices_csv(2, "challenge")).rules
    site = fleet_site(tmp_path / "other", SCEP)
    assert "scep.shared-challenge" not in batch(site, devices_csv(2, "challenge")).rules


def test_both_words_at_once_are_refused(tmp_path: Path, batch: Batch) -> None:
    """They contradict each other."""
    outcome = batch(fleet_site(tmp_path), devices_csv(1), "--again", "--keep")
    assert outcome.code == 3
    assert "--again and --keep contradict each other" in outcome.err


def test_another_name_takes_the_old_file_away(tmp_path: Path, batch: Batch) -> None:
    """A device has one profile, whatever its file is called."""
    site = fleet_site(tmp_path)
    batch(site, devices_csv(3))
    outcome = batch(site, devices_csv(3), "--name", "x/{{ device.udid }}", "--again")
    assert (outcome.code, outcome.json["devices"]["made"]) == (0, 3)
    assert sorted(assert_in_order(tmp_path / "out")) == ["x/U00000", "x/U00001", "x/U00002"]


@pytest.mark.parametrize("rows", [2, 3, 150, 300])
def test_devices_can_exchange_the_names_of_their_files(tmp_path: Path, batch: Batch, rows: int) -> None:
    """Each has its own profile afterwards, whether they are made at once or one after the other."""
    site = fleet_site(tmp_path, SCEP, signed=False)
    lines = [f"S{n},c,user{n}" for n in range(rows)]
    table = "\n".join(["serial,challenge,user", *lines, ""])
    assert batch(site, table, "--name", "{{ device.user }}").code == 0
    moved = [f"S{n},c,user{(n + rows // 2) % rows}" for n in range(rows)]
    outcome = batch(site, "\n".join(["serial,challenge,user", *moved, ""]), "--name", "{{ device.user }}", "--again")
    assert (outcome.code, outcome.json["devices"]["made"]) == (0, rows), outcome.err
    made = assert_in_order(tmp_path / "out", issued=False)
    assert {name: row.entry.serial for name, row in made.items()} == {
        f"user{(n + rows // 2) % rows}": f"S{n}" for n in range(rows)
    }
    for name, row in made.items():
        subject = payload_of((tmp_path / "out" / name).read_bytes(), "scep")["PayloadContent"]["Subject"]
        assert subject == [[["CN", row.entry.serial]]]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("serial,user\nS1,ann\nS2,bob\n", "serial,user\nS3,ann\nS2,bob\n"),
        ("serial,udid,user\nS1,U1,ann\nS2,U2,bob\n", "serial,udid,user\nS1,U2,bob\n"),
        ("serial,udid,user\nS1,U1,ann\nS2,U2,bob\n", "serial,udid,user\nS2,U1,ann\nS1,U2,bob\n"),
    ],
    ids=["name", "serial", "crossed"],
)
def test_name_or_number_can_go_over_to_another_device(tmp_path: Path, batch: Batch, before: str, after: str) -> None:
    """A new device of the same person, a main board that was exchanged: refused with its line, or done when ordered."""
    site = fleet_site(tmp_path)
    name = ("--name", "{{ device.user }}.mobileconfig")
    assert batch(site, before, *name).code == 0
    outcome = batch(site, after, *name, form="text")
    assert outcome.code == 3
    assert "--again" in outcome.err
    assert outcome.err.count("\n") == 1
    outcome = batch(site, after, *name, "--again")
    assert outcome.code == 0, outcome.err
    made = assert_in_order(tmp_path / "out")
    for line in after.splitlines()[1:]:
        serial, user = line.split(",")[0], line.split(",")[-1]
        assert made[f"{user}.mobileconfig"].entry.serial == serial
    assert batch(site, after, *name).json["devices"]["made"] == 0


@pytest.mark.parametrize("damage", ["gone", "short", "long"])
@pytest.mark.parametrize("word", [(), ("--keep",), ("--again",)], ids=["", "keep", "again"])
def test_file_that_is_not_what_was_made_is_made_again(
    tmp_path: Path, batch: Batch, damage: str, word: tuple[str, ...]
) -> None:
    """There is nothing left to keep."""
    site = fleet_site(tmp_path)
    batch(site, devices_csv(4))
    file = tmp_path / "out" / "S00002.mobileconfig"
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] if damage == "short" else file.read_bytes() + b"x")
    outcome = batch(site, devices_csv(4), *word)
    assert (outcome.code, outcome.json["devices"]["made"], outcome.json["devices"]["kept"]) == (0, 1, 3)
    assert_in_order(tmp_path / "out")


def test_lost_file_of_a_changed_row_is_made_where_the_others_are_kept(tmp_path: Path, batch: Batch) -> None:
    """Else the device would have no profile at all, and the archive no member for it."""
    site = fleet_site(tmp_path)
    batch(site, devices_csv(3))
    (tmp_path / "out" / "S00001.mobileconfig").unlink()
    site.edit(lambda text: text.replace("Example MDM", "Other MDM"))
    outcome = batch(site, devices_csv(3), "--keep", "--archive", tmp_path / "all.tar")
    assert (outcome.code, outcome.json["devices"]["made"], outcome.json["devices"]["kept"]) == (0, 1, 2)
    assert plist_of(read(site, "S00001"))["PayloadDisplayName"] == "Other MDM"
    assert plist_of(read(site, "S00002"))["PayloadDisplayName"] == "Example MDM"
    with tarfile.open(tmp_path / "all.tar") as archive:
        assert len(archive.getnames()) == 3


def test_device_that_cannot_be_made_again_has_its_old_file_until_it_can(tmp_path: Path, batch: Batch) -> None:
    """It is taken away when there is another in its place, whatever that is called."""
    site = fleet_site(tmp_path, ISSUED.replace("CN={{ device.serial }}", "CN={{ device.owner }}"))
    name = ("--name", "{{ device.owner | replace('S', 's') }}-{{ device.serial }}")
    batch(site, "serial,owner\nS1,ann\nS2,bob\nS3,eve\n", *name)
    old = (tmp_path / "out" / "bob-S2").read_bytes()
    long = "b" * 70
    outcome = batch(site, f"serial,owner\nS1,anna\nS2,{long}\nS3,eve\n", *name, "--again")
    assert (outcome.code, outcome.json["devices"]["failed"], outcome.json["devices"]["made"]) == (2, 1, 1)
    assert (tmp_path / "out" / "bob-S2").read_bytes() == old
    assert sorted(files_of(tmp_path / "out")) == ["anna-S1", "bob-S2", "eve-S3"]
    outcome = batch(site, "serial,owner\nS1,anna\nS2,bobby\nS3,eve\n", *name)
    assert (outcome.code, outcome.json["devices"]["made"]) == (0, 1)
    assert sorted(assert_in_order(tmp_path / "out")) == ["anna-S1", "bobby-S2", "eve-S3"]


def test_another_run_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    """And the one that is at work is not disturbed."""
    fleet_site(tmp_path, fetching("echo go >> go; sleep 1; echo c"))
    (tmp_path / "devices.csv").write_text(devices_csv(3))
    words = [sys.executable, "-m", "mdmprofile", "batch", "devices.csv", "-o", "out", "--at", AT]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        while not (tmp_path / "go").exists():
            assert first.poll() is None
        second = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
        first.communicate()
    assert second.returncode == 3
    assert second.stderr.startswith(b"mdmprofile: error: out: another run is at work in it (wait until it has ended")
    assert second.stderr.count(b"\n") == 1
    assert first.returncode == 0
    assert len(assert_in_order(tmp_path / "out", issued=False)) == 3


# What is said


def test_report_says_what_was_done(tmp_path: Path, batch: Batch) -> None:
    """In a few lines, however many devices there are, and the JSON has the counts."""
    site = fleet_site(tmp_path)
    outcome = batch(site, devices_csv(3), form="text")
    assert outcome.code == 0
    assert f"wrote 3 profiles and ledger.sqlite into {tmp_path}/out" in outcome.out
    assert "Latest safe replacement date: 2032-01-30" in outcome.out
    outcome = batch(site, devices_csv(4), "--archive", tmp_path / "a.zip", form="text")
    assert f"wrote 1 profile and ledger.sqlite into {tmp_path}/out; 3 devices with one already" in outcome.out
    assert f"wrote {tmp_path}/a.zip with every profile" in outcome.out
    outcome = batch(site, devices_csv(4))
    assert outcome.json["ledger"] == f"{tmp_path}/out/ledger.sqlite"
    assert outcome.json["plan"]["latest_safe_date"] == "2032-01-30"
    assert outcome.err == ""


def test_quiet_run_says_only_what_is_wrong(tmp_path: Path, batch: Batch) -> None:
    """Cron mails the rest."""
    site = fleet_site(tmp_path, SCEP)
    outcome = batch(site, devices_csv(30, "challenge"), "-q", "--every", "1", form="text")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    outcome = batch(site, devices_csv(30, "challenge") + ",,c\n", "-q", "--every", "1", form="text")
    assert (outcome.code, outcome.err) == (2, "")
    assert outcome.out.count("\n") == 1
    assert "devices.csv:32: the row has neither" in outcome.out


def test_log_gets_a_line_each_time_that_so_many_are_done(tmp_path: Path, batch: Batch) -> None:
    """Where nobody sits at a terminal, and none where fewer are made."""
    site = fleet_site(tmp_path, SCEP)
    outcome = batch(site, devices_csv(40, "challenge"), "--every", "10", "--jobs", "1")
    assert outcome.err.splitlines() == [f"mdmprofile: making profiles {n} of 40 devices" for n in (10, 20, 30, 40)]
    assert batch(site, devices_csv(80, "challenge")).err == ""


def test_terminal_shows_how_far_it_is(tmp_path: Path) -> None:
    """With the number of devices, how many there are in a second, and how long it takes; gone at the end."""
    site = fleet_site(tmp_path, fetching("sleep 0.3; echo c"))
    (tmp_path / "devices.csv").write_text(devices_csv(8))
    words = ("batch", tmp_path / "devices.csv", "-c", site.config, "-o", tmp_path / "out", "--at", AT)
    code, screen = terminal(*words)
    assert code == 0, screen
    assert "making profiles" in screen
    assert "/8" in screen
    assert "/s" in screen
    assert "mdmprofile: making" not in screen
    assert "wrote 8 profiles" in screen


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("-o", "-"), "-o names the directory"),
        (("--var", "device.serial=x"), "--var device"),
        (("--archive", "-", "--format", "json"), "want standard output"),
        (("--engine", "dask"), "--engine dask and --scheduler go together"),
        (("--scheduler", "tls://x:1"), "--engine dask and --scheduler go together"),
        (("--jobs", "0"), "--jobs"),
        (("--every", "0"), "--every"),
        (("--name", "{{ device.nothing }}"), "no column nothing"),
        (("--name", "{% for x in y %}"), "template"),
        (("--encoding", "klingon"), "klingon"),
        (("--input-format", "xls"), "xls"),
    ],
)
def test_wrong_words_are_usage_errors(tmp_path: Path, mdmprofile: Command, flags: tuple[str, ...], reason: str) -> None:
    """Exit code 3, one line, and nothing written."""
    site = fleet_site(tmp_path, SCEP)
    (tmp_path / "devices.csv").write_text(devices_csv(2, "challenge"))
    where = () if "-o" in flags else ("-o", tmp_path / "out")
    outcome = mdmprofile("batch", tmp_path / "devices.csv", "-c", site.config, *where, "--at", AT, *flags)
    assert outcome.code == 3
    assert reason in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_interruption_is_an_exit_code_of_its_own(tmp_path: Path) -> None:
    """And the next run goes on from there, each device once."""
    site = fleet_site(tmp_path, ISSUED.replace("p256", "rsa2048"))
    (tmp_path / "devices.csv").write_text(devices_csv(40))
    words = [sys.executable, "-m", "mdmprofile", "batch", "devices.csv", "-o", "out", "--jobs", "2", "--at", AT]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        while not any((tmp_path / "out").glob("*.mobileconfig")):
            assert process.poll() is None
        process.send_signal(2)
        _, err = process.communicate(timeout=60)
    how_far, last = err.decode().split("\n", 1)
    assert re.fullmatch(r"mdmprofile: \d+ of 40 devices are done; run it again, and it goes on from there", how_far)
    assert (process.returncode, last.strip()) == (130, "mdmprofile: interrupted")
    outcome = program("batch", tmp_path / "devices.csv", "-c", site.config, "-o", tmp_path / "out", "--at", AT)
    assert outcome.returncode == 0
    assert len(assert_in_order(tmp_path / "out")) == 40
    assert content_of(read(site, "S00039"))


def test_order_of_the_table_is_that_of_the_ledger(tmp_path: Path, batch: Batch) -> None:
    """Also where they are made in units, and with bad rows between."""
    site = fleet_site(tmp_path, SCEP, signed=False)
    serials = [f"S{(n * 7919) % 1009:04}" for n in range(300)]
    rows = [f"{each},c\n" + (",c\n" if n % 50 == 0 else "") for n, each in enumerate(serials)]
    outcome = batch(site, "".join(["serial,challenge\n", *rows]))
    assert outcome.json["devices"]["bad"] == 6
    assert names_in_order(site) == [f"{each}.mobileconfig" for each in serials]
