"""``check`` pointed at real servers: the chain as served, published documents, and servers that misbehave."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from conftest import Command, Outcome
from live import HOST, LiveSite, Spoken, leaf_of
from pki import DAY, NOW, ec_key, intermediate_ca, issue, root_ca, server_leaf
from servers import LOOPBACK, Host, nginx, silent
from test_doctor import UNSAFE, old_style, serious, sha1_intermediate

UNKNOWN = 3


@pytest.fixture
def live(tmp_path: Path, mdmprofile: Command) -> LiveSite:
    """A site whose profile and documents are built."""
    site = LiveSite(tmp_path)
    assert mdmprofile("build", "-c", site.site.config, "-o", site.out).code == 0
    return site


def check(mdmprofile: Command, live: LiveSite, *arguments: str | Path) -> Outcome:
    """Check these targets as JSON, with the route to the site."""
    return mdmprofile("check", *arguments, *live.route, "--format", "json")


def shown(outcome: Outcome) -> list[tuple[str, str]]:
    """Role and place of every certificate."""
    return [(each["role"], each["where"]) for each in outcome.json["certificates"]]


class TestServed:
    """Every certificate that a server sends, by its dates."""

    def test_every_certificate_of_the_chain_is_reported(self, live: LiveSite, mdmprofile: Command) -> None:
        """By role and place, the root too where it is sent, and none is baked in."""
        site = live.site
        with live.shows(site.server, site.intermediate, site.root):
            outcome = check(mdmprofile, live, live.origin)
        assert outcome.code == 0
        assert shown(outcome) == [
            ("leaf", live.origin),
            ("intermediate", f"{live.origin} #2"),
            ("root", f"{live.origin} #3"),
        ]
        assert [each["sha256"] for each in outcome.json["certificates"]] == [
            each.sha256 for each in (site.server, site.intermediate, site.root)
        ]
        assert not any(each["baked_in"] for each in outcome.json["certificates"])

    @pytest.mark.parametrize(
        ("leaf_days", "middle_days", "code", "rules"),
        [
            (-1, 900, 2, {"expiry.expired": "error"}),
            (5, 900, 2, {"expiry.critical": "error"}),
            (20, 900, 1, {"expiry.soon": "warning"}),
            (300, -1, 2, {"expiry.expired": "error"}),
            (300, 20, 1, {"expiry.soon": "warning"}),
            (300, 900, 0, {}),
        ],
    )
    def test_dates_of_leaf_and_intermediates_decide(
        self,
        live: LiveSite,
        mdmprofile: Command,
        leaf_days: int,
        middle_days: int,
        code: int,
        rules: dict[str, str],
    ) -> None:
        """Not the first certificate alone."""
        middle = issue("Middle", live.site.root, ca=True, start=NOW - 400 * DAY, end=NOW + middle_days * DAY)
        leaf = leaf_of(middle, start=-300, end=leaf_days)
        with live.shows(leaf, middle):
            outcome = check(mdmprofile, live, live.origin)
            judged = check(mdmprofile, live, live.origin, "--trust", live.site.folder / "root.pem")
        assert (outcome.code, serious(outcome)) == (code, rules)
        assert (judged.code, serious(judged)) == (code, rules)

    def test_dates_alone_count_until_trust_is_asked_for(self, live: LiveSite, mdmprofile: Command) -> None:
        """A wrong name is information without --trust and an error with it."""
        leaf = leaf_of(live.site.intermediate, host="other.example.com")
        with live.shows(leaf, live.site.intermediate):
            dates = check(mdmprofile, live, live.origin)
            trust = check(mdmprofile, live, live.origin, "--trust", live.site.folder / "root.pem")
        assert (dates.code, serious(dates)) == (0, {})
        assert {"tls.hostname", "tls.not-judged"} <= set(dates.rules)
        assert (trust.code, serious(trust)) == (2, {"tls.hostname": "error"})
        assert "tls.not-judged" not in trust.rules

    @pytest.mark.parametrize("case", ["missing", "twin", "sha1", "short", "old"])
    def test_server_that_a_device_refuses_is_read_all_the_same(
        self, live: LiveSite, mdmprofile: Command, openssl: Callable[..., bytes], tmp_path: Path, case: str
    ) -> None:
        """Its dates are reported, and with --trust what is wrong with it."""
        site = live.site
        root = ("--trust", site.folder / "root.pem")
        twin = intermediate_ca(root_ca("Test Root", key=ec_key()), "Twin")
        old = sha1_intermediate(openssl, tmp_path, site.root) if case == "sha1" else twin
        key, chain = old_style(openssl, tmp_path, site.intermediate, bits=1024) if case == "short" else (b"", b"")
        leaf = server_leaf({"sha1": old, "twin": twin}.get(case, site.intermediate))
        runs: dict[str, Callable[[], AbstractContextManager[None]]] = {
            "missing": lambda: live.shows(site.server),
            "twin": lambda: live.shows(leaf, twin),
            "sha1": lambda: live.serve(certificate=leaf.pem + old.pem, key=leaf.key_pem(), ciphers=UNSAFE),
            "short": lambda: live.serve(certificate=chain + site.intermediate.pem, key=key, ciphers=UNSAFE),
            "old": lambda: live.serve(protocols="TLSv1.1", ciphers=UNSAFE),
        }
        with runs[case]():
            dates = check(mdmprofile, live, live.origin)
            trust = check(mdmprofile, live, live.origin, *root)
        assert (dates.code, serious(dates)) == (0, {})
        assert shown(dates)[0] == ("leaf", live.origin)
        assert shown(trust) == shown(dates)
        assert trust.code == 2
        assert (
            set(serious(trust))
            >= {
                "missing": {"tls.incomplete-chain"},
                "twin": {"tls.untrusted"},
                "sha1": {"tls.weak-signature"},
                "short": {"tls.weak-key"},
                "old": {"tls.version"},
            }[case]
        )

    def test_port_and_address_of_ipv6_are_understood(self, tmp_path: Path, mdmprofile: Command) -> None:
        """And the name of the report is the URL."""
        leaf = server_leaf(root_ca())
        with nginx(Host(certificate=leaf.pem, key=leaf.key_pem()), tmp_path, address="::1") as port:
            outcome = mdmprofile("check", f"https://[::1]:{port}", "--format", "json")
        assert shown(outcome) == [("leaf", f"https://[::1]:{port}")]

    def test_every_format_names_the_server(self, live: LiveSite, mdmprofile: Command) -> None:
        """As target, and for GitHub as no file."""
        with live.serve():
            reports = {
                each: mdmprofile("check", live.origin, *live.route, "--format", each)
                for each in ("text", "nagios", "prometheus", "csv", "junit", "github", "ics")
            }
        assert {each.code for each in reports.values()} == {0}
        assert f'target="{live.origin}"' in reports["prometheus"].out
        assert f",{live.origin}," in reports["csv"].out
        assert f'name="{live.origin}"' in reports["junit"].out
        assert "file=" not in reports["github"].out
        assert "BEGIN:VEVENT" in reports["ics"].out


class TestUnreachable:
    """What cannot be read makes the run UNKNOWN, and the others are still reported."""

    def test_server_that_is_down_leaves_the_others_reported(self, live: LiveSite, mdmprofile: Command) -> None:
        """Exit code 3, and the error says which and why."""
        with live.serve():
            outcome = check(
                mdmprofile, live, "https://nowhere.invalid", live.origin, live.profile, live.site.folder / "root.pem"
            )
        assert outcome.code == UNKNOWN
        assert len(shown(outcome)) > 5
        (error,) = outcome.json["errors"]
        assert error["where"] == "https://nowhere.invalid"
        assert "cannot be resolved" in error["message"]
        assert outcome.err.count("\n") == 1

    def test_expired_certificate_beats_a_server_that_is_down(self, live: LiveSite, mdmprofile: Command) -> None:
        """The order is 2, 3, 1, 0."""
        with live.shows(leaf_of(live.site.intermediate, start=-30, end=-1)):
            outcome = check(mdmprofile, live, live.origin, "https://nowhere.invalid")
        assert outcome.code == 2

    @pytest.mark.parametrize(
        "url", ["ftp://mdm.example.com", "file:///etc/passwd", "http://mdm.example.com", "https://", "https://a:b@c/"]
    )
    def test_only_web_addresses_are_read(self, mdmprofile: Command, url: str) -> None:
        """Anything else is one line, and no file of that name is looked for."""
        outcome = mdmprofile("check", url)
        assert outcome.code == UNKNOWN
        assert outcome.err.count("\n") == 1
        assert "no such file" not in outcome.err

    def test_two_hundred_servers_are_checked_beside_each_other(self, mdmprofile: Command, live: LiveSite) -> None:
        """A hanging one holds no other: all is over in about the time of one time limit."""
        with live.serve(), silent() as hanging:
            targets = [f"{live.origin}/{number}" for number in range(200)]
            targets[7] = targets[150] = f"https://{LOOPBACK}:{hanging}"
            started = time.monotonic()
            outcome = check(mdmprofile, live, *targets)
            took = time.monotonic() - started
        assert outcome.code == UNKNOWN
        assert len(outcome.json["errors"]) == 2
        assert len(shown(outcome)) == 198 * 2
        # One after the other, the two alone would take six seconds, and a handshake each for the rest.
        assert took < 60


class TestDocuments:
    """Profiles and documents that a server publishes."""

    def test_service_config_leads_to_the_trust_profile_and_the_anchors(
        self, live: LiveSite, mdmprofile: Command
    ) -> None:
        """The server's own chain, the profile's root and its signer, the anchors: everything that can end."""
        with live.serve():
            outcome = check(mdmprofile, live, f"{live.origin}/MDMServiceConfig")
        assert outcome.code == 0, outcome.out
        places = {where.partition(" ")[0] for _, where in shown(outcome)}
        assert {live.origin, f"{live.origin}/trust.mobileconfig:"} <= places
        assert {role for role, _ in shown(outcome)} == {"leaf", "intermediate", "root", "signer"}

    def test_roots_behind_a_service_config_are_held_against_the_replacement(
        self, live: LiveSite, mdmprofile: Command
    ) -> None:
        """They are baked into the profile that devices got from there."""
        with live.serve():
            outcome = check(mdmprofile, live, f"{live.origin}/MDMServiceConfig", "--replace-on", "2041-02-01")
        assert serious(outcome)["expiry.before-replacement"] == "warning"
        assert outcome.json["plan"]["latest_safe_date"] is not None

    def test_published_profile_is_read_like_a_file(self, live: LiveSite, mdmprofile: Command) -> None:
        """With the chain of the server that it comes from."""
        with live.serve():
            outcome = check(mdmprofile, live, f"{live.origin}/trust.mobileconfig?token=secret")
        assert {"root", "signer", "leaf"} <= {role for role, _ in shown(outcome)}
        assert "secret" not in outcome.out

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            ('return 200 "<html>";', "web page"),
            ('return 200 "[1]";', "no object"),
            ("return 200 '{\"trust_profile_url\": 7}';", "no text"),
            ("return 404;", "status 404"),
            ("return 302 https://elsewhere.example.com/MDMServiceConfig;", "elsewhere.example.com"),
            ("return 302 /MDMServiceConfig;", "redirects more than"),
            ('return 200 \'{"trust_profile_url": "ftp://x"}\';', "no http or https"),
            ('return 200 \'{"trust_profile_url": "ORIGIN/nothing.mobileconfig"}\';', "status 404"),
            ('return 200 \'{"dep_anchor_certs_url": "ORIGIN/junk.pem"}\';', "certificate"),
        ],
    )
    def test_document_that_is_none_is_one_line(
        self, live: LiveSite, mdmprofile: Command, answer: str, told: str
    ) -> None:
        """HTML where JSON belongs, circles, other hosts: exit code 3 and no traceback."""
        location = f"default_type application/json; {answer.replace('ORIGIN', live.origin)}"
        body = live.locations(MDMServiceConfig=location) + "\nlocation = /junk.pem { return 200 'junk'; }"
        with live.serve(body):
            outcome = check(mdmprofile, live, f"{live.origin}/MDMServiceConfig")
        assert outcome.code == UNKNOWN
        assert told in outcome.err
        assert outcome.err.count("\n") == 1

    @pytest.mark.parametrize("document", ["MDMServiceConfig", "dep_anchor_certs", "trust"])
    def test_wrong_content_type_is_a_finding(self, live: LiveSite, mdmprofile: Command, document: str) -> None:
        """Information where dates alone count, a warning where --trust asks what a device would make of it."""
        file = "trust.mobileconfig" if document == "trust" else document
        location = f"types {{ }} default_type text/html; alias {live.out}/{file};"
        with live.serve(live.locations(**{document: location})):
            dates = check(mdmprofile, live, f"{live.origin}/MDMServiceConfig")
            trust = check(mdmprofile, live, f"{live.origin}/MDMServiceConfig", "--trust", live.site.folder / "root.pem")
        (found,) = [each for each in dates.json["findings"] if each["rule"] == "service.content-type"]
        assert (found["severity"], found["where"]) == ("info", f"{live.origin}/{file}")
        assert "text/html" in found["message"]
        assert (dates.code, serious(dates)) == (0, {})
        assert (trust.code, serious(trust)) == (1, {"service.content-type": "warning"})

    def test_document_on_another_host_is_not_fetched(self, live: LiveSite, mdmprofile: Command, tmp_path: Path) -> None:
        """Nobody named it: a hostile service config must not send us there."""
        asked: list[bytes] = []

        def talk(connection: socket.socket) -> None:
            asked.append(connection.recv(100))

        with Spoken(talk, None, tmp_path) as port:
            url = json.dumps({"trust_profile_url": f"https://{LOOPBACK}:{port}/internal"})
            location = f"default_type application/json; return 200 '{url}';"
            with live.serve(live.locations(MDMServiceConfig=location)):
                outcome = check(mdmprofile, live, f"{live.origin}/MDMServiceConfig")
        assert serious(outcome) == {"service.elsewhere": "warning"}
        assert asked == []

    def test_certificate_file_that_was_cut_short_is_one_line(self, live: LiveSite, mdmprofile: Command) -> None:
        """As from a proxy that gave up."""
        (live.out / "chain.pem").write_bytes((live.site.server.pem + live.site.intermediate.pem)[:-300])
        with live.serve(f"location = /chain.pem {{ alias {live.out}/chain.pem; }}"):
            outcome = check(mdmprofile, live, f"{live.origin}/chain.pem")
        assert outcome.code == UNKNOWN
        assert "cut short" in outcome.err
        assert outcome.err.count("\n") == 1

    def test_endless_document_ends_at_the_limit(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Five gigabytes are announced, and a few megabytes are read."""
        sent = 0

        def talk(connection: socket.socket) -> None:
            nonlocal sent
            connection.recv(4000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5368709120\r\n\r\n")
            with contextlib.suppress(OSError):
                while sent < 5 * 1024**3:
                    connection.sendall(bytes(65_536))
                    sent += 65_536

        with Spoken(talk, None, tmp_path) as port:
            outcome = mdmprofile("check", f"http://{LOOPBACK}:{port}/MDMServiceConfig")
        assert outcome.code == UNKNOWN
        assert "more than the limit" in outcome.err
        assert sent < 64 * 1024 * 1024

    def test_nothing_is_asked_of_a_server_whose_certificates_alone_count(
        self, live: LiveSite, mdmprofile: Command
    ) -> None:
        """Only the handshake is made, whatever the path, and the report says so."""
        with live.serve():
            outcome = check(mdmprofile, live, f"{live.origin}/mdm?token=secret")
            assert outcome.code == 0
            (told,) = [each for each in outcome.json["findings"] if each["rule"] == "service.not-fetched"]
            assert (told["where"], "secret" in outcome.out) == (f"{live.origin}/mdm", False)
            assert told["message"].endswith("looked at; /mdm was not fetched")
            metrics = mdmprofile("check", f"{live.origin}/mdm?token=secret", *live.route, "--format", "prometheus").out
            assert f'target="{live.origin}/mdm"' in metrics
            for near in ("/MDMServiceConfg", "/mdmserviceconfig", "/MDMServiceConfig/"):
                found = check(mdmprofile, live, live.origin + near).json["findings"]
                hints = [each["hint"] for each in found if each["rule"] == "service.not-fetched"]
                assert [f"give {live.origin}/MDMServiceConfig" in each for each in hints] == [True]
            for bare in (live.origin, f"{live.origin}/", f"{live.origin}/?a=b"):
                assert "service.not-fetched" not in check(mdmprofile, live, bare).rules
            assert (live.folder / "nginx" / "access.log").read_text() == ""


def test_server_that_is_not_trusted_is_asked_for_nothing(live: LiveSite, mdmprofile: Command, tmp_path: Path) -> None:
    """With --trust a document must not come from whoever stands in the way."""
    (tmp_path / "other.pem").write_bytes(root_ca("Other", key=ec_key()).pem)
    with live.serve():
        outcome = check(mdmprofile, live, f"{live.origin}/MDMServiceConfig", "--trust", tmp_path / "other.pem")
        log = (live.folder / "nginx" / "access.log").read_text()
        trusted = check(mdmprofile, live, f"{live.origin}/MDMServiceConfig", "--trust", live.site.folder / "root.pem")
    assert (outcome.code, serious(outcome)) == (2, {"tls.untrusted": "error"})
    assert {role for role, _ in shown(outcome)} == {"leaf", "intermediate"}
    assert log == ""
    assert trusted.code == 0, trusted.out
    assert {role for role, _ in shown(trusted)} == {"leaf", "intermediate", "root", "signer"}


@pytest.mark.parametrize("host", ["bücher.example", "XN--BCHER-KVA.example.", "Bücher.EXAMPLE."])
def test_resolve_finds_the_host_however_it_is_written(tmp_path: Path, mdmprofile: Command, host: str) -> None:
    """In letters or in ASCII, with a dot at the end or without."""
    leaf = server_leaf(root_ca(), "xn--bcher-kva.example")
    with nginx(Host(certificate=leaf.pem, key=leaf.key_pem()), tmp_path) as port:
        outcome = mdmprofile("check", f"https://bücher.example:{port}", "--resolve", f"{host}:{port}:{LOOPBACK}")
    assert outcome.code == 0, outcome.err


def test_proxy_of_any_bytes_is_no_internal_error(mdmprofile: Command) -> None:
    """It may come from an environment variable in another encoding."""
    outcome = mdmprofile("check", "https://mdm.example.com", "--proxy", f"http://\udcff:x@{LOOPBACK}:1")
    assert outcome.code == UNKNOWN
    assert "the proxy 127.0.0.1 refuses" in outcome.err


def test_files_are_checked_without_any_connection(live: LiveSite, mdmprofile: Command, tmp_path: Path) -> None:
    """A profile names servers, and ``check`` on a file asks none of them."""
    asked: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        asked.append(connection.recv(1))

    with Spoken(talk, None, tmp_path) as port:
        live.site.edit(lambda config: config.replace(f":{live.port}/", f":{port}/").replace('validity = "365d"', ""))
        assert mdmprofile("build", "-c", live.site.config, "-o", tmp_path / "other").code == 0
        route = ("--resolve", f"{HOST}:{port}:{LOOPBACK}")
        assert mdmprofile("check", live.site.config, tmp_path / "other", *route).code == 0
    assert asked == []
