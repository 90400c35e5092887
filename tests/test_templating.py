"""Templates in values: what they fill, what they refuse, and that no variable leaves its field."""

from __future__ import annotations

import plistlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from mdmprofile.errors import TemplateError, UnfilledError
from mdmprofile.templating import MAX_LENGTH, compiled, names_in, renderer
from pki import Site

WILD = 'a,OU=Admins/CN=root\\,b"\'<&>]]>\n[server]\nurl = "https://evil.example"{{ 7 * 7 }}{% x %}🍏'


def fill(text: str, /, **variables: Any) -> str:
    """The text with its templates filled."""
    return renderer(variables)(text)


def plain(site: Site) -> None:
    """Leave the result unsigned, so that it can be read as it is."""
    site.edit(lambda text: text.partition("[signing]")[0])


def profile_of(site: Site, mdmprofile: Command, *flags: str) -> dict[str, Any]:
    """The profile that the command wrote."""
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", *flags)
    assert outcome.code == 0, outcome.err + outcome.out
    plist: dict[str, Any] = plistlib.loads((site.folder / "out" / "enroll.mobileconfig").read_bytes())
    return plist


def subject_of(plist: dict[str, Any]) -> object:
    """The subject in the SCEP payload."""
    return plist["PayloadContent"][2]["PayloadContent"]["Subject"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no template: { } % #", "no template: { } % #"),
        ("{{ name }}", "Zoë"),
        ("{{ device.serial }}/{{ device['serial'] }}", "C02X/C02X"),
        ("{{ name | upper }}", "ZOË"),
        ("{{ gone | default('none') }}", "none"),
        ("{% if gone is defined %}a{% else %}b{% endif %}", "b"),
        ("a{# a comment #}b", "ab"),
        ("{{ '{{' }} {% raw %}{{ name }}{% endraw %}", "{{ {{ name }}"),
        ("{{ '<&>' }}", "<&>"),
        ("{{ 7 + 7 - 4 // 2 }}", "12"),
    ],
)
def test_template_is_filled(text: str, expected: str) -> None:
    """Names, members, filters, conditions and loops work; nothing is escaped for HTML."""
    assert fill(text, name="Zoë", device={"serial": "C02X"}) == expected


@pytest.mark.parametrize(
    "text",
    ["{{ gone }}", "{{ device.gone }}", "{{ gone.serial }}", "{{ gone + 'x' }}", "{% if gone %}{% endif %}"],
)
def test_unknown_variable_is_an_error_with_the_way_to_give_it(text: str) -> None:
    """A forgotten variable never becomes an empty field."""
    with pytest.raises(TemplateError, match=r"a variable is not known: .*gone") as caught:
        fill(text, device={"serial": "C02X"})
    assert caught.value.hint == "give it with --var NAME=VALUE"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ name", "unexpected end of template"),
        ("{{ name }", "unexpected '}'"),
        ("{% if name %}", "Unexpected end of template"),
        ("{% endif %}", "Encountered unknown tag 'endif'"),
        ("{# open", "Missing end of comment tag"),
        ("{{ name name }}", "got 'name'"),
        ("{{ name | nothing }}", "No filter named 'nothing'"),
        ("{{ name is nothing }}", "No test named 'nothing'"),
        ("{{ 'open }}", "unexpected char"),
    ],
)
def test_malformed_template_is_an_error_with_its_reason(text: str, reason: str) -> None:
    """The reason is one line."""
    with pytest.raises(TemplateError) as caught:
        fill(text, name="x")
    assert caught.value.message.startswith("the template is malformed: ")
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ ''|attr('__class__') }}",
        "{{ name.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'].popen('id') }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ self.__init__ }}",
        "{{ '{0.__class__}'.format(name) }}",
        "{{ '{0.__class__}'|attr('format')(name) }}",
        "{{ '%s'.__mod__(name) }}",
        "{{ device.update({'a': 1}) }}",
        "{{ device.clear() }}",
        "{% include 'passwd' %}",
        "{% import 'os' as os %}",
        "{% extends '/etc/passwd' %}",
        "{{ ().__reduce__() }}",
        "{% do device %}",
    ],
)
def test_template_cannot_leave_its_sandbox(text: str) -> None:
    """Neither Python's inner attributes nor other files nor changes to the variables are within reach."""
    device = {"serial": "C02X"}
    with pytest.raises(TemplateError):
        fill(text, name="x", device=device)
    assert device == {"serial": "C02X"}


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 1000000000 }}",
        "{{ 1000000000 * 'a' }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ [0] * 1000000000 }}",
        "{{ name * 2 }}",
        "{{ range(1000000000) | list }}",
        "{{ 'a' | center(70000) }}",
        "{{ '%70000s' % name }}",
        "{{ name ~ big }}",
    ],
)
def test_template_cannot_make_a_value_of_any_size(text: str) -> None:
    """Multiplication and powers are refused before they are worked out, the rest is bounded."""
    with pytest.raises(TemplateError):
        fill(text, name="x", big="y" * MAX_LENGTH)


