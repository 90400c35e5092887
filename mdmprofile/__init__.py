"""Build Apple MDM enrollment profiles that work, and hear about it before they stop working.

The names below are the library's public surface. They are loaded when first used, so that importing the
package costs nothing that the caller does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Artifact": "builder",
    "BuildResult": "builder",
    "Certificate": "certificates",
    "DeviceProfile": "maker",
    "EnrollmentConfig": "config",
    "Entry": "ledger",
    "Finding": "findings",
    "Identity": "certificates",
    "IssuedIdentity": "identities",
    "Issuer": "identities",
    "Ledger": "ledger",
    "MdmprofileError": "errors",
    "Profile": "profile",
    "ProfileMaker": "maker",
    "RecordingMaker": "recording",
    "Route": "probe.network",
    "Severity": "findings",
    "TrustChain": "chain",
    "Wanted": "identities",
    "arrange": "chain",
    "build": "builder",
    "compare": "replacement",
    "decrypt_profile": "cms.encrypt",
    "encrypt_profile": "cms.encrypt",
    "enrolled_by_profile": "doctor.enrolled",
    "inspect": "inspection",
    "judge_targets": "survey",
    "lint": "rules.lint",
    "load_certificates": "containers",
    "load_config": "config",
    "load_private_key": "containers",
    "make_schedule": "schedule",
    "open_profile": "reader",
    "read_targets": "targets",
    "rehearse": "doctor.rehearse",
    "sign": "cms.sign",
    "take_over": "takeover",
    "verify": "cms.verify",
}

__all__ = [
    "Artifact",
    "BuildResult",
    "Certificate",
    "DeviceProfile",
    "EnrollmentConfig",
    "Entry",
    "Finding",
    "Identity",
    "IssuedIdentity",
    "Issuer",
    "Ledger",
    "MdmprofileError",
    "Profile",
    "ProfileMaker",
    "RecordingMaker",
    "Route",
    "Severity",
    "TrustChain",
    "Wanted",
    "__version__",
    "arrange",
    "build",
    "compare",
    "decrypt_profile",
    "encrypt_profile",
    "enrolled_by_profile",
    "inspect",
    "judge_targets",
    "lint",
    "load_certificates",
    "load_config",
    "load_private_key",
    "make_schedule",
    "open_profile",
    "read_targets",
    "rehearse",
    "sign",
    "take_over",
    "verify",
]

if TYPE_CHECKING:
    from mdmprofile.builder import Artifact, BuildResult, build
    from mdmprofile.certificates import Certificate, Identity
    from mdmprofile.chain import TrustChain, arrange
    from mdmprofile.cms.encrypt import decrypt_profile, encrypt_profile
    from mdmprofile.cms.sign import sign
    from mdmprofile.cms.verify import verify
    from mdmprofile.config import EnrollmentConfig, load_config
    from mdmprofile.containers import load_certificates, load_private_key
    from mdmprofile.doctor.enrolled import enrolled_by_profile
    from mdmprofile.doctor.rehearse import rehearse
    from mdmprofile.errors import MdmprofileError
    from mdmprofile.findings import Finding, Severity
    from mdmprofile.identities import IssuedIdentity, Issuer, Wanted
    from mdmprofile.inspection import inspect
    from mdmprofile.ledger import Entry, Ledger
    from mdmprofile.maker import DeviceProfile, ProfileMaker
    from mdmprofile.probe.network import Route
    from mdmprofile.profile import Profile
    from mdmprofile.reader import open_profile
    from mdmprofile.recording import RecordingMaker
    from mdmprofile.replacement import compare
    from mdmprofile.rules.lint import lint
    from mdmprofile.schedule import make_schedule
    from mdmprofile.survey import judge_targets
    from mdmprofile.takeover import take_over
    from mdmprofile.targets import read_targets

if not TYPE_CHECKING:  # a type checker would take every misspelt name for one that exists

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute can be anything
        module = _PUBLIC.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - only when a public name is first used

        value = getattr(import_module(f"{__name__}.{module}"), name)
        globals()[name] = value
        return value
