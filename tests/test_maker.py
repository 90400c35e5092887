"""One profile for each of many devices, as a library: filled in as if each was made in full."""

from __future__ import annotations

import pickle
import re
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from batches import ACME, ISSUED, SCEP, certificate_of, content_of, fleet_site, payload_of, plist_of, set_identity
from mdmprofile.builder import build
from mdmprofile.config import load_config
from mdmprofile.containers import load_pkcs12
from mdmprofile.devices.unit import Item, work
from mdmprofile.errors import ConfigError, IssueError, MdmprofileError, ProfileError, SecretError
from mdmprofile.findings import has_errors
from mdmprofile.maker import ProfileMaker
from mdmprofile.recipe import Recipe, needed_columns, recipe_of
from pki import DAY, NOW, Site, issue, rsa_key

Values = Mapping[str, str]

# Templates in every place that a device's value may be in.
TEXTS = """\
[profile]
identifier = "com.example.mdm.enroll"
display_name = "MDM of {{ device.owner }}"
description = "{{ device.note | default('-') | upper }}"
organization = "{% if device.owner == device.serial %}same{% else %}{{ device.owner }} & <co>{% endif %}"
consent_text = { default = "{{ device.note }}", de = "Für {{ device.owner }}" }
"""


def maker_of(site: Site, **more: Any) -> ProfileMaker:
    """A maker for the site's config as of ``NOW``."""
    return ProfileMaker(recipe_of(site.config, now=NOW, **more))


def in_full(site: Site, device: Values) -> bytes:
    """The same device's profile as ``build`` makes it."""
    built = build(load_config(site.config, variables={"device": device}), now=NOW)
    assert not has_errors(built.findings)
    return built.artifacts[0].data


def text_site(folder: Path, identity: str = SCEP) -> Site:
    """A site without a signer, whose profile and identity hold templates."""
    site = fleet_site(folder, identity, signed=False)
    site.edit(lambda text: TEXTS + text[text.index("[server]") :])
    site.edit(lambda text: text.replace('com/mdm"', 'com/mdm?d={{ device.serial }}"'))
    return site


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, ProfileMaker]:
    """A site with templates everywhere, and its maker: one for many examples, as for many devices."""
    site = text_site(tmp_path_factory.mktemp("texts"))
    return site, maker_of(site)


# A few characters, so that many values have the same shape and others nearly.
CHARACTERS = st.sampled_from(
    [*"ab7 &<>\"'", "]]>", "é", "e\u0301", "漢", "😀", "\u00a0", "\u200f", "\t", "{{", "%41", "\\"]
)
ANY = st.lists(CHARACTERS, min_size=1, max_size=5).map("".join).filter(str.strip)
LONG = st.builds(lambda text, times: text * times, ANY, st.sampled_from([1, 7, 90]))
WORD = st.text(st.sampled_from([*"aZ0-_.~%&/?#é漢😀"]), min_size=1, max_size=12)
DEVICES = st.fixed_dictionaries(
    {"serial": WORD, "owner": ANY | LONG | WORD, "note": ANY, "challenge": ANY | LONG, "extra": ANY}
)


@settings(deadline=None, max_examples=60)
@given(devices=st.lists(DEVICES, min_size=1, max_size=4), again=st.booleans())
def test_profile_is_that_of_a_build_byte_for_byte(
    texts: tuple[Site, ProfileMaker], devices: list[dict[str, str]], again: bool
) -> None:
    """Whatever the values are made of, and also where devices of their shape were made before."""
    site, maker = texts
    for device in (*devices, *(devices if again else ())):
        assert maker.make(device, now=NOW).data == in_full(site, device)


@settings(deadline=None, max_examples=40)
@given(names=st.lists(st.text("ab é😀&", min_size=1, max_size=3).filter(str.strip), min_size=3, max_size=6))
def test_devices_of_few_shapes_get_their_own_values(texts: tuple[Site, ProfileMaker], names: list[str]) -> None:
    """What is filled in is this device's, not that of the one the shape was learned from."""
    _, maker = texts
    for number, name in enumerate(names):
        device = {"serial": f"S{number}", "owner": name, "note": name, "challenge": f"c-{number}"}
        plist = plist_of(maker.make(device, now=NOW).data)
        assert plist["PayloadDisplayName"] == f"MDM of {name}"
        scep = plist["PayloadContent"][2]["PayloadContent"]
        assert (scep["Challenge"], scep["Subject"]) == (f"c-{number}", [[["CN", f"S{number}"]]])
        assert plist["PayloadContent"][-1]["ServerURL"] == f"https://mdm.example.com/mdm?d=S{number}"


