"""The web server's configuration, in real nginx and Caddy: each document, whole, at its path, with its type."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from conftest import Command, Outcome
from pki import CONFIG, Site, make_site
from servers import Host, caddy, fetch, nginx

PROFILE = "application/x-apple-aspen-config"
SERVICE = "application/json; charset=UTF8"
DISCOVERY = "/.well-known/com.apple.remotemanagement"
BYOD = 'byod_enrollment_url = "https://mdm.example.com/byod"\n'
# Path, file, Content-Type: what the config of the tests publishes with BYOD.
PUBLISHED = [
    ("/enroll", "enroll.mobileconfig", PROFILE),
    ("/trust.mobileconfig", "trust.mobileconfig", PROFILE),
    ("/dep_anchor_certs", "dep_anchor_certs", SERVICE),
    ("/MDMServiceConfig", "MDMServiceConfig", SERVICE),
    (DISCOVERY, "com.apple.remotemanagement", "application/json"),
]


class WebServer(NamedTuple):
    """A web server: its name for --snippet, how it is run, and how it takes the file in and answers the rest.

    ``unspeakable`` are the letters that no directory in its configuration can have.
    """

    name: str
    run: Callable[..., AbstractContextManager[int]]
    include: str
    rest: str
    unspeakable: str


NGINX = WebServer("nginx", nginx, 'include "{}";', "location / { return 404; }", "$")
CADDY = WebServer("caddy", caddy, 'import "{}"', "handle {\nrespond 404\n}", "{}\\")
both = pytest.mark.parametrize("server", [NGINX, CADDY], ids=["nginx", "caddy"])


def edited(site: Site, **urls: str) -> None:
    """Set keys of the trust table; an empty text takes the key out."""
    kept = [line for line in site.config.read_text().splitlines() if line.partition(" =")[0] not in urls]
    lines = [f"{key} = {json.dumps(url, ensure_ascii=False)}" for key, url in urls.items() if url]
    text = "\n".join(kept) + "\n"
    site.config.write_text(text.replace("[trust]\n", "\n".join(["[trust]", *lines, ""])))


def printed(mdmprofile: Command, site: Site, server: WebServer, *more: str | Path) -> Outcome:
    """What the command says and returns."""
    return mdmprofile("trust", "-c", site.config, "--snippet", server.name, *more)


def snippet(mdmprofile: Command, site: Site, server: WebServer, *more: str | Path) -> str:
    """The configuration that is printed; a failure is the test's."""
    outcome = printed(mdmprofile, site, server, *more)
    assert outcome.code == 0, outcome.err
    return outcome.out


def served(server: WebServer, text: str, site: Site, tmp: Path) -> AbstractContextManager[int]:
    """The server with the configuration included, as its own comment says."""
    tmp.mkdir(exist_ok=True)
    (tmp / "snippet").write_text(text, encoding="utf-8")
    body = f"{server.include.format(tmp / 'snippet')}\n{server.rest}"
    host = Host(body, site.server.pem + site.intermediate.pem, site.server.key_pem(), "mdm.example.com")
    return server.run(host, tmp / "server")


@both
def test_every_document_is_served_whole_with_its_type(
    server: WebServer, site: Site, mdmprofile: Command, tmp_path: Path
) -> None:
    """Built, printed, included: over TLS each comes back byte for byte, to anybody, and nothing else does."""
    site.edit(lambda text: text.replace("[trust]\n", f"[trust]\n{BYOD}"))
    out = tmp_path / "out"
    assert mdmprofile("build", "-c", site.config, "-o", out).code == 0
    text = snippet(mdmprofile, site, server, "-o", out)
    with served(server, text, site, tmp_path / "web") as port:
        for path, file, media_type in PUBLISHED:
            for target in (path, f"{path}?user-identifier=a%40example.com"):
                answer = fetch(port, target)
                assert (answer.status, answer.content_type) == (200, media_type), target
                assert answer.body == (out / file).read_bytes()
            head = fetch(port, path, method="HEAD")
            assert (head.status, head.content_type, head.body) == (200, media_type, b"")
        for path in (
            "/",
            "/x",
            "/enroll/",
            "/enroll/x",
            "/ENROLL",
            "/enroll.mobileconfig",
            "/.mdmprofile/",
        ):
            assert fetch(port, path).status == 404, path
        assert fetch(port, "/.mdmprofile/enroll.mobileconfig").status == 404


