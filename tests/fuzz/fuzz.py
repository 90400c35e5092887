"""Feed broken profiles, CMS and certificates to everything that reads them, and count.

    python tests/fuzz/fuzz.py [--seconds N] [--seed N] [profile|cms|certificates|check|answers ...]
    python tests/fuzz/fuzz.py --atheris TARGET [ATHERIS OPTIONS]     # coverage-guided: pip install atheris

Only a project error may come out, and none may take longer than ``SLOWEST`` seconds. What breaks either is printed with
the seed and written nowhere; the seed makes it again.
"""

from __future__ import annotations

import argparse
import base64
import copy
import importlib
import itertools
import json
import plistlib
import random
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, pkcs7, pkcs12

from mdmprofile.certificates import Identity
from mdmprofile.changes import find_changes
from mdmprofile.cms.encrypt import encrypt_profile
from mdmprofile.cms.envelope import parse_envelope
from mdmprofile.cms.sign import sign
from mdmprofile.cms.trust import judge_trust
from mdmprofile.cms.verify import verify
from mdmprofile.containers import load_certificates, load_pkcs12, load_private_key
from mdmprofile.contents import Keys, read_contents
from mdmprofile.doctor.enrolled import enrolled_by_profile
from mdmprofile.errors import MdmprofileError
from mdmprofile.findings import by_severity
from mdmprofile.inspection import inspect
from mdmprofile.payloads import types
from mdmprofile.plan import Thresholds
from mdmprofile.probe.locations import locate, name_of
from mdmprofile.profile import Profile
from mdmprofile.published import URLS, read_anchors, read_service_config
from mdmprofile.reader import open_profile
from mdmprofile.reports.inspection import as_dict, sections
from mdmprofile.reports.json import render as render_json
from mdmprofile.reports.model import View
from mdmprofile.reports.plain import render as render_plain
from mdmprofile.rules.lint import lint
from mdmprofile.schedule import make_schedule
from mdmprofile.survey import Asked, judge_targets
from mdmprofile.takeover import take_over
from pki import DAY, NOW, ec_key, issue, root_ca

SLOWEST = 10.0
PASSWORD = "fuzz"

_ROOT = root_ca()
_CA = issue("Fuzz CA", _ROOT, ca=True)
_SIGNER = issue("Fuzz Signer", _CA)
# An EC key, because the checks that a PKCS#12 with an RSA key goes through take longer than everything else.
_DEVICE = issue("Fuzz Device", _CA, key=ec_key())
_IDENTITY = Identity(_SIGNER.ours, _SIGNER.key, (_CA.ours,))


def _p12() -> bytes:
    """A PKCS#12 with as few iterations as there can be: opening many is what takes the time here."""
    scheme = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(1)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())  # noqa: S303 - what every device imports
        .build(PASSWORD.encode())
    )
    return pkcs12.serialize_key_and_certificates(b"x", _DEVICE.key, _DEVICE.certificate, [_CA.certificate], scheme)


def _profile() -> dict[str, Any]:
    """A profile with every payload that is known, and one that is not."""
    scep = {"URL": "https://a.example/scep", "Challenge": "c", "Keysize": 2048, "Subject": [[["CN", "x"]]]}
    acme = {
        "DirectoryURL": "https://a.example/acme", "ClientIdentifier": "c", "KeyType": "ECSECPrimeRandom",
        "KeySize": 384, "HardwareBound": True, "Subject": [[["CN", "x"]]],
    }  # fmt: skip
    mdm = {
        "IdentityCertificateUUID": "UUID-3", "Topic": "com.apple.mgmt.External.x", "ServerURL": "https://a.example/mdm",
        "AccessRights": 8191, "ServerCapabilities": ["com.apple.mdm.per-user-connections"],
        "ServerURLPinningCertificateUUIDs": ["UUID-2"],
    }  # fmt: skip
    contents: list[tuple[str, dict[str, Any]]] = [
        (types.ROOT, {"PayloadContent": _ROOT.der}),
        (types.PKCS1, {"PayloadContent": _CA.der}),
        (types.PEM, {"PayloadContent": _SIGNER.pem}),
        (types.SCEP, {"PayloadContent": scep}),
        (types.ACME, acme),
        (types.PKCS12, {"PayloadContent": _p12(), "Password": PASSWORD}),
        ("com.apple.wifi.managed", {"SSID_STR": "x", "Password": "y", "PayloadCertificateUUID": "UUID-5"}),
        (types.REMOVAL_PASSWORD, {"RemovalPassword": "z"}),
        (types.MDM, mdm),
    ]
    payloads = [
        {"PayloadType": kind, "PayloadVersion": 1, "PayloadIdentifier": f"a.{number}", "PayloadUUID": f"UUID-{number}"}
        | content
        for number, (kind, content) in enumerate(contents)
    ]
    return {
        "PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "a", "PayloadUUID": "UUID",
        "PayloadDisplayName": "Fuzz", "PayloadContent": payloads,
    }  # fmt: skip


