"""What a device makes of the certificates that a server shows: paths, constraints, names and strengths, offline."""

from __future__ import annotations

import ipaddress
from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mdmprofile.errors import CertificateError
from mdmprofile.rules import chains
from mdmprofile.rules.served import DeviceTrust, Shown, Verdict, judge_pins, judge_shown, require_affordable
from mdmprofile.rules.tls import judge_server_certificate, names_host
from pki import DAY, NOW, Entity, ec_key, intermediate_ca, issue, name, root_ca, server_leaf

HOST = "mdm.example.com"
NAMES = x509.SubjectAlternativeName([x509.DNSName(HOST)])
SERVES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def judge(
    chain: list[Entity], *anchors: Entity, carries: tuple[Entity, ...] = (), host: str = HOST, at: datetime = NOW
) -> Verdict:
    """What a device with these roots, and these intermediates in its profile, makes of this chain."""
    shown = Shown(host, tuple(each.ours for each in chain), "TLSv1.3", True, f"https://{host}")
    trust = DeviceTrust(tuple(each.ours for each in anchors), tuple(each.ours for each in carries))
    return judge_shown(shown, trust, at=at)


def told(verdict: Verdict) -> dict[str, str]:
    """Rule to severity."""
    return {each.rule: each.severity.value for each in verdict.findings}


def names(verdict: Verdict) -> list[str]:
    """The path by its names."""
    return [each.name for each in verdict.path]


class TestPaths:
    """From the leaf to a root of the profile, however the certificates lie around."""

    def test_order_and_strangers_do_not_matter(self) -> None:
        """Servers send intermediates in any order, twice, and others beside them."""
        root = root_ca()
        upper = intermediate_ca(root, "Upper")
        lower = intermediate_ca(upper, "Lower")
        leaf = server_leaf(lower)
        verdict = judge([leaf, root_ca("Stranger"), upper, lower, upper], root)
        assert told(verdict) == {}
        assert names(verdict) == [HOST, "Lower", "Upper", "Test Root"]

    def test_root_sent_by_the_server_counts_for_nothing(self) -> None:
        """Only the profile makes an anchor."""
        root = root_ca()
        assert told(judge([server_leaf(root), root], root_ca("Mine"))) == {"tls.untrusted": "error"}

    def test_cross_signed_intermediate_leads_to_either_root(self) -> None:
        """The same key under two roots, and the device has the second."""
        old, new = root_ca("Old"), root_ca("New", key=ec_key())
        one = intermediate_ca(old, "Shared")
        other = issue("Shared", new, ca=True, key=one.key, end=NOW + 900 * DAY)
        leaf = server_leaf(one)
        assert told(judge([leaf, one, other], new)) == {}
        assert names(judge([leaf, one, other], new))[-1] == "New"
        assert told(judge([leaf, one], new, carries=(other,))) == {"tls.incomplete-chain": "warning"}

    def test_root_reissued_with_the_same_key_is_found_beside_the_expired_one(self) -> None:
        """The profile holds both; one of them is enough."""
        old = issue("Root", ca=True, start=NOW - 900 * DAY, end=NOW - DAY)
        new = issue("Root", ca=True, key=old.key, end=NOW + 900 * DAY)
        leaf = server_leaf(old)
        assert told(judge([leaf], old, new)) == {}
        assert told(judge([leaf], old)) == {"tls.expired": "error"}

    def test_self_signed_server_certificate_in_the_profile_is_its_own_anchor(self) -> None:
        """As tools make it, with CA:TRUE or without any constraint."""
        for ca in (True, None):
            leaf = issue(HOST, ca=ca, extensions=(NAMES, SERVES))
            assert told(judge([leaf], leaf)) == {}

    def test_intermediate_as_an_anchor_is_enough(self) -> None:
        """A profile may pin trust to a lower CA that signed itself nowhere."""
        middle = intermediate_ca(root_ca())
        leaf = server_leaf(middle)
        assert told(judge([leaf, middle], middle)) == {}

    def test_circle_of_cas_ends(self) -> None:
        """Two CAs that signed each other lead nowhere."""
        one = root_ca("One")
        two = issue("Two", one, ca=True, end=NOW + 900 * DAY)
        back = issue("One", two, ca=True, key=one.key, end=NOW + 900 * DAY)
        verdict = judge([server_leaf(two), two, back], root_ca("Mine"))
        assert told(verdict) == {"tls.untrusted": "error"}
        assert not verdict.connects

    def test_profile_without_a_root_trusts_nothing_of_its_own(self) -> None:
        """And says so."""
        verdict = judge([server_leaf(root_ca())])
        assert told(verdict)["tls.untrusted"] == "error"
        assert "there is none" in verdict.findings[0].message


