"""Signatures that a command makes, raw or whole: what is taken, what is refused, and what is never run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from conftest import Command, Outcome
from mdmprofile.builder import build
from mdmprofile.certificates import Certificate, Identity
from mdmprofile.cms.command import command_identity
from mdmprofile.cms.sign import sign
from mdmprofile.cms.verify import verify
from mdmprofile.config import load_config
from mdmprofile.errors import MdmprofileError, SigningError
from pki import DAY, NOW, Entity, Key, Site, ec_key, intermediate_ca, issue, root_ca, rsa_key, signed_content

OpenSSL = Callable[..., bytes]

PLAIN = (
    b'<?xml version="1.0"?>\r\n<plist version="1.0"><dict>'
    b"<key>PayloadType</key><string>Configuration</string></dict></plist>\n"
)
HIDDEN = "hunter2-Zz9"
KEYS: dict[str, Callable[[], Key]] = {
    "rsa": rsa_key,
    "p256": ec_key,
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
}
WHOLE = ("openssl", "cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-signer", "signer.pem")
RAW = ("openssl", "dgst", "-sha256", "-sign", "signer.key")


@dataclass(frozen=True)
class Desk:
    """A working directory with a profile, and a signer below an intermediate below a root."""

    folder: Path
    root: Entity
    intermediate: Entity
    signer: Entity
    mdmprofile: Command

    @property
    def out(self) -> Path:
        return self.folder / "signed"

    def put(self, name: str, data: bytes) -> Path:
        file = self.folder / name
        file.write_bytes(data)
        return file

    def raw(self, *command: str, more: tuple[str, ...] = ()) -> Outcome:
        """``sign`` with a command that returns the signature."""
        return self._sign("--signer", "signer.pem", "--signer-command", _joined(command), *more)

    def whole(self, *command: str, more: tuple[str, ...] = ()) -> Outcome:
        """``sign`` with a command that returns the signed profile."""
        return self._sign("--signer-cms-command", _joined(command), *more)

    def _sign(self, *flags: str) -> Outcome:
        return self.mdmprofile("sign", "plain", "-o", "signed", *flags)


def _joined(command: tuple[str, ...]) -> str:
    return " ".join(f'"{each}"' if " " in each else each for each in command)


def make_desk(folder: Path, mdmprofile: Command, key: Key, *, start: int = -1, end: int = 700) -> Desk:
    """Write the files of a desk."""
    root = root_ca()
    intermediate = intermediate_ca(root)
    signer = issue("Outside Signer", intermediate, key=key, start=NOW + start * DAY, end=NOW + end * DAY)
    desk = Desk(folder, root, intermediate, signer, mdmprofile)
    desk.put("plain", PLAIN)
    desk.put("signer.pem", signer.pem)
    desk.put("signer.key", signer.key_pem())
    desk.put("chain.pem", intermediate.pem + root.pem)
    desk.put("intermediate.pem", intermediate.pem)
    desk.put("root.pem", root.pem)
    return desk


@pytest.fixture
def desk(tmp_path: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk whose signer has a P-256 key; the commands run in its folder."""
    monkeypatch.chdir(tmp_path)
    return make_desk(tmp_path, mdmprofile, ec_key())


# What is taken


