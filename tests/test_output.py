"""Result files: complete or not at all, readable by whom they should be, and never in the way of what stood there."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Command
from mdmprofile.errors import OutputError
from mdmprofile.moments import stamp
from mdmprofile.output import Pending, make_directory, refuse_existing, write_all, write_one
from pki import NOW, Site, issue, root_ca, signed_content

AT = ("--at", stamp(NOW))

# Seconds from "the pipe is being opened" to "the process waits in it": a signal just before is only seen after it.
BLOCKED = 0.2

# Runs the command with files limited to so many bytes: what a full disk does to whoever writes, without filling one.
LIMITED = """\
import resource, sys
from mdmprofile.cli import run
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), hard))
code = run(sys.argv[2:])
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
sys.exit(code)
"""


def with_limited_files(limit: int, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command where no file can grow beyond ``limit`` bytes."""
    command = [sys.executable, "-c", LIMITED, str(limit), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def mode(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    """What is in a folder, hidden files too."""
    return sorted(each.name for each in folder.iterdir())


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until the condition holds; the process must not end before."""
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextlib.contextmanager
def held_open(fifo: Path, process: subprocess.Popen[str]) -> Iterator[None]:
    """Wait until somebody reads from the pipe, and keep it open, so that whoever reads waits for more."""
    opened: list[int] = []

    def has_a_reader() -> bool:
        with contextlib.suppress(OSError):
            opened.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    try:
        wait_for(has_a_reader, process)
        yield
    finally:
        for each in opened:
            os.close(each)


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """The process's file mode creation mask, set to each of these."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


class TestWriting:
    """The library's own functions."""

    def test_files_are_written_byte_for_byte(self, tmp_path: Path) -> None:
        """No line end is translated, and no byte is added."""
        data = bytes(range(256)) * 3 + b"\r\n\n\r"
        write_all([Pending(tmp_path / "a", data), Pending(tmp_path / "empty", b"")])
        assert (tmp_path / "a").read_bytes() == data
        assert (tmp_path / "empty").read_bytes() == b""
        assert names(tmp_path) == ["a", "empty"]

    def test_private_files_are_for_their_owner_and_others_as_the_umask_says(self, umask: int, tmp_path: Path) -> None:
        """A secret is closed whatever the mask; a public document is not closed against the web server."""
        write_all([Pending(tmp_path / "secret", b"s", private=True), Pending(tmp_path / "public", b"p")])
        assert mode(tmp_path / "secret") == 0o600
        assert mode(tmp_path / "public") == 0o666 & ~umask

    def test_a_private_file_closes_one_that_stood_open(self, tmp_path: Path) -> None:
        """The old file's mode must not open the new secret."""
        target = tmp_path / "secret"
        target.write_bytes(b"old")
        target.chmod(0o644)
        write_one(target, b"new", private=True)
        assert (target.read_bytes(), mode(target)) == (b"new", 0o600)

    def test_who_reads_the_old_file_reads_it_to_its_end(self, tmp_path: Path) -> None:
        """The new file takes the old one's place; it is not written over it."""
        target = tmp_path / "profile"
        target.write_bytes(b"old" * 1000)
        with target.open("rb") as reader:
            begun = reader.read(3)
            write_one(target, b"new")
            assert begun + reader.read() == b"old" * 1000
        assert target.read_bytes() == b"new"

    def test_one_file_that_cannot_be_written_stops_all(self, tmp_path: Path) -> None:
        """A directory in the place of the second leaves the first as it was, and no trace."""
        (tmp_path / "first").write_bytes(b"old")
        (tmp_path / "second").mkdir()
        with pytest.raises(OutputError, match=r"second: .*is a directory where a file belongs"):
            write_all([Pending(tmp_path / "first", b"new"), Pending(tmp_path / "second", b"new")])
        assert (tmp_path / "first").read_bytes() == b"old"
        assert names(tmp_path) == ["first", "second"]

    @pytest.mark.parametrize(
        ("place", "says"),
        [
            pytest.param("nowhere/file", "its directory does not exist (make it first)", id="no-directory"),
            pytest.param(
                "regular/file",
                "cannot be written: Not a directory (check its permissions and the space left, or write elsewhere)",
                id="below-a-file",
            ),
            pytest.param(
                "x" * 300,
                "cannot be written: File name too long (check its permissions and the space left, or write elsewhere)",
                id="name-too-long",
            ),
        ],
    )
    def test_a_place_that_cannot_be_is_an_error_that_names_it(self, place: str, says: str, tmp_path: Path) -> None:
        """Where, and what is wrong there."""
        (tmp_path / "regular").write_bytes(b"")
        with pytest.raises(OutputError) as caught:
            write_one(tmp_path / place, b"new")
        assert str(caught.value) == f"{tmp_path / place}: {says}"
        assert names(tmp_path) == ["regular"]

    @pytest.mark.parametrize("name", ["a" * 255, "é" * 127], ids=["ascii", "two-bytes-a-letter"])
    def test_a_name_as_long_as_the_file_system_allows_can_be_written(self, name: str, tmp_path: Path) -> None:
        """What is written beside it for a moment must not need a longer name."""
        write_one(tmp_path / name, b"new")
        assert names(tmp_path) == [name]

    @pytest.mark.parametrize("there", [True, False], ids=["to-a-file", "to-nothing-yet"])
    def test_a_symbolic_link_stays_and_what_it_points_to_is_written(self, there: bool, tmp_path: Path) -> None:
        """Release directories and web roots are full of links."""
        (tmp_path / "real").mkdir()
        target = tmp_path / "real" / "file"
        if there:
            target.write_bytes(b"old")
        link = tmp_path / "link"
        link.symlink_to(Path("real") / "file")
        write_one(link, b"new")
        assert link.is_symlink()
        assert target.read_bytes() == b"new"
        assert (names(tmp_path), names(tmp_path / "real")) == (["link", "real"], ["file"])

    def test_links_in_a_circle_are_an_error_that_names_them(self, tmp_path: Path) -> None:
        """Python reports such a circle with an exception of another kind."""
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(OutputError) as caught:
            write_one(tmp_path / "a", b"new")
        assert caught.value.where == str(tmp_path / "a")
        assert names(tmp_path) == ["a", "b"]

    def test_a_device_is_written_to_and_never_replaced(self) -> None:
        """``-o /dev/null`` run by root must leave the machine its /dev/null."""
        write_one(Path("/dev/null"), b"new")
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)  # noqa: PTH116 - the node itself
        assert [each for each in os.listdir("/dev") if each.endswith(".new")] == []  # noqa: PTH208 - the same

    def test_a_full_device_is_an_error_that_says_so(self) -> None:
        """Whatever is written there went nowhere."""
        with pytest.raises(
            OutputError, match=r"^/dev/full: cannot be written: No space left on device \(check its permissions"
        ):
            write_one(Path("/dev/full"), b"new")

    def test_a_named_pipe_gets_everything_and_stays_a_pipe(self, tmp_path: Path) -> None:
        """More than a pipe holds at once, to a reader that is there already."""
        fifo = tmp_path / "pipe"
        os.mkfifo(fifo)
        data = os.urandom(300_000)
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()), daemon=True)
        reader.start()
        write_one(fifo, data)
        reader.join(timeout=30)
        assert got == [data]
        assert stat.S_ISFIFO(fifo.stat().st_mode)
        assert names(tmp_path) == ["pipe"]

    def test_directories_are_made_with_their_parents_and_may_exist(self, tmp_path: Path) -> None:
        """``-o a/b`` needs no mkdir before it."""
        for _ in range(2):
            make_directory(tmp_path / "a" / "b")
        assert (tmp_path / "a" / "b").is_dir()

    def test_a_file_in_the_place_of_a_directory_is_an_error(self, tmp_path: Path) -> None:
        """The error names the path, and the file stays."""
        target = tmp_path / "out"
        target.write_bytes(b"mine")
        with pytest.raises(OutputError) as caught:
            make_directory(target)
        assert caught.value.where == str(target)
        assert target.read_bytes() == b"mine"

    @pytest.mark.parametrize("kind", ["file", "directory", "dangling-link"])
    def test_whatever_stands_there_is_refused_when_nothing_may(self, kind: str, tmp_path: Path) -> None:
        """A link to nothing counts too: writing through it would make a file somewhere else."""
        target = tmp_path / "target"
        if kind == "file":
            target.write_bytes(b"")
        elif kind == "directory":
            target.mkdir()
        else:
            target.symlink_to(tmp_path / "nowhere")
        refuse_existing([tmp_path / "free"])
        with pytest.raises(OutputError, match=r"is there already \(use --force to overwrite it\)"):
            refuse_existing([tmp_path / "free", target])


