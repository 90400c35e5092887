"""What the dates mean: baked in or renewed elsewhere, thresholds to the second, and the latest safe date."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import assume, given
from hypothesis import strategies as st

from conftest import Command, Outcome
from mdmprofile.findings import Finding, Severity
from mdmprofile.moments import day, parse_moment, stamp
from mdmprofile.plan import Thresholds, Watched, days_left, judge_dates, make_plan, watch
from pki import DAY, NOW, TOPIC, Entity, Site, issue, name, push_certificate, root_ca, server_leaf

SECOND = timedelta(seconds=1)
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
REPLACE_ON = datetime(2031, 9, 1, tzinfo=UTC)  # the site's
MARGIN = timedelta(days=30)
BAKED_IN = ("root", "intermediate", "pinned", "identity", "signer")
ELSEWHERE = ("leaf", "push")
FILES = {
    "root": "root.pem",
    "intermediate": "intermediate.pem",
    "leaf": "server.pem",
    "signer": "signer.pem",
    "push": "push.pem",
    "pinned": "pinned.pem",
    "identity": "device.p12",
}
PKCS12 = """\
[identity]
type = "pkcs12"
file = "device.p12"
password = "correct-horse"
single_device = true

"""

moments = st.datetimes(datetime(2031, 3, 2), datetime(2130, 1, 1)).map(  # noqa: DTZ001 - made aware on the next line
    lambda moment: moment.replace(tzinfo=UTC, microsecond=0)
)
durations = st.integers(0, 3650 * 86_400).map(lambda seconds: timedelta(seconds=seconds))
roles = st.sampled_from((*BAKED_IN, *ELSEWHERE))


def ending(role: str, end: datetime | None, number: int = 1) -> Watched:
    """Something of this role that ends then."""
    return Watched(role, f"Thing {number}", f"{number}.pem", baked_in=role in BAKED_IN, not_after=end)


def rules(findings: Iterable[Finding]) -> list[str]:
    """The rule ids alone."""
    return [each.rule for each in findings]


def expiries(outcome: Outcome) -> list[dict[str, str]]:
    """The findings of a report that are about dates, without the information that an end is unknown."""
    about = ("expiry.", "plan.")
    return [each for each in outcome.json["findings"] if each["rule"].startswith(about) and each["severity"] != "info"]


def identity_table(text: str, table: str) -> str:
    """The config with another identity."""
    return re.sub(r"\[identity\].*?(?=\[signing\])", lambda _: table, text, flags=re.DOTALL)


def with_end(site: Site, role: str, end: datetime) -> None:
    """Give what has this role another end, its name, key and extensions kept, so that all else stays right."""
    start = min(NOW, end) - 400 * DAY
    if role == "identity":
        device = issue("Device", site.intermediate, start=start, end=end)
        (site.folder / FILES[role]).write_bytes(device.p12("correct-horse"))
        site.edit(lambda text: identity_table(text, PKCS12))
        return
    if role == "pinned":
        pinned = server_leaf(site.intermediate)
        entity, issuer = pinned, site.intermediate
        site.edit(lambda text: text.replace("[trust]", 'url_pinning_certificates = ["pinned.pem"]\n\n[trust]'))
    else:
        pairs: dict[str, tuple[Entity, Entity | None]] = {
            "root": (site.root, None),
            "intermediate": (site.intermediate, site.root),
            "leaf": (site.server, site.intermediate),
            "signer": (site.signer, site.intermediate),
            "push": (site.push, site.intermediate),
        }
        entity, issuer = pairs[role][0], pairs[role][1] or site.root
        issuer = entity if role == "root" else issuer
    again = issue(
        entity.subject,
        issuer,
        key=entity.key,
        ca=role in {"root", "intermediate"},
        start=start,
        end=end,
        extensions=[
            each.value for each in entity.certificate.extensions if not isinstance(each.value, x509.BasicConstraints)
        ],
    )
    (site.folder / FILES[role]).write_bytes(again.pem)


class TestEnds:
    """Expired, critical and soon: each from exactly one second on."""

    @pytest.mark.parametrize(
        ("after", "rule", "code"),
        [(-SECOND, "expiry.critical", 2), (0 * SECOND, "expiry.critical", 2), (SECOND, "expiry.expired", 2)],
        ids=["second before", "last second", "second after"],
    )
    def test_certificate_is_expired_only_after_its_last_second(
        self, tmp_path: Path, mdmprofile: Command, after: timedelta, rule: str, code: int
    ) -> None:
        """RFC 5280: notAfter is still inside the validity period."""
        root = root_ca(days=10)
        file = tmp_path / "root.pem"
        file.write_bytes(root.pem)
        outcome = mdmprofile("check", file, "--format", "json", at=stamp(root.ours.not_after + after))
        assert outcome.rules == [rule]
        assert outcome.code == code

    @pytest.mark.parametrize(
        ("left", "flags", "expected"),
        [
            (timedelta(days=30) + SECOND, (), []),
            (timedelta(days=30), (), ["expiry.soon"]),
            (timedelta(days=7) + SECOND, (), ["expiry.soon"]),
            (timedelta(days=7), (), ["expiry.critical"]),
            (timedelta(hours=12) + SECOND, ("--warn", "12h", "--critical", "1h"), []),
            (timedelta(hours=12), ("--warn", "12h", "--critical", "1h"), ["expiry.soon"]),
            (timedelta(hours=1), ("--warn", "12h", "--critical", "1h"), ["expiry.critical"]),
            (timedelta(hours=2), ("--warn", "1h", "--critical", "3h"), ["expiry.critical"]),
        ],
        ids=[
            "default warn, outside",
            "default warn, on it",
            "default critical, outside",
            "default critical, on it",
            "own warn, outside",
            "own warn, on it",
            "own critical, on it",
            "critical beyond warn",
        ],
    )
    @pytest.mark.parametrize("baked_in", [True, False], ids=["root", "push certificate"])
    def test_warn_and_critical_begin_on_their_second(
        self,
        tmp_path: Path,
        mdmprofile: Command,
        baked_in: bool,
        left: timedelta,
        flags: tuple[str, ...],
        expected: list[str],
    ) -> None:
        """Within --warn is a warning and within --critical an error, for everything alike; defaults 30d and 7d."""
        root = root_ca(days=400)
        entity = root if baked_in else push_certificate(root, days=400)
        file = tmp_path / "any.pem"
        file.write_bytes(entity.pem)
        outcome = mdmprofile("check", file, "--format", "json", *flags, at=stamp(entity.ours.not_after - left))
        assert outcome.rules == expected
        assert outcome.code == {"expiry.soon": 1, "expiry.critical": 2}.get("".join(expected), 0)

    @given(end=moments, now=moments, warn=durations, critical=durations, role=roles)
    def test_one_end_gets_at_most_one_finding_that_grows_worse_with_time(
        self, end: datetime, now: datetime, warn: timedelta, critical: timedelta, role: str
    ) -> None:
        """Expired beats critical beats soon, whatever the thresholds, and later never looks better."""

        def worst(moment: datetime) -> int:
            found = judge_dates([ending(role, end)], Thresholds(warn=warn, critical=critical), now=moment)
            assert len(found) <= 1
            order = ["expiry.soon", "expiry.critical", "expiry.expired"]
            return order.index(found[0].rule) + 1 if found else 0

        assert (worst(now) == 3) is (now > end)
        assert (worst(now) >= 2) is (now > end or end - now <= critical)
        assert (worst(now) >= 1) is (now > end or end - now <= max(critical, warn))
        assert worst(now) <= worst(now + timedelta(days=20))

    @pytest.mark.parametrize(
        ("before", "expected"), [(SECOND, ["expiry.not-yet-valid"]), (0 * SECOND, [])], ids=["before", "on it"]
    )
    def test_certificate_is_valid_from_its_first_second(self, before: timedelta, expected: list[str]) -> None:
        """A certificate from tomorrow is worth a warning, which is gone in the second it becomes valid."""
        thing = watch(root_ca().ours, "root", "root.pem")
        assert thing.not_before is not None
        found = judge_dates([thing], Thresholds(), now=thing.not_before - before)
        assert rules(found) == expected
        assert [each.severity for each in found] == [Severity.WARNING] * len(expected)

    def test_finding_says_what_ends_when_what_stops_and_what_to_do(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A person who reads one line at night must know all four."""
        root = root_ca("Company Root", days=20)
        file = tmp_path / "root.pem"
        file.write_bytes(root.pem)
        (found,) = mdmprofile("check", file, "--format", "json").json["findings"]
        assert found["rule"] == "expiry.soon"
        assert found["where"] == str(file)
        assert "root Company Root ends on 2031-03-21, in 20 days" in found["message"]
        assert "lost to MDM" in found["message"]
        assert found["hint"]

    def test_same_thing_named_twice_is_judged_once(self) -> None:
        """Two mentions of one certificate are not two findings."""
        thing = ending("root", NOW - DAY)
        assert rules(judge_dates([thing, thing], Thresholds(), now=NOW)) == ["expiry.expired"]

    @given(end=moments, now=moments)
    def test_days_left_are_whole_days_rounded_down(self, end: datetime, now: datetime) -> None:
        """Half a day left is 0 days, half a day over is -1."""
        left = days_left(ending("root", end), now)
        assert left is not None
        assert timedelta(days=left) <= end - now < timedelta(days=left + 1)
        assert days_left(ending("identity", None), now) is None