def test_filled_template_may_be_as_long_as_the_limit() -> None:
    """64 KiB fit, one more does not."""
    assert len(fill("{{ text }}", text="x" * MAX_LENGTH)) == MAX_LENGTH
    with pytest.raises(TemplateError, match="is longer than 64 KiB"):
        fill("{{ text }}", text="x" * (MAX_LENGTH + 1))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ 'a' + 1 }}", "TypeError"),
        ("{{ 'abc'.index('x') }}", "ValueError"),
        (f"{{{{ {'(' * 5000}1{')' * 5000} }}}}", "RecursionError"),
    ],
    ids=["division", "types", "method", "depth"],
)
def test_template_that_fails_names_only_the_kind_of_failure(text: str, kind: str) -> None:
    """Whatever Python raises comes out as the project's own error, without the values in it."""
    with pytest.raises(TemplateError, match=f"^the template fails: {kind} \\(correct it\\)$") as caught:
        fill(text)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("operator", ["*", "**"])
def test_refused_operator_is_named(operator: str) -> None:
    """A person who multiplied learns that this is not allowed, not the name of a Python class."""
    with pytest.raises(TemplateError) as caught:
        fill(f"{{{{ 2 {operator} 3 }}}}")
    assert f"the operator {operator} is not allowed here" in caught.value.message


@pytest.mark.parametrize(
    "endless",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ '%999999999d'|format(1) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ 'a'|center(999999999) }}",
    ],
)
def test_template_that_would_run_long_or_grow_large_is_refused(endless: str) -> None:
    """A value needs no loops, and no filter that makes much out of little."""
    with pytest.raises(TemplateError):
        renderer({})(endless)


def test_unknown_variable_is_told_from_a_template_that_is_wrong() -> None:
    """For judging dates, a device's own values need not be known; a malformed template stays an error."""
    render = renderer({"known": "x"})
    with pytest.raises(UnfilledError):
        render("{{ known }} {{ device.serial }}")
    assert render("{{ known }}") == "x"
    for wrong in ("{{ known", "{{ ''.__class__ }}", "{{ known * 2 }}"):
        with pytest.raises(TemplateError) as caught:
            render(wrong)
        assert not isinstance(caught.value, UnfilledError)


def test_compiled_template_is_filled_again_and_again() -> None:
    """What one device's values were does not show in the next one's, nor does a failure."""
    fill_for = compiled("{{ device.serial }} of {{ site }}{% if gone is defined %}{{ gone }}{% endif %}")
    assert fill_for({"site": "Berlin", "device": {"serial": "A"}, "gone": "!"}) == "A of Berlin!"
    with pytest.raises(UnfilledError):
        fill_for({"site": "Berlin", "device": {}})
    assert fill_for({"site": "Oslo", "device": {"serial": "B"}}) == "B of Oslo"
    assert compiled("no template")({}) == "no template"


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n", "\r", " ", "}", "%}", "\n {{ device.serial }}"])
@pytest.mark.parametrize("beginning", ["", "{", "a\rb", "a\nb", "{ {", "}} "])
@pytest.mark.parametrize("value", ["A", "", "a\r\n", "{{ 1 }}", 5, None, True, ["x"]])
def test_value_alone_is_filled_as_with_a_filter_that_does_nothing(beginning: str, end: str, value: object) -> None:
    """Templates without logic are filled without Jinja2, and nobody can tell."""

    def outcome(text: str) -> str:
        try:
            return compiled(text)({"device": {"serial": value}})
        except TemplateError as error:
            return type(error).__name__

    plain = f"{beginning}{{{{ device.serial }}}}{end}"
    assert outcome(plain) == outcome(plain.replace("serial }}", "serial | default('') }}"))


def test_compiled_template_is_filled_from_many_threads() -> None:
    """No thread sees the values of another."""
    fill_for = compiled("{% set x = device.serial %}{{ x }}{{ device.serial | lower }}")
    with ThreadPoolExecutor(4) as pool:
        filled = list(pool.map(lambda number: fill_for({"device": {"serial": f"S{number}"}}), range(2000)))
    assert filled == [f"S{number}s{number}" for number in range(2000)]


