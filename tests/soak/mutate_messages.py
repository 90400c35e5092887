"""Broken headers and bodies by the hundred thousand: none accepted, none but project errors, none slow.

    python tests/soak/mutate_messages.py [COUNT] [SEED]

Each is verified, its signer trusted and its body read, as a server does. What is accepted although it was changed is
told apart: the same signer over the same body, in another encoding that RFC 5652 allows, is no forgery; anything else
is.
"""

from __future__ import annotations

import base64
import itertools
import plistlib
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from mdmprofile.cms.tlv import der, indefinite
from mdmprofile.device_messages import read_message
from mdmprofile.device_trust import DeviceTrust
from mdmprofile.errors import MdmprofileError
from mdmprofile.message import verify_mdm_signature
from mdmprofile.message_signing import sign_mdm_message
from messages import IDLE, device, device_ca, identity
from pki import NOW, ec_key, intermediate_ca, rsa_key

MOST = 100


class Sample(NamedTuple):
    """A header's bytes, its body, and the signer's certificate."""

    data: bytes
    body: bytes
    der: bytes


def samples() -> list[Sample]:
    """Every shape that devices send."""
    bodies = [
        IDLE,
        plistlib.dumps({"MessageType": "TokenUpdate", "UDID": "U1", "Token": b"x" * 32, "PushMagic": "p"}),
        plistlib.dumps({"Status": "Idle", "UDID": "U1"}, fmt=plistlib.FMT_BINARY),
    ]
    below = intermediate_ca(device_ca(), "Issuing CA")
    made = []
    for number in range(6):
        for key in (rsa_key(), ec_key()):
            chain = (below,) if number % 3 == 2 else ()
            entity = device(f"device {number}", below if chain else None, key=key)
            for when in (None, NOW):
                for ber in (True, False):
                    digest = ("sha1", "sha256", "sha384", "sha512")[number % 4]
                    body = bodies[number % 3]
                    header = sign_mdm_message(body, identity(entity, *chain), digest=digest, signing_time=when, ber=ber)
                    made.append(Sample(base64.b64decode(header), body, entity.der))
    return made


def elements(data: bytes) -> list[tuple[int, int]]:
    """Where elements with definite lengths start and end, those inside others too."""
    found = []
    at = 0
    while at + 2 <= len(data):
        first = data[at + 1]
        size = first & 0x7F if first & 0x80 else 0
        start = at + 2 + size
        end = start + (int.from_bytes(data[at + 2 : start], "big") if size else first)
        if first != 0x80 and end <= len(data):
            found.append((at, end))
        at = start if data[at] & 0x20 or first == 0x80 else end
    return found


