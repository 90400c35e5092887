"""Whether a certificate may speak for a device: who issued it, when it is valid, and what for."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mdmprofile.device_trust import DeviceTrust
from mdmprofile.errors import ExpiredSignerError, MessageError, UntrustedSignerError
from mdmprofile.message import Signer, verify_mdm_signature
from mdmprofile.message_signing import sign_mdm_message
from messages import CLIENT, IDLE, device, device_ca, identity, parts
from pki import DAY, NOW, Entity, ec_key, intermediate_ca, issue, root_ca

SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
ANY = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])


def signer_of(entity: Entity, *chain: Entity) -> Signer:
    """Who signed a message with this identity."""
    return verify_mdm_signature(sign_mdm_message(IDLE, identity(entity, *chain)), IDLE)


def trust(*authorities: Entity) -> DeviceTrust:
    """Trust in these CAs."""
    return DeviceTrust([each.ours for each in authorities])


def refused(kind: type[MessageError], judge: DeviceTrust, signer: Signer, *, days: float = 0) -> MessageError:
    """The error, which is of exactly this kind."""
    with pytest.raises(MessageError) as caught:
        judge.judge(signer, now=NOW + days * DAY)
    assert type(caught.value) is kind, caught.value
    assert caught.value.hint
    return caught.value


def test_identity_of_the_named_ca_is_trusted() -> None:
    """The path is told, from the device's certificate to the CA."""
    entity = device()
    path = trust(device_ca()).judge(signer_of(entity), now=NOW)
    assert path == (entity.ours, device_ca().ours)


@pytest.mark.parametrize("extensions", [(), (CLIENT,), (ANY,)], ids=["absent", "clientAuth", "any"])
def test_identity_for_clients_is_trusted(extensions: Sequence[x509.ExtensionType]) -> None:
    """ExtendedKeyUsage may be absent; where present it has to allow clients."""
    assert trust(device_ca()).judge(signer_of(device(extensions=extensions)), now=NOW)


def test_identity_for_servers_is_refused() -> None:
    """A web server's certificate of the same CA is no device."""
    assert (
        "clientAuth"
        in refused(UntrustedSignerError, trust(device_ca()), signer_of(device(extensions=(SERVER,)))).message
    )


def test_other_ca_with_the_same_name_is_not_the_ca() -> None:
    """Names are nobody's property."""
    imposter = root_ca("Device CA", key=ec_key())
    error = refused(UntrustedSignerError, trust(device_ca()), signer_of(device(issuer=imposter), imposter))
    assert error.rule == "signature.untrusted"


def test_certificate_that_signed_itself_is_refused() -> None:
    """Anybody can make one."""
    refused(UntrustedSignerError, trust(device_ca()), signer_of(issue("device", extensions=(CLIENT,))))


@pytest.mark.parametrize("embedded", [True, False])
def test_intermediate_may_be_embedded_or_named(*, embedded: bool) -> None:
    """The root alone is enough where the device sends the rest; the issuing CA alone always is."""
    root = root_ca()
    between = intermediate_ca(root)
    entity = device(issuer=between)
    signer = signer_of(entity, *([between] if embedded else []))
    if embedded:
        assert len(trust(root).judge(signer, now=NOW)) == 3
    else:
        refused(UntrustedSignerError, trust(root), signer)
    assert trust(between).judge(signer, now=NOW)[0] == entity.ours


def test_cas_of_a_stranger_are_not_followed() -> None:
    """Building paths from CAs of one name that signed each other takes a thousand times as long as a message should."""
    key = ec_key()
    circle = [root_ca("Stranger", key=key) for _ in range(14)]
    between = intermediate_ca(device_ca())
    stranger = refused(UntrustedSignerError, trust(device_ca()), signer_of(device(issuer=circle[0]), *circle))
    assert "signature check" not in stranger.message
    # Nor do they stand in the way of one that joins.
    assert len(trust(device_ca()).judge(signer_of(device(issuer=between), *circle, between), now=NOW)) == 3


def test_several_intermediates_join_in_any_order() -> None:
    """Each is found by the one above it."""
    upper = intermediate_ca(device_ca(), "Upper")
    lower = intermediate_ca(upper, "Lower")
    for chain in ((upper, lower), (lower, upper)):
        assert len(trust(device_ca()).judge(signer_of(device(issuer=lower), *chain), now=NOW)) == 4


