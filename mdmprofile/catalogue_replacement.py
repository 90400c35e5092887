"""The part of the catalogue that is about one profile in the place of another.

``catalogue.RULES`` holds these rules too; nobody else reads this module.
"""

from __future__ import annotations

from mdmprofile.catalogue_payloads import DOCS, Rule

_MDM = f"{DOCS}mdm"
_TOP = f"{DOCS}toplevel"
_SIGNING = f"{DOCS}configuring-multiple-devices-using-profiles"
_INSTALL = f"{DOCS}install-profile-command"


def _fixed(key: str) -> Rule:
    """The rule that a key of the MDM payload stays as it is when the profile is replaced."""
    hint = f"keep the old {key}; to change it, the device must enroll again"
    return Rule("error", f"{key} changes, so a device refuses the new profile with error 12012.", hint, _MDM)


REPLACEMENT_RULES: dict[str, Rule] = {
    "replacement.identifier": Rule(
        "error", "Another PayloadIdentifier makes a second profile, no replacement.", "keep the old identifier", _TOP
    ),
    "replacement.server-url": _fixed("ServerURL"),
    "replacement.checkin-url": _fixed("CheckInURL"),
    "replacement.topic": _fixed("Topic"),
    "replacement.access-rights": Rule(
        "error",
        "A replacement adds an access right; a device answers 12012.",
        "ask for no new right",
        _MDM,
    ),
    "replacement.per-user-connections": _fixed("per-user-connections in ServerCapabilities"),
    "replacement.enrollment-mode": _fixed("EnrollmentMode"),
    "replacement.managed-apple-id": _fixed("AssignedManagedAppleID"),
    "replacement.required-app": _fixed("RequiredAppIDForMDM"),
    "replacement.no-install-right": Rule(
        "error", "The installed profile lacks right 2, which InstallProfile needs.", "install it by hand", _INSTALL
    ),
    "replacement.signer": Rule(
        "error",
        "By hand, a replacement needs the old signing identity.",
        "use that, or send it over MDM",
        _SIGNING,
    ),
    "replacement.mdm-removed": Rule("error", "The MDM payload goes.", "keep it, or unenroll the device", "observed"),
    "replacement.mdm-added": Rule("error", "An MDM payload comes.", "replace the enrollment profile", "observed"),
    "replacement.rights-dropped": Rule(
        "warning", "Access rights go; no later replacement can bring them back.", "keep those that you need", _MDM
    ),
    "replacement.new-identity": Rule("info", "The device gets a new certificate.", "expect it on the server", _MDM),
    "replacement.ca-rollover": Rule(
        "warning",
        "A root leaves, and nothing shows that the server no longer needs it; an error where the server's "
        "certificate is known and the old or the new profile does not trust it.",
        "send a profile with both roots first, then move the server, then drop the old root",
        "observed",
    ),
    "replacement.pinning": Rule("warning", "Other certificates are pinned.", "pin old and new until all have it", _MDM),
    "replacement.scope": Rule(
        "warning", "PayloadScope changes; a Mac keeps both apart.", "keep the old one", "observed"
    ),
}
