"""The command line as a whole: help, versions, usage errors, completion, and how every error ends."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import IO

import certifi
import click
import pytest

import mdmprofile as package
from conftest import Command
from mdmprofile.catalogue import RULES
from mdmprofile.cli import COMMANDS, group, run
from mdmprofile.moments import stamp
from pki import NOW, Site, make_site

AT = ("--at", stamp(NOW))
HEAVY = ("asn1crypto", "certifi", "cryptography", "jinja2", "rich")

# What INTERFACE promises to scripts, of the commands that there are.
PROMISED = {
    "error": (
        "expiry.expired expiry.critical chain.incomplete chain.leaf-in-trust trust.not-root trust.empty "
        "mdm.topic-prefix mdm.url-scheme mdm.access-rights mdm.identity-reference mdm.multiple "
        "profile.duplicate-uuid profile.duplicate-identifier scep.misspelt-key signing.key-mismatch "
        "signature.invalid signature.untrusted signature.weak-digest "
        "replacement.identifier replacement.server-url replacement.checkin-url replacement.topic "
        "replacement.access-rights replacement.per-user-connections replacement.enrollment-mode "
        "replacement.managed-apple-id replacement.required-app replacement.no-install-right replacement.signer"
    ),
    "warning": (
        "expiry.before-replacement expiry.soon chain.unrelated identity.shared profile.payload-order scep.weak-key "
        "signing.unsigned signing.chain-incomplete"
    ),
    "info": "expiry.identity-unknown chain.duplicate mdm.sign-message-cost signature.trust-not-judged",
}


def process(
    *words: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "mdmprofile", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, stdout=stdout, stderr=stderr, text=True, timeout=60, check=False)


def with_closed(stream: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell's ``<&-`` or ``>&-`` leaves it: without that stream."""
    closing = {"input": "<&-", "output": ">&-"}[stream]
    command = ["sh", "-c", f'exec "$0" "$@" {closing}', sys.executable, "-m", "mdmprofile", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def nobody_reads() -> int:
    """The writing end of a pipe whose reader has left."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def lines_of_help(text: str) -> list[str]:
    """The lines of a help text without their indentation."""
    return [line.strip() for line in text.splitlines()]


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site for tests that do not change it."""
    return make_site(tmp_path_factory.mktemp("shared"))


class TestHelp:
    """What a person sees who asks."""

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    @pytest.mark.parametrize("flag", ["-h", "--help"])
    def test_each_command_has_help_with_an_example_that_names_it(
        self, name: str, flag: str, mdmprofile: Command
    ) -> None:
        """The example stands on lines of its own, so that it can be copied."""
        outcome = mdmprofile(name, flag, at=None)
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out.startswith(f"Usage: mdmprofile {name} ")
        lines = lines_of_help(outcome.out)
        assert "Example:" in lines
        assert f"mdmprofile {name}" in lines[lines.index("Example:") + 1]
        assert "\\b" not in outcome.out

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_the_first_sentence_of_each_help_is_the_one_in_the_list_of_commands(
        self, name: str, mdmprofile: Command
    ) -> None:
        """Shell completion shows one, --help the other; they must not tell different things."""
        paragraphs = mdmprofile(name, "--help", at=None).out.split("\n\n")
        assert " ".join(paragraphs[1].split()) == COMMANDS[name][1]

    def test_the_list_of_commands_is_complete_and_sorted(self, mdmprofile: Command) -> None:
        """A command that is not listed is not found."""
        words = " ".join(mdmprofile("--help", at=None).out.partition("Commands:")[2].split())
        assert words == " ".join(f"{name} {COMMANDS[name][1]}" for name in sorted(COMMANDS))

    def test_the_main_help_shows_an_example_and_the_exit_codes(self, mdmprofile: Command) -> None:
        """Both are what a newcomer and a script's author look for first."""
        text = mdmprofile("-h", at=None).out
        lines = lines_of_help(text)
        assert lines[lines.index("Example:") + 1] == "mdmprofile init --demo demo && cd demo"
        assert "3 the job could not be done" in " ".join(lines)

    def test_without_a_command_the_help_is_a_usage_error(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A script that lost its arguments must not take the help for a result."""
        assert run([]) == 3
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith("Usage: mdmprofile ")

    @pytest.mark.parametrize("flag", ["--version", "-V"])
    def test_version_is_the_packages(self, flag: str, mdmprofile: Command) -> None:
        """Bug reports quote it."""
        outcome = mdmprofile(flag, at=None)
        assert (outcome.code, outcome.out) == (0, f"mdmprofile, version {package.__version__}\n")

    @pytest.mark.parametrize("words", [["--version"], ["--help"], ["-h"], [], ["biuld"]], ids=" ".join)
    def test_version_help_and_mistakes_load_no_heavy_package(self, words: list[str], tmp_path: Path) -> None:
        """Fast start: what needs no certificate does not load what reads certificates."""
        script = "import sys; from mdmprofile.cli import run; run(sys.argv[1:]); print('loaded', *sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=tmp_path, check=True
        )
        loaded = done.stdout.splitlines()[-1].split()
        assert loaded[0] == "loaded"
        assert "mdmprofile.cli" in loaded
        assert [each for each in HEAVY if each in loaded] == []


class TestUsageErrors:
    """Exit code 3, one line, and where to read on."""

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            pytest.param(["--nope"], "No such option '--nope'. (see mdmprofile --help)", id="option"),
            pytest.param(["build", "--nope"], "(see mdmprofile build --help)", id="option-of-a-command"),
            pytest.param(["build", "extra"], "unexpected extra argument (extra)", id="argument"),
            pytest.param(["check"], "Missing argument 'TARGET...'", id="missing-argument"),
            pytest.param(["sign", "in"], "Missing option '-o'", id="missing-option"),
            pytest.param(["build", "--format", "xml"], "'xml' is not one of 'text', 'json'", id="format"),
            pytest.param(["init", "--identity", "x"], "'scep', 'acme', 'pkcs12'", id="choice"),
            pytest.param(["build", "--at", "soon"], "'soon' is not a date; write it as 2027-06-01", id="date"),
            pytest.param(["check", "x", "--warn", "3"], "'3' is not a duration; write it as 30d", id="duration"),
            pytest.param(["build", "-c", "x", "--var", "serial"], "write it as NAME=VALUE", id="variable"),
            pytest.param(
                ["build", "-c", "x", "--var", "a=1", "--var", "a.b=2"], "a has a value already", id="variable-twice"
            ),
            pytest.param(
                ["build", "--scep-url", "https://x/", "--pkcs12", "y"],
                "--scep-url and --pkcs12 belong to different kinds of identity",
                id="two-identities",
            ),
            pytest.param(["completion", "tcsh"], "'bash', 'zsh', 'fish'", id="shell"),
        ],
    )
    def test_a_usage_error_is_one_line_and_exit_code_3(
        self, words: list[str], says: str, mdmprofile: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Click's own 2 would read as a judged error."""
        monkeypatch.chdir(tmp_path)
        outcome = mdmprofile(*words, at=None)
        assert (outcome.code, outcome.out) == (3, "")
        assert outcome.err.startswith("mdmprofile: error: ")
        assert outcome.err.count("\n") == 1
        assert says in outcome.err
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("typed", "meant"), [("biuld", "build"), ("chekc", "check"), ("Rules", "rules"), ("versify", "verify")]
    )
    def test_an_unknown_command_names_the_nearest(self, typed: str, meant: str, mdmprofile: Command) -> None:
        """A typing error is answered with what was probably meant."""
        outcome = mdmprofile(typed, at=None)
        assert (outcome.code, outcome.out) == (3, "")
        assert outcome.err == (
            f"mdmprofile: error: No such command {typed!r}. Did you mean {meant!r}? (see mdmprofile --help)\n"
        )

    def test_an_unknown_command_like_no_other_gets_no_guess(self, mdmprofile: Command) -> None:
        """A far-fetched guess would mislead."""
        outcome = mdmprofile("xxxxxxx", at=None)
        assert outcome.code == 3
        assert outcome.err == "mdmprofile: error: No such command 'xxxxxxx'. (see mdmprofile --help)\n"

    @pytest.mark.parametrize(
        "words",
        [
            pytest.param(["-c", "nowhere.toml"], id="unreadable-config"),
            pytest.param(["-c", "nowhere.toml", "--var", "serial"], id="malformed-variable"),
            pytest.param(["--at", "soon"], id="malformed-date"),
            pytest.param(["--no-such-option"], id="unknown-option"),
        ],
    )
    @pytest.mark.parametrize("command", ["build", "trust"])
    def test_with_json_even_exit_code_3_gives_an_object(
        self, command: str, words: list[str], mdmprofile: Command
    ) -> None:
        """A script that asked for JSON never has to parse an empty string."""
        outcome = mdmprofile(command, "--format", "json", *words, at=None)
        assert outcome.code == 3
        assert isinstance(outcome.json, dict)
        assert outcome.json["findings"] == []
        assert outcome.json["errors"]
        assert outcome.err.startswith("mdmprofile: error: ")


class TestProcess:
    """The command as a process: exit codes, and standard streams that fail."""

    def test_the_module_runs_as_the_command(self, tmp_path: Path) -> None:
        """``python -m mdmprofile`` is for machines whose PATH lacks the script."""
        done = process("--version", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"mdmprofile, version {package.__version__}\n")
        wrong = process("biuld", cwd=tmp_path)
        assert wrong.returncode == 3
        assert (
            wrong.stderr
            == "mdmprofile: error: No such command 'biuld'. Did you mean 'build'? (see mdmprofile --help)\n"
        )

    def test_the_exit_code_of_the_process_is_that_of_the_findings(self, site: Site, tmp_path: Path) -> None:
        """Monitoring reads nothing else."""
        words = ("check", site.folder / "root.pem", "--quiet")
        codes = [
            process(*words, "--at", at, cwd=tmp_path).returncode for at in ("2031-03-02", "2041-02-10", "2050-01-01")
        ]
        assert codes == [0, 1, 2]

    @pytest.mark.parametrize(
        "words",
        [["rules"], ["completion", "zsh"], ["--help"], ["build", *AT], ["build", "--format", "json", *AT]],
        ids=["rules", "completion", "help", "text-report", "json-report"],
    )
    def test_a_reader_that_left_is_a_failed_write_without_a_word(self, words: list[str], shared_site: Site) -> None:
        """``mdmprofile … | head`` ends quietly, and not with the code of a warning."""
        writing = nobody_reads()
        try:
            done = process(*words, cwd=shared_site.folder, stdout=writing)
        finally:
            os.close(writing)
        assert done.stderr == ""
        assert done.returncode == 3

    @pytest.mark.parametrize("words", [["biuld"], ["build", "-c", "nowhere.toml"]], ids=["usage", "input"])
    def test_an_error_that_nobody_reads_keeps_its_exit_code(self, words: list[str], tmp_path: Path) -> None:
        """A script that closes standard error still learns that the job was not done."""
        writing = nobody_reads()
        try:
            done = process(*words, cwd=tmp_path, stderr=writing)
        finally:
            os.close(writing)
        assert (done.returncode, done.stdout) == (3, "")

    @pytest.mark.parametrize("report", ["text", "json"])
    def test_a_build_that_is_written_is_done_though_nobody_can_read_its_report(
        self, report: str, tmp_path: Path
    ) -> None:
        """Exit code 3 would say that nothing was written."""
        site = make_site(tmp_path / "site")
        with Path("/dev/full").open("wb") as full:
            done = process("build", "--format", report, *AT, cwd=site.folder, stdout=full)
        assert done.returncode == 0
        assert "the report cannot be shown" in done.stderr
        assert (site.folder / "out" / "enroll.mobileconfig").exists()

    @pytest.mark.parametrize(
        "words",
        [
            ["rules"],
            ["--version"],
            ["check", "root.pem", *AT],
            ["check", "root.pem", "--format", "json", *AT],
            ["build", "-o", "-", *AT],
        ],
        ids=["rules", "version", "text-report", "json-report", "profile"],
    )
    def test_a_full_standard_output_is_an_error_that_says_so(self, words: list[str], shared_site: Site) -> None:
        """Output that went nowhere is not a job that was done."""
        with Path("/dev/full").open("wb") as full:
            done = process(*words, cwd=shared_site.folder, stdout=full)
        assert done.returncode == 3
        assert (
            done.stderr == "mdmprofile: error: standard output: cannot be written: No space left on device"
            " (check its permissions and the space left, or write elsewhere)\n"
        )

    def test_a_closed_standard_input_does_not_stop_a_build(self, site: Site) -> None:
        """Daemons and schedulers may start a job without one."""
        done = with_closed("input", "build", *AT, cwd=site.folder)
        assert (done.returncode, done.stderr) == (0, "")
        assert (site.folder / "out" / "enroll.mobileconfig").is_file()

    @pytest.mark.parametrize("words", [["rules"], ["build", *AT]], ids=["rules", "build"])
    def test_a_closed_standard_output_is_no_internal_error(self, words: list[str], site: Site) -> None:
        """Whatever it comes to, nobody is asked to report their own redirection."""
        done = with_closed("output", *words, cwd=site.folder)
        assert "internal error" not in done.stderr
        assert "Traceback" not in done.stderr
        assert done.returncode in {0, 3}

    def test_a_config_from_standard_input_has_its_paths_from_here(self, site: Site) -> None:
        """``-c -`` is for configs that another program makes."""
        command = [sys.executable, "-m", "mdmprofile", "build", "-c", "-", "-o", "made", "-q", *AT]
        text = site.config.read_bytes()
        done = subprocess.run(command, cwd=site.folder, input=text, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert (site.folder / "made" / "enroll.mobileconfig").is_file()

    def test_a_terminal_that_knows_ascii_alone_gets_escapes(self, shared_site: Site, tmp_path: Path) -> None:
        """A name that cannot be shown does not stop a build after its files were written."""
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        words = ("build", "-o", tmp_path / "out", "--display-name", "Bücher 📚", *AT)
        done = process(*words, cwd=shared_site.folder, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("B\\xfccher \\U0001f4da  com.example.mdm.enroll\n")

    def test_warnings_of_libraries_are_for_those_who_ask_for_them(self, tmp_path: Path) -> None:
        """A public root has the serial number 0, which the library that reads it announces to refuse some day."""
        words = ("check", certifi.where(), "--quiet", "--fail-on", "error", *AT)
        silent = process(*words, cwd=tmp_path, env={**os.environ, "PYTHONWARNINGS": ""})
        assert silent.stderr == ""
        asked = process(*words, cwd=tmp_path, env={**os.environ, "PYTHONWARNINGS": "always"})
        assert "serial number which wasn't positive" in asked.stderr
        assert (asked.returncode, asked.stdout) == (silent.returncode, silent.stdout)

    def test_hostile_arguments_are_shown_as_escapes(self, mdmprofile: Command) -> None:
        """An error message must not clear the screen of whoever reads it."""
        outcome = mdmprofile("build", "-c", "\x1b[2Jno\u202ewhere\n.toml", at=None)
        assert outcome.code == 3
        assert outcome.err.count("\n") == 1
        assert outcome.err[:-1].isprintable()
        assert outcome.err.startswith("mdmprofile: error: \\x1b[2Jno\\u202ewhere")

    def test_an_argument_that_is_no_text_is_named_all_the_same(self, tmp_path: Path) -> None:
        """File names are bytes; those that are no UTF-8 come out as escapes."""
        done = subprocess.run(
            [sys.executable, "-m", "mdmprofile", "build", "-c", b"no\xffwhere.toml"],
            capture_output=True,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 3
        assert done.stderr.startswith(b"mdmprofile: error: no\\udcffwhere.toml: no such file")


class TestLastLineOfDefence:
    """What no code foresaw."""

    def broken(self, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
        """Add a command that fails with ``error``."""

        @click.command("broken")
        def command() -> int:
            raise error

        module = ModuleType("mdmprofile.cli.broken")
        module.__dict__["command"] = command
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(COMMANDS, "broken", ("broken", "Fail."))

    @pytest.mark.parametrize(
        "error",
        [RuntimeError("open-sesame"), RecursionError("open-sesame"), MemoryError("open-sesame")],
        ids=lambda error: type(error).__name__,
    )
    def test_an_unforeseen_error_is_one_line_without_its_text(
        self, error: Exception, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its text can hold anything, a secret too, and a traceback even more."""
        self.broken(monkeypatch, error)
        outcome = mdmprofile("broken")
        assert outcome.code == 3
        assert outcome.out == ""
        assert outcome.err.startswith(f"mdmprofile: error: internal error ({type(error).__name__})")
        assert outcome.err.count("\n") == 1
        assert "open-sesame" not in outcome.err

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()], ids=["interrupt", "abort"])
    def test_an_interruption_is_130(
        self, error: BaseException, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The code that shells give to what Ctrl-C ended."""
        self.broken(monkeypatch, error)
        outcome = mdmprofile("broken")
        assert (outcome.code, outcome.out) == (130, "")
        assert outcome.err.strip() == "mdmprofile: interrupted"


class TestRules:
    """The list of every rule."""

    def test_text_lists_every_rule_with_severity_and_source(self, mdmprofile: Command) -> None:
        """A person looks up what a finding means."""
        outcome = mdmprofile("rules")
        assert (outcome.code, outcome.err) == (0, "")
        lines = outcome.out.splitlines()
        assert [line.split()[0] for line in lines[::2]] == list(RULES)
        assert [line.split()[1] for line in lines[::2]] == [each.severity for each in RULES.values()]
        assert [line.split(maxsplit=2)[2] for line in lines[::2]] == [each.about for each in RULES.values()]
        assert [line.strip() for line in lines[1::2]] == [each.source for each in RULES.values()]

    def test_json_lists_every_rule_with_all_it_has(self, mdmprofile: Command) -> None:
        """A script gets the same report object as everywhere, with the rules beside the findings."""
        outcome = mdmprofile("rules", "--format", "json")
        assert (outcome.code, outcome.err) == (0, "")
        assert set(outcome.json) == {"findings", "rules"}
        assert outcome.json["findings"] == []
        assert outcome.json["rules"] == [{"rule": rule, **entry._asdict()} for rule, entry in RULES.items()]

    def test_the_rules_that_scripts_rely_on_are_there_with_their_severity(self, mdmprofile: Command) -> None:
        """Ids and severities are promised; a change to one breaks somebody's monitoring."""
        listed = {each["rule"]: each["severity"] for each in mdmprofile("rules", "--format", "json").json["rules"]}
        promised = {rule: severity for severity, rules in PROMISED.items() for rule in rules.split()}
        assert {rule: listed.get(rule) for rule in promised} == promised


class TestCompletion:
    """Completion in the shells, by Click's protocol."""

    @pytest.mark.parametrize(
        ("shell", "marks"),
        [
            ("bash", ["complete -o nosort -F _mdmprofile_completion mdmprofile", "_MDMPROFILE_COMPLETE=bash_complete"]),
            ("zsh", ["#compdef mdmprofile", "_MDMPROFILE_COMPLETE=zsh_complete"]),
            ("fish", ["complete --no-files --command mdmprofile", "_MDMPROFILE_COMPLETE=fish_complete"]),
        ],
    )
    def test_each_shell_gets_a_script_for_this_command(self, shell: str, marks: list[str], mdmprofile: Command) -> None:
        """The script binds the command's name and asks it by the variable that it answers to."""
        outcome = mdmprofile("completion", shell)
        assert (outcome.code, outcome.err) == (0, "")
        assert all(mark in outcome.out for mark in marks)
        assert outcome.out.endswith("\n")

    def test_bash_takes_its_script(self, mdmprofile: Command) -> None:
        """A syntax error would greet the user in every new shell."""
        script = mdmprofile("completion", "bash").out
        bash = shutil.which("bash")
        assert bash is not None
        done = subprocess.run([bash, "-n"], input=script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    def test_the_bash_script_completes_in_a_real_shell(self, mdmprofile: Command, tmp_path: Path) -> None:
        """The function that the script defines asks the program and fills bash's reply."""
        program = tmp_path / "bin" / "mdmprofile"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mdmprofile "$@"\n')
        program.chmod(0o755)
        ask = 'COMP_WORDS=(mdmprofile bu); COMP_CWORD=1; _mdmprofile_completion mdmprofile; echo "${COMPREPLY[@]}"'
        done = subprocess.run(
            ["bash", "--norc", "-c", f"{mdmprofile('completion', 'bash').out}\n{ask}"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"},
        )
        assert (done.stdout, done.stderr) == ("build\n", "")

    @pytest.mark.parametrize(
        ("words", "current", "expected"),
        [
            pytest.param("mdmprofile bu", "1", ["plain,build"], id="command"),
            pytest.param("mdmprofile ", "1", [f"plain,{name}" for name in sorted(COMMANDS)], id="all-commands"),
            pytest.param("mdmprofile build --scep-u", "2", ["plain,--scep-url"], id="option"),
            pytest.param("mdmprofile init --identity ", "3", ["plain,scep", "plain,acme", "plain,pkcs12"], id="choice"),
        ],
    )
    def test_completing_gives_what_fits(self, words: str, current: str, expected: list[str], tmp_path: Path) -> None:
        """The program answers the shell's question by the variable's protocol."""
        environment = {"_MDMPROFILE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": current}
        done = process(cwd=tmp_path, env={**os.environ, **environment})
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == expected


def test_every_command_of_the_table_is_the_command_of_its_module() -> None:
    """The table stands apart from the modules, so that it can be shown without loading them."""
    with click.Context(group) as context:
        loaded = {name: group.get_command(context, name) for name in COMMANDS}
        assert {name: command and command.name for name, command in loaded.items()} == {name: name for name in COMMANDS}
        assert group.get_command(context, "no-such-command") is None


@pytest.mark.parametrize("command", ["build", "trust"])
def test_the_profile_and_the_json_report_cannot_share_standard_output(
    command: str, site: Site, mdmprofile: Command
) -> None:
    """Neither could be parsed."""
    outcome = mdmprofile(command, "-c", site.config, "-o", "-", "--format", "json")
    assert outcome.code == 3
    assert "-o - and --format json both want standard output" in outcome.err
    assert b"com.apple" not in outcome.out.encode()


def test_json_report_of_a_build_names_its_artifacts(site: Site, mdmprofile: Command) -> None:
    """A script finds the files, and can tell that they are the ones that were built."""
    out = site.folder / "out"
    artifacts = mdmprofile("build", "-c", site.config, "-o", out, "--format", "json").json["artifacts"]
    assert [(each["kind"], each["path"], each["signed"]) for each in artifacts] == [
        ("enrollment", str(out / "enroll.mobileconfig"), True),
        ("trust", str(out / "trust.mobileconfig"), True),
        ("service-config", str(out / "MDMServiceConfig"), False),
        ("anchor-certificates", str(out / "dep_anchor_certs"), False),
    ]
    assert all(each["sha256"] == hashlib.sha256(Path(each["path"]).read_bytes()).hexdigest() for each in artifacts)
