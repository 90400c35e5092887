"""Where a secret comes from, and fetching it as late as possible."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mdmprofile.errors import InputError, SecretError
from mdmprofile.inputs import MAX_SECRET, read_file
from mdmprofile.printable import printable

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
            return self._checked(str(self.place), "value")
        if self.kind == "env":
            return self._from_environment(str(self.place))
        if self.kind == "file":
            return self._from_file(Path(str(self.place)))
        if self.kind == "command" and isinstance(self.place, tuple):
            return self._from_command(self.place)
        if prompt is None:
            raise SecretError(
                "would be asked for, but nobody can answer here", where=self.key, hint="use file, env or command"
            )
        return self._checked(prompt(printable(str(self.place))), "answer")

    def _from_environment(self, name: str) -> str:
        value = os.environ.get(name)
        if value is None:
            raise SecretError(
                f"the environment variable {name} is not set", where=self.key, hint=f"export {name}, or use file"
            )
        return self._checked(value, f"environment variable {name}")

    def _from_file(self, path: Path) -> str:
        try:
            data = read_file(path, limit=MAX_SECRET)
        except InputError as error:
            raise SecretError(f"{path}: {error.message}", where=self.key, hint=error.hint) from None
        return self._text(data, f"file {path}")

    def _from_command(self, command: tuple[str, ...]) -> str:
        """Run the command; its standard error goes to the user, its output is the secret."""
        from mdmprofile.commands import CommandError, run_command  # noqa: PLC0415 - few secrets come from a command

        try:
            data = run_command(command, seconds=COMMAND_SECONDS, limit=MAX_SECRET)
        except CommandError as error:
            raise SecretError(error.message, where=self.key, hint=error.hint) from None
        return self._text(data, f"output of {command[0]}")

    def _text(self, data: bytes, origin: str) -> str:
        if len(data) > MAX_SECRET:
            raise SecretError(
                f"the {origin} is larger than {MAX_SECRET // 1024} KiB",
                where=self.key,
                hint="check that it is the right one",
            )
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SecretError(f"the {origin} is not UTF-8 text", where=self.key, hint="store it as UTF-8") from None
        return self._checked(text.removesuffix("\n").removesuffix("\r"), origin)

    def _checked(self, text: str, origin: str) -> str:
        """The text, unless it is empty or the environment held bytes that are no UTF-8."""
        if not text:
            raise SecretError(f"the {origin} is empty", where=self.key, hint="put the secret there")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise SecretError(f"the {origin} is not UTF-8 text", where=self.key, hint="store it as UTF-8") from None
        return text
