"""Build Apple MDM enrollment profiles that work, and hear about it before they stop working.

The names below are the library's public surface. They are loaded when first used, so that importing the
package costs nothing that the caller does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Artifact": "builder",
    "AsgiMiddleware": "middleware",
    "BuildResult": "builder",
    "Certificate": "certificates",
    "DeviceMessage": "device_messages",
    "DeviceProfile": "device_profile",
    "DeviceTrust": "device_trust",
    "EnrollmentConfig": "config",
    "Entry": "ledger",
    "Finding": "findings",
    "Guard": "middleware",
    "Identity": "certificates",
    "IssuedIdentity": "identities",
    "Issuer": "identities",
    "Ledger": "ledger",
    "MdmprofileError": "errors",
    "MessageError": "errors",
    "Pin": "pins",
    "PinError": "errors",
    "PinStore": "pins",
    "Profile": "profile",
    "ProfileMaker": "maker",
    "ProxyCertificates": "middleware",
    "RecordingMaker": "recording",
    "Route": "probe.network",
    "Sender": "middleware",
    "Severity": "findings",
    "SqlPinStore": "pins_sql",
    "SqlitePinStore": "pins_sqlite",
    "TrustChain": "chain",
    "Wanted": "identities",
    "WsgiMiddleware": "middleware",
    "arrange": "chain",
    "build": "builder",
    "check_pin": "pins",
    "compare": "replacement",
    "decrypt_profile": "cms.encrypt",
    "encrypt_profile": "cms.encrypt",
    "enrolled_by_profile": "doctor.enrolled",
    "inspect": "inspection",
    "judge_targets": "survey",
    "lint": "rules.lint",
    "load_anchors": "anchors",
    "load_certificates": "containers",
    "load_config": "config",
    "load_private_key": "containers",
    "make_schedule": "schedule",
    "open_profile": "reader",
    "read_message": "device_messages",
    "read_targets": "targets",
    "rehearse": "doctor.rehearse",
    "sign": "cms.sign",
    "sign_mdm_message": "message_signing",
    "take_over": "takeover",
    "verify": "cms.verify",
    "verify_mdm_signature": "message",
}

__all__ = [
    "Artifact",
    "AsgiMiddleware",
    "BuildResult",
    "Certificate",
    "DeviceMessage",
    "DeviceProfile",
    "DeviceTrust",
    "EnrollmentConfig",
    "Entry",
    "Finding",
    "Guard",
    "Identity",
    "IssuedIdentity",
    "Issuer",
    "Ledger",
    "MdmprofileError",
    "MessageError",
    "Pin",
    "PinError",
    "PinStore",
    "Profile",
    "ProfileMaker",
    "ProxyCertificates",
    "RecordingMaker",
    "Route",
    "Sender",
    "Severity",
    "SqlPinStore",
    "SqlitePinStore",
    "TrustChain",
    "Wanted",
    "WsgiMiddleware",
    "__version__",
    "arrange",
    "build",
    "check_pin",
    "compare",
    "decrypt_profile",
    "encrypt_profile",
    "enrolled_by_profile",
    "inspect",
    "judge_targets",
    "lint",
    "load_anchors",
    "load_certificates",
    "load_config",
    "load_private_key",
    "make_schedule",
    "open_profile",
    "read_message",
    "read_targets",
    "rehearse",
    "sign",
    "sign_mdm_message",
    "take_over",
    "verify",
    "verify_mdm_signature",
]

if TYPE_CHECKING:
    from mdmprofile.anchors import load_anchors
    from mdmprofile.builder import Artifact, BuildResult, build
    from mdmprofile.certificates import Certificate, Identity
    from mdmprofile.chain import TrustChain, arrange
    from mdmprofile.cms.encrypt import decrypt_profile, encrypt_profile
    from mdmprofile.cms.sign import sign
    from mdmprofile.cms.verify import verify
    from mdmprofile.config import EnrollmentConfig, load_config
    from mdmprofile.containers import load_certificates, load_private_key
    from mdmprofile.device_messages import DeviceMessage, read_message
    from mdmprofile.device_profile import DeviceProfile
    from mdmprofile.device_trust import DeviceTrust
    from mdmprofile.doctor.enrolled import enrolled_by_profile
    from mdmprofile.doctor.rehearse import rehearse
    from mdmprofile.errors import MdmprofileError, MessageError, PinError
    from mdmprofile.findings import Finding, Severity
    from mdmprofile.identities import IssuedIdentity, Issuer, Wanted
    from mdmprofile.inspection import inspect
    from mdmprofile.ledger import Entry, Ledger
    from mdmprofile.maker import ProfileMaker
    from mdmprofile.message import verify_mdm_signature
    from mdmprofile.message_signing import sign_mdm_message
    from mdmprofile.middleware import AsgiMiddleware, Guard, ProxyCertificates, Sender, WsgiMiddleware
    from mdmprofile.pins import Pin, PinStore, check_pin
    from mdmprofile.pins_sql import SqlPinStore
    from mdmprofile.pins_sqlite import SqlitePinStore
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
