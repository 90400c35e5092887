"""The rehearsal against real servers: what a device with this profile would meet, step by step."""

from __future__ import annotations

import contextlib
import json
import plistlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from conftest import Command, Outcome, system_tool
from live import HOST, LiveSite, Spoken, leaf_of, scep_server
from mdmprofile.moments import stamp
from mdmprofile.reader import open_profile
from pki import DAY, NOW, Entity, ec_key, intermediate_ca, issue, root_ca, server_leaf
from servers import LOOPBACK, free_port, silent
from test_check import terminal

UNSAFE = "ALL:@SECLEVEL=0"


@pytest.fixture
def pkcs12_site(tmp_path: Path, mdmprofile: Command) -> LiveSite:
    """A live site whose identity needs no server, so that the MDM server alone is met."""
    live = LiveSite(tmp_path, change=_without_scep)
    device = issue("device", live.site.intermediate)
    (live.site.folder / "device.p12").write_bytes(device.p12("secret"))
    (live.site.folder / "password.txt").write_text("secret")
    assert mdmprofile("build", "-c", live.site.config, "-o", live.out).code == 0
    return live


def _without_scep(config: str) -> str:
    before, _, rest = config.partition("[identity]")
    identity = 'type = "pkcs12"\nfile = "device.p12"\npassword = { file = "password.txt" }\nsingle_device = true\n'
    return f"{before}[identity]\n{identity}\n[signing]{rest.partition('[signing]')[2]}"


@pytest.fixture(params=["profile", "config"])
def target(request: pytest.FixtureRequest, pkcs12_site: LiveSite) -> Path:
    """The same rehearsal by the profile and by the config that built it."""
    return pkcs12_site.profile if request.param == "profile" else pkcs12_site.site.config


def serious(outcome: Outcome) -> dict[str, str]:
    """Rule to severity of everything above information."""
    found = [each for each in outcome.json["findings"] if each["severity"] != "info"]
    # The report has errors first, so the worst of a rule is the last one here.
    return {each["rule"]: each["severity"] for each in reversed(found)}


def message(outcome: Outcome, rule: str) -> str:
    """The first message of a rule."""
    return str(next(each["message"] for each in outcome.json["findings"] if each["rule"] == rule))


def outcomes(outcome: Outcome) -> dict[str, str]:
    """Step to outcome."""
    return {each["step"]: each["outcome"] for each in outcome.json["steps"]}


