"""How near batch comes to what the processor can do, as ratios within one run.

Run it from the virtual environment that has mdmprofile installed:

    python tests/benchmarks/batch.py [scep] [rsa] [p256] [openssl] [large] [--devices N]

``scep``, ``rsa`` and ``p256`` hold one primitive alone on all cores at once (signatures, key generations, PKCS#12 files
a second) against whole profiles, which contain one of it each: read from the table, recorded, judged, signed, written,
and recorded again, the start of the processes included. The primitive is measured before and after, and the mean of
both taken, because a machine's speed drifts. ``openssl`` is the same work in a shell loop. ``large`` is 100,000 SCEP
devices in one run: the peak memory of the largest process, and what the ledger costs, and finding out that there is
nothing left to do.
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
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

from mdmprofile.devices.filenames import DEFAULT_NAME, FileNames
from mdmprofile.devices.spool import Spool
from mdmprofile.devices.table import read_table
from mdmprofile.ledger import Begun, Entry, Ledger
from pki import NOW, Site, issue, make_site, root_ca

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# How long a primitive is measured. One key takes several times as long as another, so keys take longer to tell.
SECONDS = {"signatures": 6.0, "generations": 20.0, "serialisations": 6.0}
# As many rows a transaction as a run has.
UNIT = 256
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
        .hmac_hash(hashes.SHA1())  # noqa: S303 - what every Apple release reads
        .build(b"a password of some length")
    )
    return lambda: pkcs12.serialize_key_and_certificates(b"device", key, certificate, None, encryption)


PRIMITIVES = {"signatures": signatures, "generations": generations, "serialisations": serialisations}


def _count(name: str, barrier: multiprocessing.synchronize.Barrier, results: multiprocessing.Queue[float]) -> None:
    action = PRIMITIVES[name]()
    action()
    barrier.wait()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS[name]:
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
    rate = float(sum(results.get() for _ in workers))
    for each in workers:
        each.join()
    return rate


def fleet(folder: Path, identity: str, count: int) -> Site:
    """A site whose config makes profiles for so many devices of a table."""
    shutil.rmtree(folder, ignore_errors=True)
    site = make_site(folder)
    text = site.config.read_text()
    head, _, tail = text.partition("[identity]\n")
    site.config.write_text(f"{head}[identity]\n{identity}\n[signing]{tail.partition('[signing]')[2]}")
    with (folder / "devices.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["serial", "udid", "challenge"])
        rows.writerows([f"C{n:011d}", f"00008030-{n:016X}", secrets.token_urlsafe(24)] for n in range(count))
    return site


def batch(site: Site, out: str = "fleet") -> float:
    """How many seconds batch takes for the site's table, from start to end."""
    command = [sys.executable, "-m", "mdmprofile", "batch", "devices.csv", "-o", out, "--at", "2031-03-01", "-q"]
    start = time.perf_counter()
    subprocess.run(command, cwd=site.folder, check=True)
    return time.perf_counter() - start


def ratio(name: str, what: str, site: Site, count: int, wanted: float, out: str = "fleet") -> None:
    """Measure the primitive, the batch, and the primitive again."""
    before = raw(name)
    rate = count / batch(site, out)
    after = raw(name)
    reference = (before + after) / 2
    print(
        f"{what}: {rate:,.0f}/s, raw {name} {before:,.0f}/s and {after:,.0f}/s on {CORES} cores: "
        f"{100 * rate / reference:.0f} % (at least {100 * wanted:.0f} %)"
    )


def scep_site(folder: Path, count: int) -> Site:
    """A site whose devices get their identities from a SCEP server, with a challenge each."""
    identity = 'type = "scep"\nurl = "https://mdm.example.com/scep"\nchallenge = "{{ device.challenge }}"\n'
    return fleet(folder, identity + 'subject = "CN={{ device.serial }}"\nvalidity = "365d"\n', count)


def scep(folder: Path, count: int) -> None:
    """SCEP profiles signed with RSA-2048."""
    ratio("signatures", f"SCEP, {count:,} devices", scep_site(folder, count), count, 0.70)


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
    """PKCS#12 identities with P-256 keys from an EC CA, the profiles signed with P-256, and then with RSA-2048.

    An RSA-2048 signature alone takes a fifth of the time of a PKCS#12, so the second is for comparison.
    """
    site = issued(folder, "p256", count)
    rsa_signer = [(each, (folder / each).read_bytes()) for each in ("signer.pem", "signer.key")]
    signer = issue("Profile Signer", site.intermediate, key=ec.generate_private_key(ec.SECP256R1()))
    (folder / "signer.pem").write_bytes(signer.pem)
    (folder / "signer.key").write_bytes(signer.key_pem())
    ratio("serialisations", f"PKCS#12 P-256, signer P-256, {count:,} devices", site, count, 0.75)
    for name, data in rsa_signer:
        (folder / name).write_bytes(data)
    ratio("serialisations", f"PKCS#12 P-256, signer RSA-2048, {count:,} devices", site, count, 0.75, "again")


