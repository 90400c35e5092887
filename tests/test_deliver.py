"""Delivery through an MDM server's API: who is sent what, what an answer means, and how a run goes on."""

from __future__ import annotations

import hashlib
import json
import plistlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import device, entry, record
from live import Spoken
from mdm_api import ALWAYS, KEY, Asked, MdmApi, Said
from mdmprofile.courier import Courier, Reply, server_location
from mdmprofile.deliver import (
    LEFT,
    PLANNED,
    SKIPPED,
    WITHHELD,
    Clock,
    Delivery,
    Pace,
    deliver,
    plan_delivery,
)
from mdmprofile.errors import DeliveryError, InputError, MdmprofileError, NetworkError, ProfileError
from mdmprofile.findings import Finding, finding
from mdmprofile.mdm_command import fresh_command_uuid, install_profile
from mdmprofile.mdm_servers import Answered, MdmServer, MicroMdm, NanoMdm, is_device, seconds_to_wait
from mdmprofile.parcels import Parcel, one_for_all, own_profiles, read_devices, read_made
from mdmprofile.probe.network import Route
from mdmprofile.sent import FAILED, REFUSED, SENDING, SENT, SentLine, open_record, read_record
from pki import NOW, issue
from replacing import file_of, usual

PROFILE = file_of(usual())
SHA256 = hashlib.sha256(PROFILE).hexdigest()
QUICK = Route(proxy="", connect_timeout=5, answer_timeout=5)
SERVERS: dict[str, MdmServer] = {"nanomdm": NanoMdm(), "micromdm": MicroMdm()}


class FakeTime:
    """A clock that moves when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: NOW + timedelta(seconds=self.seconds), lambda: self.seconds, self.wait)


class Sender:
    """Delivers to a server with a record, as often as a test wants."""

    def __init__(self, api: MdmApi, folder: Path) -> None:
        self.api = api
        self.record = folder / "sent.jsonl"
        self.time = FakeTime()
        self.route = QUICK
        self.url = api.url

    def courier(self, **more: Any) -> Courier:
        server = SERVERS[self.api.kind]
        return Courier(server_location(self.url), self.route, **({"user": server.user, "key": KEY} | more))

    def send(self, *devices: str, parcels: Sequence[Parcel] | None = None, **more: Any) -> Delivery:
        parcels = one_for_all(PROFILE, devices, source="new") if parcels is None else parcels
        courier = more.pop("courier", None) or self.courier()
        with open_record(self.record) as lines:
            return deliver(parcels, SERVERS[self.api.kind], courier, lines, **({"clock": self.time.clock, **more}))

    def lines(self) -> list[dict[str, str]]:
        return [json.loads(each) for each in self.record.read_text().splitlines()]


@pytest.fixture
def nano(tmp_path: Path) -> Iterator[Sender]:
    """A NanoMDM, and what delivers to it."""
    with MdmApi() as api:
        yield Sender(api, tmp_path)


@pytest.fixture
def micro(tmp_path: Path) -> Iterator[Sender]:
    """A MicroMDM, and what delivers to it."""
    with MdmApi("micromdm") as api:
        yield Sender(api, tmp_path)


def states(delivery: Delivery) -> list[str]:
    """What became of each device."""
    return [each.state for each in delivery.outcomes]


def rules(delivery: Delivery) -> list[str]:
    """The rules of what was found."""
    return [each.rule for each in delivery.findings]


# --- requests ---------------------------------------------------------------------------------------------------


def test_nanomdm_gets_one_command_for_each_device(nano: Sender) -> None:
    """As documented: PUT, the user nanomdm, XML; and no two commands share a UUID."""
    delivery = nano.send("A1", "B2", "C3:appleid@example.com")
    assert delivery.error is None
    assert states(delivery) == [SENT] * 3
    assert [(each.method, each.path) for each in nano.api.asked] == [
        ("PUT", "/v1/enqueue/A1"),
        ("PUT", "/v1/enqueue/B2"),
        ("PUT", "/v1/enqueue/C3:appleid@example.com"),
    ]
    assert all((each.user, each.key, each.payload) == ("nanomdm", KEY, PROFILE) for each in nano.api.asked)
    assert nano.api.asked[0].body.startswith(b"<?xml")
    assert len({each.command_uuid for each in nano.api.asked}) == 3
    assert [each.command_uuid for each in delivery.outcomes] == [each.command_uuid for each in nano.api.asked]


def test_micromdm_gets_its_own_json(micro: Sender) -> None:
    """As documented: POST, the user micromdm, the payload in base64; its answer repeats all of it."""
    delivery = micro.send("A1", "B2")
    assert delivery.error is None
    assert states(delivery) == [SENT, SENT]
    assert [(each.method, each.path) for each in micro.api.asked] == [("POST", "/v1/commands")] * 2
    first = micro.api.asked[0]
    assert json.loads(first.body).keys() == {"udid", "request_type", "command_uuid", "payload"}
    assert (first.device, first.user, first.key, first.payload) == ("A1", "micromdm", KEY, PROFILE)
    assert first.content_type.startswith("application/json")


def test_path_of_the_url_is_kept(nano: Sender) -> None:
    """A server behind a proxy may be below a path."""
    nano.url = f"{nano.api.url}/mdm/nano/"
    nano.api.answer = lambda _: Said()
    assert states(nano.send("A1")) == [SENT]
    assert nano.api.asked[0].path == "/mdm/nano/v1/enqueue/A1"


def test_url_with_a_query_is_refused() -> None:
    """No path can be added to it."""
    with pytest.raises(NetworkError, match="has a query"):
        server_location("https://mdm.example.com/?tenant=1")


def test_uuid_of_micromdm_counts(micro: Sender) -> None:
    """Old servers choose the command's UUID themselves, and it is the one that the device answers with."""
    micro.api.answer = lambda _: Said(201, b'{"payload": {"command_uuid": "its-own"}}')
    assert micro.send("A1").outcomes[0].command_uuid == "its-own"
    assert micro.lines()[-1]["command_uuid"] == "its-own"


