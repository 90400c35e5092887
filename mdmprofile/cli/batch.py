"""``mdmprofile batch``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from mdmprofile.batch import Order, Tally, members, run_batch
from mdmprofile.cli.build import payload_rows
from mdmprofile.cli.config_flags import CONFIG_OPTIONS, chosen, parse_variables
from mdmprofile.cli.params import FILE, MOMENT, report_options, right_now
from mdmprofile.cli.progress import Progress
from mdmprofile.cli.session import Session, ask, with_session
from mdmprofile.devices.archive import Form, write_archive
from mdmprofile.devices.filenames import DEFAULT_NAME, FileNames
from mdmprofile.devices.processes import Engine, Here, Pool, Processes
from mdmprofile.devices.spool import Spool
from mdmprofile.devices.table import read_table
from mdmprofile.devices.trial import Trial, try_all, try_out
from mdmprofile.findings import Finding, by_severity, has_errors
from mdmprofile.inputs import opened, place_of
from mdmprofile.inventory import thresholds_of
from mdmprofile.ledger import LEDGER_NAME
from mdmprofile.maker import ProfileMaker
from mdmprofile.output import STDOUT, streamed
from mdmprofile.output import place_of as place_of_output
from mdmprofile.plan import judge_dates, make_plan
from mdmprofile.recipe import Recipe, needed_columns, recipe_of
from mdmprofile.recorded import watched_entry
from mdmprofile.reports.model import View

# Below this many devices, starting processes takes longer than the work.
_FEW = 64


class _Shard(click.ParamType[tuple[int, int]]):
    """``K/N``: the Kth of N parts."""

    name = "K/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:  # noqa: ANN401
        """Both numbers, K from 1 to N."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(value))
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"{value!r} is not K/N with K from 1 to N, for example 2/8", param, ctx)
        return int(found[1]), int(found[2])


