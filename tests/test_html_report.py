"""The HTML report, opened in headless Chromium: what it shows, in which scheme and width, and what it never does."""

from __future__ import annotations

import dataclasses
import itertools
import plistlib
import re
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

import profiles
from browser import Browser, started
from conftest import Command
from mdmprofile.errors import InputError, Problems
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.moments import stamp
from mdmprofile.plan import Plan, Thresholds, Watched, judge_dates, make_plan, watch
from mdmprofile.reports.html import STATES, render
from mdmprofile.reports.html_chart import MAX_ROWS, Chart, draw
from mdmprofile.reports.model import FileReport, View
from pki import DAY, NOW, Entity, Site, issue, name, root_ca, server_leaf
from test_rollover_plan import house, new_root, old_root

SCRIPT = "<script>document.title='pwned'</script>"
IMAGE = "\"><img src=x onerror=document.title='pwned'>"
TEMPLATE = "{{7*7}}{%raw%}"
REVERSED = "\u202egnp.exe"
WIDTHS = (1280, 800, 390)
# Every element with a text of its own: its colour against the nearest background, by WCAG 2.2 section 1.4.3.
CONTRASTS = """
const channels = (text) => text.match(/[\\d.]+/g).map(Number);
const light = (rgb) => rgb.slice(0, 3).map((each) => each / 255)
  .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
  .reduce((sum, each, index) => sum + each * [0.2126, 0.7152, 0.0722][index], 0);
const behind = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const colour = channels(getComputedStyle(each).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const found = [];
for (const each of document.body.querySelectorAll("*")) {
  const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const style = getComputedStyle(each);
  if (!own || each.closest("script, title, desc") || each.getClientRects().length === 0) continue;
  const colour = channels(each.namespaceURI.endsWith("svg") ? style.fill : style.color);
  const back = arguments[0] ? [255, 255, 255] : behind(each);
  const [high, low] = [light(colour), light(back)].sort((a, b) => b - a);
  found.push([each.textContent, (high + 0.05) / (low + 0.05)]);
}
return found;
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of this module."""
    with started(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Where a test writes its page."""
    return tmp_path / "report.html"


def troubled(tmp_path: Path, site: Site) -> list[Path]:
    """Targets in every state: a config, an expired root, ends that are near, a CA of tomorrow, a broken file."""
    entities: dict[str, Entity] = {
        "old": issue("Old Root", ca=True, start=NOW - 900 * DAY, end=NOW - 12 * DAY),
        "older": issue("Older Root", ca=True, start=NOW - 900 * DAY, end=NOW - 40 * DAY),
        "near": server_leaf(site.intermediate, "near.example.com", days=5),
        "soon": issue("Soon Root", ca=True, end=NOW + 20 * DAY),
        "next": issue("Next Root", ca=True, start=NOW + 3 * DAY, end=NOW + 4000 * DAY),
    }
    for file, entity in entities.items():
        (tmp_path / f"{file}.pem").write_bytes(entity.pem)
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    site.edit(lambda text: text.replace("replace_on = 2031-09-01", "replace_on = 2032-02-20"))
    return [site.config, *(tmp_path / f"{file}.pem" for file in (*entities, "broken"))]


@pytest.fixture
def report(tmp_path: Path, site: Site, mdmprofile: Command, page: Path) -> Path:
    """The page of a check that finds something of every kind."""
    assert mdmprofile("check", *troubled(tmp_path, site), "--format", "html", "-o", page).code == 2
    return page


def root(common_name: str = "Some Root", *, days: int = 3650, place: str = "root.pem") -> Watched:
    """A root that ends in so many days, as a file of its own."""
    return watch(root_ca(common_name, days=days).ours, "root", place)


def view(*watched: Watched, replace_on: datetime | None = None, findings: tuple[Finding, ...] | None = None) -> View:
    """A view of these as of ``NOW``, judged unless findings are given."""
    thresholds = Thresholds(replace_on=replace_on)
    found = judge_dates(watched, thresholds, now=NOW) if findings is None else findings
    return View(now=NOW, findings=found, watched=watched, plan=make_plan(watched, thresholds))


def pixels(png: bytes) -> tuple[int, int, int]:
    """Width, height and number of colours of a PNG as Chromium writes it (RFC 2083): 8 bits, RGB or RGBA."""
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    assert (depth, kind in {2, 6}) == (8, True)
    size = {2: 3, 6: 4}[kind]
    chunks, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        chunks += png[at + 8 : at + 8 + length] if png[at + 4 : at + 8] == b"IDAT" else b""
        at += length + 12
    data, stride = zlib.decompress(chunks), width * size + 1
    above, colours = bytearray(stride - 1), set()
    for row in range(height):
        line = bytearray(data[row * stride + 1 : (row + 1) * stride])
        _unfilter(data[row * stride], line, above, size)
        colours |= {bytes(line[each : each + 3]) for each in range(0, len(line), size)}
        above = line
    return width, height, len(colours)


def _unfilter(kind: int, line: bytearray, above: bytearray, size: int) -> None:
    for each in range(len(line)):
        left = line[each - size] if each >= size else 0
        corner = above[each - size] if each >= size else 0
        guess = left + above[each] - corner
        nearest = min((left, above[each], corner), key=lambda value: abs(guess - value))
        line[each] = line[each] + (0, left, above[each], (left + above[each]) // 2, nearest)[kind] & 255


class TestContent:
    """What is on the page is what was found."""

    def test_dates_are_those_of_the_json_report(
        self, tmp_path: Path, site: Site, mdmprofile: Command, browser: Browser, page: Path
    ) -> None:
        """Every certificate of every target with its end and days left, the latest safe date and the planned one."""
        targets = troubled(tmp_path, site)
        report = mdmprofile("check", *targets, "--format", "json").json
        mdmprofile("check", *targets, "--format", "html", "-o", page)
        browser.open(page)
        shown = browser.js(
            """return [...document.querySelectorAll("#all tbody tr")].filter((row) => row.querySelector("code"))
            .map((row) => [row.querySelector("code").textContent, row.querySelector("time").dateTime,
            row.querySelector("time").textContent, row.querySelector(".days").textContent.replace(",", "")])"""
        )
        assert len(shown) == 10
        assert shown == [
            [each["sha256"], each["not_after"], each["not_after"][:10], str(each["days_left"])]
            for each in report["certificates"]
        ]
        plan = report["plan"]
        assert browser.texts("#safe time") == [plan["latest_safe_date"]]
        assert browser.texts("#steps ~ .list time") == [each["date"] for each in plan["steps"]]
        assert browser.texts(".kicker time") == ["2031-03-01 12:00 UTC"]

    def test_planned_replacement_is_held_against_the_latest_safe_date(
        self, site: Site, mdmprofile: Command, browser: Browser, page: Path
    ) -> None:
        """Both dates, what sets the one, and how far the other is from it."""
        mdmprofile("check", site.config, "--replace-on", "2032-02-20", "--format", "html", "-o", page)
        browser.open(page)
        assert browser.texts(".facts time") == ["2032-01-30", "2032-02-29", "2032-02-20"]
        why, planned, _ = browser.texts(".facts .why")
        assert why.startswith("In 335 days. 30 days before identity from SCEP, valid for 365 days ends on 2032-02-29;")
        assert planned == "21 days after the latest safe date: too late"

    def test_findings_and_what_could_not_be_read_are_all_there(self, browser: Browser, report: Path) -> None:
        """Severity, rule, message, place, advice and source of each; the errors come first."""
        browser.open(report)
        assert browser.texts("h3") == ["3 errors", "3 warnings"]
        rules = browser.texts(".finding code")
        assert rules[:3] == ["expiry.expired", "expiry.expired", "expiry.critical"]
        assert set(rules[3:]) == {"expiry.before-replacement", "expiry.soon", "expiry.not-yet-valid"}
        first = browser.texts(".finding")[0]
        assert first.startswith("×Error expiry.expired")  # noqa: RUF001 - the sign of an error
        assert "root Old Root expired on 2031-02-17: devices no longer trust the server" in first
        assert "renew it, then build and install a new profile" in first
        assert "old.pem; see support.apple.com/guide/deployment/" in first
        assert browser.texts("#unread ~ ul .said")[0].endswith("damaged or cut shortexport it again as PEM or DER")
        assert browser.texts("h1") == ["×Error3 errors, 3 warnings and 1 unreadable target"]  # noqa: RUF001 - the same

    def test_state_of_every_certificate_is_a_word_and_a_sign(self, browser: Browser, report: Path) -> None:
        """Who sees no colours reads the same as everybody else, in the table and in the drawing."""
        browser.open(report)
        states = browser.texts("td.state")
        assert {"×expired", "×critical", "!soon", "!too early", "!not valid yet", "✓good"} == set(states)  # noqa: RUF001 - signs
        assert [each[2:] for each in browser.texts("svg text.expired, svg text.critical")] == [
            "2031-01-20",
            "2031-02-17",
            "2031-03-06",
        ]
        signs = {each[0] for each in browser.texts("svg text.early, svg text.expired, svg text.soon")}
        assert signs == {"×", "!"}  # noqa: RUF001 - signs

    def test_sources_are_links_only_where_they_are_https(self, browser: Browser, page: Path) -> None:
        """A rule's source can be a word; nothing else that looks like an address becomes a link."""
        sources = ("https://example.com/a?b=<c>", "javascript:alert(1)", "observed", "http://example.com", "")
        found = tuple(Finding("a.b", Severity.INFO, "m", source=each) for each in sources)
        page.write_text(render(View(now=NOW, findings=found)), encoding="utf-8")
        browser.open(page)
        links = browser.js('return [...document.querySelectorAll("main a")].map((each) => each.getAttribute("href"))')
        assert links == [sources[0]]
        said = browser.texts(".finding .dim")
        assert said[0] == "see example.com/a?b=<c>"
        assert said[2:] == ["seen on devices", "a rule of http://example.com", ""]

    def test_view_without_targets_and_plan_is_a_page_too(self, browser: Browser, page: Path) -> None:
        """What plan shows has a title and no files; where nothing ends there is nothing to draw."""
        end = root()
        for shown, sections in (
            (view(end)._replace(title="Plan of a fleet"), ["line", "steps", "certificates"]),
            (View(now=NOW, watched=[end]), ["certificates"]),
            (View(now=NOW), []),
        ):
            page.write_text(render(shown), encoding="utf-8")
            browser.open(page)
            assert browser.js('return [...document.querySelectorAll("h2")].map((each) => each.id)') == sections
            assert browser.texts("h1") == ["✓All wellNothing found"]
            assert browser.texts(".kicker bdi") == [shown.title or "Certificate dates"]

    @pytest.mark.parametrize(
        ("days", "verdict"),
        [
            (200, "iTo doNext, by 2031-08-18: "),
            (20, "×Error1 error and 1 warning. Due since 2031-02-19: "),  # noqa: RUF001 - a sign
        ],
    )
    def test_plan_is_headed_by_the_profile_and_what_to_do_next(
        self, tmp_path: Path, mdmprofile: Command, browser: Browser, page: Path, days: int, verdict: str
    ) -> None:
        """Nothing says that all is well above a change of the CA; what is overdue says since when."""
        old = old_root(days)
        site = house(tmp_path, old, new_root(), server=server_leaf(old))
        mdmprofile("plan", site.config, "--format", "html", "-o", page)
        browser.open(page)
        assert browser.texts(".kicker bdi") == ["Replacement plan: Example MDM"]
        assert browser.driver.title == "Replacement plan: Example MDM, 2031-03-01"
        assert browser.texts("h1") == [f"{verdict}send the overlap profile, which has New Root beside Old Root"]
        first = browser.texts("#steps ~ .list .act")[0]
        assert first == (
            "send the overlap profile, which has New Root beside Old Root" + (" (was 2031-02-19)" if days == 20 else "")
        )

    def test_certificate_that_two_targets_hold_is_twice_in_the_table_and_once_in_the_drawing(
        self, browser: Browser, page: Path
    ) -> None:
        """The table says where it is, the time line when it ends."""
        first, second = root(place="a.pem"), None
        second = first._replace(where="b.mobileconfig: PayloadContent[0]")
        files = [FileReport("a.pem", watched=[first]), FileReport("b.mobileconfig", watched=[second])]
        page.write_text(render(view(first, second)._replace(by_file=files)), encoding="utf-8")
        browser.open(page)
        assert browser.texts("td.where") == ["a.pem", "b.mobileconfigPayloadContent[0]"]
        assert len(browser.all("svg .track")) == 1

    @pytest.mark.parametrize(
        ("severities", "errors", "verdict"),
        [
            ("", 0, "✓ All well: Nothing found"),
            ("info", 0, "✓ All well: 1 note, nothing worse"),
            ("warning info", 0, "! Warning: 1 warning"),
            ("warning warning", 1, "? Unknown: 2 warnings and 1 unreadable target"),
            ("", 2, "? Unknown: 2 unreadable targets"),
            ("error warning", 2, "× Error: 1 error, 1 warning and 2 unreadable targets"),  # noqa: RUF001 - a sign
        ],
    )
    def test_worst_decides_the_verdict(self, severities: str, errors: int, verdict: str) -> None:
        """In the order of the exit codes: an error, what could not be read, a warning, nothing."""
        found = tuple(finding("expiry.soon", each, severity=Severity(each)) for each in severities.split())
        unread = [Problems([InputError("is absent", where=f"{number}.pem") for number in range(errors)])]
        html = unescape(render(View(now=NOW, findings=found, errors=unread if errors else [])))
        heading = re.search(r'<span class="sign" aria-hidden="true">(.)</span>([^<]+)</span>(.*)</h1>', html)
        assert heading is not None
        assert "{} {}: {}".format(*heading.groups()) == verdict


class TestBrowser:
    """The page works in the browser, with and without JavaScript, on screens of any width and on paper."""

    @pytest.mark.parametrize("width", WIDTHS)
    def test_screenshot_shows_something(self, browser: Browser, report: Path, width: int) -> None:
        """The beginning of the page, in more colours than the one that an empty one has."""
        browser.open(report, width=width)
        shown, height, colours = pixels(browser.screenshot(width=width, height=2000, scale=0.25))
        assert abs(shown - width / 4) < 1
        assert height == 500
        assert colours > 50
        browser.driver.get("about:blank")
        assert pixels(browser.screenshot(width=width, height=2000, scale=0.25)) == (shown, height, 1)

    def test_policy_allows_the_pages_own_style_and_script_and_nothing_else(
        self, browser: Browser, report: Path, page: Path
    ) -> None:
        """Were a value not escaped, its script would still not run; ``open`` proves that the page's own parts do."""
        browser.open(report)
        assert browser.js('return getComputedStyle(document.querySelector("td.state.expired")).fontWeight') == "600"
        assert "unsafe" not in report.read_text(encoding="utf-8")
        attack = (
            f"{SCRIPT}<style>body{{display:none}}</style><img src=https://example.com/x><p style='color:red' id=p>p</p>"
        )
        page.write_text(report.read_text(encoding="utf-8").replace("</main>", f"{attack}</main>"), encoding="utf-8")
        browser.open(page, quiet=False)
        assert len([each for each in browser.console() if "Content Security Policy" in each]) == 4
        assert "pwned" not in browser.driver.title
        assert browser.js('return document.getElementById("p").getClientRects().length') == 1

    def test_nothing_is_requested(self, browser: Browser, report: Path) -> None:
        """The page is one file."""
        browser.open(report)
        assert browser.requests() == [report.as_uri()]

    def test_click_sorts_and_another_click_turns_the_order(self, browser: Browser, report: Path) -> None:
        """By time and not by text, and what nobody knows comes last either way."""
        browser.open(report)
        for order, turned in (("ascending", False), ("descending", True)):
            browser.all("th:nth-child(3) button")[0].click()
            ends = browser.texts("td.ends")
            assert ends == sorted(ends, reverse=turned)
            sorts = browser.js('return [...document.querySelectorAll("thead th")].map((th) => th.ariaSort)')
            assert sorts == [None, None, order, None, None, None, None, None]
        browser.all("th:nth-child(4) button")[0].click()
        days = [int(each.replace(",", "")) for each in browser.texts("td.days")]
        assert days == sorted(days)
        assert days[0] < 0
        assert days[-1] > 1000

    def test_unknown_end_is_last_in_either_order(self, browser: Browser, page: Path) -> None:
        """It is neither early nor late."""
        unknown = Watched("identity", "from SCEP", "x", baked_in=True, not_after=None)
        page.write_text(render(view(root("B", days=9), unknown, root("A", days=99))), encoding="utf-8")
        browser.open(page)
        for names in (["B", "A", "from SCEP"], ["A", "B", "from SCEP"]):
            browser.all("th:nth-child(3) button")[0].click()
            assert browser.texts("tbody th bdi:first-child") == names
        assert "nobody knows the end: 1." in browser.texts(".legend")[0]

    @pytest.mark.parametrize("width", WIDTHS)
    def test_table_is_sorted_from_the_keyboard(self, browser: Browser, report: Path, width: int) -> None:
        """Tab reaches every header, Enter and the space bar sort, and the focus is seen."""
        browser.open(report, width=width)
        reached = []
        for _ in range(60):
            ActionChains(browser.driver).send_keys(Keys.TAB).perform()
            reached.append(browser.js("return document.activeElement.textContent"))
            if reached[-1] == "Name":
                break
        outline = (
            "const style = getComputedStyle(document.activeElement); return style.outlineStyle + style.outlineWidth"
        )
        assert browser.js(outline) == "solid2px"
        ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
        names = browser.texts("tbody th bdi:first-child")
        assert names == sorted(names, key=str.casefold)
        ActionChains(browser.driver).send_keys(Keys.SPACE).perform()
        assert browser.texts("tbody th bdi:first-child") == sorted(names, key=str.casefold, reverse=True)
        assert browser.js("return document.activeElement.textContent") == "Name"

    def test_everything_is_there_without_javascript(self, browser: Browser, report: Path) -> None:
        """The same text, and no button that would do nothing."""
        browser.open(report)
        with_script = browser.driver.find_element("tag name", "body").text.replace(" ↕", "")
        assert len(browser.all("button")) == 8
        with browser.without_javascript():
            browser.open(report)
            assert browser.all("button") == []
            assert browser.driver.find_element("tag name", "body").text == with_script
        assert "Old Root" in with_script

    @pytest.mark.parametrize("width", [*WIDTHS, 320, 1025])
    def test_page_never_scrolls_sideways(self, browser: Browser, tmp_path: Path, page: Path, width: int) -> None:
        """However long a name without a space is; nothing in the table sticks out of it either."""
        long = [root(f"{'W' * 64}", place=f"{'f' * 200}.pem"), root("Demo")._replace(role="intermediate")]
        judged = view(*long, replace_on=NOW + 9000 * DAY)._replace(
            title="T" * 300, errors=[InputError("is absent", where="/" + "x" * 300, hint="y" * 300)]
        )
        page.write_text(render(judged), encoding="utf-8")
        browser.open(page, width=width)
        assert browser.js("return document.documentElement.scrollWidth") <= width
        wide = """return [...document.querySelectorAll("body *:not(svg *)")]
        .filter((each) => each.getBoundingClientRect().right > arguments[0] + 1).map((each) => each.outerHTML)"""
        assert browser.driver.execute_script(wide, width) == []
        assert tmp_path.exists()

    @pytest.mark.parametrize("width", WIDTHS)
    @pytest.mark.parametrize("days", [9, 100, 400, 4000])
    def test_labels_of_the_time_line_do_not_meet(self, browser: Browser, page: Path, width: int, days: int) -> None:
        """Neither the dates below, nor the two above, nor a name and its date."""
        page.write_text(
            render(view(root("A name of some length"), root("B", days=days), replace_on=NOW + 200 * DAY)),
            encoding="utf-8",
        )
        browser.open(page, width=width)
        boxes = browser.js(
            """return [...document.querySelectorAll("svg text")].map((each) => each.getBoundingClientRect())
            .filter((each) => each.width).map((each) => [each.left, each.right, each.top + 3, each.bottom - 3])"""
        )
        assert len(boxes) > 7
        for one, other in itertools.combinations(boxes, 2):
            beside = one[1] <= other[0] or other[1] <= one[0]
            assert beside or one[3] <= other[2] or other[3] <= one[2], (one, other)

    @pytest.mark.parametrize("width", WIDTHS)
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_text_is_legible_in_both_schemes(self, browser: Browser, report: Path, scheme: str, width: int) -> None:
        """At least 4.5 to 1 everywhere (WCAG 2.2 section 1.4.3); the dark page is dark."""
        browser.media(prefers_color_scheme=scheme)
        browser.open(report, width=width)
        found = browser.js(CONTRASTS)
        assert len(found) > 150
        assert [each for each in found if each[1] < 4.5] == []
        red = int(
            browser.js("return getComputedStyle(document.documentElement).backgroundColor").strip("rgb()").split(",")[0]
        )
        assert red > 240 if scheme == "light" else red < 40
        browser.media()

    def test_paper_has_everything_legible_whatever_the_scheme(self, browser: Browser, report: Path) -> None:
        """Printed without backgrounds: dark text on white, full fingerprints, the same words as on the screen."""
        browser.open(report)
        browser.media()
        on_screen = sorted(browser.texts("main p, main td, main th, svg text"))
        browser.media("print", prefers_color_scheme="dark")
        assert [each for each in browser.driver.execute_script(CONTRASTS, True) if each[1] < 4.5] == []
        hidden = """return [...document.querySelectorAll("main p, main td, main th, svg text:not(.narrow)")]
        .filter((each) => each.getClientRects().length === 0 || each.scrollWidth > each.clientWidth + 1
        && !each.namespaceURI.endsWith("svg") && getComputedStyle(each).overflow !== "visible")
        .map((each) => each.textContent)"""
        assert browser.js(hidden) == []
        code = "const code = document.querySelector('td.hash code'); return [code.scrollWidth, code.clientWidth]"
        full, seen = browser.js(code)
        assert full <= seen
        assert sorted(browser.texts("main p, main td, main th, svg text")) == on_screen
        printed = browser.pdf()
        assert printed.startswith(b"%PDF-")
        assert len(re.findall(rb"/Type /Page\b", printed)) >= 2
        browser.media()

    def test_structure_is_there_for_who_listens(self, browser: Browser, report: Path) -> None:
        """Language, one first heading and no level left out, landmarks, and a name for all that is drawn."""
        browser.open(report)
        levels = [int(each.tag_name[1]) for each in browser.all("h1, h2, h3, h4, h5, h6")]
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        assert browser.js("return document.documentElement.lang") == "en"
        assert [len(browser.all(each)) for each in ("header", "main", "footer", "nav[aria-label]", "caption")] == [
            1
        ] * 5
        assert [each.get_attribute("scope") for each in browser.all("thead th")] == ["col"] * 8
        assert {each.get_attribute("scope") for each in browser.all("tbody th")} == {"row"}
        (drawing,) = browser.all("svg[role=img]")
        assert drawing.accessible_name == "When each certificate ends"
        assert browser.texts("svg > desc")[0].startswith("11 bars from 2031-03-01 to ")

    @pytest.mark.parametrize("width", WIDTHS)
    def test_table_stays_a_table_for_who_listens(self, browser: Browser, report: Path, width: int) -> None:
        """Also where its rows are drawn as cards."""
        browser.open(report, width=width)
        nodes = browser.cdp("Accessibility.getFullAXTree")["nodes"]
        roles = [each["role"]["value"] for each in nodes if not each["ignored"]]
        rows = len(browser.all("tbody tr"))
        # Chromium needs no roles for that, others do.
        assert len(browser.all("tr[role=row] > td[role=cell]")) == 7 * rows
        counts = {role: roles.count(role) for role in ("table", "columnheader", "row", "rowheader", "cell", "caption")}
        assert counts == {
            "table": 1, "columnheader": 8, "row": rows + 1, "rowheader": rows, "cell": 7 * rows, "caption": 1,
        }  # fmt: skip


class TestHostile:
    """Certificates and file names hold what their makers like."""

    @pytest.mark.parametrize("text", [SCRIPT, IMAGE, TEMPLATE, "' onload='x", "</title></style></svg>-->]]>&amp;"])
    def test_subject_is_text(
        self, mdmprofile: Command, browser: Browser, tmp_path: Path, page: Path, text: str
    ) -> None:
        """In the name, the subject, the findings, the plan and the drawing."""
        target = tmp_path / "root.pem"
        subject = name(text, organization=text)
        target.write_bytes(issue(subject, ca=True, start=NOW - 9 * DAY, end=NOW - DAY).pem)
        mdmprofile("check", target, "--format", "html", "-o", page)
        browser.open(page)
        assert browser.texts("tbody th bdi")[0] == text
        assert f"root {text} expired on 2031-02-28" in browser.texts(".finding .said p")[0]
        assert f"root {text}" in browser.texts(".facts .why bdi")
        assert f"root {text}" in browser.texts("svg text.wide, svg text.halo")
        assert browser.texts("svg g > title")[0].startswith(f"root {text}, ")
        assert "pwned" not in browser.driver.title
        assert [len(browser.all(each)) for each in ("script", "style", "img", "svg img")] == [1, 1, 0, 0]
        assert browser.requests() == [page.as_uri()]

    @pytest.mark.parametrize("text", [SCRIPT, IMAGE, TEMPLATE])
    @pytest.mark.parametrize("readable", [True, False])
    def test_file_name_is_text(
        self, mdmprofile: Command, browser: Browser, tmp_path: Path, page: Path, text: str, readable: bool
    ) -> None:
        """In the table, and where it says what could not be read; a slash makes it a folder and a file."""
        target = tmp_path / f"{text}.pem"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(root_ca().pem if readable else b"-----BEGIN CERTIFICATE-----\n")
        mdmprofile("check", target, "--format", "html", "-o", page)
        browser.open(page)
        assert browser.texts("td.where bdi" if readable else "#unread ~ ul bdi") == [str(target)]
        assert "pwned" not in browser.driver.title
        assert browser.requests() == [page.as_uri()]

    def test_what_turns_the_reading_order_or_steers_is_shown_as_its_escape(self, browser: Browser, page: Path) -> None:
        """Otherwise a name could read as another one's; what people write from right to left stays as it is."""
        hebrew = "\u05e9\u05dc\u05d5\u05dd"
        things = [root(REVERSED), root(hebrew), root("a\x1b[2Jb")]
        lone = finding("expiry.soon", "a\ud800b\x00c", where="\u2067x")
        page.write_text(render(view(*things, findings=(lone,))), encoding="utf-8")
        browser.open(page)
        assert browser.texts("tbody th bdi") == ["\\u202egnp.exe", hebrew, "a\\x1b[2Jb"]
        assert browser.texts(".finding .said p")[0] == "a\\ud800b\\x00c"
        assert browser.texts(".finding bdi") == ["\\u2067x"]

    def test_text_of_a_megabyte_is_cut_and_says_so(self, browser: Browser, page: Path) -> None:
        """A page is for people."""
        certificate = root_ca().ours
        object.__setattr__(certificate, "subject", "S" * 1_000_000)
        long = finding("expiry.soon", "m" * 1_000_000, where="w" * 1_000_000)
        shown = view(watch(certificate, "root", "r.pem"), findings=(long,))._replace(title="t" * 1_000_000)
        page.write_text(render(shown), encoding="utf-8")
        assert page.stat().st_size < 60_000
        browser.open(page)
        assert browser.texts(".finding .said p")[0] == f"{'m' * 1000}… (1,000,000 characters)"

    @settings(deadline=None)
    @given(st.text(max_size=200))
    def test_no_text_ever_becomes_a_tag(self, text: str) -> None:
        """Every angle bracket of the page is the template's."""
        thing = dataclasses.replace(root_ca(days=9).ours)
        object.__setattr__(thing, "subject", text)
        watched = watch(thing, "root", text)._replace(name=text)
        said = (Finding("a.b", Severity.INFO, text, text, text, text),)
        tags = [
            re.findall(r"<[^>]*", re.sub(r'="[^"]*"', "", render(view(each, findings=found)._replace(title=title))))
            for each, found, title in (
                (watched, said, text),
                (watched._replace(name="n", where="w"), (said[0]._replace(message="m", where="w", hint="h"),), "t"),
            )
        ]
        # Slashes may add places to break, and empty texts leave elements out.
        assert {each for each in tags[0] if each != "<wbr"} <= {*tags[1], "<a", "</a"}


class TestCrowd:
    """Thousands of certificates are a page that works."""

    def test_ten_thousand_certificates(self, browser: Browser, page: Path) -> None:
        """All are in the table, which sorts; drawn are those that end first, and the rest is counted."""
        first = root()
        crowd = [
            first._replace(
                name=f"number {each}", where=f"{each}.pem", not_after=NOW + (each * 7919 % 10_000 + 40) * DAY
            )
            for each in range(10_000)
        ]
        crowd = [each._replace(certificate=None) for each in crowd]
        page.write_text(render(view(*crowd, findings=())), encoding="utf-8")
        browser.open(page)
        assert len(browser.all("svg .track")) == MAX_ROWS
        assert browser.texts("svg g > title")[0].startswith("root number 0, ")
        assert "9,940 more end later" in browser.texts(".legend")[0]
        browser.all("th:nth-child(4) button")[0].click()
        days = [int(each.replace(",", "")) for each in browser.texts("td.days")]
        assert days == list(range(40, 10_040))


moments = st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - timezones= makes them aware


class TestChart:
    """Where everything stands in the drawing."""

    def drawn(self, *watched: Watched, plan: Plan | None = None, now: datetime = NOW) -> Chart:
        """The drawing of these, all of them good."""
        return draw(watched, plan or make_plan(watched, Thresholds()), now=now, state_of=lambda _: "good")

    @given(
        ends=st.lists(st.none() | moments, max_size=8),
        now=moments,
        replace_on=st.none() | moments,
        margin=st.integers(0, 36_500).map(lambda days: timedelta(days=days)),
    )
    def test_everything_is_inside_the_drawing(
        self, ends: list[datetime | None], now: datetime, replace_on: datetime | None, margin: timedelta
    ) -> None:
        """Whatever the dates, and in the order in which they come."""
        things = [Watched("root", str(each), str(each), True, end) for each, end in enumerate(ends)]
        chart = self.drawn(*things, plan=make_plan(things, Thresholds(replace_on, margin)), now=now)
        shares = [
            *(each.width for each in chart.rows),
            *(each.x for each in chart.marks),
            *(each.x for each in chart.ticks),
        ]
        assert all(0 <= float(each.rstrip("%")) <= 100 for each in shares)
        assert [each.end for each in chart.rows] == sorted(each.end for each in chart.rows)
        assert all(chart.top < each.y < chart.bottom < chart.height for each in chart.rows)
        assert len(chart.rows) + chart.unknown == len(ends)
        assert len(chart.ticks) <= 7

    @pytest.mark.parametrize(
        ("days", "ticks"),
        [
            (90, ["2031-04", "2031-05", "2031-06"]),
            (400, ["2031-07", "2031-10", "2032-01", "2032-04"]),
            (3650, ["2034", "2036", "2038", "2040", "2042"]),
        ],
    )
    def test_ticks_are_round_dates(self, days: int, ticks: list[str]) -> None:
        """Months, quarters or years, whichever are few."""
        assert [each.text for each in self.drawn(root(days=days)).ticks] == ticks

    def test_latest_safe_date_that_has_passed_says_so(self) -> None:
        """At the left edge it would look like today."""
        (mark,) = self.drawn(root(days=10)).marks
        assert (mark.x, mark.text, mark.passed) == ("0.00%", "latest safe date 2031-02-09, passed", True)

    def test_every_state_has_a_word_and_a_sign(self) -> None:
        """The template names them in its style, too."""
        html = render(view(root()))
        assert [each for each in STATES if f".{each} " not in html and f".{each}," not in html] == []
        assert all(word and sign for word, sign in STATES.values())


def test_page_of_a_config_goes_to_standard_output(site: Site, mdmprofile: Command) -> None:
    """As every other format does; the exit code is that of the check, and stands on the page."""
    outcome = mdmprofile("check", site.config, "--format", "html", at=stamp(NOW + 360 * DAY))
    assert outcome.out.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert outcome.out.endswith("</html>\n")
    assert outcome.code == 2
    assert "exit code 2." in outcome.out


def test_name_that_begins_with_another_has_a_state_of_its_own(mdmprofile: Command, tmp_path: Path) -> None:
    """One payload with two certificates: the one is over, and the other is not because its name is shorter."""
    good, over = root_ca("Test"), issue("Test Old", ca=True, start=NOW - 9 * DAY, end=NOW - DAY)
    plist = profiles.enrollment()
    plist["PayloadContent"][0] |= {"PayloadType": "com.apple.security.pem", "PayloadContent": good.pem + over.pem}
    file = tmp_path / "two.mobileconfig"
    file.write_bytes(plistlib.dumps(plist))
    page = mdmprofile("check", file, "--format", "html").out
    states = re.findall(r'<bdi>(Test[^<]*)</bdi>.*?<td role="cell" class="state (\w+)"', page)
    assert states == [("Test", "good"), ("Test Old", "expired")]