def mutated(sample: Sample, others: list[Sample], rng: random.Random) -> tuple[str, bytes | str, bytes]:
    """The kind of change, the header and the body after it."""
    data, body = sample.data, sample.body
    other = rng.choice(others)
    at = rng.randrange(len(data))

    def swap() -> bytes:
        (a, b), (c, d) = sorted(rng.sample(elements(data), 2))
        return data if c < b else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]

    def duplicate() -> bytes:
        a, b = rng.choice(elements(data))
        return data[:b] + data[a:b] * rng.choice((1, 1, 1, 20)) + data[b:]

    def drop() -> bytes:
        a, b = rng.choice(elements(data))
        return data[:a] + data[b:]

    def lie() -> bytes:
        a, _ = rng.choice(elements(data))
        return data[: a + 1] + bytes((rng.randrange(256),)) + data[a + 2 :]

    def transplant() -> bytes:
        a, b = rng.choice(elements(data))
        c, d = rng.choice(elements(other.data))
        return data[:a] + other.data[c:d] + data[b:]

    def bomb() -> bytes:
        a, b = rng.choice(elements(data))
        inner = b"\x05\x00"
        for _ in range(rng.choice((3, 50, 400))):
            inner = rng.choice((indefinite, der))(rng.choice((0x30, 0x31, 0xA0)), inner)
        wide = rng.choice((b"\x30\x80", b"\x02\x01\x01", b"\x30\x00")) * rng.choice((100, 10_000))
        return data[:a] + rng.choice((inner, wide)) + data[b:]

    kinds: dict[str, Callable[[], bytes]] = {
        "bit": lambda: data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :],
        "byte": lambda: data[:at] + rng.randbytes(1) + data[at + 1 :],
        "bytes": lambda: data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at + rng.randrange(9) :],
        "cut": lambda: data[:at],
        "splice": lambda: data[:at] + other.data[rng.randrange(len(other.data)) :],
        "swap": swap,
        "duplicate": duplicate,
        "drop": drop,
        "length": lie,
        "transplant": transplant,
        "bomb": bomb,
    }
    kind = rng.choice((*kinds, "text", "body", "other body"))
    if kind == "other body":
        return kind, data_text(data), other.body
    if kind == "body":
        place = rng.randrange(len(body))
        changed = rng.choice((body[:place], body[:place] + rng.randbytes(1) + body[place + 1 :], body + b"\n", b""))
        return kind, data_text(data), changed
    if kind == "text":
        text = data_text(data)
        place = rng.randrange(len(text))
        return kind, text[:place] + chr(rng.choice((10, 32, 43, 45, 61, 65, 128, 8364))) + text[place + 1 :], body
    return kind, data_text(kinds[kind]()), body


def data_text(data: bytes) -> str:
    """A header's value."""
    return base64.b64encode(data).decode()


def _nanoseconds(judge: Callable[[str, bytes], bytes], sample: Sample) -> int:
    """What judging a valid one takes."""
    start = time.process_time_ns()
    judge(data_text(sample.data), sample.body)
    return time.process_time_ns() - start


def main() -> int:
    """Print what came of it; 1 when anything was accepted that should not be, raised or took too long."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20_310_301
    rng = random.Random(seed)  # noqa: S311 - the same for the same seed
    valid = samples()
    trust = DeviceTrust([device_ca().ours])

    def judge(header: bytes | str, body: bytes) -> bytes:
        signer = verify_mdm_signature(header, body)
        trust.judge(signer, now=NOW)
        read_message(body)
        return signer.der

    middle = median(_nanoseconds(judge, each) for each in valid * 10)
    kinds: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    forged, others, slow = [], [], []
    worst = 0.0
    for number in itertools.count():
        if sum(kinds.values()) == count:
            break
        sample = rng.choice(valid)
        kind, header, body = mutated(sample, valid, rng)
        if header == data_text(sample.data) and body == sample.body:
            continue
        kinds[kind] += 1
        start = time.process_time_ns()
        try:
            signer = judge(header, body)
        except MdmprofileError as error:
            outcomes[type(error).__name__] += 1
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            others.append((number, kind, repr(error)[:200]))
        else:
            same = signer == sample.der and body == sample.body
            other = any((signer, body) == (each.der, each.body) for each in valid)
            outcomes[f"accepted, the same message in another encoding ({kind})" if same or other else "FORGED"] += 1
            if not same and not other:
                forged.append((number, kind))
        ratio = (time.process_time_ns() - start) / middle
        worst = max(worst, ratio)
        if ratio > MOST:
            slow.append((number, kind, round(ratio)))
    print(
        f"seed {seed}: {sum(kinds.values()):,} mutated messages, median of valid ones {middle / 1000:.0f} microseconds"
    )
    print(", ".join(f"{name} {number:,}" for name, number in kinds.most_common()))
    for name, number in outcomes.most_common():
        print(f"  {name}: {number:,}")
    print(f"forged: {forged[:5]}; other errors: {others[:5]}; slowest: {worst:.0f} times the median, {slow[:5]}")
    return 1 if forged or others or slow else 0


if __name__ == "__main__":
    sys.exit(main())
