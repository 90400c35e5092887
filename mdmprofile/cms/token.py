"""A session on a PKCS#11 token: the module loaded, the token found, logged in, and every call bounded in time.

https://docs.oasis-open.org/pkcs11/pkcs11-spec/v3.1/pkcs11-spec-v3.1.html
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

from mdmprofile.cms.pkcs11_uri import Pkcs11Uri
from mdmprofile.errors import SigningError

if TYPE_CHECKING:
    import pkcs11

T = TypeVar("T")

WHERE = "signing.pkcs11"
# A person may have to touch the token.
TOKEN_SECONDS: float = 60
_CLOSING_SECONDS = 2

_PIN_HINT = "give --signer-pkcs11-pin-file, or signing.pkcs11_pin in a config"

# From the token's label to its PIN; asked when it is needed, and not kept.
Pin = Callable[[str], str]


def open_session(uri: Pkcs11Uri, pin: Pin) -> pkcs11.Session:
    """A session on the one token that the URI names, logged in where the token wants that.

    Raises ``SigningError`` that says what is missing, wrong or too slow.
    """
    try:
        import pkcs11  # noqa: F401, PLC0415 - an optional extra
    except ImportError as error:
        name = getattr(error, "name", None) or "pkcs11"
        raise SigningError(
            f"a token needs the Python package python-pkcs11, which cannot be loaded ({name} is missing)",
            where=WHERE,
            hint="pip install python-pkcs11",
        ) from None
    token = limited(lambda: _find_token(uri))
    return _login(token, pin) if _wants_login(token) else limited(lambda: _logged_in(token, None))


def close_session(session: pkcs11.Session) -> None:
    """End the session; a token that hangs is not waited for, and one that is gone has ended it already."""

    def close() -> None:
        # Nobody could do anything about it, and a thread would print it.
        with contextlib.suppress(Exception):
            session.close()

    thread = threading.Thread(target=close, daemon=True)
    thread.start()
    # Python must not unload the module under a thread that is still in it.
    thread.join(_CLOSING_SECONDS)


def limited(action: Callable[[], T]) -> T:
    """What the action on the token returns, unless it takes too long; every failure becomes a project error.

    The call into the module cannot be broken off, so it is left behind in a thread that does not outlive the process.
    """
    results: list[T] = []
    errors: list[Exception] = []

    def act() -> None:
        try:
            results.append(action())
        except Exception as error:  # noqa: BLE001 - it is raised again, in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(TOKEN_SECONDS)
    if errors:
        _fail(errors[0])
    if not results:
        raise SigningError(
            f"the token gave no answer in {TOKEN_SECONDS:.0f} seconds",
            where=WHERE,
            hint="see whether it waits for a touch or another program holds it",
        )
    return results[0]


def _fail(error: Exception) -> NoReturn:
    """Raise the project's error for the module's; its own text is left out where it could quote an argument."""
    import pkcs11  # noqa: PLC0415 - an optional extra

    if isinstance(error, SigningError):
        raise error from None
    kind = type(error).__name__
    reasons: dict[type[Exception], tuple[str, str]] = {
        pkcs11.PinIncorrect: ("the token does not take the PIN", "check it; a token locks itself after a few tries"),
        pkcs11.PinInvalid: ("the token does not take the PIN", "check it; a token locks itself after a few tries"),
        pkcs11.PinLenRange: ("the PIN is too short or too long for the token", "check it"),
        pkcs11.PinLocked: ("the PIN is locked after too many wrong ones", "unlock it with the token's own tool"),
        pkcs11.PinExpired: ("the PIN has expired", "set another with the token's own tool"),
        pkcs11.UserPinNotInitialized: ("the token has no user PIN yet", "set one with the token's own tool"),
        pkcs11.UserNotLoggedIn: (
            "the token wants a PIN for this key",
            _PIN_HINT,
        ),
        pkcs11.DeviceRemoved: ("the token was taken out", "put it back and try again"),
        pkcs11.TokenNotPresent: ("the token was taken out", "put it back and try again"),
        pkcs11.MechanismInvalid: ("the token cannot sign with SHA-256 and this key", "use another key"),
    }
    message, hint = reasons.get(type(error), (f"the token failed: {kind}", "try it with pkcs11-tool to see why"))
    raise SigningError(message, where=WHERE, hint=hint) from None


def _find_token(uri: Pkcs11Uri) -> pkcs11.Token:
    import pkcs11  # noqa: PLC0415 - an optional extra

    module = str(uri.module)
    if not uri.module.is_file():
        raise SigningError(f"the PKCS#11 module {module} does not exist", where=WHERE, hint="correct its module-path")
    try:
        library = pkcs11.lib(module)
    except pkcs11.PKCS11Error as error:
        reason = str(error).rpartition(": ")[2] or type(error).__name__
        raise SigningError(
            f"the PKCS#11 module {module} cannot be loaded: {reason}", where=WHERE, hint="check its module-path"
        ) from None
    tokens = list(library.get_tokens())
    matching = [each for each in tokens if _is_wanted(each, uri)]
    present = ", ".join(sorted({repr(each.label) for each in tokens if each.label})[:8]) or "none"
    if not matching:
        wanted = f"no token with {uri.wanted_token}" if uri.wanted_token else "no token"
        raise SigningError(f"{wanted} is there; present: {present}", where=WHERE, hint="put it in, or correct the URI")
    if len(matching) > 1:
        raise SigningError(
            f"{len(matching)} tokens match; present: {present}", where=WHERE, hint="add token= or serial= to the URI"
        )
    return matching[0]


def _is_wanted(token: pkcs11.Token, uri: Pkcs11Uri) -> bool:
    from pkcs11 import TokenFlag  # noqa: PLC0415 - an optional extra

    facts: tuple[tuple[object, object], ...] = (
        (uri.token, token.label),
        (uri.serial, token.serial.decode("utf-8", "replace").strip()),
        (uri.manufacturer, token.manufacturer_id),
        (uri.model, token.model),
        (uri.slot_id, token.slot.slot_id),
    )
    # An empty slot of SoftHSM has a token that nobody has set up.
    ready = bool(token.flags & TokenFlag.TOKEN_INITIALIZED)
    return ready and all(wanted in {None, fact} for wanted, fact in facts)


def _wants_login(token: pkcs11.Token) -> bool:
    from pkcs11 import TokenFlag  # noqa: PLC0415 - an optional extra

    return bool(limited(lambda: token.flags) & TokenFlag.LOGIN_REQUIRED)


def _login(token: pkcs11.Token, pin: Pin) -> pkcs11.Session:
    """A session after the PIN was given, here or on the reader's own keys."""
    from pkcs11 import TokenFlag  # noqa: PLC0415 - an optional extra
    from pkcs11.types import PROTECTED_AUTH  # noqa: PLC0415

    if token.flags & TokenFlag.PROTECTED_AUTHENTICATION_PATH:
        return limited(lambda: _logged_in(token, PROTECTED_AUTH))
    given = pin(token.label)
    return limited(lambda: _logged_in(token, given))


def _logged_in(token: pkcs11.Token, pin: object) -> pkcs11.Session:
    import pkcs11  # noqa: PLC0415 - an optional extra

    try:
        return token.open(user_pin=pin)
    except pkcs11.UserAlreadyLoggedIn:
        # By another session of this process; a login holds for all of them.
        return token.open()