class TestReplacement:
    """What is baked in is held against the planned replacement plus its margin; nothing else is."""

    @pytest.mark.parametrize(
        ("left", "expected"),
        [(0 * SECOND, []), (-SECOND, ["expiry.before-replacement"])],
        ids=["on replace_on + margin", "second before it"],
    )
    @pytest.mark.parametrize("margin", [None, "10d"], ids=["default margin", "own margin"])
    def test_baked_in_must_last_until_the_replacement_plus_margin(
        self, tmp_path: Path, mdmprofile: Command, margin: str | None, left: timedelta, expected: list[str]
    ) -> None:
        """The very second of replace_on + margin is enough, one less is not; the margin is 30 days unless given."""
        needed = REPLACE_ON + (timedelta(days=10) if margin else MARGIN)
        file = tmp_path / "root.pem"
        file.write_bytes(issue("Root", ca=True, end=needed + left).pem)
        flags = ("--margin", margin) if margin else ()
        outcome = mdmprofile("check", file, "--format", "json", "--replace-on", day(REPLACE_ON), *flags)
        assert outcome.rules == expected
        assert outcome.code == len(expected)

    @pytest.mark.parametrize("role", BAKED_IN)
    @pytest.mark.parametrize("command", ["build", "check"])
    def test_everything_baked_in_is_held_against_the_replacement(
        self, site: Site, mdmprofile: Command, role: str, command: str
    ) -> None:
        """One second short gives the warning, names the thing and the latest safe date, and sets the plan."""
        with_end(site, role, REPLACE_ON + MARGIN - SECOND)
        outcome = judged(site, mdmprofile, command)
        (found,) = expiries(outcome)
        assert (found["rule"], found["severity"]) == ("expiry.before-replacement", "warning")
        assert found["message"].startswith(f"{role} ")
        assert "ends on 2031-09-30, before the replacement on 2031-09-01 plus 30 days" in found["message"]
        assert "2031-08-31, the latest safe date" in found["hint"]
        assert outcome.json["plan"]["latest_safe_date"] == "2031-08-31"
        assert outcome.json["plan"]["limited_by"].startswith(f"{role} ")
        assert outcome.code == {"build": 0, "check": 1}[command]

    @pytest.mark.parametrize("role", ELSEWHERE)
    @pytest.mark.parametrize("command", ["build", "check"])
    def test_renewed_elsewhere_is_never_held_against_the_replacement(
        self, site: Site, mdmprofile: Command, role: str, command: str
    ) -> None:
        """The profile survives a new server or push certificate, so neither warns nor sets the latest safe date."""
        before = judged(site, mdmprofile, command).json["plan"]["latest_safe_date"]
        with_end(site, role, NOW + 31 * DAY)
        outcome = judged(site, mdmprofile, command)
        assert expiries(outcome) == []
        assert outcome.code == 0
        assert outcome.json["plan"]["latest_safe_date"] == before
        rows = {each["role"]: each["not_after"] for each in outcome.json.get("certificates", [])}
        assert rows[role] == stamp(NOW + 31 * DAY)

    def test_without_a_planned_replacement_only_warn_and_critical_judge(self, site: Site, mdmprofile: Command) -> None:
        """The latest safe date is still named."""
        site.edit(lambda text: text.replace("replace_on = 2031-09-01\n", ""))
        with_end(site, "root", NOW + 31 * DAY)
        outcome = mdmprofile("check", site.config, "--format", "json")
        assert expiries(outcome) == []
        assert outcome.json["plan"]["replace_on"] is None
        assert outcome.json["plan"]["latest_safe_date"] == "2031-03-02"

    def test_dates_of_the_config_are_used_and_flags_win(self, site: Site, mdmprofile: Command) -> None:
        """Margin, warn and critical come from the config; each flag replaces its own alone."""
        dates = 'replace_margin = "100d"\nwarn = "200d"\ncritical = "1d"\n'
        site.edit(lambda text: text.replace("replace_on", f"{dates}replace_on"))
        with_end(site, "root", NOW + 190 * DAY)
        assert [each["rule"] for each in expiries(mdmprofile("check", site.config, "--format", "json"))] == [
            "expiry.soon",
            "expiry.before-replacement",
        ]
        for flags, expected in (
            (("--margin", "0d"), ["expiry.soon"]),
            (("--margin", "0d", "--warn", "189d"), []),
            (("--margin", "0d", "--critical", "190d"), ["expiry.critical"]),
            (("--replace-on", "2031-04-01", "--warn", "0d"), []),
        ):
            outcome = mdmprofile("check", site.config, "--format", "json", *flags)
            assert [each["rule"] for each in expiries(outcome)] == expected

    def test_critical_and_before_replacement_are_both_said(self) -> None:
        """They ask for two different things: renew now, and plan the replacement earlier."""
        thresholds = Thresholds(replace_on=NOW + 100 * DAY)
        found = judge_dates([ending("root", NOW + 5 * DAY)], thresholds, now=NOW)
        assert rules(found) == ["expiry.critical", "expiry.before-replacement"]

    def test_hint_for_an_issued_identity_is_a_longer_validity(self, site: Site, mdmprofile: Command) -> None:
        """There is no certificate to renew yet, but an issuer to talk to."""
        site.edit(lambda text: text.replace('"365d"', '"40d"'))
        (found,) = expiries(mdmprofile("check", site.config, "--format", "json"))
        assert found["rule"] == "expiry.before-replacement"
        assert "have the issuer grant a longer validity" in found["hint"]