@pytest.mark.parametrize(
    "wrong", ["{{ open", "{% for a in b %}{% endfor %}", "{{ a | nothing }}", f"{{{{ a }}}}{'x' * MAX_LENGTH}"]
)
def test_wrong_template_is_refused_when_it_is_compiled(wrong: str) -> None:
    """A mistake in the template is found before the first device, not once for each."""
    with pytest.raises(TemplateError):
        compiled(wrong)
    with pytest.raises(TemplateError):
        names_in(wrong)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("no template", set()),
        ("{{ a }}{# b #}{% if c %}{% endif %}", {"a", "c"}),
        ("{{ device.serial }}{{ device['room'] | default(site) }}", {"device", "device.serial", "device.room", "site"}),
        (
            "{{ device[name] }}{{ device[0] }}{{ device.serial.lower() }}",
            {"device", "device.serial", "name"},
        ),
        ("{% set own = site %}{{ own }}{{ own.x }}", {"site"}),
    ],
)
def test_names_in_a_template_are_those_it_is_filled_from(text: str, names: set[str]) -> None:
    """Members of a table are named with it; what the template sets itself is no variable."""
    assert names_in(text) == names


# --- no variable leaves its field ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wild",
    [WILD, 'x\n[profile]\nscope = "User"', "]]></string></dict></plist>", "{{ 1 }}"],
    ids=["all", "TOML", "XML", "template"],
)
def test_variable_stays_inside_its_field(site: Site, mdmprofile: Command, wild: str) -> None:
    """Quotes, TOML, XML and templates in a variable are text, and every other key is what it was."""
    plain(site)
    before = profile_of(site, mdmprofile)
    site.edit(lambda text: text.replace('"Example MDM"', '"{{ note }}"'))
    assert profile_of(site, mdmprofile, "--var", f"note={wild}") == before | {"PayloadDisplayName": wild}


@pytest.mark.parametrize(
    "subject",
    [
        '"CN={{ name }},O=Example"',
        '"/CN={{ name }}/O=Example"',
        '[["CN", "{{ name }}"], ["O", "Example"]]',
    ],
    ids=["commas", "slashes", "pairs"],
)
@pytest.mark.parametrize(
    "wild",
    [WILD, "x,OU=Admins", "x/OU=Admins", "x\\", "a=b", " padded "],
    ids=["all", "comma", "slash", "backslash", "equals", "spaces"],
)
def test_variable_in_a_subject_adds_no_name_of_its_own(
    site: Site, mdmprofile: Command, subject: str, wild: str
) -> None:
    """The subject is split before it is filled, so what a device calls itself is one value."""
    plain(site)
    site.edit(lambda text: text.replace("[identity]\n", f"[identity]\nsubject = {subject}\n"))
    plist = profile_of(site, mdmprofile, "--var", f"name={wild}")
    assert subject_of(plist) == [[["CN", wild]], [["O", "Example"]]]


def test_variable_in_a_subject_given_by_flag_adds_no_name_either(site: Site, mdmprofile: Command) -> None:
    """A flag is read as the config is."""
    plain(site)
    flags = ("--scep-subject", "O=Example,CN={{ device.name }}", "--var", "device.name=x,OU=Admins")
    assert subject_of(profile_of(site, mdmprofile, *flags)) == [[["O", "Example"]], [["CN", "x,OU=Admins"]]]


@pytest.mark.parametrize(
    ("line", "wild"),
    [
        ('identifier = "com.example.{{ x }}"', "a b"),
        ('identifier = "com.example.{{ x }}"', "a\nscope = 1"),
        ('uuid = "{{ x }}"', "not-a-uuid"),
        ('scope = "{{ x }}"', "Everything"),
        ('target_device = "{{ x }}"', "5; 6"),
        ('replace_on = "{{ x }}"', "2031-09-01 or so"),
        ('warn = "{{ x }}"', "-1d"),
        ('organization = "{{ x }}"', " "),
    ],
)
def test_filled_value_is_held_to_what_its_key_wants(site: Site, mdmprofile: Command, line: str, wild: str) -> None:
    """Whatever a variable brings is judged like a value that was written there."""
    key = line.partition(" ")[0]
    kept = "\n".join(each for each in site.config.read_text().splitlines() if each.partition(" ")[0] != key)
    site.config.write_text(kept.replace("[profile]\n", f"[profile]\n{line}\n"))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--var", f"x={wild}")
    assert outcome.code == 3
    assert f"{site.config}: profile.{key}: " in outcome.err
    assert not (site.folder / "out").exists()


