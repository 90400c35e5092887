"""Kill batches at random moments, start them again, and look whether anything was lost.

    python tests/soak/kill_batch.py [KILLS] [--seed N] [--devices N]

Each directory is killed a few times before its batch may end; half of them make profiles again under other names. What
does not hold is printed with the seed, which makes the same moments again, and the exit code is then 1.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from batches import devices_csv, fleet_site, rows_of
from killing import assert_halfway, assert_whole, run_and_kill, some_moment

_AGAIN = ("--again", "--name", "{{ device.udid }}.mobileconfig")


def main() -> int:
    """Kill until there were enough, and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--devices", type=int, default=300)
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    chance = random.Random(asked.seed)  # noqa: S311 - a failure must come again
    begun, kills, states = time.monotonic(), Counter[str](), Counter[str]()
    rounds = 0
    while kills.total() < asked.kills:
        rounds += 1
        folder = Path(tempfile.mkdtemp(prefix="kill-batch-"))
        try:
            kills += one_round(
                folder, chance, asked.devices, min(5, asked.kills - kills.total()), again=rounds % 2 == 0
            )
            states += Counter(each.state for each in rows_of(folder / "out"))
        except AssertionError as error:
            print(f"seed {asked.seed}, round {rounds}: does not hold in {folder}\n{error}")
            raise
        shutil.rmtree(folder)
        print(f"{kills.total()} kills in {rounds} rounds, {time.monotonic() - begun:.0f} s", flush=True)
    print("moments: " + ", ".join(f"{kind} {number}" for kind, number in sorted(kills.items())))
    print("rows: " + ", ".join(f"{state} {number}" for state, number in sorted(states.items())))
    return 0


def one_round(folder: Path, chance: random.Random, devices: int, kills: int, *, again: bool) -> Counter[str]:
    """Kill a batch in a new directory at most so often, let it end, and look at all of it; the kinds of moments."""
    site = fleet_site(folder)
    (folder / "devices.csv").write_text(devices_csv(devices))
    flags: tuple[str, ...] = ()
    if again:
        assert run_and_kill(site, None)[0] == 0
        site.edit(lambda text: text.replace("Example MDM", "Other MDM"))
        flags = _AGAIN
    found = Counter[str]()
    for _ in range(kills):
        moment = some_moment(chance, devices)
        code, said = run_and_kill(site, moment, *flags)
        assert code in (-9, 0), f"{moment}: {code} {said}"
        assert_halfway(folder / "out")
        if code == 0:
            break
        found[moment.kind] += 1
    assert run_and_kill(site, None, *flags) == (0, "")
    assert_whole(site, devices)
    return found


if __name__ == "__main__":
    sys.exit(main())