class TestConstraints:
    """What the CAs on the path may issue."""

    def test_ca_that_may_not_sign_certificates_is_not_trusted(self) -> None:
        """KeyUsage without keyCertSign (RFC 5280 section 4.2.1.3)."""
        root = root_ca()
        middle = issue("Middle", root, ca=True, key_cert_sign=False)
        verdict = judge([server_leaf(middle), middle], root)
        assert told(verdict) == {"tls.untrusted": "error"}
        assert "keyCertSign" in verdict.findings[0].message

    @pytest.mark.parametrize(("length", "fine"), [(0, False), (1, True)])
    def test_path_length_is_held(self, length: int, fine: bool) -> None:
        """RFC 5280 section 4.2.1.9."""
        root = issue("Root", ca=True, path_length=length, end=NOW + 900 * DAY)
        middle = intermediate_ca(root, "Middle")
        assert told(judge([server_leaf(middle), middle], root)) == ({} if fine else {"tls.untrusted": "error"})

    @pytest.mark.parametrize(("permitted", "fine"), [("example.com", True), ("example.org", False)])
    def test_name_constraints_are_held(self, permitted: str, fine: bool) -> None:
        """RFC 5280 section 4.2.1.10."""
        constraint = x509.NameConstraints([x509.DNSName(permitted)], None)
        root = root_ca()
        middle = issue("Middle", root, ca=True, extensions=(constraint,))
        verdict = judge([server_leaf(middle), middle], root)
        assert told(verdict) == ({} if fine else {"tls.untrusted": "error"})

    def test_ca_for_other_purposes_is_named(self) -> None:
        """An extendedKeyUsage on an intermediate binds what it issues."""
        root = root_ca()
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        middle = issue("Middle", root, ca=True, extensions=(usage,))
        assert told(judge([server_leaf(middle), middle], root)) == {"tls.eku": "error"}

    def test_private_ca_without_what_browsers_ask_for_is_fine(self) -> None:
        """No key identifiers, no key usage: devices do not care."""
        root = issue("Bare Root", ca=True, end=NOW + 900 * DAY)
        middle = issue("Bare Middle", root, ca=True, end=NOW + 900 * DAY)
        assert told(judge([server_leaf(middle), middle], root)) == {}