class TestMdmServer:
    """What the server at ServerURL shows, held against the profile's own trust."""

    def test_good_server_passes_every_step(self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command) -> None:
        """Chain, name, dates and documents are as a device needs them; what must not be tried says so."""
        with pkcs12_site.serve():
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert outcome.code == 0, outcome.out
        assert serious(outcome) == {}
        assert outcomes(outcome) == {
            "ServerURL": "passed",
            "check-in": "not tried",
            "MDMServiceConfig": "passed",
            "trust_profile_url": "passed",
            "dep_anchor_certs_url": "passed",
            "dep_enrollment_url": "passed",
            "enrollment profile": "not tried",
        }
        shown = {(each["role"], each["sha256"]) for each in outcome.json["certificates"]}
        site = pkcs12_site.site
        assert shown == {("leaf", site.server.sha256), ("intermediate", site.intermediate.sha256)}

    def test_intermediate_that_the_profile_carries_may_be_missing_with_a_warning(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command
    ) -> None:
        """Enrolled devices connect, so it is no error."""
        with pkcs12_site.shows(pkcs12_site.site.server):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"tls.incomplete-chain": "warning"}
        assert "Test Intermediate" in message(outcome, "tls.incomplete-chain")
        assert outcome.code == 1
        assert outcomes(outcome)["MDMServiceConfig"] == "passed"

    def test_intermediate_that_nobody_has_is_an_error(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command
    ) -> None:
        """No device can follow the chain, and nothing is asked of such a server."""
        other = intermediate_ca(pkcs12_site.site.root, "Another Intermediate")
        with pkcs12_site.shows(server_leaf(other)):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"tls.incomplete-chain": "error", "tls.untrusted": "error"}
        assert "Another Intermediate" in message(outcome, "tls.incomplete-chain")
        assert outcome.code == 2
        assert outcomes(outcome)["MDMServiceConfig"] == "not tried"

    def test_same_chain_with_the_missing_intermediate_sent_passes(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command
    ) -> None:
        """The profile need not carry what the server sends."""
        other = intermediate_ca(pkcs12_site.site.root, "Another Intermediate")
        with pkcs12_site.shows(server_leaf(other), other):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {}

    @pytest.mark.parametrize("sends_root", [False, True])
    def test_another_root_of_the_same_name_is_not_trusted(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command, sends_root: bool
    ) -> None:
        """Names agree and keys do not: the classic of a CA that was made twice."""
        root = root_ca("Test Root", key=ec_key())
        middle = intermediate_ca(root, "Twin Intermediate")
        with pkcs12_site.shows(server_leaf(middle), middle, *([root] if sends_root else [])):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"tls.untrusted": "error"}
        assert "another Test Root" in message(outcome, "tls.untrusted")
        assert outcome.code == 2

    def test_twins_all_the_way_down_are_not_trusted(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command
    ) -> None:
        """A PKI that was made anew with the same names throughout."""
        root = root_ca("Test Root", key=ec_key())
        middle = intermediate_ca(root, "Test Intermediate")
        with pkcs12_site.shows(server_leaf(middle), middle):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"tls.untrusted": "error"}

    def test_root_of_another_name_is_not_trusted(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command
    ) -> None:
        """The server moved to a CA that the profile does not have."""
        root = root_ca("Next Root")
        middle = intermediate_ca(root, "Next Intermediate")
        with pkcs12_site.shows(server_leaf(middle), middle):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"tls.untrusted": "error"}
        assert "Next Root" in message(outcome, "tls.untrusted")

    @pytest.mark.parametrize(("start", "end"), [(-30, -1), (1, 90)], ids=["expired", "not yet valid"])
    def test_certificate_out_of_its_dates_is_an_error(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command, start: int, end: int
    ) -> None:
        """And said once, not by two rules."""
        leaf = leaf_of(pkcs12_site.site.intermediate, start=start, end=end)
        with pkcs12_site.shows(leaf, pkcs12_site.site.intermediate):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"tls.expired": "error"}
        assert outcome.code == 2

    def test_expired_intermediate_is_an_error_although_the_leaf_is_valid(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command
    ) -> None:
        """If any certificate of the chain has expired the device cannot connect."""
        site = pkcs12_site.site
        old = issue("Old Intermediate", site.root, ca=True, start=NOW - 90 * DAY, end=NOW - DAY)
        with pkcs12_site.shows(server_leaf(old), old):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"tls.expired": "error"}
        assert "Old Intermediate" in message(outcome, "tls.expired")

    def test_valid_path_is_found_beside_an_expired_one(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command
    ) -> None:
        """The same CA was reissued: the server still sends the old certificate too."""
        site = pkcs12_site.site
        old = issue(
            site.intermediate.subject, site.root, ca=True, key=site.intermediate.key, start=NOW - 9 * DAY, end=NOW - DAY
        )
        with pkcs12_site.shows(site.server, old, site.intermediate):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert "tls.expired" not in serious(outcome)
        assert outcomes(outcome)["ServerURL"] == "passed"

    def test_end_that_comes_soon_is_a_warning(self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command) -> None:
        """As in check, by --warn and --critical."""
        leaf = leaf_of(pkcs12_site.site.intermediate, end=20)
        with pkcs12_site.shows(leaf, pkcs12_site.site.intermediate):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
            sharper = mdmprofile("doctor", target, *pkcs12_site.route, "--critical", "25d", "--format", "json")
        assert serious(outcome) == {"expiry.soon": "warning"}
        assert serious(sharper) == {"expiry.critical": "error"}

    @pytest.mark.parametrize(
        ("host", "fits"),
        [
            ("other.example.com", False),
            ("*.example.com", True),
            ("*.mdm.example.com", False),
            ("MDM.Example.COM", True),
        ],
    )
    def test_name_in_the_certificate_must_be_the_servers(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command, host: str, fits: bool
    ) -> None:
        """A wildcard stands for one label, and letters are letters."""
        leaf = leaf_of(pkcs12_site.site.intermediate, host=host)
        with pkcs12_site.shows(leaf, pkcs12_site.site.intermediate):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == ({} if fits else {"tls.hostname": "error"})
        if not fits:
            assert host in message(outcome, "tls.hostname")

    def test_certificate_without_what_apple_asks_of_servers_is_named_in_full(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command
    ) -> None:
        """No alternative name, no serverAuth, four years: three findings in one run."""
        leaf = issue(HOST, pkcs12_site.site.intermediate, end=NOW + 1500 * DAY)
        with pkcs12_site.shows(leaf, pkcs12_site.site.intermediate):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"tls.hostname": "error", "tls.eku": "error", "tls.validity": "error"}

    def test_validity_of_825_days_is_the_longest(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command
    ) -> None:
        """One day more is refused."""
        for days, rules in ((825, {}), (826, {"tls.validity": "error"})):
            leaf = leaf_of(pkcs12_site.site.intermediate, end=days - 1)
            with pkcs12_site.shows(leaf, pkcs12_site.site.intermediate):
                outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
            assert serious(outcome) == rules

    def test_rsa_key_of_1024_bits_is_an_error(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command, openssl: Callable[..., bytes], tmp_path: Path
    ) -> None:
        """Devices ask for 2048."""
        key, chain = old_style(openssl, tmp_path, pkcs12_site.site.intermediate, bits=1024)
        with pkcs12_site.serve(certificate=chain + pkcs12_site.site.intermediate.pem, key=key, ciphers=UNSAFE):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"tls.weak-key": "error"}
        assert "1024" in message(outcome, "tls.weak-key")

    def test_sha1_intermediate_is_an_error(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command, openssl: Callable[..., bytes], tmp_path: Path
    ) -> None:
        """Devices refuse SHA-1 on the leaf and on the CAs that issued it."""
        site = pkcs12_site.site
        old = sha1_intermediate(openssl, tmp_path, site.root)
        with shown_below(pkcs12_site, old):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"tls.weak-signature": "error"}
        assert "SHA-1" in message(outcome, "tls.weak-signature")

    def test_tls_1_1_alone_is_an_error(self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command) -> None:
        """The certificates are judged all the same."""
        with pkcs12_site.serve(protocols="TLSv1.1", ciphers=UNSAFE):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"tls.version": "error"}
        assert "TLSv1.1" in message(outcome, "tls.version")

    def test_key_exchange_without_forward_secrecy_is_an_error(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command
    ) -> None:
        """TLS 1.2 with RSA key exchange alone."""
        with pkcs12_site.serve(protocols="TLSv1.2", ciphers="AES128-GCM-SHA256"):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"tls.version": "error"}
        assert "forward secrecy" in message(outcome, "tls.version")

    @pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
    def test_modern_protocols_pass(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command, protocol: str
    ) -> None:
        """Either is enough."""
        with pkcs12_site.serve(protocols=protocol):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {}
        assert protocol in message(outcome, "live.passed")

    def test_server_that_wants_a_client_certificate_is_no_fault(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command
    ) -> None:
        """MDM servers ask devices for their identity, which a rehearsal does not have."""
        site = pkcs12_site.site
        body = f"ssl_client_certificate {site.folder}/root.pem; ssl_verify_client optional;"
        with pkcs12_site.serve(body + pkcs12_site.locations()):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {}

    @pytest.mark.parametrize("protocol", ["-tls1_2", "-tls1_3"])
    def test_server_that_answers_nobody_without_a_client_certificate(
        self, pkcs12_site: LiveSite, mdmprofile: Command, protocol: str
    ) -> None:
        """Devices have one at ServerURL, so a profile alone makes it no fault; a config that publishes there does."""
        with s_server(pkcs12_site, protocol, "-Verify", "1", "-verify_return_error"):
            profile = mdmprofile("doctor", pkcs12_site.profile, *pkcs12_site.route, "--format", "json")
            config = mdmprofile("doctor", pkcs12_site.site.config, *pkcs12_site.route, "--format", "json")
        assert (profile.code, serious(profile)) == (0, {}), profile.out
        assert outcomes(profile)["ServerURL"] == "passed"
        assert outcomes(profile)["MDMServiceConfig"] == "not tried"
        assert serious(config) == {"service.inconsistent": "error"}
        assert "client certificate" in message(config, "service.inconsistent")

    def test_server_that_speaks_http_2_alone_is_no_fault(self, pkcs12_site: LiveSite, mdmprofile: Command) -> None:
        """Devices speak it; what cannot be read here says so."""
        with s_server(pkcs12_site, "-alpn", "h2"):
            outcome = mdmprofile("doctor", pkcs12_site.profile, *pkcs12_site.route, "--format", "json")
        assert (outcome.code, serious(outcome)) == (0, {}), outcome.out
        assert outcomes(outcome)["ServerURL"] == "passed"
        assert outcomes(outcome)["MDMServiceConfig"] == "not tried"

    @pytest.mark.parametrize("days", [-1, 3])
    def test_certificate_beside_the_path_is_no_fault(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command, days: int
    ) -> None:
        """The server still sends an old cross-certificate that no device needs."""
        site = pkcs12_site.site
        old = issue("Former CA", root_ca("Former Root"), ca=True, start=NOW - 90 * DAY, end=NOW + days * DAY)
        with pkcs12_site.shows(site.server, site.intermediate, old):
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert (outcome.code, serious(outcome)) == (0, {}), outcome.out

    def test_stream_of_empty_records_ends_in_time(
        self, tmp_path: Path, pkcs12_site: LiveSite, mdmprofile: Command
    ) -> None:
        """OpenSSL takes in HelloRequests without ever coming back, as long as there are more of them."""
        record = b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 10_000

        def talk(connection: socket.socket) -> None:
            connection.recv(4000)
            until = time.monotonic() + 60
            while time.monotonic() < until:
                connection.sendall(record)

        with Spoken(talk, None, tmp_path) as port:
            profile = tmp_path / "flood.mobileconfig"
            move(pkcs12_site, port, profile, mdmprofile)
            route = ("--resolve", f"{HOST}:{port}:{LOOPBACK}", "--connect-timeout", "1", "--format", "json")
            started = time.monotonic()
            outcome = mdmprofile("doctor", profile, *route)
            assert time.monotonic() - started < 30
        assert "does not answer within 1 second" in message(outcome, "tls.unreachable")

    def test_silent_server_is_unreachable_in_bounded_time(
        self, tmp_path: Path, pkcs12_site: LiveSite, mdmprofile: Command
    ) -> None:
        """It accepts, says nothing, and holds nobody longer than the time limit."""
        with silent() as port:
            profile = tmp_path / "silent.mobileconfig"
            move(pkcs12_site, port, profile, mdmprofile)
            started = time.monotonic()
            outcome = mdmprofile(
                "doctor",
                profile,
                "--resolve",
                f"{HOST}:{port}:{LOOPBACK}",
                "--connect-timeout",
                "1",
                "--format",
                "json",
            )
        assert time.monotonic() - started < 15
        assert serious(outcome)["tls.unreachable"] == "error"
        assert "does not answer within 1 second" in message(outcome, "tls.unreachable")
        assert outcome.code == 2

    def test_server_that_hangs_is_waited_for_once(
        self, tmp_path: Path, pkcs12_site: LiveSite, mdmprofile: Command
    ) -> None:
        """One cause is one error, and what lies behind it was not tried."""
        connections = 0

        def talk(connection: socket.socket) -> None:
            nonlocal connections
            connections += 1
            connection.recv(4000)
            time.sleep(30)

        with Spoken(talk, None, tmp_path) as port:
            move(pkcs12_site, port, tmp_path / "hanging.mobileconfig", mdmprofile)
            route = ("--resolve", f"{HOST}:{port}:{LOOPBACK}", "--connect-timeout", "1", "--format", "json")
            outcome = mdmprofile("doctor", pkcs12_site.site.config, *route)
        assert connections == 1
        assert [each["rule"] for each in outcome.json["findings"] if each["severity"] == "error"] == ["tls.unreachable"]
        assert set(outcomes(outcome).values()) == {"failed", "not tried"}

    @pytest.mark.parametrize(("address", "told"), [(LOOPBACK, "refuses connections"), (None, "cannot be resolved")])
    def test_server_that_is_not_there_is_a_finding(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command, address: str | None, told: str
    ) -> None:
        """Doctor answers with 2: no device gets there either."""
        route = ("--resolve", f"{HOST}:{pkcs12_site.port}:{address}") if address else ()
        outcome = mdmprofile("doctor", target, *route, "--format", "json")
        assert told in message(outcome, "tls.unreachable")
        assert outcome.code == 2

    def test_web_server_without_tls_is_a_finding(
        self, tmp_path: Path, pkcs12_site: LiveSite, mdmprofile: Command
    ) -> None:
        """Plain HTTP on the port, as a proxy's inside speaks it."""

        def talk(connection: socket.socket) -> None:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        with Spoken(talk, None, tmp_path) as port:
            profile = tmp_path / "plain.mobileconfig"
            move(pkcs12_site, port, profile, mdmprofile)
            outcome = mdmprofile("doctor", profile, "--resolve", f"{HOST}:{port}:{LOOPBACK}", "--format", "json")
        assert "does not speak TLS" in message(outcome, "tls.unreachable")

    def test_checkin_url_elsewhere_is_a_step_of_its_own(self, pkcs12_site: LiveSite, mdmprofile: Command) -> None:
        """A check-in server that is down loses new devices while the others seem fine."""
        dead = free_port()
        pkcs12_site.site.edit(
            lambda config: config.replace(
                "push_certificate", f'checkin_url = "https://{HOST}:{dead}/c"\npush_certificate'
            )
        )
        with pkcs12_site.serve():
            outcome = mdmprofile(
                "doctor",
                pkcs12_site.site.config,
                *pkcs12_site.route,
                "--resolve",
                f"{HOST}:{dead}:{LOOPBACK}",
                "--format",
                "json",
            )
        assert outcomes(outcome)["ServerURL"] == "passed"
        assert outcomes(outcome)["CheckInURL"] == "failed"
        assert serious(outcome) == {"tls.unreachable": "error"}


