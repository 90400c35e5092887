"""Secrets of a profile, masked wherever they are."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mdmprofile.masking import MASK, masked
from pki import issue
from replacing import ACME, CHALLENGE, MDM, PEM, PKCS12, Plist, made, scep

HIDDEN = "hunter2-Zz9"
KEY = issue("Device").key_pem()


@pytest.mark.parametrize(
    "payload",
    [
        scep(Challenge=HIDDEN),
        scep(Challenge=4711),
        scep(Challenge={"value": [HIDDEN, {"x": HIDDEN.encode()}]}),
        made(ACME, 1, ClientIdentifier=HIDDEN),
        made(PKCS12, 1, PayloadContent=HIDDEN.encode(), Password=HIDDEN),
        made(PKCS12, 1, PayloadContent=[HIDDEN]),
        made(PEM, 1, PayloadContent=KEY + HIDDEN.encode()),
        made("com.apple.profileRemovalPassword", 1, RemovalPassword=HIDDEN),
        made("com.apple.wifi.managed", 1, Password=HIDDEN, EAPClientConfiguration={"UserPassword": HIDDEN}),
        made("com.apple.vpn.managed", 1, IPSec={"SharedSecret": HIDDEN.encode(), "XAuthPassword": HIDDEN}),
        made("com.apple.vpn.managed", 1, PPP={"AuthPassword": HIDDEN}),
        made("com.apple.eas.account", 1, Certificate=HIDDEN.encode(), CertificatePassword=HIDDEN),
        made("com.apple.cellular", 1, APNs=[{"Password": HIDDEN}]),
        made("com.example", 1, a={"b": [{"c": {"enroll_secret": HIDDEN, "API-Key": HIDDEN, "Token": HIDDEN}}]}),
        made("com.example", 1, UnlockToken=HIDDEN.encode(), Authorization=f"Bearer {HIDDEN}", PIN=HIDDEN),
        made(MDM, 1, ServerURL=f"https://user:{HIDDEN}@mdm.example.com/mdm"),
        made(MDM, 1, ServerURL=f"https://user:p@ss:{HIDDEN}@mdm.example.com/mdm"),
        made(MDM, 1, ServerURL=f"https://mdm.example.com/mdm?a=b&enroll_secret={HIDDEN}&c=d"),
        made("com.example", 1, text=KEY.decode() + HIDDEN),
    ],
    ids=lambda each: "-".join(each)[-40:],
)
def test_no_secret_is_left(payload: Plist) -> None:
    """Whatever the payload and however deep, and at the top of a profile as well."""
    for each in (masked(payload), masked({"PayloadContent": [{"a": payload}]}), masked({"Deep": {"er": payload}})):
        assert HIDDEN not in str(each)
        assert HIDDEN.encode().hex() not in str(each)
        assert "4711" not in str(each).replace(CHALLENGE, "")


def test_everything_else_stays() -> None:
    """Values that are no secret are the same, and secrets stay of their kind."""
    payload = made(
        "com.example",
        1,
        forcePIN=True,
        passwordAgeInDays=30,
        allowPasscodeModification=False,
        URL="https://mdm.example.com/mdm?site=1",
        mail="mailto:a@example.com, //x y@z",
        Nested=[{"a": b"data", "b": 1.5}],
        Empty="",
        Password="",
    )
    assert masked(payload) == payload
    assert masked({"Password": b"x", "Challenge": "x"}) == {"Password": MASK.encode(), "Challenge": MASK}


def test_certificate_in_pem_is_no_secret() -> None:
    """Only a private key is."""
    certificate = issue("Root", ca=True).certificate.public_bytes(Encoding.PEM)
    payload = made(PEM, 1, PayloadContent=certificate)
    assert masked(payload) == payload