@click.command("batch")
@click.argument("table", type=FILE, metavar="DEVICES.csv|-")
@CONFIG_OPTIONS
@click.option("--name", "template", default=DEFAULT_NAME, metavar="TEMPLATE", help="Name of each device's file.")
@click.option("--input-format", type=click.Choice(["csv", "jsonl"]), help="Format of the table.  [default: told by it]")
@click.option("--encoding", help="The table's encoding, where it is not UTF-8.")
@click.option("--strict", is_flag=True, help="Write nothing when a row is bad.")
@click.option("--again", is_flag=True, help="Make profiles from an earlier config or row again, with new identities.")
@click.option("--keep", is_flag=True, help="Leave profiles from an earlier config or row as they are.")
@click.option("--renew", type=MOMENT, help="Make profiles again whose identities end before this date.")
@click.option("--archive", type=FILE, help="Put every profile into this .tar or .zip too; - is a tar on stdout.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Processes at once.  [default: one for each core]")
@click.option("--shard", type=_Shard(), help="Only the Kth of N parts of the table.")
@click.option("--engine", type=click.Choice(["local", "dask"]), default="local", show_default=True, help="Who works.")
@click.option("--scheduler", metavar="URL", help="Scheduler of the Dask cluster, tls://HOST:PORT.")
@click.option(
    "--every", type=click.IntRange(1), default=1000, show_default=True, help="Devices a line without a terminal."
)
@report_options("error")
@with_session
def command(
    session: Session,
    table: Path,
    config: Path | None,
    variables: tuple[str, ...],
    at: datetime | None,
    template: str,
    input_format: Any,  # noqa: ANN401 - one of the two words
    encoding: str | None,
    strict: bool,
    again: bool,
    keep: bool,
    renew: datetime | None,
    archive: Path | None,
    jobs: int | None,
    shard: tuple[int, int] | None,
    engine: str,
    scheduler: str | None,
    every: int,
    **flags: Any,  # noqa: ANN401 - one per config key
) -> int:
    """Build a profile, and issue an identity, for every device of a table.

    The table is CSV with a header, or JSON Lines; its columns are the variables {{ device.NAME }} of the config, and
    serial or udid tells the devices apart. Each device gets one signed file in the output directory, with a PKCS#12
    from your CA, or its own SCEP challenge or ACME client identifier. ledger.sqlite beside the files records what was
    issued to whom. A run that was stopped goes on where it stopped when it is started again.

    \b
    Example:
      mdmprofile batch devices.csv -c enroll.toml -o fleet
      mdmprofile batch devices.csv --name '{{ device.site }}/{{ device.serial }}.mobileconfig' --strict
      inventory-export | mdmprofile batch - -o fleet --archive fleet.zip
      mdmprofile batch devices.csv -o fleet --renew 2027-06-01
      mdmprofile batch devices.csv -o fleet --shard 2/8
      mdmprofile batch devices.csv -o fleet --engine dask --scheduler tls://scheduler:8786
      mdmprofile check fleet/ledger.sqlite --replace-on 2027-06-01
    """
    now = at or right_now()
    _refuse_contradictions(session, again=again, keep=keep, archive=archive, engine=engine, scheduler=scheduler)
    on_cluster = _judge_scheduler(scheduler, jobs)
    given = parse_variables(variables)
    if "device" in given:
        raise click.UsageError("--var device.…: the table has the devices' values")
    file, overrides = chosen(flags, config)
    recipe = recipe_of(file, now=now, overrides=overrides, variables=given)
    maker = ProfileMaker(recipe, prompt=ask())
    directory = maker.output_directory
    if directory == STDOUT:
        raise click.UsageError("-o names the directory of the profiles and the ledger; --archive - writes to stdout")
    source = place_of(table)
    with ExitStack() as stack:
        stream = stack.enter_context(opened(table))
        progress = partial(Progress, shown=not session.quiet, colour=session.colour)
        pool = stack.enter_context(Pool(jobs or _cores()))
        # Where a run left a ledger, this one may have little to do.
        ahead = engine == "local" and pool.jobs > 1 and not (directory / LEDGER_NAME).exists()

        def read(count: int) -> None:
            reading.tell(count, 0)
            if ahead and count > _FEW:
                pool.start()

        with progress(doing="reading", unit="rows") as reading:
            rows = read_table(
                stream, source=source, form=input_format, required=needed_columns(recipe), encoding=encoding
            )
            names = FileNames(template, rows.columns, given)
            spool = stack.enter_context(Spool(rows, names, source=source, shard=shard, progress=read))
        trial = try_out(maker, spool.devices())
        trial = trial._replace(findings=by_severity((*trial.findings, *on_cluster)))
        tally, rows_found = None, (spool.bad, spool.findings)
        if strict and not spool.bad and not has_errors(trial.findings):
            rows_found = try_all(maker, spool.devices(), source=source, common=trial.findings)
        if not has_errors(trial.findings) and not (strict and rows_found[0]):
            few = jobs is None and spool.count <= _FEW
            workers = _engine(maker.recipe, None if few else pool, engine=engine, scheduler=scheduler)
            with progress(doing="making profiles", unit="devices", rated=True, every=every) as making:
                order = Order(again=again, keep=keep, renew=renew)
                name = recipe.tables.source
                with _counted(making):
                    tally = run_batch(
                        maker,
                        spool,
                        workers,
                        directory,
                        source=source,
                        order=order,
                        config=name,
                        common=trial.findings,
                        tell=making.tell,
                    )
            if archive is not None:
                with streamed(archive) as out:
                    write_archive(out, _form_of(archive), members(directory, spool))
        view = _view(trial, spool, rows_found, tally, directory, archive, now)
    finish = session.finish_written if tally is not None else session.finish
    return finish(view, to_stderr=archive == STDOUT)


@contextmanager
def _counted(making: Progress) -> Iterator[None]:
    """Say how far it was when it is interrupted, and that nothing of it is lost."""
    try:
        yield
    except KeyboardInterrupt:
        done, total = making.state
        if total:
            again = "run it again, and it goes on from there"
            click.echo(f"mdmprofile: {done:,} of {total:,} devices are done; {again}", err=True)
        raise


