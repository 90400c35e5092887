"""The text report for a terminal: a table, a time line in colour, and findings that stand out."""

from __future__ import annotations

import io

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from mdmprofile.findings import Finding
from mdmprofile.moments import day
from mdmprofile.plan import days_left
from mdmprofile.printable import printable
from mdmprofile.reports.limits import MAX_BARS, MAX_ROWS, bars_left_out, first_to_end, rows_left_out, shown_findings
from mdmprofile.reports.model import Section, View
from mdmprofile.reports.plain import bar_labels, legend, plan_line, rule_label
from mdmprofile.reports.timeline import Bar, lay_out

_COLOURS = {"expired": "red", "early": "yellow", "good": "green"}
_STYLES = {"good": "green", "bad": "bold red", "warn": "yellow", "dim": "dim", "bold": "bold", "": ""}
_SEVERITIES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def render(view: View, *, width: int, colour: bool) -> str:
    """The view as text with terminal escapes, at most ``width`` columns wide."""
    drawn = io.StringIO()
    console = Console(
        file=drawn,
        width=max(width, 60),
        force_terminal=True,
        no_color=not colour,
        color_system="standard" if colour else None,
        highlight=False,
        legacy_windows=False,
    )
    draw(view, console)
    return drawn.getvalue().rstrip("\n")


def draw(view: View, console: Console) -> None:
    """Print the view to a rich console, which may record it."""
    for section in view.sections:
        _section(section, console)
    if view.payloads:
        console.print(_tree(view))
    if view.plan is not None and view.watched:
        console.print(_table(view))
        if left_out := rows_left_out(view):
            console.print(Text(left_out, style="dim"))
        console.print(Padding(_timeline(view, console.width), (1, 0)))
    for each in view.files:
        console.print(Text(printable(each)))
    shown, left_out = shown_findings(view)
    for found in shown:
        console.print(_finding(found))
    if left_out:
        console.print(Text(left_out, style="dim"))
    if view.plan is not None and view.watched:
        console.print(Text(plan_line(view.plan, view.now), style="bold"))


def _section(section: Section, console: Console) -> None:
    if section.title:
        console.print(Text(printable(section.title), style=_STYLES[section.style]))
    for line in section.lines:
        text = Text(printable(line.text), style=_STYLES[line.style])
        console.print(Padding(text, (0, 0, 0, 2 if section.title else 0), expand=False))
    console.print()


def _tree(view: View) -> Tree:
    tree = Tree(Text(printable(view.title), style="bold"))
    for kind, name in view.payloads:
        tree.add(Text.assemble((printable(kind), "cyan"), "  ", printable(name)))
    return tree


def _table(view: View) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (
        ("Role", "left"),
        ("Name", "left"),
        ("Ends", "left"),
        ("Days", "right"),
        ("Where", "left"),
    ):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]  # a literal in a loop
    for each in first_to_end(view.watched, MAX_ROWS):
        left = days_left(each, view.now)
        table.add_row(
            Text(each.role, style="cyan"),
            Text(printable(each.name)),
            Text(day(each.not_after) if each.not_after else "unknown"),
            Text("-" if left is None else str(left), style="red" if left is not None and left < 0 else ""),
            Text(printable(each.where), style="dim"),
        )
    return table


def _timeline(view: View, width: int) -> Table:
    assert view.plan is not None  # noqa: S101 - the caller looked
    cells = max(min(width - 50, 100), 10)
    line = lay_out(view.watched, view.plan, now=view.now, width=cells, most=MAX_BARS)
    table = Table.grid(padding=(0, 1))
    for label, bar in zip(bar_labels(line), line.bars, strict=True):
        table.add_row(Text(label, style="cyan"), _bar(bar, cells))
    if line.more:
        table.add_row("", Text(bars_left_out(line.more), style="dim"))
    axis = Text(" " * (cells + 1))
    marks = [(line.safe, "S", "bold yellow"), (line.replacement, "R", "bold magenta")]
    drawn = list(axis.plain)
    for cell, letter, _ in marks:
        if cell is not None:
            drawn[cell] = letter
    axis = Text("".join(drawn).rstrip())
    for cell, _, style in marks:
        if cell is not None:
            axis.stylize(style, cell, cell + 1)
    table.add_row("", axis)
    said = "   ".join([f"{day(line.start)} to {day(line.horizon)}", *legend(line)])
    table.add_row("", Text(said, style="dim"))
    return table


def _bar(bar: Bar, width: int) -> Text:
    colour = _COLOURS[bar.state]
    end = "▶" if bar.beyond else "✗" if bar.state == "expired" else "┃"
    when = f" {day(bar.watched.not_after)}" if bar.watched.not_after and bar.cells <= width else ""
    return Text.assemble(("━" * bar.cells, colour), (end, colour), (when, "dim"))


def _finding(found: Finding) -> Text:
    place = f"{printable(found.where)}: " if found.where else ""
    text = Text.assemble(
        (found.severity.value, _SEVERITIES[found.severity.value]),
        "  ",
        place,
        printable(found.message),
        (f"  {rule_label(found)}", "dim"),
    )
    if found.hint and found.severity.rank:
        text.append(f"\n   → {printable(found.hint)}", style="dim")
    return text
