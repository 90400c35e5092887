"""A real PostgreSQL server, started for the tests in a directory of their own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import system_tool


def programs() -> Path:
    """Where Debian keeps the server's programs, or where they are found in the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return (debian[-1] if debian else Path(system_tool("initdb"))).parent


@contextmanager
def running() -> Iterator[str]:
    """A server that listens on a socket in its own directory; the URL of an empty database."""
    # The server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    # A socket's path is short, and pytest's directories are root's alone.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    shutil.chown(folder, user)
    data = folder / "data"

    def run(program: str, *words: str | Path) -> None:
        subprocess.run(
            [programs() / program, *words], check=True, stdout=subprocess.DEVNULL, user=user, cwd=folder, env={}
        )

    try:
        run("initdb", "--auth=trust", "--username=mdm", "--encoding=UTF8", "--no-sync", "-D", data)
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c max_connections=60"
        run("pg_ctl", "start", "--wait", "-D", data, "-o", options, "-l", folder / "log")
        try:
            yield f"postgresql+psycopg://mdm:not-needed@/postgres?host={folder}"
        finally:
            run("pg_ctl", "stop", "-m", "immediate", "-D", data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