class TestPins:
    """The MDM payload's pins against what the live server shows."""

    @pytest.mark.parametrize("pinned", ["server", "intermediate", "other"])
    @pytest.mark.parametrize("by", ["profile", "config"])
    def test_pin_must_be_on_the_servers_path(
        self, pkcs12_site: LiveSite, mdmprofile: Command, pinned: str, by: str
    ) -> None:
        """The leaf or a CA above it; anything else shuts every device out."""
        site = pkcs12_site.site
        other = server_leaf(site.intermediate)
        pem = {"server": site.server.pem, "intermediate": site.intermediate.pem, "other": other.pem}[pinned]
        (site.folder / "pin.pem").write_bytes(pem)
        site.edit(
            lambda config: config.replace(
                "push_certificate", 'url_pinning_certificates = ["pin.pem"]\npush_certificate'
            )
        )
        built = mdmprofile("build", "-c", site.config, "-o", pkcs12_site.out)
        assert built.code == 0, built.out + built.err
        with pkcs12_site.serve():
            target = pkcs12_site.profile if by == "profile" else site.config
            outcome = mdmprofile("doctor", target, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == ({"tls.pinning": "error"} if pinned == "other" else {})
        told = [each["message"] for each in outcome.json["findings"] if "Pinning" in each["message"]]
        assert len(told) == 1


class TestProfile:
    """What a device refuses before it connects."""

    @pytest.mark.parametrize(
        ("change", "rule"),
        [
            (lambda each: each.pop("IdentityCertificateUUID"), "mdm.missing-key"),
            (lambda each: each.update(CheckInURL=7), "mdm.url-scheme"),
            (lambda each: each.update(ServerURLPinningCertificateUUIDs=["nobody"]), "mdm.pinning-reference"),
        ],
        ids=["no identity", "CheckInURL", "pin"],
    )
    def test_profile_that_cannot_work_is_the_first_step(
        self, pkcs12_site: LiveSite, mdmprofile: Command, tmp_path: Path, change: Callable[[Any], object], rule: str
    ) -> None:
        """A rehearsal that passes must not hide it."""
        plist = plistlib.loads(open_profile(pkcs12_site.profile.read_bytes()).content)
        change(plist["PayloadContent"][-1])
        profile = tmp_path / "broken.mobileconfig"
        profile.write_bytes(plistlib.dumps(plist))
        with pkcs12_site.serve():
            outcome = mdmprofile("doctor", profile, *pkcs12_site.route, "--format", "json")
        assert outcome.code == 2
        assert outcomes(outcome)["profile"] == "failed"
        assert outcomes(outcome)["ServerURL"] == "passed"
        assert rule in serious(outcome)

    def test_variable_that_nobody_gave_is_named(self, pkcs12_site: LiveSite, mdmprofile: Command) -> None:
        """The URL of one tenant is another's with another variable."""
        pkcs12_site.site.edit(lambda config: config.replace('/mdm"', '/mdm/{{ tenant }}"'))
        outcome = mdmprofile("doctor", pkcs12_site.site.config, *pkcs12_site.route, "--format", "json")
        assert "variable" in message(outcome, "config.unfilled")
        with pkcs12_site.serve():
            given = mdmprofile(
                "doctor", pkcs12_site.site.config, "--var", "tenant=a", *pkcs12_site.route, "--format", "json"
            )
        assert given.code == 0, given.out

    def test_token_in_a_url_is_not_printed(self, pkcs12_site: LiveSite, mdmprofile: Command, tmp_path: Path) -> None:
        """Neither of the profile's own URLs nor of what the server publishes, also where they are malformed."""
        plist = plistlib.loads(open_profile(pkcs12_site.profile.read_bytes()).content)
        plist["PayloadContent"][-1]["ServerURL"] = f"{pkcs12_site.origin}/mdm?token=hunter2"
        plist["PayloadContent"][-1]["CheckInURL"] = "https://user:pa/hunter2@127.0.0.1:99999/a?token=hunter2"
        profile = tmp_path / "token.mobileconfig"
        profile.write_bytes(plistlib.dumps(plist))
        told = 'default_type application/json; return 200 \'{"trust_profile_url": "http://h/e?token=hunter2"}\';'
        with pkcs12_site.serve(pkcs12_site.locations(MDMServiceConfig=told)):
            for form in ("text", "json", "junit", "github", "nagios"):
                outcome = mdmprofile("doctor", profile, *pkcs12_site.route, "--format", form)
                assert "hunter2" not in outcome.out + outcome.err
                assert outcome.code == 2


class TestScep:
    """Debian's SCEP server, asked for its CA and for nothing else."""

    @pytest.fixture
    def scep(self, tmp_path: Path) -> Iterator[tuple[int, bytes]]:
        """Port and CA certificate of the running server."""
        with scep_server(tmp_path) as found:
            yield found

    def rehearse(
        self, tmp_path: Path, mdmprofile: Command, url: str, *, ca: bytes | None = None, fingerprint: str = ""
    ) -> Outcome:
        def change(config: str) -> str:
            lines = [f'url = "{url}"']
            lines += ['ca_certificate = "scep-ca.pem"'] if ca else []
            lines += [f'ca_fingerprint = "{fingerprint}"'] if fingerprint else []
            before, mark, rest = config.partition('type = "scep"\n')
            return before + mark + "\n".join(lines) + "\n" + rest.partition("\n")[2]

        live = LiveSite(tmp_path / "live", change=change)
        if ca:
            (live.site.folder / "scep-ca.pem").write_bytes(ca)
        built = mdmprofile("build", "-c", live.site.config, "-o", live.out)
        assert built.code == 0, built.out + built.err
        with live.serve():
            by_config = mdmprofile("doctor", live.site.config, *live.route, "--format", "json")
            outcome = mdmprofile("doctor", live.profile, *live.route, "--format", "json")
        assert serious(by_config) == serious(outcome)
        return outcome

    def test_fingerprint_of_the_live_ca_passes(
        self, tmp_path: Path, mdmprofile: Command, scep: tuple[int, bytes]
    ) -> None:
        """Capabilities are told, and the request that would issue a certificate is not made."""
        port, ca = scep
        outcome = self.rehearse(tmp_path, mdmprofile, f"http://{LOOPBACK}:{port}/scep", ca=ca)
        assert serious(outcome) == {}
        assert outcomes(outcome)["SCEP GetCACaps"] == "passed"
        assert outcomes(outcome)["SCEP GetCACert"] == "passed"
        assert outcomes(outcome)["SCEP PKIOperation"] == "not tried"
        assert "SHA-256" in str(outcome.json["findings"])
        assert any("SCEP" in each["subject"] for each in outcome.json["certificates"])

    def test_fingerprint_of_another_ca_is_an_error(
        self, tmp_path: Path, mdmprofile: Command, scep: tuple[int, bytes]
    ) -> None:
        """The SCEP CA was renewed: every device with the profile refuses it."""
        outcome = self.rehearse(tmp_path, mdmprofile, f"http://{LOOPBACK}:{scep[0]}/scep", ca=root_ca("Old").pem)
        assert serious(outcome) == {"scep.fingerprint": "error"}
        assert outcome.code == 2

    def test_md5_fingerprint_is_compared_as_md5(
        self, tmp_path: Path, mdmprofile: Command, scep: tuple[int, bytes], openssl: Callable[..., bytes]
    ) -> None:
        """Apple takes either digest."""
        port, ca = scep
        told = openssl("x509", "-noout", "-fingerprint", "-md5", data=ca).decode().partition("=")[2].strip()
        outcome = self.rehearse(
            tmp_path, mdmprofile, f"http://{LOOPBACK}:{port}/scep", fingerprint=told.replace(":", "").lower()
        )
        assert serious(outcome) == {}

    def test_http_without_a_fingerprint_is_a_warning(
        self, tmp_path: Path, mdmprofile: Command, scep: tuple[int, bytes]
    ) -> None:
        """Nothing says that the CA is the right one."""
        outcome = self.rehearse(tmp_path, mdmprofile, f"http://{LOOPBACK}:{scep[0]}/scep")
        assert serious(outcome) == {"scep.no-fingerprint": "warning"}

    def test_scep_server_that_is_down_is_an_error(self, tmp_path: Path, mdmprofile: Command) -> None:
        """And the rest of the rehearsal goes on."""
        outcome = self.rehearse(tmp_path, mdmprofile, f"http://{LOOPBACK}:{free_port()}/scep", ca=root_ca().pem)
        assert serious(outcome) == {"scep.unreachable": "error"}
        assert outcomes(outcome)["MDMServiceConfig"] == "passed"

    def test_ca_that_ends_soon_is_said(self, tmp_path: Path, mdmprofile: Command, scep: tuple[int, bytes]) -> None:
        """Its own expiry, although the profile holds only its fingerprint."""
        port, ca = scep
        live = LiveSite(tmp_path / "live")
        live.site.edit(
            lambda config: config.replace(
                f'url = "{live.origin}/scep"', f'url = "http://{LOOPBACK}:{port}/scep"\nca_certificate = "scep-ca.pem"'
            )
        )
        (live.site.folder / "scep-ca.pem").write_bytes(ca)
        outcome = mdmprofile("doctor", live.site.config, "--warn", "7000d", *live.route, "--format", "json")
        assert "SCEP" in str([each for each in outcome.json["findings"] if each["rule"] == "expiry.soon"])

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ("<html><body>Sign in</body></html>", "web page"),
            ("", "empty"),
            ("0\\202\\001", "no certificate"),
        ],
    )
    def test_anything_but_a_certificate_is_an_error_in_one_line(
        self, tmp_path: Path, mdmprofile: Command, body: str, told: str
    ) -> None:
        """A captive portal, an empty answer, a broken one."""
        data = body.encode().decode("unicode_escape").encode("latin-1")

        def talk(connection: socket.socket) -> None:
            connection.recv(4000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)

        with Spoken(talk, None, tmp_path) as port:
            outcome = self.rehearse(tmp_path, mdmprofile, f"http://{LOOPBACK}:{port}/scep", ca=root_ca().pem)
        found = [each for each in outcome.json["findings"] if "GetCACert" in each["message"]]
        assert [(each["rule"], each["severity"]) for each in found] == [("scep.unreachable", "error")]
        assert told in found[0]["message"]
        assert "\n" not in found[0]["message"]

    def answered(self, tmp_path: Path, mdmprofile: Command, answer: bytes, *, ca: bytes) -> Outcome:
        """The rehearsal against a server that answers GetCACert so."""

        def talk(connection: socket.socket) -> None:
            asked = connection.recv(4000)
            data = b"SHA-256\r\nAES\r\n" if b"GetCACaps" in asked else answer
            kind = b"text/plain" if b"GetCACaps" in asked else b"application/x-x509-ca-ra-cert"
            head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(data))
            connection.sendall(head + data)

        with Spoken(talk, None, tmp_path) as port:
            return self.rehearse(tmp_path, mdmprofile, f"http://{LOOPBACK}:{port}/scep", ca=ca)

    @pytest.mark.parametrize(("days", "rules"), [(300, {}), (-1, {"expiry.expired": "error"})])
    def test_registration_authority_has_dates_too(
        self, tmp_path: Path, mdmprofile: Command, days: int, rules: dict[str, str]
    ) -> None:
        """Nobody enrolls with an expired one, however long the CA lasts."""
        ca = root_ca("SCEP CA")
        ra = issue("SCEP RA", ca, start=NOW - 90 * DAY, end=NOW + days * DAY)
        answer = pkcs7.serialize_certificates([ca.certificate, ra.certificate], Encoding.DER)
        assert serious(self.answered(tmp_path, mdmprofile, answer, ca=ca.pem)) == rules

    def test_fingerprint_of_the_registration_authority_is_an_error(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Devices compare the CA's."""
        ca = root_ca("SCEP CA")
        ra = issue("SCEP RA", ca)
        answer = pkcs7.serialize_certificates([ca.certificate, ra.certificate], Encoding.DER)
        assert serious(self.answered(tmp_path, mdmprofile, answer, ca=ra.pem)) == {"scep.fingerprint": "error"}

    def test_answer_without_a_ca_is_an_error(self, tmp_path: Path, mdmprofile: Command) -> None:
        """The server's own certificate, put there by mistake."""
        ra = issue("SCEP RA", root_ca())
        assert serious(self.answered(tmp_path, mdmprofile, ra.der, ca=ra.pem)) == {"scep.unreachable": "error"}

    def test_wrong_content_type_is_a_warning(self, tmp_path: Path, mdmprofile: Command) -> None:
        """The certificate is looked at all the same."""
        ca = root_ca("SCEP CA")

        def talk(connection: socket.socket) -> None:
            asked = connection.recv(4000)
            data = b"SHA-256\r\nAES\r\n" if b"GetCACaps" in asked else ca.der
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(data)
            connection.sendall(head + data)

        with Spoken(talk, None, tmp_path) as port:
            outcome = self.rehearse(tmp_path, mdmprofile, f"http://{LOOPBACK}:{port}/scep", ca=ca.pem)
        assert serious(outcome) == {"scep.content-type": "warning"}


class TestAcme:
    """The ACME directory over https, and no account."""

    DIRECTORY = json.dumps({key: f"https://{HOST}/{key}" for key in ("newNonce", "newAccount", "newOrder")})

    def rehearse(self, tmp_path: Path, mdmprofile: Command, body: str, *, path: str = "/acme/directory") -> Outcome:
        def change(config: str) -> str:
            before, _, rest = config.partition("[identity]")
            origin = config.partition('url = "')[2].partition('/mdm"')[0]
            keys = f'type = "acme"\ndirectory_url = "{origin}{path}"\nclient_identifier = "once"\nsubject = "CN=d"\n'
            return f'{before}[identity]\n{keys}validity = "365d"\n[signing]{rest.partition("[signing]")[2]}'

        live = LiveSite(tmp_path, change=change)
        assert mdmprofile("build", "-c", live.site.config, "-o", live.out).code == 0
        with live.serve(live.locations() + f"\nlocation = /acme/directory {{ {body} }}"):
            return mdmprofile("doctor", live.profile, *live.route, "--format", "json")

    def test_directory_passes(self, tmp_path: Path, mdmprofile: Command) -> None:
        """The first thing a device reads; an order is not tried."""
        outcome = self.rehearse(tmp_path, mdmprofile, f"default_type application/json; return 200 '{self.DIRECTORY}';")
        assert serious(outcome) == {}
        assert outcomes(outcome)["ACME directory"] == "passed"
        assert outcomes(outcome)["ACME order"] == "not tried"

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ("return 200 '<html>';", "web page"),
            ("return 200 '{}';", "no directory"),
            ("return 200 '[]';", "no directory"),
            ("return 503;", "status 503"),
            ("return 302 https://elsewhere.example.com/directory;", "elsewhere.example.com"),
        ],
    )
    def test_anything_else_is_an_error(self, tmp_path: Path, mdmprofile: Command, body: str, told: str) -> None:
        """HTML where JSON belongs, another document, a redirect to another host: never followed."""
        outcome = self.rehearse(tmp_path, mdmprofile, body)
        assert serious(outcome) == {"acme.unreachable": "error"}
        assert told in message(outcome, "acme.unreachable")