@both
def test_automated_enrollment_gets_the_profile_for_its_post(
    server: WebServer, site: Site, mdmprofile: Command, tmp_path: Path
) -> None:
    """A device sends what it is in a POST; no cache may keep what it gets. Other documents take none."""
    out = tmp_path / "out"
    assert mdmprofile("build", "-c", site.config, "-o", out).code == 0
    with served(server, snippet(mdmprofile, site, server, "-o", out), site, tmp_path / "web") as port:
        for method in ("GET", "POST"):
            answer = fetch(port, "/enroll", method=method)
            assert (answer.status, answer.content_type) == (200, PROFILE)
            assert answer.body == (out / "enroll.mobileconfig").read_bytes()
            assert answer.headers["cache-control"] == "no-store"
        assert fetch(port, "/enroll", method="DELETE").status in {403, 404, 405}
        assert fetch(port, "/trust.mobileconfig", method="POST").status in {404, 405}
        assert "cache-control" not in fetch(port, "/trust.mobileconfig").headers


def test_what_else_the_block_of_nginx_says_is_not_in_the_way(site: Site, mdmprofile: Command, tmp_path: Path) -> None:
    """A password, a proxy, a rule about dot files, other types and headers: devices get the documents all the same."""
    site.edit(lambda text: text.replace("[trust]\n", f"[trust]\n{BYOD}"))
    out = tmp_path / "out"
    assert mdmprofile("build", "-c", site.config, "-o", out).code == 0
    (tmp_path / "passwords").write_text("admin:{PLAIN}secret\n")
    rest = """
        auth_basic "closed"; auth_basic_user_file "PASSWORDS"; charset utf-8; default_type text/plain;
        types { text/html mobileconfig remotemanagement; } add_header X-Own yes; root /nowhere; index x.html;
        location ~ /[.] { return 403; }
        location ~ mobileconfig { return 403; }
        location ^~ /.well-known/ { return 403; }
        location / { proxy_pass http://127.0.0.1:1; }
    """
    web = NGINX._replace(rest=rest.replace("PASSWORDS", str(tmp_path / "passwords")))
    with served(web, snippet(mdmprofile, site, web, "-o", out), site, tmp_path / "web") as port:
        for path, file, media_type in PUBLISHED:
            answer = fetch(port, path, method="POST" if file == "enroll.mobileconfig" else "GET")
            assert (answer.status, answer.content_type) == (200, media_type)
            assert answer.body == (out / file).read_bytes()
        assert fetch(port, "/mdm").status == 401


@both
def test_a_document_that_was_not_built_is_not_found(
    server: WebServer, site: Site, mdmprofile: Command, tmp_path: Path
) -> None:
    """Not some other file, and no list of the directory."""
    out = tmp_path / "out"
    out.mkdir()
    with served(server, snippet(mdmprofile, site, server, "-o", out), site, tmp_path / "web") as port:
        for path, _, _ in PUBLISHED:
            assert fetch(port, path).status == 404
            assert fetch(port, path, method="POST").status in {404, 405}


# Names that mean something to nginx, Caddy, a shell or a template; each is one directory below another.
NAMES = [
    "with space",
    'quo"te',
    "apo'strophe",
    "semi;colon",
    "#hash",
    "back\\slash",
    "back\\",
    'back\\"quote',
    "$host",
    "${host}",
    "{block}",
    "{$HOME}",
    "{http.request.host}",
    "{",
    "}",
    "`tick`",
    "{{ 7 * 7 }}",
    "%41%2f%2e",
    "~",
    "*",
    "ünï çødé ☃",
    "\u202ereversed",
    "line\nbreak",
    "--",
]


@both
@pytest.mark.parametrize("name", NAMES)
def test_a_directory_of_any_name_is_served_or_refused(
    server: WebServer, name: str, site: Site, mdmprofile: Command, tmp_path: Path
) -> None:
    """The very files, or an error that names the key: never a file of another directory."""
    out = tmp_path / "web root" / name / "out"
    assert mdmprofile("build", "-c", site.config, "-o", out).code == 0
    outcome = printed(mdmprofile, site, server, "-o", out)
    if set(name) & {*server.unspeakable, "\n", "\u202e"}:
        assert (outcome.code, outcome.out) == (3, "")
        assert "output.directory" in outcome.err
        return
    assert outcome.code == 0, outcome.err
    with served(server, outcome.out, site, tmp_path / "web") as port:
        for path, file, media_type in PUBLISHED[:-1]:
            answer = fetch(port, path)
            assert (answer.status, answer.content_type) == (200, media_type)
            assert answer.body == (out / file).read_bytes()


