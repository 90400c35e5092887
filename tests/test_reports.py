"""Reports: the geometry of the time line, plain text line by line, and the drawing for a terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from conftest import Command
from mdmprofile.errors import ConfigError, InputError, Problems
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.plan import Plan, Thresholds, Watched, make_plan, watch
from mdmprofile.reports import json as json_report
from mdmprofile.reports import plain, text
from mdmprofile.reports.model import View
from mdmprofile.reports.timeline import Timeline, lay_out
from pki import DAY, NOW, Site, issue, name, root_ca

BAKED_IN = ("root", "intermediate", "pinned", "identity", "signer")
roles = st.sampled_from((*BAKED_IN, "leaf", "push"))
moments = st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - timezones= makes them aware


def ending(role: str, end: datetime | None, label: str = "Thing") -> Watched:
    """Something of this role that ends then."""
    return Watched(role, label, f"{label}.pem", baked_in=role in BAKED_IN, not_after=end)


def planned(*watched: Watched, replace_on: datetime | None = None, margin: timedelta = 30 * DAY) -> Plan:
    """The plan for these things."""
    return make_plan(watched, Thresholds(replace_on=replace_on, margin=margin))


def laid_out(*watched: Watched, replace_on: datetime | None = None, width: int = 60) -> Timeline:
    """The time line of these things as of ``NOW``."""
    return lay_out(watched, planned(*watched, replace_on=replace_on), now=NOW, width=width)


def view(*watched: Watched, replace_on: datetime | None = None, findings: tuple[Finding, ...] = ()) -> View:
    """What check would show of these things as of ``NOW``."""
    return View(now=NOW, watched=watched, plan=planned(*watched, replace_on=replace_on), findings=findings)


class TestTimeline:
    """Where every bar and mark stands, before anything is drawn."""

    @given(
        things=st.lists(st.tuples(roles, moments), max_size=6),
        now=moments,
        replace_on=st.none() | moments,
        margin=st.integers(0, 36_500).map(lambda days: timedelta(days=days)),
        width=st.integers(1, 200),
    )
    def test_every_bar_and_mark_is_inside_the_width(
        self,
        things: list[tuple[str, datetime]],
        now: datetime,
        replace_on: datetime | None,
        margin: timedelta,
        width: int,
    ) -> None:
        """Whatever the dates: longer for later, empty for what is over, an arrow exactly beyond the horizon."""
        watched = [ending(role, end, str(number)) for number, (role, end) in enumerate(things)]
        plan = planned(*watched, replace_on=replace_on, margin=margin)
        line = lay_out(watched, plan, now=now, width=width)
        assert [each.watched for each in line.bars] == watched
        for bar in line.bars:
            assert bar.watched.not_after is not None
            assert 0 <= bar.cells <= width
            assert bar.beyond is (bar.watched.not_after > line.horizon)
            assert (bar.state == "expired") is (bar.watched.not_after < now)
            assert bar.state != "expired" or bar.cells == 0
        in_order = sorted(line.bars, key=lambda bar: bar.watched.not_after or now)
        assert [each.cells for each in in_order] == sorted(each.cells for each in in_order)
        assert all(mark is None or 0 <= mark <= width for mark in (line.safe, line.replacement))
        assert (line.safe is None) is (plan.latest_safe_date is None)
        assert (line.replacement is None) is (replace_on is None)

    @given(days=st.integers(1, 20_000), more=st.integers(0, 20_000), replace_in=st.integers(1, 20_000))
    def test_what_sets_the_plan_is_always_in_view(self, days: int, more: int, replace_in: int) -> None:
        """The first end of anything baked in and the replacement lie left of the horizon, where they can be seen."""
        first, later = ending("root", NOW + days * DAY, "a"), ending("root", NOW + (days + more) * DAY, "b")
        line = laid_out(later, first, replace_on=NOW + replace_in * DAY)
        assert line.horizon > NOW + (replace_in + 30) * DAY
        assert not line.bars[1].beyond
        assert line.replacement is not None
        assert line.replacement < 60

    @pytest.mark.parametrize(("after", "beyond"), [(0, False), (1, True)], ids=["on the horizon", "second later"])
    def test_arrow_begins_one_second_beyond_the_horizon(self, after: int, beyond: bool) -> None:
        """The horizon is a quarter behind the last date that matters: here 125 days for a root of 100."""
        late = ending("leaf", NOW + 125 * DAY + timedelta(seconds=after), "late")
        line = laid_out(ending("root", NOW + 100 * DAY), late)
        assert line.horizon == NOW + 125 * DAY
        assert (line.bars[1].beyond, line.bars[1].cells) == (beyond, 60)

    def test_horizon_is_at_least_a_quarter_of_a_year_away(self) -> None:
        """With nothing to place, or everything over, there is still an axis: 90 days and a quarter more."""
        for line in (laid_out(), laid_out(ending("root", NOW - DAY))):
            assert line.horizon - line.start == 112.5 * DAY
        assert laid_out() == Timeline(NOW, NOW + 112.5 * DAY, (), None, None)

    @pytest.mark.parametrize(
        ("role", "days", "state"),
        [
            ("root", 80, "good"),
            ("root", 79, "early"),
            ("leaf", 79, "good"),
            ("push", 1, "good"),
            ("root", 0, "early"),
            ("root", -1, "expired"),
            ("leaf", -1, "expired"),
        ],
    )
    def test_state_says_expired_or_too_early_for_the_replacement(self, role: str, days: int, state: str) -> None:
        """With a replacement in 50 days and a margin of 30; what is renewed elsewhere is never too early."""
        line = laid_out(ending(role, NOW + days * DAY), replace_on=NOW + 50 * DAY)
        assert [each.state for each in line.bars] == [state]

    def test_same_certificate_of_two_targets_is_one_row(self) -> None:
        """The time line is about when; what has no known end has no row at all."""
        root = root_ca().ours
        one, two = watch(root, "root", "a.pem"), watch(root, "root", "b.pem")
        signer = watch(root, "signer", "b.pem")
        line = laid_out(one, two, signer, ending("identity", None))
        assert [each.watched for each in line.bars] == [one, signer]


class TestPlain:
    """One fact a line, for pipes and logs."""

    def test_whole_report_line_by_line(self) -> None:
        """Table, time line with its marks and legend, findings, and the plan in one sentence."""
        things = (
            ending("root", NOW + 100 * DAY, "Root"),
            ending("leaf", NOW - DAY, "mdm.example.com"),
            ending("push", NOW + 300 * DAY, "Push"),
            ending("identity", None, "from SCEP"),
        )
        found = (
            finding("expiry.expired", "it is over", where="leaf.pem", hint="renew it"),
            finding("expiry.identity-unknown", "nobody knows"),
        )
        assert plain.render(view(*things, replace_on=NOW + 50 * DAY, findings=found)).splitlines() == [
            "ROLE      NAME             ENDS        DAYS  WHERE",
            "root      Root             2031-06-09  100   Root.pem",
            "leaf      mdm.example.com  2031-02-28  -1    mdm.example.com.pem",
            "push      Push             2031-12-26  300   Push.pem",
            "identity  from SCEP        unknown     -     from SCEP.pem",
            "",
            f"root Root            |{'=' * 48}|",
            "leaf mdm.example.com |X",
            f"push Push            |{'=' * 60}>",
            f"                     |{' ' * 24}R{' ' * 9}S",
            "                      2031-03-01 to 2031-07-04; S latest safe date, R planned replacement",
            "",
            "error: leaf.pem: it is over (renew it) [expiry.expired]",
            "info: nobody knows [expiry.identity-unknown]",
            "",
            "Latest safe replacement date: 2031-05-10, because root Root ends on 2031-06-09; planned for 2031-04-20.",
        ]

    def test_end_so_near_that_its_bar_is_empty_is_not_drawn_as_over(self) -> None:
        """Beside a root of 10 years, 20 days are less than a cell, but the certificate is still valid."""
        root, leaf = ending("root", NOW + 3650 * DAY, "Root"), ending("leaf", NOW + 20 * DAY, "Leaf")
        over = ending("leaf", NOW - DAY, "Over")
        lines = plain.render(view(root, leaf, over)).splitlines()
        assert [line for line in lines if line.endswith("X")] == ["leaf Over |X"]

    @pytest.mark.parametrize(
        ("things", "says"),
        [
            ((ending("identity", None, "from SCEP"),), "not known, because nothing with a known end is baked in."),
            ((ending("leaf", NOW + DAY),), "not known, because nothing with a known end is baked in."),
            ((ending("root", NOW + 100 * DAY, "R"),), "2031-05-10, because root R ends on 2031-06-09."),
        ],
        ids=["unknown", "leaf alone", "root"],
    )
    def test_plan_is_one_sentence(self, things: tuple[Watched, ...], says: str) -> None:
        """The last line names the date, or says why there is none."""
        last = plain.render(view(*things)).splitlines()[-1]
        assert last == f"Latest safe replacement date: {says}"

    def test_nothing_found_is_no_text(self) -> None:
        """Not even an empty line: cron would mail it."""
        assert plain.render(View(now=NOW)) == ""
        assert text.render(View(now=NOW), width=80, colour=True) == ""

    def test_payloads_and_files_are_listed(self) -> None:
        """What build made: the profile's name, its payloads in order, and the files."""
        made = View(now=NOW, title="Example", payloads=[("a.root", "Root"), ("a.mdm", "MDM")], files=["wrote it"])
        assert plain.render(made).splitlines() == [
            "Example",
            f"  1. {'a.root':<28} Root",
            f"  2. {'a.mdm':<28} MDM",
            "",
            "wrote it",
        ]

    def test_long_name_is_cut_in_the_time_line_and_whole_in_the_table(self) -> None:
        """The bars need their room."""
        label = "x" * 64
        lines = plain.render(view(ending("root", NOW + 400 * DAY, label))).splitlines()
        assert label in lines[1]
        assert lines[3].startswith(f"root {'x' * 26}... |=")

    @pytest.mark.parametrize("hint", ["do this", ""])
    @pytest.mark.parametrize("severity", list(Severity))
    def test_finding_is_one_line_whose_hint_belongs_to_trouble(self, severity: Severity, hint: str) -> None:
        """A log keeps it whole, and information asks for nothing."""
        shown = plain.finding_line(Finding("a.rule", severity, "it\nis so", "a\x1b.pem", hint))
        advice = " (do this)" if hint and severity is not Severity.INFO else ""
        assert shown == f"{severity.value}: a\\x1b.pem: it\\nis so{advice} [a.rule]"


