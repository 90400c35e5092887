"""Trust chains: roles and order from any input, and every problem of a set in one run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from mdmprofile.certificates import Certificate
from mdmprofile.chain import MAX_CERTIFICATES, IssuerGraph, TrustChain, arrange, role_of
from mdmprofile.errors import CertificateError
from mdmprofile.findings import Finding, Severity
from pki import DAY, NOW, Entity, Key, ec_key, issue, name, root_ca, server_leaf

Openssl = Callable[..., bytes]


def identifiers(key: Key, issuer: Entity | None) -> tuple[x509.ExtensionType, ...]:
    """Both key identifiers, by which openssl tells CAs of one name apart."""
    signer = issuer.key if issuer else key
    return (
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
    )


def ca(
    subject: str,
    issuer: Entity | None = None,
    *,
    key: Key | None = None,
    days: int = 1000,
    path_length: int | None = None,
    key_cert_sign: bool | None = None,
) -> Entity:
    """A CA with a key of its own, unless told which."""
    key = key or ec_key()
    return issue(
        subject,
        issuer,
        key=key,
        ca=True,
        extensions=identifiers(key, issuer),
        end=NOW + days * DAY,
        path_length=path_length,
        key_cert_sign=key_cert_sign,
    )


def leaf(issuer: Entity, subject: str = "mdm.example.com") -> Entity:
    """A server's certificate."""
    key = ec_key()
    return issue(subject, issuer, key=key, extensions=identifiers(key, issuer))


def arranged(*entities: Entity, server: Entity | None = None) -> TrustChain:
    """The chain of these certificates, in this order, judged for this server."""
    return arrange([each.ours for each in entities], servers=[server.ours] if server else [])


def rules(chain: TrustChain, least: Severity = Severity.WARNING) -> list[str]:
    """The rules broken in a chain, at least as bad as this, in alphabetical order."""
    return sorted(each.rule for each in chain.findings if each.severity.rank >= least.rank)


def only(chain: TrustChain, rule: str) -> Finding:
    """The one finding of a rule."""
    found = [each for each in chain.findings if each.rule == rule]
    assert len(found) == 1, chain.findings
    return found[0]


def ours(*entities: Entity) -> tuple[Certificate, ...]:
    """The project's values of these certificates."""
    return tuple(each.ours for each in entities)


# --- roles and order


def test_complete_chain_has_roles_order_and_nothing_to_say() -> None:
    """Whatever the order of the files, the root comes first and each issuer before what it issued."""
    root = ca("Root")
    first = ca("First", root)
    second = ca("Second", first)
    chain = arranged(second, root, first, server=leaf(second))
    assert chain == TrustChain(ours(root), ours(first, second), (), ())
    assert chain.ordered == ours(root, first, second)


@functools.cache
def tangle() -> tuple[Entity, ...]:
    """Two roots, a cross-signed CA, a lost issuer, a bad signature, a leaf, and the server's certificate last."""
    old, new, stranger = ca("Old Root", days=900), ca("New Root", days=2000), ca("Stranger")
    key = ec_key()
    by_old, by_new = ca("Shared", old, key=key), ca("Shared", new, key=key)
    below = ca("Below", by_old, path_length=0)
    too_deep = ca("Too Deep", below)
    impostor = issue("Impostor", ca("Old Root"), key=ec_key(), ca=True)
    return (old, new, stranger, by_old, by_new, below, too_deep, impostor, leaf(old, "A leaf"), leaf(too_deep))


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(9)))
def test_order_of_the_input_changes_nothing(order: list[int]) -> None:
    """Roles, order and findings come from the certificates, not from how the files were listed."""
    *trust, server = tangle()
    expected = arranged(*trust, server=server)
    chain = arranged(*(trust[each] for each in order), server=server)
    assert (chain.roots, chain.intermediates, chain.leaves) == (
        expected.roots,
        expected.intermediates,
        expected.leaves,
    )
    assert set(chain.findings) == set(expected.findings)