CASES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    # name: changed locations, findings by config, findings by profile
    "content type of the service": (
        {"MDMServiceConfig": "default_type text/html; alias OUT/MDMServiceConfig;"},
        {"service.content-type": "warning"},
        {"service.content-type": "warning"},
    ),
    "content type of the trust profile": (
        {"trust": "types { } default_type application/xml; alias OUT/trust.mobileconfig;"},
        {"service.content-type": "warning"},
        {"service.content-type": "warning"},
    ),
    "not published": ({"MDMServiceConfig": "return 404;"}, {"service.inconsistent": "error"}, {}),
    "html": (
        {"MDMServiceConfig": 'default_type "application/json"; return 200 "<html>";'},
        {"service.inconsistent": "error"},
        # Many servers answer every path with their start page, and no profile says that the document must be there.
        {},
    ),
    "broken json": (
        {"MDMServiceConfig": 'default_type "application/json"; return 200 "{";'},
        {"service.inconsistent": "error"},
        {"service.inconsistent": "error"},
    ),
    "a list": (
        {"MDMServiceConfig": 'default_type "application/json"; return 200 "[]";'},
        {"service.inconsistent": "error"},
        {"service.inconsistent": "error"},
    ),
    "nothing in it": (
        {"MDMServiceConfig": 'default_type "application/json"; return 200 "{}";'},
        {"service.inconsistent": "error"},
        {},
    ),
    "one url without the other": (
        {
            "MDMServiceConfig": 'default_type "application/json"; '
            'return 200 \'{"dep_enrollment_url": "ORIGIN/enroll"}\';'
        },
        {"service.inconsistent": "error"},
        {"service.inconsistent": "error"},
    ),
    "a url of http": (
        {
            "MDMServiceConfig": 'default_type "application/json"; '
            'return 200 \'{"trust_profile_url": "http://mdm.example.com:1/t"}\';'
        },
        {"service.inconsistent": "error"},
        {"service.inconsistent": "error"},
    ),
    "trust profile gone": (
        {"trust": "return 410;"},
        {"service.inconsistent": "error"},
        {"service.inconsistent": "error"},
    ),
    "another profile as the trust profile": (
        {"trust": "types { } default_type application/x-apple-aspen-config; alias OUT/enroll.mobileconfig;"},
        {"trust.not-root": "error"},
        {"trust.not-root": "error"},
    ),
    "anchors of nobody": (
        {"dep_anchor_certs": 'default_type "application/json"; return 200 "[]";'},
        {"service.inconsistent": "error"},
        {"service.inconsistent": "error"},
    ),
    "anchors that are none": (
        {"dep_anchor_certs": 'default_type "application/json"; return 200 \'["MIIB"]\';'},
        {"service.inconsistent": "error"},
        {"service.inconsistent": "error"},
    ),
    "redirect on the same server": (
        {
            "trust": "return 302 /moved;",
            "moved": "types { } default_type application/x-apple-aspen-config; alias OUT/trust.mobileconfig;",
        },
        {},
        {},
    ),
    "redirect to another host": (
        {"trust": "return 302 https://elsewhere.example.com/trust;"},
        {"service.inconsistent": "error"},
        {"service.inconsistent": "error"},
    ),
    "redirects in a circle": (
        {"trust": "return 302 /moved;", "moved": "return 302 /trust.mobileconfig;"},
        {"service.inconsistent": "error"},
        {"service.inconsistent": "error"},
    ),
}


