"""What a server publishes beside the enrollment profile: trust profile, MDMServiceConfig, anchors, discovery.

https://developer.apple.com/documentation/devicemanagement/providing-information-about-your-device-management-service
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

from mdmprofile.chain import TrustChain
from mdmprofile.config import EnrollmentConfig, TrustSettings
from mdmprofile.enrollment import certificate_payloads
from mdmprofile.findings import Finding, finding
from mdmprofile.naming import Names
from mdmprofile.profile import Profile, TopLevel
from mdmprofile.urls import has_scheme


def trust_profile(config: EnrollmentConfig, chain: TrustChain, names: Names) -> Profile:
    """A profile of the roots alone, with an identifier of its own beside the enrollment profile's."""
    own = Names(f"{names.identifier}.trust")
    display_name = config.profile.display_name or "MDM enrollment"
    top = TopLevel(
        identifier=own.identifier,
        uuid=own.profile_uuid(None, "trust"),
        display_name=f"{display_name} trust",
        description="Root certificates that the device management service is trusted with",
        organization=config.profile.organization,
        scope=config.profile.scope,
    )
    return Profile.assemble(top, certificate_payloads(chain.roots, (), own, organization=config.profile.organization))


def published_urls(trust: TrustSettings) -> dict[str, str]:
    """The URLs of ``/MDMServiceConfig`` that are set, by Apple's names.

    With a publicly trusted certificate ``trust_profile_url`` stays out: devices must not get an empty profile.
    """
    urls = {
        "dep_enrollment_url": trust.enrollment_url,
        "dep_anchor_certs_url": trust.anchor_certs_url,
        "trust_profile_url": None if trust.public else trust.trust_profile_url,
    }
    return {name: url for name, url in urls.items() if url}


def service_config(trust: TrustSettings) -> bytes:
    """The body of ``/MDMServiceConfig``: UTF-8 JSON with the URLs that are set."""
    import json  # noqa: PLC0415 - only where documents are published

    return (json.dumps(published_urls(trust), indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def anchor_certificates(trust: TrustSettings, chain: TrustChain) -> bytes:
    """The body behind ``dep_anchor_certs_url``: a JSON array of base64 DER, ``[]`` for a public certificate.

    Roots alone, as in the trust profile: in automated enrollment they replace the device's own anchors, and what is
    an anchor is trusted without looking at who issued it. The server sends its intermediates itself.
    """
    import json  # noqa: PLC0415 - only where documents are published

    anchors = () if trust.public else chain.roots
    encoded = [base64.b64encode(each.der).decode("ascii") for each in anchors]
    return (json.dumps(encoded) + "\n").encode("ascii")


def account_servers(trust: TrustSettings) -> list[dict[str, str]]:
    """Where account-driven enrollment begins: for users' own devices, then for the organization's; those that are set.

    https://developer.apple.com/documentation/devicemanagement/onboarding-users-with-account-driven-enrollment
    """
    urls = {"mdm-byod": trust.byod_enrollment_url, "mdm-adde": trust.adde_enrollment_url}
    return [{"Version": version, "BaseURL": url} for version, url in urls.items() if url]


def discovery_document(trust: TrustSettings) -> bytes:
    """The body of ``/.well-known/com.apple.remotemanagement``: UTF-8 JSON."""
    import json  # noqa: PLC0415 - only where documents are published

    return (json.dumps({"Servers": account_servers(trust)}, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def judge_urls(trust: TrustSettings) -> Iterable[Finding]:
    """The published URLs are https, and enrollment and anchors come together."""
    urls = {
        "trust_profile_url": trust.trust_profile_url,
        "enrollment_url": trust.enrollment_url,
        "anchor_certs_url": trust.anchor_certs_url,
        "byod_enrollment_url": trust.byod_enrollment_url,
        "adde_enrollment_url": trust.adde_enrollment_url,
    }
    for name, url in urls.items():
        if url and not has_scheme(url, "https"):
            yield finding("trust.url-scheme", f"{url!r} is not an https:// URL", where=f"trust.{name}")
    if bool(trust.enrollment_url) != bool(trust.anchor_certs_url):
        missing = "anchor_certs_url" if trust.enrollment_url else "enrollment_url"
        yield finding("trust.urls-incomplete", f"{missing} is missing", where=f"trust.{missing}")
    if trust.public and (trust.certificates or trust.trust_profile_url):
        yield finding(
            "trust.public-unused",
            "trust.public is set, so certificates are not embedded and no trust profile is published",
            where="trust.public",
        )
