"""Secrets: where they come from, what can go wrong, and that none ever shows."""

from __future__ import annotations

import contextlib
import os
import plistlib
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from mdmprofile.builder import build
from mdmprofile.certificates import Identity
from mdmprofile.config import load_config, read_signing
from mdmprofile.errors import InputError, MdmprofileError, PasswordError, SecretError
from mdmprofile.inputs import MAX_SECRET
from mdmprofile.materials import load_materials, load_signer
from mdmprofile.secret import SecretSource
from mdmprofile.tables import Context, secret
from mdmprofile.templating import renderer
from pki import NOW, Site, ec_key, issue, signed_content

HIDDEN = "hunter2-Zz9"
SCEP = "com.apple.security.scep"


def source(value: object, *, base: Path = Path()) -> SecretSource:
    """The source that a config's value describes."""
    return secret("identity.challenge")(value, Context(base, renderer({})))


def python(code: str) -> dict[str, list[str]]:
    """A command that runs this code."""
    return {"command": [sys.executable, "-c", code]}


def challenge(site: Site, toml: str) -> None:
    """Have the site's challenge come from here."""
    site.edit(lambda text: text.replace('{ file = "challenge.txt" }', toml))


def built_challenge(site: Site) -> str:
    """The challenge in the site's profile."""
    content = plistlib.loads(build(load_config(site.config), now=NOW).profile.to_bytes())["PayloadContent"]
    (scep,) = (each["PayloadContent"] for each in content if each["PayloadType"] == SCEP)
    return str(scep["Challenge"])


def with_signer(site: Site, lines: str) -> None:
    """Replace the site's signing table by these lines."""
    site.edit(lambda text: f"{text.partition('[signing]')[0]}[signing]\n{lines}\n")


@pytest.fixture
def signer_folder(site: Site) -> Path:
    """The site's folder with an encrypted signer key and a PKCS#12 signer; the password of both is in a file."""
    (site.folder / "locked.key").write_bytes(site.signer.key_pem(HIDDEN))
    (site.folder / "signer.p12").write_bytes(site.signer.p12(HIDDEN, [site.intermediate]))
    (site.folder / "right.txt").write_text(f"{HIDDEN}\n")
    (site.folder / "wrong.txt").write_text("not-it-4711\n")
    return site.folder


# --- where a secret comes from ---------------------------------------------------------------------------------


def test_every_source_gives_its_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Literal text, an environment variable, a file beside the config, a command's output and a person's answer."""
    monkeypatch.setenv("TEST_SECRET", HIDDEN)
    (tmp_path / "secret.txt").write_text(HIDDEN)
    asked: list[str] = []

    def prompt(question: str) -> str:
        asked.append(question)
        return HIDDEN

    values: list[object] = [
        HIDDEN,
        {"env": "TEST_SECRET"},
        {"file": "secret.txt"},
        {"file": tmp_path / "secret.txt"},
        python(f"print({HIDDEN!r})"),
        {"prompt": "Challenge?"},
    ]
    assert [source(each, base=tmp_path).fetch(prompt) for each in values] == [HIDDEN] * len(values)
    assert asked == ["Challenge?"]


@pytest.mark.parametrize(
    "toml",
    [
        '"hunter2-Zz9"',
        '{ env = "TEST_SECRET" }',
        '{ file = "secret.txt" }',
        '{ command = ["COMMAND"] }',
    ],
    ids=["literal", "env", "file", "command"],
)
def test_challenge_of_every_source_reaches_the_profile(site: Site, monkeypatch: pytest.MonkeyPatch, toml: str) -> None:
    """What the device sends to the SCEP server is the secret, to the letter."""
    monkeypatch.setenv("TEST_SECRET", HIDDEN)
    (site.folder / "secret.txt").write_text(f"{HIDDEN}\n")
    command = f'"{sys.executable}", "-c", "print({HIDDEN!r})"'
    challenge(site, toml.replace('"COMMAND"', command))
    assert built_challenge(site) == HIDDEN


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret\n\n", "secret\n"),
        (b" two words \n", " two words "),
        ("gehëim🔑\n".encode(), "gehëim🔑"),
        (b"x" * MAX_SECRET, "x" * MAX_SECRET),
    ],
    ids=["bare", "line end", "Windows line end", "one line end only", "spaces", "UTF-8", "largest"],
)
def test_line_end_of_editors_and_echo_is_no_part_of_the_secret(tmp_path: Path, data: bytes, expected: str) -> None:
    """One line end goes, everything else stays; the same holds for a file and for a command's output."""
    (tmp_path / "secret").write_bytes(data)
    assert source({"file": "secret"}, base=tmp_path).fetch() == expected
    code = f"import pathlib, sys; sys.stdout.buffer.write(pathlib.Path({str(tmp_path / 'secret')!r}).read_bytes())"
    assert source(python(code)).fetch() == expected


