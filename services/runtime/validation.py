"""Checks that name every offending field at once. Formats only: what a service allows is its own business."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import phonenumbers

from services.runtime.errors import InvalidInput, Violation

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper
    from google.protobuf.timestamp_pb2 import Timestamp

_IDENTIFIER = re.compile(r"[A-Za-z0-9._:@-]+")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_PRINTABLE_ASCII = re.compile(r"[\x21-\x7e]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028\u2029]")
_CONTROL_AND_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
# A dot-atom and a domain of LDH labels (RFC 5321 4.1.2 without quoted strings and address literals).
_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}"
)
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")
MAX_EMAIL_BYTES, MAX_LOCAL_PART_BYTES = 254, 64
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class Violations:
    """Collects what is wrong; `check()` raises it all."""

    def __init__(self) -> None:
        """Nothing is wrong yet."""
        self.found: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        """Note that a field is wrong, and what to do."""
        self.found.append(Violation(field, description))

    def check(self) -> None:
        """Raise InvalidInput if anything was found."""
        if self.found:
            raise InvalidInput(self.found)

    def text(self, field: str, value: str, *, most: int, least: int = 0, one_line: bool = False) -> None:
        """Length in characters; no control characters (line breaks and tabs unless `one_line`)."""
        if not least <= len(value) <= most:
            self.add(field, "is required" if not value else f"must have {least} to {most} characters, has {len(value)}")
        elif (_CONTROL_AND_BREAKS if one_line else _CONTROL).search(value):
            self.add(field, "must be one line without control characters" if one_line else "has control characters")

    def size(self, field: str, value: str, *, most_bytes: int) -> None:
        """Size in bytes of UTF-8; no control characters but line breaks and tabs."""
        if len(value) > most_bytes or len(value.encode()) > most_bytes:
            self.add(field, f"must be at most {most_bytes} bytes")
        elif _CONTROL.search(value):
            self.add(field, "has control characters")

    def identifier(self, field: str, value: str, *, most: int = 128) -> None:
        """1 to `most` letters, digits, '.', '_', ':', '@' or '-'."""
        if not value:
            self.add(field, "is required")
        elif len(value) > most or not _IDENTIFIER.fullmatch(value):
            self.add(field, f"must be 1 to {most} letters, digits, '.', '_', ':', '@' or '-'")

    def name(self, field: str, value: str, *, most: int) -> None:
        """1 to `most` letters, digits, '.', '_' or '-'."""
        if not value:
            self.add(field, "is required")
        elif len(value) > most or not _NAME.fullmatch(value):
            self.add(field, f"must be 1 to {most} letters, digits, '.', '_' or '-'")

    def printable(self, field: str, value: str, *, most: int) -> None:
        """1 to `most` printable ASCII characters without spaces."""
        if not value:
            self.add(field, "is required")
        elif len(value) > most or not _PRINTABLE_ASCII.fullmatch(value):
            self.add(field, f"must be 1 to {most} printable ASCII characters")

    def phone(self, field: str, value: str) -> None:
        """A possible number in E.164 (ITU-T): '+' and up to 15 digits."""
        if not re.fullmatch(r"\+[1-9][0-9]{6,14}", value) or not _possible(value):
            self.add(field, "must be a phone number in E.164, such as +351211234567")

    def email(self, field: str, value: str) -> None:
        """An addr-spec without quoted strings or address literals (RFC 5321)."""
        local = value.partition("@")[0]
        if len(value) > MAX_EMAIL_BYTES or len(local) > MAX_LOCAL_PART_BYTES or not _EMAIL.fullmatch(value):
            self.add(field, "must be an email address, such as ada@example.com")

    def locale(self, field: str, value: str) -> None:
        """Empty, or shaped like BCP 47."""
        if value and not _LOCALE.fullmatch(value):
            self.add(field, "must be a language tag, such as pt-BR")

    def enumerated(self, field: str, value: int, kind: _EnumTypeWrapper[Any], *, required: bool = False) -> None:
        """A value that the contract knows; 0 (UNSPECIFIED) only where it is not required."""
        if value == 0 and required:
            self.add(field, "is required")
        elif value not in kind.DESCRIPTOR.values_by_number:
            self.add(field, f"{value} is not a known {kind.DESCRIPTOR.name}")

    def count(self, field: str, number: int, *, most: int, least: int = 1) -> bool:
        """How many there are; answers whether the number is allowed."""
        if least <= number <= most:
            return True
        self.add(field, f"must have {least} to {most} items, has {number}")
        return False

    def page_size(self, value: int, *, default: int, most: int) -> int:
        """The page size to use; 0 means the default."""
        if not 0 <= value <= most:
            self.add("page_size", f"must be 1 to {most}, or 0 for {default}")
        return value or default

    def timestamp(self, field: str, value: Timestamp) -> datetime | None:
        """The time in UTC, or None if it is not one between the years 2000 and 2200."""
        try:
            moment = value.ToDatetime(tzinfo=UTC)
        except (ValueError, OverflowError):
            moment = None
        if moment is None or not _EARLIEST <= moment < _LATEST:
            self.add(field, "must be a time between the years 2000 and 2200")
            return None
        return moment

    def duration(self, field: str, value: Duration, *, least: timedelta, most: timedelta) -> timedelta | None:
        """The duration, or None if it is out of bounds."""
        seconds = value.seconds + value.nanos / 1e9
        if not least.total_seconds() <= seconds <= most.total_seconds():
            self.add(field, f"must be {least.total_seconds():.10g} s to {most.total_seconds():.10g} s")
            return None
        return timedelta(seconds=seconds)


def _possible(number: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False
