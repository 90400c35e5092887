"""What the messages say: the cause, and the flag or key that this very command understands."""

from __future__ import annotations

import os
import plistlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Command
from pki import Site, issue, rsa_key
from profiles import enrollment, payload

OpenSSL = Callable[..., bytes]


def put(site: Site, name: str, data: bytes) -> Path:
    """Write a file of the site."""
    file = site.folder / name
    file.write_bytes(data)
    return file


@pytest.fixture
def plain(site: Site) -> Path:
    """An unsigned profile in the site's folder."""
    return put(site, "plain.mobileconfig", plistlib.dumps(enrollment()))


@pytest.fixture
def p12(site: Site) -> Path:
    """The signer in a PKCS#12 with a password."""
    return put(site, "signer.p12", site.signer.p12("open-4711"))


def test_a_pkcs12_without_its_password_names_the_flag_of_the_command(
    site: Site, plain: Path, p12: Path, mdmprofile: Command
) -> None:
    """What helps ``build`` does not help ``sign``."""
    out = site.folder / "out"
    wrong = put(site, "wrong", b"wrong-guess\n")
    cases = [
        (("sign", plain, "-o", out, "--signer-pkcs12", p12), "--signer-pkcs12-password-file"),
        (
            ("sign", plain, "-o", out, "--signer-pkcs12", p12, "--signer-pkcs12-password-file", wrong),
            "the password does not open it",
        ),
        (("decrypt", plain, "-o", out, "--recipient-pkcs12", p12), "--recipient-pkcs12-password-file"),
        (("show", plain, "--recipient-pkcs12", p12), "--recipient-pkcs12-password-file"),
        (("diff", plain, plain, "--recipient-pkcs12", p12), "--recipient-pkcs12-password-file"),
        (("check", p12), "--password-file"),
        (("encrypt", plain, "-o", out, "--recipient", p12), "name the certificate in PEM instead"),
        (("verify", plain, "--trust", p12), "in PEM"),
    ]
    for words, wanted in cases:
        outcome = mdmprofile(*words)
        assert outcome.code == 3, words
        assert wanted in outcome.err, outcome.err
        assert "trust.pkcs12_password" not in outcome.err
    assert not out.exists()


def test_a_pkcs12_of_the_config_names_its_own_key(site: Site, p12: Path, mdmprofile: Command) -> None:
    """Three tables of a config can name a PKCS#12, each with a password of its own."""
    site.edit(lambda text: text.replace('certificate = "signer.pem"\nkey = "signer.key"', f'pkcs12 = "{p12.name}"'))
    site.edit(lambda text: text.replace('["root.pem", ', f'["{p12.name}", "root.pem", '))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out")
    assert "signing.pkcs12_password" in outcome.err
    assert "trust.pkcs12_password" in outcome.err
    flags = ("--pkcs12", p12, "--single-device")
    config = site.folder / "other.toml"
    text = site.config.read_text()
    config.write_text(text[: text.index("[identity]")] + text[text.index("[signing]") :])
    assert "identity.password" in mdmprofile("build", "-c", config, "-o", site.folder / "out", *flags).err


def test_init_says_that_a_given_password_does_not_open_the_pkcs12(site: Site, p12: Path, mdmprofile: Command) -> None:
    """Whoever gave a password is not told to give one."""
    identity = payload("com.apple.security.pkcs12", "00000000-0000-4000-8000-000000000002")
    old = put(site, "old", plistlib.dumps(enrollment(lambda: identity | {"PayloadContent": p12.read_bytes()})))
    wrong = put(site, "wrong", b"wrong-guess\n")
    outcome = mdmprofile("init", "--from", old, site.folder / "new", "--pkcs12-password-file", wrong)
    assert outcome.code == 3
    assert "this password does not open it" in outcome.err
    assert "wrong-guess" not in outcome.err