def test_secret_is_no_template(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A challenge that looks like a template is the challenge; only what the config itself says is filled."""
    monkeypatch.setenv("TEST_SECRET", "{{ 7 + 7 }}{% x")
    challenge(site, '{ env = "TEST_{{ name }}" }')
    settings = load_config(site.config, variables={"name": "SECRET"})
    assert load_materials(settings).challenge == "{{ 7 + 7 }}{% x"


def test_secret_with_markup_stays_inside_its_field(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The property list escapes it."""
    wild = "</string><key>Challenge</key><string>&lt;\"'\ud7ff"
    monkeypatch.setenv("TEST_SECRET", wild)
    challenge(site, '{ env = "TEST_SECRET" }')
    assert built_challenge(site) == wild


def test_command_is_run_without_a_shell_and_without_input(tmp_path: Path) -> None:
    """Arguments arrive as they are written, and a command that reads its input finds it at its end."""
    code = "import sys; sys.stdout.write(repr(sys.argv[1:]) + repr(sys.stdin.read()))"
    value = {"command": [sys.executable, "-c", code, "$HOME; touch made", "a b"]}
    assert source(value, base=tmp_path).fetch() == "['$HOME; touch made', 'a b']''"


def test_profile_with_a_secret_is_readable_by_its_owner_alone(site: Site, mdmprofile: Command) -> None:
    """The enrollment profile holds the challenge; the trust profile holds nothing secret."""
    out = site.folder / "out"
    assert mdmprofile("build", "-c", site.config, "-o", out).code == 0
    assert (out / "enroll.mobileconfig").stat().st_mode & 0o077 == 0


# --- what can go wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"env": "NOT_SET_ANYWHERE"}, "the environment variable NOT_SET_ANYWHERE is not set"),
        ({"file": "empty"}, "empty is empty"),
        ({"file": "newline"}, "newline is empty"),
        ({"file": "latin"}, "latin is not UTF-8 text"),
        (python("pass"), "is empty"),
        (python("import sys; sys.stdout.buffer.write(b'\\xff')"), "is not UTF-8 text"),
        (python("print('x' * 70000)"), "is larger than 64 KiB"),
        (python(f"print({HIDDEN!r}); raise SystemExit(7)"), "failed with status 7"),
        ({"command": ["no-such-command-4711", HIDDEN]}, "the command no-such-command-4711 cannot be run"),
        ({"command": ["/etc", HIDDEN]}, "the command /etc cannot be run"),
        ({"command": ["zero\0byte", HIDDEN]}, "cannot be run"),
        ({"prompt": "Challenge?"}, "would be asked for, but nobody can answer here"),
    ],
    ids=[
        *("env not set", "file empty", "file of a line end", "file not UTF-8", "command silent", "command not UTF-8"),
        *("command too talkative", "command fails", "command absent", "command a directory", "command impossible"),
        "nobody to ask",
    ],
)
def test_secret_that_cannot_be_had_is_an_error_with_its_key(tmp_path: Path, value: object, message: str) -> None:
    """The error names the key and the source, and neither output nor arguments."""
    for file, data in {"empty": b"", "newline": b"\n", "latin": b"gr\xfc\xdfe"}.items():
        (tmp_path / file).write_bytes(data)
    with pytest.raises(SecretError) as caught:
        source(value, base=tmp_path).fetch()
    assert caught.value.where == "identity.challenge"
    assert message in caught.value.message
    assert HIDDEN not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.exists, "no such file"),
        (Path.mkdir, "is a directory where a file belongs"),
        (lambda file: file.write_bytes(b"x" * (MAX_SECRET + 1)), "is larger than the limit of 64 KiB"),
        (lambda file: file.symlink_to("/dev/zero"), "is larger than the limit of 64 KiB"),
    ],
    ids=["absent", "directory", "too large", "endless"],
)
def test_secret_file_that_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    """The path says which file it is, and an endless one costs no more than a large one."""
    make(tmp_path / "secret")
    with pytest.raises(SecretError) as caught:
        source({"file": "secret"}, base=tmp_path).fetch()
    assert str(tmp_path / "secret") in caught.value.message
    assert message in caught.value.message


