"""Whatever a user hands us: one line that says what and where, the right exit code, and nothing written."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from conftest import Command, Outcome
from mdmprofile.moments import stamp
from pki import NOW, Site, ec_key, issue

Breakage = Callable[[Site], None]

PASSWORD = "hunter2-passphrase"
SECRETS = ("open-sesame-4711", PASSWORD, "wrong-guess", "PRIVATE KEY-----\n")
COMMANDS = ("build", "trust")


def writes(name: str, data: bytes) -> Breakage:
    """Put these bytes into a file of the site."""
    return lambda site: _write(site, name, data)


def changes(old: str, new: str) -> Breakage:
    """Change a piece of the config."""
    return lambda site: site.edit(lambda text: text.replace(old, new))


def sets(line: str) -> Breakage:
    """Set a key of the server table."""
    return changes('push_certificate = "push.pem"\n', f'push_certificate = "push.pem"\n{line}\n')


def identifies(*lines: str) -> Breakage:
    """Give the config another identity."""
    table = "\n".join(("[identity]", *lines, "", ""))
    return lambda site: site.edit(
        lambda text: re.sub(r"\[identity\].*?(?=\[signing\])", lambda _: table, text, flags=re.DOTALL)
    )


def _write(site: Site, name: str, data: bytes) -> None:
    (site.folder / name).write_bytes(data)


def _cut(name: str, keep: float) -> Breakage:
    def breakage(site: Site) -> None:
        data = (site.folder / name).read_bytes()
        _write(site, name, data[: int(len(data) * keep)])

    return breakage


def _der_cut_short(site: Site) -> None:
    _write(site, "root.pem", site.root.der[:-40])


def _bad_base64(site: Site) -> None:
    _write(site, "root.pem", site.root.pem.replace(b"M", b"!", 1))


def _der_damaged(site: Site) -> None:
    common_name = b"\x06\x03\x55\x04\x03"  # the object identifier, whose tag becomes that of a NULL with content
    assert common_name in site.root.der
    _write(site, "root.pem", site.root.der.replace(common_name, b"\x05" + common_name[1:]))


def _absent(site: Site) -> None:
    (site.folder / "root.pem").unlink()


def _directory(site: Site) -> None:
    (site.folder / "root.pem").unlink()
    (site.folder / "root.pem").mkdir()


def _two_gigabytes(site: Site) -> None:
    with (site.folder / "root.pem").open("wb") as sparse:
        sparse.truncate(2 * 1024**3)


def _endless(name: str) -> Breakage:
    def breakage(site: Site) -> None:
        (site.folder / name).unlink()
        (site.folder / name).symlink_to("/dev/zero")

    return breakage


def _key_of_another_kind(site: Site) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    _write(site, "signer.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _encrypted_key(*lines: str) -> Breakage:
    def breakage(site: Site) -> None:
        _write(site, "signer.key", site.signer.key_pem(PASSWORD))
        if lines:
            site.edit(lambda text: text + "\n".join(lines))

    return breakage


def _pkcs12_signer(*lines: str) -> Breakage:
    def breakage(site: Site) -> None:
        _write(site, "signer.p12", site.signer.p12(PASSWORD))
        table = "\n".join(("[signing]", 'pkcs12 = "signer.p12"', *lines, ""))
        site.edit(lambda text: text.partition("[signing]")[0] + table)

    return breakage


def _pkcs12_identity(*lines: str, keep: float = 1.0) -> Breakage:
    def breakage(site: Site) -> None:
        data = issue("Device", site.intermediate).p12(PASSWORD)
        _write(site, "device.p12", data[: int(len(data) * keep)])
        identifies('type = "pkcs12"', 'file = "device.p12"', "single_device = true", *lines)(site)

    return breakage


# What cannot be read or makes no sense: exit code 3. Each with what its line must say, and with the file or key.
UNREADABLE = [
    pytest.param(_bad_base64, "root.pem: has malformed base64 in its PEM", id="pem-malformed"),
    pytest.param(_cut("root.pem", 0.5), "root.pem: is cut short: a 'CERTIFICATE' block has no END line", id="pem-cut"),
    pytest.param(writes("root.pem", b"-----BEGIN " + b"x" * 999), "root.pem: has a PEM header that", id="pem-header"),
    pytest.param(_der_cut_short, "root.pem: a certificate cannot be parsed", id="der-cut"),
    pytest.param(_der_damaged, "root.pem: a certificate cannot be parsed", id="der-damaged"),
    pytest.param(writes("root.pem", b""), "root.pem: is empty where certificates belong", id="empty"),
    pytest.param(writes("root.pem", b" \n\n"), "root.pem: is empty where certificates belong", id="blank"),
    pytest.param(writes("root.pem", b"hello"), "root.pem: holds no certificate", id="no-certificate"),
    pytest.param(
        lambda site: _write(site, "root.pem", site.root.key_pem()),
        "root.pem: holds a private key where a certificate belongs",
        id="key-for-certificate",
    ),
    pytest.param(_absent, "root.pem: no such file (check the path", id="absent"),
    pytest.param(_directory, "root.pem: is a directory where a file belongs", id="directory"),
    pytest.param(changes('"root.pem"', '"push.pem/root.pem"'), "push.pem/root.pem: cannot be read", id="below-a-file"),
    pytest.param(changes('"root.pem"', '"a\\u0000b"'), "a\\x00b: cannot be read", id="nul-in-a-path"),
    pytest.param(_two_gigabytes, "root.pem: is larger than the limit of 16,384 KiB", id="two-gigabytes"),
    pytest.param(_endless("root.pem"), "root.pem: is larger than the limit of 16,384 KiB", id="endless"),
    pytest.param(_cut("server.pem", 0.6), "server.pem: is cut short", id="server-certificate"),
    pytest.param(writes("signer.pem", b"-----"), "signer.pem: holds no certificate", id="signer"),
    pytest.param(_cut("signer.key", 0.5), "signer.key: holds no readable private key", id="key-cut"),
    pytest.param(writes("signer.key", b""), "signer.key: ", id="key-empty"),
    pytest.param(_endless("signer.key"), "signer.key: is larger than the limit", id="key-endless"),
    pytest.param(_key_of_another_kind, "signer.key: holds a key that is neither RSA nor EC", id="key-kind"),
    pytest.param(_encrypted_key(), "signer.key: the private key is encrypted and needs a password", id="key-encrypted"),
    pytest.param(
        _encrypted_key('key_password = "wrong-guess"'),
        "signer.key: the password does not open the private key",
        id="key-wrong-password",
    ),
    pytest.param(_pkcs12_signer(), "signer.p12: it needs a password", id="signer-p12-no-password"),
    pytest.param(
        _pkcs12_signer('pkcs12_password = "wrong-guess"'),
        "signer.p12: the password does not open it",
        id="signer-p12-wrong-password",
    ),
    pytest.param(
        changes('{ file = "challenge.txt" }', "4711"), "identity.challenge: must be text or", id="secret-number"
    ),
    pytest.param(
        changes('{ file = "challenge.txt" }', '{ path = "open-sesame-4711" }'),
        "identity.challenge: 'path' is not known here",
        id="secret-source-unknown",
    ),
    pytest.param(changes('"Example Inc."', '"{{ nobody }}"'), "profile.organization: a variable is not", id="variable"),
    pytest.param(changes('"Example Inc."', '"{{ nobody "'), "profile.organization: the template is", id="template"),
    pytest.param(changes('"365d"', '"soon"'), "identity.validity: 'soon' is not a duration", id="duration"),
    pytest.param(changes("2031-09-01", '"soon"'), "profile.replace_on: 'soon' is not a date", id="date"),
    pytest.param(
        changes('"scep"', '"scpe"'), "identity.type: 'scpe' is not known here; did you mean 'scep'", id="type"
    ),
    pytest.param(sets('access_rights = "inspct-profiles"'), "server.access_rights: 'inspct-profiles' is", id="right"),
    pytest.param(sets("sign_message = 1"), "server.sign_message: must be true or false, not a number", id="boolean"),
    pytest.param(changes("[server]", "[server.more]"), "server.more: is not a known key", id="table"),
    pytest.param(changes("[profile]", "profile = 1\n[profil]"), "profile: must be a table", id="not-a-table"),
]
# … and what only the enrollment profile needs.
UNREADABLE_IN_BUILD = [
    pytest.param(_pkcs12_identity(), "device.p12: it needs a password", id="p12-no-password"),
    pytest.param(
        _pkcs12_identity('password = "wrong-guess"'),
        "device.p12: the password does not open it",
        id="p12-wrong-password",
    ),
    pytest.param(
        _pkcs12_identity(f'password = "{PASSWORD}"', keep=0.7),
        "device.p12: ",
        id="p12-cut",
    ),
    pytest.param(
        identifies('type = "pkcs12"', 'file = "root.pem"', f'password = "{PASSWORD}"'),
        "root.pem: is not an intact PKCS#12 file",
        id="certificate-for-p12",
    ),
    pytest.param(changes("challenge.txt", "nowhere.txt"), "nowhere.txt: no such file", id="secret-absent"),
    pytest.param(writes("challenge.txt", b"\n"), "challenge.txt is empty", id="secret-empty"),
    pytest.param(writes("challenge.txt", b"open-sesame-4711\xff"), "challenge.txt is not UTF-8", id="secret-binary"),
    pytest.param(changes("challenge.txt", "."), ": is a directory where a file belongs", id="secret-directory"),
    pytest.param(_endless("challenge.txt"), "challenge.txt: is larger than the limit of 64 KiB", id="secret-endless"),
    pytest.param(
        changes('{ file = "challenge.txt" }', '{ env = "MDMPROFILE_TEST_ABSENT" }'),
        "identity.challenge: the environment variable MDMPROFILE_TEST_ABSENT is not set",
        id="secret-environment",
    ),
    pytest.param(
        changes('{ file = "challenge.txt" }', '{ command = ["false", "open-sesame-4711"] }'),
        "identity.challenge: the command false failed with status 1",
        id="secret-command-fails",
    ),
    pytest.param(
        changes('{ file = "challenge.txt" }', '{ command = ["no-such-program", "open-sesame-4711"] }'),
        "identity.challenge: the command no-such-program cannot be run",
        id="secret-command-absent",
    ),
    pytest.param(
        changes('{ file = "challenge.txt" }', '{ prompt = "Challenge" }'),
        "identity.challenge: would be asked for, but nobody can answer here",
        id="secret-prompt-without-a-person",
    ),
    pytest.param(
        changes('"Example Inc."', '"Example \\u0007 Inc."'),
        "PayloadOrganization: holds the character U+0007",
        id="control-character",
    ),
]
ADVICE = ("did you mean", "must be", "use ", "write it as")
MALFORMED = [
    *(pytest.param("build", *each.values, id=f"build-{each.id}") for each in (*UNREADABLE, *UNREADABLE_IN_BUILD)),
    *(pytest.param("trust", *each.values, id=f"trust-{each.id}") for each in UNREADABLE),
]

SYNTAX = [
    pytest.param(b'[profile]\nidentifier = "a\n', 2, id="open-string"),
    pytest.param(b"[profile\n", 1, id="open-table"),
    pytest.param(b"[profile]\na = 1\na = 2\n", 3, id="key-twice"),
    pytest.param(b"[profile]\n\n\nidentifier =\n", 4, id="no-value"),
    pytest.param(b"[profile]\nreplace_on = 2031-13-01\n", 2, id="no-such-month"),
    pytest.param(b"[trust]\ncertificates = [\n", None, id="open-list"),
]

# What is well-formed and wrong, with its rule: exit code 2. These are in what both commands build…
JUDGED_BY_BOTH = [
    pytest.param(
        changes("https://mdm.example.com/trust", "http://mdm.example.com/trust"),
        "trust.url-scheme",
        id="trust-url-http",
    ),
    pytest.param(
        changes("https://mdm.example.com/enroll", "http://mdm.example.com/enroll"),
        "trust.url-scheme",
        id="enrollment-url-http",
    ),
    pytest.param(
        changes("https://mdm.example.com/dep", "ftp://mdm.example.com/dep"), "trust.url-scheme", id="anchors-url-ftp"
    ),
    pytest.param(
        changes('enrollment_url = "https://mdm.example.com/enroll"\n', ""),
        "trust.urls-incomplete",
        id="one-of-two-urls",
    ),
    pytest.param(changes("2031-09-01", "2031-02-28"), "plan.replacement-past", id="replacement-past"),
    pytest.param(
        lambda site: _write(site, "signer.key", issue("Other", key=ec_key()).key_pem()),
        "signing.key-mismatch",
        id="key-of-another",
    ),
    pytest.param(changes('"root.pem", "intermediate.pem"', '"root.pem"'), "chain.incomplete", id="chain-incomplete"),
    pytest.param(changes('"root.pem", "intermediate.pem"', '"intermediate.pem"'), "trust.empty", id="no-root"),
    pytest.param(
        changes('"root.pem", "inter', '"server.pem", "root.pem", "inter'), "chain.leaf-in-trust", id="leaf-in-trust"
    ),
]
# … and these only in the enrollment profile.
JUDGED_BY_BUILD = [
    pytest.param(
        changes('url = "https://mdm.example.com/mdm"', 'url = "http://mdm.example.com/mdm"'),
        "mdm.url-scheme",
        id="server-url-http",
    ),
    pytest.param(sets('checkin_url = "http://mdm.example.com/checkin"'), "mdm.url-scheme", id="checkin-url-http"),
    pytest.param(
        identifies('type = "acme"', 'directory_url = "http://ca.example.com/"', 'client_identifier = "x"'),
        "acme.url-scheme",
        id="acme-url-http",
    ),
    pytest.param(
        changes('push_certificate = "push.pem"', 'topic = "com.example.mgmt"'),
        "mdm.topic-prefix",
        id="topic-without-prefix",
    ),
    pytest.param(sets("access_rights = 0"), "mdm.access-rights", id="rights-0"),
    pytest.param(sets("access_rights = 2"), "mdm.access-rights", id="rights-2-without-1"),
    pytest.param(sets("access_rights = 128"), "mdm.access-rights", id="rights-128-without-64"),
    pytest.param(sets('access_rights = ["install-profiles"]'), "mdm.access-rights", id="rights-by-name"),
    pytest.param(sets("access_rights = 8192"), "mdm.access-rights", id="rights-8192"),
    pytest.param(sets("access_rights = -1"), "mdm.access-rights", id="rights-negative"),
]
JUDGED_WITH_THE_CONFIG = [
    pytest.param(sets('topic = "com.apple.mgmt.External.other"'), "mdm.topic-mismatch", id="topic-of-another"),
    pytest.param(
        changes("replace_on", "removal_date = 2031-02-28\nreplace_on"), "profile.date-past", id="removal-past"
    ),
    pytest.param(
        changes("replace_on", "expiration_date = 2031-02-28\nreplace_on"), "profile.date-past", id="expiration-past"
    ),
]
JUDGED = [
    *(
        pytest.param("build", *each.values, id=f"build-{each.id}")
        for each in (*JUDGED_BY_BOTH, *JUDGED_BY_BUILD, *JUDGED_WITH_THE_CONFIG)
    ),
    *(pytest.param("trust", *each.values, id=f"trust-{each.id}") for each in JUDGED_BY_BOTH),
]


def prepared(site: Site) -> Path:
    """The output directory with an older profile of the user's."""
    out = site.folder / "out"
    out.mkdir()
    for name in ("enroll.mobileconfig", "trust.mobileconfig"):
        (out / name).write_bytes(b"old")
    return out