class TestStrengths:
    """Keys and digests."""

    @pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda each: each.name)
    def test_elliptic_keys_of_256_bits_and_more_pass(self, curve: ec.EllipticCurve) -> None:
        """On the leaf and above it."""
        root = root_ca(key=ec.generate_private_key(curve))
        leaf = issue(HOST, root, key=ec.generate_private_key(curve), extensions=(NAMES, SERVES))
        assert told(judge([leaf], root)) == {}

    def test_short_elliptic_keys_are_errors(self) -> None:
        """P-224 on the leaf, and on the root."""
        short = ec.generate_private_key(ec.SECP224R1())
        root = root_ca()
        leaf = issue(HOST, root, key=short, extensions=(NAMES, SERVES))
        assert told(judge([leaf], root)) == {"tls.weak-key": "error"}
        weak = root_ca("Weak", key=short)
        assert told(judge([server_leaf(weak)], weak)) == {"tls.weak-key": "error"}

    def test_signatures_of_other_kinds_are_verified(self) -> None:
        """RSA-PSS, and Ed25519 from a CA that has such a key."""
        key = rsa.generate_private_key(65537, 2048)
        root = root_ca(key=key)
        builder = x509.CertificateBuilder().subject_name(name(HOST)).issuer_name(root.subject)
        builder = builder.public_key(ec_key().public_key()).serial_number(7).not_valid_before(NOW - DAY)
        builder = builder.not_valid_after(NOW + DAY * 99)
        builder = builder.add_extension(NAMES, critical=False).add_extension(SERVES, critical=False)
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        signed = builder.sign(key, hashes.SHA256(), rsa_padding=pss)
        assert told(judge([Entity(signed, key)], root)) == {}

        edwards = ed25519.Ed25519PrivateKey.generate()
        ca = (
            x509.CertificateBuilder().subject_name(name("Ed")).issuer_name(name("Ed")).public_key(edwards.public_key())
            .serial_number(8).not_valid_before(NOW - DAY).not_valid_after(NOW + 99 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(edwards, None)
        )  # fmt: skip
        issued = (
            x509.CertificateBuilder().subject_name(name(HOST)).issuer_name(ca.subject)
            .public_key(ec_key().public_key()).serial_number(9).not_valid_before(NOW - DAY)
            .not_valid_after(NOW + 99 * DAY).add_extension(NAMES, critical=False).add_extension(SERVES, critical=False)
            .sign(edwards, None)
        )  # fmt: skip
        # A path it is, but devices follow only RSA and EC.
        verdict = judge([Entity(issued, ec_key())], Entity(ca, ec_key()))
        assert names(verdict) == [HOST, "Ed"]
        assert told(verdict) == {"tls.weak-key": "error"}


class TestNames:
    """Host names and addresses against subjectAltName."""

    @pytest.mark.parametrize(
        ("host", "known", "fits"),
        [
            ("mdm.example.com", ["mdm.example.com"], True),
            ("MDM.example.com.", ["mdm.Example.com"], True),
            ("mdm.example.com", ["*.example.com"], True),
            ("a.mdm.example.com", ["*.example.com"], False),
            ("example.com", ["*.example.com"], False),
            ("mdm.example.com", ["*.com"], False),
            ("mdm.example.com", ["m*.example.com"], False),
            ("mdm.example.com", ["*"], False),
            ("example", ["*"], False),
            ("mdm.example.com", ["other.example.com", "mdm.example.com"], True),
            ("xn--bcher-kva.example", ["xn--bcher-kva.example"], True),
            ("192.0.2.1", ["192.0.2.1"], False),
            ("mdm.example.com", [], False),
        ],
    )
    def test_dns_names(self, host: str, known: list[str], fits: bool) -> None:
        """One wildcard for one whole label, never for an address (RFC 6125 section 6.4)."""
        extensions = (x509.SubjectAlternativeName([x509.DNSName(each) for each in known]),) if known else ()
        assert names_host(issue("x", extensions=extensions).ours, host) is fits

    @pytest.mark.parametrize(("host", "fits"), [("192.0.2.1", True), ("192.0.2.2", False), ("2001:db8::1", True)])
    def test_addresses(self, host: str, fits: bool) -> None:
        """As iPAddress entries, in whatever notation."""
        known = [x509.IPAddress(ipaddress.ip_address(each)) for each in ("192.0.2.1", "2001:0db8::0:1")]
        assert names_host(issue("x", extensions=(x509.SubjectAlternativeName(known),)).ours, host) is fits

    def test_common_name_is_no_name(self) -> None:
        """Devices have not read it for years."""
        certificate = issue(HOST).ours
        assert not names_host(certificate, HOST)
        (found,) = [
            each for each in judge_server_certificate(certificate, "x", host=HOST) if each.rule == "tls.hostname"
        ]
        assert "no name in its subjectAltName" in found.message


class TestLimits:
    """Validity, of private and public CAs."""

    @pytest.mark.parametrize(
        ("days", "public", "fine"), [(825, False, True), (826, False, False), (398, True, True), (399, True, False)]
    )
    def test_longest_validity(self, days: int, public: bool, fine: bool) -> None:
        """825 days, and 398 where the root came with the device."""
        leaf = issue(HOST, start=NOW - DAY, end=NOW + (days - 1) * DAY, extensions=(NAMES, SERVES)).ours
        found = {each.rule for each in judge_server_certificate(leaf, "x", host=HOST, public=public)}
        assert found == (set() if fine else {"tls.validity"})

    def test_certificates_of_before_july_2019_are_held_to_neither(self) -> None:
        """No usage and ten years, issued on 2019-06-30."""
        start = datetime(2019, 6, 30, tzinfo=NOW.tzinfo)
        leaf = issue(HOST, start=start, end=NOW + 900 * DAY, extensions=(NAMES,)).ours
        assert list(judge_server_certificate(leaf, "x", host=HOST)) == []


class TestPins:
    """What the MDM payload pins the server to."""

    def test_pin_is_any_certificate_of_the_path(self) -> None:
        """And a pin that is on none shuts every device out."""
        root = root_ca()
        leaf, other = server_leaf(root), server_leaf(root)
        verdict = judge([leaf], root)
        assert list(judge_pins(verdict, [leaf.ours], "x", "K")) == []
        assert list(judge_pins(verdict, [other.ours, root.ours], "x", "K")) == []
        assert [each.rule for each in judge_pins(verdict, [other.ours], "x", "K")] == ["tls.pinning"]
        assert list(judge_pins(verdict, [], "x", "K")) == []

    def test_pin_on_another_path_that_holds_counts(self) -> None:
        """The profile pins the old certificate of a CA, and the server sends its renewal with the same key."""
        root = root_ca()
        old = intermediate_ca(root, "CA")
        new = issue("CA", root, ca=True, key=old.key, end=NOW + 999 * DAY)
        verdict = judge([server_leaf(old), new], root, carries=(old,))
        assert list(judge_pins(verdict, [old.ours], "x", "K")) == []
        assert list(judge_pins(verdict, [new.ours], "x", "K")) == []

    def test_pin_on_a_path_that_does_not_hold_is_none(self) -> None:
        """Its certificate has expired, so a device goes another way."""
        root = root_ca()
        good = intermediate_ca(root, "CA")
        over = issue("CA", root, ca=True, key=good.key, start=NOW - 9 * DAY, end=NOW - DAY)
        verdict = judge([server_leaf(good), good, over], root)
        assert [each.rule for each in judge_pins(verdict, [over.ours], "x", "K")] == ["tls.pinning"]


class TestChoices:
    """Of several paths the one with the least against it."""

    def test_unconstrained_copy_is_preferred(self) -> None:
        """The same CA with and without a constraint that the server's name breaks."""
        root = root_ca()
        free = intermediate_ca(root, "CA")
        bound = x509.NameConstraints([x509.DNSName("example.org")], None)
        tied = issue("CA", root, ca=True, key=free.key, extensions=(bound,), end=NOW + 900 * DAY)
        assert told(judge([server_leaf(free), tied, free], root)) == {}
        assert told(judge([server_leaf(free), tied], root)) == {"tls.untrusted": "error"}

    def test_maze_of_cas_costs_little(self) -> None:
        """Twelve CAs that all signed each other: the paths are many, and few are walked."""
        root = root_ca(key=ec_key())
        keys = [ec_key() for _ in range(12)]
        maze = [
            issue(
                f"CA {here}",
                Entity(root.certificate, keys[above]),
                key=keys[here],
                ca=True,
                issuer_name=name(f"CA {above}"),
            )
            for here in range(12)
            for above in range(12)
            if here != above
        ]
        entry = issue("CA 0", root, key=keys[0], ca=True)
        verdict = judge([server_leaf(maze[30]), *maze[:60], entry], root)
        assert isinstance(verdict.connects, bool)

    def test_more_cas_than_any_chain_has_are_refused(self) -> None:
        """Hundreds of one name that may all have signed each other."""
        key = ec_key()
        many = [issue("Same", ca=True, key=key, end=NOW + (100 + each) * DAY) for each in range(160)]
        with pytest.raises(CertificateError, match="more CA certificates"):
            require_affordable(DeviceTrust(tuple(each.ours for each in many)))


class TestForeignConstraints:
    """Constraints of other kinds than names and addresses of servers."""

    @pytest.mark.parametrize(
        "permitted",
        [
            [x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "DE")]))],
            [x509.UniformResourceIdentifier("example.org")],
            [x509.DNSName(".example.com")],
            [x509.DNSName("")],
            [x509.IPAddress(ipaddress.ip_network("192.0.2.0/24"))],
        ],
        ids=["directory", "uri", "leading dot", "everything", "addresses"],
    )
    def test_constraint_that_the_servers_name_keeps_is_fine(self, permitted: list[x509.GeneralName]) -> None:
        """What is not about DNS names binds none."""
        root = root_ca()
        middle = issue("Middle", root, ca=True, extensions=(x509.NameConstraints(permitted, None),))
        assert told(judge([server_leaf(middle), middle], root)) == {}

    @pytest.mark.parametrize(("address", "fine"), [("192.0.2.7", True), ("198.51.100.7", False)])
    def test_addresses_are_held_to_their_networks(self, address: str, fine: bool) -> None:
        """Permitted and excluded ones."""
        root = root_ca()
        networks = [x509.IPAddress(ipaddress.ip_network("192.0.2.0/24"))]
        middle = issue("Middle", root, ca=True, extensions=(x509.NameConstraints(networks, None),))
        known = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        leaf = issue("x", middle, extensions=(known, SERVES))
        assert told(judge([leaf, middle], root, host=address)) == ({} if fine else {"tls.untrusted": "error"})
        barred = issue("Barred", root, ca=True, extensions=(x509.NameConstraints(None, networks),))
        leaf = issue("x", barred, extensions=(known, SERVES))
        assert told(judge([leaf, barred], root, host=address)) == ({"tls.untrusted": "error"} if fine else {})