def test_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets its seconds, then the build goes on to say that it gave no answer."""
    monkeypatch.setattr("mdmprofile.secret.COMMAND_SECONDS", 0.2)
    begin = time.monotonic()
    with pytest.raises(SecretError, match=r"gave no answer in 0\.2 seconds"):
        source(python("import time; print('half', flush=True); time.sleep(60)")).fetch()
    assert time.monotonic() - begin < 20


def test_command_that_never_stops_talking_is_ended_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its output is bounded as a file's is, so it cannot fill the disk until its time is up."""
    monkeypatch.setattr("mdmprofile.secret.COMMAND_SECONDS", 2)
    code = "import time\nwhile True:\n    print('x' * 5000, flush=True)\n    time.sleep(0.001)"
    with pytest.raises(SecretError, match="is larger than 64 KiB"):
        source(python(code)).fetch()


def test_empty_environment_variable_is_no_secret(
    site: Site, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that a pipeline left empty is refused as an empty file is, instead of a challenge of nothing."""
    monkeypatch.setenv("TEST_SECRET", "")
    challenge(site, '{ env = "TEST_SECRET" }')
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out")
    assert outcome.code == 3
    assert "identity.challenge" in outcome.err
    assert "TEST_SECRET is empty" in outcome.err


def test_password_that_is_not_utf8_in_the_environment_is_refused(
    site: Site, signer_folder: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are no text are the source's mistake, as they are in a file."""
    monkeypatch.setenv("TEST_SECRET", os.fsdecode(b"hunter2\xff"))
    with_signer(site, 'certificate = "signer.pem"\nkey = "locked.key"\nkey_password = { env = "TEST_SECRET" }')
    outcome = mdmprofile("build", "-c", site.config, "-o", signer_folder / "out")
    assert outcome.code == 3
    assert "internal error" not in outcome.err
    assert "signing.key_password" in outcome.err
    assert "hunter2" not in outcome.err


# --- a secret never shows --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [HIDDEN, {"env": f"X_{HIDDEN}"}, {"file": HIDDEN}, {"command": ["pass", HIDDEN]}, {"prompt": HIDDEN}],
    ids=["literal", "env", "file", "command", "prompt"],
)
def test_source_shows_neither_value_nor_place(value: object) -> None:
    """Tracebacks and logs that print a source learn nothing."""
    found = source(value)
    assert HIDDEN not in repr(found) + str(found) + f"{found}"
    assert "identity.challenge" in repr(found)


def test_no_object_of_a_build_shows_a_secret(site: Site, signer_folder: Path) -> None:
    """Config, settings, materials and the result of a build can all be printed."""
    (signer_folder / "device.p12").write_bytes(issue("device", site.intermediate).p12(HIDDEN))
    with_signer(site, f'pkcs12 = "signer.p12"\npkcs12_password = "{HIDDEN}"')
    challenge(site, f'"{HIDDEN}"')
    site.edit(lambda text: text.replace("[profile]\n", f'[profile]\nremoval_password = "{HIDDEN}"\n'))
    shown = [_shown(site)]
    assert built_challenge(site) == HIDDEN
    identity = f'[identity]\ntype = "pkcs12"\nfile = "device.p12"\npassword = "{HIDDEN}"\n'
    site.edit(lambda text: f"{text.partition('[identity]')[0]}{identity}[signing]{text.partition('[signing]')[2]}")
    shown.append(_shown(site))
    assert [HIDDEN in each for each in shown] == [False, False]
    assert ["PRIVATE" in each for each in shown] == [False, False]