class TestPassedReplacement:
    """A planned replacement that has passed."""

    @pytest.mark.parametrize(
        ("on", "after", "expected"),
        [
            (day(REPLACE_ON), DAY - SECOND, []),
            (day(REPLACE_ON), DAY, ["plan.replacement-past"]),
            (f"{day(REPLACE_ON)}T09:00:00Z", timedelta(hours=9), []),
            (f"{day(REPLACE_ON)}T09:00:00Z", timedelta(hours=9, seconds=1), ["plan.replacement-past"]),
        ],
        ids=["on its day", "day after", "on the minute", "second after"],
    )
    def test_planned_replacement_has_passed_when_its_day_or_its_minute_has(
        self, tmp_path: Path, mdmprofile: Command, on: str, after: timedelta, expected: list[str]
    ) -> None:
        """The day that was planned is the day on which the profile is built."""
        file = tmp_path / "root.pem"
        file.write_bytes(root_ca().pem)
        flags = ("--format", "json", "--replace-on", on)
        outcome = mdmprofile("check", file, *flags, at=stamp(REPLACE_ON + after))
        assert outcome.rules == expected
        assert outcome.code == len(expected)

    def test_build_refuses_a_replacement_in_the_past(self, site: Site, mdmprofile: Command) -> None:
        """A profile built today cannot have been due yesterday: a mistake in the config, and nothing is written."""
        outcome = mdmprofile(
            "build", "-c", site.config, "-o", site.folder / "out", "--format", "json", "--replace-on", "2031-02-28"
        )
        assert [(each["rule"], each["severity"]) for each in expiries(outcome)] == [("plan.replacement-past", "error")]
        assert outcome.code == 2
        assert not (site.folder / "out").exists()