class TestRich:
    """A table, a time line and findings for a person at a terminal."""

    THINGS = (
        ending("root", NOW + 3650 * DAY, "Root"),
        ending("signer", NOW + 70 * DAY, "Signer"),
        ending("leaf", NOW - DAY, "Leaf"),
        ending("identity", None, "from SCEP"),
    )
    FOUND = (
        finding("expiry.expired", "it is over", where="leaf.pem", hint="renew it"),
        finding("expiry.soon", "it is near", where="leaf.pem"),
        finding("expiry.identity-unknown", "nobody knows", hint="say it"),
    )

    def drawn(self, width: int = 100, *, colour: bool = False) -> str:
        """The view of them all."""
        return text.render(
            view(*self.THINGS, replace_on=NOW + 50 * DAY, findings=self.FOUND), width=width, colour=colour
        )

    def test_drawing_shows_what_ends_when(self) -> None:
        """A bar with its date for each known end, marks below, findings with rule and hint, the plan at the end."""
        lines = [line.rstrip() for line in self.drawn().splitlines()]
        rows = [line.split() for line in lines[1:5]]
        assert rows == [
            ["root", "Root", "2041-02-26", "3650", "Root.pem"],
            ["signer", "Signer", "2031-05-10", "70", "Signer.pem"],
            ["leaf", "Leaf", "2031-02-28", "-1", "Leaf.pem"],
            ["identity", "from", "SCEP", "unknown", "-", "from", "SCEP.pem"],
        ]
        bars = [line.split("━")[-1] for line in lines if "━" in line]
        assert bars == ["▶ 2041-02-26", "┃ 2031-05-10"]
        assert any(line.startswith("leaf Leaf") and "✗ 2031-02-28" in line for line in lines)
        assert sum("S" in line and "R" in line and set(line) <= set(" SR") for line in lines) == 1
        assert "error  leaf.pem: it is over  expiry.expired" in lines
        assert "   → renew it" in lines
        assert "say it" not in "".join(lines)
        assert "Latest safe replacement date: 2031-04-10, because signer Signer ends on 2031-05-10;" in lines[-2]

    def test_colours_tell_expired_early_and_good_apart(self) -> None:
        """Red, yellow and green, from the standard sixteen that every terminal has."""
        drawn = self.drawn(colour=True)
        assert "\x1b[32m━" in drawn
        assert "\x1b[33m━" in drawn
        assert "\x1b[31m✗" in drawn
        assert "\x1b[1;31merror" in drawn
        assert "\x1b" not in self.drawn(colour=False)

    @pytest.mark.parametrize("width", [1, 60, 80, 133, 250])
    def test_no_line_is_wider_than_the_terminal(self, width: int) -> None:
        """At least 60 columns are taken; the drawing grows no further than it can be read."""
        assert max(map(cell_len, self.drawn(width).splitlines())) <= max(width, 60)

    @pytest.mark.parametrize("width", [60, 80, 120])
    @pytest.mark.parametrize("label", ["x" * 64, "証明書" * 21], ids=["long", "wide"])
    def test_long_names_do_not_break_the_bars(self, label: str, width: int) -> None:
        """Every bar stays on one line with its date, whatever stands before it."""
        drawn = text.render(view(ending("root", NOW + 90 * DAY, label)), width=width, colour=False)
        bars = [line for line in drawn.splitlines() if "━" in line]
        assert len(bars) == 1
        assert bars[0].rstrip().endswith("┃ 2031-05-30")
        assert bars[0].startswith("root ")
        assert cell_len(bars[0]) <= width

    def test_end_so_near_that_its_bar_is_empty_is_not_drawn_as_over(self) -> None:
        """The cross is for what is over."""
        root, leaf = ending("root", NOW + 3650 * DAY, "Root"), ending("leaf", NOW + 20 * DAY, "Leaf")
        drawn = text.render(view(root, leaf, ending("leaf", NOW - DAY, "Over")), width=100, colour=False)
        assert [line.split()[1] for line in drawn.splitlines() if "✗" in line] == ["Over"]

    def test_payloads_are_a_tree_and_markup_is_text(self) -> None:
        """A display name in brackets is a name."""
        made = View(now=NOW, title="[bold]Example[/bold]", payloads=[("a.root", "[link=x]Root")], files=["[red]wrote"])
        assert text.render(made, width=80, colour=False).splitlines() == [
            "[bold]Example[/bold]",
            "└── a.root  [link=x]Root",
            "[red]wrote",
        ]

    def test_markup_in_a_name_is_text_wherever_the_name_stands(self) -> None:
        """In the table, before its bar, and in the plan."""
        thing = ending("root", NOW + 90 * DAY, "[red]x[/red]")
        drawn = text.render(view(thing), width=133, colour=False)
        assert drawn.count("root [red]x[/red]") == 2
        assert drawn.splitlines()[1].split()[:2] == ["root", "[red]x[/red]"]

    def test_build_draws_its_result_for_a_terminal(self, site: Site, mdmprofile: Command) -> None:
        """The tree of the profile, the time line, and the files that were written."""
        outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--color", "always")
        assert outcome.code == 0
        assert "└── \x1b[36mcom.apple.mdm" in outcome.out
        assert "━" in outcome.out
        assert "wrote" in outcome.out

    def test_report_goes_to_standard_error_when_the_result_is_on_standard_output(
        self, site: Site, mdmprofile: Command
    ) -> None:
        """A profile in a pipe is a profile alone."""
        site.edit(lambda config: config.partition("[signing]")[0])
        outcome = mdmprofile("build", "-c", site.config, "-o", "-")
        assert outcome.code == 0
        assert outcome.out.startswith("<?xml")
        assert outcome.out.endswith("</plist>\n")
        assert "Latest safe replacement date" in outcome.err

    def test_result_and_json_report_cannot_share_standard_output(self, site: Site, mdmprofile: Command) -> None:
        """A script would get two things in one; it is told so before anything is written."""
        outcome = mdmprofile("build", "-c", site.config, "-o", "-", "--format", "json")
        assert outcome.code == 3
        assert "<plist" not in outcome.out
        assert "both want standard output" in outcome.err