class TestService:
    """MDMServiceConfig and the documents behind it, against the profile."""

    @pytest.mark.parametrize("case", CASES)
    def test_document_that_does_not_fit_is_found(self, pkcs12_site: LiveSite, mdmprofile: Command, case: str) -> None:
        """By the config, which knows what must be there, and by the profile, which knows the roots."""
        changed, by_config, by_profile = CASES[case]
        told = {
            key: value.replace("OUT", str(pkcs12_site.out)).replace("ORIGIN", pkcs12_site.origin)
            for key, value in changed.items()
        }
        with pkcs12_site.serve(pkcs12_site.locations(**told)):
            config = mdmprofile("doctor", pkcs12_site.site.config, *pkcs12_site.route, "--format", "json")
            profile = mdmprofile("doctor", pkcs12_site.profile, *pkcs12_site.route, "--format", "json")
        assert by_config.items() <= serious(config).items(), serious(config)
        assert bool(by_config) is bool(serious(config))
        assert by_profile.items() <= serious(profile).items()
        assert bool(by_profile) is bool(serious(profile))

    def test_trust_profile_of_another_root_is_an_error(
        self, pkcs12_site: LiveSite, mdmprofile: Command, tmp_path: Path
    ) -> None:
        """A device that gets the trust profile first would not trust the server."""
        site = pkcs12_site.site
        root = root_ca("Other Root")
        (site.folder / "root.pem").write_bytes(root.pem)
        middle = intermediate_ca(root, "Other Intermediate")
        (site.folder / "intermediate.pem").write_bytes(middle.pem)
        (site.folder / "server.pem").write_bytes(server_leaf(middle).pem)
        other = tmp_path / "other"
        built = mdmprofile("trust", "-c", site.config, "-o", other)
        assert (other / "trust.mobileconfig").exists(), built.out + built.err
        body = f"types {{ }} default_type application/x-apple-aspen-config; alias {other}/trust.mobileconfig;"
        with pkcs12_site.serve(pkcs12_site.locations(trust=body)):
            outcome = mdmprofile("doctor", pkcs12_site.profile, *pkcs12_site.route, "--format", "json")
        assert serious(outcome)["service.inconsistent"] == "error"
        assert "lacks Test Root" in message(outcome, "service.inconsistent")

    @pytest.mark.parametrize(
        ("body", "rules"),
        [
            ("types { } default_type application/x-apple-aspen-config; alias OUT/enroll.mobileconfig;", {}),
            ("types { } default_type text/plain; alias OUT/enroll.mobileconfig;", {"service.content-type": "warning"}),
            ("return 403;", {"service.inconsistent": "error"}),
            ("default_type application/x-apple-aspen-config; return 200 'hello';", {"service.inconsistent": "error"}),
        ],
    )
    def test_enrollment_profile_is_asked_for_on_demand_alone(
        self, pkcs12_site: LiveSite, mdmprofile: Command, body: str, rules: dict[str, str]
    ) -> None:
        """A web server that may not read the file shows only then."""
        location = f"\nlocation = /enroll {{ {body.replace('OUT', str(pkcs12_site.out))} }}"
        with pkcs12_site.serve(pkcs12_site.locations() + location):
            route = (*pkcs12_site.route, "--format", "json")
            plain = mdmprofile("doctor", pkcs12_site.site.config, *route)
            asked = mdmprofile("doctor", pkcs12_site.site.config, "--fetch-enrollment", *route)
        assert serious(plain) == {}
        assert outcomes(plain)["enrollment profile"] == "not tried"
        assert serious(asked) == rules
        assert "enrollment profile" not in outcomes(asked)

    def test_url_on_another_host_is_reported_and_not_fetched(
        self, pkcs12_site: LiveSite, mdmprofile: Command, tmp_path: Path
    ) -> None:
        """A hostile MDMServiceConfig must not send us into somebody's network."""
        asked: list[bytes] = []

        def talk(connection: socket.socket) -> None:
            asked.append(connection.recv(100))

        with Spoken(talk, None, tmp_path) as port:
            body = f'{{"trust_profile_url": "https://{LOOPBACK}:{port}/internal"}}'
            told = f"default_type application/json; return 200 '{body}';"
            with pkcs12_site.serve(pkcs12_site.locations(MDMServiceConfig=told)):
                outcome = mdmprofile("doctor", pkcs12_site.profile, *pkcs12_site.route, "--format", "json")
        assert serious(outcome) == {"service.elsewhere": "warning"}
        assert asked == []

    def test_public_trust_wants_empty_anchors_and_no_trust_profile(self, tmp_path: Path, mdmprofile: Command) -> None:
        """With public trust the roots are the devices' own, and our test root is none of them."""
        live = LiveSite(
            tmp_path, change=lambda config: _without_scep(config).replace("[trust]", "[trust]\npublic = true")
        )
        (live.site.folder / "device.p12").write_bytes(issue("d", live.site.intermediate).p12("secret"))
        (live.site.folder / "password.txt").write_text("secret")
        with live.serve(""):
            outcome = mdmprofile("doctor", live.site.config, *live.route, "--format", "json")
        assert serious(outcome)["tls.untrusted"] == "error"
        assert "public root" in message(outcome, "tls.untrusted")


