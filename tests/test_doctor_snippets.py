"""The rehearsal against the printed web server configuration: what is published so passes, in nginx and in Caddy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import Command
from live import HOST, LiveSite
from servers import Host
from test_doctor import outcomes, serious
from test_snippets import WebServer, both


@pytest.fixture
def live(tmp_path: Path, mdmprofile: Command) -> LiveSite:
    """A site that publishes everything there is, and whose SCEP server is not part of this."""

    def change(config: str) -> str:
        origin = config.partition('url = "')[2].partition('/mdm"')[0]
        before, _, rest = config.partition("[identity]")
        added = f'byod_enrollment_url = "{origin}/byod"\nadde_enrollment_url = "{origin}/adde"\n'
        acme = f'type = "acme"\ndirectory_url = "{origin}/acme"\nclient_identifier = "once"\nsubject = "CN=d"\n'
        return (
            before.replace("[trust]\n", f"[trust]\n{added}")
            + f'[identity]\n{acme}validity = "365d"\n[signing]'
            + rest.partition("[signing]")[2]
        )

    site = LiveSite(tmp_path, change=change)
    built = mdmprofile("build", "-c", site.site.config, "-o", site.out)
    assert built.code == 0, built.out + built.err
    return site


def acme_of(server: WebServer, origin: str) -> str:
    """A directory, so that nothing but the documents can fail."""
    directory = json.dumps({key: f"{origin}/{key}" for key in ("newNonce", "newAccount", "newOrder")})
    if server.name == "nginx":
        return f"location = /acme {{ default_type application/json; return 200 '{directory}'; }}"
    return f"handle /acme {{\nheader Content-Type application/json\nrespond `{directory}`\n}}"


@both
def test_documents_as_the_snippet_serves_them_pass_every_step(
    live: LiveSite, mdmprofile: Command, tmp_path: Path, server: WebServer
) -> None:
    """Without a finding above information, by the config and by the profile."""
    snippet = mdmprofile("trust", "-c", live.site.config, "-o", live.out, "--snippet", server.name)
    assert snippet.code == 0, snippet.err
    file = tmp_path / "snippet.conf"
    file.write_text(snippet.out, encoding="utf-8")
    body = "\n".join((server.include.format(file), acme_of(server, live.origin), server.rest))
    certificate = live.site.server.pem + live.site.intermediate.pem
    host = Host(body, certificate, live.site.server.key_pem(), name=HOST, port=live.port)
    with server.run(host, tmp_path / "server"):
        by_config = mdmprofile("doctor", live.site.config, *live.route, "--format", "json")
        by_profile = mdmprofile("doctor", live.profile, *live.route, "--format", "json")
    assert (by_config.code, serious(by_config)) == (0, {}), by_config.out
    assert (by_profile.code, serious(by_profile)) == (0, {}), by_profile.out
    assert outcomes(by_config) == {
        "ServerURL": "passed",
        "check-in": "not tried",
        "ACME directory": "passed",
        "ACME order": "not tried",
        "MDMServiceConfig": "passed",
        "trust_profile_url": "passed",
        "dep_anchor_certs_url": "passed",
        "dep_enrollment_url": "passed",
        "enrollment profile": "not tried",
        "account-driven enrollment": "passed",
    }


@pytest.mark.parametrize(
    ("answer", "severity", "outcome"),
    [
        ("return 404;", None, "not tried"),
        ("default_type application/json; return 200 '{\"Servers\": []}';", "error", "failed"),
        ("default_type text/html; return 200 '<html>';", "error", "failed"),
    ],
)
def test_discovery_document_is_held_against_the_config(
    live: LiveSite, mdmprofile: Command, answer: str, severity: str | None, outcome: str
) -> None:
    """Its absence here says little, because it belongs on the domain of the users' accounts."""
    nginx = WebServer("nginx", lambda: None, "", "", "")  # type: ignore[arg-type, return-value]  # its name alone counts
    body = f"location = /.well-known/com.apple.remotemanagement {{ {answer} }}\n{acme_of(nginx, live.origin)}"
    with live.serve(live.locations() + body):
        found = mdmprofile("doctor", live.site.config, *live.route, "--format", "json")
    assert serious(found) == ({"service.inconsistent": severity} if severity else {})
    assert outcomes(found)["account-driven enrollment"] == outcome