@settings(max_examples=25, deadline=None)
@given(parents=st.lists(st.integers(0, 7), min_size=1, max_size=7), data=st.data())
def test_issuer_always_comes_before_what_it_issued(parents: list[int], data: st.DataObject) -> None:
    """In a tree of any shape, with ends in any order, a device has the issuer when the issued arrives."""
    made = [ca("CA 0", days=data.draw(st.integers(1, 5)))]
    for number, parent in enumerate(parents, 1):
        made.append(ca(f"CA {number}", made[parent % number], days=data.draw(st.integers(1, 5))))
    ordered = arranged(*data.draw(st.permutations(made))).ordered
    assert len(ordered) == len(made)
    for number, parent in enumerate(parents, 1):
        assert ordered.index(made[parent % number].ours) < ordered.index(made[number].ours)


def test_ties_are_ordered_by_their_end_and_then_by_fingerprint() -> None:
    """The same certificates give the same profile, whatever else is equal."""
    root = ca("Root")
    late, early = ca("A", root, days=20), ca("B", root, days=10)
    twins = sorted((ca("Twin", root, days=15) for _ in range(4)), key=lambda each: each.sha256)
    assert arranged(late, *reversed(twins), root, early).intermediates == ours(early, *twins, late)


def test_same_certificate_twice_is_kept_once_and_said() -> None:
    """A root in two files is embedded once; the note names both files."""
    root = ca("Root")
    given_twice = [Certificate(root.der, source) for source in ("one.pem", "two.der", "three.p7b")]
    chain = arrange(given_twice, servers=[leaf(root).ours])
    assert chain.roots == (root.ours,)
    assert [(each.rule, each.severity, each.where) for each in chain.findings] == [
        ("chain.duplicate", Severity.INFO, "two.der"),
        ("chain.duplicate", Severity.INFO, "three.p7b"),
    ]
    assert "one.pem and two.der" in chain.findings[0].message


def test_names_that_differ_in_case_and_white_space_chain() -> None:
    """RFC 5280 section 7.1: an issuer's name may be written otherwise in what it issued."""
    root = ca("Root")
    intermediate = issue("Example  Issuing CA", root, key=ec_key(), ca=True)
    server = issue("mdm", intermediate, key=ec_key(), issuer_name=name("EXAMPLE issuing ca "))
    assert rules(arranged(intermediate, root, server=server)) == []


# --- several paths


def test_cross_signed_intermediate_keeps_both_paths() -> None:
    """Old devices trust the one root, new devices the other; both need their own certificate of the CA."""
    old, new, key = ca("Old Root"), ca("New Root"), ec_key()
    by_old, by_new = ca("Shared", old, key=key, days=10), ca("Shared", new, key=key, days=20)
    server = leaf(by_old)
    chain = arranged(by_new, new, by_old, old, server=server)
    assert chain.findings == ()
    assert chain.intermediates == ours(by_old, by_new)
    graph = IssuerGraph(chain.ordered)
    assert set(graph.issuers(server.ours)) == set(ours(by_old, by_new))
    assert (graph.issuers(by_old.ours), graph.issuers(by_new.ours)) == (ours(old), ours(new))


def test_one_complete_path_of_a_cross_signed_ca_is_enough() -> None:
    """A device needs one root; the other issuer's absence is no problem."""
    old, new, key = ca("Old Root"), ca("New Root"), ec_key()
    by_old, by_new = ca("Shared", old, key=key), ca("Shared", new, key=key)
    assert rules(arranged(by_old, by_new, new, server=leaf(by_old))) == []
    assert rules(arranged(by_old, by_new, new)) == []


def test_path_that_leads_to_no_root_is_none() -> None:
    """A path is from a leaf to a root, and nothing shorter."""
    root = ca("Root")
    intermediate = ca("Intermediate", root)
    server = leaf(intermediate)
    assert not IssuerGraph([intermediate.ours]).reaches_root(server.ours)
    assert not IssuerGraph([intermediate.ours]).reaches_root(root.ours)
    assert IssuerGraph(ours(intermediate, root)).reaches_root(server.ours)
    assert IssuerGraph([root.ours]).reaches_root(root.ours)


