"""One run of a command: how it reports, and with which exit code it ends."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from mdmprofile.cli.complaints import complain
from mdmprofile.errors import OutputError, flatten
from mdmprofile.findings import Severity, worst
from mdmprofile.output import ADVICE, STDOUT, write_one
from mdmprofile.reports.model import View
from mdmprofile.secret import Prompt


class Session(NamedTuple):
    """The shared options of one run."""

    report_format: str
    fail_on: str
    colour: str
    quiet: bool
    verbose: bool

    def finish_written(self, view: View, *, to_stderr: bool = False) -> int:
        """Report what was written already: that nobody can read the report does not undo it, so it is no failure."""
        try:
            return self.finish(view, to_stderr=to_stderr)
        except BrokenPipeError:
            raise
        except (OutputError, OSError) as error:
            complain(f"the report cannot be shown: {error}")
            return self.exit_code(view)

    def finish(self, view: View, *, to_stderr: bool = False, output: Path | None = None) -> int:
        """Report the view, into ``output`` when it is given, and return the exit code."""
        view = view._replace(exit_code=self.exit_code(view))
        shown = self._shown(view)
        nothing_found = not view.errors and not any(each.severity.rank for each in view.findings)
        # A file is read by something that must not go on with an older one.
        if self.quiet and nothing_found and output is None:
            return view.exit_code
        if self.report_format != "text":
            # One format a run, so one module: reports/json.py, reports/sarif.py and so on.
            render = importlib.import_module(f"mdmprofile.reports.{self.report_format}").render
            report = render(view).encode("utf-8", "backslashreplace")
            # Some formats have a line end of their own, such as CSV's.
            write_one(output or STDOUT, report if not report or report.endswith(b"\n") else report + b"\n")
        elif output is not None:
            from mdmprofile.reports.plain import render as render_plain  # noqa: PLC0415

            write_one(output, (render_plain(shown) + "\n").encode("utf-8", "backslashreplace"))
        else:
            self._print(shown, to_stderr=to_stderr)
        for each in flatten(view.errors):
            complain(str(each))
        return view.exit_code

    def keep_stdout_free(self, output: Path | None) -> None:
        """Refuse a JSON report where standard output is taken by the result itself."""
        if output == STDOUT and self.report_format == "json":
            raise click.UsageError("-o - and --format json both want standard output; use one")

    def exit_code(self, view: View) -> int:
        """What the findings and errors of the view come to."""
        severity = worst(view.findings)
        if severity is Severity.ERROR:
            return 2
        if view.errors:
            return 3
        return 1 if severity is Severity.WARNING and self.fail_on == "warning" else 0

    def _shown(self, view: View) -> View:
        if self.quiet:
            found = [each for each in view.findings if each.severity.rank]
            return View(now=view.now, findings=found)
        if self.verbose:
            return view._replace(findings=[each._replace(message=_with_source(each)) for each in view.findings])
        return view

    def _print(self, view: View, *, to_stderr: bool) -> None:
        stream = sys.stderr if to_stderr else sys.stdout
        if stream is None:
            raise OutputError("is closed", where="standard error" if to_stderr else "standard output", hint=ADVICE)
        terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        if self.colour == "always" or terminal:
            import shutil  # noqa: PLC0415

            from mdmprofile.reports.text import render  # noqa: PLC0415 - rich is for terminals only

            colour = self.colour == "always" or (self.colour == "auto" and not os.environ.get("NO_COLOR"))
            text = render(view, width=shutil.get_terminal_size().columns, colour=colour)
        else:
            from mdmprofile.reports.plain import render as render_plain  # noqa: PLC0415

            text = render_plain(view)
        if text:
            encoded = (text + "\n").encode(stream.encoding or "utf-8", "backslashreplace")
            click.echo(encoded.decode(stream.encoding or "utf-8"), err=to_stderr, nl=False, color=True)


def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hand a command its ``Session`` instead of the shared options."""

    @functools.wraps(function)
    def wrapped(
        *args: Any,  # noqa: ANN401 - whatever the command has
        report_format: str,
        fail_on: str,
        colour: str,
        quiet: bool,
        verbose: bool,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        return function(Session(report_format, fail_on, colour, quiet, verbose), *args, **options)

    return wrapped


def ask() -> Prompt | None:
    """A prompt for secrets when a person sits at the terminal; it writes to standard error and hides the answer."""
    if sys.stdin is None or not sys.stdin.isatty():
        return None

    def prompt(question: str) -> str:
        answer: str = click.prompt(question, hide_input=True, err=True)
        return answer

    return prompt


def _with_source(found: Any) -> str:  # noqa: ANN401 - a Finding
    return f"{found.message} (source: {found.source})" if found.source else str(found.message)
