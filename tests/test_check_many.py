"""The check command over directories of many files: which count, how much is shown, and what it costs."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pty
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from conftest import Command, Outcome
from mdmprofile import folders, shared
from mdmprofile.certificates import Certificate, Identity
from mdmprofile.cms.sign import sign
from mdmprofile.folders import Choice, walk
from mdmprofile.moments import stamp
from mdmprofile.propertylist import write_plist
from mdmprofile.survey import judge_targets
from mdmprofile.targets import read_targets
from pki import DAY, NOW, name, root_ca

PROGRAM = (sys.executable, "-m", "mdmprofile")
AT = ("--at", stamp(NOW))
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=False).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def write_leaves(folder: Path, count: int, *, ends: datetime = NOW + 300 * DAY) -> list[str]:
    """Write so many distinct certificates, each ending a day after the one before; returns their subjects."""
    folder.mkdir(parents=True, exist_ok=True)
    key, subjects = ec.generate_private_key(ec.SECP256R1()), []
    for number in range(count):
        subject = name(f"device-{number:05}")
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name("Device CA"))
            .public_key(key.public_key())
            .serial_number(number + 1)
            .not_valid_before(NOW - 99 * DAY)
            .not_valid_after(ends + number * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        (folder / f"{number:05}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        subjects.append(subject.rfc4514_string())
    return subjects


def write_profiles(folder: Path, count: int, root: bytes) -> None:
    """Write so many profiles with the same root, and an SCEP identity whose end nobody knows."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        trust = {"PayloadType": "com.apple.security.root", "PayloadContent": root}
        scep = {"PayloadType": "com.apple.security.scep", "PayloadContent": {"Challenge": str(number)}}
        identifier = str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number)))
        plist = {"PayloadType": "Configuration", "PayloadUUID": identifier, "PayloadContent": [trust, scep]}
        (folder / f"{number:05}.mobileconfig").write_bytes(write_plist(plist))