def untouched(out: Path) -> bool:
    """Whether the older files, and nothing else, are there."""
    return {each.name: each.read_bytes() for each in out.iterdir()} == {
        "enroll.mobileconfig": b"old",
        "trust.mobileconfig": b"old",
    }


def without_secrets(outcome: Outcome) -> bool:
    """Whether no secret of the site is in what the command said."""
    return not any(secret in outcome.out + outcome.err for secret in SECRETS)


@pytest.mark.parametrize(("command", "breakage", "says"), MALFORMED)
def test_what_cannot_be_read_is_named_and_nothing_is_written(
    command: str, breakage: Breakage, says: str, site: Site, mdmprofile: Command
) -> None:
    """Exit code 3; each problem is one line on standard error that says what and where."""
    out = prepared(site)
    breakage(site)
    outcome = mdmprofile(command, "-c", site.config, "-o", out)
    assert (outcome.code, outcome.out) == (3, "")
    lines = outcome.err.splitlines()
    assert all(line.startswith("mdmprofile: error: ") for line in lines)
    assert any(says in line for line in lines), outcome.err
    assert all(line.isprintable() for line in lines)
    # What to do stands in brackets at the end, or is the message itself: "must be …", "write it as …".
    assert all(line.endswith(")") or any(each in line for each in ADVICE) for line in lines), outcome.err
    assert untouched(out)
    assert without_secrets(outcome)


