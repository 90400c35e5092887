"""Where a secret comes from, and fetching it as late as possible."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mdmprofile.errors import SecretError
from mdmprofile.inputs import MAX_SECRET, read_file

COMMAND_SECONDS = 60
Prompt = Callable[[str], str]


@dataclass(frozen=True)
class SecretSource:
    """A literal value, an environment variable, a file, a command's output or a prompt.

    Nothing is read until ``fetch``, so a config can be judged without its secrets. The value and the place never
    show in ``repr``.
    """

    kind: str
    place: str | Path | tuple[str, ...] = field(repr=False)
    key: str = ""

    def fetch(self, prompt: Prompt | None = None) -> str:
        """The secret, without the line end that editors and ``echo`` leave behind it.

        Raises ``SecretError`` that names the key and the source, never the value.
        """
        if self.kind == "value":
            return str(self.place)
        if self.kind == "env":
            return self._from_environment(str(self.place))
        if self.kind == "file":
            return self._text(read_file(Path(str(self.place)), limit=MAX_SECRET), f"file {self.place}")
        if self.kind == "command" and isinstance(self.place, tuple):
            return self._from_command(self.place)
        if prompt is None:
            raise SecretError(
                "would be asked for, but nobody can answer here",
                where=self.key,
                hint="use file, env or command",
            )
        return prompt(str(self.place))

    def _from_environment(self, name: str) -> str:
        value = os.environ.get(name)
        if value is None:
            raise SecretError(
                f"the environment variable {name} is not set",
                where=self.key,
                hint=f"export {name}, or use file",
            )
        return value

    def _from_command(self, command: tuple[str, ...]) -> str:
        """Run the command without a shell; its standard error goes to the user, its output is the secret."""
        import subprocess  # noqa: PLC0415 - few secrets come from a command
        import tempfile  # noqa: PLC0415

        try:
            with tempfile.TemporaryFile() as output:
                subprocess.run(command, check=True, stdout=output, stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS)
                output.seek(0)
                data = output.read(MAX_SECRET + 1)
        except subprocess.TimeoutExpired:
            raise SecretError(
                f"the command {command[0]} gave no answer in {COMMAND_SECONDS} seconds", where=self.key
            ) from None
        except subprocess.CalledProcessError as error:
            raise SecretError(
                f"the command {command[0]} failed with status {error.returncode}", where=self.key
            ) from None
        except (OSError, ValueError) as error:
            raise SecretError(f"the command {command[0]} cannot be run: {error}", where=self.key) from None
        return self._text(data, f"output of {command[0]}")

    def _text(self, data: bytes, origin: str) -> str:
        if len(data) > MAX_SECRET:
            raise SecretError(f"the {origin} is larger than {MAX_SECRET // 1024} KiB", where=self.key)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise SecretError(f"the {origin} is not UTF-8 text", where=self.key) from None
        text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise SecretError(f"the {origin} is empty", where=self.key)
        return text