def test_more_cas_than_the_limit_are_refused() -> None:
    """A set without end is refused before anything is verified."""
    key = ec_key()
    many = [ca(f"CA {number}", key=key).ours for number in range(MAX_CERTIFICATES + 1)]
    assert len(IssuerGraph(many[1:]).authorities) == MAX_CERTIFICATES
    with pytest.raises(CertificateError, match=f"more than {MAX_CERTIFICATES}"):
        arrange(many)


# --- CA rollover


@pytest.mark.parametrize("server_below", ["old", "new"])
def test_old_and_new_root_of_one_name_stand_side_by_side(server_below: str) -> None:
    """During a rollover the profile carries both roots, whichever the server is below."""
    roots = {"old": ca("Example Root", days=100), "new": ca("Example Root", days=4000)}
    chain = arranged(roots["new"], roots["old"], server=leaf(roots[server_below]))
    other = roots["new" if server_below == "old" else "old"]
    assert [(each.rule, each.severity.value, each.where) for each in chain.findings] == [
        ("chain.unrelated", "info", other.ours.source)
    ]
    assert chain.roots == ours(roots["old"], roots["new"])


def test_new_root_that_the_old_one_signed_stands_beside_it() -> None:
    """A new root with another name is connected by the cross-certificate that the old root issued for it."""
    old, new = ca("Root 2021"), ca("Root 2031")
    cross = ca("Root 2031", old, key=new.key)
    below_new = leaf(new)
    chain = arranged(new, cross, old, server=below_new)
    assert rules(chain) == []
    assert (chain.roots, chain.intermediates) == (ours(old, new), ours(cross))
    assert set(IssuerGraph(chain.ordered).ancestors(below_new.ours)) == set(ours(new, cross, old))
    assert rules(arranged(new, cross, old, server=leaf(old))) == []


def test_root_renewed_with_its_key_keeps_the_intermediates_below_in_order() -> None:
    """Two roots with one name and one key verify each other, which must not disturb the order below them."""
    key = ec_key()
    old, renewed = ca("Root", key=key, days=4000), ca("Root", key=key, days=8000)
    first = ca("First", old, days=3000)
    second = ca("Second", first, days=2000)
    chain = arranged(second, renewed, first, old, server=leaf(second))
    assert chain.roots == ours(old, renewed)
    assert chain.intermediates == ours(first, second)
    assert chain.findings == ()


def test_next_root_without_a_link_is_called_unrelated_with_the_rollover_in_mind() -> None:
    """Nothing tells the next CA of a rollover from a stray one, so the advice names both."""
    root, following = ca("Root"), ca("Following Root")
    found = only(arranged(root, following, server=leaf(root)), "chain.unrelated")
    assert found.severity is Severity.WARNING
    assert "Following Root" in found.message
    assert "rollover" in found.hint


# --- unrelated and missing certificates


def test_every_certificate_of_an_unrelated_pki_is_named() -> None:
    """Devices would be told to trust a CA that has nothing to do with the server."""
    root, stray = ca("Root"), ca("Stray Root")
    below_stray = Certificate(ca("Stray Issuing", stray).der, "stray.pem")
    chain = arrange([below_stray, *ours(stray, root)], servers=[leaf(root).ours])
    unrelated = [each for each in chain.findings if each.rule == "chain.unrelated"]
    assert ["Stray Root" in each.message for each in unrelated] == [True, False]
    assert unrelated[1].where == "stray.pem"
    assert "mdm.example.com" in unrelated[1].message
    assert chain.intermediates == (below_stray,)


def test_without_a_server_certificate_nothing_can_be_unrelated() -> None:
    """Who serves what is not known then, and the report says so."""
    root, other = ca("Root"), ca("Other Root")
    chain = arranged(root, ca("Issuing", root), other)
    assert [(each.rule, each.severity) for each in chain.findings] == [("chain.server-unknown", Severity.INFO)]


@pytest.mark.parametrize("with_server", [True, False], ids=["server-known", "server-unknown"])
def test_missing_root_is_named(with_server: bool) -> None:
    """The error names the certificate to look for, and where it belongs."""
    root = ca("Lost Root")
    intermediate = ca("Issuing", root)
    server = leaf(intermediate) if with_server else None
    found = only(arranged(intermediate, server=server), "chain.incomplete")
    assert found.severity is Severity.ERROR
    assert "the issuer of Issuing is missing: CN=Lost Root" in found.message
    assert "trust.certificates" in found.hint