class TestBuild:
    """The same through the command, whose files belong together."""

    def old(self, folder: Path) -> Path:
        """An output directory with an older profile."""
        out = folder / "out"
        out.mkdir()
        (out / "enroll.mobileconfig").write_bytes(b"old")
        return out

    def untouched(self, out: Path) -> bool:
        """Whether the older profile, and nothing else, is there."""
        return names(out) == ["enroll.mobileconfig"] and (out / "enroll.mobileconfig").read_bytes() == b"old"

    def test_only_the_profile_with_the_secret_is_private(self, umask: int, site: Site, mdmprofile: Command) -> None:
        """The SCEP challenge is inside the enrollment profile; the web server serves the others."""
        out = site.folder / "out"
        outcome = mdmprofile("build", "-c", site.config, "-o", out)
        assert outcome.code == 0
        assert {name: mode(out / name) for name in names(out)} == {
            "MDMServiceConfig": 0o666 & ~umask,
            "dep_anchor_certs": 0o666 & ~umask,
            "enroll.mobileconfig": 0o600,
            "trust.mobileconfig": 0o666 & ~umask,
        }
        assert outcome.out.count("readable by you alone") == 1

    def test_a_profile_without_a_secret_follows_the_umask(self, umask: int, site: Site, mdmprofile: Command) -> None:
        """Without a challenge there is nothing to hide from the web server."""
        site.edit(lambda text: text.replace('challenge = { file = "challenge.txt" }\n', ""))
        assert mdmprofile("build", "-c", site.config, "-o", site.folder / "out").code == 0
        assert mode(site.folder / "out" / "enroll.mobileconfig") == 0o666 & ~umask

    @pytest.mark.parametrize("secret", ["pkcs12", "removal-password"])
    def test_every_secret_makes_the_profile_private(self, secret: str, site: Site, mdmprofile: Command) -> None:
        """A private key and a removal password are secrets as much as a challenge."""
        identity = 'type = "acme"\ndirectory_url = "https://ca.example.com/acme"\nclient_identifier = "x"\n\n'
        removal = 'removal_password = "open-sesame-4711"\nreplace_on'
        if secret == "pkcs12":
            device = issue("Device", site.intermediate)
            (site.folder / "device.p12").write_bytes(device.p12("open-sesame-4711"))
            identity = 'type = "pkcs12"\nfile = "device.p12"\npassword = "open-sesame-4711"\nsingle_device = true\n\n'
            removal = "replace_on"
        site.edit(
            lambda text: (
                text.partition("[identity]")[0].replace("replace_on", removal)
                + f"[identity]\n{identity}[signing]"
                + text.partition("[signing]")[2]
            )
        )
        outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out")
        assert outcome.code == 0, outcome.out + outcome.err
        assert mode(site.folder / "out" / "enroll.mobileconfig") == 0o600
        assert "open-sesame-4711" not in outcome.out + outcome.err

    def test_a_second_build_takes_the_place_of_the_first(self, site: Site, mdmprofile: Command) -> None:
        """Old files are replaced without a question, and nothing is left beside them."""
        out = self.old(site.folder)
        (out / "notes.txt").write_bytes(b"mine")
        assert mdmprofile("build", "-c", site.config, "-o", out).code == 0
        assert (out / "enroll.mobileconfig").read_bytes() != b"old"
        assert names(out) == [
            "MDMServiceConfig",
            "dep_anchor_certs",
            "enroll.mobileconfig",
            "notes.txt",
            "trust.mobileconfig",
        ]

    @pytest.mark.parametrize("command", ["build", "trust"])
    def test_standard_output_gets_the_profile_and_standard_error_the_report(
        self, command: str, site: Site, openssl: Callable[..., bytes]
    ) -> None:
        """``-o -`` feeds the next program of a pipe."""
        words = [sys.executable, "-m", "mdmprofile", command, "-c", str(site.config), "-o", "-", *AT]
        done = subprocess.run(words, capture_output=True, cwd=site.folder, check=False)
        assert done.returncode == 0, done.stderr.decode()
        piped = site.folder / "piped"
        piped.write_bytes(done.stdout)
        root = site.folder / "root.pem"
        plain = signed_content(openssl, piped, root)
        assert (b"com.apple.mdm" in plain) is (command == "build")
        assert b"Latest safe replacement date: " in done.stderr
        assert not (site.folder / "out").exists()
        assert not (site.folder / "-").exists()

    def test_standard_output_stays_empty_when_the_build_is_refused(self, site: Site, mdmprofile: Command) -> None:
        """The next program of the pipe gets nothing to take for a profile."""
        site.edit(lambda text: text.replace("https://mdm.example.com/mdm", "http://mdm.example.com/mdm"))
        outcome = mdmprofile("build", "-c", site.config, "-o", "-")
        assert (outcome.code, outcome.out) == (2, "")
        assert "[mdm.url-scheme]" in outcome.err

    def test_a_directory_in_the_place_of_the_last_file_stops_all(self, site: Site, mdmprofile: Command) -> None:
        """The profile is not renewed without the documents that belong to it."""
        out = self.old(site.folder)
        (out / "dep_anchor_certs").mkdir()
        outcome = mdmprofile("build", "-c", site.config, "-o", out)
        assert (outcome.code, outcome.out) == (3, "")
        assert outcome.err.startswith(f"mdmprofile: error: {out / 'dep_anchor_certs'}: ")
        assert "is a directory where a file belongs" in outcome.err
        (out / "dep_anchor_certs").rmdir()
        assert self.untouched(out)

    @pytest.mark.parametrize("command", ["build", "trust"])
    @pytest.mark.parametrize(
        "place",
        ["challenge.txt", "challenge.txt/out", "/sys/mdmprofile", "/dev/null"],
        ids=["a-file", "below-a-file", "read-only", "a-device"],
    )
    def test_an_output_directory_that_cannot_be_is_one_line(
        self, place: str, command: str, site: Site, mdmprofile: Command
    ) -> None:
        """Even root cannot make a directory there."""
        before = names(site.folder)
        outcome = mdmprofile(command, "-c", site.config, "-o", site.folder / place)
        assert (outcome.code, outcome.out) == (3, "")
        assert outcome.err.startswith(f"mdmprofile: error: {site.folder / place}: ")
        assert outcome.err.count("\n") == 1
        assert names(site.folder) == before
        assert (site.folder / "challenge.txt").read_bytes() == b"open-sesame-4711\n"

    @pytest.mark.parametrize("limit", [0, 1000, 5000])
    def test_a_full_disk_leaves_the_old_file_and_nothing_else(self, limit: int, site: Site) -> None:
        """Neither half a profile nor the file that was to become one stays behind."""
        out = self.old(site.folder)
        done = with_limited_files(limit, "build", "-c", site.config, "-o", out, *AT)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == (
            f"mdmprofile: error: {out / 'enroll.mobileconfig'}: cannot be written: File too large"
            " (check its permissions and the space left, or write elsewhere)\n"
        )
        assert self.untouched(out)

    def test_a_disk_that_fills_at_a_later_file_leaves_all_old_ones(self, site: Site) -> None:
        """The small enrollment profile of public trust fits; a large document behind it does not."""
        site.edit(
            lambda text: (
                text.replace("/dep_anchor_certs", "/" + "a" * 30_000)
                .replace('trust_profile_url = "https://mdm.example.com/trust.mobileconfig"\n', "")
                .replace('certificates = ["root.pem", "intermediate.pem"]', "public = true")
            )
        )
        out = self.old(site.folder)
        done = with_limited_files(20_000, "build", "-c", site.config, "-o", out, *AT)
        assert done.returncode == 3
        assert (
            done.stderr == f"mdmprofile: error: {out / 'MDMServiceConfig'}: cannot be written: File too large"
            " (check its permissions and the space left, or write elsewhere)\n"
        )
        assert self.untouched(out)

    def test_a_full_device_as_a_target_is_one_line(self, site: Site, mdmprofile: Command) -> None:
        """A report that could not be written is not a job that was done."""
        outcome = mdmprofile("check", site.folder / "root.pem", "-o", "/dev/full")
        assert (outcome.code, outcome.out) == (3, "")
        assert (
            outcome.err == "mdmprofile: error: /dev/full: cannot be written: No space left on device"
            " (check its permissions and the space left, or write elsewhere)\n"
        )

    def test_interrupted_between_two_files_all_old_ones_stay(self, site: Site) -> None:
        """Ctrl-C while the second file waits for its reader takes back the first, which was complete already."""
        out = self.old(site.folder)
        os.mkfifo(out / "trust.mobileconfig")
        words = [sys.executable, "-m", "mdmprofile", "build", "-c", str(site.config), "-o", str(out), *AT]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wait_for(lambda: any(name.endswith(".new") for name in names(out)), process)
            time.sleep(BLOCKED)
            process.send_signal(signal.SIGINT)
            printed, complaint = process.communicate(timeout=30)
        assert (process.returncode, printed) == (130, "")
        assert complaint.strip() == "mdmprofile: interrupted"
        (out / "trust.mobileconfig").unlink()
        assert self.untouched(out)

    @pytest.mark.parametrize(
        ("command", "waits_for"), [("build", "config"), ("trust", "config"), ("build", "secret-command")]
    )
    def test_interrupted_while_it_reads_nothing_is_written(self, waits_for: str, command: str, site: Site) -> None:
        """Ctrl-C is answered at once, with 130, without a traceback, and with the old file where it was."""
        out = self.old(site.folder)
        fifo = site.folder / "pipe"
        os.mkfifo(fifo)
        if waits_for == "secret-command":
            source = '{ command = ["cat", "pipe"] }'
            site.edit(lambda text: text.replace('{ file = "challenge.txt" }', source))
        config = fifo if waits_for == "config" else site.config
        words = [sys.executable, "-m", "mdmprofile", command, "-c", str(config), "-o", str(out), *AT]
        with (
            subprocess.Popen(
                words, cwd=site.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process,
            held_open(fifo, process),
        ):
            time.sleep(BLOCKED)
            process.send_signal(signal.SIGINT)
            printed, complaint = process.communicate(timeout=30)
        assert (process.returncode, printed) == (130, "")
        assert complaint.strip() == "mdmprofile: interrupted"
        assert self.untouched(out)


def test_standard_output_by_its_name_is_appended_to(tmp_path: Path) -> None:
    """A shell that redirects to a log must find its earlier lines, and its later ones, in that log."""
    log = tmp_path / "log"
    (tmp_path / "root.pem").write_bytes(root_ca().pem)
    line = 'echo before >> log; "$0" -m mdmprofile check root.pem -o /dev/stdout >> log; echo after >> log'
    subprocess.run(["sh", "-c", line, sys.executable], cwd=tmp_path, check=True)
    text = log.read_text().splitlines()
    assert (text[0], text[-1]) == ("before", "after")
    assert any("Test Root" in each for each in text)
