"""What is installed: the package as its users get it, from wherever Python finds it."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mdmprofile
from mdmprofile.resources import template_text
from pki import NOW, Site

PROJECT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
TEMPLATES = sorted(each.relative_to(PROJECT / "templates").as_posix() for each in (PROJECT / "templates").rglob("*.j2"))
HEAVY = ("asn1crypto", "certifi", "click", "cryptography", "jinja2", "rich")


def installed(script: str, *words: str, where: Path) -> str:
    """What a script prints that runs away from the checkout, so that it finds the installed package only."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, *words], cwd=where, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_package_says_that_it_is_typed(tmp_path: Path) -> None:
    """Without ``py.typed`` a user's type checker takes everything for Any."""
    script = "from importlib.resources import files; print((files('mdmprofile') / 'py.typed').is_file())"
    assert installed(script, where=tmp_path) == "True\n"


def test_every_template_was_found() -> None:
    """A test over no template proves nothing."""
    assert "enroll.toml.j2" in TEMPLATES
    assert len(TEMPLATES) == len([each for each in (PROJECT / "templates").rglob("*") if each.is_file()])


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_can_be_read_from_the_installed_package(name: str, tmp_path: Path) -> None:
    """A template that is not in the wheel is missed only by whoever has no checkout."""
    script = "import sys; from mdmprofile.resources import template_text; sys.stdout.write(template_text(sys.argv[1]))"
    stored = (PROJECT / "templates" / name).read_text(encoding="utf-8")
    assert installed(script, name, where=tmp_path) == stored
    assert template_text(name) == stored


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_wheels_layout_has_every_template_inside_the_package(name: str, tmp_path: Path) -> None:
    """The folders as pyproject puts them into the wheel, and no checkout beside them."""
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in wheel["packages"]:
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for source, target in wheel["force-include"].items():
        shutil.copytree(PROJECT / source, tmp_path / target)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import mdmprofile.resources as resources;"
        "print(resources.__file__); sys.stdout.write(resources.template_text(sys.argv[2]))"
    )
    # Without site there is no other package to find, and nothing measures the copy's coverage as if it were one more.
    command = [sys.executable, "-I", "-S", "-c", script, str(tmp_path), name]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    place, _, text = printed.partition("\n")
    assert Path(place) == tmp_path / "mdmprofile" / "resources.py"
    assert text == (PROJECT / "templates" / name).read_text(encoding="utf-8")


def test_the_version_is_the_same_everywhere(tmp_path: Path) -> None:
    """In the package, in what the installer knows, and in the file that the build reads it from."""
    assert importlib.metadata.version("mdmprofile") == mdmprofile.__version__
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    source = (PROJECT / PYPROJECT["tool"]["hatch"]["version"]["path"]).read_text(encoding="utf-8")
    assert f'__version__ = "{mdmprofile.__version__}"\n' in source
    assert (
        installed("import mdmprofile; print(mdmprofile.__version__)", where=tmp_path).strip() == mdmprofile.__version__
    )


def test_the_command_is_installed_as_pyproject_names_it() -> None:
    """The console script leads to the function that exits with the code."""
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="mdmprofile")
    assert script.value == PYPROJECT["project"]["scripts"]["mdmprofile"]
    assert callable(script.load())


def test_every_dependency_is_imported_and_every_import_is_a_dependency() -> None:
    """What nobody imports must not be installed; what is imported must not be missing."""
    found = set()
    for file in (PROJECT / "mdmprofile").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).partition(".")[0])
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert extras.keys() == {"dask", "pkcs11", "sql"}
    optional = (each for some in extras.values() for each in some)
    wanted = {re.split(r"[\[>]", each)[0] for each in (*PYPROJECT["project"]["dependencies"], *optional)}
    # What it needs itself, so that its settings are there to be read.
    found.discard("dask")
    # The packages whose modules have other names.
    renamed = {"pkcs11": "python-pkcs11", "prometheus_client": "prometheus-client"}
    named = {renamed.get(each, each) for each in found}
    assert named - sys.stdlib_module_names - {"mdmprofile"} == wanted


@pytest.mark.parametrize("name", sorted(set(mdmprofile.__all__) - {"__version__"}))
def test_every_public_name_resolves_to_a_class_or_function_of_that_name(name: str) -> None:
    """And keeps doing so: what is found once is what is found again, whatever was imported in between."""
    value = getattr(mdmprofile, name)
    assert callable(value)
    assert value.__name__ == name
    assert value.__doc__
    assert getattr(mdmprofile, name) is value


def test_a_name_that_does_not_exist_is_an_ordinary_attribute_error() -> None:
    """The lazy lookup must not turn a typing error into something else."""
    with pytest.raises(AttributeError, match="module 'mdmprofile' has no attribute 'biuld'"):
        _ = mdmprofile.biuld  # type: ignore[attr-defined]  # that is the point
    assert not hasattr(mdmprofile, "__path_of_nothing__")


def test_public_names_are_sorted_and_complete() -> None:
    """The list that type checkers read and the table that is looked up name the same."""
    assert list(mdmprofile.__all__) == sorted(mdmprofile.__all__, key=lambda name: (name.islower(), name))
    assert set(mdmprofile.__all__) - {"__version__"} == set(mdmprofile._PUBLIC)


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    """A program that imports it pays for what it uses."""
    script = "import json, sys, mdmprofile; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(installed(script, where=tmp_path))
    assert "mdmprofile" in loaded
    assert [each for each in HEAVY if each in loaded] == []


@pytest.mark.parametrize("names", ["build, load_config", "load_config, BuildResult, build", "*"])
def test_the_library_builds_a_profile_by_its_public_names(names: str, site: Site, tmp_path: Path) -> None:
    """In whatever order they are imported: the module that holds ``build`` has the function's name."""
    script = f"""
from mdmprofile import {names}
from datetime import datetime
from pathlib import Path
import sys
result = build(load_config(Path(sys.argv[1])), now=datetime.fromisoformat(sys.argv[2]))
print(*(each.kind for each in result.artifacts), *(each.severity for each in result.findings))
"""
    printed = installed(script, str(site.config), NOW.isoformat(), where=tmp_path)
    assert printed.split() == ["enrollment", "trust", "service-config", "anchor-certificates"]
