"""Files and secrets that settings name, read once, with every error kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from mdmprofile.certificates import Certificate
from mdmprofile.containers import load_certificates
from mdmprofile.errors import MdmprofileError, PasswordError, SecretError, password_from
from mdmprofile.inputs import read_file
from mdmprofile.printable import printable
from mdmprofile.secret import Prompt, SecretSource

T = TypeVar("T")

GIVE_IT = "give its password with {}, or as {} in a config"


class Loader:
    """Reads each file once and keeps every error instead of stopping at the first."""

    def __init__(self, prompt: Prompt | None, *, commands: bool = True) -> None:
        self.prompt = prompt
        self.commands = commands
        self.errors: list[MdmprofileError] = []
        self.pkcs12_password: str | None = None
        self.pkcs12_hint = "name the certificates in PEM"
        self._certificates: dict[Path, tuple[Certificate, ...]] = {}

    def attempt(self, action: Callable[[], T]) -> T | None:
        """What the action returns; None where it failed, and why is kept."""
        try:
            return action()
        except MdmprofileError as error:
            self.errors.append(error)
            return None

    def certificates(self, paths: Iterable[Path]) -> tuple[Certificate, ...]:
        """Every certificate in these files."""
        return tuple(each for path in paths for each in self._of_file(path))

    def _of_file(self, path: Path) -> tuple[Certificate, ...]:
        if path not in self._certificates:
            self._certificates[path] = self.attempt(lambda: self._certificates_in(path)) or ()
        return self._certificates[path]

    def _certificates_in(self, path: Path) -> tuple[Certificate, ...]:
        with password_from(self.pkcs12_hint):
            return load_certificates(read_file(path), source=str(path), password=_bytes(self.pkcs12_password))

    def secret(self, source: SecretSource | None) -> str | None:
        """The secret; None where there is no source, or where it failed."""
        if source is not None and source.kind == "command" and not self.commands:
            message = "comes from a command, which is not run for a config that was only found in a directory"
            self.errors.append(SecretError(message, where=source.key, hint="name the config itself"))
            return None
        return None if source is None else self.attempt(lambda: source.fetch(self.prompt))

    def unlocked(
        self, opener: Callable[[bytes | None], T], source: SecretSource | None, file: Path, hint: str
    ) -> tuple[T | None, str | None]:
        """What ``opener`` makes of the file with its password, and that password; asks where none is configured.

        ``hint`` says where the password is given.
        """

        def opened(secret: str | None) -> T:
            with password_from(hint):
                return opener(_bytes(secret))

        password = self.secret(source)
        if source is not None and password is None:
            self.attempt(lambda: read_file(file))
            return None, None
        try:
            return opened(password), password
        except PasswordError as error:
            if source is not None or self.prompt is None:
                self.errors.append(error)
                return None, None
            password = self.prompt(printable(f"Password of {file}"))
            return self.attempt(lambda: opened(password)), password
        except MdmprofileError as error:
            self.errors.append(error)
            return None, None


def _bytes(password: str | None) -> bytes | None:
    return None if password is None else password.encode("utf-8")