def _shown(site: Site) -> str:
    config = load_config(site.config)
    materials = load_materials(config)
    assert materials.errors == ()
    result = build(config, now=NOW)
    values: list[Any] = [config, *config, materials, materials.pkcs12, materials.signer, result, *result.artifacts]
    return "\n".join(f"{each!r}\n{each}" for each in values)


@pytest.mark.parametrize("form", [["--format", "json"], ["--verbose"], ["--color", "always"]], ids=["json", "v", "tty"])
def test_no_report_shows_a_secret(site: Site, signer_folder: Path, mdmprofile: Command, form: list[str]) -> None:
    """A good build says nothing of what is secret in it, in any format."""
    with_signer(site, f'certificate = "signer.pem"\nkey = "locked.key"\nkey_password = "{HIDDEN}"')
    challenge(site, f'"{HIDDEN}"')
    outcome = mdmprofile("build", "-c", site.config, "-o", signer_folder / "out", *form)
    assert outcome.code == 0
    assert HIDDEN not in outcome.out + outcome.err


@pytest.mark.parametrize(
    "value",
    [
        f"pre{{% {HIDDEN} %}}",
        f"pre{{{{ {HIDDEN}",
        "pre{{ 'a' hunter2 }}",
    ],
    ids=["statement", "unclosed", "malformed"],
)
def test_literal_secret_that_looks_like_a_template_is_not_quoted(site: Site, mdmprofile: Command, value: str) -> None:
    """A generated challenge may hold two braces; the error names its key and quotes none of it."""
    challenge(site, f'"{value}"')
    outcome = mdmprofile("build", "-c", site.config)
    assert outcome.code == 3
    assert "identity.challenge" in outcome.err
    assert "hunter2" not in outcome.err


def test_mistake_in_a_secrets_table_does_not_quote_the_secret(site: Site, mdmprofile: Command) -> None:
    """A person may write the secret itself under a key that does not exist."""
    challenge(site, f'{{ value = "{HIDDEN}" }}')
    outcome = mdmprofile("build", "-c", site.config, "--format", "json")
    assert outcome.code == 3
    assert "'value' is not known here" in outcome.err
    assert HIDDEN not in outcome.out + outcome.err


