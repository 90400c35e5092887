"""Sites whose config makes the profiles of many devices, and what a batch leaves behind."""

from __future__ import annotations

import hashlib
import plistlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from mdmprofile.batch import STAGING
from mdmprofile.cms.verify import verify
from mdmprofile.ledger import LEDGER_NAME, MADE, SUPERSEDED, Ledger, Recorded
from mdmprofile.ledger_file import LOCK_NAME
from pki import DAY, NOW, Entity, Key, Site, ec_key, issue, make_site

ISSUED = """\
[identity]
type = "pkcs12"
ca_certificate = "ca.pem"
ca_key = "ca.key"
key = "p256"
subject = "CN={{ device.serial }},O=Example Inc."
"""
SCEP = """\
[identity]
type = "scep"
url = "https://mdm.example.com/scep"
subject = "CN={{ device.serial }}"
challenge = "{{ device.challenge }}"
validity = "365d"
"""
ACME = """\
[identity]
type = "acme"
directory_url = "https://mdm.example.com/acme"
subject = "CN={{ device.serial }}"
validity = "365d"
"""


def fleet_site(folder: Path, identity: str = ISSUED, *, signed: bool = True, ca_key: Key | None = None) -> Site:
    """A site with this ``[identity]`` table, and a CA for devices in ``ca.pem`` and ``ca.key``."""
    site = make_site(folder)
    set_identity(site, identity)
    write_ca(site, device_ca(site, key=ca_key))
    if not signed:
        site.edit(lambda text: text.partition("[signing]")[0])
    return site


def set_identity(site: Site, identity: str) -> None:
    """Put this ``[identity]`` table in the place of the config's."""
    site.edit(lambda text: re.sub(r"(?ms)^\[identity\]\n.*?(?=^\[|\Z)", lambda _: f"{identity}\n", text))


def device_ca(site: Site, *, key: Key | None = None, days: int = 1800, **more: Any) -> Entity:
    """A CA for devices, below the site's root."""
    return issue("Device CA", site.root, key=key or ec_key(), ca=True, end=NOW + days * DAY, **more)


def write_ca(site: Site, ca: Entity) -> None:
    """Put a CA where the config looks for it."""
    (site.folder / "ca.pem").write_bytes(ca.pem)
    (site.folder / "ca.key").write_bytes(ca.key_pem())


def devices_csv(count: int, *columns: str) -> str:
    """A table of devices with serial, udid and more columns, whose values are their name and the device's number."""
    rows = [f"S{n:05},U{n:05}," + ",".join(f"{column}-{n}" for column in columns) for n in range(count)]
    return "\n".join([",".join(("serial", "udid", *columns)), *(each.rstrip(",") for each in rows), ""])


def content_of(data: bytes) -> bytes:
    """What is inside a signed profile, once our verification has accepted its signature."""
    if not data.startswith(b"0"):
        return data
    verified = verify(data)
    assert all(each.valid for each in verified.signers)
    assert verified.signers
    return verified.content


def plist_of(data: bytes) -> dict[str, Any]:
    """A profile, signed or not, as a dictionary."""
    plist: dict[str, Any] = plistlib.loads(content_of(data))
    return plist


def payload_of(data: bytes, kind: str) -> Mapping[str, Any]:
    """The one payload of a type that ends with ``kind``."""
    (found,) = [each for each in plist_of(data)["PayloadContent"] if each["PayloadType"].endswith(kind)]
    assert isinstance(found, Mapping)
    return found


def certificate_of(data: bytes) -> x509.Certificate:
    """The device's certificate in a profile, opened with the password that stands beside it."""
    payload = payload_of(data, "pkcs12")
    _, certificate, _ = pkcs12.load_key_and_certificates(payload["PayloadContent"], payload["Password"].encode())
    assert certificate is not None
    return certificate


def rows_of(directory: Path) -> list[Recorded]:
    """Every row of the ledger."""
    with Ledger.read(directory / LEDGER_NAME) as ledger:
        return list(ledger.history())


def files_of(directory: Path) -> dict[str, Path]:
    """Every file below the directory by its name there, without the ledger and the lock."""
    found = {each.relative_to(directory).as_posix(): each for each in directory.rglob("*") if each.is_file()}
    return {name: path for name, path in found.items() if name not in (LEDGER_NAME, LOCK_NAME)}


def assert_in_order(directory: Path, *, issued: bool = True) -> dict[str, Recorded]:
    """The ledger and the files agree in everything; returns the made rows by the name of their file."""
    rows = rows_of(directory)
    made = {each.entry.name: each for each in rows if each.state == MADE}
    files = files_of(directory)
    assert sorted(files) == sorted(made)
    assert not list((directory / STAGING).iterdir())
    serials = [each.entry.certificate_serial for each in rows]
    if issued:
        assert all(serials)
        assert len(set(serials)) == len(serials)
    for name, path in files.items():
        data, entry = path.read_bytes(), made[name].entry
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (entry.profile_sha256, entry.size)
        assert path.stat().st_mode & 0o777 == 0o600
        if issued:
            certificate = certificate_of(data)
            assert f"{certificate.serial_number:x}" == entry.certificate_serial
    for key in ("udid", "serial"):
        known = [getattr(each.entry, key) for each in made.values() if getattr(each.entry, key)]
        assert len(set(known)) == len(known)
    assert {each.state for each in rows} <= {MADE, SUPERSEDED, "abandoned"}
    return made