def test_command_is_nothing_but_the_profile() -> None:
    """Apple's shape, the bytes as they are, and a UUID that is one."""
    uuid = fresh_command_uuid()
    assert plistlib.loads(install_profile(b"\x30\x00\xff", uuid)) == {
        "Command": {"RequestType": "InstallProfile", "Payload": b"\x30\x00\xff"},
        "CommandUUID": uuid,
    }
    with pytest.raises(ProfileError, match="no UUID"):
        install_profile(PROFILE, "../etc/passwd")


# --- answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nanomdm", "micromdm"])
def test_a_device_that_is_refused_stops_no_other(kind: str, tmp_path: Path) -> None:
    """It is named with the server's reason, is not tried again in the same run, and is in the next one."""
    with MdmApi(kind) as api:
        sender = Sender(api, tmp_path)
        api.unknown = {"B2"}
        delivery = sender.send("A1", "B2", "C3")
        assert states(delivery) == [SENT, REFUSED, SENT]
        assert rules(delivery) == ["delivery.refused"]
        assert delivery.outcomes[1].reason in {"enrollment not found", "request must contain UDID of the device"}
        assert api.devices == ["A1", "B2", "C3"]
        api.unknown = set()
        assert states(sender.send("A1", "B2", "C3")) == [SKIPPED, SENT, SKIPPED]
        assert api.asked[3].command_uuid != api.asked[1].command_uuid


@pytest.mark.parametrize("status", [207, 500])
def test_error_of_a_device_counts_whatever_the_status(nano: Sender, status: int) -> None:
    """NanoMDM says 207 where others had more luck; the words for this device decide."""
    body = json.dumps({"status": {"a1": {"command_error": "no\nsuch \x1b[2Jthing"}}}).encode()
    nano.api.answer = lambda _: Said(status, body)
    delivery = nano.send("A1")
    assert states(delivery) == [REFUSED]
    assert delivery.outcomes[0].reason == "no such \\x1b[2Jthing"