def test_profile_with_an_issued_identity_is_that_of_a_build_with_its_file(tmp_path: Path) -> None:
    """Whether the PKCS#12 was issued a moment ago or comes from a file, the profile around it is the same."""
    site = text_site(tmp_path, ISSUED)
    maker = maker_of(site)
    made = [
        (device, maker.make(device, now=NOW).data)
        for device in ({"serial": f"S{n}", "owner": f"Ann & <{n}>", "note": "n" * (n // 2 + 1)} for n in range(8))
    ]
    set_identity(site, '[identity]\ntype = "pkcs12"\nfile = "identity.p12"\npassword = { file = "password.txt" }\n')
    for device, data in made:
        payload = payload_of(data, "pkcs12")
        (tmp_path / "identity.p12").write_bytes(payload["PayloadContent"])
        (tmp_path / "password.txt").write_text(payload["Password"])
        assert data == in_full(site, device)


@pytest.mark.parametrize("identity", [SCEP, ACME, ISSUED], ids=["scep", "acme", "issued"])
def test_signed_profile_holds_what_an_unsigned_one_does(tmp_path: Path, identity: str) -> None:
    """The signature is around the profile, whichever of the first three hundred devices it is for."""
    site = fleet_site(tmp_path, identity)
    maker = maker_of(site)
    for number in range(300 if identity == SCEP else 5):
        device = {"serial": f"S{number:03}", "challenge": f"c-{number}"}
        plist = plist_of(maker.make(device, now=NOW).data)
        assert plist["PayloadIdentifier"] == "com.example.mdm.enroll"
        if identity == SCEP:
            assert plist["PayloadContent"][2]["PayloadContent"]["Challenge"] == f"c-{number}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('url = "https://mdm.example.com/mdm"', 'url = "https://{{ device.host }}/mdm"'),
        ('url = "https://mdm.example.com/mdm"', 'url = "{{ device.url }}"'),
        ('url = "https://mdm.example.com/mdm"', 'url = "{{ device.scheme }}://mdm.example.com/mdm"'),
        ('url = "https://mdm.example.com/scep"', 'url = "https://mdm.example.com{{ device.path }}"'),
        ('identifier = "com.example.mdm.enroll"', 'identifier = "com.example.{{ device.serial }}"'),
        ('identifier = "com.example.mdm.enroll"', 'identifier = "com.example"\nuuid = "{{ device.uuid }}"'),
        ('type = "scep"\n', 'type = "scep"\nkey_size = "{{ device.size }}"\n'),
        ('type = "scep"\n', 'type = "scep"\nkey_type = "{{ device.kind }}"\n'),
        ('type = "scep"\n', 'type = "scep"\nca_fingerprint = "{{ device.print }}"\n'),
        ("[server]\n", '[server]\naccess_rights = "{{ device.rights }}"\n'),
        ("[server]\n", '[server]\ntopic = "{{ device.topic }}"\n'),
        ('certificates = ["root.pem",', 'certificates = ["{{ device.root }}.pem",'),
        ('"Example Inc."', '"Example Inc."\nexpiration_date = "{{ device.end }}"'),
        ('"Example Inc."', '"Example Inc."\nscope = "{{ device.scope }}"'),
    ],
    ids=lambda each: each.rpartition("\n")[0].rpartition("\n")[2] if "\n" in each else each,
)
def test_value_that_decides_more_than_its_field_is_right_for_each_device(tmp_path: Path, old: str, new: str) -> None:
    """Hosts, files, identifiers, numbers: each device's profile is made in full, and like its build."""
    site = fleet_site(tmp_path, SCEP, signed=False)
    site.edit(lambda text: text.replace(old, new, 1))
    if "topic" in new:
        site.edit(lambda text: text.replace('push_certificate = "push.pem"\n', ""))
    (tmp_path / "other.pem").write_bytes((tmp_path / "root.pem").read_bytes())
    maker = maker_of(site)
    for number in range(6):
        even = number % 2 == 0
        device = {
            "serial": f"S{number}",
            "challenge": "c",
            "host": f"m{number}.example.com",
            "url": f"https://m{number}.example.com/mdm",
            "scheme": "https",
            "path": f"/scep/{number}",
            "uuid": f"0000000{number}-1111-2222-3333-444444444444",
            "size": "2048" if even else "4096",
            "kind": "RSA",
            "print": f"{number:040x}",
            "rights": "3" if even else "1",
            "topic": f"com.apple.mgmt.External.{number}",
            "root": "root" if even else "other",
            "end": f"2040-01-0{number + 1}",
            "scope": "System" if even else "User",
        }
        assert maker.make(device, now=NOW).data == in_full(site, device)


@pytest.mark.parametrize(
    ("old", "new", "good", "bad"),
    [
        ('url = "https://mdm.example.com/mdm"', 'url = "{{ device.x }}"', "https://m{}.example.com/", "httpx://m0.example.com/"),
        ('url = "https://mdm.example.com/mdm"', 'url = "{{ device.x }}://mdm.example.com/"', "https", "httpx"),
        ('url = "https://mdm.example.com/scep"', 'url = "{{ device.x }}://mdm.example.com/"', "https", "httpx"),
        ("[server]\n", '[server]\ntopic = "com.apple.{{ device.x }}"\n', "mgmt.External.{}", "mgmx.External.0"),
        ('type = "scep"\n', 'type = "scep"\nkey_type = "{{ device.x }}"\n', "RSA", "DSA"),
    ],
)  # fmt: skip
def test_error_of_one_device_is_found_behind_good_ones_that_look_alike(
    tmp_path: Path, old: str, new: str, good: str, bad: str
) -> None:
    """Ten good devices are no reason to believe the eleventh."""
    site = fleet_site(tmp_path, SCEP, signed=False)
    site.edit(lambda text: text.replace(old, new, 1))
    site.edit(lambda text: text.replace('push_certificate = "push.pem"\n', 'topic = "com.apple.mgmt.x"\n'))
    if "topic" in new:
        site.edit(lambda text: text.replace('topic = "com.apple.mgmt.x"\n', ""))
    maker = maker_of(site)
    for number in range(10):
        assert maker.make({"serial": f"S{number}", "challenge": "c", "x": good.format(number)}, now=NOW).data
    made = maker.make({"serial": "S9", "challenge": "c", "x": bad}, now=NOW)
    assert made.data == b""
    assert has_errors(made.findings)


def test_finding_belongs_to_the_device_that_has_it(tmp_path: Path) -> None:
    """A common name longer than 64 bytes is one device's, though others have as many characters of the same kinds."""
    site = fleet_site(tmp_path, SCEP, signed=False)
    maker = maker_of(site)

    def rules(serial: str) -> list[str]:
        return [each.rule for each in maker.make({"serial": serial, "challenge": "c"}, now=NOW).findings]

    assert "scep.common-name" not in rules("a" * 59 + "é")
    assert "scep.common-name" not in rules("b" * 59 + "é")
    assert "scep.common-name" not in rules("c" * 58 + "é" + "c")
    assert "scep.common-name" in rules("é" * 59 + "a")
    assert "scep.common-name" in rules("a" * 65)
    assert "scep.common-name" not in rules("a" * 64)


@pytest.mark.parametrize(
    ("change", "device", "where"),
    [
        ({}, {"challenge": "a\x07b"}, "Challenge: holds the character U+0007"),
        ({}, {"challenge": "a\rb"}, "Challenge: holds the character U+000D"),
        ({}, {"challenge": " "}, "identity.challenge: is empty"),
        ({}, {"serial": "\ufffe"}, "Subject"),
        ({"com/mdm": "com/{{ device.serial }}"}, {"serial": "a b"}, "server.url: 'https://mdm.example.com/a b' "),
        ({"com/mdm": "com/{{ device.serial }}"}, {"serial": "a\u00a0b"}, "must not hold spaces"),
        ({'"Example MDM"': '"{{ device.owner }}"'}, {"owner": ""}, "profile.display_name: is empty"),
        ({'"Example MDM"': '"{{ device.owner }}"'}, {"owner": "   "}, "profile.display_name: is empty"),
        ({'"Example MDM"': '"{{ device.owner }}"'}, {}, "profile.display_name: a variable is not known"),
    ],
)  # fmt: skip
def test_value_that_no_profile_can_hold_is_refused(
    tmp_path: Path, change: dict[str, str], device: dict[str, str], where: str
) -> None:
    """Behind good devices of nearly the same shape, too."""
    site = fleet_site(tmp_path, SCEP, signed=False)
    for old, new in change.items():
        site.edit(lambda text, old=old, new=new: text.replace(old, new, 1))  # type: ignore[misc]
    maker = maker_of(site)
    for each in (
        {"serial": "SA", "owner": " ab", "challenge": "abc"},
        {"serial": "SB", "owner": " cd", "challenge": "def"},
    ):
        for _ in range(2):
            maker.make(each, now=NOW)
    with pytest.raises(MdmprofileError, match=re.escape(where)):
        maker.make({"serial": "S1", "challenge": "c"} | device, now=NOW)


@pytest.mark.parametrize("bad", ["S" * 65, "a\nb", "a\x00b", " "])
def test_subject_that_no_certificate_can_hold_is_refused(tmp_path: Path, bad: str) -> None:
    """No key is made for it."""
    maker = maker_of(fleet_site(tmp_path))
    maker.make({"serial": "S1"}, now=NOW)
    for ask in (maker.check, lambda device: maker.make(device, now=NOW)):
        with pytest.raises((IssueError, ConfigError)) as caught:
            ask({"serial": bad})
        assert "identity.subject" in str(caught.value)


# What is one device's own


def test_fetched_challenge_is_held_to_what_xml_can_hold(tmp_path: Path) -> None:
    """The third challenge that a command prints is not believed because two were good."""
    script = tmp_path / "next.sh"
    script.write_text(
        f"cd {tmp_path}\necho x >> calls\nn=$(wc -l < calls)\n"
        "[ $n -lt 6 ] && printf 'abc%s' $n || printf 'ab\\001%s' $n\n"
    )
    site = fleet_site(
        tmp_path / "site", SCEP.replace('"{{ device.challenge }}"', f'{{ command = ["sh", "{script}"] }}')
    )
    maker = maker_of(site)
    for number in range(1, 6):
        payload = payload_of(maker.make({"serial": f"S{number}"}, now=NOW).data, "scep")
        assert payload["PayloadContent"]["Challenge"] == f"abc{number}"
    with pytest.raises(ProfileError, match="Challenge: holds the character"):
        maker.make({"serial": "S6"}, now=NOW)


def test_client_identifier_is_fresh_for_each_device(tmp_path: Path) -> None:
    """Nobody can guess the next one, and a literal one that a build needs is not everybody's."""
    site = fleet_site(tmp_path, f'{ACME}client_identifier = "one-device"\n', signed=False)
    maker = maker_of(site)
    made = [maker.make({"serial": f"S{n}"}, now=NOW) for n in range(50)]
    found = [payload_of(each.data, "acme")["ClientIdentifier"] for each in made]
    assert found == [each.client_identifier for each in made]
    assert len(set(found)) == 50
    assert min(map(len, found)) >= 26
    assert "one-device" not in found


@pytest.mark.parametrize(
    "template",
    ["{{ device.serial }}", "x-{{ device.serial | lower }}", "{{ fresh.client_identifier }}-{{ device.serial }}"],
)
def test_client_identifier_of_a_template_is_what_is_told(tmp_path: Path, template: str) -> None:
    """The one that the ACME server must know is the one that the profile has."""
    maker = maker_of(fleet_site(tmp_path, f'{ACME}client_identifier = "{template}"\n', signed=False))
    for number in range(4):
        made = maker.make({"serial": f"S{number}"}, now=NOW)
        assert payload_of(made.data, "acme")["ClientIdentifier"] == made.client_identifier
        assert made.client_identifier.lower().endswith(f"s{number}")


def test_client_identifier_of_a_flag_must_be_each_devices_own(tmp_path: Path) -> None:
    """A server takes one once, so what is the same for all is refused; a template is kept."""
    site = fleet_site(tmp_path, ACME, signed=False)
    with pytest.raises(ConfigError, match="is the same for every device") as caught:
        maker_of(site, overrides={"identity": {"client_identifier": "mine"}})
    assert caught.value.where == "identity.client_identifier"
    maker = maker_of(site, overrides={"identity": {"client_identifier": "mine-{{ device.serial }}"}})
    assert maker.make({"serial": "S1"}, now=NOW).client_identifier == "mine-S1"


@pytest.mark.parametrize(
    ("source", "files"),
    [('"{{ device.password }}"', {}), ('{ file = "{{ device.serial }}.txt" }', {"S{}.txt": "pässword & <{}>"})],
    ids=["column", "file"],
)
def test_password_can_be_each_devices_own(tmp_path: Path, source: str, files: dict[str, str]) -> None:
    """The PKCS#12 opens with it, whether it is in the profile or somewhere else."""
    site = fleet_site(tmp_path, f"{ISSUED}password = {source}\n", signed=False)
    for number in range(4):
        for name, text in files.items():
            (tmp_path / name.format(number)).write_text(text.format(number))
    maker = maker_of(site)
    for number in range(4):
        data = maker.make({"serial": f"S{number}", "password": f"pässword & <{number}>"}, now=NOW).data
        assert payload_of(data, "pkcs12")["Password"] == f"pässword & <{number}>"
        assert certificate_of(data)


def test_password_of_a_file_is_held_to_what_xml_can_hold(tmp_path: Path) -> None:
    """Each device's, however many good ones came before."""
    site = fleet_site(tmp_path, f'{ISSUED}password = {{ file = "{{{{ device.serial }}}}.txt" }}\n', signed=False)
    for number in range(6):
        (tmp_path / f"S{number}.txt").write_text("abc" if number < 5 else "a\x01c")
    maker = maker_of(site)
    for number in range(5):
        maker.make({"serial": f"S{number}"}, now=NOW)
    with pytest.raises(ProfileError, match="Password: holds the character"):
        maker.make({"serial": "S5"}, now=NOW)


def test_password_that_is_not_embedded_is_the_one_that_was_given(tmp_path: Path) -> None:
    """The profile has none, so that the device asks."""
    site = fleet_site(
        tmp_path, f'{ISSUED}embed_password = false\npassword = "{{{{ device.password }}}}"\n', signed=False
    )
    maker = maker_of(site)
    assert "password" in needed_columns(maker.recipe)
    for number in range(4):
        payload = payload_of(
            maker.make({"serial": f"S{number}", "password": f"given-{number}"}, now=NOW).data, "pkcs12"
        )
        assert "Password" not in payload
        assert load_pkcs12(payload["PayloadContent"], source="p12", password=f"given-{number}".encode()).certificate


def test_password_that_nobody_would_know_is_refused(tmp_path: Path) -> None:
    """A made-up password that is not in the profile is lost."""
    site = fleet_site(tmp_path, f"{ISSUED}embed_password = false\n")
    with pytest.raises(ConfigError) as caught:
        maker_of(site)
    assert caught.value.where == f"{site.config}: identity.embed_password"
    assert "{{ device.password }}" in caught.value.hint


def test_alternative_names_are_each_devices_own(tmp_path: Path) -> None:
    """They are in the certificate, not only in what was asked for."""
    names = 'subject_alt_name = { dns_name = "{{ device.serial }}.example.com", rfc822_name = ["{{ device.mail }}"] }\n'
    maker = maker_of(fleet_site(tmp_path, ISSUED + names, signed=False))
    for number in range(4):
        device = {"serial": f"s{number}", "mail": f"u{number}@example.com"}
        certificate = certificate_of(maker.make(device, now=NOW).data)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert found.get_values_for_type(x509.DNSName) == [f"s{number}.example.com"]
        assert found.get_values_for_type(x509.RFC822Name) == [f"u{number}@example.com"]
    with pytest.raises(IssueError, match="DNS name"):
        maker.make({"serial": "a b", "mail": "u@example.com"}, now=NOW)


def test_own_file_of_each_device_is_read_and_told(tmp_path: Path) -> None:
    """A PKCS#12 that somebody else issued: its certificate is known, and it is nobody else's."""
    site = fleet_site(tmp_path, '[identity]\ntype = "pkcs12"\nfile = "{{ device.serial }}.p12"\npassword = "pw"\n')
    identities = {f"S{n}": issue(f"Device {n}", site.root, end=NOW + (400 + n) * DAY) for n in range(1, 5)}
    for serial, each in identities.items():
        (tmp_path / f"{serial}.p12").write_bytes(each.p12("pw"))
    maker = maker_of(site)
    for serial, each in identities.items():
        made = maker.make({"serial": serial}, now=NOW)
        assert certificate_of(made.data) == each.certificate
        assert made.certificate is not None
        assert (made.certificate.sha256, made.not_after) == (each.sha256, each.certificate.not_valid_after_utc)
        assert "identity.shared" not in [found.rule for found in made.findings]


def test_one_file_for_all_devices_is_a_shared_identity(tmp_path: Path) -> None:
    """Also where the config says that its profile is for one device: here it is for many."""
    site = fleet_site(tmp_path, '[identity]\ntype = "pkcs12"\nfile = "d.p12"\npassword = "pw"\nsingle_device = true\n')
    (tmp_path / "d.p12").write_bytes(issue("Device", site.root).p12("pw"))
    assert "identity.shared" in [each.rule for each in maker_of(site).make({"serial": "S"}, now=NOW).findings]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("rsa2048", 2048), ("rsa3072", 3072), ("p256", 256), ("p384", 384)],
)
def test_key_is_of_the_kind_that_was_asked_for(tmp_path: Path, kind: str, expected: int) -> None:
    """From an RSA CA as from an EC one."""
    site = fleet_site(tmp_path, ISSUED.replace("p256", kind), ca_key=rsa_key())
    key = certificate_of(maker_of(site).make({"serial": "S1"}, now=NOW).data).public_key()
    assert isinstance(key, rsa.RSAPublicKey if kind.startswith("rsa") else ec.EllipticCurvePublicKey)
    assert key.key_size == expected