# Paths of a URL in a config, and what a client sends for each.
PATHS = [
    "/",
    "/enroll/",
    "/a/b/c.mobileconfig",
    "/with%20space",
    "/quo%22te'",
    "/semi;colon,=:@!&()*+",
    "/$host/$1/${uri}",
    "/{block}/{$HOME}/{http.request.host}/}{",
    "/back%5Cslash/%5C%22/n",
    "/%60tick%60",
    "/question%3Fmark",
    "/hash%23",
    "/percent%25%34%31%2541",
    "/%65nroll",
    "/ünï/%E2%98%83/𝄞",
    "/~^regex.*$",
    "/@named",
    "/trust.mobileconfig/",
    "/enroll.mobileconfig",
    "/enroll.mobileconfig/",
]


@both
@pytest.mark.parametrize("path", PATHS)
def test_a_document_is_served_at_whatever_path_its_url_has(
    server: WebServer, path: str, site: Site, mdmprofile: Command, tmp_path: Path
) -> None:
    """As devices ask for it, and a neighbour of the path gets nothing."""
    out = tmp_path / "out"
    edited(site, enrollment_url=f"https://mdm.example.com{path}")
    assert mdmprofile("build", "-c", site.config, "-o", out).code == 0
    asked = quote(path, safe="/%;,=:@!&()*+$~")
    with served(server, snippet(mdmprofile, site, server, "-o", out), site, tmp_path / "web") as port:
        for method in ("GET", "POST"):
            answer = fetch(port, asked, method=method)
            assert (answer.status, answer.content_type) == (200, PROFILE)
            assert answer.body == (out / "enroll.mobileconfig").read_bytes()
        assert fetch(port, f"{asked}x").status == 404
        assert fetch(port, "/trust.mobileconfig").body == (out / "trust.mobileconfig").read_bytes()


@both
@pytest.mark.parametrize(
    "path",
    [
        "/a/../b",
        "/a/./b",
        "/a//b",
        "//b",
        "/%2e%2e/b",
        "/a%2fb",
        "/a%2Fb",
        "/%00",
        "/a%0ab",
        "/%zz",
        "/%ff",
        "/a%",
        "/é%E2",
        "/%E2%80%AEx",
        "/" + "a" * 2000,
    ],
)
def test_a_path_that_servers_read_in_different_ways_is_refused(
    server: WebServer, path: str, site: Site, mdmprofile: Command
) -> None:
    """One line that names the key, and no configuration."""
    edited(site, trust_profile_url=f"https://mdm.example.com{path}")
    outcome = printed(mdmprofile, site, server)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (3, "", 1)
    assert "trust.trust_profile_url" in outcome.err


@pytest.mark.parametrize(
    ("urls", "keys"),
    [
        ({"trust_profile_url": "/enroll"}, ("trust_profile_url", "enrollment_url")),
        ({"trust_profile_url": "/%65nroll?x"}, ("trust_profile_url", "enrollment_url")),
        ({"anchor_certs_url": "/MDMServiceConfig"}, ("anchor_certs_url", "MDMServiceConfig")),
        ({"anchor_certs_url": "//other.example.com/enroll"}, ("anchor_certs_url", "enrollment_url")),
        ({"enrollment_url": "/mdm"}, ("enrollment_url", "server.url")),
        ({"enrollment_url": "//MDM.example.com./mdm"}, ("enrollment_url", "server.url")),
        ({"enrollment_url": "//mdm.example.com:443/scep"}, ("enrollment_url", "identity.url")),
        ({"adde_enrollment_url": "/enroll"}, ("enrollment_url", "adde_enrollment_url")),
        ({"byod_enrollment_url": "/b", "trust_profile_url": DISCOVERY}, ("trust_profile_url", DISCOVERY)),
        (
            {"enrollment_url": "", "anchor_certs_url": "", "trust_profile_url": "/enroll.mobileconfig"},
            ("trust_profile_url", "enrollment_url"),
        ),
    ],
)
def test_two_things_at_one_path_are_an_error_that_names_both(
    urls: dict[str, str], keys: tuple[str, str], site: Site, mdmprofile: Command
) -> None:
    """The first would hide the second, or the MDM server itself."""
    full = {key: url and f"https:{url if url[:2] == '//' else f'//mdm.example.com{url}'}" for key, url in urls.items()}
    edited(site, **full)
    for server in (NGINX, CADDY):
        outcome = printed(mdmprofile, site, server)
        assert (outcome.code, outcome.out) == (3, "")
        assert all(key in outcome.err for key in keys)