def _refuse_contradictions(
    session: Session, *, again: bool, keep: bool, archive: Path | None, engine: str, scheduler: str | None
) -> None:
    session.keep_stdout_free(archive)
    if again and keep:
        raise click.UsageError("--again and --keep contradict each other; use one")
    if archive is not None:
        _form_of(archive)
    if (engine == "dask") != (scheduler is not None):
        raise click.UsageError("--engine dask and --scheduler go together")


def _judge_scheduler(scheduler: str | None, jobs: int | None) -> tuple[Finding, ...]:
    if scheduler is None:
        return ()
    if jobs is not None:
        raise click.UsageError("--jobs is for this machine; a Dask cluster uses all its workers")
    from mdmprofile.devices.cluster import judge_scheduler  # noqa: PLC0415 - few have a cluster

    return judge_scheduler(scheduler)


def _form_of(archive: Path) -> Form:
    if archive == STDOUT or archive.suffix.lower() == ".tar":
        return "tar"
    if archive.suffix.lower() == ".zip":
        return "zip"
    raise click.UsageError(f"--archive {archive}: name a .tar or .zip file, or - for a tar on standard output")


def _engine(recipe: Recipe, pool: Pool | None, *, engine: str, scheduler: str | None) -> Callable[[Path], Engine]:
    if engine == "dask" and scheduler is not None:
        from mdmprofile.devices.cluster import Cluster  # noqa: PLC0415 - an optional extra

        return lambda _staging: Cluster(recipe, scheduler)
    if pool is None or pool.jobs == 1:
        return lambda staging: Here(recipe, staging)
    return lambda staging: Processes(recipe, staging, pool)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _view(
    trial: Trial,
    spool: Spool,
    rows: tuple[int, Sequence[Finding]],
    tally: Tally | None,
    directory: Path,
    archive: Path | None,
    now: datetime,
) -> View:
    """The first device's profile stands for all; then what was found about rows, how many are bad, and devices."""
    bad, found = rows[0], [*rows[1], *trial.findings, *(tally.findings if tally else ())]
    watched = trial.watched
    if tally is not None and tally.first is not None and trial.draft is not None:
        # A device that keeps its profile keeps its identity, which ends before those of today.
        first = watched_entry(tally.first, str(directory / LEDGER_NAME))
        watched = (*watched, first)
        found += judge_dates([first], thresholds_of(trial.draft.config), now=now)
    view = View(
        now=now,
        findings=by_severity(found),
        files=_files(bad, tally, directory, archive),
        extra={"devices": _counts(spool, bad, tally), "ledger": str(directory / LEDGER_NAME) if tally else None},
    )
    if trial.draft is None or trial.draft.profile is None:
        return view
    profile = trial.draft.profile
    return view._replace(
        watched=watched,
        plan=make_plan(watched, thresholds_of(trial.draft.config)),
        title=f"{profile.name}  {profile.identifier}".strip(),
        payloads=payload_rows(profile),
    )


def _counts(spool: Spool, bad: int, tally: Tally | None) -> dict[str, int]:
    return {
        "rows": spool.count + spool.bad,
        "bad": bad,
        "made": tally.made if tally else 0,
        "kept": tally.kept if tally else 0,
        "failed": tally.failed if tally else 0,
    }


def _files(bad_rows: int, tally: Tally | None, directory: Path, archive: Path | None) -> list[str]:
    bad = [f"{_count(bad_rows, 'bad row')} in the table"] if bad_rows else []
    if tally is None:
        return [*bad, "Nothing was written."]
    kept = f"; {_count(tally.kept, 'device')} with one already" if tally.kept else ""
    failed = [f"{_count(tally.failed, 'device')} failed: correct that, and run it again"] if tally.failed else []
    packed = [f"wrote {place_of_output(archive)} with every profile"] if archive is not None else []
    made = f"wrote {_count(tally.made, 'profile')} and {LEDGER_NAME} into {directory}"
    if not tally.made:
        made = f"nothing to make in {directory}"
    return [*bad, *failed, f"{made}{kept}", *packed]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