def test_certificate_has_the_serial_number_that_was_given(tmp_path: Path) -> None:
    """It was recorded before the certificate was made."""
    made = maker_of(fleet_site(tmp_path)).make({"serial": "S1"}, now=NOW, serial_number=0x1234567890)
    certificate = certificate_of(made.data)
    assert certificate.serial_number == 0x1234567890
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "S1"
    assert made.subject == certificate.subject.rfc4514_string()
    assert made.not_after == certificate.not_valid_after_utc == NOW + 365 * DAY


def test_subject_is_told_as_text_that_cannot_be_mistaken(tmp_path: Path) -> None:
    """A comma in a value adds no name."""
    site = fleet_site(tmp_path, SCEP.replace('"CN={{ device.serial }}"', '"O=Example,CN={{ device.serial }}"'))
    made = maker_of(site).make({"serial": "a,OU=b+c ", "challenge": "c"}, now=NOW)
    assert made.subject == r"CN=a\,OU=b\+c\ ,O=Example"
    assert (
        x509.Name.from_rfc4514_string(made.subject).get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "a,OU=b+c "
    )


# What all devices share


def test_only_what_all_devices_share_is_kept(tmp_path: Path) -> None:
    """What the profiles are made from does not depend on which device came first."""
    site = fleet_site(tmp_path, '[identity]\ntype = "pkcs12"\nfile = "{{ device.serial }}.p12"\npassword = "pw"\n')
    for serial in ("S1", "S2"):
        (tmp_path / f"{serial}.p12").write_bytes(issue(serial, site.root).p12("pw"))
    digests = set()
    for first in ("S1", "S2"):
        maker = maker_of(site)
        maker.draft({"serial": first})
        digests.add(maker.recipe.made_from({"serial": "S1"}))
        assert tmp_path / "root.pem" in maker.recipe.kept.files
    assert len(digests) == 1


