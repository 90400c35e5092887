"""Every exception this project raises, with the advice a person needs and the exit code a script gets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

# What the parsers of other people's bytes raise when those are malformed; each becomes an error of ours.
PARSER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)


class MdmprofileError(Exception):
    """Base of every error: what went wrong, where, and what to do about it.

    ``exit_code`` is the process status that the command line answers with: 3, the job could not be done.
    """

    exit_code = 3

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.hint})" if self.hint else text


class Problems(MdmprofileError):  # noqa: N818 - it is several, not one
    """Several errors found in one run; ``errors`` holds them in the order they were found."""

    def __init__(self, errors: Iterable[MdmprofileError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(str(error) for error in self.errors))

    def __reduce__(self) -> tuple[type[Problems], tuple[tuple[MdmprofileError, ...]]]:
        """Sent from a worker process as it is."""
        return type(self), (self.errors,)


class InputError(MdmprofileError):
    """A file cannot be read: absent, a directory, too large, or not allowed."""


class OutputError(MdmprofileError):
    """A result cannot be written; what stood there before is untouched."""


class ConfigError(MdmprofileError):
    """One mistake in the configuration; ``where`` is the key's path."""


class TemplateError(MdmprofileError):
    """A template in a configuration value cannot be rendered."""


class UnfilledError(TemplateError):
    """A template needs a variable that nobody gave."""


class SecretError(MdmprofileError):
    """A secret cannot be fetched from its file, variable, command or prompt."""


class CertificateError(MdmprofileError):
    """Bytes that should hold certificates do not, or hold malformed ones."""


class PasswordError(CertificateError):
    """A private key or PKCS#12 file needs a password, or another one."""


@contextlib.contextmanager
def password_from(hint: str) -> Iterator[None]:
    """Have a ``PasswordError`` say where the caller takes the password from."""
    try:
        yield
    except PasswordError as error:
        error.hint = hint
        raise


class ProfileError(MdmprofileError):
    """Bytes that should be a configuration profile are not, or a value has no place in one."""


class SigningError(MdmprofileError):
    """A signature that was asked for cannot be made."""


class IssueError(MdmprofileError):
    """A certificate that was asked for cannot be issued; ``where`` is the part that stands in the way."""


class EncryptionError(MdmprofileError):
    """A profile cannot be encrypted for a recipient, or decrypted with its key."""


class SignatureFormatError(MdmprofileError):
    """Bytes that should be CMS SignedData are not."""


class DocumentError(MdmprofileError):
    """A document that a server publishes is not what Apple describes; ``where`` is its URL or file."""


class WorkerError(MdmprofileError):
    """A process that makes profiles ended, or cannot be reached."""


class LedgerError(MdmprofileError):
    """The record of what was issued cannot be opened, read or written; ``where`` is its file."""


class NetworkError(MdmprofileError):
    """A server cannot be reached, or does not answer as it should; ``where`` is its URL."""


class MessageError(MdmprofileError):
    """A device's message is refused; ``rule`` is the id of the finding that says so.

    Those that only say that there is nothing to judge exit with 3, all others with 2.
    """

    rule = "signature.invalid"
    exit_code = 2


class MessageFormatError(MessageError):
    """The header or the body of a message is absent, too large, or nothing that a device sends."""

    exit_code = 3


class MissingSignatureError(MessageFormatError):
    """A message has no ``Mdm-Signature``, or an empty one."""


class NotBase64Error(MessageFormatError):
    """The value of ``Mdm-Signature`` is not base64."""


class NotCmsError(MessageFormatError):
    """The value of ``Mdm-Signature`` is base64, but of something else than a detached CMS signature."""


class NotDeviceMessageError(MessageFormatError):
    """The body is no property list, or names no device."""


class NoCertificateError(MessageError):
    """The signer's certificate is not in the header."""

    rule = "message.certificate"


class SignersError(MessageError):
    """There is not exactly one signer."""

    rule = "message.signers"


class DigestMismatchError(MessageError):
    """The body is not the one that was signed."""

    rule = "message.digest"


class BadSignatureError(MessageError):
    """The signature does not match the body and the certificate, or uses what no device uses."""


class SigningTimeError(MessageError):
    """The signature says that it was made when the certificate was not valid."""

    rule = "message.signing-time"


class UntrustedSignerError(MessageError):
    """The certificate was not issued by one of the issuing CAs, or not to authenticate a client."""

    rule = "signature.untrusted"


class ExpiredSignerError(MessageError):
    """The certificate, or one of its issuers, has expired or is not valid yet."""

    rule = "expiry.expired"


class PinError(MessageError):
    """The certificate is not the one that belongs to the device of the message."""


class PinUnknownError(PinError):
    """The device has never sent ``Authenticate``."""

    rule = "pin.unknown"


class PinMismatchError(PinError):
    """The device is known with another certificate."""

    rule = "pin.mismatch"


class PinTakenError(PinError):
    """The certificate belongs to another device."""

    rule = "pin.taken"


class PinStoreError(MdmprofileError):
    """The record of which certificate is which device's cannot be opened, read or written; ``where`` is its place."""


class DeliveryError(MdmprofileError):
    """A command cannot be handed to an MDM server; ``where`` is its URL."""


def flatten(errors: Iterable[MdmprofileError]) -> list[MdmprofileError]:
    """Every single error, without the groups they came in."""
    return [one for each in errors for one in (each.errors if isinstance(each, Problems) else (each,))]


def collect(errors: Iterable[MdmprofileError]) -> MdmprofileError:
    """One error that stands for all of them: the error itself when there is only one."""
    flat = flatten(errors)
    return flat[0] if len(flat) == 1 else Problems(flat)
