"""Commands that the administrator names: run without a shell, for a bounded time and a bounded output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from mdmprofile.errors import MdmprofileError

_BY_HAND = "run it by hand to see why"


class CommandError(MdmprofileError):
    """A command cannot be run, failed, or gave no answer in time; what it printed is not quoted."""


def run_command(command: Sequence[str], *, seconds: float, limit: int, data: bytes | None = None) -> bytes:
    """What the command writes to standard output: at most ``limit`` + 1 bytes, so that the caller can tell too much.

    ``data`` goes to its standard input, which is empty without; its standard error goes to the user. ``seconds``
    bound each of its answer and its end. Raises ``CommandError`` that names the program, never its arguments, which
    may be secret.
    """
    import subprocess  # noqa: PLC0415 - few runs need a command
    import threading  # noqa: PLC0415

    name = command[0]
    given = subprocess.DEVNULL if data is None else subprocess.PIPE
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=given)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"the command {name} cannot be run: {reason}", hint="check its name and PATH") from None
    found: list[bytes] = []
    # Threads, because a child of the command can keep the pipes open after the command was killed.
    threading.Thread(target=_write, args=(process.stdin, data), daemon=True).start()
    reader = threading.Thread(target=_read, args=(process.stdout, limit, found), daemon=True)
    reader.start()
    try:
        reader.join(seconds)
        silent = reader.is_alive()
        output = found[0] if found else b""
        if silent or len(output) > limit:
            process.kill()
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        silent = True
    finally:
        process.kill()
        process.wait()
    if silent:
        raise CommandError(f"the command {name} gave no answer in {seconds} seconds", hint=_BY_HAND)
    if len(output) <= limit and status:
        raise CommandError(f"the command {name} failed with status {status}", hint=_BY_HAND)
    return output


def _read(stream: IO[bytes] | None, limit: int, found: list[bytes]) -> None:
    if stream is not None:
        with stream:
            found.append(stream.read(limit + 1))


def _write(stream: IO[bytes] | None, data: bytes | None) -> None:
    """Hand over the input; a command that closes it early has read what it wanted, or says itself what is wrong."""
    try:
        if stream is not None:
            with stream:
                stream.write(data or b"")
    except OSError:
        return