@pytest.mark.parametrize(
    "answer",
    [
        {"push_error": "no push certificate"},
        {"status": {"A1": {"push_error": "no push certificate", "push_result": ""}}, "command_uuid": "x"},
    ],
)
def test_failed_push_is_no_refusal(nano: Sender, answer: dict[str, Any]) -> None:
    """The command is in the queue, although the status is 500: sent again it would be there twice."""
    nano.api.answer = lambda _: Said(500, json.dumps(answer).encode())
    delivery = nano.send("A1")
    assert states(delivery) == [SENT]
    assert rules(delivery) == ["delivery.not-pushed"]
    assert "no push certificate" in delivery.findings[0].message
    assert states(nano.send("A1")) == [SKIPPED]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Said(401, b"Authorization Required"), "refuses the API key (401 Unauthorized)"),
        (Said(403), "refuses the API key (403 Forbidden)"),
        (Said(404, b"404 page not found"), "has no NanoMDM API at this URL (404 Not Found)"),
        (Said(405), "has no NanoMDM API at this URL (405 Method Not Allowed)"),
        (
            Said(307, headers=[("Location", "https://evil.example/v1?token=1")]),
            "redirects to https://evil.example/v1, which is not followed with the API key",
        ),
        (Said(200, b"<html>Please log in</html>"), "answers 200 OK, but not as NanoMDM does"),
        (Said(200, b"[" * 50_000), "answers 200 OK, but not as NanoMDM does"),
        (Said(200, b"[]"), "answers 200 OK, but not as NanoMDM does"),
        (Said(204, b""), "answers 204 No Content, but not as NanoMDM does"),
    ],
)
def test_what_no_device_can_get_past_ends_the_run(nano: Sender, said: Said, reason: str) -> None:
    """One request tells it; a thousand more would tell the same."""
    nano.api.answer = lambda _: said
    delivery = nano.send("A1", "B2", "C3")
    assert states(delivery) == [FAILED, LEFT, LEFT]
    assert delivery.error is not None
    assert (delivery.error.message, delivery.error.exit_code) == (reason, 3)
    assert nano.api.devices == ["A1"]
    assert nano.time.waits == []


@pytest.mark.parametrize("status", [400, 413, 422, 500, 501])
def test_error_without_words_is_a_refusal(nano: Sender, status: int) -> None:
    """It is not repeated, and the body of a page is quoted nowhere."""
    nano.api.answer = lambda _: Said(status, b"<html>secrets of the page</html>")
    delivery = nano.send("A1")
    assert states(delivery) == [REFUSED]
    assert delivery.outcomes[0].reason.startswith(str(status))
    assert "secrets" not in repr(delivery)
    assert len(nano.api.asked) == 1


def test_micromdm_of_old_hides_its_error_behind_a_200(micro: Sender) -> None:
    """Its words decide."""
    micro.api.answer = lambda _: Said(200, b'{"error": "cannot do it"}')
    delivery = micro.send("A1")
    assert (states(delivery), delivery.outcomes[0].reason) == ([REFUSED], "cannot do it")


@given(
    st.integers(100, 599),
    st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(
                        ["status", "A1", "command_error", "push_error", "command_uuid", "payload", "error"]
                    ),
                    inner,
                )
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_any_answer_has_a_meaning(status: int, body: bytes) -> None:
    """Whatever a server says, no exception comes of it, and no error counts as success."""
    for server in SERVERS.values():
        verdict = server.judge(Reply(status, body), "A1")
        if verdict.kind is Answered.QUEUED and verdict.pushed:
            assert 200 <= status < 300


# --- what passes ------------------------------------------------------------------------------------------------


def in_turn(*said: Said | None) -> Callable[[Asked], Said | None]:
    """One answer after the other, and then as documented."""
    left = list(said)
    return lambda _: left.pop(0) if left else None


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_tried_again_with_growing_waits(nano: Sender, status: int) -> None:
    """The same command each time, so that a server which had it does not get a second one."""
    nano.api.answer = in_turn(Said(status), Said(status), Said(status))
    delivery = nano.send("A1", "B2", pace=Pace(rate=1000))
    assert states(delivery) == [SENT, SENT]
    assert nano.api.devices == ["A1"] * 4 + ["B2"]
    assert len({each.command_uuid for each in nano.api.asked}) == 2
    assert [each for each in nano.time.waits if each >= 1] == [1, 2, 4]


def test_waits_end_after_a_while(nano: Sender) -> None:
    """A server that stays away ends the run, which says what is left."""
    nano.api.answer = lambda _: Said(503)
    delivery = nano.send("A1", "B2", pace=Pace(rate=1000, retries=3))
    assert states(delivery) == [FAILED, LEFT]
    assert delivery.error is not None
    assert delivery.error.message == "answers 503 Service Unavailable"
    assert len(nano.api.asked) == 4
    assert [each for each in nano.time.waits if each >= 1] == [1, 2, 4]


