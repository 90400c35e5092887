"""The registry: every rule yields what it is registered for, and each of the catalogue is yielded by something."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given, settings

import mdmprofile
from lint_cases import BROKEN, good, signed
from mdmprofile.catalogue import RULES
from mdmprofile.findings import Finding
from mdmprofile.profile import Profile
from mdmprofile.reader import open_profile
from mdmprofile.rules.examined import Examined, examine
from mdmprofile.rules.lint import lint
from mdmprofile.rules.registry import ENROLLMENT, EVERY, FILE, SCHEMA, TRUST, Registered, registered, rule
from pki import NOW
from profiles import Plist, enrollment
from test_rules import ACME_BROKEN, examples, payloads
from test_rules import BROKEN as PROPERTY_LISTS

OPENED = open_profile(signed(good()))
PACKAGE = Path(mdmprofile.__file__).parent


def yielded(each: Registered, examined: Examined) -> list[Finding]:
    """What one rule finds in a file, whatever kind of profile it is for."""
    return list(each.check(examined if each.on in {FILE, SCHEMA} else examined.profile))


def files() -> list[Examined]:
    """Every file of the cases, opened."""
    made = [(case.make(), case.kind) for case in BROKEN.values()]
    return [examine(open_profile(data), data, now=NOW, kind=kind) for data, kind in made]


def property_lists() -> list[Profile]:
    """Every broken property list of the other tests."""
    from profiles import acme  # noqa: PLC0415 - read as a function here

    found = []
    for changes, identity in ((PROPERTY_LISTS, None), (ACME_BROKEN, acme)):
        for change, _ in changes.values():
            plist = enrollment(identity) if identity else enrollment()
            change(plist)
            found.append(Profile(plist))
    return found


def test_every_rule_yields_only_what_it_is_registered_for_and_all_of_it() -> None:
    """Otherwise the documentation of a rule would not be what it finds, and an id would stand for nothing."""
    every = {each: set[str]() for each in registered()}
    for examined in files():
        for each in every:
            every[each] |= {found.rule for found in yielded(each, examined)}
    for profile in property_lists():
        for each in registered(EVERY, ENROLLMENT, TRUST):
            every[each] |= {found.rule for found in each.check(profile)}
    assert {each.check.__name__: rules - each.ids for each, rules in every.items() if rules - each.ids} == {}
    assert {each.check.__name__: each.ids - rules for each, rules in every.items() if each.ids - rules} == {}


@settings(examples, max_examples=60)
@given(payloads)
def test_rules_yield_only_what_they_are_registered_for_whatever_they_look_at(entry: Plist) -> None:
    """The same, for payloads that nobody thought of."""
    plist = enrollment() | {"PayloadContent": [entry, *enrollment()["PayloadContent"]]}
    opened = dataclasses.replace(OPENED, profile=Profile(plist))
    examined = examine(opened, b"", now=NOW)
    for each in registered():
        assert {found.rule for found in yielded(each, examined)} <= each.ids


def test_every_rule_is_a_small_documented_function() -> None:
    """A rule is read by people who want to know why."""
    for each in registered():
        assert each.check.__doc__, each
        assert each.on in {EVERY, ENROLLMENT, TRUST, FILE, SCHEMA}


def test_an_unknown_rule_cannot_be_registered() -> None:
    """It fails when the module is imported, not when somebody breaks the rule."""
    with pytest.raises(ValueError, match=r"mdm\.invented"):
        rule("mdm.topic-prefix", "mdm.invented")
    with pytest.raises(ValueError, match="none was named"):
        rule()


@pytest.mark.parametrize("name", RULES)
def test_every_rule_of_the_catalogue_is_found_by_something(name: str) -> None:
    """A rule that nothing yields is a promise that nobody keeps."""
    if any(name in each.ids for each in registered()):
        return
    said = {
        node.value
        for file in PACKAGE.rglob("*.py")
        if not file.name.startswith("catalogue")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert name in said


def test_the_catalogue_can_be_read_without_the_rules() -> None:
    """``mdmprofile rules`` and ``--help`` load no certificate library."""
    files = sorted(PACKAGE.glob("catalogue*.py"))
    assert len(files) > 1
    for file in files:
        imported = re.findall(r"^(?:from|import) (mdmprofile\S*)", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert all(each.startswith("mdmprofile.catalogue_") for each in imported)


def test_rules_for_files_are_not_loaded_where_profiles_are_built() -> None:
    """They parse certificates, which a build has judged already."""
    text = (PACKAGE / "rules" / "__init__.py").read_text(encoding="utf-8")
    assert not re.search(r"import .*(certificates|chains|pkcs12|schema|signature)", text)
    assert lint(b"", now=NOW).errors
