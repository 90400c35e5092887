"""What a server publishes beside the profile: trust profile, MDMServiceConfig, anchors; public trust; no signer."""

from __future__ import annotations

import base64
import json
import plistlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest

from conftest import Command
from mdmprofile.builder import Artifact, BuildResult, build, build_trust
from mdmprofile.config import load_config
from mdmprofile.findings import Finding, Severity
from mdmprofile.public import public_roots
from pki import CONFIG, NOW, Entity, Site, ec_key, intermediate_ca, issue, root_ca, server_leaf, signed_content

Plist = dict[str, Any]
ROOT = "com.apple.security.root"
SIGNING = CONFIG[CONFIG.index("[signing]") :]
CERTIFICATES = 'certificates = ["root.pem", "intermediate.pem"]\n'
TRUST_URL = 'trust_profile_url = "https://mdm.example.com/trust.mobileconfig"\n'
ENROLLMENT_URL = 'enrollment_url = "https://mdm.example.com/enroll"\n'
BYOD = "https://mdm.example.com/byod"
ADDE = "https://mdm.example.com/adde"
ANCHORS_URL = 'anchor_certs_url = "https://mdm.example.com/dep_anchor_certs"\n'


@pytest.fixture
def site(site: Site) -> Site:
    """The site without a signer: its profiles are plain property lists."""
    site.edit(lambda text: text.replace(SIGNING, ""))
    return site


@pytest.fixture
def public_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Entity]:
    """A root that stands in for certifi's: nobody can make a certificate of a real public CA at run time."""
    root = root_ca("Public Root", key=ec_key())
    monkeypatch.setattr(certifi, "contents", lambda: root.pem.decode("ascii"))
    public_roots.cache_clear()
    yield root
    public_roots.cache_clear()


def cut(site: Site, *lines: str) -> None:
    """Take lines out of the config."""
    for line in lines:
        site.edit(lambda text, line=line: text.replace(line, ""))  # type: ignore[misc]  # a default binds the loop's line


def make_public(site: Site) -> None:
    """The config of a server with a publicly trusted certificate."""
    site.edit(lambda text: text.replace("[trust]\n", "[trust]\npublic = true\n"))


def result_of(site: Site, *, trust_only: bool = False) -> BuildResult:
    """Build with the library, as of NOW."""
    return (build_trust if trust_only else build)(load_config(site.config), now=NOW)


def artifact(result: BuildResult, kind: str) -> Artifact:
    """The artifact of a kind."""
    (found,) = [each for each in result.artifacts if each.kind == kind]
    return found


def kinds(result: BuildResult) -> list[str]:
    """What was made, in order."""
    return [each.kind for each in result.artifacts]


def trust_plist(result: BuildResult) -> Plist:
    """The property list of the trust profile."""
    plist: Plist = plistlib.loads(artifact(result, "trust").data)
    return plist


def short(result: BuildResult, area: str) -> set[tuple[str, Severity, str]]:
    """Rule, severity and place of the findings of an area."""
    return {(each.rule, each.severity, each.where) for each in result.findings if each.rule.startswith(area)}


def errors(result: BuildResult) -> list[Finding]:
    """The findings that stop the build."""
    return [each for each in result.findings if each.severity is Severity.ERROR]


# ---------------------------------------------------------------- the trust profile


def test_the_trust_profile_holds_the_roots_and_nothing_else(site: Site, plistutil: Callable[[bytes], bytes]) -> None:
    """Apple: only root payloads; neither intermediates, the server's leaf, an identity nor MDM."""
    other = root_ca("New Root", days=9000, key=ec_key())
    (site.folder / "root.pem").write_bytes(other.pem + site.root.pem)
    plist = plistlib.loads(plistutil(artifact(result_of(site), "trust").data))
    assert [(each["PayloadType"], each["PayloadContent"]) for each in plist["PayloadContent"]] == [
        (ROOT, site.root.der),
        (ROOT, other.der),
    ]


