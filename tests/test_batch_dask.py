"""Profiles for many devices, made by the workers of a real Dask cluster: a scheduler, and processes beside it."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from batches import ISSUED, SCEP, assert_in_order, devices_csv, fleet_site
from conftest import Command
from mdmprofile import __version__
from mdmprofile.config_file import ConfigTables
from mdmprofile.devices import cluster as cluster_module
from mdmprofile.devices.cluster import Cluster, _unit, judge_scheduler
from mdmprofile.devices.unit import Item
from mdmprofile.errors import WorkerError
from mdmprofile.maker import ProfileMaker
from mdmprofile.recipe import Recipe, recipe_of
from pki import NOW, Site, issue

CLUSTER = """
import json
import sys

from distributed import LocalCluster

if __name__ == "__main__":
    workers, protocol = int(sys.argv[1]), sys.argv[2]
    with LocalCluster(
        processes=True,
        n_workers=workers,
        threads_per_worker=1,
        protocol=protocol,
        dashboard_address=":0",
        silence_logs=False,
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        for _ in sys.stdin:
            print(json.dumps([each.pid for each in cluster.workers.values()]), flush=True)
"""
RSA = ISSUED.replace("p256", "rsa2048")


@dataclass(frozen=True)
class Running:
    """A cluster that runs; what it logs, and its workers too, is in a file."""

    url: str
    log: Path
    process: subprocess.Popen[str]

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        found: list[int] = json.loads(self.process.stdout.readline())
        return found


@contextlib.contextmanager
def running(folder: Path, *, workers: int, protocol: str = "tcp://", **environment: str) -> Iterator[Running]:
    """Start a cluster of processes, and end it."""
    script, log = folder / "cluster.py", folder / "cluster.log"
    script.write_text(CLUSTER)
    # Away from the checkout's .coverage file, as a cluster on another machine is.
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, str(script), str(workers), protocol],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            text=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    try:
        assert url, log.read_text()
        yield Running(url, log, process)
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A cluster of two workers with a thread each."""
    with running(tmp_path_factory.mktemp("cluster"), workers=2) as started:
        yield started


def fleet(folder: Path, count: int, identity: str = ISSUED) -> Site:
    """A site with a table of so many devices."""
    site = fleet_site(folder / "site", identity)
    (site.folder / "devices.csv").write_text(devices_csv(count, "challenge"))
    return site


def words(site: Site, url: str, *more: str) -> list[str]:
    """The command line that makes a site's profiles on a cluster."""
    table, target = site.folder / "devices.csv", site.folder / "fleet"
    given = ["batch", table, "-c", site.config, "-o", target, "--engine", "dask", "--scheduler", url, *more]
    return [str(each) for each in given]


def begun(site: Site, url: str) -> subprocess.Popen[str]:
    """A run in a process of its own, once the first profile is there."""
    command = [sys.executable, "-m", "mdmprofile", *words(site, url, "-q", "--at", NOW.isoformat())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list((site.folder / "fleet").glob("*.mobileconfig")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_every_device_gets_its_profile_and_nothing_else_is_said(
    cluster: Running, tmp_path: Path, mdmprofile: Command
) -> None:
    """The files and the ledger are those of a run on this machine, and a second run finds nothing to do."""
    site = fleet(tmp_path, 40)
    outcome = mdmprofile(*words(site, cluster.url, "-q"))
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert len(assert_in_order(site.folder / "fleet")) == 40
    assert "Run out-of-band function 'forget'" in cluster.log.read_text()
    again = mdmprofile(*words(site, cluster.url, "--format", "json"))
    assert again.json["devices"] == {"rows": 40, "bad": 0, "made": 0, "kept": 40, "failed": 0}
    assert not [each for each in again.rules if each.startswith("cluster.")]
    local = mdmprofile("batch", site.folder / "devices.csv", "-c", site.config, "-o", site.folder / "fleet", "-q")
    assert (local.code, local.out + local.err) == (0, "")


def test_worker_that_is_killed_costs_no_device_its_profile(cluster: Running, tmp_path: Path) -> None:
    """What it had in hand is made elsewhere, and each device is recorded once."""
    site = fleet(tmp_path, 20, RSA)
    before = cluster.log.read_text()
    process = begun(site, cluster.url)
    killed = cluster.workers[0]
    os.kill(killed, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "", "")
    assert "Restarting worker" in cluster.log.read_text().removeprefix(before)
    assert len(assert_in_order(site.folder / "fleet")) == 20


def test_interrupted_run_gives_its_work_up_and_goes_on_later(
    cluster: Running, tmp_path: Path, mdmprofile: Command
) -> None:
    """How far it came is said, the scheduler is told, and the next run makes what is missing."""
    site = fleet(tmp_path, 20, RSA)
    before = cluster.log.read_text()
    process = begun(site, cluster.url)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert re.fullmatch(
        r"mdmprofile: \d+ of 20 devices are done; run it again, and it goes on from there\s+mdmprofile: interrupted",
        err.strip(),
    )
    said = cluster.log.read_text().removeprefix(before)
    assert "Scheduler cancels key mdmprofile-" in said
    assert len(list((site.folder / "fleet").glob("*.mobileconfig"))) < 20
    assert mdmprofile(*words(site, cluster.url, "-q")).code == 0
    assert len(assert_in_order(site.folder / "fleet")) == 20


def test_error_of_a_worker_arrives_as_it_is_and_its_log_has_no_secret(
    cluster: Running, tmp_path: Path, mdmprofile: Command
) -> None:
    """Dask logs a task that fails, with all it knows about it: that is no secret and no device."""
    site = fleet(tmp_path, 20, SCEP)
    fails = shlex.join([sys.executable, "-c", "raise SystemExit(1)"])
    site.edit(lambda text: text.replace('key = "signer.key"', f"command = {json.dumps(shlex.split(fails))}"))
    outcome = mdmprofile(*words(site, cluster.url))
    assert outcome.code == 3
    assert "the cluster" not in outcome.err
    assert "signing.command" in outcome.err
    assert outcome.err.count("\n") == 1
    said = cluster.log.read_text()
    assert "Compute Failed" in said
    key = (site.folder / "ca.key").read_text()
    for secret in ("challenge-", "S00001", "U00001", "BEGIN", key.splitlines()[1], "Recipe(", "Password"):
        assert secret not in said


def test_profile_that_a_device_cannot_have_is_the_devices_own_failure(
    cluster: Running, tmp_path: Path, mdmprofile: Command
) -> None:
    """The others are made."""
    site = fleet(tmp_path, 5)
    table = site.folder / "devices.csv"
    table.write_text(table.read_text().replace("S00003,", f"{'S' * 70},"))
    outcome = mdmprofile(*words(site, cluster.url, "--format", "json"))
    assert outcome.code == 2
    assert outcome.json["devices"] == {"rows": 5, "bad": 0, "made": 4, "kept": 0, "failed": 1}
    assert len(assert_in_order(site.folder / "fleet")) == 4


def test_unencrypted_way_to_another_machine_is_a_warning(cluster: Running, tmp_path: Path, mdmprofile: Command) -> None:
    """It is said in the report, and does not stop the run."""
    site = fleet(tmp_path, 1)
    # Linux takes it for this machine, and nobody else knows.
    outcome = mdmprofile(*words(site, cluster.url.replace("127.0.0.1", "0.0.0.0"), "--format", "json"))  # noqa: S104
    assert outcome.code == 0
    (found,) = [each for each in outcome.json["findings"] if each["rule"] == "cluster.unencrypted"]
    assert found["severity"] == "warning"


@pytest.mark.parametrize(
    "url",
    ["tls://scheduler:8786", "tcp://127.0.0.1:8786", "tcp://[::1]:8786", "tcp://localhost:1", "tcp://127.9.9.9:1"],
)
def test_way_that_nobody_else_sees(url: str) -> None:
    """TLS, or this machine."""
    assert judge_scheduler(url) == ()


@pytest.mark.parametrize("host", ["scheduler", "10.0.0.1", "[2001:db8::1]", "localhost.example.com"])
def test_way_that_others_see(host: str) -> None:
    """The host is named."""
    (found,) = judge_scheduler(f"tcp://{host}:8786")
    assert (found.rule, found.where) == ("cluster.unencrypted", f"tcp://{host}:8786")
    assert host.strip("[]") in found.message


@pytest.mark.parametrize(
    "url",
    [
        *("scheduler:8786", "http://scheduler:8786", "tls://scheduler", "tls://:8786", "tls://scheduler:0", "tls://"),
        *(
            "tls://scheduler:99999",
            "tls://a:b@scheduler:8786",
            "tls://scheduler:8786/x",
            "tls://[::1:8786",
            "TLS://a:1",
        ),
    ],
)
def test_what_is_no_address_of_a_scheduler(url: str, tmp_path: Path, mdmprofile: Command) -> None:
    """It is refused before anything is read or written."""
    outcome = mdmprofile("batch", tmp_path / "devices.csv", "-o", tmp_path, "--engine", "dask", "--scheduler", url)
    assert outcome.code == 3
    assert outcome.err == f"mdmprofile: error: {url}: is not the address of a Dask scheduler (write tls://HOST:PORT)\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given",
    [
        ["--engine", "dask"],
        ["--scheduler", "tls://scheduler:8786"],
        ["--engine", "dask", "--scheduler", "tls://scheduler:8786", "--jobs", "2"],
    ],
)
def test_options_that_do_not_go_together(given: list[str], tmp_path: Path, mdmprofile: Command) -> None:
    """How many work at once is the cluster's affair."""
    outcome = mdmprofile("batch", tmp_path / "devices.csv", *given)
    assert outcome.code == 3
    assert "--scheduler go together" in outcome.err or "--jobs is for this machine" in outcome.err


def test_extra_that_is_not_installed(tmp_path: Path) -> None:
    """The message names what to install."""
    site = fleet(tmp_path, 1)
    script = (
        "import sys; sys.modules['distributed'] = None; from mdmprofile.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    given = words(site, "tcp://127.0.0.1:1", "--at", NOW.isoformat())
    done = subprocess.run([sys.executable, "-c", script, *given], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "needs the Python package distributed" in done.stderr
    assert "pip install 'mdmprofile[dask]'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_scheduler_that_cannot_be_reached(
    kind: str, tmp_path: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens, or somebody takes the connection and says nothing: one line, and within the time."""
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1)
    site = fleet(tmp_path, 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if kind == "closed":
            server.close()
        start = time.monotonic()
        outcome = mdmprofile(*words(site, f"tcp://127.0.0.1:{port}"))
    assert outcome.code == 3
    assert outcome.err == (
        f"mdmprofile: error: tcp://127.0.0.1:{port}: the scheduler cannot be reached "
        "(is it running, and is the address right?)\n"
    )
    assert time.monotonic() - start < 30


def test_cluster_without_workers_is_not_waited_for_without_end(
    tmp_path: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when its scheduler ends, that is said."""
    monkeypatch.setattr(cluster_module, "LONELY_SECONDS", 1)
    site = fleet(tmp_path, 1)
    with running(tmp_path, workers=0) as empty:
        outcome = mdmprofile(*words(site, empty.url))
        assert outcome.code == 3
        assert "the cluster has had no worker for 1 seconds" in outcome.err
        assert outcome.err.count("\n") == 1
        engine = Cluster(ProfileMaker(recipe_of(site.config, now=NOW)).recipe, empty.url)
        waiting = engine.begin([Item(1, {"serial": "S1"}, 4711)])
    with pytest.raises(WorkerError, match="the scheduler is gone, or has given up the work") as caught:
        waiting()
    engine.close()
    assert caught.value.where == empty.url


def test_workers_without_this_package_are_told_from_those_that_died(tmp_path: Path, mdmprofile: Command) -> None:
    """They get no work, for they would end of it, and the message says what to install where."""
    site = fleet(tmp_path, 1)
    other = tmp_path / "other" / "mdmprofile"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "0.0"\n')
    with running(tmp_path, workers=1, PYTHONPATH=str(other.parent)) as foreign:
        before = foreign.workers
        outcome = mdmprofile(*words(site, foreign.url))
        assert foreign.workers == before
    assert outcome.code == 3
    assert "a part of the cluster cannot load mdmprofile (install mdmprofile" in outcome.err
    assert outcome.err.count("\n") == 1


def test_way_with_tls(tmp_path: Path, mdmprofile: Command) -> None:
    """Its certificates are those of Dask's own configuration; without them, that is what is said."""
    site = fleet(tmp_path, 3)
    # Dask reads the clock.
    lasting = partial(issue, start=datetime(2000, 1, 1, tzinfo=UTC), end=datetime(9999, 1, 1, tzinfo=UTC))
    root = lasting("Cluster", ca=True)
    peer = lasting("dask", root)
    for name, data in {"ca.pem": root.pem, "peer.pem": peer.pem, "peer.key": peer.key_pem()}.items():
        (tmp_path / name).write_bytes(data)
    tls = {"CA_FILE": str(tmp_path / "ca.pem")}
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        tls |= {f"{role}__CERT": str(tmp_path / "peer.pem"), f"{role}__KEY": str(tmp_path / "peer.key")}
    environment = {f"DASK_DISTRIBUTED__COMM__TLS__{name}": value for name, value in tls.items()}
    with running(tmp_path, workers=1, protocol="tls://", **environment) as encrypted:
        assert encrypted.url.startswith("tls://")
        outcome = mdmprofile(*words(site, encrypted.url))
        assert outcome.code == 3
        assert "TLS needs certificates (set ca-file, client.cert and client.key" in outcome.err
        command = [sys.executable, "-m", "mdmprofile", *words(site, encrypted.url, "-q", "--at", NOW.isoformat())]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(assert_in_order(site.folder / "fleet")) == 3


def test_nothing_that_a_task_is_made_of_shows_a_secret(tmp_path: Path) -> None:
    """Not as it is, nor after it was sent."""
    site = fleet(tmp_path, 1)
    recipe = ProfileMaker(recipe_of(site.config, now=NOW)).recipe
    sent: Recipe = pickle.loads(pickle.dumps(recipe))  # noqa: S301 - as Dask sends it
    shown = repr((recipe, sent, sent.tables, sent.kept, Item(7, {"serial": "S00000"}, 4711)))
    assert recipe.kept.files
    for secret in ("BEGIN", "S00000", "4711", "Device CA", "com.example"):
        assert secret not in shown
    assert "Item(id=7)" in shown


def test_worker_of_another_release_refuses(tmp_path: Path) -> None:
    """What a profile looks like must not depend on who made it."""
    recipe = recipe_of(fleet(tmp_path, 1).config, now=NOW)
    with pytest.raises(WorkerError, match=r"a worker has mdmprofile .* instead of 0\.0"):
        _unit("0.0", recipe, ())


def test_text_of_an_unexpected_error_stays_on_the_worker(tmp_path: Path) -> None:
    """It could quote a secret, and Dask would log it; the error that arrives says what kind it was."""
    recipe = recipe_of(fleet(tmp_path, 1).config, now=NOW)
    broken = replace(recipe, tables=cast("ConfigTables", "secret"), token="other")
    with pytest.raises(WorkerError, match=r"internal error \(AttributeError\) on a worker") as caught:
        _unit(__version__, broken, ())
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
