"""A short run of the fuzzer, with the same inputs each time as far as it gets; longer runs by hand: make soak."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mdmprofile.errors import MdmprofileError

SECONDS = 8.0
ENOUGH = 20


def _load() -> ModuleType:
    """The fuzzer is a script, and no module of the tests' path."""
    spec = importlib.util.spec_from_file_location("fuzz", Path(__file__).parent / "fuzz" / "fuzz.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    return module


fuzz = _load()


@pytest.mark.parametrize("target", list(fuzz.TARGETS))
def test_broken_input_ends_in_project_errors_alone(target: str) -> None:
    """Whatever is done to profiles, signatures and certificates."""
    count, failures = fuzz.run([target], seconds=SECONDS, seed=2031)
    assert failures == []
    assert count > ENOUGH


@pytest.mark.parametrize("target", list(fuzz.TARGETS))
def test_what_the_fuzzer_breaks_was_whole(target: str) -> None:
    """A fuzzer whose inputs all end at the first byte proves nothing."""
    whole = 0
    for data in fuzz.seeds(target):
        try:
            fuzz.TARGETS[target](data)
        except MdmprofileError:
            continue
        whole += 1
    assert whole >= 2


def test_the_fuzzer_sees_what_is_wrong() -> None:
    """Another exception than ours is reported, with the input that made it."""

    def wrong(data: bytes) -> None:
        raise KeyError(len(data))

    fuzz.TARGETS["wrong"] = wrong
    try:
        assert fuzz.tried("wrong", b"12345") == "KeyError: 5"
    finally:
        del fuzz.TARGETS["wrong"]
