"""One signed enrollment profile for each of many devices: what they share is prepared once.

A profile is drafted and judged in full until two devices of a shape, whose values are made of the same kinds of
characters, have got the same findings, and the bytes that filling in the changing parts gives. From then on these are
filled in, and nothing else is done. Where a value decides more than its own field, every profile is drafted in full.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Self

from mdmprofile.builder import Draft, draft, encrypted
from mdmprofile.certificate_names import general_names, subject_name
from mdmprofile.certificates import Certificate, Identity
from mdmprofile.cms.keys import complete_chain, judge_signing
from mdmprofile.cms.seal import Seal
from mdmprofile.config import EnrollmentConfig, config_of
from mdmprofile.config_identity import AcmeSettings, IdentitySettings, IssuedSettings, Pkcs12Settings, ScepSettings
from mdmprofile.config_issuing import issuing_settings
from mdmprofile.cutting import PKCS12_NAME, Cut, cut, fetches_challenge, with_challenge
from mdmprofile.device_profile import DeviceProfile, Unsigned
from mdmprofile.errors import TemplateError, collect
from mdmprofile.findings import Finding, by_severity, finding, has_errors
from mdmprofile.for_many import (
    has_individual_names,
    judge_sharing,
    refuse_individual,
    refuse_lost_passwords,
    refuse_shared_identifier,
)
from mdmprofile.identities import IssuedIdentity, Issuer, fresh_client_identifier, judge_issuer
from mdmprofile.materials import Materials, Pkcs12File, load_issuer, load_materials
from mdmprofile.moments import shift
from mdmprofile.payloads.names import Subject, SubjectAltName, rfc4514
from mdmprofile.plan import Watched
from mdmprofile.recipe import Recipe, keeping, recipe_of
from mdmprofile.secret import Prompt
from mdmprofile.shapes import Shapes
from mdmprofile.sources import Sources
from mdmprofile.templating import Compiled, Variables, compiled, has_template, renderer

Values = Mapping[str, str]
# Takes the place of a secret where nothing is made.
_STAND_IN = "stand-in"


class _Own(NamedTuple):
    """What belongs to one device alone; ``texts`` are filled templates by mark, None where the profile is not cut."""

    variables: Variables
    texts: Values | None
    config: EnrollmentConfig | None
    challenge: str | None
    file: Pkcs12File | None

    @property
    def values(self) -> tuple[str, ...]:
        """Everything in the profile that another device has another of."""
        password = self.file.password if self.file is not None else None
        return (*(self.texts or {}).values(), self.challenge or "", password or "")


class _Content(NamedTuple):
    """A profile before it is signed, empty when a finding is an error; the certificate in its PKCS#12."""

    data: bytes
    findings: tuple[Finding, ...]
    certificate: Certificate | None


