"""What every payload has in common: the identifying keys, and how fields become Apple's keys.

https://developer.apple.com/documentation/devicemanagement/commonpayloadkeys
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar, dataclass_transform

T = TypeVar("T")


def key(name: str, *, default: object) -> Any:  # noqa: ANN401 - stands for a field of any type
    """A dataclass field that is written as Apple's key ``name``, and left out when it is None."""
    return field(default=default, metadata={"apple": name})


def required_key(name: str) -> Any:  # noqa: ANN401 - stands for a field of any type
    """A dataclass field without a default that is written as Apple's key ``name``."""
    return field(metadata={"apple": name})


def plist_keys(value: object) -> dict[str, Any]:
    """The fields of a payload dataclass that have a value, by Apple's key names, in the order declared."""
    return {
        each.metadata["apple"]: _plain(getattr(value, each.name))
        for each in fields(value)  # type: ignore[arg-type]  # every caller passes a dataclass
        if "apple" in each.metadata and getattr(value, each.name) is not None
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 - property-list values are of any type
    """Tuples as lists all the way down: property lists know arrays only."""
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(key, required_key, field))
def payload(cls: type[T]) -> type[T]:
    """A frozen dataclass of keyword arguments, told apart by identity and UUID.

    No ``repr`` of its own, which could show a challenge or a password.
    """
    return dataclass(frozen=True, kw_only=True, repr=False, eq=False)(cls)


@payload
class Payload:
    """The keys that every payload carries.

    ``identifier`` is unique within the profile, ``uuid`` in the world; a device that gets a replacement updates
    the payloads whose identifier and UUID both stayed the same and reinstalls the others.
    """

    TYPE: ClassVar[str]

    identifier: str
    uuid: str
    display_name: str | None = None
    description: str | None = None
    organization: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(identifier={self.identifier!r}, uuid={self.uuid!r})"

    def content(self) -> dict[str, Any]:
        """The keys of this payload type."""
        return plist_keys(self)

    def as_plist(self) -> dict[str, Any]:
        """The whole payload dictionary."""
        common = {
            "PayloadType": self.TYPE,
            "PayloadVersion": 1,
            "PayloadIdentifier": self.identifier,
            "PayloadUUID": self.uuid,
            "PayloadDisplayName": self.display_name,
            "PayloadDescription": self.description,
            "PayloadOrganization": self.organization,
        }
        return {name: value for name, value in common.items() if value is not None} | self.content()