def test_the_same_path_on_two_servers_hides_nothing_of_the_other(site: Site, mdmprofile: Command) -> None:
    """What the MDM server answers matters on its own host alone."""
    edited(site, trust_profile_url="https://certs.example.com/mdm")
    assert "certs.example.com" in snippet(mdmprofile, site, NGINX)


@both
def test_documents_of_other_hosts_stand_under_their_name(server: WebServer, site: Site, mdmprofile: Command) -> None:
    """The MDM server's own first; the accounts' domain, which the config does not know, last."""
    edited(
        site,
        trust_profile_url="https://certs.example.com/trust",
        anchor_certs_url="https://Certs.Example.com:8443/anchors",
        enrollment_url="https://mdm.b\u00fccher.example/enroll",
        adde_enrollment_url="https://mdm.example.com/adde",
    )
    text = snippet(mdmprofile, site, server)
    wanted = [
        "block of mdm.example.com",
        '"/MDMServiceConfig"',
        "block of mdm.xn--bcher-kva.example",
        '"/enroll"',
        "block of certs.example.com\n",
        '"/trust"',
        "block of certs.example.com:8443",
        '"/anchors"',
        "Managed Apple Accounts",
        "/com.apple.remotemanagement",
    ]
    places = [text.find(each) for each in wanted]
    assert -1 not in places
    assert places == sorted(places)


@both
def test_each_host_serves_its_own_part(server: WebServer, site: Site, mdmprofile: Command, tmp_path: Path) -> None:
    """Cut at the comment, each part stands in a block of its own."""
    edited(site, trust_profile_url="https://certs.example.com/trust")
    out = tmp_path / "out"
    assert mdmprofile("build", "-c", site.config, "-o", out).code == 0
    own, _, other = snippet(mdmprofile, site, server, "-o", out).partition("# From here on: ")
    with served(server, own, site, tmp_path / "own") as port:
        assert fetch(port, "/trust").status == 404
        assert fetch(port, "/enroll").status == 200
    with served(server, f"# {other}", site, tmp_path / "other") as port:
        assert fetch(port, "/trust").body == (out / "trust.mobileconfig").read_bytes()
        assert fetch(port, "/enroll").status == 404


def test_only_what_the_config_makes_is_in_it(site: Site, mdmprofile: Command) -> None:
    """Without a URL, a document has no place; the enrollment profile then has one of its own."""
    edited(site, trust_profile_url="", enrollment_url="", anchor_certs_url="")
    for server in (NGINX, CADDY):
        text = snippet(mdmprofile, site, server)
        assert '"/enroll.mobileconfig"' in text
        assert not [
            name for name in ("trust.mobileconfig", "MDMServiceConfig", "dep_anchor", "well-known") if name in text
        ]


def test_public_trust_has_no_trust_profile_to_serve(site: Site, mdmprofile: Command) -> None:
    """None is made, and an older one must not stay in reach."""
    site.edit(lambda text: text.replace("[trust]\n", "[trust]\npublic = true\n"))
    text = snippet(mdmprofile, site, NGINX)
    assert "trust.mobileconfig" not in text
    assert '"/dep_anchor_certs"' in text


@both
def test_in_json_it_is_one_object(server: WebServer, site: Site, mdmprofile: Command) -> None:
    """The text as it would be printed, and the findings."""
    site.edit(lambda text: text.replace("[trust]\n", "[trust]\npublic = true\n"))
    outcome = printed(mdmprofile, site, server, "--format", "json")
    assert outcome.rules == ["trust.public-unused"]
    assert outcome.json["snippet"] == snippet(mdmprofile, site, server)


