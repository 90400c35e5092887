"""The documentation and the examples say and do what the program does now."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from conftest import Command
from mdmprofile.cli import COMMANDS
from pki import Site

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def make_docs() -> ModuleType:
    """The script that makes the files in docs/."""
    spec = importlib.util.spec_from_file_location("make_docs", PROJECT / "docs" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn_text(svg: str) -> list[str]:
    """The words of an SVG without its drawing, which may change with the version of rich."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_picture_of_the_time_line_shows_what_the_program_draws(make_docs: ModuleType) -> None:
    """The picture in README is the report of today's code."""
    stored = (PROJECT / "docs" / "timeline.svg").read_text(encoding="utf-8")
    assert drawn_text(stored) == drawn_text(make_docs.timeline_svg())
    assert any("2027-06-16" in each for each in drawn_text(stored))


def test_list_of_rules_is_the_catalogue(make_docs: ModuleType) -> None:
    """A rule that was added or changed must be in docs/rules.md."""
    assert (PROJECT / "docs" / "rules.md").read_text(encoding="utf-8") == make_docs.rules_markdown()


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_readme_names_every_command(command: str) -> None:
    """Nobody finds a command that README does not name."""
    assert f"`{command}" in README


def test_readme_names_every_module() -> None:
    """The architecture section is true: every module of the package is in it."""
    section = README.partition("## Architecture")[2]
    modules = {each.stem for each in (PROJECT / "mdmprofile").glob("*.py")} - {"__init__", "__main__"}
    folders = {each.name for each in (PROJECT / "mdmprofile").iterdir() if (each / "__init__.py").exists()}
    assert {each for each in modules if f"`{each}`" not in section} <= {"errors", "moments", "printable", "urls"}
    assert {each for each in folders if f"`{each}/`" not in section} == set()


def test_every_config_key_in_readme_is_known(tmp_path: Path, mdmprofile: Command, site: Site) -> None:
    """The TOML that README shows builds, once its files are there."""
    toml = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)[0]
    (site.folder / "pki").mkdir()
    for name in ("root.pem", "intermediate.pem", "server.pem", "signer.pem", "signer.key"):
        (site.folder / name).rename(site.folder / "pki" / name)
    toml = toml.replace('{ env = "SCEP_CHALLENGE" }', '{ file = "challenge.txt" }').replace("2027", "2031")
    site.config.write_text(toml, encoding="utf-8")
    outcome = mdmprofile("build", "-c", site.config, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.out + outcome.err


def test_demo_runs_from_an_empty_folder(tmp_path: Path, openssl: Callable[..., bytes]) -> None:
    """``make demo`` is this script: it ends well and leaves a profile that openssl verifies."""
    command = Path(sysconfig.get_path("scripts")) / "mdmprofile"
    done = subprocess.run(
        ["sh", PROJECT / "examples" / "demo.sh", command, tmp_path / "demo"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "Latest safe replacement date" in done.stdout
    assert "<plist" in done.stdout
    arguments = ("cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-out", "/dev/null")
    profile = tmp_path / "demo" / "out" / "enroll.mobileconfig"
    openssl(*arguments, "-in", profile, "-CAfile", tmp_path / "demo" / "pki" / "root.pem")


def test_library_example_builds_the_demo(tmp_path: Path, mdmprofile: Command) -> None:
    """The example of the library's use runs as it stands."""
    assert mdmprofile("init", "--demo", tmp_path).code == 0
    done = subprocess.run(
        [sys.executable, PROJECT / "examples" / "library.py", tmp_path / "enroll.toml", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "replace the profile by" in done.stdout
    assert (tmp_path / "enroll.mobileconfig").stat().st_size > 1000