def test_the_trust_profile_is_a_profile_of_its_own(site: Site) -> None:
    """With the enrollment profile's identifier or UUIDs, a device would replace one with the other."""
    site.edit(lambda text: text.replace("[profile]\n", '[profile]\nscope = "System"\n'))
    result = result_of(site)
    plist, enrollment = trust_plist(result), plistlib.loads(artifact(result, "enrollment").data)
    assert plist["PayloadIdentifier"] == "com.example.mdm.enroll.trust"
    assert {key: plist[key] for key in ("PayloadType", "PayloadVersion", "PayloadScope", "PayloadOrganization")} == {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadScope": "System",
        "PayloadOrganization": "Example Inc.",
    }
    assert plist["PayloadDisplayName"] == "Example MDM trust"
    own = [plist["PayloadUUID"], *(each["PayloadUUID"] for each in plist["PayloadContent"])]
    others = [enrollment["PayloadUUID"], *(each["PayloadUUID"] for each in enrollment["PayloadContent"])]
    assert not set(own) & set(others)
    assert all(uuid.UUID(each).version == 5 and each == each.upper() for each in own)
    assert artifact(result_of(site), "trust").data == artifact(result, "trust").data


def test_the_trust_profile_is_signed_like_the_enrollment_profile(
    site: Site, openssl: Callable[..., bytes], tmp_path: Path
) -> None:
    """The same signer stands behind both, so that a device shows both as verified."""
    site.config.write_text(site.config.read_text() + "\n" + SIGNING)
    made = artifact(result_of(site), "trust")
    assert made.signed
    (tmp_path / "trust").write_bytes(made.data)
    content = signed_content(openssl, tmp_path / "trust", site.folder / "root.pem")
    assert plistlib.loads(content)["PayloadIdentifier"] == "com.example.mdm.enroll.trust"


def test_without_its_url_a_build_makes_no_trust_profile(site: Site) -> None:
    """Nobody would publish it; the other documents are still made."""
    cut(site, TRUST_URL)
    result = result_of(site)
    assert kinds(result) == ["enrollment", "service-config", "anchor-certificates"]
    assert "trust_profile_url" not in json.loads(artifact(result, "service-config").data)


def test_without_any_url_a_build_makes_only_the_profile(site: Site) -> None:
    """There is nothing to publish."""
    cut(site, TRUST_URL, ENROLLMENT_URL, ANCHORS_URL)
    assert kinds(result_of(site)) == ["enrollment"]


# ---------------------------------------------------------------- the documents


def test_the_service_document_has_the_urls_that_are_set(site: Site) -> None:
    """UTF-8 JSON with Apple's names, and nothing for a URL that is absent."""
    cut(site, ENROLLMENT_URL, ANCHORS_URL)
    data = artifact(result_of(site), "service-config").data
    assert json.loads(data.decode("utf-8")) == {"trust_profile_url": "https://mdm.example.com/trust.mobileconfig"}


def test_the_service_document_keeps_a_url_as_written(site: Site) -> None:
    """Letters outside ASCII and signs that XML would escape come back from a JSON parser unchanged."""
    url = "https://mdm.b\u00fccher.example/enroll?a=1&b=<2>"
    site.edit(lambda text: text.replace("https://mdm.example.com/enroll", url))
    assert json.loads(artifact(result_of(site), "service-config").data)["dep_enrollment_url"] == url


def test_the_anchors_are_the_roots_in_unwrapped_base64(site: Site) -> None:
    """An anchor is trusted without looking at who issued it, so no intermediate is one."""
    other = root_ca("New Root", days=9000, key=ec_key())
    (site.folder / "root.pem").write_bytes(other.pem + site.root.pem)
    data = artifact(result_of(site), "anchor-certificates").data
    encoded = json.loads(data)
    assert not any(character in each for each in encoded for character in "\r\n ")
    assert [base64.b64decode(each, validate=True) for each in encoded] == [site.root.der, other.der]


# ---------------------------------------------------------------- account-driven enrollment


def add(site: Site, *lines: str) -> None:
    """Put lines into the trust table."""
    site.edit(lambda text: text.replace("[trust]\n", "".join(["[trust]\n", *lines])))