class TestCommand:
    """What doctor takes, prints and ends with."""

    @pytest.mark.parametrize(
        ("content", "told"),
        [(b"", "is empty"), (b"<plist><dict/></plist>", "profile"), (b"junk", "")],
    )
    def test_file_that_is_no_profile_is_one_line(
        self, tmp_path: Path, mdmprofile: Command, content: bytes, told: str
    ) -> None:
        """Exit code 3 and no connection."""
        file = tmp_path / "x.mobileconfig"
        file.write_bytes(content)
        outcome = mdmprofile("doctor", file)
        assert outcome.code == 3
        assert told in outcome.err
        assert outcome.err.count("\n") == 1

    def test_server_is_no_file(self, mdmprofile: Command) -> None:
        """A URL in the profile's place is a mistake that has an answer."""
        outcome = mdmprofile("doctor", "https://mdm.example.com")
        assert outcome.code == 3
        assert "needs a profile" in outcome.err

    def test_trust_profile_has_nothing_to_rehearse(self, pkcs12_site: LiveSite, mdmprofile: Command) -> None:
        """It says what to give instead."""
        outcome = mdmprofile("doctor", pkcs12_site.out / "trust.mobileconfig")
        assert outcome.code == 3
        assert "give an enrollment profile" in outcome.err

    @pytest.mark.parametrize("flag", ["--resolve x", "--resolve a:b:c", "--connect-timeout 0", "--timeout never"])
    def test_flag_that_makes_no_sense_is_usage(self, mdmprofile: Command, flag: str) -> None:
        """Exit code 3, and the flag is named."""
        outcome = mdmprofile("doctor", "x.mobileconfig", *flag.split())
        assert outcome.code == 3
        assert flag.split(maxsplit=1)[0] in outcome.err

    def test_without_a_file_the_config_of_the_folder_is_taken(
        self, pkcs12_site: LiveSite, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As build does."""
        monkeypatch.chdir(pkcs12_site.site.folder)
        with pkcs12_site.serve():
            assert mdmprofile("doctor", *pkcs12_site.route).code == 0
        monkeypatch.chdir(pkcs12_site.out)
        assert "mdmprofile init" in mdmprofile("doctor").err

    def test_text_report_has_a_line_a_step(self, pkcs12_site: LiveSite, mdmprofile: Command) -> None:
        """With its outcome first, and the path that a device follows."""
        with pkcs12_site.serve():
            outcome = mdmprofile("doctor", pkcs12_site.profile, *pkcs12_site.route)
            quiet = mdmprofile("doctor", pkcs12_site.profile, *pkcs12_site.route, "--quiet")
        assert f"passed     ServerURL  {pkcs12_site.origin}/mdm" in outcome.out
        assert "mdm.example.com > Test Intermediate > Test Root" in outcome.out
        assert (quiet.code, quiet.out, quiet.err) == (0, "", "")

    def test_wait_for_a_silent_server_is_shown_on_a_terminal(
        self, tmp_path: Path, pkcs12_site: LiveSite, mdmprofile: Command
    ) -> None:
        """A person sees that something goes on, and the report alone when it is over."""
        with silent() as port:
            profile = tmp_path / "silent.mobileconfig"
            move(pkcs12_site, port, profile, mdmprofile)
            route = ("--resolve", f"{HOST}:{port}:{LOOPBACK}", "--connect-timeout", "3")
            code, screen = terminal("doctor", profile, *route, "--at", stamp(NOW))
        assert code == 2
        assert "rehearsing" in screen
        assert "tls.unreachable" in screen

    def test_nothing_but_reading_is_asked_of_the_server(
        self, pkcs12_site: LiveSite, target: Path, mdmprofile: Command
    ) -> None:
        """Never a check-in, never the profile behind the enrollment URL: only three documents are read."""
        with pkcs12_site.serve():
            mdmprofile("doctor", target, *pkcs12_site.route)
            log = (pkcs12_site.folder / "nginx" / "access.log").read_text()
        asked = sorted(line.partition('"')[2].partition('"')[0] for line in log.splitlines())
        documents = ["MDMServiceConfig", "dep_anchor_certs", "trust.mobileconfig"]
        assert asked == [f"GET /{each} HTTP/1.1" for each in documents]


@contextlib.contextmanager
def s_server(live: LiveSite, *options: str) -> Iterator[None]:
    """Run openssl's own server with the site's certificate, for what nginx does not do."""
    folder, site = live.folder, live.site
    (folder / "chain.pem").write_bytes(site.server.pem + site.intermediate.pem)
    (folder / "chain.key").write_bytes(site.server.key_pem())
    command: list[str | Path] = [
        system_tool("openssl"), "s_server", "-accept", f"{LOOPBACK}:{live.port}", "-cert", folder / "chain.pem",
        "-cert_chain", site.folder / "intermediate.pem", "-key", folder / "chain.key", "-www", *options,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, live.port), timeout=1):
                    break
                time.sleep(0.05)
            yield
        finally:
            process.kill()


def move(live: LiveSite, port: int, profile: Path, mdmprofile: Command) -> None:
    """Build the same profile for another port."""
    live.site.edit(lambda config: config.replace(f":{live.port}/", f":{port}/"))
    out = profile.parent / "moved"
    assert mdmprofile("build", "-c", live.site.config, "-o", out).code == 0
    (out / "enroll.mobileconfig").rename(profile)


def old_style(openssl: Callable[..., bytes], folder: Path, issuer: Entity, *, bits: int) -> tuple[bytes, bytes]:
    """Key and certificate of a size that the cryptography package no longer makes."""
    (folder / "ca.pem").write_bytes(issuer.pem)
    (folder / "ca.key").write_bytes(issuer.key_pem())
    key = openssl("genrsa", str(bits))
    (folder / "old.key").write_bytes(key)
    request = openssl("req", "-new", "-key", folder / "old.key", "-subj", f"/CN={HOST}")
    (folder / "old.csr").write_bytes(request)
    (folder / "old.cnf").write_text(f"subjectAltName=DNS:{HOST}\nextendedKeyUsage=serverAuth\n")
    return key, dated(openssl, folder, "old.csr", "old.cnf")


def dated(
    openssl: Callable[..., bytes], folder: Path, request: str, extensions: str, *, digest: str = "sha256"
) -> bytes:
    """Have openssl issue a certificate valid at the tests' own today; its plain commands count from the real one."""
    (folder / "index.txt").write_text("")
    (folder / "serial").write_text("1001")
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\n"
        f"database={folder}/index.txt\nserial={folder}/serial\nnew_certs_dir={folder}\nemail_in_dn=no\n"
        "policy=p\nunique_subject=no\n[p]\ncommonName=supplied\n"
    )
    dates = [each.strftime("%Y%m%d%H%M%SZ") for each in (NOW - DAY, NOW + 300 * DAY)]
    return openssl(
        "ca", "-batch", "-notext", "-config", folder / "ca.cnf", "-cert", folder / "ca.pem",
        "-keyfile", folder / "ca.key", "-in", folder / request, "-extfile", folder / extensions,
        "-startdate", dates[0], "-enddate", dates[1], "-md", digest,
    )  # fmt: skip