def test_no_wait_is_longer_than_a_minute(nano: Sender) -> None:
    """Doubling has an end."""
    nano.api.answer = lambda _: Said(503)
    nano.send("A1", pace=Pace(rate=1000, retries=8))
    assert nano.time.waits[-2:] == [60, 60]


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_server_says_when_to_come_back(nano: Sender, form: str) -> None:
    """Retry-After is waited for, in both of its forms (RFC 9110 section 10.2.3)."""
    value = "17" if form == "seconds" else format_datetime(NOW + timedelta(seconds=17), usegmt=True)
    nano.api.answer = in_turn(Said(429, headers=[("Retry-After", value)]))
    assert states(nano.send("A1")) == [SENT]
    assert nano.time.waits == [17]


def test_server_that_wants_to_be_left_alone_is(nano: Sender) -> None:
    """Nobody sits there for an hour: the run ends, and says so."""
    nano.api.answer = in_turn(Said(503, headers=[("Retry-After", "3600")]))
    delivery = nano.send("A1")
    assert delivery.error is not None
    assert delivery.error.message.endswith("wants to be asked again in 3,600 seconds")
    assert nano.time.waits == []


@given(st.text() | st.sampled_from(["-1", "1e9", "9" * 30, "Thu, 01 Jan 1970 00:00:00 GMT", "٣", "Thu, 99 Foo 2031"]))
def test_any_retry_after_is_seconds(value: str) -> None:
    """What is no time is no wait."""
    assert seconds_to_wait(value, NOW) >= 0


def test_refused_connections_are_tried_again(nano: Sender) -> None:
    """A server that restarts is back in a moment."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nano.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        delivery = nano.send("A1", pace=Pace(retries=2))
    assert delivery.error is not None
    assert "refuses connections" in delivery.error.message
    assert nano.time.waits == [1, 2]
    assert nano.lines()[-1]["state"] == FAILED


def dropping(api: MdmApi) -> Callable[[BaseHTTPRequestHandler, Asked], bool]:
    """Queue the first command, and hang up without an answer."""

    def hang_up(handler: BaseHTTPRequestHandler, asked: Asked) -> bool:
        if len(api.asked) > 1:
            return False
        handler.close_connection = True
        api.documented(asked)
        return True

    return hang_up


def test_lost_answer_sends_no_second_command(nano: Sender) -> None:
    """The server has the command, and its database says so when the same one comes again."""
    nano.api.raw = dropping(nano.api)
    delivery = nano.send("A1")
    assert states(delivery) == [SENT]
    assert delivery.outcomes[0].reason.startswith("it was there already")
    assert list(nano.api.queued.values()) == [["A1"]]
    assert len(nano.api.asked) == 2


def test_duplicate_of_a_stranger_is_a_refusal(nano: Sender) -> None:
    """A UUID that somebody else's command has did not bring ours there."""
    uuid = fresh_command_uuid()
    nano.api.queued[uuid] = ["somebody"]
    delivery = nano.send("A1", command_uuid=uuid)
    assert states(delivery) == [REFUSED]
    assert states(nano.send("A1", command_uuid=uuid)) == [REFUSED]


# --- bounds -----------------------------------------------------------------------------------------------------


@contextmanager
def spoken(nano: Sender, talk: Callable[[socket.socket], None], tmp_path: Path) -> Iterator[None]:
    """A server that says something else than HTTP, or too much of it, in the API's place."""
    with Spoken(talk, None, tmp_path) as port:
        nano.url = f"http://127.0.0.1:{port}"
        yield


def test_server_that_says_nothing_has_its_time(nano: Sender, tmp_path: Path) -> None:
    """A timeout for each request; what it may have done meanwhile is recorded as not known."""
    over = threading.Event()
    nano.route = Route(proxy="", answer_timeout=0.3)

    def say_nothing(_: socket.socket) -> None:
        over.wait(30)

    with spoken(nano, say_nothing, tmp_path):
        delivery = nano.send("A1", pace=Pace(retries=0))
        over.set()
    assert delivery.error is not None
    assert delivery.error.message == "does not answer within 0.3 seconds"
    assert [each["state"] for each in nano.lines()] == [SENDING, FAILED]