def test_the_discovery_document_names_the_servers_that_are_set(site: Site) -> None:
    """Apple's form: the users' own devices first, and nothing for a URL that is absent."""
    byod, adde = {"Version": "mdm-byod", "BaseURL": BYOD}, {"Version": "mdm-adde", "BaseURL": ADDE}
    add(site, f'adde_enrollment_url = "{ADDE}"\n')
    made = artifact(result_of(site), "discovery")
    assert json.loads(made.data.decode("utf-8")) == {"Servers": [adde]}
    assert (made.name, made.secret, made.signed) == ("com.apple.remotemanagement", False, False)
    add(site, f'byod_enrollment_url = "{BYOD}"\n')
    for trust_only in (False, True):
        made = artifact(result_of(site, trust_only=trust_only), "discovery")
        assert json.loads(made.data) == {"Servers": [byod, adde]}


def test_the_discovery_document_is_made_only_where_a_url_is_set(site: Site) -> None:
    """An empty list of servers would stop account-driven enrollment at whoever offers it."""
    assert "discovery" not in kinds(result_of(site))


def test_the_discovery_document_needs_no_other(site: Site) -> None:
    """Accounts are looked up without MDMServiceConfig, and anchors are for automated enrollment."""
    cut(site, TRUST_URL, ENROLLMENT_URL, ANCHORS_URL)
    add(site, f'byod_enrollment_url = "{BYOD}"\n')
    assert kinds(result_of(site)) == ["enrollment", "discovery"]


def test_the_flags_of_account_driven_enrollment_reach_the_document(site: Site, mdmprofile: Command) -> None:
    """Written beside the others, and reported."""
    out = site.folder / "out"
    flags = ("--byod-enrollment-url", BYOD, "--adde-enrollment-url", ADDE)
    outcome = mdmprofile("trust", "-c", site.config, "-o", out, *flags, "--format", "json")
    assert outcome.code == 0
    assert outcome.json["artifacts"][-1]["kind"] == "discovery"
    servers = json.loads((out / "com.apple.remotemanagement").read_bytes())["Servers"]
    assert [each["BaseURL"] for each in servers] == [BYOD, ADDE]


# ---------------------------------------------------------------- only the trust documents


def test_the_trust_documents_alone_need_no_url(site: Site) -> None:
    """Asked for by name, the trust profile and the anchors are made even where nothing says where they go."""
    cut(site, TRUST_URL, ENROLLMENT_URL, ANCHORS_URL)
    assert kinds(result_of(site, trust_only=True)) == ["trust", "anchor-certificates"]


def test_the_trust_documents_alone_are_those_of_a_build(site: Site) -> None:
    """The same bytes, without the enrollment profile."""
    everything, alone = result_of(site), result_of(site, trust_only=True)
    assert [(each.kind, each.name, each.data) for each in alone.artifacts] == [
        (each.kind, each.name, each.data) for each in everything.artifacts if each.kind != "enrollment"
    ]
    assert [each.name for each in alone.artifacts] == ["trust.mobileconfig", "MDMServiceConfig", "dep_anchor_certs"]
    assert not any(each.secret for each in alone.artifacts)


def test_the_trust_documents_do_not_wait_for_the_mdm_payload(site: Site) -> None:
    """What is wrong with the enrollment profile alone does not stop them."""
    site.edit(lambda text: text.replace("https://mdm.example.com/mdm", "http://mdm.example.com/mdm"))
    assert errors(result_of(site))
    assert errors(result_of(site, trust_only=True)) == []


@pytest.mark.parametrize("trust_only", [False, True], ids=["build", "trust"])
def test_a_trust_profile_without_a_root_is_an_error(site: Site, trust_only: bool) -> None:
    """A device given an empty trust profile trusts nothing, and nobody sees why."""
    (site.folder / "root.pem").write_bytes(site.intermediate.pem)
    result = result_of(site, trust_only=trust_only)
    assert ("trust.empty", Severity.ERROR, "PayloadContent") in short(result, "trust.")
    assert result.artifacts == ()


def test_a_trust_profile_without_any_certificate_is_an_error(site: Site, mdmprofile: Command) -> None:
    """Exit code 2, and nothing is written."""
    cut(site, CERTIFICATES)
    outcome = mdmprofile("trust", "-c", site.config, "-o", site.folder / "out", "--format", "json")
    assert outcome.code == 2
    assert "trust.empty" in outcome.rules
    assert not (site.folder / "out").exists()


# ---------------------------------------------------------------- the URLs


