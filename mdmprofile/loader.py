"""Files and secrets that settings name, read once, with every error kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from mdmprofile.certificates import Certificate
from mdmprofile.containers import load_certificates
from mdmprofile.errors import MdmprofileError, PasswordError, password_from
from mdmprofile.printable import printable
from mdmprofile.secret import SecretSource
from mdmprofile.sources import Sources

T = TypeVar("T")

GIVE_IT = "give its password with {}, or as {} in a config"


class Loader:
    """Reads each file once and keeps every error instead of stopping at the first."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
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
            data = self.sources.read(path)
            return load_certificates(data, source=str(path), password=_bytes(self.pkcs12_password))

    def secret(self, source: SecretSource | None) -> str | None:
        """The secret; None where there is no source, or where it failed."""
        return None if source is None else self.attempt(lambda: self.sources.secret(source))

    def unlocked(
        self, opener: Callable[[bytes | None], T], source: SecretSource | None, file: Path, hint: str
    ) -> tuple[T | None, str | None]:
        """What ``opener`` makes of the file with its password, and that password; asks where none is configured.

        ``hint`` says where the password is given.
        """

        def opened(secret: str | None) -> T:
            with password_from(hint):
                return opener(_bytes(secret))

        password = self.secret(source) if source is not None else self.sources.known(str(file))
        if source is not None and password is None:
            self.attempt(lambda: self.sources.read(file))
            return None, None
        try:
            return opened(password), password
        except PasswordError as error:
            prompt = self.sources.prompt
            if source is not None or prompt is None:
                self.errors.append(error)
                return None, None
            password = self.sources.secrets[str(file)] = prompt(printable(f"Password of {file}"))
            return self.attempt(lambda: opened(password)), password
        except MdmprofileError as error:
            self.errors.append(error)
            return None, None


def _bytes(password: str | None) -> bytes | None:
    return None if password is None else password.encode("utf-8")