def test_missing_intermediate_is_named() -> None:
    """A root alone does not help a device that cannot connect the server's certificate with it."""
    root = ca("Root")
    server = leaf(ca("Lost Issuing", root))
    chain = arranged(root, server=server)
    assert "the issuer of mdm.example.com is missing: CN=Lost Issuing" in only(chain, "chain.incomplete").message
    assert rules(chain, Severity.ERROR) == ["chain.incomplete"]


def test_missing_issuer_that_the_server_sends_is_said_to_be_there() -> None:
    """Often the intermediate is only in the server's own file; then the advice is where to take it from."""
    root = ca("Root")
    intermediate = ca("Issuing", root)
    served = Certificate(intermediate.der, "fullchain.pem #2")
    chain = arrange([root.ours], servers=[leaf(intermediate).ours, served])
    found = only(chain, "chain.incomplete")
    assert "CN=Issuing" in found.message
    assert "it is in fullchain.pem #2" in found.hint


def test_missing_issuer_without_a_name_is_still_described() -> None:
    """An empty issuer name gives nothing to look for, and no empty sentence either."""
    nameless = issue(x509.Name([]), key=ec_key(), ca=True)
    found = only(arranged(ca("Issuing", nameless)), "chain.incomplete")
    assert "the issuer of Issuing is missing: an issuer without a name" in found.message


def test_every_incomplete_server_certificate_is_named() -> None:
    """A second host name below another CA is judged as well as the first."""
    root = ca("Root")
    servers = [leaf(root, "one"), leaf(ca("Lost One"), "two"), leaf(ca("Lost Two"), "three")]
    chain = arrange([root.ours], servers=ours(*servers))
    named = [each.message for each in chain.findings if each.rule == "chain.incomplete"]
    assert ["two" in named[0], "three" in named[1], len(named)] == [True, True, 2]


@pytest.mark.parametrize("with_server", [True, False], ids=["server-known", "server-unknown"])
def test_no_ca_at_all_is_an_error(with_server: bool) -> None:
    """Without a CA the devices have nothing to trust the server with."""
    server = leaf(ca("Lost Root")) if with_server else None
    found = only(arranged(server=server), "chain.incomplete")
    assert "no root or intermediate certificate was given" in found.message
    assert found.where == "trust.certificates"


def test_place_of_a_finding_is_the_callers_where_no_file_is_known() -> None:
    """A library user's own name for the set stands in for a file."""
    root = ca("Root")
    unplaced = Certificate(leaf(root).der)
    for trust in ([], [unplaced, root.ours], [Certificate(ca("Lost").der), root.ours]):
        found = arrange(trust, servers=[unplaced], where="profile").findings
        assert {each.where for each in found} <= {"profile"}


# --- a server certificate that is a CA


def test_server_certificate_that_is_a_ca_is_not_called_absent() -> None:
    """``openssl req -x509`` makes CAs, so self-signed server certificates often are; they were given all the same."""
    server = ca("mdm.example.com")
    chain = arranged(server, server=server)
    assert chain.roots == (server.ours,)
    assert "chain.server-unknown" not in rules(chain, Severity.INFO)
    assert rules(chain) == []


@pytest.mark.parametrize("issuer", [None, "Lost Root"], ids=["self-signed", "issued"])
def test_server_certificate_that_is_a_ca_must_lead_to_a_root_too(issuer: str | None) -> None:
    """A device refuses it like any other when neither it nor its issuer is in the profile."""
    server = ca("mdm.example.com", ca(issuer) if issuer else None)
    assert "chain.incomplete" in rules(arranged(ca("Root"), server=server))


# --- leaves where CAs belong