def found(outcome: Outcome, folder: Path) -> list[str]:
    """The files below the folder that certificates were found in."""
    return [Path(each["where"]).relative_to(folder).as_posix() for each in outcome.json["certificates"]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with certificates here and there."""
    folder = tmp_path / "fleet"
    for each in ("a.pem", "b.CRT", "old/c.pem", "old/deep/d.pem", "new/c.pem", "new/e.der"):
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        ca = root_ca(each)
        (folder / each).write_bytes(ca.der if each.endswith("der") else ca.pem)
    return folder


class TestChoice:
    """Patterns for parts of a path."""

    @pytest.mark.parametrize(
        ("pattern", "path", "matches"),
        [
            ("*.pem", "a.pem", True),
            ("*.pem", "old/deep/d.pem", True),
            ("*.pem", "a.PEM", False),
            ("A.pem", "a.pem", False),
            ("?.pem", "a.pem", True),
            ("[ab].pem", "b.pem", True),
            ("[!ab].pem", "b.pem", False),
            ("old/*.pem", "old/c.pem", True),
            ("old/*.pem", "old/deep/d.pem", False),
            ("old/*", "older/c.pem", False),
            ("*/c.pem", "old/c.pem", True),
            ("*/c.pem", "c.pem", False),
            ("old/**", "old/deep/d.pem", True),
            ("old/**/d.pem", "old/d.pem", True),
            ("old/**/d.pem", "old/x/y/z/d.pem", True),
            ("**/d.pem", "d.pem", True),
            ("**/deep/*", "old/deep/d.pem", True),
            ("deep/*", "old/deep/d.pem", False),
            ("**", "old/deep/d.pem", True),
            ("./old/c.pem", "old/c.pem", True),
            ("old/", "old", True),
            ("", "a.pem", False),
        ],
    )
    def test_pattern_is_held_against_path_and_name(self, pattern: str, path: str, matches: bool) -> None:
        """The path below the directory, or the base name alone; ``**`` stands for any number of parts."""
        parts = path.split("/")
        assert Choice(include=(pattern,)).takes(parts) is matches
        assert Choice(exclude=(pattern,)).refuses(parts) is matches

    def test_pattern_made_to_take_long_does_not(self) -> None:
        """A backtracking matcher would need longer than anybody lives."""
        pattern = "/".join(["**", "a*"] * 40)
        assert not Choice(include=(pattern,)).takes(["a"] * 39)
        assert Choice(include=(pattern,)).takes(["a"] * 400)


class TestIncludeAndExclude:
    """--include and --exclude, on directories."""

    @pytest.mark.parametrize(
        ("flags", "expected"),
        [
            ((), ["a.pem", "b.CRT", "new/c.pem", "new/e.der", "old/c.pem", "old/deep/d.pem"]),
            (("--include", "*.pem"), ["a.pem", "new/c.pem", "old/c.pem", "old/deep/d.pem"]),
            (("--include", "*.crt"), []),
            (("--include", "old/**", "--include", "*.der"), ["new/e.der", "old/c.pem", "old/deep/d.pem"]),
            (("--exclude", "old"), ["a.pem", "b.CRT", "new/c.pem", "new/e.der"]),
            (("--exclude", "old/deep"), ["a.pem", "b.CRT", "new/c.pem", "new/e.der", "old/c.pem"]),
            (("--include", "*.pem", "--exclude", "**/c.pem"), ["a.pem", "old/deep/d.pem"]),
            (("--include", "*.pem", "--include", "nothing"), ["a.pem", "new/c.pem", "old/c.pem", "old/deep/d.pem"]),
            (("--exclude", "nothing*", "--exclude", "*.pem"), ["b.CRT", "new/e.der"]),
        ],
        ids=["all", "name", "case", "several", "directory", "below", "exclude wins", "idle include", "idle exclude"],
    )
    def test_only_the_files_that_were_asked_for_count(
        self, tree: Path, mdmprofile: Command, flags: Sequence[str], expected: list[str]
    ) -> None:
        """A pattern that matches nothing is no error; a directory of which nothing is left is one."""
        outcome = mdmprofile("check", tree, "--format", "json", *flags)
        assert found(outcome, tree) == expected
        assert outcome.code == (0 if expected else 3)
        assert ("that --include and --exclude leave" in outcome.err) is (expected == [])

    def test_excluded_directory_is_not_entered(self, tree: Path, mdmprofile: Command) -> None:
        """What is wrong in it is nobody's business."""
        (tree / "old" / "broken.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n")
        assert mdmprofile("check", tree).code == 3
        outcome = mdmprofile("check", tree, "--exclude", "old")
        assert (outcome.code, outcome.err) == (0, "")

    def test_named_files_are_judged_whatever_the_patterns_say(self, tree: Path, mdmprofile: Command) -> None:
        """Whoever names a file means it."""
        file = tree / "a.pem"
        outcome = mdmprofile("check", file, "--include", "*.crt", "--exclude", "*", "--format", "json")
        assert found(outcome, tree) == ["a.pem"]

    def test_file_that_was_asked_for_is_ours_whatever_is_in_it(self, tree: Path, mdmprofile: Command) -> None:
        """A log is passed over, except by who asked for it."""
        (tree / "today.log").write_text("nothing here\n")
        assert mdmprofile("check", tree).code == 0
        outcome = mdmprofile("check", tree, "--include", "*.log")
        assert outcome.code == 3
        assert f"{tree / 'today.log'}: " in outcome.err

    def test_config_that_is_excluded_says_nothing_about_dates(self, tree: Path, mdmprofile: Command) -> None:
        """A broken config beside certificates is an error, until it is excluded."""
        (tree / "enroll.toml").write_text("[server]\n[identity]\n")
        assert mdmprofile("check", tree).code == 3
        assert mdmprofile("check", tree, "--exclude", "*.toml").code == 0

    def test_help_explains_them(self, mdmprofile: Command) -> None:
        """With an example that can be copied."""
        out = mdmprofile("check", "--help", at=None).out
        assert "--include '*.mobileconfig'" in out
        assert "--exclude wins" in " ".join(out.split())


class TestStrangeTrees:
    """No directory makes it hang or fail."""

    def test_links_in_circles_pipes_and_dangling_links_end(self, tree: Path, mdmprofile: Command) -> None:
        """Only the link that should be a certificate and leads nowhere is an error."""
        (tree / "old" / "up").symlink_to(tree, target_is_directory=True)
        (tree / "self.pem").symlink_to("self.pem")
        (tree / "gone.pem").symlink_to("nowhere")
        (tree / "gone.txt").symlink_to("nowhere")
        (tree / "z.pem").symlink_to("a.pem")
        os.mkfifo(tree / "pipe.pem")
        (tree / "link-to-pipe.pem").symlink_to("pipe.pem")
        outcome = mdmprofile("check", tree, "--format", "json")
        assert [each["where"] for each in outcome.json["errors"]] == [str(tree / "gone.pem"), str(tree / "self.pem")]
        assert found(outcome, tree)[-1] == "z.pem"
        assert len(found(outcome, tree)) == 7

    def test_directories_nested_deeper_than_functions_can_be_called(self, tmp_path: Path) -> None:
        """Each level is a directory and not a call."""
        folder = tmp_path / "deep"
        path = str(folder)
        made = []
        for _ in range(sys.getrecursionlimit() + 50):
            Path(path).mkdir()
            made.append(path)
            path += "/d"
        file = Path(made[-1], "f.pem")
        file.write_bytes(root_ca().pem)
        try:
            assert list(walk(folder)) == [file]
        finally:
            # What pytest removes directories with is no match for this one.
            file.unlink()
            for each in reversed(made):
                Path(each).rmdir()

    def test_one_file_too_many_while_it_is_read_ends_with_what_was_read(
        self, tree: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A directory that grows after its names were counted."""
        read = read_targets([str(tree)], now=NOW)
        first = next(read)
        monkeypatch.setattr(folders, "MAX_FILES", 3)
        rest = list(read)
        assert len(first.watched) == 1
        assert [len(each.watched) for each in rest] == [1, 1, 0]
        assert "holds more than 3 files" in str(rest[-1].errors[0])


class TestManyFiles:
    """Hundreds of files."""

    def test_json_holds_every_file(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Every certificate, every finding, in the order of the names."""
        subjects = write_leaves(tmp_path / "leaves", 320, ends=NOW + 10 * DAY)
        outcome = mdmprofile("check", tmp_path, "--format", "json")
        assert [each["subject"] for each in outcome.json["certificates"]] == subjects
        ending = [Path(each["where"]).name for each in outcome.json["findings"]]
        assert ending == [f"{number:05}.pem" for number in range(21)]
        assert outcome.code == 1

    @pytest.mark.parametrize("colour", ["never", "always"], ids=["plain", "rich"])
    def test_text_shows_those_that_end_first_and_counts_the_others(
        self, tmp_path: Path, mdmprofile: Command, colour: str
    ) -> None:
        """A hundred rows and forty bars; every warning is there all the same."""
        write_leaves(tmp_path / "leaves", 150, ends=NOW - 20 * DAY)
        # Names in the reverse order of the ends: the first to end are found, not the first to be read.
        for number in range(150):
            (tmp_path / "leaves" / f"{number:05}.pem").rename(tmp_path / "leaves" / f"x{999 - number}.pem")
        out = mdmprofile("check", tmp_path, "--color", colour, "--warn", "1d", "--critical", "1d").out
        table, _, rest = out.partition("... and 50 more that end later or on no known date; --format json has them all")
        timeline, _, findings = rest.partition("... and 110 more that end later")
        assert [f"device-{number:05}" in table for number in (0, 99, 100)] == [True, True, False]
        assert [f"device-{number:05}" in timeline for number in (0, 39, 40)] == [True, True, False]
        assert findings.count("expired on") == 20

    def test_report_of_a_hundred_rows_leaves_nothing_out(self, tmp_path: Path, mdmprofile: Command) -> None:
        """And its table keeps the order in which the files were read."""
        write_leaves(tmp_path / "leaves", 100)
        (tmp_path / "leaves" / "00000.pem").rename(tmp_path / "leaves" / "z.pem")
        out = mdmprofile("check", tmp_path).out
        rows = [line.split()[1] for line in out.splitlines() if line.startswith("leaf  ")]
        assert rows == [f"device-{number:05}" for number in (*range(1, 100), 0)]
        assert "end later or" not in out

    def test_remarks_of_hundreds_of_profiles_do_not_hide_the_rest(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A hundred remarks and their number in text, all of them in JSON."""
        write_profiles(tmp_path / "profiles", 130, root_ca(days=20).der)
        out = mdmprofile("check", tmp_path).out
        assert out.count("[expiry.identity-unknown]") == 100
        assert out.count("[expiry.soon]") == 130
        assert "... and 30 more for information; --format json has them all" in out
        rules = mdmprofile("check", tmp_path, "--format", "json").rules
        assert rules.count("expiry.identity-unknown") == 130

    def test_certificates_that_profiles_share_keep_their_own_places(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Parsed once, reported for each profile; one that cannot be read is, too."""
        write_profiles(tmp_path / "good", 3, root_ca().der)
        write_profiles(tmp_path / "bad", 3, b"\x30\x82\x01\x00broken")
        outcome = mdmprofile("check", tmp_path, "--format", "json")
        assert [each["where"] for each in outcome.json["certificates"]] == [
            f"{tmp_path}/good/{number:05}.mobileconfig: PayloadContent[0]" for number in range(3)
        ]
        unreadable = [each for each in outcome.json["findings"] if each["rule"] == "profile.certificate-unreadable"]
        assert [each["where"] for each in unreadable] == [
            f"{tmp_path}/bad/{number:05}.mobileconfig: PayloadContent[0]" for number in range(3)
        ]

    def test_progress_counts_every_file_once(self, tree: Path) -> None:
        """Those that are none of ours too, and those that are named beside the directory."""
        (tree / "notes.txt").write_text("nothing here\n")
        told: list[tuple[int, int]] = []
        names = [str(tree), str(tree / "a.pem"), str(tree / "absent.pem")]
        list(read_targets(names, now=NOW, progress=lambda done, total: told.append((done, total))))
        assert told == [(done, 9) for done in range(1, 10)]


class TestMemory:
    """What is kept of a file is what reports say."""

    def test_certificates_are_let_go(self, tmp_path: Path) -> None:
        """No more of them stay than those that other files are likely to hold."""
        write_leaves(tmp_path, 700)
        shared._parsed.cache_clear()
        before = sum(isinstance(each, Certificate) for each in gc.get_objects())
        result = judge_targets(read_targets([str(tmp_path)], now=NOW), now=NOW)
        gc.collect()
        after = sum(isinstance(each, Certificate) for each in gc.get_objects())
        assert len(result.watched) == 700
        assert after - before < 300

    def test_twenty_times_the_profiles_need_hardly_more_memory(self, tmp_path: Path) -> None:
        """As the whole process sees it: neither what was signed nor who signed it stays."""
        root = root_ca()
        signer = Identity(root.ours, root.key)
        content = {"PayloadType": "Configuration", "PayloadDescription": "x" * 100_000, "PayloadContent": []}
        signed = sign(write_plist(content), signer)
        peaks = []
        for count in (20, 400):
            folder = tmp_path / str(count)
            folder.mkdir()
            for number in range(count):
                (folder / f"{number:05}.mobileconfig").write_bytes(signed)
            line = [sys.executable, "-c", MEASURE, *PROGRAM, "check", "--format", "json", str(folder), *AT]
            code, peak = subprocess.run(line, capture_output=True, check=True, text=True).stdout.split()
            assert code == "0"
            peaks.append(int(peak))
        assert peaks[1] < 1.3 * peaks[0]


class TestProgressBar:
    """A bar for people who wait, and for nobody else."""

    @pytest.fixture
    def slow(self, tmp_path: Path) -> Path:
        """A target that takes as long as the test wants: a pipe that nobody has written to yet."""
        os.mkfifo(tmp_path / "slow.pem")
        return tmp_path / "slow.pem"

    @contextlib.contextmanager
    def started(
        self, slow: Path, *flags: str, piped: bool = False, **env: str
    ) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        """The command with a terminal, or a pipe, as its standard error, and the end to read that from."""
        reader, writer = os.pipe() if piped else pty.openpty()
        if not piped:
            termios.tcsetwinsize(writer, (40, 100))
        own = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm-256color"} | env
        line = [*PROGRAM, "check", str(slow), "--format", "json", *AT, *flags]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=writer, env=own, start_new_session=True) as process:
            os.close(writer)
            yield process, reader
        os.close(reader)

    @staticmethod
    def finish(process: subprocess.Popen[bytes], slow: Path, reader: int) -> tuple[bytes, bytes]:
        """Let the command have its certificate; returns what it wrote to both."""
        slow.write_bytes(root_ca(days=20).pem)
        assert process.stdout is not None
        out, told = process.stdout.read(), b""
        # Linux reports the end of a terminal as an error, macOS as an empty read.
        with contextlib.suppress(OSError):
            while piece := os.read(reader, 65_536):
                told += piece
        assert process.wait() == 1
        return out, told

    @pytest.mark.parametrize("flags", [(), ("--color", "never")], ids=["colour", "no colour"])
    def test_bar_appears_on_a_terminal_and_goes_away(self, slow: Path, flags: Sequence[str]) -> None:
        """It says how far it is, and gives the line and the cursor back before the report."""
        with self.started(slow, *flags) as (process, reader):
            seen = b""
            while b"files" not in seen:
                seen += os.read(reader, 65_536)
            out, rest = self.finish(process, slow, reader)
        assert b"checking" in seen
        assert (b"\x1b[3" in seen) is (flags == ())
        # The cursor is shown again, and the bar's line erased.
        assert b"\x1b[?25h" in rest
        assert rest.rstrip(b"\r").endswith(b"\x1b[2K")
        assert len(json.loads(out)["certificates"]) == 1

    @pytest.mark.parametrize(
        ("piped", "flags", "env"),
        [(True, (), {}), (False, ("--quiet",), {}), (False, (), {"TERM": "dumb"})],
        ids=["pipe", "quiet", "dumb terminal"],
    )
    def test_nobody_else_sees_one(self, slow: Path, piped: bool, flags: Sequence[str], env: dict[str, str]) -> None:
        """However long it takes, a log and a cron mail hold the result alone."""
        with self.started(slow, *flags, piped=piped, **env) as (process, reader):
            # Longer than people have to wait for one; that it is long enough is shown by the test before.
            time.sleep(3)
            out, told = self.finish(process, slow, reader)
        assert told == b""
        assert len(json.loads(out)["certificates"]) == 1

    def test_what_draws_it_is_not_loaded_for_a_short_run(self, tree: Path) -> None:
        """Rich alone takes as long to import as a small check."""
        script = "import sys; from mdmprofile.cli import run; run(sys.argv[1:]); sys.exit('rich' in sys.modules)"
        line = [sys.executable, "-c", script, "check", "--format", "json", str(tree), *AT]
        assert subprocess.run(line, capture_output=True, check=False).returncode == 0
