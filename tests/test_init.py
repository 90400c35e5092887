"""A first config, and the throwaway PKI that makes it build at once."""

from __future__ import annotations

import plistlib
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from conftest import Command
from mdmprofile.cli import run
from mdmprofile.config import load_config
from mdmprofile.demo import demo_files
from mdmprofile.errors import MdmprofileError
from pki import DAY, NOW

IDENTITIES = ("scep", "acme", "pkcs12")
PAYLOADS = {
    "scep": "com.apple.security.scep",
    "acme": "com.apple.security.acme",
    "pkcs12": "com.apple.security.pkcs12",
}
PKI = ["pki/intermediate.pem", "pki/root.pem", "pki/server.pem", "pki/signer.key", "pki/signer.pem", "push.pem"]
OWN = {"scep": ["scep-challenge.txt"], "acme": [], "pkcs12": ["device-password.txt", "device.p12"]}
SECRETS = {"pki/signer.key", "scep-challenge.txt", "device-password.txt", "device.p12"}


class Demo(NamedTuple):
    """A demo that ``init`` wrote, and the kind of its identity."""

    folder: Path
    identity: str


def files_in(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its relative path."""
    return {each.relative_to(folder).as_posix(): each for each in sorted(folder.rglob("*")) if each.is_file()}


@pytest.fixture(scope="module", params=IDENTITIES)
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A demo of each kind; no test changes it."""
    folder = tmp_path_factory.mktemp("demo") / request.param
    assert run(["init", "--demo", "--quiet", "--identity", request.param, str(folder)]) == 0
    return Demo(folder, request.param)


class TestConfig:
    """The commented enroll.toml."""

    @pytest.mark.parametrize("identity", IDENTITIES)
    def test_the_config_is_one_that_build_reads(self, identity: str, mdmprofile: Command, tmp_path: Path) -> None:
        """A newcomer edits a config that is right, instead of writing one."""
        outcome = mdmprofile("init", tmp_path, "--identity", identity)
        assert (outcome.code, outcome.err) == (0, "")
        assert list(files_in(tmp_path)) == ["enroll.toml"]
        tables = tomllib.loads((tmp_path / "enroll.toml").read_text(encoding="utf-8"))
        assert tables["identity"]["type"] == identity
        assert "replace_on" not in tables["profile"]
        config = load_config(tmp_path / "enroll.toml")
        assert config.profile.identifier == "com.example.mdm.enroll"
        assert config.output_directory == tmp_path / "out"

    @pytest.mark.parametrize("identity", IDENTITIES)
    def test_every_key_that_is_commented_out_can_be_used(
        self, identity: str, mdmprofile: Command, tmp_path: Path
    ) -> None:
        """A comment that names a key which does not exist would send the newcomer into an error."""
        mdmprofile("init", tmp_path, "--identity", identity)
        written = (tmp_path / "enroll.toml").read_text(encoding="utf-8")
        commented = re.findall(r"^# \w+ = .*$", written, flags=re.MULTILINE)
        assert len(commented) >= 14
        for line in commented:
            changed = written.replace(line, line.removeprefix("# "))
            if line.startswith("# pkcs12_password"):
                changed = changed.replace("# pkcs12 = ", "pkcs12 = ")
            if line.startswith("# pkcs11_pin"):
                changed = changed.replace("# pkcs11 = ", "pkcs11 = ")
            if line.startswith("# pkcs12"):
                changed = re.sub(r"^(certificate|key) = .*$", "", changed, flags=re.MULTILINE)
            if line.startswith("# challenge"):
                changed = re.sub(r"^challenge = \{.*$", "", changed, flags=re.MULTILINE)
            if line.startswith("# recipient"):
                changed = changed.replace("# [encryption]", "[encryption]")
            if line.startswith(("# pkcs11", "# command", "# cms_command")):
                changed = re.sub(r"^key = .*$", "", changed, flags=re.MULTILINE)
            (tmp_path / "changed.toml").write_text(changed, encoding="utf-8")
            try:
                load_config(tmp_path / "changed.toml", variables={"device": {"challenge": "once"}})
            except MdmprofileError as error:
                pytest.fail(f"{line}: {error}")

    def test_without_a_directory_the_config_is_written_here(
        self, mdmprofile: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``mdmprofile init`` in the project's own folder, and what to do next."""
        monkeypatch.chdir(tmp_path)
        outcome = mdmprofile("init")
        assert outcome.out == "wrote enroll.toml\nnext: edit enroll.toml, then mdmprofile build\n"
        assert list(files_in(tmp_path)) == ["enroll.toml"]

    def test_a_new_directory_is_made_with_its_parents(
        self, mdmprofile: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``init a/b`` needs no mkdir before it."""
        monkeypatch.chdir(tmp_path)
        outcome = mdmprofile("init", "a/b")
        assert outcome.code == 0
        assert outcome.out.endswith("next: edit enroll.toml, then cd a/b && mdmprofile build\n")
        assert list(files_in(tmp_path)) == ["a/b/enroll.toml"]

    def test_the_next_command_can_be_copied_into_a_shell(
        self, mdmprofile: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A directory with a space is one word to the shell too."""
        monkeypatch.chdir(tmp_path)
        last = mdmprofile("init", "my profiles").out.splitlines()[-1]
        command = last.partition(", then ")[2]
        assert shlex.split(command) == ["cd", "my profiles", "&&", "mdmprofile", "build"]

    def test_json_names_the_files(self, mdmprofile: Command, tmp_path: Path) -> None:
        """A script learns what was written."""
        outcome = mdmprofile("init", tmp_path, "--format", "json")
        assert outcome.json == {"findings": [], "files": [str(tmp_path / "enroll.toml")]}

    def test_quiet_says_nothing(self, mdmprofile: Command, tmp_path: Path) -> None:
        """Nothing was found, so nothing is printed."""
        outcome = mdmprofile("init", tmp_path, "--quiet")
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
        assert list(files_in(tmp_path)) == ["enroll.toml"]


class TestOverwriting:
    """What was there is somebody's work."""

    @pytest.mark.parametrize("flags", [[], ["--demo"]], ids=["config", "demo"])
    def test_a_config_that_is_there_stays(self, flags: list[str], mdmprofile: Command, tmp_path: Path) -> None:
        """The error names the file and the way out, and no other file is written."""
        config = tmp_path / "enroll.toml"
        config.write_bytes(b"mine")
        outcome = mdmprofile("init", tmp_path, *flags)
        assert (outcome.code, outcome.out) == (3, "")
        assert outcome.err == f"mdmprofile: error: {config}: is there already (use --force to overwrite it)\n"
        assert config.read_bytes() == b"mine"
        assert [each.name for each in tmp_path.iterdir()] == ["enroll.toml"]

    def test_one_file_of_a_pki_that_is_there_keeps_the_demo_out(self, mdmprofile: Command, tmp_path: Path) -> None:
        """A real signer's key is not replaced by a throwaway one."""
        key = tmp_path / "pki" / "signer.key"
        key.parent.mkdir()
        key.write_bytes(b"the real key")
        outcome = mdmprofile("init", tmp_path, "--demo")
        assert outcome.code == 3
        assert str(key) in outcome.err
        assert {name: path.read_bytes() for name, path in files_in(tmp_path).items()} == {
            "pki/signer.key": b"the real key"
        }

    def test_force_overwrites(self, mdmprofile: Command, tmp_path: Path) -> None:
        """Who says so gets a new file."""
        (tmp_path / "enroll.toml").write_bytes(b"mine")
        assert mdmprofile("init", tmp_path, "--force").code == 0
        assert load_config(tmp_path / "enroll.toml").server.url == "https://mdm.example.com/mdm"

    @pytest.mark.parametrize("flags", [[], ["--demo"], ["--force"]], ids=["config", "demo", "force"])
    def test_a_file_in_the_place_of_the_directory_is_an_error(
        self, flags: list[str], mdmprofile: Command, tmp_path: Path
    ) -> None:
        """The file stays as it is."""
        place = tmp_path / "file"
        place.write_bytes(b"mine")
        outcome = mdmprofile("init", place, *flags)
        assert (outcome.code, outcome.out) == (3, "")
        assert outcome.err.startswith(f"mdmprofile: error: {place}")
        assert outcome.err.count("\n") == 1
        assert place.read_bytes() == b"mine"


class TestDemo:
    """The throwaway PKI, of the real clock, as a newcomer gets it."""

    def test_it_writes_the_config_the_pki_and_the_identitys_own_files(self, demo: Demo) -> None:
        """Nothing is missing, and nothing is left lying about."""
        assert sorted(files_in(demo.folder)) == sorted(["enroll.toml", *PKI, *OWN[demo.identity]])

    def test_secrets_are_for_their_owner_alone(self, demo: Demo) -> None:
        """Keys, challenge, PKCS#12 and its password; certificates and the config are for everybody."""
        private = {name for name, path in files_in(demo.folder).items() if stat.S_IMODE(path.stat().st_mode) == 0o600}
        assert private == SECRETS & set(files_in(demo.folder))

    def test_build_works_at_once_and_openssl_verifies_the_profile(
        self, demo: Demo, mdmprofile: Command, openssl: Callable[..., bytes], tmp_path: Path
    ) -> None:
        """Two commands from nothing to a signed profile, with nothing found above info."""
        out = tmp_path / "out"
        outcome = mdmprofile("build", "-c", demo.folder / "enroll.toml", "-o", out, "--format", "json", at=None)
        assert outcome.code == 0, outcome.out + outcome.err
        assert {each["severity"] for each in outcome.json["findings"]} <= {"info"}
        root = demo.folder / "pki" / "root.pem"
        types = {}
        for name in ("enroll.mobileconfig", "trust.mobileconfig"):
            arguments = ("cms", "-verify", "-binary", "-inform", "DER", "-in", out / name, "-CAfile", root)
            plist = plistlib.loads(openssl(*arguments, "-purpose", "any"))
            types[name] = [each["PayloadType"] for each in plist["PayloadContent"]]
        assert types == {
            "enroll.mobileconfig": [
                "com.apple.security.root",
                "com.apple.security.pkcs1",
                PAYLOADS[demo.identity],
                "com.apple.mdm",
            ],
            "trust.mobileconfig": ["com.apple.security.root"],
        }

    def test_openssl_verifies_every_certificate_of_the_pki(self, demo: Demo, openssl: Callable[..., bytes]) -> None:
        """The chain holds, and the server's certificate names its host and its purpose."""
        pki = demo.folder / "pki"
        chain = ("verify", "-CAfile", pki / "root.pem", "-untrusted", pki / "intermediate.pem", "-x509_strict")
        server = ("-purpose", "sslserver", "-verify_hostname", "mdm.example.com")
        assert openssl(*chain, *server, pki / "server.pem").endswith(b": OK\n")
        assert openssl(*chain, pki / "signer.pem").endswith(b": OK\n")
        assert openssl(*chain, demo.folder / "push.pem").endswith(b": OK\n")

    def test_the_config_plans_a_replacement_that_everything_outlives(self, demo: Demo) -> None:
        """The demo shows a plan, and none of its warnings."""
        config = load_config(demo.folder / "enroll.toml")
        assert config.profile.replace_on is not None
        assert config.profile.display_name == "Example MDM (demo)"

    def test_the_script_prints_no_secret(self, mdmprofile: Command, tmp_path: Path) -> None:
        """What is on the screen is in somebody's scrollback."""
        outcome = mdmprofile("init", "--demo", tmp_path)
        challenge = (tmp_path / "scep-challenge.txt").read_text().strip()
        assert len(challenge) >= 24
        assert challenge not in outcome.out + outcome.err
        assert outcome.out.splitlines()[-1] == f"next: cd {tmp_path} && mdmprofile build"

    def test_two_demos_share_no_key_and_no_secret(self) -> None:
        """A demo key that everybody has would be a key that somebody trusts by accident."""
        first, second = (dict(demo_files(now=NOW, identity="pkcs12")) for _ in range(2))
        assert list(first) == list(second)
        assert [name for name in first if first[name][0] == second[name][0]] == []

    def test_the_certificates_last_as_the_roles_need_counted_from_now(self) -> None:
        """The clock is an argument: what is made as of a date is valid from the day before."""
        files = demo_files(now=NOW, identity="acme")
        certificates = {
            name: x509.load_pem_x509_certificate(data) for name, (data, _) in files.items() if name.endswith(".pem")
        }
        assert {each.not_valid_before_utc for each in certificates.values()} == {NOW - DAY}
        assert {name: each.not_valid_after_utc - NOW for name, each in certificates.items()} == {
            "pki/root.pem": timedelta(days=3650),
            "pki/intermediate.pem": timedelta(days=1825),
            "pki/server.pem": timedelta(days=397),
            "pki/signer.pem": timedelta(days=730),
            "push.pem": timedelta(days=365),
        }

    def test_openssl_opens_the_identity_with_its_password_in_the_encryption_that_all_devices_read(
        self, openssl: Callable[..., bytes], tmp_path: Path
    ) -> None:
        """PBE-SHA1-3DES is in the file by its OID, and the key belongs to the certificate."""
        files = demo_files(now=NOW, identity="pkcs12")
        for name in OWN["pkcs12"]:
            (tmp_path / name).write_bytes(files[name][0])
        opening = ("pkcs12", "-in", tmp_path / "device.p12", "-passin", f"file:{tmp_path / 'device-password.txt'}")
        pem = openssl(*opening, "-nodes")
        key = serialization.load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
        assert key.public_key() == certificate.public_key()
        openssl("pkcs12", "-in", tmp_path / "device.p12", "-passin", "pass:wrong", "-nodes", fails=True)
        triple_des = bytes.fromhex("060a2a864886f70d010c0103")
        assert triple_des in files["device.p12"][0]

    def test_it_runs_as_two_processes_in_an_empty_folder(self, tmp_path: Path) -> None:
        """The README's first commands; the second writes where the config says, beside the config."""
        for words in (["init", "--demo", "demo", "-q"], ["build", "-c", "demo/enroll.toml", "-q"]):
            command = [sys.executable, "-m", "mdmprofile", *words]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert sorted(each.name for each in (tmp_path / "demo" / "out").iterdir()) == [
            "MDMServiceConfig",
            "dep_anchor_certs",
            "enroll.mobileconfig",
            "trust.mobileconfig",
        ]