class ProfileMaker:
    """Makes profiles for devices; several threads may use it at once, for as long as the program runs.

    ``from_config`` makes one of a config file; the constructor takes what another one was made of. What all devices
    share is read once, so whoever changes a config or a file needs a new maker. ``findings`` are about the signer and
    the issuing CA; when one is an error, nothing can be made. ``prompt`` asks a person for a secret. Raises an
    ``MdmprofileError`` for a config that cannot be used.
    """

    def __init__(self, recipe: Recipe, *, prompt: Prompt | None = None) -> None:
        self._recipe = recipe
        self._prompt = prompt
        self._read = False
        self._templates: dict[str, Compiled] = {}
        self._shapes = Shapes()
        self._static = config_of(recipe.tables, renderer(recipe.variables), lenient=True)
        refuse_individual(self._static)
        refuse_lost_passwords(self._static, recipe.tables)
        refuse_shared_identifier(self._static, recipe.tables)
        sources = self._sources()
        self._shared = load_materials(self._static, sources=sources, enrollment=False)
        if self._shared.errors:
            raise collect(self._shared.errors)
        identity = self._static.identity
        if isinstance(identity, IssuedSettings) and identity.password and identity.password.kind != "command":
            # A person who is asked for it is here, and not where profiles are made.
            sources.secret(identity.password)
        self._individual = isinstance(identity, IssuedSettings) and has_individual_names(identity, recipe.tables)
        self._ca = load_issuer(identity, sources=sources) if isinstance(identity, IssuedSettings) else None
        self._stand_in = (
            None if self._ca is None else Pkcs12File(b"pkcs12", self._ca.certificate, (), _STAND_IN, PKCS12_NAME)
        )
        self._keep(sources)
        self.findings = by_severity(
            (*self._judge_signer(), *self._judge_issuer(), *judge_sharing(self._static, recipe.tables))
        )
        usable = self._usable = not has_errors(self.findings)
        self._signer = self._completed_signer()
        self._sign = (
            Seal(self._signer).sign_all if usable and isinstance(self._signer, Identity) else self._sign_outside
        )
        self._issuer = self._issuer_at(recipe.now) if usable else None
        stand_in = self._ca.certificate if self._ca else None
        static = renderer(recipe.variables)
        self._cut: Cut | None = cut(recipe.tables, static, self._drafted, stand_in) if usable else None

    @classmethod
    def from_config(cls, file: Path, *, now: datetime, variables: Variables | None = None) -> Self:
        """The maker of a config file, prepared and judged at ``now`` (aware UTC).

        ``variables`` fill the config's templates beside each device's own. Raises an ``MdmprofileError`` for a config
        that cannot be used.
        """
        return cls(recipe_of(file, now=now, variables=variables))

    @property
    def recipe(self) -> Recipe:
        """What profiles are made from, with everything that was read for it: for a maker in another process."""
        return self._recipe

    @property
    def kind(self) -> str:
        """The identity that devices get: ``acme``, ``scep`` or ``pkcs12``."""
        identity = self._static.identity
        return {ScepSettings: "scep", AcmeSettings: "acme"}.get(type(identity), "pkcs12")

    @property
    def issued_key(self) -> str:
        """The kind of key that is made for each device, such as ``rsa2048``; empty where none is made here."""
        identity = self._static.identity
        return identity.wanted.key if isinstance(identity, IssuedSettings) else ""

    def draft(self, device: Values) -> Draft:
        """A device's profile in full, for judging it: nothing is fetched or issued for it."""
        variables = self._variables(device)
        config = self._config(variables)
        if fetches_challenge(config):
            config = with_challenge(config, _STAND_IN)
        return self._drafted(config, self._stand_in)

    def judge(self, made: Draft) -> tuple[Finding, ...]:
        """Everything that is found about a draft and its signer."""
        signer = self._signer
        judged = made.judge(signer.certificate, signer.chain) if isinstance(signer, Identity) else made.judge(None, ())
        return by_severity((*judged, *self.findings))

    def watched(self, made: Draft) -> tuple[Watched, ...]:
        """Everything in a draft that ends, its signer included."""
        signer = self._signer
        return (
            made.watched(signer.certificate, signer.chain) if isinstance(signer, Identity) else made.watched(None, ())
        )

    @property
    def output_directory(self) -> Path:
        """Where the config wants the results."""
        return self._static.output_directory

    def make(self, device: Values, *, now: datetime, serial_number: int | None = None) -> DeviceProfile:
        """Make one device's profile, judged and its identity issued at ``now`` (aware UTC).

        ``device`` has the values that templates call ``device.NAME``. ``serial_number`` is for the certificate, where
        one is issued here. Raises an ``MdmprofileError`` for values that the config cannot be filled with, for a
        challenge that cannot be fetched, or when the signature cannot be made.
        """
        made = self.unsigned(device, now=now, serial_number=serial_number)
        data = self.sign([made.content])[0] if made.content else b""
        return DeviceProfile(data, *made[1:])

    def unsigned(self, device: Values, *, now: datetime, serial_number: int | None = None) -> Unsigned:
        """What ``make`` makes, before it is signed; raises as ``make`` does."""
        if not self._usable:
            return Unsigned(b"", self.findings)
        variables = self._variables(device)
        texts = self._texts(variables) if now == self._recipe.now else None
        config = self._config(variables) if texts is None or fetches_challenge(self._static) else None
        challenge = self._challenge(config)
        subject = self._subject(texts, config)
        identity = config.identity if config is not None else self._identity(variables)
        issued = self._issue(subject, identity, now, serial_number)
        file = Pkcs12File(issued.data, issued.certificate, (), issued.password, PKCS12_NAME) if issued else None
        content, findings, certificate = self._content(_Own(variables, texts, config, challenge, file), now)
        return Unsigned(
            content=content,
            findings=findings,
            certificate=certificate,
            subject=certificate.subject if certificate else rfc4514(subject),
            not_after=certificate.not_after if certificate else self._expected_end(now),
            client_identifier=self._client_identifier(variables),
        )

    def sign(self, contents: Sequence[bytes]) -> list[bytes]:
        """The contents as they are sent, in order; faster for many at once. Raises ``SigningError``."""
        return self._sign(contents)

    def check(self, device: Values) -> tuple[Finding, ...]:
        """What ``make`` would find about a device, and raise; nothing is fetched, issued or signed for it."""
        if not self._usable:
            return self.findings
        variables = self._variables(device)
        texts = self._texts(variables)
        config = self._config(variables) if texts is None or fetches_challenge(self._static) else None
        identity = config.identity if config is not None else self._identity(variables)
        if self._issuer is not None and isinstance(identity, IssuedSettings):
            subject_name(self._subject(texts, config))
            general_names(identity.subject_alt_name or SubjectAltName())
        challenge = _STAND_IN if fetches_challenge(self._static) else None
        return self._content(_Own(variables, texts, config, challenge, self._stand_in), self._recipe.now).findings

    # ---------------------------------------------------------------- what all devices share

    def _sources(self) -> Sources:
        return Sources(prompt=self._prompt, kept=self._recipe.kept)

    def _keep(self, sources: Sources) -> None:
        """From now on, what was read is not read again."""
        if sources.files or sources.secrets:
            self._recipe = keeping(self._recipe, sources.files, sources.secrets)

    def _completed_signer(self) -> Identity | None:
        signer = self._shared.signer
        return complete_chain(signer, self._available) if isinstance(signer, Identity) else None

    @property
    def _available(self) -> tuple[Certificate, ...]:
        return (*self._shared.signing_chain, *self._shared.trust)

    def _judge_signer(self) -> tuple[Finding, ...]:
        signer = self._shared.signer
        if signer is None:
            return (finding("signing.unsigned", "no signer is configured", where="signing"),)
        return judge_signing(signer, self._available) if isinstance(signer, Identity) else ()

    def _judge_issuer(self) -> tuple[Finding, ...]:
        identity = self._static.identity
        if self._ca is None or not isinstance(identity, IssuedSettings):
            return ()
        return judge_issuer(self._ca, identity.wanted, now=self._recipe.now, available=self._shared.trust)

    def _sign_outside(self, contents: Sequence[bytes]) -> list[bytes]:
        """Signed by a command that returns each whole, or as they are where no signer is configured."""
        from mdmprofile.cms.outside import sign_outside  # noqa: PLC0415 - few signers are outside

        signer = self._shared.signer
        if signer is None or isinstance(signer, Identity):
            return list(contents)
        return [sign_outside(each, signer).data for each in contents]

    def _issuer_at(self, now: datetime) -> Issuer | None:
        identity = self._static.identity
        if self._ca is None or not isinstance(identity, IssuedSettings):
            return None
        return Issuer(self._ca, identity.wanted, now=now)

    # ---------------------------------------------------------------- what belongs to one device

    def _variables(self, device: Values) -> Variables:
        fresh = fresh_client_identifier() if isinstance(self._static.identity, AcmeSettings) else ""
        return {**self._recipe.variables, "device": device, "fresh": {"client_identifier": fresh}}

    def _client_identifier(self, variables: Variables) -> str:
        """What an ACME server must know the device by; empty for other identities."""
        if not isinstance(self._static.identity, AcmeSettings):
            return ""
        return self._fill(str(self._recipe.tables.values["identity"]["client_identifier"]), variables)

    def _config(self, variables: Variables) -> EnrollmentConfig:
        return config_of(self._recipe.tables, lambda text: self._fill(text, variables))

    def _fill(self, text: str, variables: Variables) -> str:
        if not has_template(text):
            return text
        template = self._templates.get(text)
        if template is None:
            template = self._templates[text] = compiled(text)
        return template(variables)

    def _texts(self, variables: Variables) -> Values | None:
        """The filled templates by mark; None where the profile is not cut, or one cannot be filled.

        Why not is said when the config is filled, with the key.
        """
        if self._cut is None:
            return None
        try:
            return {mark: self._fill(template, variables) for mark, template in self._cut.templates.items()}
        except TemplateError:
            return None

    def _challenge(self, config: EnrollmentConfig | None) -> str | None:
        if config is None or not isinstance(config.identity, ScepSettings) or not fetches_challenge(config):
            return None
        source = config.identity.challenge
        return None if source is None else source.fetch(self._prompt)

    def _subject(self, texts: Values | None, config: EnrollmentConfig | None) -> Subject:
        if config is None and self._cut is not None and texts is not None:
            return self._cut.subject_of(texts) or ()
        identity = config.identity if config is not None else self._static.identity
        return (getattr(identity, "subject", None)) or ()

    def _identity(self, variables: Variables) -> IdentitySettings:
        """The identity's settings, read again only where they hold what is one device's."""
        if not self._individual:
            return self._static.identity
        return issuing_settings(self._recipe.tables, lambda text: self._fill(text, variables))

    def _issue(
        self, subject: Subject, identity: IdentitySettings, now: datetime, serial_number: int | None
    ) -> IssuedIdentity | None:
        issuer = self._issuer if now == self._recipe.now else self._issuer_at(now)
        if issuer is None or not isinstance(identity, IssuedSettings):
            return None
        password = self._sources().secret(identity.password) if identity.password is not None else None
        return issuer.issue(subject, identity.subject_alt_name, password=password, serial_number=serial_number)

    def _expected_end(self, now: datetime) -> datetime | None:
        validity: timedelta | None = getattr(self._static.identity, "validity", None)
        return None if validity is None else shift(now, validity)

    def _content(self, own: _Own, now: datetime) -> _Content:
        """The property list that is to be signed, what was found about it, and the certificate in its PKCS#12."""
        if own.texts is None or self._cut is None:
            return self._in_full(own, now)
        values = own.values
        findings = self._shapes.findings(values)
        if findings is not None:
            certificate = own.file.certificate if own.file is not None else None
            return _Content(self._cut.fill(own.texts, own.challenge, own.file), findings, certificate)
        made = self._in_full(own, now)
        alike = bool(made.data) and made.data == self._cut.fill(own.texts, own.challenge, own.file)
        self._shapes.learn(values, made.findings, alike=alike)
        return made

    def _in_full(self, own: _Own, now: datetime) -> _Content:
        config = with_challenge(own.config or self._config(own.variables), own.challenge)
        made = self._drafted(config, own.file, now)
        findings = self.judge(made)
        sent = None if has_errors(findings) else encrypted(made.profile, made.materials)
        file = made.materials.pkcs12
        return _Content(sent.to_bytes() if sent is not None else b"", findings, file.certificate if file else None)

    def _drafted(self, config: EnrollmentConfig, file: Pkcs12File | None, now: datetime | None = None) -> Draft:
        sources = self._sources()
        identity = config.identity
        if isinstance(identity, Pkcs12Settings):
            # Whether it is one device's alone is known here.
            own = "identity.file" in self._static.unfilled
            config = config._replace(identity=identity._replace(single_device=own))
        loaded = load_materials(config._replace(signing=None), sources=sources)
        made = draft(config, self._with_signer(loaded, file), now=now or self._recipe.now)
        if not self._read:
            # Later ones read what belongs to one device alone.
            self._keep(sources)
            self._read = True
        return made

    def _with_signer(self, loaded: Materials, file: Pkcs12File | None) -> Materials:
        shared = self._shared
        return dataclasses.replace(
            loaded,
            signer=shared.signer,
            signer_certificate=shared.signer_certificate,
            signing_chain=shared.signing_chain,
            pkcs12=file or loaded.pkcs12,
        )