def test_sign_without_a_config_speaks_of_flags(site: Site, plain: Path, p12: Path, mdmprofile: Command) -> None:
    """A config's key means nothing to whoever has no config."""
    out = site.folder / "out"
    certificate, key = site.folder / "signer.pem", site.folder / "signer.key"
    recipient = ("--recipient", certificate)
    for command in (("sign",), ("encrypt", *recipient)):
        outcome = mdmprofile(*command, plain, "-o", out, "--signer", certificate)
        assert outcome.code == 3
        assert "--signer-key: is missing" in outcome.err
        assert "signing." not in outcome.err
    outcome = mdmprofile("sign", plain, "-o", out, "--signer", certificate, "--signer-command", "false")
    assert "--signer-command: " in outcome.err
    assert "signing." not in outcome.err
    many = ("--signer", certificate, "--signer-key", key, "--signer-cms-command", "true")
    outcome = mdmprofile("sign", plain, "-o", out, *many, "--signer-pkcs12", p12)
    assert "--signer-key, --signer-pkcs12 and --signer-cms-command contradict each other" in outcome.err
    outcome = mdmprofile("sign", plain, "-o", out, "--signer", certificate, "--signer-pkcs12", p12)
    assert "--signer-pkcs12 and --signer contradict each other" in outcome.err
    flags = ("--signer", certificate, "--signer-key", key, "--signer-pkcs12-password-file", key)
    assert "is of no use without --signer-pkcs12" in mdmprofile("sign", plain, "-o", out, *flags).err
    outcome = mdmprofile("sign", plain, "-o", out, "--signer", certificate, "--signer-key", site.folder / "none")
    assert "no such file (check the path)" in outcome.err
    assert not out.exists()


def test_a_config_with_two_signers_names_both(site: Site, mdmprofile: Command) -> None:
    """The keys that contradict each other, not those that there could be."""
    site.edit(lambda text: text + 'cms_command = ["true"]\n')
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out")
    assert "signing: key and cms_command contradict each other" in outcome.err


def test_via_knows_two_ways(site: Site, mdmprofile: Command) -> None:
    """A wrong word is answered with the right ones."""
    outcome = mdmprofile("build", "-c", site.config, "--via", "hand")
    assert outcome.code == 3
    assert "'mdm', 'manual'" in outcome.err


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ("-nodetach -outform DER", "openssl needs -binary -nodetach, or it changes the line ends"),
        ("-binary -outform DER", "openssl cms -sign needs -binary -nodetach -outform DER"),
        ("-binary -nodetach", "openssl cms -sign needs -binary -nodetach -outform DER"),
    ],
)
def test_an_option_that_openssl_lacks_is_named(
    options: str, wanted: str, site: Site, plain: Path, mdmprofile: Command, openssl: OpenSSL
) -> None:
    """The command line that most people have at hand changes line ends unless told not to."""
    assert openssl("version")
    pair = f"-signer {site.folder / 'signer.pem'} -inkey {site.folder / 'signer.key'}"
    outcome = mdmprofile(
        "sign", plain, "-o", site.folder / "out", "--signer-cms-command", f"openssl cms -sign {options} {pair}"
    )
    assert outcome.code == 3
    assert wanted in outcome.err


def test_swapped_files_are_recognised(site: Site, plain: Path, mdmprofile: Command) -> None:
    """Each file says what it holds instead."""
    certificate, key = site.folder / "signer.pem", site.folder / "signer.key"
    der = put(site, "signer.der", site.signer.der)
    for one in (certificate, der):
        outcome = mdmprofile("sign", plain, "-o", site.folder / "out", "--signer", key, "--signer-key", one)
        assert outcome.code == 3
        assert "holds a certificate where the private key belongs" in outcome.err
        assert "holds a private key where a certificate belongs" in outcome.err
        assert "are the two swapped?" in outcome.err


def test_a_profile_in_a_configs_place_is_recognised(site: Site, plain: Path, mdmprofile: Command) -> None:
    """TOML's own complaint about a property list helps nobody."""
    outcome = mdmprofile("build", "-c", plain, "-o", site.folder / "out")
    assert outcome.code == 3
    assert "is a profile, not a config (mdmprofile init --from makes a config of it)" in outcome.err


