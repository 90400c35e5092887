"""CPU time of linting a thousand profiles in one call, as a ratio to parsing the same property lists.

Run it from the virtual environment that has mdmprofile installed:

    python tests/benchmarks/lint.py [RUNS]

Counted is the whole process of the command, its start included, against ``plistlib.loads`` on the same files in this
process. The pairs run in turn, A B A B …, so that a machine whose speed drifts changes both alike; the ratio quoted is
the median of the pairs' ratios. Signed profiles have no bound: their signatures are verified besides.
"""

from __future__ import annotations

import plistlib
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from fleet import demo_signer, device_profile

from mdmprofile.cms.sign import sign
from mdmprofile.reader import open_profile

COMMAND = Path(sysconfig.get_path("scripts")) / "mdmprofile"
COUNT = 1000
BOUND = 15.0


def lint_seconds(files: Sequence[Path]) -> float:
    """CPU seconds of the whole command over these files."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([COMMAND, "lint", "--quiet", *files], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def loads_seconds(contents: Sequence[bytes]) -> float:
    """CPU seconds of parsing these property lists."""
    start = time.process_time()
    for each in contents:
        plistlib.loads(each)
    return time.process_time() - start


def main() -> int:
    """Print the medians and ratios; 1 when the bounded one is over its bound."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    over = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([COMMAND, "init", "--demo", "--quiet", folder], check=True)
        subprocess.run([COMMAND, "build", "--quiet"], cwd=folder, check=True)
        template = open_profile((folder / "out" / "enroll.mobileconfig").read_bytes()).content
        contents = [device_profile(template, number) for number in range(COUNT)]
        signer = demo_signer(folder)
        for kind, bound in (("unsigned", BOUND), ("signed", None)):
            (folder / kind).mkdir()
            files = [folder / kind / f"{number:04}.mobileconfig" for number in range(COUNT)]
            for file, content in zip(files, contents, strict=True):
                file.write_bytes(sign(content, signer) if kind == "signed" else content)
            lint_seconds(files), loads_seconds(contents)
            pairs = [(lint_seconds(files), loads_seconds(contents)) for _ in range(runs)]
            ratio = statistics.median(a / b for a, b in pairs)
            over = over or (bound is not None and ratio > bound)
            mine, base = (statistics.median(each) for each in zip(*pairs, strict=True))
            limit = f"at most {bound}" if bound else "no bound"
            print(
                f"lint of {COUNT} {kind} profiles: {mine:.2f} s CPU, plistlib.loads {base:.2f} s, "
                f"ratio {ratio:.2f} ({limit}), {runs} pairs"
            )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