@pytest.mark.parametrize("key", ["byod_enrollment_url", "adde_enrollment_url"])
@pytest.mark.parametrize("url", ["http://mdm.example.com/x", "mdm.example.com/x"])
def test_a_url_of_account_driven_enrollment_that_is_not_https_is_an_error(site: Site, key: str, url: str) -> None:
    """A person signs in there."""
    add(site, f'{key} = "{url}"\n')
    result = result_of(site)
    assert short(result, "trust.") == {("trust.url-scheme", Severity.ERROR, f"trust.{key}")}
    assert result.artifacts == ()


@pytest.mark.parametrize("key", ["trust_profile_url", "enrollment_url", "anchor_certs_url"])
@pytest.mark.parametrize("url", ["http://mdm.example.com/x", "mdm.example.com/x", "https:///x"])
def test_a_published_url_that_is_not_https_is_an_error(site: Site, key: str, url: str) -> None:
    """Devices fetch these before they trust anything."""
    site.edit(
        lambda text: "\n".join(f'{key} = "{url}"' if line.startswith(key) else line for line in text.splitlines())
    )
    result = result_of(site)
    assert short(result, "trust.") == {("trust.url-scheme", Severity.ERROR, f"trust.{key}")}
    assert result.artifacts == ()


@pytest.mark.parametrize(("absent", "missing"), [(ENROLLMENT_URL, "enrollment_url"), (ANCHORS_URL, "anchor_certs_url")])
def test_one_url_of_automated_enrollment_without_the_other_is_an_error(site: Site, absent: str, missing: str) -> None:
    """Apple: both or neither."""
    cut(site, absent)
    result = result_of(site)
    assert short(result, "trust.") == {("trust.urls-incomplete", Severity.ERROR, f"trust.{missing}")}
    assert result.artifacts == ()


# ---------------------------------------------------------------- public trust


def test_public_trust_publishes_no_trust_profile_and_no_anchors(site: Site) -> None:
    """Apple: leave trust_profile_url out, and still give the anchors' URL, whose body is an empty array."""
    make_public(site)
    cut(site, 'server_certificate = "server.pem"\n')
    result = result_of(site)
    assert kinds(result) == ["enrollment", "service-config", "anchor-certificates"]
    assert json.loads(artifact(result, "service-config").data) == {
        "dep_enrollment_url": "https://mdm.example.com/enroll",
        "dep_anchor_certs_url": "https://mdm.example.com/dep_anchor_certs",
    }
    assert json.loads(artifact(result, "anchor-certificates").data) == []
    assert [each["PayloadType"] for each in result.profile.payloads] == ["com.apple.security.scep", "com.apple.mdm"]


def test_public_trust_without_automated_enrollment_publishes_nothing(site: Site) -> None:
    """A trust profile's URL is not used, so nothing would say where the empty anchors are."""
    make_public(site)
    cut(site, ENROLLMENT_URL, ANCHORS_URL, 'server_certificate = "server.pem"\n')
    assert kinds(result_of(site)) == ["enrollment"]


def test_public_trust_alone_publishes_empty_anchors(site: Site) -> None:
    """The trust command makes no trust profile either."""
    make_public(site)
    cut(site, TRUST_URL, 'server_certificate = "server.pem"\n')
    result = result_of(site, trust_only=True)
    assert kinds(result) == ["service-config", "anchor-certificates"]
    assert json.loads(artifact(result, "anchor-certificates").data) == []


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        pytest.param((CERTIFICATES,), True, id="trust profile URL"),
        pytest.param((TRUST_URL,), True, id="certificates"),
        pytest.param((CERTIFICATES, TRUST_URL), False, id="neither"),
    ],
)
def test_what_public_trust_does_not_use_is_told(site: Site, lines: tuple[str, ...], told: bool) -> None:
    """An admin who named certificates hears that they are not embedded."""
    make_public(site)
    cut(site, 'server_certificate = "server.pem"\n', *lines)
    expected = {("trust.public-unused", Severity.INFO, "trust.public")} if told else set()
    result = result_of(site)
    assert short(result, "trust.") == expected
    assert result.artifacts


