"""The dated steps of a change of the CA, against dates counted by hand, with real certificates."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from mdmprofile.moments import day
from mdmprofile.plan import Thresholds, Watched, watch
from mdmprofile.schedule import make_schedule
from mdmprofile.succession import find_succession
from pki import CONFIG, DAY, NOW, Entity, Site, ec_key, intermediate_ca, issue, make_site, root_ca, server_leaf

JSON = ("--format", "json")
LONG_AGO = NOW - 2000 * DAY
EVERY_DEVICE = "every device must have the overlap profile"
WITHOUT_IT = "send the next profile without Old Root, built with --replaces"


def old_root(days: float) -> Entity:
    """A root that was issued years ago and has so many days left."""
    return issue("Old Root", ca=True, key=ec_key(), start=LONG_AGO, end=NOW + days * DAY)


def new_root(common_name: str = "New Root", **more: Any) -> Entity:
    """A root of ten years from now on."""
    return root_ca(common_name, key=ec_key(), **more)


def house(folder: Path, *authorities: Entity, server: Entity, planned: str = "", **more: str) -> Site:
    """A site whose profile carries these CAs, whose server shows that certificate, and where nothing else ends soon."""
    config = CONFIG.replace("replace_on = 2031-09-01\n", f"replace_on = {planned}\n" if planned else "")
    names = [f"ca{number}.pem" for number, _ in enumerate(authorities)]
    config = config.replace('["root.pem", "intermediate.pem"]', str(names).replace("'", '"'))
    for key, value in more.items():
        config = config.replace(key, value)
    site = make_site(folder, config=config.replace('validity = "365d"', 'validity = "3650d"'))
    for name, each in zip(names, authorities, strict=True):
        (folder / name).write_bytes(each.pem)
    (folder / "server.pem").write_bytes(server.pem)
    return site


def steps(mdmprofile: Command, target: Path, *flags: str) -> list[tuple[str, str]]:
    """Dates and actions of a plan, without the renewals of what ends elsewhere and of identities."""
    outcome = mdmprofile("plan", target, *JSON, *flags)
    found = [(each["date"], each["action"]) for each in outcome.json["plan"]["steps"]]
    return [each for each in found if not each[1].startswith(("renew the", "send the profile again"))]


def whys(mdmprofile: Command, target: Path, *flags: str) -> dict[str, str]:
    """The reasons of a plan's steps by the first word of the action and the one after."""
    outcome = mdmprofile("plan", target, *JSON, *flags)
    found = [each for each in outcome.json["plan"]["steps"] if not each["action"].startswith("send the profile again")]
    return {" ".join(each["action"].split()[:2]): each["why"] for each in found}


def watched(*authorities: Entity, server: Entity | None = None) -> list[Watched]:
    """What a profile with these CAs has, and a config with that server certificate."""
    found = [watch(each.ours, "root" if each.ours.self_signed else "intermediate", "profile") for each in authorities]
    return [*found, *([watch(server.ours, "leaf", "server.pem")] if server else [])]