@pytest.mark.parametrize("on", ["leaf", "intermediate"])
def test_critical_extension_that_nobody_knows_has_it_refused(on: str) -> None:
    """RFC 5280 section 4.2."""
    root = root_ca()
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")

    def built(subject: str, issuer: Entity, *extensions: x509.ExtensionType, ca: bool, critical: bool) -> Entity:
        key = ec_key()
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(issuer.subject)
        builder = builder.public_key(key.public_key()).serial_number(5).not_valid_before(NOW - DAY)
        builder = builder.not_valid_after(NOW + 99 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        for each in extensions:
            builder = builder.add_extension(each, critical=False)
        return Entity(builder.add_extension(strange, critical=critical).sign(issuer.key, hashes.SHA256()), key)

    middle = built("Middle", root, ca=True, critical=on == "intermediate")
    leaf = built(HOST, middle, NAMES, SERVES, ca=False, critical=on == "leaf")
    verdict = judge([leaf, middle], root)
    assert told(verdict) == {"tls.untrusted": "error"}
    assert "1.3.6.1.4.1.99999.1" in verdict.findings[0].message


def test_public_chain_beside_a_private_root_is_judged_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public root vouches, so it is a warning; what is wrong with the chain is said by the rules for public ones."""
    known = root_ca("Public Root", key=ec_key())
    monkeypatch.setattr("mdmprofile.public.public_roots", lambda: (known.ours,))
    chains._public.cache_clear()
    try:
        good = judge([server_leaf(known)], root_ca("Mine"))
        long = judge([server_leaf(known, days=500)], root_ca("Mine"))
        over = judge([server_leaf(known, days=-0)], root_ca("Mine"), at=NOW + 2 * DAY)
    finally:
        monkeypatch.undo()
        chains._public.cache_clear()
    assert told(good) == {"tls.untrusted": "warning"}
    assert good.connects
    assert told(long) == {"tls.untrusted": "warning", "tls.validity": "error"}
    assert told(over) == {"tls.untrusted": "warning", "tls.expired": "error"}


def test_suite_that_devices_do_not_offer_is_named() -> None:
    """TLS 1.2 alone is not enough."""
    root = root_ca()
    leaf = server_leaf(root).ours
    shown = Shown(HOST, (leaf,), "TLSv1.2", False, "x", "DHE-RSA-AES128-GCM-SHA256")
    verdict = judge_shown(shown, DeviceTrust((root.ours,)), at=NOW)
    assert told(verdict) == {"tls.version": "error"}
    assert "DHE-RSA-AES128-GCM-SHA256" in verdict.findings[0].message
    assert not verdict.connects
