"""Give each device an enrollment profile of its own over HTTP, with Flask, to whoever shows the token.

usage: python examples/flask_enroll.py DIRECTORY [PORT]

DIRECTORY holds enroll.toml, as ``mdmprofile init --demo demo`` writes it. The first start puts token.txt there, and
ledger.sqlite, which ``mdmprofile check`` reads. Then, for example:

    curl -H "Enroll-Token: $(cat demo/token.txt)" -o C02XK1ABJG5H.mobileconfig \\
        "http://127.0.0.1:8000/enroll/C02XK1ABJG5H?udid=00008030-001A2B3C4D5E6F70"

A profile holds secrets: put a web server that speaks TLS in front of it. The ledger has one writer, so run one process
with many threads: gunicorn --workers 1 --threads 8 'flask_enroll:create_app("/etc/mdm")'
"""

from __future__ import annotations

import hmac
import re
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask, Response, abort, request

import mdmprofile
from mdmprofile.output import write_one

SERIAL = re.compile("[A-Z0-9]{8,14}")
UDID = re.compile("[0-9A-Fa-f]{8}-[0-9A-Fa-f]{16}|[0-9A-Fa-f]{40}|[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")


def create_app(directory: str) -> Flask:
    """The application, ready to be served by any WSGI server; everything that is slow has been done."""
    folder = Path(directory)
    maker = mdmprofile.RecordingMaker(
        mdmprofile.ProfileMaker.from_config(folder / "enroll.toml", now=datetime.now(UTC)), folder
    )
    token = read_token(folder / "token.txt")
    app = Flask(__name__)

    @app.route("/enroll/<serial>", methods=["GET", "POST"])
    def enroll(serial: str) -> Response:
        if not hmac.compare_digest(request.headers.get("Enroll-Token", "").encode(), token):
            abort(403)
        udid = request.args.get("udid", "")
        if not SERIAL.fullmatch(serial) or not UDID.fullmatch(udid):
            abort(400)
        if request.method == "HEAD":  # Flask lets it in wherever GET is, and nobody would get the identity
            abort(405)
        # What goes wrong here is logged by Flask, and the client sees no more than that it did.
        profile = maker.make({"serial": serial, "udid": udid}, now=datetime.now(UTC))
        if not profile.data:
            raise RuntimeError("; ".join(each.message for each in profile.findings if each.severity == "error"))
        name = {"Content-Disposition": f'attachment; filename="{serial}.mobileconfig"'}
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **name}
        return Response(profile.data, headers=headers, content_type="application/x-apple-aspen-config")

    return app


def read_token(file: Path) -> bytes:
    """The secret that clients show; where there is none, one is made that the owner alone can read."""
    if not file.exists():
        write_one(file, secrets.token_urlsafe(32).encode(), private=True)
    token = file.read_bytes().strip()
    if not token:
        raise mdmprofile.MdmprofileError("is empty", where=str(file), hint="remove it, and one is made")
    return token


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    try:
        application = create_app(sys.argv[1])
    except mdmprofile.MdmprofileError as error:
        sys.exit(f"cannot start: {error}")
    application.run(port=int(sys.argv[2]) if len(sys.argv) == 3 else 8000, threaded=True)  # noqa: PLR2004 - argv
