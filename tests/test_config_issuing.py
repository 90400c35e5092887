"""A config whose identities an own CA issues for each device: how it is read, and what every command makes of it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from mdmprofile.builder import build, build_trust
from mdmprofile.config import EnrollmentConfig, load_config
from mdmprofile.config_identity import IssuedSettings, Pkcs12Settings
from mdmprofile.enrollment import identity_payload
from mdmprofile.errors import ConfigError, MdmprofileError, SecretError, flatten
from mdmprofile.identities import Issuer, Wanted
from mdmprofile.materials import Pkcs12File, load_issuer, load_materials
from mdmprofile.naming import names_of
from mdmprofile.payloads.names import SubjectAltName
from pki import CONFIG, DAY, NOW, Site, issue

ISSUING = """\
type = "pkcs12"
ca_certificate = "ca.pem"
ca_key = "ca.key"
"""
UDID = "11111111-2222-4333-8444-555555555555"
HIDDEN = "hunter2-Zz9"


def with_identity(lines: str) -> str:
    """The config of a site with these lines as its identity table."""
    head, _, rest = CONFIG.partition("[identity]\n")
    return f"{head}[identity]\n{lines}\n[{rest.partition('[')[2]}"


@pytest.fixture
def issuing(site: Site) -> Site:
    """A site whose intermediate issues the identities."""
    (site.folder / "ca.pem").write_bytes(site.intermediate.pem)
    (site.folder / "ca.key").write_bytes(site.intermediate.key_pem())
    site.config.write_text(with_identity(ISSUING))
    return site


def written(folder: Path, lines: str) -> Path:
    """A config with these lines as its identity table."""
    file = folder / "enroll.toml"
    file.write_text(with_identity(lines))
    return file


def read(folder: Path, lines: str, **device: str) -> IssuedSettings:
    """The settings of the table, read for a device."""
    found = load_config(written(folder, lines), variables={"device": device}).identity
    assert isinstance(found, IssuedSettings)
    return found


def mistakes(folder: Path, lines: str, **device: str) -> dict[str, str]:
    """Every mistake in the table by its key."""
    file = written(folder, lines)
    with pytest.raises(MdmprofileError) as caught:
        load_config(file, variables={"device": device} if device else {})
    found = flatten([caught.value])
    assert all(each.where.startswith(f"{file}: ") for each in found)
    return {each.where.removeprefix(f"{file}: "): f"{each.message} ({each.hint})" for each in reversed(found)}


# --- the table ---------------------------------------------------------------------------------------------------


def test_defaults_are_those_that_devices_of_every_age_import(tmp_path: Path) -> None:
    """A CA is all that has to be named."""
    found = read(tmp_path, ISSUING, udid=UDID, serial="C02X")
    assert found.wanted == Wanted("rsa2048", timedelta(days=365), "compatible")
    assert (found.ca.certificate, found.ca.key) == (tmp_path / "ca.pem", tmp_path / "ca.key")
    assert found.subject == (("CN", UDID),)
    rest = found._replace(ca=found.ca, wanted=found.wanted)[3:]
    assert rest == (None, True, None, False, None, None)


def test_every_key_is_read(tmp_path: Path) -> None:
    """What is not the CA's is about the identity or its payload."""
    lines = ISSUING + (
        'ca_key_password = { env = "CA_PASSWORD" }\nkey = "P384"\nvalidity = "90d"\nencryption = "modern"\n'
        'subject = "O=Example,CN={{ device.serial }}"\nembed_password = false\npassword = { file = "pw" }\n'
        'subject_alt_name = { dns_name = ["{{ device.serial }}.example.com"], nt_principal_name = "x@Y" }\n'
        f'key_is_extractable = true\nallow_all_apps_access = true\nuuid = "{UDID}"\n'
    )
    found = read(tmp_path, lines, serial="C02X")
    assert found.wanted == Wanted("p384", timedelta(days=90), "modern")
    assert found.subject == (("O", "Example"), ("CN", "C02X"))
    assert found.subject_alt_name == SubjectAltName(dns_name=("C02X.example.com",), nt_principal_name="x@Y")
    assert (found.embed_password, found.key_is_extractable, found.allow_all_apps_access) == (False, True, True)
    assert found.uuid == UDID
    assert found.password is not None
    assert (found.password.place, found.password.key) == (tmp_path / "pw", "identity.password")
    assert found.ca.key_password is not None
    assert found.ca.key_password.key == "identity.ca_key_password"


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ({"udid": UDID, "serial": "C02X"}, UDID),
        ({"serial": "C02X"}, "C02X"),
        ({"udid": "", "serial": "C02X"}, "C02X"),
    ],
)
def test_default_subject_is_what_the_device_is_known_by(device: dict[str, str], expected: str, tmp_path: Path) -> None:
    """The UDID, which messages carry, else the serial number."""
    assert read(tmp_path, ISSUING, **device).subject == (("CN", expected),)