def test_challenge_that_no_property_list_can_hold_is_not_quoted(
    site: Site, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the key and the character, not the text around it."""
    monkeypatch.setenv("TEST_SECRET", f"{HIDDEN}\x07")
    challenge(site, '{ env = "TEST_SECRET" }')
    outcome = mdmprofile("build", "-c", site.config)
    assert outcome.code == 3
    assert "U+0007" in outcome.err
    assert "Challenge" in outcome.err
    assert HIDDEN not in outcome.err


# --- passwords of the signer -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        'certificate = "signer.pem"\nkey = "locked.key"\nkey_password = { file = "right.txt" }',
        'certificate = "signer.pem"\nkey = "signer.key"\nkey_password = { file = "wrong.txt" }',
        'pkcs12 = "signer.p12"\npkcs12_password = { file = "right.txt" }',
    ],
    ids=["encrypted key", "password for a key without one", "PKCS#12"],
)
def test_right_password_opens_the_signer(
    site: Site, signer_folder: Path, mdmprofile: Command, openssl: Callable[..., bytes], lines: str
) -> None:
    """What it signed is verified by openssl."""
    with_signer(site, lines)
    outcome = mdmprofile("build", "-c", site.config, "-o", signer_folder / "out")
    assert outcome.code == 0, outcome.err
    plain = signed_content(openssl, signer_folder / "out" / "enroll.mobileconfig", signer_folder / "root.pem")
    assert plistlib.loads(plain)["PayloadIdentifier"] == "com.example.mdm.enroll"


@pytest.mark.parametrize(
    ("lines", "file", "message"),
    [
        ('key = "locked.key"', "locked.key", "the private key is encrypted and needs a password"),
        (
            'key = "locked.key"\nkey_password = { file = "wrong.txt" }',
            "locked.key",
            "the password does not open the private key",
        ),
        ('pkcs12 = "signer.p12"', "signer.p12", "it needs a password"),
        ('pkcs12 = "signer.p12"\npkcs12_password = "not-it-4711"', "signer.p12", "the password does not open it"),
    ],
    ids=["key without", "key with wrong", "PKCS#12 without", "PKCS#12 with wrong"],
)
def test_wrong_or_missing_password_is_an_error_and_nothing_is_written(
    site: Site, signer_folder: Path, mdmprofile: Command, lines: str, file: str, message: str
) -> None:
    """Exit code 3, one line that names the file, no password in it, and an older result untouched."""
    out = signer_folder / "out"
    assert mdmprofile("build", "-c", site.config, "-o", out).code == 0
    before = {each.name: each.read_bytes() for each in out.iterdir()}
    with_signer(site, lines if "pkcs12" in lines else f'certificate = "signer.pem"\n{lines}')
    challenge(site, '"changed"')
    outcome = mdmprofile("build", "-c", site.config, "-o", out)
    assert outcome.code == 3
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"mdmprofile: error: {signer_folder / file}: {message}")
    assert "not-it-4711" not in line
    assert {each.name: each.read_bytes() for each in out.iterdir()} == before


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ('certificate = "signer.pem"\nkey = "locked.key"\nkey_password = { env = "GONE" }', "signing.key_password"),
        ('pkcs12 = "signer.p12"\npkcs12_password = { env = "GONE" }', "signing.pkcs12_password"),
    ],
    ids=["key", "PKCS#12"],
)
def test_password_that_cannot_be_had_is_the_only_error_about_its_file(
    site: Site, signer_folder: Path, mdmprofile: Command, lines: str, key: str
) -> None:
    """Whether the file would open is not guessed at."""
    with_signer(site, lines)
    outcome = mdmprofile("build", "-c", site.config, "--format", "json", "-o", signer_folder / "out")
    assert outcome.code == 3
    assert [each["where"] for each in outcome.json["errors"]] == [key]


def test_absent_files_of_the_signer_are_reported_though_a_password_is_configured(
    site: Site, mdmprofile: Command
) -> None:
    """An absent key is not mistaken for one that needs another password."""
    with_signer(site, 'certificate = "signer.pem"\nkey = "gone.key"\nkey_password = "x"')
    outcome = mdmprofile("build", "-c", site.config, "--format", "json", "-o", site.folder / "out")
    assert outcome.code == 3
    (found,) = outcome.json["errors"]
    assert (Path(found["where"]).name, found["message"]) == ("gone.key", "no such file")


@pytest.mark.parametrize("answer", [HIDDEN, "not-it-4711"], ids=["right", "wrong"])
@pytest.mark.parametrize(
    ("values", "file"),
    [({"certificate": "signer.pem", "key": "locked.key"}, "locked.key"), ({"pkcs12": "signer.p12"}, "signer.p12")],
    ids=["key", "PKCS#12"],
)
def test_person_is_asked_for_a_password_that_no_key_names(
    site: Site, signer_folder: Path, values: dict[str, str], file: str, answer: str
) -> None:
    """The question names the file; a wrong answer is an error and is not repeated in it."""
    asked: list[str] = []

    def prompt(question: str) -> str:
        asked.append(question)
        return answer

    settings = read_signing({key: signer_folder / name for key, name in values.items()})
    if answer == HIDDEN:
        found = load_signer(settings, prompt=prompt)
        assert isinstance(found, Identity)
        assert found.certificate.der == site.signer.der
    else:
        with pytest.raises(PasswordError, match="does not open") as caught:
            load_signer(settings, prompt=prompt)
        assert answer not in str(caught.value)
    assert asked == [f"Password of {signer_folder / file}"]


def test_prompted_password_of_the_device_identity_is_embedded_like_a_configured_one(site: Site) -> None:
    """A device needs it as much as the build did."""
    (site.folder / "device.p12").write_bytes(issue("device", site.intermediate).p12(HIDDEN))
    identity = '[identity]\ntype = "pkcs12"\nfile = "device.p12"\nsingle_device = true\n'
    site.edit(lambda text: text.partition("[identity]")[0] + identity)
    profile = build(load_config(site.config), now=NOW, prompt=lambda _: HIDDEN).profile
    (found,) = (each for each in profile.payloads if each["PayloadType"] == "com.apple.security.pkcs12")
    assert found["Password"] == HIDDEN


def test_signer_alone_comes_with_the_chain_of_its_files(site: Site) -> None:
    """``sign`` has no config: the signer's own file and the chain files together make the path."""
    signer = issue("Own", site.intermediate, key=ec_key())
    (site.folder / "own.pem").write_bytes(signer.pem + site.root.pem)
    (site.folder / "own.key").write_bytes(signer.key_pem())
    paths = {"certificate": "own.pem", "key": "own.key", "chain": "intermediate.pem"}
    found = load_signer(read_signing({key: site.folder / each for key, each in paths.items()}))
    assert isinstance(found, Identity)
    assert found.certificate.der == signer.der
    assert [each.der for each in found.chain] == [site.root.der, site.intermediate.der]


@pytest.mark.parametrize("gone", ["own.pem", "own.key", "intermediate.pem"])
def test_signer_alone_needs_each_of_its_files(site: Site, gone: str) -> None:
    """The error names the one that is not there."""
    signer = issue("Own", site.intermediate, key=ec_key())
    (site.folder / "own.pem").write_bytes(signer.pem)
    (site.folder / "own.key").write_bytes(signer.key_pem())
    (site.folder / gone).unlink()
    paths = {"certificate": "own.pem", "key": "own.key", "chain": "intermediate.pem"}
    with pytest.raises(InputError) as caught:
        load_signer(read_signing({key: site.folder / each for key, each in paths.items()}))
    assert caught.value.where == str(site.folder / gone)


def test_signing_settings_alone_are_judged_like_the_table_of_a_config() -> None:
    """Every mistake comes with its path."""
    with pytest.raises(MdmprofileError) as caught:
        read_signing({"certificate": Path("a"), "kye": Path("b")})
    assert str(caught.value) == (
        "signing.key: is missing (name the file with the signer's private key as key, "
        "or use command, pkcs11 or cms_command); "
        "signing.kye: is not a known key (did you mean key?)"
    )


def test_person_at_a_terminal_is_asked_without_an_echo(site: Site) -> None:
    """The question goes to the terminal, the answer into the profile and nowhere else."""
    challenge(site, '{ prompt = "SCEP challenge" }')
    site.edit(lambda text: text.partition("[signing]")[0])
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "mdmprofile", "build", "-c", str(site.config), "-o", "-", "--at", "2031-03-01"]
    shown = b""
    with subprocess.Popen(
        command, stdin=slave, stderr=slave, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        os.close(slave)
        deadline = time.monotonic() + 30
        while b"SCEP challenge" not in shown and time.monotonic() < deadline:
            shown += os.read(master, 1024)
        os.write(master, f"{HIDDEN}\n".encode())
        assert process.stdout is not None
        profile = process.stdout.read()
        with contextlib.suppress(OSError):  # Linux reports the end of a terminal as an error
            while part := os.read(master, 1024):
                shown += part
    os.close(master)
    assert process.returncode == 0, shown
    (scep,) = (each for each in plistlib.loads(profile)["PayloadContent"] if each["PayloadType"] == SCEP)
    assert scep["PayloadContent"]["Challenge"] == HIDDEN
    assert HIDDEN.encode() not in shown


@pytest.mark.usefixtures("signer_folder")
def test_check_without_the_password_of_the_signer_says_so(site: Site, mdmprofile: Command) -> None:
    """Its certificate is inside the PKCS#12; the rest of the config is still judged."""
    with_signer(site, 'pkcs12 = "signer.p12"\npkcs12_password = { env = "GONE" }')
    outcome = mdmprofile("check", site.config, "--format", "json")
    assert outcome.code == 3
    assert [each["where"] for each in outcome.json["errors"]] == ["signing.pkcs12_password"]
    assert "leaf" in [each["role"] for each in outcome.json["certificates"]]
