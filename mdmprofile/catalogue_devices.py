"""The part of the catalogue that is about devices: the table they come from, their identities and who issues these.

``catalogue.RULES`` holds these rules too; nobody else reads this module.
"""

from __future__ import annotations

from mdmprofile.catalogue_payloads import RFC5280, Rule

DEVICE_RULES: dict[str, Rule] = {
    "issuer.not-ca": Rule(
        "error",
        "The certificate that identities are to be issued from is no CA.",
        "name the CA's certificate as identity.ca_certificate",
        f"{RFC5280}#section-4.2.1.9",
    ),
    "issuer.key-usage": Rule(
        "error",
        "The issuing CA has a keyUsage without keyCertSign, so nothing that it issues is trusted.",
        "have the CA reissued with keyCertSign",
        f"{RFC5280}#section-4.2.1.3",
    ),
    "issuer.purpose": Rule(
        "warning",
        "The issuing CA has an extendedKeyUsage without clientAuth, so many servers refuse what it issues to devices.",
        "issue from a CA without that limit, or have it reissued",
        f"{RFC5280}#section-4.2.1.12",
    ),
    "issuer.key-mismatch": Rule(
        "error",
        "The issuing CA's private key does not belong to its certificate.",
        "name the key that belongs to identity.ca_certificate",
        f"{RFC5280}#section-6.1.3",
    ),
    "issuer.path-length": Rule(
        "error",
        "The issuing CA is below a CA whose pathLenConstraint forbids that, so nothing that it issues is trusted.",
        "issue from a CA that is allowed there, or have the one above reissued",
        f"{RFC5280}#section-4.2.1.9",
    ),
    "issuer.expired": Rule(
        "error",
        "The issuing CA has expired or is not valid yet.",
        "issue from a CA that is valid",
        f"{RFC5280}#section-4.1.2.5",
    ),
    "issuer.validity-cut": Rule(
        "warning",
        "Identities end with the issuing CA, before the validity that was asked for.",
        "renew the CA, or ask for a shorter validity",
        f"{RFC5280}#section-6.1.3",
    ),
    "scep.shared-challenge": Rule(
        "warning",
        "Every device of a batch gets the same SCEP challenge.",
        'give each its own: challenge = "{{ device.challenge }}" for a column of the table, or a command',
        "mdmprofile",
    ),
    "devices.row": Rule(
        "error", "A row of the device table cannot be read.", "correct that row, and run it again", "mdmprofile"
    ),
    "devices.missing": Rule(
        "error",
        "A row of the device table lacks a value that is needed.",
        "fill it in, and run it again",
        "mdmprofile",
    ),
    "devices.duplicate": Rule(
        "error",
        "A device, or the name of its file, is in the device table twice; the first counts.",
        "remove one of the rows",
        "mdmprofile",
    ),
    "devices.file-name": Rule(
        "error",
        "The name of a device's file is not one that can be written below the output directory.",
        "change the value or --name",
        "mdmprofile",
    ),
    "devices.failed": Rule(
        "error", "The profile of a device cannot be made.", "correct that row, and run it again", "mdmprofile"
    ),
    "cluster.unencrypted": Rule(
        "warning",
        "The Dask cluster is reached without TLS, so private keys and secrets can be read, and changed, on the way.",
        "start its scheduler and workers with TLS, and name it tls://HOST:PORT",
        "https://distributed.dask.org/en/stable/tls.html",
    ),
}