def test_ca_itself_is_no_device() -> None:
    """Its key signs certificates; a message signed with it was made by somebody who took it."""
    between = intermediate_ca(device_ca())
    for each in (device_ca(), between):
        assert "is a CA" in refused(UntrustedSignerError, trust(device_ca()), signer_of(each)).message


@pytest.mark.parametrize(
    ("days", "accepted"), [(-1, True), (-1 - 299 / 86_400, True), (-1.01, False), (30, True), (30.1, False)]
)
def test_certificate_is_trusted_while_it_is_valid(days: float, *, accepted: bool) -> None:
    """Five minutes early are tolerated, because clocks differ; late is late."""
    signer = signer_of(device(start=NOW - DAY, end=NOW + 30 * DAY))
    if accepted:
        assert trust(device_ca()).judge(signer, now=NOW + days * DAY)
    else:
        assert refused(ExpiredSignerError, trust(device_ca()), signer, days=days).rule == "expiry.expired"


def test_expired_certificate_of_a_stranger_is_untrusted() -> None:
    """That it expired is not what is wrong with it."""
    signer = signer_of(device(issuer=root_ca("Stranger", key=ec_key()), end=NOW))
    refused(UntrustedSignerError, trust(device_ca()), signer, days=9)


def test_ca_that_expired_is_named_as_the_reason() -> None:
    """The device is not to blame, and a new identity would not help."""
    old = root_ca("Old CA", days=10)
    signer = signer_of(device(issuer=old, end=NOW + 300 * DAY))
    assert trust(old).judge(signer, now=NOW)
    assert "a CA above" in refused(ExpiredSignerError, trust(old), signer, days=20).message


def test_trust_that_was_found_ends_with_the_certificates() -> None:
    """A path is remembered, but not beyond its end, and is found again when time goes back."""
    judge = trust(device_ca())
    signer = signer_of(device(end=NOW + DAY))
    first = judge.judge(signer, now=NOW)
    assert judge.judge(signer, now=NOW) is first
    refused(ExpiredSignerError, judge, signer, days=2)
    assert judge.judge(signer, now=NOW) == first


def test_trust_does_not_depend_on_what_came_before() -> None:
    """The same certificate without the intermediate that it needs is judged as if it came first."""
    root = root_ca()
    between = intermediate_ca(root)
    entity = device(issuer=between)
    judge = trust(root)
    assert judge.judge(signer_of(entity, between), now=NOW)
    refused(UntrustedSignerError, judge, signer_of(entity))


def test_every_changed_byte_of_the_certificate_is_noticed() -> None:
    """The message's signature covers the key alone; the issuer's covers the rest."""
    entity = device()
    judge = trust(device_ca())
    usual = parts(entity, IDLE)
    accepted = []
    for at in range(len(entity.der)):
        changed = bytearray(entity.der)
        changed[at] ^= 1
        header = dataclasses.replace(usual, certificates=(bytes(changed),)).header()
        try:
            judge.judge(verify_mdm_signature(header, IDLE), now=NOW)
        except MessageError:
            continue
        accepted.append(at)
    assert accepted == []


def test_embedded_rubbish_joins_nothing() -> None:
    """Other certificates in a header may be unreadable."""
    entity = device()
    header = dataclasses.replace(parts(entity, IDLE), certificates=(entity.der, b"\x30\x03\x02\x01\x00")).header()
    with pytest.raises(MessageError):
        verify_mdm_signature(header, IDLE)
    broken = device_ca().der.replace(b"\x55\x04\x03", b"\x55\x04\xff")
    header = dataclasses.replace(parts(entity, IDLE), certificates=(entity.der, broken)).header()
    assert trust(device_ca()).judge(verify_mdm_signature(base64.b64decode(header) and header, IDLE), now=NOW)


def test_more_devices_than_are_remembered_are_judged_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by several threads at once."""
    monkeypatch.setattr("mdmprofile.device_trust._REMEMBERED", 3)
    judge = trust(device_ca())
    signers = [signer_of(device(f"device {number}")) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda each: judge.judge(each, now=NOW), signers * 20))
    assert [each[0].der for each in paths] == [each.der for each in signers * 20]


def test_skew_is_the_caller_s() -> None:
    """A CA whose clock is ahead can be allowed more."""
    signer = signer_of(device(start=NOW + timedelta(hours=1)))
    refused(ExpiredSignerError, trust(device_ca()), signer)
    assert DeviceTrust([device_ca().ours], clock_skew=timedelta(hours=1)).judge(signer, now=NOW)