class TestJson:
    """The view as one object."""

    def test_findings_are_always_there_and_the_rest_where_the_command_has_it(self) -> None:
        """A script may rely on findings; extra keys are the command's own."""
        assert json.loads(json_report.render(View(now=NOW))) == {"findings": []}
        report = json.loads(json_report.render(View(now=NOW, plan=planned(), extra={"signed": True})))
        assert set(report) == {"findings", "plan", "certificates", "identities", "signed"}

    def test_only_certificates_are_listed_as_certificates(self) -> None:
        """An identity that a device will fetch has no subject and no fingerprint yet."""
        root = root_ca()
        report = json.loads(json_report.render(view(watch(root.ours, "root", "a.pem"), ending("identity", NOW))))
        assert [each["sha256"] for each in report["certificates"]] == [root.sha256]

    def test_errors_of_a_group_are_listed_one_by_one(self) -> None:
        """Each with its place and advice."""
        group = Problems([ConfigError("is missing", where="server.url", hint="set it"), InputError("no such file")])
        report = json.loads(json_report.render(View(now=NOW, errors=[group, InputError("is empty", where="a.pem")])))
        assert report["errors"] == [
            {"message": "is missing", "where": "server.url", "hint": "set it"},
            {"message": "no such file", "where": "", "hint": ""},
            {"message": "is empty", "where": "a.pem", "hint": ""},
        ]

    def test_text_stays_as_people_wrote_it(self, tmp_path: Path, mdmprofile: Command) -> None:
        """UTF-8, not escapes, and a name that no encoding knows is still valid JSON."""
        file = tmp_path / "caf\udce9.pem"
        file.write_bytes(issue(name("Größe 証明書"), ca=True).pem)
        outcome = mdmprofile("check", file, "--format", "json")
        assert "Größe 証明書" in outcome.out
        assert outcome.json["certificates"][0]["where"] == str(file)