@pytest.mark.parametrize("device", [{}, {"name": "Mac 1"}, {"udid": "", "serial": ""}])
def test_device_that_nothing_is_known_of_has_no_subject(device: dict[str, str], tmp_path: Path) -> None:
    """An identity of nobody is no identity."""
    found = mistakes(tmp_path, ISSUING, **device)
    assert found == {
        "identity.subject": "is missing, and neither device.udid nor device.serial is known "
        "(give --var device.serial=C02X, or set it)"
    }


def test_comma_in_a_variable_adds_no_name(tmp_path: Path) -> None:
    """The subject is taken apart before it is filled."""
    found = read(tmp_path, ISSUING + 'subject = "CN={{ device.name }}"', name="x,O=Evil")
    assert found.subject == (("CN", "x,O=Evil"),)


@pytest.mark.parametrize(
    ("lines", "key", "message"),
    [
        (
            'ca_certificate = "ca.pem"',
            "identity.ca_key",
            "is missing (name the file with the CA's private key as ca_key",
        ),
        ('ca_key = "ca.key"', "identity.ca_certificate", "is missing (name the certificate that ca_key signs for"),
        ('ca_command = ["x"]', "identity.ca_certificate", "is missing (name the certificate that ca_command signs for"),
        ('ca_key_password = "x"', "identity", "needs either ca_certificate and ca_key, or ca_pkcs12, ca_pkcs11 or ca_"),
        ('ca_pkcs12 = "x"\nca_certificate = "y"', "identity", "ca_pkcs12 and ca_certificate contradict each other"),
        ('ca_pkcs12 = "x"\nca_command = ["y"]', "identity", "ca_pkcs12 and ca_command contradict each other"),
        (ISSUING + 'ca_pkcs12_password = "x"', "identity.ca_pkcs12_password", "is of no use without ca_pkcs12"),
        (ISSUING + 'ca_pkcs11_pin = "x"', "identity.ca_pkcs11_pin", "is of no use without ca_pkcs11"),
        (
            ISSUING + 'ca_cms_command = ["x"]',
            "identity.ca_cms_command",
            "is not a known key (did you mean ca_command?)",
        ),
        (ISSUING + 'ca_keys = "x"', "identity.ca_keys", "is not a known key (did you mean ca_key?)"),
        ('ca_command = "x"\nca_certificate = "y"', "identity.ca_command", "must be a list"),
        ('ca_pkcs11 = "token"', "identity.ca_pkcs11", "pkcs11:"),
        (ISSUING + 'key = "rsa1024"', "identity.key", "'rsa1024' is not known here; did you mean 'rsa"),
        (ISSUING + "key = 2048", "identity.key", "must be text"),
        (ISSUING + 'encryption = "aes"', "identity.encryption", "use one of compatible, modern"),
        (ISSUING + 'validity = "0d"', "identity.validity", "is no time at all"),
        (ISSUING + 'validity = "soon"', "identity.validity", "'soon' is not a duration"),
        (ISSUING + 'subject = "device"', "identity.subject", "is not TYPE=value"),
        (ISSUING + 'subject_alt_name = { dns = "x" }', "identity.subject_alt_name", "'dns' is not a known key"),
        (ISSUING + "embed_password = 1", "identity.embed_password", "must be true or false"),
        (ISSUING + 'password = ""', "identity.password", "is empty"),
        (ISSUING + "single_device = true", "identity.single_device", "every device gets an identity of its own"),
        (ISSUING + "key_size = 2048", "identity.key_size", "is not a known key"),
    ],
)
def test_mistake_names_its_key(lines: str, key: str, message: str, tmp_path: Path) -> None:
    """As it is written in the table, never as a signer's."""
    text = lines if lines.startswith("type") else f'type = "pkcs12"\n{lines}'
    found = mistakes(tmp_path, text, serial="C02X")
    assert message in found[key]
    assert not [each for each in found if each.startswith("signing")]


def test_file_and_ca_contradict_each_other(tmp_path: Path) -> None:
    """An identity is either there or issued."""
    lines = f'{ISSUING}file = "device.p12"\nkey = "p256"\nsubject = "CN=x"\nencryption = "modern"\nvalidity = "1d"'
    found = mistakes(tmp_path, lines)
    either = "contradicts file: a PKCS#12 is either in a file or issued for each device ()"
    assert {key: text for key, text in found.items() if "ca_" in key} == {
        "identity.ca_certificate": either,
        "identity.ca_key": either,
    }
    own = "has no place beside file: the PKCS#12 brings its own; remove it ()"
    assert {key: text for key, text in found.items() if "ca_" not in key} == dict.fromkeys(
        ("identity.key", "identity.subject", "identity.encryption", "identity.validity"), own
    )


