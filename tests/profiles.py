"""Profiles as dictionaries that no rule finds fault with, and changes that break one thing in them."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

from pki import TOPIC

Plist = dict[str, Any]
Change = Callable[[Plist], object]

ROOT_UUID = "00000000-0000-4000-8000-000000000001"
SCEP_UUID = "00000000-0000-4000-8000-000000000002"
MDM_UUID = "00000000-0000-4000-8000-000000000003"


def payload(kind: str, uuid: str, **keys: Any) -> Plist:
    """A payload with its common keys; the identifier follows from type and UUID."""
    common = {"PayloadType": kind, "PayloadVersion": 1, "PayloadUUID": uuid}
    return common | {"PayloadIdentifier": f"com.example.{kind}.{uuid[-4:]}"} | keys


def scep(uuid: str = SCEP_UUID) -> Plist:
    """A SCEP payload that no rule finds fault with."""
    inner = {
        "URL": "https://scep.example.com/scep",
        "Keysize": 2048,
        "Key Type": "RSA",
        "Key Usage": 5,
        "Subject": [[["O", "Example Inc."]], [["CN", "device"]]],
        "Retries": 3,
        "RetryDelay": 10,
        "CAFingerprint": bytes(20),
    }
    return payload("com.apple.security.scep", uuid, PayloadContent=inner)


def acme(uuid: str = SCEP_UUID) -> Plist:
    """An ACME payload that no rule finds fault with."""
    return payload(
        "com.apple.security.acme",
        uuid,
        DirectoryURL="https://acme.example.com/directory",
        ClientIdentifier="once-only",
        KeyType="ECSECPrimeRandom",
        KeySize=384,
        HardwareBound=True,
        Attest=False,
        Subject=[[["CN", "device"]]],
        UsageFlags=5,
        ExtendedKeyUsage=["1.3.6.1.5.5.7.3.2"],
    )


def mdm() -> Plist:
    """An MDM payload that refers to the root and the identity."""
    return payload(
        "com.apple.mdm",
        MDM_UUID,
        IdentityCertificateUUID=SCEP_UUID,
        Topic=TOPIC,
        ServerURL="https://mdm.example.com:8443/mdm?tenant=1",
        CheckInURL="https://mdm.example.com/checkin",
        AccessRights=8191,
        ServerCapabilities=["com.apple.mdm.per-user-connections", "com.apple.mdm.token"],
        ServerURLPinningCertificateUUIDs=[ROOT_UUID],
        CheckInURLPinningCertificateUUIDs=[ROOT_UUID],
        SignMessage=False,
    )


def root(uuid: str = ROOT_UUID) -> Plist:
    """A root payload; no rule reads its certificate."""
    return payload("com.apple.security.root", uuid, PayloadContent=b"\x30\x00")


def enrollment(identity: Callable[[], Plist] = scep) -> Plist:
    """An enrollment profile that no rule finds fault with: root, identity, MDM."""
    return {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": "com.example.mdm",
        "PayloadUUID": "00000000-0000-4000-8000-000000000000",
        "PayloadScope": "System",
        "TargetDeviceType": 5,
        "PayloadContent": [root(), identity(), mdm()],
    }


def trust() -> Plist:
    """A trust profile that no rule finds fault with."""
    return enrollment() | {"PayloadContent": [root()]}


def at(plist: Plist, path: str) -> tuple[Any, Any]:
    """The container and the last key of a path such as ``PayloadContent[2].Topic``."""
    *outer, last = [
        int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)(?=[.\[]|$)|\[(\d+)\]", path)
    ]
    inner: Any = plist
    for each in outer:
        inner = inner[each]
    return inner, last


def put(path: str, value: Any) -> Change:
    """A change that sets one key."""

    def change(plist: Plist) -> None:
        inner, last = at(plist, path)
        inner[last] = value

    return change


def drop(path: str) -> Change:
    """A change that removes one key."""

    def change(plist: Plist) -> None:
        inner, last = at(plist, path)
        del inner[last]

    return change


def both(*changes: Change) -> Change:
    """Several changes, one after the other."""

    def change(plist: Plist) -> None:
        for each in changes:
            each(plist)

    return change


def insert(index: int, entry: Any) -> Change:
    """A change that puts a payload at a place."""
    return lambda plist: plist["PayloadContent"].insert(index, copy.deepcopy(entry))


def move(start: int, end: int) -> Change:
    """A change that moves a payload to another place."""
    return lambda plist: plist["PayloadContent"].insert(end, plist["PayloadContent"].pop(start))