# What people write: for each device a key, a certificate, a PKCS#12 and a signed profile.
LOOP = """\
set -e
mkdir loop
printf 'basicConstraints=critical,CA:FALSE\\nkeyUsage=critical,digitalSignature\\nextendedKeyUsage=clientAuth\\n' > ext
tail -n +2 devices.csv | while IFS=, read -r serial udid challenge; do
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out loop/key.pem
  openssl req -new -key loop/key.pem -subj "/CN=$udid" -out loop/request.pem
  openssl x509 -req -in loop/request.pem -CA ca.pem -CAkey ca.key -days 365 -extfile ext -out loop/device.pem
  openssl pkcs12 -export -inkey loop/key.pem -in loop/device.pem -passout "pass:$challenge" -keypbe PBE-SHA1-3DES \\
    -certpbe PBE-SHA1-3DES -macalg sha1 -out loop/device.p12
  sed "s|PKCS12|$(base64 -w 0 < loop/device.p12)|; s|PASSWORD|$challenge|" template > loop/profile
  openssl cms -sign -binary -nodetach -outform DER -md sha256 -signer signer.pem -inkey signer.key \\
    -certfile intermediate.pem -in loop/profile -out "loop/$serial.mobileconfig"
done
"""


def openssl(folder: Path, count: int) -> None:
    """The same work in a shell loop over openssl."""
    site = issued(folder, "p256", count)
    (folder / "template").write_bytes(b"<data>PKCS12</data><string>PASSWORD</string>" + 6000 * b" ")
    start = time.perf_counter()
    subprocess.run(["sh", "-c", LOOP], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    loop = time.perf_counter() - start
    own = batch(site)
    print(
        f"shell loop over openssl, {count:,} devices: {loop:.1f} s; batch {own:.1f} s: {loop / own:.1f}x (at least 5x)"
    )


def large(folder: Path, count: int) -> None:
    """Memory, and what the record costs."""
    site = scep_site(folder, count)
    whole = batch(site)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    again = batch(site)
    record = ledger_alone(folder / "alone.sqlite", count)
    read = reading_alone(folder / "devices.csv")
    # It is written while the workers work, and so takes its part of the time of all cores.
    share = record / CORES
    print(
        f"SCEP, {count:,} devices: {whole:.0f} s, {count / whole:,.0f}/s, peak of the largest process {peak:.0f} MiB "
        f"(below 150 MB); ledger {100 * share / whole:.1f} % of the time of {CORES} cores, "
        f"{100 * record / whole:.1f} % of that of one; a run that finds everything there "
        f"{100 * again / whole:.1f} %, of which reading the table {100 * read / whole:.1f} %; so the ledger "
        f"and going on after half of it {100 * (share + (again - read) / 2) / whole:.1f} % (below 10 %)"
    )


def reading_alone(table: Path) -> float:
    """How many seconds the table takes that has to be read anyway."""
    start = time.perf_counter()
    with table.open("rb") as stream:
        rows = read_table(stream, source="devices.csv")
        with Spool(rows, FileNames(DEFAULT_NAME, rows.columns, {}), source="devices.csv") as spool:
            for _ in spool.devices():
                pass
    return time.perf_counter() - start


def ledger_alone(path: Path, count: int) -> float:
    """How many seconds the ledger's rows for so many devices take."""
    end = NOW + timedelta(days=365)
    start = time.perf_counter()
    with Ledger.open(path) as ledger:
        for first in range(0, count, UNIT):
            numbers = range(first, min(first + UNIT, count))
            begun = [
                Begun(f"C{n:011d}.mobileconfig", f"00008030-{n:016X}", f"C{n:011d}", "scep", "", NOW, "c", "0" * 64)
                for n in numbers
            ]
            rows = ledger.begin(begun)
            made = [
                Entry(*each[:4], "", "", "CN=device", None, end, "", "0" * 64, 8000, NOW, "c", "0" * 64)
                for each in begun
            ]
            ledger.finish(list(zip(rows, made, strict=True)))
    return time.perf_counter() - start


PARTS = {"scep": (scep, 60_000), "rsa": (rsa_identities, 1_500), "p256": (p256, 12_000), "openssl": (openssl, 200)}


def main() -> None:
    """Measure the named parts, or all but the large one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "large", []], default=[])
    parser.add_argument("--devices", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for part in given.parts or PARTS:
            measure, count = {**PARTS, "large": (large, 100_000)}[part]
            measure(Path(folder) / part, given.devices or count)


if __name__ == "__main__":
    main()