@pytest.mark.parametrize(("command", "breakage", "says"), MALFORMED)
def test_what_cannot_be_read_is_an_object_in_json(
    command: str, breakage: Breakage, says: str, site: Site, mdmprofile: Command
) -> None:
    """Exit code 3 with one JSON object on standard output, whose errors have message, place and advice."""
    out = prepared(site)
    breakage(site)
    outcome = mdmprofile(command, "-c", site.config, "-o", out, "--format", "json")
    assert outcome.code == 3
    assert outcome.json["findings"] == []
    assert all(set(each) == {"message", "where", "hint"} for each in outcome.json["errors"])
    texts = [f"{each['where']}: {each['message']} ({each['hint']})" for each in outcome.json["errors"]]
    assert any(says.replace("\\x00", "\x00") in text for text in texts), texts
    assert len(outcome.err.splitlines()) == len(texts)
    assert untouched(out)
    assert without_secrets(outcome)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("text", "line"), SYNTAX)
def test_a_toml_syntax_error_has_its_line_and_column(
    text: bytes, line: int | None, command: str, site: Site, mdmprofile: Command
) -> None:
    """The person who edits the file finds the place."""
    out = prepared(site)
    site.config.write_bytes(text)
    outcome = mdmprofile(command, "-c", site.config, "-o", out)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err.startswith(f"mdmprofile: error: {site.config}: is not valid TOML: ")
    assert outcome.err.count("\n") == 1
    place = re.search(r"at line (\d+), column \d+", outcome.err)
    assert place is not None, outcome.err
    assert line is None or int(place[1]) == line
    assert untouched(out)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b'[profile]\nidentifier = "\xff"\n', "is not UTF-8 text (byte 24)", id="not-utf-8"),
        pytest.param(b"a = " + b"[" * 100_000, "is not valid TOML: nested too deeply", id="deep"),
        pytest.param(b"a = " + b"9" * 100_000, "is not valid TOML: ", id="long-number"),
        pytest.param(b"a = 1\n" * 200_000, "is larger than the limit of 1,024 KiB", id="too-large"),
        pytest.param(None, "is a directory where a file belongs", id="directory"),
    ],
)
def test_a_config_that_is_none_is_one_line(data: bytes | None, says: str, site: Site, mdmprofile: Command) -> None:
    """The line names the file and what is wrong with it."""
    out = prepared(site)
    if data is None:
        site.config.unlink()
        site.config.mkdir()
    else:
        site.config.write_bytes(data)
    outcome = mdmprofile("build", "-c", site.config, "-o", out)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err.startswith(f"mdmprofile: error: {site.config}: {says}")
    assert outcome.err.count("\n") == 1
    assert untouched(out)