@pytest.mark.parametrize("constraints", [False, None], ids=["ca-false", "no-basic-constraints"])
def test_issuer_without_ca_true_is_refused_with_what_it_issued(constraints: bool | None) -> None:
    """Its certificates verify by name and signature, and devices refuse them all the same."""
    root = ca("Root")
    middle = issue("Middle", root, key=ec_key(), ca=constraints)
    below = ca("Below", middle)
    chain = arranged(root, middle, below, server=leaf(below))
    found = only(chain, "chain.leaf-in-trust")
    assert found.severity is Severity.ERROR
    assert "Middle is not a CA although it issued Below" in found.message
    assert "reissued" in found.hint
    assert chain.leaves == (middle.ours,)
    assert middle.ours not in chain.ordered
    assert "chain.incomplete" in rules(chain)


def test_server_certificate_among_the_trusted_is_refused() -> None:
    """The server's own certificate is renewed elsewhere, so a profile must not carry it."""
    root = ca("Root")
    server = server_leaf(root)
    found = only(arranged(root, server, server=server), "chain.leaf-in-trust")
    assert found.severity is Severity.ERROR
    assert found.message == "mdm.example.com is not a CA"
    assert "trust.server_certificate" in found.hint


def test_leaf_with_a_cas_name_is_not_said_to_have_issued_what_it_did_not_sign() -> None:
    """A certificate for signing revocation lists bears its CA's name, and issued nothing."""
    root = ca("Root")
    issuing = ca("Issuing", root)
    lists = issue("Issuing", root, key=ec_key())
    below = ca("Below", issuing)
    chain = arranged(root, issuing, lists, below, server=leaf(below))
    assert "issued" not in only(chain, "chain.leaf-in-trust").message


# --- signatures


def test_name_without_its_key_is_a_bad_signature() -> None:
    """The issuer was renewed with a new key: the name still matches, the signature does not."""
    old = ca("Root")
    renewed = Certificate(ca("Root").der, "root.pem")
    issuing = Certificate(ca("Issuing", old).der, "issuing.pem")
    chain = arrange([renewed, issuing])
    found = only(chain, "chain.bad-signature")
    assert found.severity is Severity.ERROR
    assert "Issuing names Root as its issuer, but the key in root.pem did not sign it" in found.message
    assert found.where == "issuing.pem"
    assert "chain.incomplete" in rules(chain)


def test_server_certificate_of_another_key_is_a_bad_signature() -> None:
    """The server's certificate is judged like the CAs'."""
    root = ca("Root")
    assert "mdm.example.com names Root" in only(arranged(root, server=leaf(ca("Root"))), "chain.bad-signature").message


def test_one_of_two_namesakes_that_signed_is_enough() -> None:
    """Of an old and a new CA of one name, one did not sign; that is no finding."""
    old, new = ca("Issuing CA"), ca("Issuing CA")
    assert rules(arranged(old, new, server=leaf(old))) == []


def test_root_that_does_not_verify_itself_is_damaged() -> None:
    """A changed root still names itself; its own key tells."""
    root = ca("Root")
    changed = Certificate(root.der[:-1] + bytes([root.der[-1] ^ 1]), "root.pem")
    chain = arrange([changed])
    found = only(chain, "chain.bad-signature")
    assert "its own key does not verify" in found.message
    assert found.where == "root.pem"
    assert chain.roots == ()
    assert chain.intermediates == (changed,)


def test_damaged_root_beside_an_intact_namesake_is_a_bad_signature() -> None:
    """The namesake is then the issuer it names, and did not sign it either."""
    root, namesake = ca("Root"), ca("Root")
    changed = Certificate(root.der[:-1] + bytes([root.der[-1] ^ 1]), "damaged.pem")
    assert only(arrange([changed, namesake.ours]), "chain.bad-signature").where == "damaged.pem"


def sha1_signed(openssl: Openssl, folder: Path, issuer: Entity) -> Certificate:
    """A CA that openssl signed with SHA-1."""
    (folder / "ca.pem").write_bytes(issuer.pem)
    (folder / "ca.key").write_bytes(issuer.key_pem())
    (folder / "ext").write_text("basicConstraints=critical,CA:TRUE")
    request = openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "k", "-subj", "/CN=Issuing")
    arguments = ("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-extfile", folder / "ext", "-outform", "DER")
    return Certificate(openssl("x509", "-req", "-sha1", *arguments, data=request), "issuing.pem")