def test_neither_file_nor_ca_says_what_there_is_to_choose(tmp_path: Path) -> None:
    """And keys that a CA would need are of no use yet."""
    found = mistakes(tmp_path, 'type = "pkcs12"\nkey = "p256"')
    assert found["identity.file"] == (
        "is missing (name the PKCS#12 file of the one device, or ca_certificate and ca_key to issue one for each)"
    )
    assert found["identity.key"].startswith("is of no use without the CA that issues")


def test_secrets_show_in_no_repr(tmp_path: Path) -> None:
    """Settings end up in logs."""
    lines = f'{ISSUING}ca_key_password = "{HIDDEN}"\npassword = "{HIDDEN}"'
    assert HIDDEN not in repr(read(tmp_path, lines, serial="C02X"))


def test_flag_for_a_file_takes_the_place_of_the_ca(issuing: Site, mdmprofile: Command) -> None:
    """One device's profile can be built with the fleet's config."""
    issued = Issuer(load_issuer(identity_of(config_of(issuing))), Wanted("p256"), now=NOW).issue((("CN", "C02X"),))
    (issuing.folder / "device.p12").write_bytes(issued.data)
    (issuing.folder / "pw").write_text(issued.password)
    words = ("--pkcs12", issuing.folder / "device.p12", "--pkcs12-password-file", issuing.folder / "pw")
    outcome = mdmprofile("build", "-c", issuing.config, "-o", issuing.folder / "out", *words, "--single-device")
    assert outcome.code == 0, outcome.err


# --- the CA ------------------------------------------------------------------------------------------------------


def config_of(site: Site) -> EnrollmentConfig:
    """The site's config, read for no device."""
    return load_config(site.config, for_device=False)


def identity_of(config: EnrollmentConfig) -> IssuedSettings:
    """Its identity, which is issued."""
    assert isinstance(config.identity, IssuedSettings)
    return config.identity


def test_ca_is_loaded_with_what_is_beside_it(issuing: Site) -> None:
    """The file may hold the chain above, in any order."""
    (issuing.folder / "ca.pem").write_bytes(issuing.root.pem + issuing.intermediate.pem)
    ca = load_issuer(identity_of(config_of(issuing)))
    assert ca.certificate == issuing.intermediate.ours
    assert ca.chain == (issuing.root.ours,)
    assert ca.key_matches


@pytest.mark.parametrize(
    ("lines", "where", "hint"),
    [
        ('ca_key_password = { env = "NOT_SET_HERE" }', "identity.ca_key_password", "export NOT_SET_HERE"),
        ('ca_key_password = { file = "absent" }', "identity.ca_key_password", "check the path"),
        ('ca_key_password = { prompt = "?" }', "identity.ca_key_password", "use file, env or command"),
    ],
)
def test_secret_that_cannot_be_had_names_its_key(lines: str, where: str, hint: str, issuing: Site) -> None:
    """The file and the environment are the administrator's."""
    issuing.edit(lambda text: text.replace('ca_key = "ca.key"', f'ca_key = "ca.key"\n{lines}'))
    with pytest.raises(SecretError) as caught:
        load_issuer(identity_of(config_of(issuing)))
    assert caught.value.where == where
    assert hint in caught.value.hint


def test_command_that_fails_names_the_cas_key(issuing: Site) -> None:
    """It is run when something is issued, not before."""
    lines = 'ca_command = ["false"]'
    issuing.edit(lambda text: text.replace('ca_key = "ca.key"', lines))
    ca = load_issuer(identity_of(config_of(issuing)))
    with pytest.raises(MdmprofileError) as caught:
        Issuer(ca, Wanted("p256"), now=NOW).issue((("CN", "x"),))
    assert caught.value.where == "identity.ca_command"


# --- every command -----------------------------------------------------------------------------------------------


def test_build_is_refused_with_what_to_do_instead(issuing: Site, mdmprofile: Command) -> None:
    """Whether or not its variables are known; nothing is written."""
    for variables in ((), ("--var", "device.serial=C02X")):
        outcome = mdmprofile("build", "-c", issuing.config, "-o", issuing.folder / "out", *variables)
        assert outcome.code == 3
        assert "identity: is issued for each device, and build makes one profile" in outcome.err
        assert "mdmprofile batch" in outcome.err
        assert "mdmprofile identity issue" in outcome.err
    assert not (issuing.folder / "out").exists()
    with pytest.raises(ConfigError):
        build(config_of(issuing), now=NOW)


