"""Make the files in docs/ that show what the program does, so that they stay true.

timeline.svg: the report of a build in a terminal, for a PKI whose dates are fixed here.
rules.md: the catalogue of rules.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from mdmprofile.catalogue import RULES
from mdmprofile.plan import Thresholds, Watched, judge_dates, make_plan
from mdmprofile.reports.model import View
from mdmprofile.reports.text import draw

DOCS = Path(__file__).parent
NOW = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)

# Role, name, where, days until its end, and whether only a new profile changes it.
SHOWN = (
    ("root", "Example Root CA", "pki/root.pem", 3650, True),
    ("intermediate", "Example Issuing CA", "pki/intermediate.pem", 205, True),
    ("leaf", "mdm.example.com", "pki/server.pem", 61, False),
    ("identity", "from SCEP, valid for 365 days", "identity.validity", 365, True),
    ("signer", "Example Profile Signer", "pki/signer.pem", 400, True),
    ("push", "APSP:example", "push.pem", 312, False),
)


def timeline_svg() -> str:
    """The terminal report as SVG."""
    watched = [Watched(role, name, where, baked, NOW + days * DAY) for role, name, where, days, baked in SHOWN]
    thresholds = Thresholds(replace_on=datetime(2027, 6, 1, tzinfo=UTC))
    view = View(
        now=NOW,
        watched=watched,
        plan=make_plan(watched, thresholds),
        findings=judge_dates(watched, thresholds, now=NOW, building=True),
    )
    console = Console(record=True, file=io.StringIO(), width=110, force_terminal=True, highlight=False)
    draw(view, console)
    return console.export_svg(title="mdmprofile check enroll.toml", unique_id="mdmprofile")


def rules_markdown() -> str:
    """The catalogue as a table."""
    lines = [
        "# Rules",
        "",
        "Every rule that `mdmprofile` judges by. Made from the catalogue by `make docs`; the same list is printed by",
        "`mdmprofile rules`. The severity is the usual one: `build` and `trust` give warnings for what is renewed",
        "elsewhere, and an error for a planned replacement that has passed.",
        "",
        "| rule | severity | about | what to do | source |",
        "|---|---|---|---|---|",
    ]
    for rule, entry in RULES.items():
        source = f"<{entry.source}>" if entry.source.startswith("https://") else entry.source
        lines.append(f"| `{rule}` | {entry.severity} | {entry.about} | {entry.hint} | {source} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both files."""
    (DOCS / "timeline.svg").write_text(timeline_svg(), encoding="utf-8")
    (DOCS / "rules.md").write_text(rules_markdown(), encoding="utf-8")
    print("wrote docs/timeline.svg and docs/rules.md")


if __name__ == "__main__":
    main()