class TestIdentityOfAnIssuer:
    """SCEP and ACME identities do not exist yet: they end when the issuer's validity does."""

    ACME = """\
[identity]
type = "acme"
directory_url = "https://mdm.example.com/acme"
client_identifier = "device-1"
{validity}

"""

    @pytest.mark.parametrize("kind", ["scep", "acme"])
    @pytest.mark.parametrize("command", ["build", "check"])
    def test_stated_validity_counts_from_the_day_of_the_build(
        self, site: Site, mdmprofile: Command, kind: str, command: str
    ) -> None:
        """--at plus validity: on replace_on + margin to the second is enough, a second earlier is not."""
        if kind == "acme":
            site.edit(lambda text: identity_table(text, self.ACME.format(validity='validity = "365d"')))
        enough = REPLACE_ON + MARGIN - timedelta(days=365)
        for at, expected in ((enough, []), (enough - SECOND, ["expiry.before-replacement"])):
            outcome = judged(site, mdmprofile, command, at=stamp(at))
            found = [each for each in expiries(outcome) if each["rule"] != "expiry.not-yet-valid"]
            assert [each["rule"] for each in found] == expected
            assert outcome.json["plan"]["latest_safe_date"] == day(at + timedelta(days=365) - MARGIN)
            assert "identity from " + kind.upper() in outcome.json["plan"]["limited_by"]

    @pytest.mark.parametrize("kind", ["scep", "acme"])
    @pytest.mark.parametrize("command", ["build", "check"])
    def test_unstated_validity_is_information_and_limits_nothing(
        self, site: Site, mdmprofile: Command, kind: str, command: str
    ) -> None:
        """Nobody knows when the identity ends, which is no reason to fail."""
        site.edit(lambda text: text.replace('validity = "365d"\n', ""))
        if kind == "acme":
            site.edit(lambda text: identity_table(text, self.ACME.format(validity="")))
        outcome = judged(site, mdmprofile, command)
        (found,) = [each for each in outcome.json["findings"] if each["rule"] == "expiry.identity-unknown"]
        assert found["severity"] == "info"
        assert kind.upper() in found["message"]
        assert "validity" in found["hint"]
        assert outcome.code == 0
        assert outcome.json["plan"]["limited_by"] == "signer Profile Signer"

    def test_pkcs12_identity_ends_with_its_certificate(self, site: Site, mdmprofile: Command) -> None:
        """It is in the profile, so its certificate is known and sets the plan."""
        with_end(site, "identity", NOW + 300 * DAY)
        report = mdmprofile("check", site.config, "--format", "json").json
        assert report["plan"]["limited_by"] == "identity Device"
        assert report["plan"]["latest_safe_date"] == day(NOW + 270 * DAY)
        assert [each["not_after"] for each in report["certificates"] if each["role"] == "identity"] == [
            stamp(NOW + 300 * DAY)
        ]


