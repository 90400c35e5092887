"""Start-up and build time as ratios to what nobody can avoid, measured pairwise in one run.

Run it from the virtual environment that has mdmprofile installed:

    python tests/benchmarks/startup.py [RUNS]

Each pair runs in turn, A B A B …, so that a machine whose speed drifts changes both alike; the ratio quoted is the
median of the pairs' ratios.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

COMMAND = Path(sysconfig.get_path("scripts")) / "mdmprofile"
PAIRS = (
    ("--version", ["--version"], "import click", 2.0),
    (
        "signed build",
        ["build", "-o", "out"],
        "from cryptography.hazmat.primitives.serialization import pkcs7",
        2.5,
    ),
)


def seconds(command: list[str], folder: str) -> float:
    """Wall-clock seconds of one whole process."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    """Print each pair's medians and ratio; 1 when a ratio is over its bound."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    over = 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([COMMAND, "init", "--demo", "--quiet", folder], check=True)
        for name, arguments, baseline, bound in PAIRS:
            ours, theirs = [str(COMMAND), *arguments], [sys.executable, "-c", baseline]
            seconds(ours, folder), seconds(theirs, folder)
            pairs = [(seconds(ours, folder), seconds(theirs, folder)) for _ in range(runs)]
            ratio = statistics.median(a / b for a, b in pairs)
            over += ratio > bound
            mine, base = (statistics.median(each) * 1000 for each in zip(*pairs, strict=True))
            print(f"{name}: {mine:.0f} ms, baseline {base:.0f} ms, ratio {ratio:.2f} (at most {bound}), {runs} pairs")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