def sha1_intermediate(openssl: Callable[..., bytes], folder: Path, root: Entity) -> Entity:
    """A CA below the root whose certificate is signed with SHA-1."""
    from cryptography import x509  # noqa: PLC0415

    middle = intermediate_ca(root, "SHA-1 Intermediate")
    (folder / "ca.pem").write_bytes(root.pem)
    (folder / "ca.key").write_bytes(root.key_pem())
    (folder / "middle.key").write_bytes(middle.key_pem())
    request = openssl("req", "-new", "-key", folder / "middle.key", "-subj", "/CN=SHA-1 Intermediate")
    (folder / "middle.csr").write_bytes(request)
    (folder / "middle.cnf").write_text("basicConstraints=critical,CA:TRUE\n")
    pem = dated(openssl, folder, "middle.csr", "middle.cnf", digest="sha1")
    return Entity(x509.load_pem_x509_certificate(pem), middle.key)


def shown_below(live: LiveSite, issuer: Entity) -> AbstractContextManager[None]:
    """Run nginx with a certificate of this issuer, whatever its strength."""
    leaf = server_leaf(issuer)
    return live.serve(certificate=leaf.pem + issuer.pem, key=leaf.key_pem(), ciphers=UNSAFE)


def test_named_time_is_the_one_that_everything_is_judged_at(pkcs12_site: LiveSite, mdmprofile: Command) -> None:
    """``--at`` holds for live certificates too: a year later the same server is broken."""
    with pkcs12_site.serve():
        later = mdmprofile(
            "doctor", pkcs12_site.profile, *pkcs12_site.route, "--format", "json", at=stamp(NOW + 400 * DAY)
        )
    assert "tls.expired" in serious(later)