class TestBuildAndCheck:
    """The same end, judged by who asks."""

    @pytest.mark.parametrize("role", BAKED_IN)
    def test_build_writes_nothing_when_something_baked_in_has_expired(
        self, site: Site, mdmprofile: Command, role: str
    ) -> None:
        """Such a profile would be dead on arrival; an older output stays as it was."""
        out = site.folder / "out"
        out.mkdir()
        (out / "enroll.mobileconfig").write_bytes(b"the old one")
        with_end(site, role, NOW - SECOND)
        outcome = judged(site, mdmprofile, "build")
        assert {(each["rule"], each["severity"]) for each in expiries(outcome)} == {("expiry.expired", "error")}
        assert outcome.code == 2
        assert outcome.json["artifacts"] == []
        assert [(each.name, each.read_bytes()) for each in out.iterdir()] == [("enroll.mobileconfig", b"the old one")]

    @pytest.mark.parametrize("role", ELSEWHERE)
    @pytest.mark.parametrize(
        ("left", "rule"), [(-SECOND, "expiry.expired"), (DAY, "expiry.critical")], ids=["expired", "critical"]
    )
    def test_build_warns_of_what_is_renewed_elsewhere_and_writes(
        self, site: Site, mdmprofile: Command, role: str, left: timedelta, rule: str
    ) -> None:
        """The profile outlives the server's and the push certificate, so building goes on."""
        with_end(site, role, NOW + left)
        outcome = judged(site, mdmprofile, "build")
        (found,) = expiries(outcome)
        assert (found["rule"], found["severity"]) == (rule, "warning")
        assert "the profile stays as it is" in found["message"]
        assert outcome.code == 0
        assert (site.folder / "out" / "enroll.mobileconfig").stat().st_size > 0

    @pytest.mark.parametrize("role", [*BAKED_IN, *ELSEWHERE])
    @pytest.mark.parametrize(
        ("left", "rule"), [(-SECOND, "expiry.expired"), (DAY, "expiry.critical")], ids=["expired", "critical"]
    )
    def test_check_calls_every_expired_or_critical_end_an_error(
        self, site: Site, mdmprofile: Command, role: str, left: timedelta, rule: str
    ) -> None:
        """For check it is the running service that is broken, whoever renews what."""
        with_end(site, role, NOW + left)
        outcome = mdmprofile("check", site.config, "--format", "json")
        severe = [each for each in expiries(outcome) if each["severity"] == "error"]
        assert [each["rule"] for each in severe] == [rule]
        assert severe[0]["message"].startswith(f"{role} ")
        assert outcome.code == 2

    def test_trust_judges_only_what_the_trust_profile_depends_on(self, site: Site, mdmprofile: Command) -> None:
        """Neither the device's identity nor the push certificate stands in the way; an expired root does."""
        site.edit(lambda text: text.replace('validity = "365d"\n', ""))
        with_end(site, "push", NOW - SECOND)
        command = ("trust", "-c", site.config, "-o", site.folder / "out", "--format", "json")
        outcome = mdmprofile(*command)
        assert outcome.code == 0
        assert [each for each in outcome.rules if each.startswith("expiry.")] == []
        with_end(site, "root", NOW - SECOND)
        outcome = mdmprofile(*command)
        assert "expiry.expired" in outcome.rules
        assert outcome.code == 2


