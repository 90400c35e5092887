"""Rate and peak memory of ``mdmprofile check`` over a folder of 10,000 files, against a shell loop over openssl.

Run it from the virtual environment that has mdmprofile installed:

    python tests/benchmarks/check.py [RUNS] [COUNT]

Half of the files are certificates (PEM and DER, RSA and EC, each its own), half are enrollment profiles as a server
makes them for each of many devices (every other one signed). Counted is the wall-clock time of the whole process of the
command, its start included, against ``openssl x509 -checkend`` started by a shell for each of some of the certificate
files, as many files a second. The pairs run in turn, A B A B …, so that a machine whose speed drifts changes both
alike; the ratio quoted is the median of the pairs' ratios. Both must find the certificates that end within 30 days. The
peak memory is that of the command's process, in every format.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fleet import demo_signer, device_profile

from mdmprofile.cli.check import command
from mdmprofile.cms.sign import sign
from mdmprofile.reader import open_profile

COMMAND = Path(sysconfig.get_path("scripts")) / "mdmprofile"
COUNT, LOOPED = 10_000, 500
LEAST_RATIO = 15.0
MOST_MEBIBYTES = 150.0
# One certificate in so many ends within the 30 days that both are asked about.
ENDING = 100
LOOP = 'count=0; for f in "$1"/*.pem "$1"/*.der; do openssl x509 -checkend 2592000 -noout -in "$f" >/dev/null'
LOOP += " || count=$((count + 1)); done; echo $count"
# Run by a small process of its own: a child starts with the peak memory of whoever started it.
MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], check=False).returncode
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, code, file=sys.stderr)
"""


class Run(NamedTuple):
    """One run of the command: wall-clock seconds, peak memory in MiB, exit code, and what it printed."""

    seconds: float
    mebibytes: float
    code: int
    output: bytes


def write_certificates(folder: Path, count: int) -> int:
    """Write distinct leaves of a few shared keys; returns how many of them end within 30 days."""
    keys = [
        each.public_key() for each in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1()))
    ]
    issuer = ec.generate_private_key(ec.SECP256R1())
    ca = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Benchmark Device CA")])
    now = datetime.now(UTC).replace(microsecond=0)
    ending = 0
    for number in range(count):
        name = f"device-{number:06}"
        soon = number % ENDING == 0
        ending += soon
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(ca)
            .public_key(keys[number % 2])
            .serial_number(number + 1)
            .not_valid_before(now - timedelta(days=90))
            .not_valid_after(now + timedelta(days=20 if soon else 300 + number % 60))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{name}.example.com")]), critical=False)
            .sign(issuer, hashes.SHA256())
        )
        der = number // 2 % 2
        suffix, encoding = ("der", Encoding.DER) if der else ("pem", Encoding.PEM)
        (folder / f"{name}.{suffix}").write_bytes(certificate.public_bytes(encoding))
    return ending


def write_profiles(folder: Path, demo: Path, count: int) -> None:
    """Write enrollment profiles of the demo, every other one signed."""
    template = open_profile((demo / "out" / "enroll.mobileconfig").read_bytes()).content
    signer = demo_signer(demo)
    for number in range(count):
        profile = device_profile(template, number)
        (folder / f"{number:06}.mobileconfig").write_bytes(sign(profile, signer) if number % 2 else profile)


def check(folder: Path, *arguments: str) -> Run:
    """Run the command over the folder, in one process of its own."""
    with tempfile.TemporaryFile() as output:
        command_line = [sys.executable, "-c", MEASURE, str(COMMAND), "check", *arguments, str(folder)]
        done = subprocess.run(command_line, stdout=output, stderr=subprocess.PIPE, check=True)
        seconds, peak, code = done.stderr.decode().splitlines()[-1].split()
        output.seek(0)
        # Kilobytes on Linux, bytes on macOS.
        scale = 1024**2 if sys.platform == "darwin" else 1024
        return Run(float(seconds), int(peak) / scale, int(code), output.read())


def formats() -> Sequence[str]:
    """Every format that the command has."""
    types = [each.type for each in command.params if each.name == "report_format"]
    return [str(each) for kind in types if isinstance(kind, click.Choice) for each in kind.choices]


def openssl_loop(folder: Path, ending: int) -> float:
    """Wall-clock seconds of the shell loop over the certificate files."""
    start = time.perf_counter()
    done = subprocess.run(["sh", "-c", LOOP, "sh", folder], capture_output=True, check=True)
    seconds = time.perf_counter() - start
    if int(done.stdout) != ending:
        raise SystemExit(f"the shell loop found {int(done.stdout)} certificates that end, not {ending}")
    return seconds


def main(arguments: Sequence[str]) -> int:
    """Print the medians, the ratio and the memory; 1 when a bound is missed."""
    runs = int(arguments[0]) if arguments else 5
    count = int(arguments[1]) if len(arguments) > 1 else COUNT
    with tempfile.TemporaryDirectory() as name:
        demo, folder = Path(name, "demo"), Path(name, "files")
        folder.mkdir()
        subprocess.run([COMMAND, "init", "--demo", "--quiet", demo], check=True)
        subprocess.run([COMMAND, "build", "--quiet"], cwd=demo, check=True)
        ending = write_certificates(folder, count // 2)
        write_profiles(folder, demo, count - count // 2)
        looped = Path(name, "looped")
        looped.mkdir()
        looped_ending = write_certificates(looped, LOOPED)
        pairs = []
        peak = 0.0
        check(folder, "--quiet")
        for _ in range(runs):
            mine, base = check(folder, "--quiet"), openssl_loop(looped, looped_ending)
            found = mine.output.count(b"[expiry.soon]")
            if (mine.code, found) != (1, ending):
                raise SystemExit(f"the command ended with {mine.code} and found {found} that end, not {ending}")
            peak = max(peak, mine.mebibytes)
            pairs.append((count / mine.seconds, LOOPED / base))
        ratio = statistics.median(a / b for a, b in pairs)
        mine_rate, base_rate = (statistics.median(each) for each in zip(*pairs, strict=True))
        print(f"check --quiet of {count:,} files: {mine_rate:,.0f} files/s, {count / mine_rate:.2f} s, {peak:.0f} MiB")
        print(f"shell loop over openssl x509: {base_rate:,.0f} files/s, {count / base_rate:.1f} s for as many files")
        print(f"ratio {ratio:.1f} (at least {LEAST_RATIO:.0f}), {runs} pairs")
        for each in formats():
            run = check(folder, "--format", each)
            if run.code != 1:
                raise SystemExit(f"--format {each} ended with {run.code}: {run.output[-500:]!r}")
            peak = max(peak, run.mebibytes)
            size = len(run.output) / 1024
            print(f"check --format {each}: {run.seconds:.2f} s, {run.mebibytes:.0f} MiB, {size:,.0f} KiB printed")
        print(f"peak memory {peak:.0f} MiB (below {MOST_MEBIBYTES:.0f})")
    return 0 if ratio >= LEAST_RATIO and peak < MOST_MEBIBYTES else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