@pytest.mark.parametrize("form", ["pem", "der"])
@pytest.mark.parametrize("command", ["show", "lint", "verify"])
def test_a_certificate_in_a_profiles_place_is_recognised(
    command: str, form: str, site: Site, mdmprofile: Command
) -> None:
    """The command that judges certificates is another."""
    file = put(site, "some", site.root.pem if form == "pem" else site.root.der)
    outcome = mdmprofile(command, file)
    assert outcome.code == 3
    assert "is a certificate, not a profile" in outcome.out + outcome.err
    assert "mdmprofile check judges certificates" in outcome.out + outcome.err


def test_a_signed_profile_that_is_cut_short_is_called_that(site: Site, mdmprofile: Command) -> None:
    """No exception of a parser is named."""
    assert mdmprofile("build", "-c", site.config, "-o", site.folder / "out").code == 0
    whole = (site.folder / "out" / "enroll.mobileconfig").read_bytes()
    for data, wanted in ((whole[: len(whole) // 2], "cut short"), (whole[:200] + bytes(len(whole) - 200), "damaged")):
        outcome = mdmprofile("verify", put(site, "some", data))
        assert outcome.code == 3
        assert f"it is {wanted}" in outcome.err, outcome.err
        assert "Error" not in outcome.err


def test_only_a_configs_files_are_relative_to_it(
    site: Site, plain: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file named on the command line has nothing to do with a config."""
    absent = site.folder / "absent"
    for words in (("verify", absent), ("show", absent), ("verify", plain, "--trust", absent)):
        outcome = mdmprofile(*words)
        assert "no such file (check the path)" in outcome.err
    (site.folder / "root.pem").unlink()
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out")
    assert "no such file (check the path; paths in a config are relative to the config)" in outcome.err
    monkeypatch.chdir(site.folder.parent)
    flags = ("--signer", "absent.pem", "--signer-key", "absent.key")
    outcome = mdmprofile("build", "-c", "site/enroll.toml", "-o", site.folder / "out", *flags)
    assert "absent.pem: no such file (check the path)" in outcome.err


def test_a_directory_is_no_output_file(site: Site, plain: Path, mdmprofile: Command) -> None:
    """The space left has nothing to do with it."""
    flags = ("--signer", site.folder / "signer.pem", "--signer-key", site.folder / "signer.key")
    outcome = mdmprofile("sign", plain, "-o", site.folder, *flags)
    assert outcome.code == 3
    assert "is a directory where a file belongs (name a file in it)" in outcome.err


def test_encrypt_never_takes_the_place_of_its_input(site: Site, plain: Path, mdmprofile: Command) -> None:
    """What is encrypted for devices cannot be read here again; what is signed can be unsigned."""
    before = plain.read_bytes()
    device = issue("Device", site.intermediate, key=rsa_key())
    recipient = ("--recipient", put(site, "device.pem", device.pem))
    link = site.folder / "link"
    link.symlink_to(plain)
    for output in (plain, link):
        outcome = mdmprofile("encrypt", plain, "-o", output, *recipient)
        assert outcome.code == 3
        assert "choose another name" in outcome.err
        assert plain.read_bytes() == before
    flags = ("--signer", site.folder / "signer.pem", "--signer-key", site.folder / "signer.key")
    assert mdmprofile("sign", plain, "-o", plain, *flags).code == 0
    assert mdmprofile("unsign", plain, "-o", plain).code == 0
    assert plain.read_bytes() == before


def test_standard_output_and_input_have_names(site: Site, plain: Path, mdmprofile: Command) -> None:
    """A dash is what a person types, not what a person reads."""
    flags = ("--signer", site.folder / "signer.pem", "--signer-key", site.folder / "signer.key")
    assert "wrote standard output (" in mdmprofile("sign", plain, "-o", "-", *flags).err
    assert "standard input cannot be both profiles" in mdmprofile("diff", "-", "-").err


def test_init_from_refuses_what_it_would_not_heed(site: Site, plain: Path, mdmprofile: Command) -> None:
    """A flag that is silently ignored is one that somebody relies upon."""
    new = site.folder / "new"
    outcome = mdmprofile("init", "--from", plain, new, "--identity", "acme")
    assert outcome.code == 3
    assert "--identity and --from contradict each other" in outcome.err
    word = put(site, "word", b"open-4711\n")
    outcome = mdmprofile("init", "--from", plain, new, "--pkcs12-password-file", word)
    assert outcome.code == 3
    assert "--pkcs12-password-file is not needed" in outcome.err
    assert not new.exists()


def test_init_asks_at_the_terminal_for_the_password_of_a_pkcs12(site: Site, p12: Path) -> None:
    """The answer is not shown, and gets into the file beside the config."""
    pty = pytest.importorskip("pty")
    identity = payload("com.apple.security.pkcs12", "00000000-0000-4000-8000-000000000002")
    old = put(site, "old", plistlib.dumps(enrollment(lambda: identity | {"PayloadContent": p12.read_bytes()})))
    words = (sys.executable, "-m", "mdmprofile", "init", "--from", str(old), str(site.folder / "new"))
    shown = bytearray()

    def read(terminal: int) -> bytes:
        data = os.read(terminal, 1024)
        shown.extend(data)
        if b"Password of the PKCS#12 payload" in data:
            os.write(terminal, b"open-4711\n")
        return data

    status = pty.spawn(words, read, lambda _: b"")
    assert os.waitstatus_to_exitcode(status) == 0, shown.decode()
    assert b"open-4711" not in shown
    assert (site.folder / "new" / "device-password.txt").read_bytes().strip() == b"open-4711"


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("sign", ("--signer-pkcs11 'pkcs11:", "--signer-command 'openssl")),
        ("lint", ("--format github",)),
        ("show", ("--recipient device.pem",)),
        ("diff", ("--recipient device.pem",)),
        ("unsign", ("-o - |",)),
        ("init", ("--pkcs12-password-file password.txt",)),
    ],
)
def test_help_shows_how_the_less_common_flags_are_used(
    command: str, wanted: tuple[str, ...], mdmprofile: Command
) -> None:
    """An example is what most people read of a help."""
    examples = mdmprofile(command, "-h", at=None).out.partition("Example")[2].partition("Options:")[0]
    for each in wanted:
        assert each in examples


def test_one_is_singular(site: Site, mdmprofile: Command) -> None:
    """One payload is, and two are."""
    wifi = payload("com.apple.wifi.managed", "00000000-0000-4000-8000-000000000009", SSID_STR="office")
    profile = enrollment()
    profile["PayloadContent"].append(wifi)
    outcome = mdmprofile("lint", put(site, "one", plistlib.dumps(profile)))
    assert "1 of the payloads is not needed to enroll" in outcome.out
    profile["PayloadContent"].append(wifi | {"PayloadUUID": "00000000-0000-4000-8000-000000000008"})
    outcome = mdmprofile("lint", put(site, "two", plistlib.dumps(profile)))
    assert "2 of the payloads are not needed to enroll" in outcome.out


def test_a_key_that_is_kept_is_singular(site: Site, mdmprofile: Command) -> None:
    """The notes of a takeover count as people do."""
    profile = enrollment()
    mdm = next(each for each in profile["PayloadContent"] if each["PayloadType"] == "com.apple.mdm")
    del mdm["ServerURLPinningCertificateUUIDs"], mdm["CheckInURLPinningCertificateUUIDs"]
    mdm["ExampleVendorKey"] = True
    outcome = mdmprofile("init", "--from", put(site, "old", plistlib.dumps(profile)), site.folder / "new")
    assert "ExampleVendorKey of com.apple.mdm: kept as it is in extra-keys.plist" in outcome.out, (
        outcome.out + outcome.err
    )