def test_an_endless_config_is_refused(site: Site, mdmprofile: Command) -> None:
    """Reading stops at the limit."""
    outcome = mdmprofile("build", "-c", "/dev/zero", "-o", site.folder / "out")
    assert (outcome.code, outcome.out) == (3, "")
    assert (
        outcome.err
        == "mdmprofile: error: /dev/zero: is larger than the limit of 1,024 KiB (check that it is the right file)\n"
    )


def test_neither_config_nor_flags_says_how_to_begin(
    mdmprofile: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newcomer's first try, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        outcome = mdmprofile(command)
        assert (outcome.code, outcome.out) == (3, "")
        assert outcome.err == (
            "mdmprofile: error: enroll.toml: no such file (run mdmprofile init, or name a config with -c)\n"
        )
    assert list(tmp_path.iterdir()) == []


def test_every_misspelt_key_is_named_in_one_run_with_the_nearest(site: Site, mdmprofile: Command) -> None:
    """Nobody wants to run a build once for each typing error; the value, which may be a secret, is not shown."""
    out = prepared(site)
    for old, new in (
        ("display_name", "display_nam"),
        ("push_certificate", "push_certifcate"),
        ("trust_profile_url", "trust_profle_url"),
        ('challenge = { file = "challenge.txt" }', 'challange = "open-sesame-4711"'),
        ("[signing]", "[signign]"),
    ):
        changes(old, new)(site)
    outcome = mdmprofile("build", "-c", site.config, "-o", out)
    assert (outcome.code, outcome.out) == (3, "")
    said = [line.removeprefix(f"mdmprofile: error: {site.config}: ") for line in outcome.err.splitlines()]
    assert [line for line in said if "not a known key" in line] == [
        "profile.display_nam: is not a known key (did you mean display_name?)",
        "server.push_certifcate: is not a known key (did you mean push_certificate?)",
        "trust.trust_profle_url: is not a known key (did you mean trust_profile_url?)",
        "identity.challange: is not a known key (did you mean challenge?)",
        "signign: is not a known key (did you mean signing?)",
    ]
    assert untouched(out)
    assert without_secrets(outcome)


def test_every_file_that_cannot_be_read_is_named_in_one_run(site: Site, mdmprofile: Command) -> None:
    """All problems at once, one line each."""
    out = prepared(site)
    for name in ("root.pem", "server.pem", "push.pem", "signer.key", "challenge.txt"):
        (site.folder / name).unlink()
    outcome = mdmprofile("build", "-c", site.config, "-o", out)
    assert (outcome.code, outcome.out) == (3, "")
    missing = re.findall(r"^mdmprofile: error: .*/(\S+): no such file \(", outcome.err, flags=re.MULTILINE)
    assert sorted(missing) == ["challenge.txt", "push.pem", "root.pem", "server.pem", "signer.key"]
    assert outcome.err.count("\n") == 5
    assert untouched(out)


@pytest.mark.parametrize(("command", "breakage", "rule"), JUDGED)
def test_what_a_device_would_refuse_is_a_line_and_nothing_is_written(
    command: str, breakage: Breakage, rule: str, site: Site, mdmprofile: Command
) -> None:
    """Exit code 2; the report says so, and the old files stay."""
    out = prepared(site)
    breakage(site)
    outcome = mdmprofile(command, "-c", site.config, "-o", out)
    assert (outcome.code, outcome.err) == (2, "")
    assert any(line.startswith("error: ") and f"[{rule}]" in line for line in outcome.out.splitlines())
    assert "Nothing was written." in outcome.out
    assert "wrote" not in outcome.out
    assert untouched(out)
    assert without_secrets(outcome)


@pytest.mark.parametrize(("command", "breakage", "rule"), JUDGED)
def test_what_a_device_would_refuse_is_a_finding_in_json(
    command: str, breakage: Breakage, rule: str, site: Site, mdmprofile: Command
) -> None:
    """Exit code 2; the finding is an error with place and advice, and no artifact is named."""
    out = prepared(site)
    breakage(site)
    outcome = mdmprofile(command, "-c", site.config, "-o", out, "--format", "json")
    assert (outcome.code, outcome.err) == (2, "")
    found = [each for each in outcome.json["findings"] if each["rule"] == rule]
    assert found
    assert all(each["severity"] == "error" and each["message"] and each["where"] and each["hint"] for each in found)
    assert outcome.json["artifacts"] == []
    assert untouched(out)
    assert without_secrets(outcome)


@pytest.mark.parametrize(("breakage", "rule"), JUDGED_BY_BUILD)
def test_trust_leaves_the_enrollment_profile_to_build(
    breakage: Breakage, rule: str, site: Site, mdmprofile: Command
) -> None:
    """The trust profile can be published while the enrollment profile is still being worked on."""
    breakage(site)
    outcome = mdmprofile("trust", "-c", site.config, "-o", site.folder / "out", "--format", "json")
    assert outcome.code == 0
    assert rule not in outcome.rules
    assert (site.folder / "out" / "trust.mobileconfig").is_file()


@pytest.mark.parametrize("flag", ["--replaces", "--certificate", "--pkcs12", "--signer", "--scep-ca-certificate"])
@pytest.mark.parametrize(
    "data", [b"", b"hello\n", b"\x30\x03\x02\x01", b"\xff" * 5000], ids=["empty", "text", "der", "noise"]
)
def test_a_file_named_by_a_flag_is_judged_like_one_of_the_config(
    flag: str, data: bytes, site: Site, mdmprofile: Command
) -> None:
    """The error names the file as the flag did."""
    out = prepared(site)
    bad = site.folder / "bad"
    bad.write_bytes(data)
    more = ("--signer-key", site.folder / "signer.key") if flag == "--signer" else ()
    outcome = mdmprofile("build", "-c", site.config, "-o", out, flag, bad, *more)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err.startswith(f"mdmprofile: error: {bad}: ")
    assert "internal error" not in outcome.err
    assert untouched(out)


@pytest.mark.parametrize("directory", ["a\\u0000b", "x" * 300, "challenge.txt"], ids=["nul", "too-long", "a-file"])
def test_an_output_directory_that_cannot_be_made_is_named(directory: str, site: Site, mdmprofile: Command) -> None:
    """A directory of the config is judged like one of a flag."""
    before = sorted(site.folder.iterdir())
    site.edit(lambda text: f'{text}\n[output]\ndirectory = "{directory}"\n')
    outcome = mdmprofile("build", "-c", site.config)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err.startswith("mdmprofile: error: ")
    assert outcome.err.count("\n") == 1
    assert "internal error" not in outcome.err
    assert directory.replace("\\u0000", "\\x00") in outcome.err
    assert sorted(site.folder.iterdir()) == before


def test_a_command_that_prints_without_end_is_stopped_at_the_limit(site: Site) -> None:
    """A secret has a limit wherever it comes from, and nothing of it is written to the disk.

    The limit on files is there to end the command soon where its output goes into one.
    """
    changes('{ file = "challenge.txt" }', '{ command = ["yes", "open-sesame-4711"] }')(site)
    words = [sys.executable, "-m", "mdmprofile", "build", "-c", str(site.config), "-o", str(site.folder / "out")]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 2048; exec "$0" "$@"', *words, "--at", stamp(NOW)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert (
        done.stderr == "mdmprofile: error: identity.challenge: the output of yes is larger than 64 KiB"
        " (check that it is the right one)\n"
    )
    assert not (site.folder / "out").exists()


def test_a_password_in_the_environment_does_not_show(
    site: Site, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the right password nor the wrong one is repeated."""
    monkeypatch.setenv("SIGNER_PASSWORD", PASSWORD)
    _write(site, "signer.key", site.signer.key_pem("another"))
    site.edit(lambda text: text + 'key_password = { env = "SIGNER_PASSWORD" }\n')
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--verbose")
    assert outcome.code == 3
    assert "signer.key: the password does not open the private key" in outcome.err
    assert without_secrets(outcome)
    assert not (site.folder / "out").exists()


def test_push_certificate_cut_short_stops_a_build_and_not_the_trust_profile(site: Site, mdmprofile: Command) -> None:
    """The topic is in it, so a build needs it; what a server publishes does not."""
    (site.folder / "push.pem").write_bytes(b"\x30\x82\x10\x00")
    out = prepared(site)
    outcome = mdmprofile("build", "-c", site.config, "-o", out)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err.startswith(f"mdmprofile: error: {site.folder / 'push.pem'}: ")
    assert untouched(out)
    assert mdmprofile("trust", "-c", site.config, "-o", site.folder / "trust").code == 0
