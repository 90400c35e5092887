"""Certificates of which one CA signature makes two."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mdmprofile.certificates import Certificate
from mdmprofile.device_trust import DeviceTrust
from mdmprofile.twins import is_exact, twin_of
from messages import device, twin_certificate
from pki import NOW, root_ca, rsa_key


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda each: each.name)
def test_twin_of_an_ec_certificate_is_known_and_is_trusted_too(curve: ec.EllipticCurve) -> None:
    """It is no forgery that could be told from the original, so both have to belong to the one device."""
    authority = root_ca(key=ec.generate_private_key(curve))
    for _ in range(20):
        entity = device(issuer=authority)
        twin = twin_certificate(entity, curve)
        assert twin.der != entity.der
        assert DeviceTrust([authority.ours]).judge_certificate(twin.der, now=NOW)
        assert twin_of(entity.ours, authority.ours) == twin.sha256
        assert twin_of(twin, authority.ours) == entity.sha256


def test_rsa_certificate_has_none() -> None:
    """An RSA signature (PKCS #1 v1.5) is the only one of its kind."""
    authority = root_ca(key=rsa_key())
    assert twin_of(device(issuer=authority).ours, authority.ours) == ""


def test_bits_that_count_for_nothing_are_noticed() -> None:
    """The parser passes over them; the fingerprint would be another one."""
    authority = root_ca(key=rsa_key())
    entity = device(issuer=authority)
    while entity.der[-1] & 1:
        entity = device(issuer=authority)
    assert is_exact(entity.ours)
    changed = bytearray(entity.der)
    changed[-257] = 1
    assert not is_exact(Certificate(bytes(changed)))