def use_profile(data: bytes) -> None:
    """Everything that ``lint``, ``show``, ``diff`` and ``init --from`` make of a file."""
    linted = lint(data, now=NOW)
    render_json(View(now=NOW, findings=linted.findings, errors=linted.errors))
    opened = open_profile(data, recipient=_IDENTITY)
    for reveal in (False, True):
        shown = inspect(opened, [_ROOT.ours], now=NOW, reveal=reveal)
        view = View(now=NOW, findings=by_severity(opened.findings), sections=sections(shown), extra=as_dict(shown))
        render_plain(view)
        render_json(view)
    find_changes(opened.profile, Profile(_profile()))
    take_over(opened, data)


def use_cms(data: bytes) -> None:
    """Signatures and envelopes."""
    for read in (lambda: judge_trust(verify(data), [_ROOT.ours], at=NOW), lambda: parse_envelope(data)):
        _only_ours(read)


def use_certificates(data: bytes) -> None:
    """Certificates, keys and PKCS#12 in whatever container."""
    password = PASSWORD.encode()
    for read in (
        lambda: load_certificates(data),
        lambda: load_certificates(data, password=password),
        lambda: load_pkcs12(data, password=password),
        lambda: load_private_key(data),
        lambda: load_private_key(data, password=password),
    ):
        _only_ours(read)


def _only_ours(read: Callable[[], object]) -> None:
    try:
        read()
    except MdmprofileError:
        return


def use_check(data: bytes) -> None:
    """A file as ``check`` and ``plan`` read it, in every format."""
    target = read_contents(data, source="x", keys=Keys(PASSWORD, _IDENTITY))._replace(name="x")
    found = judge_targets([target], now=NOW, asked=Asked(replace_on=NOW + 400 * DAY))
    view = View(NOW, **found._asdict())
    for each in FORMATS:
        importlib.import_module(f"mdmprofile.reports.{each}").render(view)
    thresholds = Thresholds(replace_on=NOW + 400 * DAY)
    plan = make_schedule(target.watched, thresholds, now=NOW, validity=None, carries_trust=True)
    render_json(View(NOW, plan=plan, watched=target.watched))


def use_answers(data: bytes) -> None:
    """What a server may answer with, where its URL leads, and what a device would know from a profile."""
    text = data.decode("utf-8", "replace")
    for read in (
        lambda: read_service_config(data, source="x"),
        lambda: read_anchors(data, source="x"),
        lambda: name_of(text),
        lambda: locate(text).follow(text),
        lambda: enrolled_by_profile(open_profile(data).profile, source="x"),
    ):
        _only_ours(read)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "profile": use_profile,
    "cms": use_cms,
    "certificates": use_certificates,
    "check": use_check,
    "answers": use_answers,
}
FORMATS = ("csv", "github", "html", "ics", "json", "junit", "nagios", "plain", "prometheus")


def seeds(target: str) -> list[bytes]:
    """Whole inputs of a target, to be broken."""
    plist = _profile()
    xml = plistlib.dumps(plist)
    encrypted = encrypt_profile(Profile(plist), [_SIGNER.ours]).to_bytes()
    signed = sign(xml, _IDENTITY)
    if target in {"profile", "check"}:
        return [xml, plistlib.dumps(plist, fmt=plistlib.FMT_BINARY), signed, encrypted, sign(encrypted, _IDENTITY)]
    if target == "answers":
        urls = {name: f"https://u:p@mdm.example.com:8443/{name}?a=b#c" for name in URLS}
        anchors = [base64.b64encode(each.der).decode() for each in (_ROOT, _CA)]
        return [
            json.dumps(urls).encode(),
            json.dumps(anchors).encode(),
            *(each.encode() for each in urls.values()),
            xml,
        ]
    if target == "cms":
        return [signed, sign(b"<plist/>", _IDENTITY), plistlib.loads(encrypted)["EncryptedPayloadContent"]]
    bundle = pkcs7.serialize_certificates([_ROOT.certificate, _CA.certificate], Encoding.DER)
    return [
        _ROOT.der,
        _ROOT.pem + _CA.pem,
        bundle,
        _p12(),
        _SIGNER.key_pem(),
        _DEVICE.key_pem(PASSWORD),
    ]