def test_endless_answer_is_cut(nano: Sender, tmp_path: Path) -> None:
    """Nobody's memory is filled."""

    def flood(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 65536)

    with spoken(nano, flood, tmp_path):
        delivery = nano.send("A1", pace=Pace(retries=0))
    assert delivery.error is not None
    assert "sends more than the limit" in delivery.error.message


@pytest.mark.parametrize(
    "words", [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"", b"\0" * 999]
)
def test_no_http_is_no_success(nano: Sender, tmp_path: Path, words: bytes) -> None:
    """A port of something else, and an answer that breaks off."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(words)

    with spoken(nano, talk, tmp_path):
        delivery = nano.send("A1", pace=Pace(retries=0))
    assert states(delivery) == [FAILED]


def test_server_that_answers_before_it_has_heard_all_is_understood(nano: Sender, tmp_path: Path) -> None:
    """It refuses the key, and closes while the profile is still on the way."""

    def talk(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    with spoken(nano, talk, tmp_path):
        delivery = nano.send(parcels=one_for_all(b"x" * 8_000_000, ["A1"], source="large"))
    assert delivery.error is not None
    assert "refuses the API key" in delivery.error.message


def test_rate_is_kept_over_all_requests(nano: Sender) -> None:
    """Repeated requests count too; the time that passes is the clock's, nobody's patience."""
    nano.api.answer = in_turn(None, Said(503))
    delivery = nano.send(*(f"D{number}" for number in range(21)), pace=Pace(rate=4))
    assert states(delivery) == [SENT] * 21
    assert len(nano.api.asked) == 22
    # 21 gaps of a quarter of a second, of which the wait of a second after the 503 covers four.
    assert nano.time.seconds == pytest.approx(21 / 4 + 0.75)


# --- the key ----------------------------------------------------------------------------------------------------


def test_key_is_shown_nowhere(nano: Sender) -> None:
    """Also where a server sends back what it was sent."""

    def echo(handler: BaseHTTPRequestHandler, asked: Asked) -> bool:
        told = json.dumps({"command_error": f"you said {handler.headers['Authorization']}, which is {asked.key}"})
        handler.send_response(500)
        handler.send_header("Content-Length", str(len(told)))
        handler.end_headers()
        handler.wfile.write(told.encode())
        return True

    nano.api.raw = echo
    courier = nano.courier()
    delivery = nano.send("A1", courier=courier)
    assert delivery.outcomes[0].reason == "you said Basic ***, which is ***"
    shown = repr(delivery) + repr(courier) + nano.record.read_text()
    assert KEY not in shown
    assert courier._token not in shown
    assert nano.record.stat().st_mode & 0o777 == 0o600
    assert "Basic" not in repr(NanoMdm().request("", "A1", b"secret-of-the-profile", fresh_command_uuid()))
    assert "secret" not in repr(NanoMdm().request("", "A1", b"secret-of-the-profile", fresh_command_uuid()))


def test_key_goes_over_http_to_this_machine_alone() -> None:
    """Unless somebody allows it."""
    for url in ("http://mdm.example.com", "http://192.0.2.1:9000"):
        with pytest.raises(DeliveryError, match="no https URL"):
            Courier(server_location(url), QUICK, user="nanomdm", key=KEY)
        Courier(server_location(url), QUICK, user="nanomdm", key=KEY, allow_http=True)
    for url in ("http://localhost:9000", "http://127.0.0.1:9000", "http://[::1]:9000", "https://mdm.example.com"):
        Courier(server_location(url), QUICK, user="nanomdm", key=KEY)
    elsewhere = Route(resolve={("localhost", 80): "192.0.2.1"})
    with pytest.raises(DeliveryError, match="no https URL"):
        Courier(server_location("http://localhost"), elsewhere, user="nanomdm", key=KEY)


def test_proxy_never_gets_the_key_for_this_machine(nano: Sender) -> None:
    """It would get it in the clear."""
    nano.route = Route(proxy="http://127.0.0.1:1", answer_timeout=5)
    assert states(nano.send("A1")) == [SENT]


def test_server_is_verified_before_anything_is_said(tmp_path: Path) -> None:
    """Another CA, another name, or no CA of ours at all: nothing is sent, and it is not tried again."""
    with ExitStack() as stack:
        ca = issue("Private Root", ca=True, start=ALWAYS["start"], end=ALWAYS["end"])
        other = issue("Other Root", ca=True, start=ALWAYS["start"], end=ALWAYS["end"])
        api = stack.enter_context(MdmApi(tls=(ca, tmp_path)))
        sender = Sender(api, tmp_path)
        sender.route = Route(proxy="", resolve=api.resolve)
        for anchors in ([other.ours], None):
            delivery = sender.send("A1", courier=sender.courier(anchors=anchors))
            assert delivery.error is not None
            assert delivery.error.message.startswith("is not trusted, so nothing was sent to it")
        named = f"https://127.0.0.1:{api.port}"
        wrong_name = Courier(server_location(named), QUICK, user="nanomdm", key=KEY, anchors=[ca.ours])
        assert sender.send("A1", courier=wrong_name).error is not None
        assert api.asked == []
        assert sender.time.waits == []
        assert states(sender.send("A1", courier=sender.courier(anchors=[ca.ours]))) == [SENT]
        assert api.asked[0].payload == PROFILE


# --- the record -------------------------------------------------------------------------------------------------


def test_nobody_is_sent_the_same_profile_twice(nano: Sender) -> None:
    """Unless somebody wants it; another profile is another matter, and so is the case of a UDID."""
    assert states(nano.send("A1", "B2")) == [SENT, SENT]
    assert states(nano.send("a1", "B2", "C3")) == [SKIPPED, SKIPPED, SENT]
    assert states(nano.send("A1", again=True)) == [SENT]
    assert states(nano.send(parcels=one_for_all(PROFILE + b"\n", ["A1"], source="other"))) == [SENT]
    assert nano.api.devices == ["A1", "B2", "C3", "A1", "A1"]
    assert len({each.command_uuid for each in nano.api.asked}) == 5


def test_record_says_what_happened(nano: Sender) -> None:
    """A line before the first request, one after the answer, each complete."""
    nano.api.unknown = {"B2"}
    nano.send("A1", "B2")
    assert [(each["device"], each["state"], each["answer"]) for each in nano.lines()] == [
        ("A1", SENDING, ""),
        ("A1", SENT, ""),
        ("B2", SENDING, ""),
        ("B2", REFUSED, "enrollment not found"),
    ]
    assert {each["profile_sha256"] for each in nano.lines()} == {SHA256}
    assert nano.lines()[0]["at"] == "2031-03-01T12:00:00Z"
    assert nano.lines()[0]["server"] == nano.api.url


def test_what_a_test_server_was_sent_says_nothing_of_the_real_one(nano: Sender, tmp_path: Path) -> None:
    """The same record, device and profile: the other server gets it too."""
    assert states(nano.send("A1")) == [SENT]
    with MdmApi() as real:
        other = Sender(real, tmp_path)
        assert states(other.send("A1")) == [SENT]
        assert states(other.send("A1")) == [SKIPPED]
    assert states(nano.send("A1")) == [SKIPPED]


def test_command_that_was_on_the_way_is_sent_again_as_the_same(nano: Sender) -> None:
    """Whether it arrived before the run was killed, or not."""
    arrived, lost = fresh_command_uuid(), fresh_command_uuid()
    nano.api.queued[arrived] = ["A1"]
    with open_record(nano.record) as lines:
        place = nano.courier().location.place
        for name, uuid in (("A1", arrived), ("B2", lost)):
            lines.add(SentLine("2031-03-01T12:00:00Z", name, SHA256, SENDING, uuid, place))
    delivery = nano.send("A1", "B2")
    assert states(delivery) == [SENT, SENT]
    assert nano.api.queued == {arrived: ["A1"], lost: ["B2"]}


@pytest.mark.parametrize("cut", range(1, 200, 13))
def test_half_a_line_is_cut_off(nano: Sender, cut: int) -> None:
    """What a run that was killed wrote last is not known; everything before is."""
    nano.send("A1", "B2")
    whole = nano.record.read_bytes()
    first = whole.rstrip(b"\n").rpartition(b"\n")[0] + b"\n"
    last = whole[len(first) :]
    nano.record.write_bytes(first + last[: min(cut, len(last) - 2)])
    assert states(nano.send("A1", "B2")) == [SKIPPED, SENT]
    assert nano.api.queued == {each["command_uuid"]: [each["device"]] for each in nano.lines()}
    assert nano.record.read_bytes().startswith(first)


def test_last_line_without_its_end_counts(nano: Sender) -> None:
    """An editor may have taken the line end off."""
    nano.send("A1")
    nano.record.write_bytes(nano.record.read_bytes().rstrip(b"\n"))
    assert states(nano.send("A1", "B2")) == [SKIPPED, SENT]
    assert len(nano.lines()) == 4


@pytest.mark.parametrize(
    "content",
    [b"udid,serial\nA1,C02\n", b"udid", b"{}\n", b"\0" * 100, b"[1]\n", b'{"at": 1}\n', b"x" * 200_000, b"\n"],
)
def test_other_files_are_no_record(nano: Sender, content: bytes) -> None:
    """And stay as they are."""
    nano.record.write_bytes(content)
    with pytest.raises(DeliveryError, match="is no record of what was sent: line 1"):
        nano.send("A1")
    assert nano.record.read_bytes() == content
    assert nano.api.asked == []


def test_second_run_with_a_record_is_refused(nano: Sender) -> None:
    """Both would send to the devices that neither has sent to."""
    with open_record(nano.record), pytest.raises(DeliveryError, match="another run is at work") as refused:
        nano.send("A1")
    assert refused.value.where == str(nano.record)
    assert nano.api.asked == []
    assert states(nano.send("A1")) == [SENT]


def test_record_that_cannot_be_written_sends_nothing(nano: Sender, tmp_path: Path) -> None:
    """What is not recorded would be sent twice."""
    nano.record = tmp_path / "absent" / "sent.jsonl"
    with pytest.raises(DeliveryError):
        nano.send("A1")
    nano.record = tmp_path
    with pytest.raises(DeliveryError):
        nano.send("A1")
    assert nano.api.asked == []


def test_plan_is_what_would_happen(nano: Sender) -> None:
    """Read without a lock, and without a file where there is none."""
    parcels = one_for_all(PROFILE, ["A1", "B2"], source="new")
    assert states(plan_delivery(parcels, read_record(nano.record), nano.courier().location.place)) == [PLANNED, PLANNED]
    assert not nano.record.exists()
    nano.send("A1")
    with open_record(nano.record):
        assert states(plan_delivery(parcels, read_record(nano.record), nano.courier().location.place)) == [
            SKIPPED,
            PLANNED,
        ]
        assert states(plan_delivery(parcels, read_record(nano.record), nano.courier().location.place, again=True)) == [
            PLANNED,
            PLANNED,
        ]


# --- who is sent what -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("A1\nB2\n", ["A1", "B2"]),
        ("\ufeffA1\r\n\r\n  B2 \r\na1", ["A1", "B2"]),
        ("udid\nA1\nB2\n", ["A1", "B2"]),
        ("UDID\nA1\n", ["A1"]),
        ("serial;udid;site\nC02;A1;x\nC03;B2;y\n", ["A1", "B2"]),
        ('{"udid": "A1"}\n{"udid": "B2", "serial": "C03"}\n', ["A1", "B2"]),
        ("470E005B-17C1-4537-BBB3-0EBC340D432A:F151140B-3988-45A9-9471-E96B49F27D93\n",
         ["470E005B-17C1-4537-BBB3-0EBC340D432A:F151140B-3988-45A9-9471-E96B49F27D93"]),
    ],
)  # fmt: skip
def test_lists_and_tables_name_devices(text: str, names: list[str]) -> None:
    """Each once, in order."""
    devices = read_devices(text.encode(), source="list")
    assert list(devices.names) == names
    assert devices.findings == ()


def test_rows_without_a_device_are_named() -> None:
    """By their line, and the others count."""
    devices = read_devices(b"A1\nwhat is this\nB2\n../B3\n", source="list")
    assert devices.names == ("A1", "B2")
    assert [(each.rule, each.where) for each in devices.findings] == [
        ("devices.row", "list:2"),
        ("devices.row", "list:4"),
    ]
    devices = read_devices(b"serial,udid\nC1,\nC2,A1\nC3,a/b\n", source="table")
    assert devices.names == ("A1",)
    assert [(each.rule, each.where) for each in devices.findings] == [
        ("devices.missing", "table:2"),
        ("devices.row", "table:4"),
    ]
    with pytest.raises(InputError, match="udid"):
        read_devices(b"serial,site\nC1,x\n", source="table")


@given(st.text())
def test_no_device_is_more_than_one_part_of_a_path(text: str) -> None:
    """A name never leads elsewhere on the server, and never to two devices."""
    if is_device(text):
        assert not set(text) & set("/\\?#%, \r\n\t")
        assert text.strip(".")
        assert NanoMdm().request("/x", text, b"", fresh_command_uuid()).target == f"/x/v1/enqueue/{text}"


def fleet(folder: Path, count: int) -> Path:
    """A directory with so many profiles and their ledger; the path of that."""
    made = []
    for number in range(count):
        profile = file_of(usual() | {"PayloadDisplayName": f"Device {number}"})
        made.append(entry(device(number), profile=profile))
        (folder / made[-1].name).write_bytes(profile)
    record(folder / "ledger.sqlite", made)
    return folder / "ledger.sqlite"


def test_each_device_gets_its_own_profile(nano: Sender, tmp_path: Path) -> None:
    """As the ledger recorded it; one that is another by now, or gone, is withheld, and stops no other."""
    ledger = fleet(tmp_path, 4)
    entries, found = read_made(ledger, ())
    assert found == ()
    (tmp_path / entries[1].name).write_bytes(PROFILE)
    (tmp_path / entries[2].name).unlink()
    delivery = nano.send(parcels=own_profiles(tmp_path, entries))
    assert states(delivery) == [SENT, WITHHELD, WITHHELD, SENT]
    assert rules(delivery) == ["delivery.profile"] * 2
    assert [each.reason.partition(": ")[2] for each in delivery.outcomes[1:3]] == [
        "is not the profile that the ledger recorded",
        "no such file",
    ]
    assert nano.api.devices == [entries[0].udid, entries[3].udid]
    assert [hashlib.sha256(each.payload).hexdigest() for each in nano.api.asked] == [
        entries[0].profile_sha256,
        entries[3].profile_sha256,
    ]


def test_ledger_names_no_file_elsewhere(nano: Sender, tmp_path: Path) -> None:
    """A ledger may come from anybody."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    (tmp_path / "outside.mobileconfig").write_bytes(PROFILE)
    outside = entry(device(1)._replace(name="../outside.mobileconfig"), profile=PROFILE)
    delivery = nano.send(parcels=own_profiles(folder, [outside]))
    assert states(delivery) == [WITHHELD]
    assert "not in the ledger's directory" in delivery.outcomes[0].reason
    assert nano.api.asked == []


