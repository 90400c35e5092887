"""The ``[signing]`` table and its flags: one source of signatures, named without contradiction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from mdmprofile.cms.pkcs11_uri import parse_pkcs11_uri
from mdmprofile.config import load_config, read_signing
from mdmprofile.errors import ConfigError, MdmprofileError, flatten
from pki import Site, ec_key, issue

HIDDEN = "hunter2-Zz9"
MODULE = "module-path=/usr/lib/softhsm/libsofthsm2.so"
URI = f"pkcs11:token=demo;object=signer?{MODULE}"
ONE = "needs either certificate and key, or pkcs12, pkcs11, command or cms_command"
CLASH = " contradict each other"


def mistakes(values: dict[str, Any]) -> dict[str, str]:
    """What is wrong with the table, by key."""
    with pytest.raises(MdmprofileError) as caught:
        read_signing(values)
    return {each.where: each.message for each in flatten([caught.value])}


# Which source


@pytest.mark.parametrize(
    "values",
    [
        {"certificate": "a", "key": "b"},
        {"certificate": "a", "key": "b", "key_password": "x", "chain": "c"},
        {"pkcs12": "a", "pkcs12_password": "x"},
        {"pkcs11": URI},
        {"pkcs11": URI, "pkcs11_pin": {"prompt": "PIN"}, "certificate": "a"},
        {"pkcs11": f"{URI}&pin-source=file:/etc/pin"},
        {"command": ["sign"], "certificate": "a"},
        {"cms_command": ["sign", "all"]},
        {"cms_command": ["sign", "all"], "certificate": "a"},
    ],
)
def test_one_source_is_enough(values: dict[str, Any]) -> None:
    """Each with what belongs to it."""
    settings = read_signing(values)
    sources = (settings.key, settings.pkcs12, settings.pkcs11, settings.command, settings.cms_command)
    assert sum(each is not None for each in sources) == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"signing": ONE}),
        ({"key": "b"}, {"signing.certificate": "is missing"}),
        ({"certificate": "a"}, {"signing.key": "is missing"}),
        (
            {"certificate": "a", "pkcs12": "c"},
            {"signing": f"pkcs12 and certificate{CLASH}: a PKCS#12 holds its certificate"},
        ),
        ({"certificate": "a", "key": "b", "pkcs11": URI}, {"signing": f"key and pkcs11{CLASH}"}),
        ({"certificate": "a", "key": "b", "command": ["x"]}, {"signing": f"key and command{CLASH}"}),
        ({"pkcs11": URI, "cms_command": ["x"]}, {"signing": f"pkcs11 and cms_command{CLASH}"}),
        ({"pkcs11": URI, "pkcs12": "x"}, {"signing": f"pkcs12 and pkcs11{CLASH}"}),
        ({"command": ["x"], "cms_command": ["x"], "certificate": "a"}, {"signing": f"command and cms_command{CLASH}"}),
        ({"command": ["x"]}, {"signing.certificate": "is missing"}),
        ({"pkcs11_pin": "1", "pkcs12": "x"}, {"signing.pkcs11_pin": "is of no use without pkcs11"}),
        ({"pkcs11": URI, "key_password": "1"}, {"signing.key_password": "is of no use without key"}),
        (
            {"pkcs11": f"{URI}&pin-source=/etc/pin", "pkcs11_pin": "1"},
            {"signing.pkcs11_pin": "contradicts the pin-source of pkcs11"},
        ),
        (
            {"command": "kms-sign --key mdm", "certificate": "a"},
            {"signing.command": 'must be a list, for example ["kms-sign", "--key", "mdm"]; no shell is run'},
        ),
        (
            {"cms_command": []},
            {"signing.cms_command": 'must be a list, for example ["kms-sign", "--key", "mdm"]; no shell is run'},
        ),
        ({"cms_command": ["x", 1]}, {"signing.cms_command": "item 2 must be text in quotes, not a number"}),
        ({"pkcs11": ["x"]}, {"signing.pkcs11": "must be text in quotes, not a list"}),
    ],
)
def test_contradiction_is_told_with_its_key(values: dict[str, Any], expected: dict[str, str]) -> None:
    """Half a signer, or one and a half, is a mistake of the config and not of the signature."""
    assert mistakes(values) == expected


# Flags over a config


FILES = 'certificate = "signer.pem"\nkey = "signer.key"\nkey_password = "x"'
BEFORE = {
    "files": FILES,
    "pkcs12": 'pkcs12 = "a.p12"\npkcs12_password = "x"',
    "pkcs11": f'pkcs11 = "{URI}"\npkcs11_pin = "1"\ncertificate = "signer.pem"',
    "command": 'command = ["old"]\ncertificate = "signer.pem"',
    "cms_command": 'cms_command = ["old"]',
}
FLAGS: dict[str, dict[str, Any]] = {
    "files": {"certificate": Path("new.pem"), "key": Path("new.key")},
    "pkcs12": {"pkcs12": Path("new.p12")},
    "pkcs11": {"pkcs11": URI.replace("demo", "new")},
    "command": {"command": ["new"], "certificate": Path("new.pem")},
    "cms_command": {"cms_command": ["new"]},
}


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("before", BEFORE)
def test_flags_replace_a_configured_signer_of_any_kind(before: str, flags: str, site: Site) -> None:
    """Nothing of the other is left over to contradict them."""
    site.edit(lambda text: f"{text.partition('[signing]')[0]}[signing]\n{BEFORE[before]}\n")
    settings = load_config(site.config, overrides={"signing": FLAGS[flags]}).signing
    assert settings is not None
    sources = {
        "files": settings.key,
        "pkcs12": settings.pkcs12,
        "pkcs11": settings.pkcs11,
        "command": settings.command,
        "cms_command": settings.cms_command,
    }
    assert [kind for kind, value in sources.items() if value is not None] == [flags]
    assert "new" in str(sources[flags])
    assert settings.certificate in {None, Path("new.pem")}


def test_command_flag_keeps_the_configured_certificate(site: Site) -> None:
    """The same signer, whose key has moved into a service."""
    settings = load_config(site.config, overrides={"signing": {"command": ["new"]}}).signing
    assert settings is not None
    assert (settings.command, settings.certificate, settings.key) == (("new",), site.folder / "signer.pem", None)


def test_command_flag_of_build_signs_for_the_configured_certificate(
    site: Site, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quotes in the flag hold words together."""
    monkeypatch.chdir(site.folder)
    (site.folder / "my key").write_bytes(site.signer.key_pem())
    flag = "openssl dgst -sha256 -sign 'my key'"
    outcome = mdmprofile("build", "--signer-command", flag, "--format", "json")
    assert (outcome.code, outcome.rules) == (0, []), outcome.err
    assert all(each["signed"] for each in outcome.json["artifacts"][:2])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--signer-cms-command", "a 'b"), "--signer-cms-command: No closing quotation"),
        (("--signer-cms-command", ""), "--signer-cms-command: must be a list"),
        (("--signer-pkcs11", "token"), "--signer-pkcs11: must begin with pkcs11:"),
        (("--signer-pkcs11-pin-file", "x", "--signer-cms-command", "a"), "is of no use without --signer-pkcs11"),
        (("--signer-cms-command", "a", "--signer-pkcs11", URI), f"--signer-pkcs11 and --signer-cms-command{CLASH}"),
    ],
    ids=["quotes", "empty", "uri", "pin", "two"],
)
def test_flags_that_make_no_signer_are_refused(
    flags: tuple[str, ...], message: str, tmp_path: Path, mdmprofile: Command
) -> None:
    """One line that names the flag's key."""
    (tmp_path / "plain").write_bytes(b"<plist/>")
    outcome = mdmprofile("sign", tmp_path / "plain", "-o", tmp_path / "out", *flags)
    assert outcome.code == 3
    assert message in outcome.err