class TestPlan:
    """The latest safe date, what sets it, and the steps."""

    @given(
        things=st.lists(st.tuples(roles, moments), min_size=1, max_size=6),
        margin=durations,
        planned=st.none() | moments,
    )
    def test_replacing_on_the_latest_safe_date_is_in_time_and_a_second_later_is_not(
        self, things: list[tuple[str, datetime]], margin: timedelta, planned: datetime | None
    ) -> None:
        """The earliest end of anything baked in, minus the margin; the printed day is in time too."""
        watched = [ending(role, end, number) for number, (role, end) in enumerate(things)]
        baked_in = [end for role, end in things if role in BAKED_IN]
        assume(baked_in)
        plan = make_plan(watched, Thresholds(replace_on=planned, margin=margin))
        assert plan.latest_safe_date == min(baked_in) - margin
        assert plan.limited_by is not None
        assert plan.limited_by.baked_in
        assert plan.limited_by.not_after == min(baked_in)

        def held(replace_on: datetime) -> list[str]:
            found = judge_dates(watched, Thresholds(replace_on=replace_on, margin=margin), now=NOW)
            return [each.where for each in found if each.rule == "expiry.before-replacement"]

        assert held(plan.latest_safe_date) == []
        assert held(parse_moment(day(plan.latest_safe_date))) == []
        assert plan.limited_by.where in held(plan.latest_safe_date + SECOND)

    @given(ends=st.lists(moments, max_size=4))
    def test_without_a_known_end_of_anything_baked_in_there_is_no_latest_safe_date(self, ends: list[datetime]) -> None:
        """Server and push certificates and unknown identities say nothing about the profile."""
        watched = [ending("identity", None), *(ending("leaf", end, number) for number, end in enumerate(ends, 2))]
        plan = make_plan(watched, Thresholds())
        assert (plan.latest_safe_date, plan.limited_by) == (None, None)
        assert plan.as_dict()["limited_by"] is None

    def test_json_plan_names_the_date_the_limit_and_the_steps_in_order(self, site: Site, mdmprofile: Command) -> None:
        """The keys and values that scripts read."""
        plan = mdmprofile("check", site.config, "--format", "json").json["plan"]
        assert plan["replace_on"] == "2031-09-01T00:00:00Z"
        assert plan["latest_safe_date"] == "2032-01-30"
        assert plan["limited_by"] == "identity from SCEP, valid for 365 days"
        assert [(each["date"], each["action"]) for each in plan["steps"]] == [
            ("2031-09-01", "replace the profile as planned"),
            ("2032-01-30", "replace the profile at the latest"),
            ("2032-01-30", "renew the push certificate with the same Apple Account, so that its topic stays"),
            ("2032-03-02", "renew the server's certificate mdm.example.com"),
        ]
        assert all(set(each) == {"date", "action", "why"} for each in plan["steps"])
        assert "the device can no longer prove who it is" in plan["steps"][1]["why"]

    @given(things=st.lists(st.tuples(roles, st.none() | moments), max_size=6), planned=st.none() | moments)
    def test_steps_are_in_order_of_their_dates(
        self, things: list[tuple[str, datetime | None]], planned: datetime | None
    ) -> None:
        """A list that is worked through from the top; one step for the profile, the plan and each renewal."""
        watched = [ending(role, end, number) for number, (role, end) in enumerate(things)]
        plan = make_plan(watched, Thresholds(replace_on=planned))
        dates = [each.date for each in plan.steps]
        assert dates == sorted(dates)
        renewals = sum(role in ELSEWHERE and end is not None for role, end in things)
        assert len(dates) == renewals + (plan.latest_safe_date is not None) + (planned is not None)


