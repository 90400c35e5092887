"""Eight processes that pin one certificate to eight devices at the same moment, on SQLite and on PostgreSQL.

    python tests/soak/race_pins.py [ROUNDS]

Exactly one has to win each round.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import racing
from postgres import running


def main() -> int:
    """Print how many rounds had how many winners; 1 unless each had one."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder, running() as url:
        fine = True
        for name, place in (("SQLite", str(Path(folder) / "pins.sqlite")), ("PostgreSQL", url)):
            start = time.monotonic()
            winners = Counter(racing.race(place, rounds=rounds, processes=8))
            told = ", ".join(f"{count} with {number}" for number, count in sorted(winners.items()))
            print(f"{name}: {rounds} rounds of 8 processes, {told} winner(s), {time.monotonic() - start:.0f} s")
            fine = fine and winners == Counter({1: rounds})
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