def test_findings_go_to_standard_error(site: Site, mdmprofile: Command) -> None:
    """Standard output holds the configuration alone, so that it can be a file."""
    site.edit(lambda text: text.replace("[trust]\n", "[trust]\npublic = true\n"))
    outcome = printed(mdmprofile, site, NGINX)
    assert "trust.public-unused" in outcome.err
    assert "trust.public-unused" not in outcome.out


@pytest.mark.parametrize("key", ["trust_profile_url", "enrollment_url", "byod_enrollment_url"])
def test_a_url_that_devices_do_not_fetch_prints_nothing(key: str, site: Site, mdmprofile: Command) -> None:
    """Exit code 2 and the finding, as in a build."""
    edited(site, **{key: "http://mdm.example.com/x"})
    outcome = printed(mdmprofile, site, NGINX, "--format", "json")
    assert (outcome.code, outcome.rules, outcome.json["snippet"]) == (2, ["trust.url-scheme"], None)
    outcome = printed(mdmprofile, site, NGINX)
    assert outcome.code == 2
    assert "location" not in outcome.out


def test_nothing_is_written_and_no_secret_is_asked_for(site: Site, mdmprofile: Command) -> None:
    """The certificates and the challenge need not even be there."""
    for file in site.folder.iterdir():
        if file != site.config:
            file.unlink()
    snippet(mdmprofile, site, NGINX)
    assert list(site.folder.iterdir()) == [site.config]


def test_the_directory_is_absolute_wherever_the_command_is_run(
    site: Site, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A server does not stand where the administrator stood."""
    monkeypatch.chdir(tmp_path)
    site.config.write_text(site.config.read_text() + '\n[output]\ndirectory = "out"\n')
    near = mdmprofile("trust", "-c", site.config.relative_to(tmp_path), "--snippet", "nginx")
    assert f'root "{tmp_path / "site" / "out"}";' in near.out
    assert f'root "{tmp_path / "flagged"}";' in snippet(mdmprofile, site, NGINX, "-o", "flagged")


def test_standard_output_is_no_directory_to_serve(site: Site, mdmprofile: Command) -> None:
    """Said in one line."""
    outcome = printed(mdmprofile, site, NGINX, "-o", "-")
    assert (outcome.code, outcome.out) == (3, "")
    assert "--snippet" in outcome.err


@pytest.mark.parametrize("host", ["{$HOME}", "a;b", "a$b", "a b", '"', "[::1", "a%41", "-" * 70, "."])
def test_a_host_that_no_server_has_is_refused(host: str, site: Site, mdmprofile: Command) -> None:
    """It is shown in a comment, which some servers fill variables into."""
    edited(site, trust_profile_url=f"https://{host}/trust")
    for server in (NGINX, CADDY):
        outcome = printed(mdmprofile, site, server)
        assert outcome.code in {2, 3}
        assert "trust.trust_profile_url" in outcome.out + outcome.err
        assert "location" not in outcome.out
        assert "handle" not in outcome.out


def test_a_secret_in_a_url_is_not_printed(site: Site, mdmprofile: Command) -> None:
    """Neither a password nor a query is part of a place."""
    edited(site, trust_profile_url="https://user:pass-4711@mdm.example.com/t?token=tok-4711")
    outcome = printed(mdmprofile, site, CADDY)
    assert outcome.code == 0
    assert "4711" not in outcome.out + outcome.err


@both
def test_ipv6_hosts_have_their_brackets(server: WebServer, tmp_path: Path, mdmprofile: Command) -> None:
    """As they are in a URL."""
    site = make_site(
        tmp_path / "six", config=CONFIG.replace("https://mdm.example.com/mdm", "https://[2001:db8::1]:8443/mdm")
    )
    assert "[2001:db8::1]:8443" in snippet(mdmprofile, site, server)


def test_path_that_the_snippet_needs_itself_is_refused(mdmprofile: Command, site: Site) -> None:
    """Nginx would find two locations of one path."""
    edited(site, enrollment_url="https://mdm.example.com/.mdmprofile/enroll.mobileconfig")
    outcome = printed(mdmprofile, site, NGINX)
    assert outcome.code == 3
    assert "trust.enrollment_url" in outcome.err