class TestRoles:
    """Which end of the rule a certificate is on is told by its role."""

    @pytest.mark.parametrize("role", [*BAKED_IN, *ELSEWHERE])
    def test_only_the_server_leaf_and_the_push_certificate_are_renewed_elsewhere(self, role: str) -> None:
        """All else changes only with a new profile."""
        thing = watch(root_ca().ours, role, "a.pem")
        assert thing.baked_in is (role in BAKED_IN)

    @pytest.mark.parametrize(
        ("uid", "role"),
        [(TOPIC, "push"), ("com.example.user", "leaf"), (None, "leaf")],
        ids=["MDM topic", "other UID", "no UID"],
    )
    def test_leaf_with_an_mdm_topic_is_a_push_certificate(
        self, tmp_path: Path, mdmprofile: Command, uid: str | None, role: str
    ) -> None:
        """Only the topic in the subject's UID makes the difference, not the file's name."""
        subject = name("Something", uid=uid) if uid else name("Something")
        file = tmp_path / "server.pem"
        file.write_bytes(issue(subject, root_ca()).pem)
        report = mdmprofile("check", file, "--format", "json").json
        assert [each["role"] for each in report["certificates"]] == [role]


class TestCalendarEnds:
    """Certificates and people may name the last day there is."""

    @pytest.mark.parametrize(
        ("replace_on", "expected"), [("9999-12-01", []), ("9999-12-02", ["expiry.before-replacement"])]
    )
    def test_certificate_without_an_end_is_judged_like_any_other(
        self, tmp_path: Path, mdmprofile: Command, replace_on: str, expected: list[str]
    ) -> None:
        """RFC 5280 writes "no well-defined end" as 9999-12-31T23:59:59Z; the margin still counts from there."""
        file = tmp_path / "root.pem"
        file.write_bytes(issue("Root", ca=True, end=FOREVER).pem)
        outcome = mdmprofile("check", file, "--format", "json", "--replace-on", replace_on)
        assert outcome.rules == expected
        assert outcome.json["plan"]["latest_safe_date"] == "9999-12-01"
        assert outcome.json["certificates"][0]["not_after"] == "9999-12-31T23:59:59Z"

    @pytest.mark.parametrize(
        ("at", "flags", "rule", "code"),
        [
            ("0001-01-01", (), "expiry.not-yet-valid", 1),
            ("9999-12-31T23:59:59", (), "expiry.critical", 2),
            ("9999-12-31T23:59:59.999999", (), "expiry.expired", 2),
            (stamp(NOW), ("--replace-on", "0001-01-01"), "plan.replacement-past", 1),
            (stamp(NOW), ("--replace-on", "9999-12-31"), "expiry.before-replacement", 1),
            (stamp(NOW), ("--replace-on", "9999-12-31", "--margin", "36500d"), "expiry.before-replacement", 1),
            ("0001-01-01", ("--warn", "100y", "--critical", "100y"), "expiry.not-yet-valid", 1),
        ],
        ids=["first day", "last second", "last microsecond", "past", "last day", "beyond", "long thresholds"],
    )
    @pytest.mark.parametrize("shape", [("--format", "json"), (), ("--color", "always")], ids=["json", "plain", "rich"])
    def test_dates_at_the_ends_of_the_calendar_are_judged(
        self,
        tmp_path: Path,
        mdmprofile: Command,
        at: str,
        flags: tuple[str, ...],
        rule: str,
        code: int,
        shape: tuple[str, ...],
    ) -> None:
        """No sum of dates overflows, in the judgement or in the drawing of it."""
        file = tmp_path / "root.pem"
        file.write_bytes(issue("Root", ca=True, end=FOREVER).pem)
        outcome = mdmprofile("check", file, *flags, *shape, at=at)
        assert rule in outcome.out, outcome.err
        assert outcome.code == code
        assert outcome.err == ""

    def test_identity_issued_at_the_end_of_the_calendar_ends_there(self, site: Site, mdmprofile: Command) -> None:
        """Validity from the last day on stops at the last day."""
        outcome = mdmprofile("check", site.config, at="9999-12-31")
        (row,) = [each for each in outcome.out.splitlines() if each.startswith("identity ") and "|" not in each]
        assert row.split()[-4:] == ["9999-12-31", "0", f"{site.config}:", "identity.validity"]

    @given(
        end=st.datetimes(timezones=st.just(UTC)),
        now=st.datetimes(timezones=st.just(UTC)),
        replace_on=st.none() | st.datetimes(timezones=st.just(UTC)),
        role=roles,
        margin=durations,
    )
    def test_any_dates_at_all_are_judged(
        self, end: datetime, now: datetime, replace_on: datetime | None, role: str, margin: timedelta
    ) -> None:
        """Over the whole calendar: expired exactly after the end, and a plan exactly for what is baked in."""
        thing = ending(role, end)
        thresholds = Thresholds(replace_on=replace_on, margin=margin)
        found = rules(judge_dates([thing], thresholds, now=now))
        assert ("expiry.expired" in found) is (now > end)
        assert ("plan.replacement-past" in found) is (replace_on is not None and replace_on < now)
        plan = make_plan([thing], thresholds)
        assert (plan.limited_by == thing) is (role in BAKED_IN)
        assert {"steps", "latest_safe_date", "limited_by"} <= plan.as_dict().keys()


def judged(site: Site, mdmprofile: Command, command: str, **options: Any) -> Outcome:
    """The JSON report of ``build`` or ``check`` on the site's config."""
    if command == "build":
        return mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json", **options)
    return mdmprofile("check", site.config, "--format", "json", **options)