def test_private_trust_says_nothing_of_public_trust(site: Site) -> None:
    """The usual config has nothing unused."""
    assert short(result_of(site), "trust.") == set()


def test_a_private_server_certificate_with_public_trust_is_a_warning(site: Site) -> None:
    """No device would trust the server."""
    make_public(site)
    cut(site, CERTIFICATES, TRUST_URL)
    result = result_of(site)
    assert short(result, "trust.") == {("trust.not-public", Severity.WARNING, str(site.folder / "server.pem"))}
    assert "mdm.example.com" in next(each.message for each in result.findings if each.rule == "trust.not-public")


def test_a_private_root_in_the_server_file_does_not_make_it_public(site: Site) -> None:
    """A full chain is what servers are configured with; a root in it is trusted by nobody for that."""
    make_public(site)
    cut(site, CERTIFICATES, TRUST_URL)
    (site.folder / "server.pem").write_bytes(site.server.pem + site.intermediate.pem + site.root.pem)
    assert "trust.not-public" in {each.rule for each in result_of(site).findings}


def test_a_public_server_certificate_with_its_intermediate_is_fine(site: Site, public_root: Entity) -> None:
    """The file as the server has it: leaf and intermediate, the root on every device."""
    make_public(site)
    cut(site, CERTIFICATES, TRUST_URL)
    middle = intermediate_ca(public_root, "Public Intermediate")
    leaf = server_leaf(middle)
    (site.folder / "server.pem").write_bytes(leaf.pem + middle.pem)
    assert short(result_of(site), "trust.") == set()
    (site.folder / "server.pem").write_bytes(leaf.pem)
    assert {each[0] for each in short(result_of(site), "trust.")} == {"trust.not-public"}


# ---------------------------------------------------------------- signing, as far as the build decides it


def test_without_a_signer_the_profiles_are_plain_and_say_so(
    site: Site, mdmprofile: Command, plistutil: Callable[[bytes], bytes]
) -> None:
    """A warning, exit code 0, and files that libplist reads as they are."""
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json")
    assert outcome.code == 0
    assert [(each["rule"], each["severity"], each["where"]) for each in outcome.json["findings"]] == [
        ("signing.unsigned", "warning", "signing")
    ]
    assert [each["signed"] for each in outcome.json["artifacts"]] == [False, False, False, False]
    for file in ("enroll.mobileconfig", "trust.mobileconfig"):
        data = (site.folder / "out" / file).read_bytes()
        assert plistlib.loads(plistutil(data)) == plistlib.loads(data)
        assert data.startswith(b"<?xml")


def test_a_signer_whose_key_is_another_is_an_error(site: Site) -> None:
    """Signing was asked for and cannot be done, so nothing is made."""
    site.config.write_text(site.config.read_text() + "\n" + SIGNING)
    (site.folder / "signer.key").write_bytes(issue("Other", key=ec_key()).key_pem())
    result = result_of(site)
    assert short(result, "signing.") == {
        ("signing.key-mismatch", Severity.ERROR, str(site.folder / "signer.pem")),
    }
    assert result.artifacts == ()


def test_a_signer_whose_issuer_is_missing_is_a_warning(site: Site) -> None:
    """Devices may show the profile as unverified; it is still signed."""
    site.config.write_text(site.config.read_text() + "\n" + SIGNING)
    elsewhere = root_ca("Elsewhere", key=ec_key())
    signer = issue("Signer", elsewhere, key=ec_key())
    (site.folder / "signer.pem").write_bytes(signer.pem)
    (site.folder / "signer.key").write_bytes(signer.key_pem())
    result = result_of(site)
    assert short(result, "signing.") == {
        ("signing.chain-incomplete", Severity.WARNING, str(site.folder / "signer.pem")),
    }
    assert artifact(result, "enrollment").signed


def test_a_signer_of_a_public_root_is_complete(site: Site, public_root: Entity) -> None:
    """Devices know the root already, so nobody must add it."""
    site.config.write_text(site.config.read_text() + "\n" + SIGNING)
    signer = issue("Signer", public_root, key=ec_key())
    (site.folder / "signer.pem").write_bytes(signer.pem)
    (site.folder / "signer.key").write_bytes(signer.key_pem())
    assert short(result_of(site), "signing.") == set()
