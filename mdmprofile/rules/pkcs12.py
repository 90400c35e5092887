"""PKCS#12 identities: one a payload, opened with the password beside it, portable, for client authentication.

https://developer.apple.com/documentation/devicemanagement/certificatepkcs12
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mdmprofile.certificates import Certificate
from mdmprofile.containers import count_keys, is_pkcs12, load_pkcs12, uses_pbes2
from mdmprofile.errors import CertificateError, PasswordError
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.payloads import types
from mdmprofile.rules.certificates import validity
from mdmprofile.rules.examined import Examined
from mdmprofile.rules.registry import FILE, rule

if TYPE_CHECKING:
    from mdmprofile.pfx import Budget

# Opening one takes as long as its maker chose, up to a second.
MAX_OPENED = 4
MAX_BYTES = 1024 * 1024
_LONGEST = 200


@rule("identity.shared", on=FILE)
def shared(examined: Examined) -> Iterable[Finding]:
    """A PKCS#12 identity is for one device; whether the profile is, it does not say."""
    if not examined.enrolls:
        return
    for path, _ in examined.profile.of_type(types.PKCS12):
        yield finding(
            "identity.shared",
            "every device that installs this profile gets the same identity",
            where=path,
            hint="give it to one device alone; any other needs one of its own",
            severity=Severity.INFO,
        )


@rule("pkcs12.password-embedded", "pkcs12.empty-password", on=FILE)
def passwords(examined: Examined) -> Iterable[Finding]:
    """A password beside the identity protects nothing, and an empty one is not portable."""
    for path, each in examined.profile.of_type(types.PKCS12):
        password = each.get("Password")
        if password == "":
            yield finding("pkcs12.empty-password", "the password is empty", where=f"{path}.Password")
        elif isinstance(password, str):
            message = "the password stands beside the identity that it protects"
            yield finding("pkcs12.password-embedded", message, where=f"{path}.Password")


@rule("pkcs12.encryption", "pkcs12.several", on=FILE)
def outside(examined: Examined) -> Iterable[Finding]:
    """What can be seen of a PKCS#12 without its password."""
    for path, each in examined.profile.of_type(types.PKCS12)[:MAX_OPENED]:
        content = each.get("PayloadContent")
        if not isinstance(content, bytes) or not is_pkcs12(content) or len(content) > MAX_BYTES:
            continue
        if uses_pbes2(content):
            message = "it is encrypted with PBES2, which macOS 12 and 13 and the iOS of their time did not import"
            yield finding("pkcs12.encryption", message, where=path)
        keys = count_keys(content)
        if keys > 1:
            yield finding("pkcs12.several", f"it holds {keys} private keys", where=path)


@rule(
    "pkcs12.unreadable",
    "pkcs12.no-identity",
    "pkcs12.not-opened",
    "identity.no-client-auth",
    "expiry.expired",
    "expiry.not-yet-valid",
    on=FILE,
)
def inside(examined: Examined) -> Iterable[Finding]:
    """What a device finds when it opens the PKCS#12 with the password of the payload."""
    payloads = examined.profile.of_type(types.PKCS12)
    if not payloads:
        return
    from mdmprofile.pfx import Budget  # noqa: PLC0415 - slow to import, for PKCS#12 only

    budget = Budget()
    for path, each in payloads[:MAX_OPENED]:
        certificate, problem = _opened(each, budget)
        if problem is not None:
            yield problem._replace(where=f"{path}.PayloadContent")
        if certificate is None:
            continue
        yield from validity(certificate, path, at=examined.now)
        if not certificate.may_authenticate_client:
            yield finding("identity.no-client-auth", f"{certificate.name} may not authenticate a client", where=path)
    if payloads[MAX_OPENED:]:
        message = f"of {len(payloads)} PKCS#12 payloads the first {MAX_OPENED} were opened"
        yield finding("pkcs12.not-opened", message, where=payloads[MAX_OPENED][0])


def _opened(payload: Mapping[str, Any], budget: Budget) -> tuple[Certificate | None, Finding | None]:
    """The identity's certificate, or what is wrong; neither where the device asks its user for the password."""
    content, password = payload.get("PayloadContent"), payload.get("Password")
    if not isinstance(content, bytes) or not is_pkcs12(content) or len(content) > MAX_BYTES:
        return None, finding("pkcs12.unreadable", "the payload holds no PKCS#12", hint="replace its content")
    if not isinstance(password, str):
        return None, None
    try:
        return load_pkcs12(content, password=password.encode("utf-8", "replace"), budget=budget).certificate, None
    except PasswordError:
        return None, finding("pkcs12.unreadable", "the password of the payload does not open it")
    except CertificateError as error:
        rule_id = "pkcs12.no-identity" if "no private key" in error.message else "pkcs12.unreadable"
        if "no certificate for" in error.message:
            rule_id = "pkcs12.no-identity"
        return None, finding(rule_id, f"it {error.message}"[:_LONGEST])
