"""Processes that pin the same certificate to different devices at the same moment."""

from __future__ import annotations

import multiprocessing
import queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import sqlalchemy

from mdmprofile.errors import PinTakenError
from mdmprofile.pins_sql import SqlPinStore
from mdmprofile.pins_sqlite import SqlitePinStore
from mdmprofile.pins_tables import TableStore
from pki import NOW


def opened(place: str) -> TableStore:
    """The store at a URL, or in a file."""
    return SqlPinStore(place) if "://" in place else SqlitePinStore(Path(place))


def execute(url: str, statement: str) -> None:
    """Change the database behind the store's back."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(statement))
    engine.dispose()


def empty(url: str) -> None:
    """Drop the tables."""
    execute(url, "DROP TABLE IF EXISTS mdm_pins, mdm_pin_certificates, mdm_pin_events, mdm_pin_version")


def pin_one(place: str, number: int) -> bool:
    """Open the store and pin a device of its own."""
    with opened(place) as store:
        return store.authenticate(f"U{number}", f"{number:064x}", at=NOW).identifier == f"U{number}"


def race(place: str, *, rounds: int, processes: int) -> list[int]:
    """How many processes got the certificate in each round."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    results: Any = context.Queue()
    runners = [
        context.Process(target=_run, args=(place, rounds, number, barrier, results)) for number in range(processes)
    ]
    for each in runners:
        each.start()
    winners = [0] * rounds
    try:
        for _ in runners:
            for number in results.get(timeout=600):
                winners[number] += 1
    except queue.Empty:
        raise AssertionError("a process did not come to its end") from None
    finally:
        for each in runners:
            each.join(10)
            each.kill()
    return winners


def _run(place: str, rounds: int, number: int, barrier: Barrier, results: Any) -> None:
    won = []
    with opened(place) as store:
        for each in range(rounds):
            barrier.wait(120)
            try:
                store.authenticate(f"U{number}", f"{each:064x}", at=NOW)
            except PinTakenError:
                continue
            won.append(each)
    results.put(won)