class TestBothRoots:
    """The config names the old and the next root, and the server's certificate tells which is which."""

    # The old root has 200 days left: it ends on 2031-09-17.
    @pytest.fixture
    def old(self) -> Entity:
        """The root in use."""
        return old_root(200)

    def rollover(self, folder: Path, old: Entity, **more: str) -> Site:
        """A config in the middle of the change: both roots, and the server still below the old one."""
        return house(folder, old, new_root(), server=server_leaf(old), **more)

    def test_without_a_planned_date_the_latest_safe_date_starts_the_change(
        self, tmp_path: Path, mdmprofile: Command, old: Entity
    ) -> None:
        """The end on 2031-09-17 minus 30 days is 2031-08-18; the server moves the day before the end."""
        site = self.rollover(tmp_path, old)
        assert steps(mdmprofile, site.config) == [
            ("2031-08-18", "send the overlap profile, which has New Root beside Old Root"),
            ("2031-09-16", f"end the wait for the fleet: {EVERY_DEVICE}, 29 days after it was sent"),
            ("2031-09-16", "move the server to a certificate of New Root, and name it in trust.server_certificate"),
            ("2031-09-17", f"retire Old Root: {WITHOUT_IT} the overlap profile"),
        ]
        assert "1 day after the wait" in whys(mdmprofile, site.config)["move the"]

    def test_planned_date_starts_the_change_and_the_old_root_stays_until_devices_were_seen(
        self, tmp_path: Path, mdmprofile: Command, old: Entity
    ) -> None:
        """2031-05-01 plus 30 days is 2031-05-31, and plus 30 again 2031-06-30; what is planned is the overlap."""
        site = self.rollover(tmp_path, old, planned="2031-05-01")
        assert [(date, action.split(":")[0].split(",")[0]) for date, action in steps(mdmprofile, site.config)] == [
            ("2031-05-01", "send the overlap profile"),
            ("2031-05-31", "end the wait for the fleet"),
            ("2031-05-31", "move the server to a certificate of New Root"),
            ("2031-06-30", "retire Old Root"),
            ("2031-08-18", "replace the profile at the latest"),
        ]
        why = whys(mdmprofile, site.config)
        assert why["send the"].startswith("the planned date; 2031-08-18 is the latest safe one")
        assert "at the latest before Old Root ends on 2031-09-17, 109 days after the wait" in why["move the"]

    @pytest.mark.parametrize(
        ("margin", "sent", "moved", "retired"),
        [("60d", "2031-07-19", "2031-09-16", "2031-09-17"), ("0d", "2031-09-17", "2031-09-17", "2031-09-17")],
    )
    def test_margin_is_the_time_that_the_fleet_gets(
        self, tmp_path: Path, mdmprofile: Command, old: Entity, margin: str, sent: str, moved: str, retired: str
    ) -> None:
        """2031-09-17 minus 60 days is 2031-07-19."""
        site = self.rollover(tmp_path, old)
        dates = {action.split()[0]: date for date, action in steps(mdmprofile, site.config, "--margin", margin)}
        assert (dates["send"], dates["move"], dates["retire"]) == (sent, moved, retired)

    def test_planned_date_that_is_too_late_gives_way_to_the_latest_safe_one(
        self, tmp_path: Path, mdmprofile: Command, old: Entity
    ) -> None:
        """Whoever follows the steps loses nobody, and reads why the date is another."""
        site = self.rollover(tmp_path, old, planned="2031-09-10")
        found = steps(mdmprofile, site.config)
        assert ("2031-08-18", "send the overlap profile, which has New Root beside Old Root") in found
        assert not any(date == "2031-09-10" for date, _ in found)
        assert "since the planned 2031-09-10 is too late" in whys(mdmprofile, site.config)["send the"]

    def test_passed_date_becomes_now_and_devices_that_need_longer_are_named(
        self, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """20 days are left: 2031-03-21 is the end, 2031-02-19 was the date, and 2031-03-31 would be needed."""
        old = old_root(20)
        site = self.rollover(tmp_path, old)
        assert [(date, action.split()[0]) for date, action in steps(mdmprofile, site.config)] == [
            ("2031-03-01", "send"),
            ("2031-03-20", "end"),
            ("2031-03-20", "move"),
            ("2031-03-21", "retire"),
        ]
        why = whys(mdmprofile, site.config)
        assert why["send the"].startswith("now: the latest safe date, 2031-02-19, has passed")
        assert "19 days after it was sent" in mdmprofile("plan", site.config).out
        outcome = mdmprofile("plan", site.config, *JSON)
        assert outcome.code == 2
        (late,) = [each for each in outcome.json["findings"] if each["rule"] == "plan.too-late"]
        assert late["where"] == str(site.folder / "ca0.pem")
        assert late["message"].endswith("but the fleet has the new profile on 2031-03-31")
        for step in ("send the", "move the"):
            assert "Old Root ends on 2031-03-21, but the fleet has the new profile on 2031-03-31" in why[step]

    def test_root_that_has_ended_leaves_devices_that_must_enroll_again(
        self, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """Everything is due now, and the exit code is that of an expired certificate."""
        old = old_root(-3)
        site = self.rollover(tmp_path, old)
        assert mdmprofile("plan", site.config).code == 2
        assert {date for date, action in steps(mdmprofile, site.config) if "latest" not in action} == {"2031-03-01"}
        assert (
            "Old Root ended on 2031-02-26, and devices that trust nothing else must enroll again"
            in (whys(mdmprofile, site.config)["move the"])
        )

    def test_next_root_that_is_not_valid_yet_holds_the_move_back(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Its notBefore on 2031-06-19 is later than the end of the wait on 2031-05-01."""
        old = old_root(200)
        later = issue("New Root", ca=True, key=ec_key(), start=NOW + 110 * DAY, end=NOW + 4000 * DAY)
        site = house(tmp_path, old, later, server=server_leaf(old), planned="2031-04-01")
        dates = {action.split()[0]: date for date, action in steps(mdmprofile, site.config)}
        assert (dates["send"], dates["move"]) == ("2031-04-01", "2031-06-19")

    def test_next_root_of_the_same_name_is_told_from_the_old_one_by_its_key(
        self, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """Many CAs keep their name; what the server's certificate leads to is the old one."""
        old = old_root(200)
        site = house(tmp_path, new_root("Old Root"), old, server=server_leaf(old))
        assert any(action.startswith("send the overlap") for _, action in steps(mdmprofile, site.config))

    def test_intermediate_that_ends_first_is_the_end_of_the_old_chain(
        self, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """The server's chain ends with its first certificate: the intermediate's 100 days are 2031-06-09."""
        old = old_root(900)
        between = intermediate_ca(old, "Old Intermediate", days=100)
        site = house(tmp_path, old, between, new_root(), server=server_leaf(between))
        found = dict((action.split()[0], date) for date, action in steps(mdmprofile, site.config))  # noqa: C402
        assert (found["send"], found["move"]) == ("2031-05-10", "2031-06-08")
        assert "before Old Intermediate ends on 2031-06-09" in whys(mdmprofile, site.config)["move the"]

    def test_pinned_certificate_is_not_forgotten(self, tmp_path: Path, mdmprofile: Command, old: Entity) -> None:
        """A device that pins the old certificate alone refuses the next one, whatever root it comes from."""
        site = self.rollover(tmp_path, old)
        site.edit(lambda text: text.replace("[trust]", 'url_pinning_certificates = ["server.pem"]\n\n[trust]'))
        assert "pin the next one beside it" in whys(mdmprofile, site.config)["send the"]

    def test_old_chain_that_ended_cannot_be_changed_without_a_loss(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Three days ago: exit code 2 for that alone."""
        site = self.rollover(tmp_path, old_root(-3))
        found = mdmprofile("plan", site.config, *JSON)
        (message,) = [each["message"] for each in found.json["findings"] if each["rule"] == "plan.too-late"]
        assert "Old Root ended on 2031-02-26, and devices that trust nothing else must enroll again" in message

    @pytest.mark.parametrize(("days", "late"), [(30, False), (29, True)])
    def test_end_on_the_day_when_the_fleet_is_ready_is_in_time(
        self, tmp_path: Path, mdmprofile: Command, days: int, late: bool
    ) -> None:
        """The margin is 30 days: 2031-03-31 is reached, 2031-03-30 is not."""
        outcome = mdmprofile("plan", self.rollover(tmp_path, old_root(days)).config, *JSON)
        assert ("plan.too-late" in outcome.rules) is late
        assert outcome.code == (2 if late else 0)

    @pytest.mark.parametrize(
        ("days", "renewal", "deadline"),
        [
            (150, [], "mdm.example.com ends on 2031-07-29, 59 days after the wait"),
            (397, [], "Old Root ends on 2031-09-17, 109 days after the wait"),
            (121, [], "mdm.example.com ends on 2031-06-30, 30 days after the wait"),
            (120, ["2031-05-30"], "mdm.example.com ends on 2031-06-29, 29 days after the wait"),
            (80, ["2031-04-20"], "Old Root ends on 2031-09-17, 109 days after the wait"),
        ],
    )
    def test_move_replaces_the_certificate_of_the_server_and_comes_before_its_end(
        self, tmp_path: Path, mdmprofile: Command, old: Entity, days: int, renewal: list[str], deadline: str
    ) -> None:
        """The move is on 2031-05-31; what is to be renewed before it is, and nothing under the old CA after it."""
        site = house(tmp_path, old, new_root(), server=server_leaf(old, days=days), planned="2031-05-01")
        found = mdmprofile("plan", site.config, *JSON).json["plan"]["steps"]
        assert [each["date"] for each in found if each["action"].startswith("renew the server")] == renewal
        assert f"at the latest before {deadline}" in whys(mdmprofile, site.config)["move the"]

    def test_moved_server_renews_its_certificate_under_the_new_ca(self, tmp_path: Path, mdmprofile: Command) -> None:
        """There is no move to come that would replace it."""
        old, new = old_root(200), new_root()
        site = house(tmp_path, old, new, server=server_leaf(new, days=300))
        found = mdmprofile("plan", site.config, *JSON).json["plan"]["steps"]
        assert [each["date"] for each in found if each["action"].startswith("renew the server")] == ["2031-11-26"]

    def test_intermediate_that_the_server_sends_is_part_of_the_old_chain(
        self, tmp_path: Path, mdmprofile: Command, old: Entity
    ) -> None:
        """It is in no profile, and devices cannot connect when it has ended: 130 days are 2031-07-09."""
        between = intermediate_ca(old, "Old Intermediate", days=130)
        site = house(tmp_path, old, new_root(), server=server_leaf(between), planned="2031-05-01")
        (site.folder / "server.pem").write_bytes(server_leaf(between).pem + between.pem)
        assert "before Old Intermediate ends on 2031-07-09" in whys(mdmprofile, site.config)["move the"]

    def test_one_sending_is_one_step_with_every_reason(self, tmp_path: Path, mdmprofile: Command, old: Entity) -> None:
        """The identity's 200 days end with the root on 2031-09-17, so all of 2031-08-18 is one profile."""
        site = self.rollover(tmp_path, old)
        site.edit(lambda text: text.replace('validity = "3650d"', 'validity = "200d"'))
        found = mdmprofile("plan", site.config, *JSON).json["plan"]["steps"]
        (step,) = [each for each in found if each["date"] == "2031-08-18"]
        assert step["action"].startswith("send the overlap profile")
        for why in (
            "the latest safe date; ",
            "; root Old Root ends on 2031-09-17; then ",
            "; identity from SCEP, valid",
        ):
            assert why in step["why"]

    @pytest.mark.parametrize("moved", [False, True], ids=["before the move", "after it"])
    def test_signer_that_leads_to_the_old_root_alone_is_changed_with_it(
        self, tmp_path: Path, mdmprofile: Command, old: Entity, moved: bool
    ) -> None:
        """New installs would show the profile as not verified; a signer of the new CA or of another is left alone."""
        new = new_root()
        between = intermediate_ca(old, "Old Intermediate")
        site = house(tmp_path, old, new, server=server_leaf(new if moved else old))
        said = "so sign with a certificate of New Root from then on, and name it in signing.certificate"
        for issuer, chain, expected in ((old, b"", True), (between, between.pem, True), (new, b"", False)):
            signer = issue("Signer", issuer, end=NOW + 900 * DAY)
            (site.folder / "signer.pem").write_bytes(signer.pem + chain)
            why = whys(mdmprofile, site.config)["retire Old"]
            assert (f"the signer Signer leads to Old Root alone, {said}" in why) is expected

    def test_moved_server_leaves_the_old_root_to_be_retired(self, tmp_path: Path, mdmprofile: Command) -> None:
        """After the move the old root is on no path, and must not be taken for the next CA."""
        old, new = old_root(200), new_root()
        site = house(tmp_path, old, new, server=server_leaf(new), planned="2031-07-01")
        assert steps(mdmprofile, site.config) == [
            ("2031-07-01", f"retire Old Root: {WITHOUT_IT} the one that devices have"),
            ("2031-08-18", "replace the profile at the latest"),
        ]

    def test_longer_lived_old_root_is_still_the_old_one(self) -> None:
        """Twenty years of a root issued long ago outlast ten of its successor; what was issued first tells."""
        old, new = old_root(7000), new_root()
        before = find_succession(watched(old, new, server=server_leaf(old)))
        after = find_succession(watched(old, new, server=server_leaf(new)))
        assert before is not None
        assert after is not None
        assert (before.following, before.former) == ((new.ours,), ())
        assert (after.following, after.former) == ((), (old.ours,))


class TestNoChangeOfTrust:
    """What ends is replaced by a profile alone."""

    def test_root_renewed_with_its_key_needs_a_new_profile_and_no_overlap(
        self, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """Devices trust the server through either."""
        old = old_root(200)
        again = issue("Old Root", ca=True, key=old.key, end=NOW + 3650 * DAY)
        site = house(tmp_path, old, again, server=server_leaf(old))
        assert steps(mdmprofile, site.config) == [
            ("2031-08-18", "send a profile with the renewed Old Root, which lasts until 2041-02-26"),
        ]

    @pytest.mark.parametrize("direction", ["new signed by old", "old signed by new"])
    def test_cross_signed_root_is_a_next_one_only_where_the_server_is_known_to_need_the_old(
        self, direction: str
    ) -> None:
        """Where the server's own path ends at the old root, the new one is what comes after it."""
        old, new = old_root(200), new_root()
        subject, issuer = (new, old) if direction == "new signed by old" else (old, new)
        cross = issue(subject.subject, issuer, key=subject.key, ca=True, end=NOW + 900 * DAY)
        for server in (server_leaf(old), None):
            found = find_succession(watched(old, new, cross, server=server))
            assert found is not None
            needs_the_old = server is not None and direction == "new signed by old"
            assert (found.following, found.former) == (((new.ours,) if needs_the_old else ()), ())

    def test_certificates_beside_a_device_identity_are_no_next_ca(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A PKCS#12 brings the CA that issued it, which has nothing to do with the server."""
        old, issuer = old_root(200), new_root("Device CA")
        device = issue("Device", issuer, end=NOW + 3000 * DAY)
        site = house(tmp_path, old, server=server_leaf(old))
        (tmp_path / "device.p12").write_bytes(device.p12("correct-horse", [issuer]))
        table = '[identity]\ntype = "pkcs12"\nfile = "device.p12"\npassword = "correct-horse"\nsingle_device = true\n'
        site.edit(lambda text: text.split("[identity]")[0] + table)
        found = steps(mdmprofile, site.config)
        assert ("2031-07-19", "get the next CA: a root that follows Old Root") in found
        assert not any("Device CA" in action for _, action in found)

    def test_list_of_public_roots_is_no_change_of_the_ca(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A bare file of certificates is nobody's profile, so there is nothing to overlap."""
        file = tmp_path / "roots.pem"
        file.write_bytes(old_root(200).pem + new_root().pem)
        assert steps(mdmprofile, file) == [("2031-08-18", "replace the profile at the latest")]

    def test_more_cas_than_a_server_needs_have_no_turns(self) -> None:
        """Hundreds of roots in a profile are neither compared with each other nor a reason to fail."""
        found = watched(*(issue(f"Root {number}", ca=True, key=ec_key()) for number in range(301)))
        assert find_succession(found) is None
        assert make_schedule(found, Thresholds(), now=NOW).limited_by is not None

    def test_public_trust_has_no_ca_to_change(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Nothing of the server's chain is in the profile."""
        old = old_root(200)
        site = house(tmp_path, old, server=server_leaf(old))
        site.edit(lambda text: text.replace('certificates = ["ca0.pem"]', "public = true"))
        assert [action for _, action in steps(mdmprofile, site.config)] == ["replace the profile at the latest"]


class TestNoNextCa:
    """What limits the date is a CA, and nothing is there to follow it."""

    def test_root_without_a_successor_is_counted_back_from_its_end(self, tmp_path: Path, mdmprofile: Command) -> None:
        """2031-09-17 is the end; 30 days before it the overlap is sent, and 30 days before that the CA is there."""
        old = old_root(200)
        site = house(tmp_path, old, server=server_leaf(old))
        assert [(date, action.split(",")[0].split(":")[0]) for date, action in steps(mdmprofile, site.config)] == [
            ("2031-07-19", "get the next CA"),
            ("2031-08-18", "send the overlap profile"),
            ("2031-09-16", "end the wait for the fleet"),
            ("2031-09-16", "move the server to a certificate of the next CA"),
            ("2031-09-17", "retire Old Root"),
        ]
        assert "renewed with the same key, a new profile is enough" in whys(mdmprofile, site.config)["get the"]

    def test_intermediate_without_a_successor_is_named_as_one(self, tmp_path: Path, mdmprofile: Command) -> None:
        """The root stays; it is the intermediate that must be issued anew."""
        root = old_root(3000)
        between = intermediate_ca(root, "Old Intermediate", days=100)
        site = house(tmp_path, root, between, server=server_leaf(between))
        found = steps(mdmprofile, site.config)
        assert found[0] == ("2031-04-10", "get the next CA: an intermediate that follows Old Intermediate")
        assert found[-1][1].startswith("retire Old Intermediate")

    def test_next_intermediate_of_the_same_root_is_found(self, tmp_path: Path, mdmprofile: Command) -> None:
        """It is on no path of the server's certificate, lasts longer, and has the same issuer."""
        root = old_root(3000)
        between = intermediate_ca(root, "Old Intermediate", days=100)
        following = intermediate_ca(root, "Next Intermediate")
        site = house(tmp_path, root, between, following, server=server_leaf(between))
        found = steps(mdmprofile, site.config)
        assert ("2031-05-10", "send the overlap profile, which has Next Intermediate beside Old Intermediate") in found
        assert not any(action.startswith("get") for _, action in found)

    def test_passed_date_for_getting_the_next_ca_is_now(self, tmp_path: Path, mdmprofile: Command) -> None:
        """50 days are left: the overlap is due on 2031-03-21, and the CA should have been there on 2031-02-19."""
        old = old_root(50)
        site = house(tmp_path, old, server=server_leaf(old))
        assert ("2031-03-01", "get the next CA: a root that follows Old Root") in steps(mdmprofile, site.config)
        assert "now: 2031-02-19, 30 days before it, has passed" in whys(mdmprofile, site.config)["get the"]

    def test_ca_that_does_not_limit_the_date_needs_no_step_yet(self, mdmprofile: Command, site: Site) -> None:
        """The identity ends years before the CAs do; sending the profile for it is the latest replacement."""
        assert [action for _, action in steps(mdmprofile, site.config)] == ["replace the profile as planned"]


class TestProfile:
    """A profile does not say which root the server uses."""

    def test_root_that_was_issued_first_is_taken_for_the_old_one_and_the_doubt_is_said(
        self, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """What is known is said with what is not, and what tells."""
        old = old_root(200)
        site = house(tmp_path / "site", old, new_root(), server=server_leaf(old))
        assert mdmprofile("build", "-c", site.config, "-o", tmp_path / "out").code == 0
        profile = tmp_path / "out" / "enroll.mobileconfig"
        why = whys(mdmprofile, profile)["make sure"]
        assert "which CA the server uses is not known, so Old Root, which was issued first, is taken to be it" in why
        assert "not known" not in whys(mdmprofile, site.config)["send the"]

    def test_overlap_that_was_sent_is_waited_for_from_its_signature_on(self) -> None:
        """Signed on 2031-02-15: 30 days later is 2031-03-17, when the server moves; the old root goes on 2031-04-16."""
        found = watched(old_root(200), new_root())
        plan = make_schedule(found, Thresholds(), now=NOW, sent=NOW - 14 * DAY)
        assert [(day(each.date), each.action.split(":")[0].split(",")[0]) for each in plan.steps] == [
            ("2031-03-17", "make sure every device has this profile"),
            ("2031-03-17", "move the server to a certificate of New Root"),
            ("2031-04-16", "retire Old Root"),
            ("2031-08-18", "replace the profile at the latest"),
        ]
        assert "30 days from 2031-02-15 on" in plan.steps[0].why
        assert plan.findings == ()

    @pytest.mark.parametrize(("left", "late"), [(16, False), (15, True), (-3, True)])
    def test_overlap_that_was_sent_too_late_is_said(self, left: int, late: bool) -> None:
        """The fleet has it on 2031-03-17, 16 days from now."""
        found = watched(old_root(left), new_root())
        plan = make_schedule(found, Thresholds(), now=NOW, sent=NOW - 14 * DAY)
        assert [each.rule for each in plan.findings] == (["plan.too-late"] if late else [])

    def test_overlap_that_the_fleet_has_leaves_an_overdue_move(self) -> None:
        """Every device had it on 2031-01-30; the old root ended on 2031-02-26, and the server shows it still."""
        new = issue("New Root", ca=True, key=ec_key(), start=NOW - 90 * DAY, end=NOW + 3650 * DAY)
        plan = make_schedule(watched(old_root(-3), new), Thresholds(), now=NOW, sent=NOW - 60 * DAY)
        steps = [(day(each.date), each.was and day(each.was), each.action.split()[0]) for each in plan.steps]
        assert steps == [
            ("2031-03-01", "2031-01-27", "replace"),
            ("2031-03-01", "2031-01-30", "make"),
            ("2031-03-01", "2031-02-26", "move"),
            ("2031-03-01", None, "retire"),
        ]
        assert plan.findings == ()

    def test_profile_without_a_signature_is_waited_for_from_today_on(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Nothing tells when it was sent: 30 days from 2031-03-01 is 2031-03-31."""
        old = old_root(200)
        site = house(tmp_path / "site", old, new_root(), server=server_leaf(old))
        assert mdmprofile("build", "-c", site.config, "-o", tmp_path / "out").code == 0
        signed, plain = tmp_path / "out" / "enroll.mobileconfig", tmp_path / "plain.mobileconfig"
        assert mdmprofile("unsign", signed, "-o", plain).code == 0
        assert steps(mdmprofile, plain)[0] == ("2031-03-31", "make sure every device has this profile")
        # The program signs at the real time, years before the tests' today.
        assert steps(mdmprofile, signed)[0] == ("2031-03-01", "make sure every device has this profile")

    @pytest.mark.parametrize("apart", [timedelta(), timedelta(hours=-1)], ids=["same second", "an hour later"])
    def test_roots_made_in_one_session_are_told_apart_by_their_ends(self, apart: timedelta) -> None:
        """Whichever a script made first, the one that ends first is the one to replace."""
        start: datetime = NOW - 2 * DAY
        old = issue("Old Root", ca=True, key=ec_key(), start=start, end=NOW + 90 * DAY)
        new = issue("New Root", ca=True, key=ec_key(), start=start + apart, end=NOW + 900 * DAY)
        for order in ((old, new), (new, old)):
            found = find_succession(watched(*order))
            assert found is not None
            assert (found.roots, found.following, found.certain) == ((old.ours,), (new.ours,), False)

    def test_intermediates_go_with_their_roots(self) -> None:
        """What is below the old root is part of the old chain, what is below the next one is not."""
        old, new = old_root(200), new_root()
        below_old, below_new = intermediate_ca(old, "Old Intermediate"), intermediate_ca(new, "New Intermediate")
        found = find_succession(watched(below_new, old, below_old, new))
        assert found is not None
        assert set(found.current) == {old.ours, below_old.ours}
        assert found.following == (new.ours,)

    def test_intermediates_alone_have_no_next_root(self) -> None:
        """Without a root, everything that is there is in use."""
        root = old_root(200)
        first, second = intermediate_ca(root, "First", days=100), intermediate_ca(root, "Second", days=200)
        found = find_succession(watched(first, second))
        assert found is not None
        assert (set(found.current), found.following) == ({first.ours, second.ours}, ())

    def test_server_certificate_that_leads_nowhere_says_nothing(self) -> None:
        """An incomplete chain is build's error; no order can be told from it."""
        assert find_succession(watched(old_root(200), new_root(), server=server_leaf(root_ca("Stranger")))) is None

    def test_root_that_is_on_no_path_is_not_retired_while_nothing_leads_to_a_root(self) -> None:
        """The intermediate is in use, but the root beside it may be the right one of a file that was mistaken."""
        between = intermediate_ca(old_root(200))
        found = find_succession(watched(between, new_root(), server=server_leaf(between)))
        assert found is not None
        assert (found.current, found.following, found.former) == ((between.ours,), (), ())

    def test_roots_of_one_day_and_one_end_are_told_by_the_server(self) -> None:
        """What the server's certificate does not lead to comes next."""
        first, second = new_root("First"), new_root("Second")
        for old, new in ((first, second), (second, first)):
            found = find_succession(watched(first, second, server=server_leaf(old)))
            assert found is not None
            assert (found.following, found.former) == ((new.ours,), ())


class TestStrangers:
    """Roots that are in the profile for something else, and next CAs that are none to move to."""

    def test_scep_ca_is_not_the_servers_next_one(self, tmp_path: Path, mdmprofile: Command) -> None:
        """It issues identities, and is in the trust certificates because devices should know it."""
        old, issuing = old_root(200), new_root("Corp SCEP CA")
        site = house(tmp_path, old, issuing, server=server_leaf(old))
        (tmp_path / "scep.pem").write_bytes(issuing.pem)
        site.edit(lambda text: text.replace('type = "scep"', 'type = "scep"\nca_certificate = "scep.pem"'))
        found = steps(mdmprofile, site.config)
        assert not any("Corp SCEP CA" in action for _, action in found)
        assert any(action.startswith("get the next CA") for _, action in found)

    def test_next_ca_that_ends_first_is_none_to_move_to(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Devices would lose a server that they trust for ten years more."""
        old = old_root(3650)
        short = issue("New Root", ca=True, key=ec_key(), end=NOW + 400 * DAY)
        site = house(tmp_path, old, short, server=server_leaf(old))
        found = [action for _, action in steps(mdmprofile, site.config)]
        assert any(action.startswith("do not move the server to New Root yet") for action in found)
        assert not any(action.startswith(("move the", "retire")) for action in found)

    def test_cross_signed_next_root_is_moved_to(self, tmp_path: Path, mdmprofile: Command) -> None:
        """The old root signed the new one, and the server's certificate still comes from the old one."""
        old, new = old_root(200), new_root()
        cross = issue("New Root", old, key=new.key, ca=True, end=NOW + 190 * DAY)
        site = house(tmp_path, old, new, cross, server=server_leaf(old))
        found = [action for _, action in steps(mdmprofile, site.config)]
        assert any(action.startswith("move the server to a certificate of New Root") for action in found)
        assert not any(action.startswith("get the next CA") for action in found)

    def test_root_that_another_server_uses_already_is_the_next_one(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Of two servers one has moved; nobody has to get a next CA for the other."""
        old, new = old_root(200), new_root()
        site = house(tmp_path, old, new, server=server_leaf(old))
        (tmp_path / "moved.pem").write_bytes(server_leaf(new, "b.example.com").pem)
        site.edit(
            lambda text: re.sub(r"server_certificate = .*", 'server_certificate = ["server.pem", "moved.pem"]', text)
        )
        found = [action for _, action in steps(mdmprofile, site.config)]
        assert any(action.startswith("move the server to a certificate of New Root") for action in found)
        assert not any(action.startswith("get the next CA") for action in found)

    def test_root_that_ends_soon_after_what_ends_first_has_its_steps_too(
        self, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """The signer's 90 days end first; after that replacement there is no time left for the root's 95."""
        old = old_root(95)
        site = house(tmp_path, old, server=server_leaf(old))
        signer = issue("Signer", old, end=NOW + 90 * DAY)
        (tmp_path / "signer.pem").write_bytes(signer.pem)
        (tmp_path / "signer.key").write_bytes(signer.key_pem())
        if "[signing]" not in site.config.read_text():
            site.edit(lambda text: f'{text}\n[signing]\ncertificate = "signer.pem"\nkey = "signer.key"\n')
        found = [action for _, action in steps(mdmprofile, site.config)]
        assert any(action.startswith("get the next CA: a root that follows Old Root") for action in found)

    def test_pinned_leaf_is_renewed_after_the_next_pin_was_sent(self, tmp_path: Path, mdmprofile: Command) -> None:
        """60 days before its end the profile with the next pin, 30 before it the certificate."""
        old = root_ca("Old Root")
        leaf = server_leaf(old, days=300)
        site = house(tmp_path, old, server=leaf)
        site.edit(lambda text: text.replace("[trust]", 'url_pinning_certificates = ["server.pem"]\n\n[trust]'))
        found = {action: date for date, action in steps(mdmprofile, site.config)}
        (pinning,) = [each for each in found if "pins the next certificate" in each]
        assert found[pinning] == "2031-10-27"
        assert not any(action.startswith("renew the server") for action in found)
