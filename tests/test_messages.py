"""What the messages say: the cause, and the flag or key that this very command understands."""

from __future__ import annotations

import plistlib
from pathlib import Path

import pytest

from conftest import Command
from pki import Site
from profiles import enrollment, payload


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