def test_recipe_knows_another_file_behind_the_same_config(tmp_path: Path) -> None:
    """A root that was exchanged makes another profile; another time, output or planned date does not."""
    site = fleet_site(tmp_path)

    def digest(**more: Any) -> str:
        recipe = replace(maker_of(site, **more).recipe, now=NOW + DAY)
        return recipe.made_from({"serial": "S1"})

    first = digest()
    assert digest(overrides={"output": {"directory": "x"}, "profile": {"replace_on": "2031-12-01"}}) == first
    assert digest(variables={"site": "x"}) == first
    site.edit(lambda text: text.replace('"Example MDM"', '"{{ site }}"'))
    assert digest(variables={"site": "x"}) != digest(variables={"site": "y"})
    site.edit(lambda text: text.replace('"{{ site }}"', '"Example MDM"'))
    (tmp_path / "root.pem").write_bytes(site.root.pem + site.intermediate.pem)
    assert digest() != first


def test_recipe_is_the_same_wherever_it_is_named_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its own directory or another, and after the directory was moved."""
    site = fleet_site(tmp_path / "here")
    monkeypatch.chdir(site.folder)

    def digest(config: str, certificate: str) -> str:
        overrides = {"trust": {"certificates": [Path(certificate)]}}
        return ProfileMaker(recipe_of(Path(config), now=NOW, overrides=overrides)).recipe.made_from({"serial": "S1"})

    first = digest("enroll.toml", "root.pem")
    assert digest(str(site.config), str(site.folder / "root.pem")) == first
    monkeypatch.chdir(tmp_path)
    assert digest("here/enroll.toml", "here/root.pem") == first
    site.folder.rename(tmp_path / "there")
    assert digest("there/enroll.toml", "there/root.pem") == first
    assert digest("there/enroll.toml", "there/intermediate.pem") != first


def test_flag_can_name_a_file_that_is_kept(tmp_path: Path) -> None:
    """A path from a flag is relative to the working directory, not to the config."""
    site = fleet_site(tmp_path)
    (tmp_path / "extra.pem").write_bytes(site.root.pem)
    maker = maker_of(
        site, overrides={"trust": {"certificates": [tmp_path / "extra.pem", tmp_path / "intermediate.pem"]}}
    )
    assert tmp_path / "extra.pem" in maker.recipe.kept.files


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (('key = "signer.key"', 'key = "{{ device.site }}.key"'), "signing.key"),
        (("[signing]", '[output]\ndirectory = "{{ device.site }}"\n[signing]'), "output.directory"),
    ],
)
def test_what_there_is_one_of_cannot_be_a_devices(tmp_path: Path, change: tuple[str, str], where: str) -> None:
    """One signer signs every profile, and all of them go below one directory."""
    site = fleet_site(tmp_path)
    site.edit(lambda text: text.replace(*change))
    with pytest.raises(ConfigError, match="has a template for each device") as caught:
        maker_of(site)
    assert caught.value.where.endswith(where)


def test_question_for_a_password_is_asked_once(tmp_path: Path) -> None:
    """Where profiles are made nobody can answer, so it is asked before."""
    site = fleet_site(tmp_path, f'{ISSUED}password = {{ prompt = "Password?" }}\n')
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "answered"

    recipe = ProfileMaker(recipe_of(site.config, now=NOW), prompt=answer).recipe
    elsewhere = ProfileMaker(pickle.loads(pickle.dumps(recipe)))  # noqa: S301 - our own, as a worker gets it
    for number in range(3):
        assert payload_of(elsewhere.make({"serial": f"S{number}"}, now=NOW).data, "pkcs12")["Password"] == "answered"
    assert asked == ["Password?"]
    with pytest.raises(SecretError, match="nobody can answer"):
        maker_of(site)


def test_recipe_needs_no_file_where_it_is_sent(tmp_path: Path) -> None:
    """Whoever gets it makes the same profiles, though it can read none of the files."""
    site = fleet_site(tmp_path / "site", SCEP, signed=True)
    recipe: Recipe = pickle.loads(pickle.dumps(maker_of(site).recipe))  # noqa: S301 - our own, as a worker gets it
    device = {"serial": "S1", "challenge": "c"}
    expected = content_of(maker_of(site).make(device, now=NOW).data)
    for each in site.folder.iterdir():
        each.unlink()
    for _ in range(3):
        assert content_of(ProfileMaker(recipe).make(device, now=NOW).data) == expected


def test_threads_can_share_a_maker(tmp_path: Path) -> None:
    """Eight threads make two hundred profiles each; every one is whole, signed, and its device's."""
    site = fleet_site(tmp_path, SCEP)
    maker = maker_of(site)
    start = threading.Barrier(8)

    def many(thread: int) -> list[tuple[str, bytes]]:
        start.wait()
        serials = [f"T{thread}-{'x' * (n % 5)}-{n}" for n in range(200)]
        return [(each, maker.make({"serial": each, "challenge": f"c{each}"}, now=NOW).data) for each in serials]

    with ThreadPoolExecutor(8) as pool:
        made = [each for some in pool.map(many, range(8)) for each in some]
    assert len(made) == 1600
    for serial, data in made:
        content = payload_of(data, "scep")["PayloadContent"]
        assert (content["Challenge"], content["Subject"]) == (f"c{serial}", [[["CN", serial]]])