def test_variable_with_a_control_character_is_refused_with_the_key_it_ended_in(site: Site, mdmprofile: Command) -> None:
    """A property list cannot hold it, and a device would refuse the whole profile."""
    site.edit(lambda text: text.replace('"Example MDM"', '"{{ note }}"'))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--var", "note=a\x1b[2Jb")
    assert outcome.code == 3
    assert "PayloadDisplayName: holds the character U+001B at position 1" in outcome.err
    assert "\x1b" not in outcome.err
    assert not (site.folder / "out").exists()


@pytest.mark.parametrize(
    ("rights", "value"),
    [('"{{ r }}"', "{{ 'erase' }}"), ('["{{ r }}"]', "{{ 'erase' }}")],
    ids=["text", "list"],
)
def test_variable_is_not_filled_a_second_time(site: Site, mdmprofile: Command, rights: str, value: str) -> None:
    """What a variable holds is a value, also where the value looks like a template."""
    site.edit(lambda text: text.replace("[server]\n", f"[server]\naccess_rights = {rights}\n"))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--var", f"r={value}")
    assert outcome.code == 3
    assert "server.access_rights" in outcome.err


@pytest.mark.parametrize("rights", ['["{{ the_right }}"]', '"{{ the_right }}"'], ids=["list", "text"])
@pytest.mark.parametrize("value", ["erase", "manage_apps", "Manage-Apps"])
def test_rights_can_come_from_a_variable_of_any_name(site: Site, mdmprofile: Command, rights: str, value: str) -> None:
    """An underscore may stand in the variable's name and in its value."""
    plain(site)
    site.edit(lambda text: text.replace("[server]\n", f"[server]\naccess_rights = {rights}\n"))
    mdm = profile_of(site, mdmprofile, "--var", f"the_right={value}")["PayloadContent"][-1]
    assert mdm["AccessRights"] == {"erase": 8}.get(value, 4096)


def test_path_and_secret_of_a_config_can_hold_variables(site: Site, mdmprofile: Command) -> None:
    """One config then serves several sites."""
    plain(site)
    (site.folder / "berlin").mkdir()
    for file in ("challenge.txt", "root.pem"):
        (site.folder / file).rename(site.folder / "berlin" / file)
    site.edit(lambda text: text.replace('"challenge.txt"', '"{{ site }}/challenge.txt"'))
    site.edit(lambda text: text.replace('"root.pem"', '"{{ site }}/root.pem"'))
    plist = profile_of(site, mdmprofile, "--var", "site=berlin")
    assert plist["PayloadContent"][0]["PayloadContent"] == site.root.der
    assert plist["PayloadContent"][2]["PayloadContent"]["Challenge"] == "open-sesame-4711"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('display_name = "Example MDM"', 'display_name = "MDM of {{ device.owner }}"'),
        ('identifier = "com.example.mdm.enroll"', 'identifier = "com.example.{{ device.serial }}"'),
        ('url = "https://mdm.example.com/mdm"', 'url = "https://mdm.example.com/mdm?d={{ device.serial }}"'),
        ('type = "scep"\n', 'type = "scep"\nsubject = "CN={{ device.serial }}"\n'),
    ],
    ids=["text", "identifier", "url", "subject"],
)
def test_dates_of_a_config_are_judged_without_the_values_of_a_device(
    site: Site, mdmprofile: Command, old: str, new: str
) -> None:
    """``check`` reads a config whose variables only a device's own build will know."""
    site.edit(lambda text: text.replace(old, new))
    outcome = mdmprofile("check", site.config, "--format", "json")
    assert outcome.code == 0, outcome.err
    assert len(outcome.json["certificates"]) == 5


def test_build_names_every_unknown_variable(site: Site, mdmprofile: Command) -> None:
    """Each key with a forgotten variable is a mistake of its own."""
    site.edit(lambda text: text.replace('"Example MDM"', '"{{ one }}"').replace('"Example Inc."', '"{{ two.x }}"'))
    outcome = mdmprofile("build", "-c", site.config)
    assert outcome.code == 3
    assert [each.partition(f"{Path(site.config)}: ")[2] for each in outcome.err.splitlines()] == [
        "profile.display_name: a variable is not known: 'one' is undefined (give it with --var NAME=VALUE)",
        "profile.organization: a variable is not known: 'two' is undefined (give it with --var NAME=VALUE)",
    ]