def test_devices_of_a_ledger_can_be_chosen(tmp_path: Path) -> None:
    """One device first; and who is not in it is named."""
    ledger = fleet(tmp_path, 3)
    entries, found = read_made(ledger, [device(1).udid.lower(), "UNKNOWN"])
    assert [each.udid for each in entries] == [device(1).udid]
    assert [(each.rule, each.message) for each in found] == [("delivery.unlisted", "UNKNOWN is not in it")]


def test_ledger_row_without_a_udid_is_named(tmp_path: Path) -> None:
    """Nobody can be asked to send to it."""
    record(tmp_path / "ledger.sqlite", [entry(device(1)._replace(udid="")), entry(device(2))])
    entries, found = read_made(tmp_path / "ledger.sqlite", ())
    assert [each.udid for each in entries] == [device(2).udid]
    assert [each.rule for each in found] == ["devices.missing"]


def test_profile_that_is_found_unfit_is_withheld(nano: Sender) -> None:
    """A warning is none of it."""

    def vet(parcel: Parcel, data: bytes) -> Sequence[Finding]:
        assert data == PROFILE
        rule = "mdm.topic-prefix" if parcel.device == "A1" else "signing.unsigned"
        return [finding(rule, "so it is")]

    delivery = nano.send("A1", "B2", vet=vet)
    assert states(delivery) == [WITHHELD, SENT]
    assert rules(delivery) == ["mdm.topic-prefix", "signing.unsigned"]
    assert nano.api.devices == ["B2"]


def test_progress_is_told(nano: Sender) -> None:
    """From none to all."""
    told: list[tuple[int, int]] = []
    nano.send("A1", "B2", tell=lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_errors_of_the_library_are_ours(nano: Sender) -> None:
    """Whoever uses the library catches one kind."""
    assert issubclass(DeliveryError, MdmprofileError)
    nano.url = "http://127.0.0.1:1"
    assert isinstance(nano.send("A1", pace=Pace(retries=0)).error, DeliveryError)