def test_makers_of_several_configs_do_not_know_of_each_other(tmp_path: Path) -> None:
    """In one process, in turn, also through what workers keep."""
    sites = [
        fleet_site(tmp_path / name, identity, signed=False)
        for name, identity in (("s", SCEP), ("a", ACME), ("i", ISSUED))
    ]
    sites[0].edit(lambda text: text.replace("Example MDM", "One"))
    makers = [maker_of(each) for each in sites]
    for number in range(4):
        device = {"serial": f"S{number}", "challenge": "c"}
        plists = [plist_of(each.make(device, now=NOW).data) for each in makers]
        assert [each["PayloadContent"][2]["PayloadType"].rpartition(".")[2] for each in plists] == [
            "scep",
            "acme",
            "pkcs12",
        ]
        assert [each["PayloadDisplayName"] for each in plists] == ["One", "Example MDM", "Example MDM"]
        for maker in makers:
            (made,) = work(maker.recipe, [Item(1, device, None)], None).results
            assert made.id == 1


def test_secrets_are_in_no_repr_and_no_error(tmp_path: Path) -> None:
    """Not those of the config, of a device, or those that were made."""
    site = fleet_site(
        tmp_path,
        f'{ISSUED}password = "{{{{ device.password }}}}"\n'
        'subject_alt_name = { dns_name = "{{ device.host }}" }\n',
    )
    site.edit(lambda text: text.replace('ca_key = "ca.key"', 'ca_key = "ca.key"\nca_key_password = "ca-s3cret"'))
    site.edit(lambda text: text.replace('ca_certificate = "ca.pem"', 'ca_certificate = "own.pem"'))
    own = issue("Own CA", ca=True, key=rsa_key())
    (tmp_path / "own.pem").write_bytes(own.pem)
    (tmp_path / "ca.key").write_bytes(own.key_pem("ca-s3cret"))
    maker = maker_of(site)
    device = {"serial": "S1", "password": "device-s3cret", "host": "a.example.com"}
    made = maker.make(device, now=NOW)
    (result,) = work(maker.recipe, [Item(1, device, None)], None).results
    shown = [
        repr(each)
        for each in (maker, maker.recipe, maker.recipe.kept, maker.recipe.tables, made, Item(1, device, 2), result)
    ]
    for bad in ({"host": "a b"}, {"password": "device-s3cret\x01"}, {"serial": "S" * 99}):
        try:
            maker.make(device | bad, now=NOW)
        except MdmprofileError as error:
            shown += [str(error), repr(error), *traceback.format_exception(error)]
        else:
            pytest.fail("nothing was refused")
        (failed,) = work(maker.recipe, [Item(1, device | bad, None)], None).results
        shown.append(repr(failed))
    assert "s3cret" not in "".join(shown)