def test_intermediate_signed_with_sha1_is_a_warning(openssl: Openssl, tmp_path: Path) -> None:
    """Devices refuse SHA-1 below the root; the chain itself is complete."""
    root = root_ca()
    chain = arrange([sha1_signed(openssl, tmp_path, root), root.ours])
    assert rules(chain) == ["chain.weak-signature"]
    assert only(chain, "chain.weak-signature").where == "issuing.pem"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("-x509", "-sha1"), id="sha-1"),
        pytest.param(("-x509", "-sha256"), id="sha-256"),
        pytest.param((), id="version-1"),
    ],
)
def test_old_root_is_a_root_without_any_complaint(openssl: Openssl, tmp_path: Path, options: tuple[str, ...]) -> None:
    """A root's own signature carries no trust, and version 1 had no basicConstraints to state."""
    key = tmp_path / "key.pem"
    made = openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/CN=Old Root", *options)
    if not options:
        made = openssl("x509", "-req", "-signkey", key, data=made)
    old = Certificate(openssl("x509", "-outform", "DER", data=made))
    (tmp_path / "old.pem").write_bytes(openssl("x509", data=made))
    request = openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "k", "-subj", "/CN=mdm")
    signed = openssl("x509", "-req", "-CA", tmp_path / "old.pem", "-CAkey", key, "-outform", "DER", data=request)
    chain = arrange([old], servers=[Certificate(signed)])
    assert chain == TrustChain((old,), (), (), ())


# --- constraints


def openssl_verifies(
    openssl: Openssl, folder: Path, trust: Sequence[Entity], server: Entity, *, fails: bool = False
) -> None:
    """Ask openssl for a path from the server to the first of these."""
    (folder / "root.pem").write_bytes(trust[0].pem)
    (folder / "others.pem").write_bytes(b"".join(each.pem for each in (*trust[1:], server)))
    (folder / "server.pem").write_bytes(server.pem)
    trusted = ("-CAfile", folder / "root.pem", "-untrusted", folder / "others.pem")
    at = ("-attime", str(int(NOW.timestamp())))
    openssl("verify", "-no-CApath", *at, *trusted, folder / "server.pem", fails=fails)


@pytest.mark.parametrize(
    ("limit", "levels", "broken"),
    [
        pytest.param(0, 0, False, id="0-of-0"),
        pytest.param(0, 1, True, id="1-of-0"),
        pytest.param(1, 1, False, id="1-of-1"),
        pytest.param(1, 2, True, id="2-of-1"),
        pytest.param(None, 4, False, id="4-of-any-number"),
    ],
)
def test_path_length_limits_the_cas_below(
    openssl: Openssl, tmp_path: Path, limit: int | None, levels: int, broken: bool
) -> None:
    """The server's certificate does not count, every CA between does; openssl says the same."""
    root = ca("Root", path_length=limit)
    made = [root]
    for level in range(levels):
        made.append(ca(f"Level {level}", made[-1]))
    server = leaf(made[-1])
    chain = arranged(*made, server=server)
    assert rules(chain) == (["chain.path-length"] if broken else [])
    openssl_verifies(openssl, tmp_path, made, server, fails=broken)
    if broken:
        assert f"Root allows {limit} CAs below it and has {levels}" in only(chain, "chain.path-length").message


def test_self_issued_ca_does_not_count_against_the_path_length(openssl: Openssl, tmp_path: Path) -> None:
    """RFC 5280 section 4.2.1.9: a CA that changes its key is still one CA; openssl says the same."""
    root = ca("Root", path_length=1)
    issuing = ca("Issuing", root, path_length=0)
    changed = ca("Issuing", issuing)
    server = leaf(changed)
    openssl_verifies(openssl, tmp_path, (root, issuing, changed), server)
    assert rules(arranged(root, issuing, changed, server=server)) == []


def test_key_change_of_a_root_does_not_lengthen_the_paths_below(openssl: Openssl, tmp_path: Path) -> None:
    """Each path has one CA below the root, whether it starts at its old key or at its new one; openssl agrees."""
    old = ca("Root", path_length=1)
    changed = ca("Root", old)
    trust = (old, changed, ca("Below Old", old), ca("Below New", changed))
    servers = [leaf(each) for each in trust[2:]]
    for server in servers:
        openssl_verifies(openssl, tmp_path, trust, server)
    assert rules(arrange(ours(*trust), servers=ours(*servers))) == []


