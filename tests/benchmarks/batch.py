"""How near batch comes to what the processor can do, as ratios within one run.

Each figure is the work of one primitive alone on all cores at once (signatures, key generations, PKCS#12 files), against
whole profiles, which contain one of them each: read from the table, recorded, judged, signed, written and recorded again.
The primitive is measured before and after, and the mean of both taken, because a machine's speed drifts.

    python tests/benchmarks/batch.py [scep] [rsa] [p256] [openssl] [--devices N]
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from pki import NOW, Site, issue, make_site, root_ca

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SECONDS = 6.0
ISSUED = """\
type = "pkcs12"
ca_certificate = "ca.pem"
ca_key = "ca.key"
key = "{key}"
subject = "CN={{{{ device.udid }}}},O=Example"
"""


def signatures() -> Callable[[], object]:
    """One RSA-2048 signature over SHA-256."""
    key = rsa.generate_private_key(65537, 2048)
    data = secrets.token_bytes(200)
    return lambda: key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def generations() -> Callable[[], object]:
    """One RSA-2048 key."""
    return lambda: rsa.generate_private_key(65537, 2048)


def serialisations() -> Callable[[], object]:
    """One PKCS#12 of a P-256 key and its certificate in the encryption that every Apple release reads."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue("device", root_ca(key=ec.generate_private_key(ec.SECP256R1())), key=key).certificate
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2048)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(b"a password of some length")
    )
    return lambda: pkcs12.serialize_key_and_certificates(b"device", key, certificate, None, encryption)


PRIMITIVES = {"signatures": signatures, "generations": generations, "serialisations": serialisations}


def _count(name: str, barrier: multiprocessing.synchronize.Barrier, results: multiprocessing.Queue[float]) -> None:
    action = PRIMITIVES[name]()
    action()
    barrier.wait()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        action()
        done += 1
    results.put(done / (time.perf_counter() - start))


def raw(name: str) -> float:
    """How often a second the primitive is done by all cores together."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(CORES), context.Queue()
    workers = [context.Process(target=_count, args=(name, barrier, results)) for _ in range(CORES)]
    for each in workers:
        each.start()
    rate = sum(results.get() for _ in workers)
    for each in workers:
        each.join()
    return rate


def fleet(folder: Path, identity: str, count: int) -> Site:
    """A site whose config makes profiles for so many devices of a table."""
    site = make_site(folder)
    text = site.config.read_text()
    head, _, tail = text.partition("[identity]\n")
    site.config.write_text(f"{head}[identity]\n{identity}\n[signing]{tail.partition('[signing]')[2]}")
    with (folder / "devices.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["serial", "udid", "challenge"])
        rows.writerows([f"C{n:011d}", f"00008030-{n:016X}", secrets.token_urlsafe(24)] for n in range(count))
    return site


def batch(site: Site) -> float:
    """How many seconds batch takes for the site's table, from start to end."""
    shutil.rmtree(site.folder / "fleet", ignore_errors=True)
    command = [sys.executable, "-m", "mdmprofile", "batch", "devices.csv", "-o", "fleet", "--at", "2031-03-01", "-q"]
    start = time.perf_counter()
    subprocess.run(command, cwd=site.folder, check=True)
    return time.perf_counter() - start


def ratio(name: str, what: str, site: Site, count: int, wanted: float) -> None:
    """Measure the primitive, the batch, and the primitive again."""
    before = raw(name)
    rate = count / batch(site)
    after = raw(name)
    reference = (before + after) / 2
    print(
        f"{what}: {rate:,.0f}/s, raw {name} {before:,.0f}/s and {after:,.0f}/s on {CORES} cores: "
        f"{100 * rate / reference:.0f} % (at least {100 * wanted:.0f} %)"
    )


def scep(folder: Path, count: int) -> None:
    """SCEP profiles signed with RSA-2048."""
    identity = 'type = "scep"\nurl = "https://mdm.example.com/scep"\nchallenge = "{{ device.challenge }}"\n'
    site = fleet(folder, identity + 'subject = "CN={{ device.serial }}"\nvalidity = "365d"\n', count)
    ratio("signatures", f"SCEP, {count:,} devices", site, count, 0.70)


def issued(folder: Path, key: str, count: int) -> Site:
    """A site that issues identities from an EC CA."""
    site = fleet(folder, ISSUED.format(key=key), count)
    ca = root_ca("Device CA", key=ec.generate_private_key(ec.SECP256R1()))
    (folder / "ca.pem").write_bytes(ca.pem)
    (folder / "ca.key").write_bytes(ca.key_pem())
    return site


def rsa_identities(folder: Path, count: int) -> None:
    """PKCS#12 identities with RSA-2048 keys."""
    ratio("generations", f"PKCS#12 RSA-2048, {count:,} devices", issued(folder, "rsa2048", count), count, 0.85)


def p256(folder: Path, count: int) -> None:
    """PKCS#12 identities with P-256 keys, EC CA."""
    ratio("serialisations", f"PKCS#12 P-256, {count:,} devices", issued(folder, "p256", count), count, 0.75)