@pytest.fixture
def fetched(tmp_path: Path) -> Callable[[], int]:
    """How often the command that prints a challenge was run."""
    script = tmp_path / "challenge.sh"
    script.write_text(f"echo x >> {tmp_path}/calls; printf secret-$$\n")
    return lambda: len((tmp_path / "calls").read_text()) // 2 if (tmp_path / "calls").exists() else 0


def test_nothing_is_fetched_or_issued_where_a_device_is_only_looked_at(
    tmp_path: Path, fetched: Callable[[], int]
) -> None:
    """A challenge may be good for one device alone."""
    command = f'{{ command = ["sh", "{tmp_path}/challenge.sh"] }}'
    maker = maker_of(fleet_site(tmp_path / "site", SCEP.replace('"{{ device.challenge }}"', command)))
    for number in range(4):
        maker.draft({"serial": f"S{number}"})
        maker.check({"serial": f"S{number}"})
    assert fetched() == 0
    challenges = {
        payload_of(maker.make({"serial": f"S{n}"}, now=NOW).data, "scep")["PayloadContent"]["Challenge"]
        for n in range(5)
    }
    assert (fetched(), len(challenges)) == (5, 5)


@pytest.mark.parametrize("identity", [SCEP, ACME, ISSUED], ids=["scep", "acme", "issued"])
def test_look_at_a_device_finds_what_making_it_does(tmp_path: Path, identity: str) -> None:
    """So that nothing is written where a single device's profile cannot be made."""
    site = fleet_site(tmp_path, identity)
    site.edit(lambda text: text.replace('com/mdm"', 'com/{{ device.serial }}"'))
    maker = maker_of(site)
    for serial in ("S1", "S2", "S3", "a b", "é" * 40, "S" * 64, "S" * 65, "", "S4"):
        device = {"serial": serial, "challenge": "c"}
        found = []
        for ask in (maker.check, lambda each: maker.make(each, now=NOW).findings):
            try:
                found.append([each.rule for each in ask(device)])
            except MdmprofileError as error:
                found.append([str(error)])
        assert found[0] == found[1]