# URIs


def test_uri_says_what_rfc_7512_lets_it_say() -> None:
    """Every attribute, percent signs decoded."""
    path = "token=My%20token;serial=0a;manufacturer=M;model=X%3BY;slot-id=7;object=%C3%BC;id=%01%ff%41;type=private"
    found = parse_pkcs11_uri(f"pkcs11:{path}?module-path=/a%20b.so&pin-source=file:/etc/p%20in")
    assert found.token == "My token"
    assert (found.serial, found.manufacturer, found.model, found.slot_id) == ("0a", "M", "X;Y", 7)
    assert (found.object, found.id) == ("ü", b"\x01\xffA")
    assert (found.module, found.pin_file) == (Path("/a b.so"), Path("/etc/p in"))


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("token=demo", "must begin with pkcs11:"),
        ("pkcs11:token=demo", "names no module"),
        ("pkcs11:token=demo?module-name=softhsm2", "module-name differs from system to system; give module-path="),
        ("pkcs11:token=demo?module-path=softhsm.so", "module-path must be an absolute path"),
        ("pkcs11:token=demo?module-path=/a%00b", "module-path must be an absolute path"),
        (f"pkcs11:tokn=demo?{MODULE}", "not known here; did you mean token?"),
        (f"pkcs11:token=demo?{MODULE}&modul-path=/x", "not known here; did you mean module-path?"),
        (f"pkcs11:token=demo;token=other?{MODULE}", "gives token twice"),
        (f"pkcs11:token=?{MODULE}", "token is empty"),
        (f"pkcs11:token?{MODULE}", "token is empty"),
        (f"pkcs11:object=100%?{MODULE}", "object has a % that two hexadecimal digits do not follow"),
        (f"pkcs11:object=%FF?{MODULE}", "object is not UTF-8 text"),
        (f"pkcs11:type=cert?{MODULE}", "type must be private"),
        (f"pkcs11:slot-id=x?{MODULE}", "slot-id must be a number"),
        (f"pkcs11:token=demo?{MODULE}&pin-source=pin.txt", "pin-source must be an absolute path"),
        (f"pkcs11:token=demo?{MODULE}&pin-value={HIDDEN}", "pin-value would show the PIN to everybody"),
        (f"pkcs11:token=demo?{MODULE}&{HIDDEN}", "not known here"),
        (f"pkcs11:token=demo;{HIDDEN}=1?{MODULE}", "not known here"),
    ],
)
def test_uri_that_means_nothing_certain_is_refused(uri: str, message: str) -> None:
    """A misspelt attribute would choose another key; what could be a PIN is not repeated."""
    with pytest.raises(ConfigError) as caught:
        read_signing({"pkcs11": uri})
    assert caught.value.where == "signing.pkcs11"
    assert message in caught.value.message
    assert HIDDEN not in str(caught.value)


def test_pin_never_shows_in_the_settings() -> None:
    """Neither a literal one nor its place."""
    settings = read_signing({"pkcs11": URI, "pkcs11_pin": HIDDEN})
    assert HIDDEN not in repr(settings)


def test_signing_again_for_another_certificate_keeps_the_token(site: Site) -> None:
    """A renewed certificate for the key that stays on its token."""
    site.edit(lambda text: f"{text.partition('[signing]')[0]}[signing]\n{BEFORE['pkcs11']}\n")
    renewed = issue("Renewed", site.intermediate, key=ec_key())
    (site.folder / "new.pem").write_bytes(renewed.pem)
    settings = load_config(site.config, overrides={"signing": {"certificate": site.folder / "new.pem"}}).signing
    assert settings is not None
    assert settings.pkcs11 is not None
    assert settings.certificate == site.folder / "new.pem"
