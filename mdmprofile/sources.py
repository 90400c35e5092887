"""Where a config's files and secrets are read from: each once, and kept where many profiles are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mdmprofile.errors import SecretError
from mdmprofile.inputs import MAX_CERTIFICATES, read_file
from mdmprofile.secret import Prompt, SecretSource


@dataclass(frozen=True)
class Kept:
    """Files by path and secrets by config key, read before; they take the place of reading them again."""

    files: Mapping[Path, bytes] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


class Sources:
    """Reads what a config names, first from what is ``kept``.

    ``prompt`` asks a person for a secret. Without ``commands`` no secret's command is run. ``files`` and ``secrets``
    hold what was read, so that it can be kept.
    """

    def __init__(self, *, prompt: Prompt | None = None, commands: bool = True, kept: Kept | None = None) -> None:
        self.prompt = prompt
        self.commands = commands
        self.files: dict[Path, bytes] = {}
        self.secrets: dict[str, str] = {}
        self._kept = kept or Kept()

    def read(self, path: Path, *, limit: int = MAX_CERTIFICATES) -> bytes:
        """The whole file; raises ``InputError`` as ``read_file`` does."""
        data = self._kept.files.get(path)
        if data is None:
            data = self.files[path] = read_file(path, limit=limit)
        return data

    def secret(self, source: SecretSource) -> str:
        """The secret; raises ``SecretError``."""
        known = self.known(source.key)
        if known is not None:
            return known
        if source.kind == "command" and not self.commands:
            message = "comes from a command, which is not run for a config that was only found in a directory"
            raise SecretError(message, where=source.key, hint="name the config itself")
        found = self.secrets[source.key] = source.fetch(self.prompt)
        return found

    def known(self, key: str) -> str | None:
        """A secret that is kept already, by its config key, or by the name of the file whose password it is."""
        return self._kept.secrets.get(key)