@pytest.mark.parametrize(
    "more",
    [
        "",
        'subject = "CN={{ device.udid }}"',
        'subject_alt_name = { dns_name = "{{ device.serial }}.example.com" }\npassword = "{{ device.password }}"',
        'password = { env = "PASSWORD_{{ device.serial }}" }',
    ],
)
def test_trust_needs_neither_device_nor_ca(more: str, issuing: Site, mdmprofile: Command) -> None:
    """What is published is the same for every device, and may be made where the CA is not."""
    for file in ("ca.pem", "ca.key"):
        (issuing.folder / file).unlink()
    issuing.config.write_text(with_identity(ISSUING + more))
    outcome = mdmprofile("trust", "-c", issuing.config, "-o", issuing.folder / "out")
    assert outcome.code == 0, outcome.err
    assert (issuing.folder / "out" / "trust.mobileconfig").exists()
    assert build_trust(config_of(issuing), now=NOW).artifacts


def identities(report: Any) -> list[tuple[str, str]]:
    """Name and end of the identities without a certificate."""
    return [(each["subject"], each["not_after"]) for each in report["identities"]]


@pytest.mark.parametrize("command", ["check", "plan"])
def test_identity_ends_as_if_it_were_issued_today(command: str, issuing: Site, mdmprofile: Command) -> None:
    """It is baked into each profile, so it limits the replacement; no key and no secret is read for that."""
    (issuing.folder / "ca.key").unlink()
    issuing.edit(lambda text: text.replace('ca_key = "ca.key"', 'ca_key = "ca.key"\nvalidity = "100d"'))
    outcome = mdmprofile(command, issuing.config, "--format", "json")
    (found,) = identities(outcome.json)
    assert found[0].startswith("issued here, valid for 100 days")
    assert found[1] == "2031-06-09T12:00:00Z"
    assert "issued here" in outcome.json["plan"]["limited_by"]
    assert outcome.json.get("errors", []) == []
    assert not [each for each in outcome.json["findings"] if each["rule"] == "config.unfilled"]


def test_identity_ends_with_the_ca(issuing: Site, mdmprofile: Command) -> None:
    """Nothing that it issues outlives it; the CA itself is not in the profile, so it is not listed."""
    ca = issue("Short CA", issuing.root, ca=True, end=NOW + 200 * DAY)
    (issuing.folder / "ca.pem").write_bytes(issuing.root.pem + ca.pem)
    outcome = mdmprofile("check", issuing.config, "--format", "json")
    assert identities(outcome.json) == [("issued here, valid as long as Short CA", "2031-09-17T12:00:00Z")]
    assert "Short CA" not in [each["subject"] for each in outcome.json["certificates"]]


def test_plan_says_to_issue_and_not_to_wait_for_devices(issuing: Site, mdmprofile: Command) -> None:
    """No device fetches such an identity by itself."""
    outcome = mdmprofile("plan", issuing.config, "--format", "json")
    steps = [each["action"] + each["why"] for each in outcome.json["plan"]["steps"]]
    assert any("issue each device a new identity, and send it in a new profile by" in each for each in steps)
    assert not [each for each in steps if "fetches" in each]


def test_check_says_when_the_certificate_of_the_ca_is_absent(issuing: Site, mdmprofile: Command) -> None:
    """Then nobody knows whether the identity can be valid that long."""
    (issuing.folder / "ca.pem").unlink()
    outcome = mdmprofile("check", issuing.config, "--format", "json")
    assert "ca.pem" in outcome.json["errors"][0]["where"]
    assert identities(outcome.json)


def test_ca_that_comes_with_its_key_is_left_closed_by_check(issuing: Site, mdmprofile: Command) -> None:
    """No password is asked for, and no token, to judge dates."""
    issuing.config.write_text(with_identity('type = "pkcs12"\nca_pkcs12 = "absent.p12"'))
    outcome = mdmprofile("check", issuing.config, "--format", "json")
    assert outcome.json.get("errors", []) == []
    assert identities(outcome.json)[0][1] == "2032-02-29T12:00:00Z"


def test_payload_of_an_issued_identity_has_what_the_table_says(issuing: Site) -> None:
    """The same payload as of a file, without the password where that was asked for."""
    config = config_of(issuing)
    settings = identity_of(config)._replace(embed_password=False, key_is_extractable=True, uuid=UDID)
    issued = Issuer(load_issuer(settings), Wanted("p256"), now=NOW).issue((("CN", "C02X"),))
    file = Pkcs12File(issued.data, issued.certificate, (), issued.password, "C02X.p12")
    materials = dataclasses.replace(load_materials(config, private=False), pkcs12=file)
    found = identity_payload(settings, materials, names_of("com.example", {}), None).as_plist()
    assert (found["PayloadContent"], found["PayloadUUID"], found["KeyIsExtractable"]) == (issued.data, UDID, True)
    assert "Password" not in found


def test_settings_of_a_file_are_still_read_as_before(tmp_path: Path) -> None:
    """One device's identity in a file."""
    found = load_config(written(tmp_path, 'type = "pkcs12"\nfile = "device.p12"')).identity
    assert isinstance(found, Pkcs12Settings)
