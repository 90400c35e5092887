"""The part of the catalogue that is about sending a profile to devices through an MDM server.

``catalogue.RULES`` holds these rules too; nobody else reads this module.
"""

from __future__ import annotations

from mdmprofile.catalogue_payloads import DOCS, Rule

_INSTALL = f"{DOCS}install-profile-command"

DELIVERY_RULES: dict[str, Rule] = {
    "delivery.not-compared": Rule(
        "info",
        "A profile is sent without a comparison with the one that devices have.",
        "give the installed profile with --old",
        _INSTALL,
    ),
    "delivery.refused": Rule(
        "error",
        "The MDM server refuses the command for a device.",
        "see that the device is enrolled with this server, and run it again",
        "mdmprofile",
    ),
    "delivery.not-pushed": Rule(
        "warning",
        "The MDM server holds the command for a device, but could not tell the device so.",
        "check the server's push certificate; the device fetches it when it connects the next time",
        "https://developer.apple.com/documentation/devicemanagement/sending-mdm-commands-to-a-device",
    ),
    "delivery.profile": Rule(
        "error",
        "The profile of a device is not the one that the ledger recorded for it, or is not there.",
        "make it again with mdmprofile batch",
        "mdmprofile",
    ),
    "delivery.unlisted": Rule(
        "error",
        "A device that was named has no profile in the ledger.",
        "correct its UDID, or make its profile with mdmprofile batch",
        "mdmprofile",
    ),
}
