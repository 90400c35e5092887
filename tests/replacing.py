"""Old and new profiles for the tests of replacements: plain property lists, so that every key can be bent."""

from __future__ import annotations

import copy
import plistlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mdmprofile.certificates import Identity
from mdmprofile.cms.sign import sign
from mdmprofile.profile import Profile, parse
from mdmprofile.reader import OpenedProfile, open_profile
from pki import TOPIC, Entity, root_ca

Plist = dict[str, Any]
Change = Callable[[Plist], object]

ROOT, PKCS1, PEM = "com.apple.security.root", "com.apple.security.pkcs1", "com.apple.security.pem"
SCEP, ACME, PKCS12 = "com.apple.security.scep", "com.apple.security.acme", "com.apple.security.pkcs12"
MDM = "com.apple.mdm"
CHALLENGE = "open-sesame-4711"
URL = "https://mdm.example.com/mdm"
PER_USER = "com.apple.mdm.per-user-connections"


def uuid(number: int) -> str:
    """A UUID that is easy to recognise."""
    return f"{number:08d}-0000-4000-8000-000000000000"


def made(kind: str, number: int, /, **keys: Any) -> Plist:
    """A payload of this type with the keys that every payload has."""
    return {
        "PayloadType": kind,
        "PayloadVersion": 1,
        "PayloadIdentifier": f"com.example.mdm.enroll.{number}",
        "PayloadUUID": uuid(number),
        "PayloadDisplayName": f"Payload {number}",
    } | keys


def scep(number: int = 2, /, **keys: Any) -> Plist:
    """A SCEP payload; its keys sit one level down."""
    inner = {"URL": "https://mdm.example.com/scep", "Challenge": CHALLENGE, "Keysize": 2048} | keys
    return made(SCEP, number, PayloadContent=inner)


def mdm(number: int = 3, /, **keys: Any) -> Plist:
    """An MDM payload that all devices take."""
    usual = {
        "IdentityCertificateUUID": uuid(2),
        "Topic": TOPIC,
        "ServerURL": URL,
        "AccessRights": 8191,
        "ServerCapabilities": [PER_USER],
        "CheckOutWhenRemoved": True,
    }
    return made(MDM, number, **(usual | keys))


def plist(*payloads: Plist, **top: Any) -> Plist:
    """A profile of these payloads."""
    return {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": "com.example.mdm.enroll",
        "PayloadUUID": uuid(0),
        "PayloadScope": "System",
        "PayloadDisplayName": "Example MDM",
    } | top | {"PayloadContent": list(payloads)}  # fmt: skip


def usual(root: Entity | None = None) -> Plist:
    """A root, a SCEP identity and the MDM payload."""
    return plist(made(ROOT, 1, PayloadContent=(root or root_ca()).der), scep(), mdm())


def changed(old: Plist, change: Change) -> Plist:
    """A copy of the profile that the function changed."""
    new = copy.deepcopy(old)
    change(new)
    return new


def payload(profile: Plist, kind: str) -> Plist:
    """The first payload of this type."""
    found: Plist = next(each for each in profile["PayloadContent"] if each["PayloadType"] == kind)
    return found


def as_profile(profile: Plist) -> Profile:
    """The profile as it is read from a file."""
    return parse(plistlib.dumps(profile))


def opened(profile: Plist, signer: Entity | None = None) -> OpenedProfile:
    """The profile as a file, signed where there is a signer."""
    return open_profile(file_of(profile, signer), source="a file")


def file_of(profile: Plist, signer: Entity | None = None, form: plistlib.PlistFormat = plistlib.FMT_XML) -> bytes:
    """The bytes of a file with the profile."""
    data = plistlib.dumps(profile, fmt=form)
    return sign(data, Identity(signer.ours, signer.key)) if signer else data


def write(folder: Path, name: str, profile: Plist, signer: Entity | None = None) -> Path:
    """A file with the profile."""
    path = folder / name
    path.write_bytes(file_of(profile, signer))
    return path