def test_ca_whose_key_usage_forbids_signing_is_an_error() -> None:
    """What such a CA issued is not trusted, though the signature verifies."""
    root = ca("Root", key_cert_sign=True)
    issuing = ca("Issuing", root, key_cert_sign=False)
    chain = arranged(root, issuing, server=leaf(issuing))
    assert rules(chain) == ["chain.key-usage"]
    assert "Issuing has a keyUsage without keyCertSign" in only(chain, "chain.key-usage").message


# --- CAs in a circle


def circle() -> tuple[Entity, Entity, Entity]:
    """Two CAs that signed each other, and a CA below the first, which ends before both."""
    one, two = ec_key(), ec_key()
    first = ca("First", ca("Second", key=two), key=one, days=200)
    second = ca("Second", ca("First", key=one), key=two, days=300)
    return first, second, ca("Below", first, days=100)


def given_names(certificates: Iterable[Certificate]) -> set[str]:
    """The subjects of certificates as findings write them."""
    return {each.subject for each in certificates}


def test_cas_that_signed_each_other_lead_to_no_root() -> None:
    """A circle ends nowhere, and neither the search nor the caller hangs in it."""
    first, second, below = circle()
    server = leaf(below)
    chain = arranged(first, second, below, server=server)
    assert rules(chain) == ["chain.incomplete"]
    assert chain.roots == ()
    graph = IssuerGraph(chain.ordered)
    assert not graph.reaches_root(server.ours)
    assert set(graph.ancestors(below.ours)) == set(ours(first, second))
    assert not graph.reaches_root(below.ours)


def test_circle_is_broken_by_the_member_that_ends_first_and_all_else_follows() -> None:
    """Only members of the circle have no issuer to wait for; what is below them waits as ever."""
    first, second, below = circle()
    chain = arranged(below, second, first)
    assert chain.intermediates[0] == first.ours
    assert set(chain.intermediates[1:]) == set(ours(second, below))


def test_certificate_that_was_given_is_not_called_missing() -> None:
    """In a circle no issuer is missing but a root; naming one that is there would send people in circles too."""
    first, second, below = circle()
    found = only(arranged(first, second, below, server=leaf(below)), "chain.incomplete")
    missing = found.message.partition("missing: ")[2]
    assert missing not in given_names(ours(first, second, below))


def test_circle_with_a_way_out_to_a_root_is_complete() -> None:
    """Two PKIs that cross-certified each other are related and complete."""
    one, two = ca("One"), ca("Two")
    one_by_two, two_by_one = ca("One", two, key=one.key), ca("Two", one, key=two.key)
    server = leaf(one)
    chain = arranged(one_by_two, two_by_one, two, one, server=server)
    assert rules(chain) == []
    assert set(chain.roots) == set(ours(one, two))
    assert set(chain.intermediates) == set(ours(one_by_two, two_by_one))


# --- everything at once


def test_every_problem_is_reported_in_one_run() -> None:
    """Whoever repairs a chain hears of all its problems together."""
    root = ca("Root", path_length=0)
    issuing = ca("Issuing", root, key_cert_sign=False)
    trust: Sequence[Entity] = (root, root, issuing, leaf(root, "Leaf"), ca("Stray"), ca("Forged", ca("Root")))
    lost = leaf(ca("Lost"))
    chain = arrange(ours(*trust), servers=ours(leaf(issuing), lost))
    assert sorted(each.rule for each in chain.findings) == [
        "chain.bad-signature",
        "chain.duplicate",
        "chain.incomplete",
        "chain.key-usage",
        "chain.leaf-in-trust",
        "chain.path-length",
        "chain.unrelated",
        "chain.unrelated",
    ]


def test_roles_are_told_by_evidence() -> None:
    """Neither the name nor the place in a file makes a root."""
    root = ca("Not called so")
    intermediate = ca("Root CA", root)
    assert [role_of(each.ours) for each in (root, intermediate, leaf(intermediate, "Root"))] == [
        "root",
        "intermediate",
        "leaf",
    ]