ODD: tuple[Any, ...] = (
    "", "x" * 5000, b"", b"\x30\x80", 0, -1, 2**63, 2**64 - 1, 1.5, float("nan"), True, [], {}, [[]], [{}], {"a": {}},
    "com.apple.mdm", "UUID-3", "\u202e\x1b[2J", ["x"] * 300, "https://u:p@h/", "{{ x }}", "https://[", _ROOT.der,
)  # fmt: skip


def broken(data: bytes, chance: random.Random) -> bytes:
    """The bytes with something done to them."""
    if chance.random() < 0.5 and data.lstrip()[:5] in {b"<?xml", b"bplis"}:
        return _odd_value(data, chance)
    mutable = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        place = chance.randrange(len(mutable) + 1)
        kind = chance.randrange(6)
        if kind == 0 and place < len(mutable):
            mutable[place] ^= 1 << chance.randrange(8)
        elif kind == 1 and place < len(mutable):
            mutable[place] = chance.choice((0, 1, 0x30, 0x80, 0x84, 0xA0, 0x7F, 0xFF, chance.randrange(256)))
        elif kind == 2:
            del mutable[place : place + chance.choice((1, 2, 8, 100, 2000))]
        elif kind == 3:
            mutable[place:place] = chance.randbytes(chance.choice((1, 2, 8, 100)))
        elif kind == 4:
            start = chance.randrange(len(mutable) + 1)
            mutable[place:place] = mutable[start : start + chance.choice((2, 16, 300))]
        else:
            del mutable[place:]
    return bytes(mutable)


def _odd_value(data: bytes, chance: random.Random) -> bytes:
    """A property list in which one value is of another kind: what no mutation of bytes would hit."""
    plist = plistlib.loads(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        holder: Any = plist
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = chance.choice(keys)
            below = holder[key]
            if isinstance(below, dict | list) and below and chance.random() < 0.8:
                holder = below
                continue
            if chance.random() < 0.2 and isinstance(holder, dict):
                del holder[key]
            else:
                # Copied, so that what is broken next is not broken everywhere.
                holder[key] = copy.deepcopy(chance.choice(ODD))
            break
    form = chance.choice((plistlib.FMT_XML, plistlib.FMT_BINARY))
    try:
        made = plistlib.dumps(plist, fmt=form, sort_keys=False)
    except (TypeError, ValueError, OverflowError):
        return data
    return sign(made, _IDENTITY) if chance.random() < 0.05 else made


class Broken(NamedTuple):
    """What went wrong: the target, the input and the reason."""

    target: str
    data: bytes
    reason: str


def run(targets: Sequence[str], *, seconds: float, seed: int) -> tuple[int, list[Broken]]:
    """Break inputs for so long, all targets in turn; how many were tried, and what should not have happened."""
    chance = random.Random(seed)  # noqa: S311 - the same seed makes the same inputs
    starts = {target: seeds(target) for target in targets}
    end = time.monotonic() + seconds
    failures: list[Broken] = []
    count = 0
    for target in itertools.cycle(targets):
        if time.monotonic() > end:
            return count, failures
        data = broken(chance.choice(starts[target]), chance)
        reason = tried(target, data)
        count += 1
        if reason:
            failures.append(Broken(target, data, reason))
    return count, failures


def tried(target: str, data: bytes) -> str:
    """What is wrong with how a target takes the data; empty when nothing is."""
    start = time.process_time()
    try:
        TARGETS[target](data)
    except MdmprofileError as error:
        if len(str(error).splitlines()) > 1:
            return f"an error of several lines: {error!r}"
    except Exception as error:  # noqa: BLE001 - finding these is what it is for
        return f"{type(error).__name__}: {str(error)[:200]}"
    taken = time.process_time() - start
    return f"took {taken:.1f} seconds" if taken > SLOWEST else ""


def with_atheris(target: str, options: Sequence[str]) -> None:
    """Let atheris find inputs by the code they reach; it does not return."""
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415 - asked for by hand

    def one(data: bytes) -> None:
        reason = tried(target, data)
        if reason:
            raise RuntimeError(reason)

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


def main() -> int:
    """1 when something came out that is no project error."""
    parser = argparse.ArgumentParser(description="Feed broken files to everything that reads them.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--atheris", choices=TARGETS, help="run one target under atheris; further options are its own")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    # Broken certificates make the library warn, once for each place.
    warnings.simplefilter("ignore")
    given, others = parser.parse_known_args()
    if given.atheris:
        with_atheris(given.atheris, others)
    count, failures = run(given.targets or list(TARGETS), seconds=given.seconds, seed=given.seed)
    print(f"{count:,} inputs in {given.seconds:.0f} seconds with seed {given.seed}: {len(failures)} wrong")
    for each in failures[:20]:
        print(f"{each.target}: {each.reason}; {len(each.data):,} bytes, {each.data[:60].hex()}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
