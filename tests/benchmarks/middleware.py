"""The request rate of an ASGI application behind the guard, against the same application without it.

    python tests/benchmarks/middleware.py [SECONDS]

uvicorn in one process, wrk in another on loopback, SECONDS (60) each, in turn twice. A few hundred devices that are
pinned send their messages, signed as macOS does; afterwards every pin has to be there.
"""

from __future__ import annotations

import contextlib
import os
import plistlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from message import certificate

import mdmprofile

DEVICES = 300
WANTED = 50
SCRIPT = """
local at, messages = 0, {}
init = function(args)
  for line in io.lines("messages.txt") do
    local header, udid = line:match("^(%S+) (%S+)$")
    local file = io.open(udid, "rb")
    messages[#messages + 1] = wrk.format("PUT", "/mdm", {["Mdm-Signature"] = header}, file:read("*a"))
    file:close()
  end
end
request = function()
  at = at % #messages + 1
  return messages[at]
end
"""


def prepare(folder: Path) -> None:
    """A CA, devices that are pinned, and what each sends."""
    now = datetime.now(UTC)
    ca_key, device_key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    authority = certificate("Device CA", ca_key, ca_key, now, ca=True)
    (folder / "ca.pem").write_bytes(authority.public_bytes(Encoding.PEM))
    lines = []
    with mdmprofile.SqlitePinStore(folder / "pins.sqlite") as store:
        for number in range(DEVICES):
            udid = f"00008030-{number:016X}"
            issued = certificate(udid, device_key, ca_key, now - timedelta(days=1), issuer=authority)
            identity = mdmprofile.Identity(mdmprofile.Certificate(issued.public_bytes(Encoding.DER)), device_key)
            body = plistlib.dumps({"Status": "Idle", "UDID": udid, "Padding": "x" * 220})
            (folder / udid).write_bytes(body)
            lines.append(f"{mdmprofile.sign_mdm_message(body, identity)} {udid}\n")
            store.authenticate(udid, identity.certificate.sha256, at=now)
    (folder / "messages.txt").write_text("".join(lines))
    (folder / "wrk.lua").write_text(SCRIPT)


@contextlib.contextmanager
def serving(folder: Path, *, guard: bool) -> Iterator[str]:
    """The application under uvicorn; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = dict(os.environ)
    if guard:
        environment |= {"DEVICE_CA": str(folder / "ca.pem"), "PINS": str(folder / "pins.sqlite")}
    words = [sys.executable, "-m", "uvicorn", "guarded_app:app", "--port", str(port), "--no-access-log"]
    with subprocess.Popen(words, cwd=Path(__file__).parent, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                with contextlib.suppress(urllib.error.HTTPError, OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def rate(folder: Path, seconds: int, *, guard: bool) -> float:
    """Requests a second; a failed one ends the benchmark."""
    with serving(folder, guard=guard) as url:
        words = ["wrk", "-t1", "-c16", f"-d{seconds}s", "-s", "wrk.lua", url]
        told = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        sys.exit(f"requests failed:\n{told}")
    found = re.search(r"Requests/sec:\s+([0-9.]+)", told)
    return float(found[1]) if found else sys.exit(told)


def main() -> int:
    """Print the rates; 1 when a pin is lost or the rate falls too far."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        bare, guarded = [], []
        for _ in range(2):
            bare.append(rate(folder, seconds // 2 or 1, guard=False))
            guarded.append(rate(folder, seconds // 2 or 1, guard=True))
        with mdmprofile.SqlitePinStore(folder / "pins.sqlite") as store:
            pins = sum(1 for _ in store.pins())
    share = 100 * mean(guarded) / mean(bare)
    print(f"without the guard: {', '.join(f'{each:,.0f}/s' for each in bare)}")
    print(f"with it: {', '.join(f'{each:,.0f}/s' for each in guarded)}: {share:.0f} % (at least {WANTED} %)")
    print(f"no request failed; {pins} of {DEVICES} pins are there")
    return 0 if share >= WANTED and pins == DEVICES else 1


if __name__ == "__main__":
    sys.exit(main())