@pytest.mark.parametrize("kind", KEYS)
def test_raw_signature_of_a_command_makes_a_signed_profile(
    kind: str, tmp_path: Path, mdmprofile: Command, openssl: OpenSSL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command never sees the profile, only what is signed, and openssl verifies the result."""
    monkeypatch.chdir(tmp_path)
    desk = make_desk(tmp_path, mdmprofile, KEYS[kind]())
    outcome = desk.raw(*RAW, more=("--signer-chain", "chain.pem", "--format", "json"))
    assert (outcome.code, outcome.json["findings"]) == (0, []), outcome.err
    assert signed_content(openssl, desk.out, desk.folder / "root.pem") == PLAIN


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("form", [(), ("-stream",), ("-noattr",), ("-md", "sha512")], ids=["der", "ber", "bare", "512"])
def test_profile_that_a_command_signed_whole_is_written_as_it_is(
    kind: str,
    form: tuple[str, ...],
    tmp_path: Path,
    mdmprofile: Command,
    openssl: OpenSSL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DER, and BER as Apple's own command writes it; the signer and the chain are the result's."""
    monkeypatch.chdir(tmp_path)
    desk = make_desk(tmp_path, mdmprofile, KEYS[kind]())
    outcome = desk.whole(*WHOLE, "-inkey", "signer.key", "-certfile", "chain.pem", *form, more=("--format", "json"))
    assert (outcome.code, outcome.json["findings"]) == (0, []), outcome.err
    assert signed_content(openssl, desk.out, desk.folder / "root.pem") == PLAIN
    assert desk.out.read_bytes().startswith(b"\x30\x80") is (form == ("-stream",))


def test_report_names_the_signer_that_the_command_turned_out_to_be(desk: Desk) -> None:
    """Nobody said beforehand who it is."""
    outcome = desk.whole(*WHOLE, "-inkey", "signer.key", "-certfile", "chain.pem")
    assert outcome.out == f"wrote signed ({desk.out.stat().st_size:,} bytes, signed by Outside Signer)\n"


def test_command_signs_once(desk: Desk) -> None:
    """A card may ask for a touch each time."""
    script = "import sys, subprocess; open('count', 'a').write('x'); sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    assert desk.raw(sys.executable, "-c", script, *RAW).code == 0
    assert (desk.folder / "count").read_text() == "x"
    assert desk.whole(sys.executable, "-c", script, *WHOLE, "-inkey", "signer.key").code == 0
    assert (desk.folder / "count").read_text() == "xx"


def test_no_shell_reads_the_command(desk: Desk) -> None:
    """Quotes group words, and that is all."""
    code = "import sys, subprocess as s; open('seen', 'w').write(sys.argv[1]); sys.exit(s.run(sys.argv[2:]).returncode)"
    flag = f'{sys.executable} -c "{code}" "$HOME; touch made" {" ".join(RAW)}'
    outcome = desk.mdmprofile("sign", "plain", "-o", "signed", "--signer", "signer.pem", "--signer-command", flag)
    assert outcome.code == 0, outcome.err
    assert (desk.folder / "seen").read_text() == "$HOME; touch made"
    assert not (desk.folder / "made").exists()


def test_what_the_command_says_reaches_the_user(desk: Desk) -> None:
    """A request to touch the card is on its standard error."""
    script = (
        "import sys, subprocess; print('touch me', file=sys.stderr); sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    )
    outcome = desk.raw(sys.executable, "-c", script, *RAW)
    assert outcome.code == 0
    assert "touch me" in outcome.err


@pytest.mark.parametrize("mode", ["command", "cms_command"])
def test_build_signs_both_profiles_with_the_command_of_the_config(
    mode: str, site: Site, mdmprofile: Command, openssl: OpenSSL
) -> None:
    """The signer is in the report, its dates are judged, and openssl verifies both files."""
    raw = ["openssl", "dgst", "-sha256", "-sign", str(site.folder / "signer.key")]
    whole = [*WHOLE[:-1], str(site.folder / "signer.pem"), "-inkey", str(site.folder / "signer.key")]
    whole += ["-certfile", str(site.folder / "intermediate.pem")]
    lines = f"command = {json.dumps(raw)}\ncertificate = 'signer.pem'" if mode == "command" else ""
    lines = lines or f"cms_command = {json.dumps(whole)}"
    site.edit(lambda text: f"{text.partition('[signing]')[0]}[signing]\n{lines}\n")
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json")
    assert outcome.code == 0, outcome.out + outcome.err
    assert outcome.rules == []
    (signer,) = (each for each in outcome.json["certificates"] if each["role"] == "signer")
    assert signer["sha256"] == site.signer.sha256
    assert all(each["signed"] for each in outcome.json["artifacts"][:2])
    for name in ("enroll.mobileconfig", "trust.mobileconfig"):
        assert signed_content(openssl, site.folder / "out" / name, site.folder / "root.pem").startswith(b"<?xml")


# What is refused


def _python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


_SIGN = "import subprocess, sys, base64; s = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE).stdout; "
BAD_RAW: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": (("true",), "the command true returned nothing"),
    "failure": (("false",), "the command false failed with status 1"),
    "failure-after-the-signature": (
        (*_python(_SIGN + "sys.stdout.buffer.write(s); sys.exit(7)"), *RAW),
        "failed with status 7",
    ),
    "absent": (("no-such-command-4711", HIDDEN), "the command no-such-command-4711 cannot be run"),
    "garbage": (("echo", "garbage"), "the command echo returned a signature that does not verify"),
    "its-input": (("cat",), "the command cat returned a signature that does not verify"),
    "base64": (
        (*_python(_SIGN + "print(base64.b64encode(s).decode())"), *RAW),
        "returned the right signature in base64",
    ),
    "base64-in-lines": (
        (*_python(_SIGN + "print(base64.encodebytes(s).decode())"), *RAW),
        "returned the right signature in base64",
    ),
    "another-digest": (("openssl", "dgst", "-sha512", "-sign", "signer.key"), "does not verify"),
    "another-key": (("openssl", "dgst", "-sha256", "-sign", "other.key"), "does not verify"),
    "one-byte-more": ((*_python(_SIGN + "sys.stdout.buffer.write(s + bytes(1))"), *RAW), "does not verify"),
    "too-much": (_python("print('x' * 70000)"), "is larger than 64 KiB"),
    "endless": (("cat", "/dev/zero"), "is larger than 64 KiB"),
}


@pytest.mark.parametrize("case", BAD_RAW)
def test_raw_signature_that_cannot_be_used_is_refused(case: str, desk: Desk) -> None:
    """Exit code 3, one line that says what came instead, no arguments in it, and an older output untouched."""
    desk.put("other.key", issue("Other", key=ec_key()).key_pem())
    desk.out.write_bytes(b"older")
    command, message = BAD_RAW[case]
    outcome = desk.raw(*command)
    assert outcome.code == 3
    (line,) = (each for each in outcome.err.splitlines() if each.startswith("mdmprofile: "))
    assert line.startswith("mdmprofile: error: --signer-command: ")
    assert message in line
    assert HIDDEN not in line
    assert desk.out.read_bytes() == b"older"


def test_both_numbers_side_by_side_are_told_from_der(desk: Desk) -> None:
    """Several services return ECDSA signatures so; the error says what to change."""
    code = (
        "import subprocess, sys; from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature as d;"
        " pair = d(subprocess.run(sys.argv[1:], stdout=subprocess.PIPE).stdout); "
        "sys.stdout.buffer.write(b''.join(each.to_bytes(32, 'big') for each in pair))"
    )
    outcome = desk.raw(*_python(code), *RAW)
    assert outcome.code == 3
    assert "the right signature as r and s side by side, not in DER" in outcome.err


def test_signature_of_another_length_is_told_for_rsa(
    tmp_path: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that signs with another key than the certificate's is named by its size."""
    monkeypatch.chdir(tmp_path)
    desk = make_desk(tmp_path, mdmprofile, rsa_key())
    desk.put("other.key", issue("Other", key=ec_key()).key_pem())
    outcome = desk.raw("openssl", "dgst", "-sha256", "-sign", "other.key")
    assert outcome.code == 3
    assert "not a signature of RSA-2048" in outcome.err


_TAMPER = (
    "import subprocess, sys; s = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE).stdout; "
    "sys.stdout.buffer.write(s.replace(b'Configuration', b'configuration'))"
)
_FOR_ANOTHER = (
    "import subprocess, sys; p = sys.stdin.buffer.read(); "
    "sys.stdout.buffer.write(subprocess.run(sys.argv[1:], input=p + b' ', stdout=subprocess.PIPE).stdout)"
)
BAD_WHOLE: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": (("true",), "the command true returned nothing"),
    "failure": (("false",), "failed with status 1"),
    "absent": (("no-such-command-4711", HIDDEN), "cannot be run"),
    "unsigned": (("cat",), "the command cat returned something else instead of CMS signed data"),
    "pem": ((*WHOLE[:5], "-outform", "PEM", *WHOLE[7:], "-inkey", "signer.key"), "returned PEM instead"),
    "base64": (
        (
            *_python(_SIGN.replace("stdout=", "stdin=0, stdout=") + "print(base64.b64encode(s).decode())"),
            *WHOLE,
            "-inkey",
            "signer.key",
        ),
        "returned base64 instead",
    ),
    "detached": ((*WHOLE[:4], *WHOLE[5:], "-inkey", "signer.key"), "it holds no content"),
    "line-ends-changed": (
        (*WHOLE[:3], *WHOLE[4:], "-inkey", "signer.key"),
        "it holds the profile with other line ends",
    ),
    "other-content": ((*_python(_FOR_ANOTHER), *WHOLE, "-inkey", "signer.key"), "it holds other bytes"),
    "tampered": ((*_python(_TAMPER), *WHOLE, "-inkey", "signer.key"), "it holds other bytes"),
    "no-certificate": ((*WHOLE, "-inkey", "signer.key", "-nocerts"), "the signer's certificate is not embedded"),
    "sha1": ((*WHOLE, "-inkey", "signer.key", "-md", "sha1"), "its digest is SHA1; sign with SHA-256"),
    "sha224": ((*WHOLE, "-inkey", "signer.key", "-md", "sha224"), "its digest is SHA224; sign with SHA-256"),
    "two-signers": (
        (*WHOLE, "-inkey", "signer.key", "-signer", "other.pem", "-inkey", "other.key"),
        "it has 2 signers where devices expect one",
    ),
    "cut-short": (
        (
            *_python(_SIGN.replace("stdout=", "stdin=0, stdout=") + "sys.stdout.buffer.write(s[:-9])"),
            *WHOLE,
            "-inkey",
            "signer.key",
        ),
        "is not intact CMS signed data",
    ),
    "endless": (("cat", "/dev/zero"), "the output of cat is larger than"),
}


@pytest.mark.parametrize("case", BAD_WHOLE)
def test_signed_profile_that_cannot_be_used_is_refused(case: str, desk: Desk) -> None:
    """Whatever is wrong with it, exit code 3, one line, and an older output untouched."""
    other = issue("Other", desk.intermediate, key=ec_key())
    desk.put("other.pem", other.pem)
    desk.put("other.key", other.key_pem())
    desk.out.write_bytes(b"older")
    command, message = BAD_WHOLE[case]
    outcome = desk.whole(*command)
    assert outcome.code == 3
    (line,) = (each for each in outcome.err.splitlines() if each.startswith("mdmprofile: "))
    assert line.startswith("mdmprofile: error: --signer-cms-command: ")
    assert message in line
    assert HIDDEN not in line
    assert desk.out.read_bytes() == b"older"


def test_profile_signed_with_pss_is_refused_as_it_is_with_a_key_at_hand(
    tmp_path: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One rule for what we sign, wherever the key is."""
    monkeypatch.chdir(tmp_path)
    desk = make_desk(tmp_path, mdmprofile, rsa_key())
    outcome = desk.whole(*WHOLE, "-inkey", "signer.key", "-keyopt", "rsa_padding_mode:pss")
    assert outcome.code == 3
    assert "profiles are not signed with rsassa_pss" in outcome.err


def test_other_signer_than_the_one_named_is_refused(desk: Desk) -> None:
    """A keychain can hold several identities of one name."""
    other = issue("Other", desk.intermediate, key=ec_key())
    desk.put("other.pem", other.pem)
    arguments = (*WHOLE, "-inkey", "signer.key")
    assert desk.whole(*arguments, more=("--signer", "signer.pem")).code == 0
    outcome = desk.whole(*arguments, more=("--signer", "other.pem"))
    assert outcome.code == 3
    assert "Outside Signer signed it, who is not the signer in signing.certificate" in outcome.err


@pytest.mark.parametrize("mode", ["raw", "whole"])
@pytest.mark.parametrize(
    ("start", "end", "code", "rule"),
    [(-9, -1, 2, "expiry.expired"), (-9, 3, 2, "expiry.critical"), (-9, 20, 0, "expiry.soon")],
    ids=["expired", "critical", "soon"],
)
def test_dates_of_the_signer_are_judged(
    mode: str,
    start: int,
    end: int,
    code: int,
    rule: str,
    tmp_path: Path,
    mdmprofile: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the signer is only known from the result: nothing is written with one that has ended."""
    monkeypatch.chdir(tmp_path)
    desk = make_desk(tmp_path, mdmprofile, ec_key(), start=start, end=end)
    chain = ("--signer-chain", "chain.pem", "--format", "json")
    outcome = (
        desk.raw(*RAW, more=chain)
        if mode == "raw"
        else desk.whole(*WHOLE, "-inkey", "signer.key", "-certfile", "chain.pem", more=("--format", "json"))
    )
    assert (outcome.code, outcome.rules) == (code, [rule])
    assert desk.out.exists() is (code == 0)


def test_missing_intermediates_of_a_whole_signature_are_a_warning(desk: Desk) -> None:
    """Nothing can be added to it, so what is at hand but not embedded does not count."""
    outcome = desk.whole(
        *WHOLE, "-inkey", "signer.key", more=("--signer-chain", "intermediate.pem", "--format", "json")
    )
    assert (outcome.code, outcome.rules) == (0, ["signing.chain-incomplete"])
    # It cannot be added to what is signed already, so signing.chain would be no help.
    assert "have the command embed" in outcome.json["findings"][0]["hint"]


def test_build_does_not_run_the_command_when_the_profile_is_wrong_anyway(site: Site, mdmprofile: Command) -> None:
    """Nobody touches a card for a profile that is not written."""
    command = json.dumps([sys.executable, "-c", f"open({str(site.folder / 'ran')!r}, 'w')"])
    site.edit(lambda text: f"{text.partition('[signing]')[0]}[signing]\ncms_command = {command}\n")
    site.edit(lambda text: text.replace('["root.pem", "intermediate.pem"]', '["root.pem"]'))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json")
    assert (outcome.code, "chain.incomplete" in outcome.rules) == (2, True)
    assert not (site.folder / "ran").exists()


def test_command_that_hangs_is_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that never answers does not keep a nightly build for ever."""
    monkeypatch.setattr("mdmprofile.cms.command.SIGNING_SECONDS", 0.3)
    begin = time.monotonic()
    for outcome in (desk.raw("sleep", "60"), desk.whole("sleep", "60")):
        assert outcome.code == 3
        assert "the command sleep gave no answer in 0.3 seconds" in outcome.err
    assert time.monotonic() - begin < 20
    assert not desk.out.exists()


def test_command_that_answers_and_does_not_end_is_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed output is no end: whether it went well is only known by the status."""
    monkeypatch.setattr("mdmprofile.cms.command.SIGNING_SECONDS", 0.3)
    outcome = desk.raw("sh", "-c", "cat signer.key; exec 1>&-; exec sleep 60")
    assert outcome.code == 3
    assert "the command sh gave no answer in 0.3 seconds" in outcome.err


def test_build_refuses_a_command_that_signs_with_two_certificates(site: Site, mdmprofile: Command) -> None:
    """One of the two profiles would come from somebody whom nobody judged."""
    other = issue("Other", site.intermediate, key=ec_key())
    (site.folder / "both.pem").write_bytes(other.pem + other.key_pem())
    script = (
        f"cd {site.folder}; s=signer.pem; k=signer.key; [ -e again ] && s=both.pem && k=both.pem; touch again; "
        "exec openssl cms -sign -binary -nodetach -outform DER -signer $s -inkey $k -certfile intermediate.pem"
    )
    command = json.dumps(["sh", "-c", script])
    site.edit(lambda text: f"{text.partition('[signing]')[0]}[signing]\ncms_command = {command}\n")
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out")
    assert outcome.code == 3
    assert "the command sh signed with different certificates" in outcome.err
    assert not (site.folder / "out").exists()


def test_command_that_does_not_read_its_input_is_no_obstacle(desk: Desk) -> None:
    """A profile larger than a pipe, and a command that closes it unread."""
    desk.put("plain", PLAIN.replace(b"</dict>", b"<key>K</key><data>" + b"QUFB" * 200_000 + b"</data></dict>"))
    outcome = desk.whole("true")
    assert outcome.code == 3
    assert "returned nothing" in outcome.err


# What is never run


@pytest.mark.parametrize("mode", ["command", "cms_command"])
@pytest.mark.parametrize("whole_folder", [True, False], ids=["directory", "config"])
def test_check_runs_no_signing_command(mode: str, whole_folder: bool, site: Site, mdmprofile: Command) -> None:
    """Dates need the certificate alone."""
    command = json.dumps([sys.executable, "-c", f"open({str(site.folder / 'ran')!r}, 'w')"])
    lines = f"{mode} = {command}\ncertificate = 'signer.pem'"
    site.edit(lambda text: f"{text.partition('[signing]')[0]}[signing]\n{lines}\n")
    outcome = mdmprofile("check", site.folder if whole_folder else site.config, "--format", "json")
    assert site.signer.sha256 in {each["sha256"] for each in outcome.json["certificates"] if each["role"] == "signer"}
    assert "signing.not-judged" not in outcome.rules
    assert not (site.folder / "ran").exists()


def test_check_says_that_an_unknown_signer_was_not_judged(site: Site, mdmprofile: Command) -> None:
    """Who signs is known when the command has signed; silence would look like all is well."""
    site.edit(lambda text: f"{text.partition('[signing]')[0]}[signing]\ncms_command = ['false']\n")
    outcome = mdmprofile("check", site.config, "--format", "json")
    assert (outcome.code, outcome.rules) == (0, ["signing.not-judged"])


# The library


def test_library_raises_what_the_command_did() -> None:
    """The error of a signer elsewhere comes through the builder of the signature as it is."""
    entity = issue("Signer", key=ec_key())
    identity = command_identity(("false",), [entity.ours])
    with pytest.raises(SigningError, match="the command false failed with status 1"):
        sign(PLAIN, identity)


def test_library_builds_with_a_command(site: Site) -> None:
    """The signature is verified before the artifacts exist."""
    command = json.dumps(["openssl", "dgst", "-sha256", "-sign", str(site.folder / "signer.key")])
    site.edit(lambda text: text.replace('key = "signer.key"', f"command = {command}"))
    result = build(load_config(site.config), now=NOW)
    assert all(verify(each.data).findings == () for each in result.artifacts if each.signed)
    site.edit(lambda text: text.replace("-sha256", "-sha1"))
    with pytest.raises(MdmprofileError, match="does not verify"):
        build(load_config(site.config), now=NOW)


def test_signer_of_a_kind_that_devices_do_not_verify_is_refused(tmp_path: Path, openssl: OpenSSL) -> None:
    """Before the command is asked."""
    key = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "ed.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    der = openssl("req", "-x509", "-key", tmp_path / "ed.key", "-subj", "/CN=Ed", "-outform", "DER")
    with pytest.raises(SigningError, match="neither RSA nor EC"):
        command_identity(("true",), [Certificate(der, "ed.pem")])


def test_key_that_is_elsewhere_gives_nothing_but_signatures() -> None:
    """Whoever asks it for more is told so."""
    identity = command_identity(("true",), [issue("Signer", key=rsa_key()).ours])
    assert identity.key_matches
    assert identity.key.key_size == 2048
    for ask in ("private_numbers", "private_bytes", "decrypt", "__copy__"):
        with pytest.raises(TypeError, match="the key is elsewhere and only signs"):
            getattr(identity.key, ask)()
    assert "PRIVATE" not in repr(Identity(identity.certificate, identity.key))
