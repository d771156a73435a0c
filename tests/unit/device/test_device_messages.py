"""What the contract's messages must be like, and that every offending field is named."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from clarion.device.v1 import ContactPoint, GoneToken, Recipient, UserKey
from clarion.events.v1 import DeviceEvent
from clarion.type.v1 import DeviceAddress, Platform
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.device import messages
from services.device.consumer import parse
from services.device.domain import UserKey as DomainUserKey
from services.runtime.errors import InvalidInput
from services.runtime.kafka import Received
from services.runtime.validation import Violations
from tests.unit.device.builders import NOON, address, at, email, gone, phone, recipient

ANDROID = Platform.PLATFORM_ANDROID


def offending(message: DeviceAddress) -> list[str]:
    violations = Violations()
    messages.check_address(violations, "address", message)
    return [each.field for each in violations.found]


def fields_of(caught: pytest.ExceptionInfo[InvalidInput]) -> list[str]:
    return [each.field for each in caught.value.violations]


def stamp(seconds: float = 0) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at(seconds))
    return made


@given(st.text(max_size=120))
def test_an_app_is_1_to_100_letters_digits_dots_underscores_or_hyphens(app: str) -> None:
    valid = re.fullmatch(r"[A-Za-z0-9._-]{1,100}", app) is not None and app.isascii()
    assert (offending(DeviceAddress(platform=ANDROID, app=app, token="t")) == []) == valid


@given(st.text(min_size=1, max_size=50))
def test_a_token_is_printable_ascii(token: str) -> None:
    valid = all("!" <= character <= "~" for character in token)
    assert (offending(DeviceAddress(platform=ANDROID, app="a", token=token)) == []) == valid


@pytest.mark.parametrize("control", ["\n", "\r", "\0", "\x7f", "\u2028", " ", "\t"])
@pytest.mark.parametrize("form", ["{}token", "tok{}en", "token{}"])
def test_a_token_with_a_control_character_is_refused(control: str, form: str) -> None:
    message = DeviceAddress(platform=ANDROID, app="a", token=form.format(control))
    assert offending(message) == ["address.token"]


def test_a_token_may_have_4096_characters_and_no_more() -> None:
    assert offending(DeviceAddress(platform=ANDROID, app="a", token="t" * 4096)) == []
    assert offending(DeviceAddress(platform=ANDROID, app="a", token="t" * 4097)) == ["address.token"]


@given(st.integers(-(2**31), 2**31 - 1))
def test_a_platform_is_one_that_the_contract_knows(number: int) -> None:
    message = DeviceAddress(platform=Platform.ValueType(number), app="a", token="t")
    assert (offending(message) == []) == (number in (1, 2, 3))


def test_all_that_is_missing_from_an_address_is_named_at_once() -> None:
    assert offending(DeviceAddress()) == ["address.platform", "address.app", "address.token"]


def test_all_that_is_wrong_with_a_recipient_is_named_at_once() -> None:
    message = Recipient(
        user_id="a b",
        contact_points=[
            ContactPoint(phone="351211234567"),
            ContactPoint(phone="+351211234567"),
            ContactPoint(email="ada@example.com\r\nBcc: eve@example.com"),
            ContactPoint(verified=True),
        ],
        locale="not a locale",
        time_zone="Europe/Atlantis",
    )
    with pytest.raises(InvalidInput) as caught:
        messages.to_recipient(message, field="recipient", now=NOON)
    assert fields_of(caught) == [
        "recipient.user_id",
        "recipient.locale",
        "recipient.time_zone",
        "recipient.contact_points[0].phone",
        "recipient.contact_points[2].email",
        "recipient.contact_points[3]",
    ]


def test_a_recipient_has_at_most_20_contact_points() -> None:
    points = [ContactPoint(phone="+351211234567")] * 20
    messages.to_recipient(Recipient(user_id="ada", contact_points=points), field="recipient", now=NOON)
    too_many = Recipient(user_id="ada", contact_points=[*points, points[0]])
    with pytest.raises(InvalidInput) as caught:
        messages.to_recipient(too_many, field="recipient", now=NOON)
    assert fields_of(caught) == ["recipient.contact_points"]


@pytest.mark.parametrize(
    "time_zone", ["Europe/lisbon/../Lisbon", "../../etc/passwd", "/etc/localtime", "Europe", "GMT+1", "x" * 5000, "\0"]
)
def test_a_time_zone_that_is_none_is_refused(time_zone: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        messages.to_recipient(Recipient(user_id="ada", time_zone=time_zone), field="recipient", now=NOON)
    assert fields_of(caught) == ["recipient.time_zone"]


@pytest.mark.parametrize("time_zone", ["", "UTC", "Europe/Lisbon", "America/Argentina/Ushuaia", "Etc/GMT+1"])
def test_an_iana_time_zone_or_none_at_all_is_taken(time_zone: str) -> None:
    message = Recipient(user_id="ada", time_zone=time_zone)
    assert messages.to_recipient(message, field="recipient", now=NOON).time_zone == time_zone


def test_a_recipient_is_written_back_as_it_was_read_but_for_the_time() -> None:
    stored = recipient("ada", phone(), email(verified=False))
    message = messages.from_recipient(stored)
    assert messages.to_recipient(message, field="recipient", now=at(5)) == recipient_updated(5)
    assert message.update_time == stamp()


def recipient_updated(seconds: float) -> object:
    again = recipient("ada", phone(), email(verified=False))
    return type(again)(
        user_id=again.user_id,
        contact_points=again.contact_points,
        locale=again.locale,
        time_zone=again.time_zone,
        update_time=at(seconds),
    )


@pytest.mark.parametrize("number", [0, 1001])
def test_none_or_more_than_1000_of_a_batch_are_refused(number: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        messages.to_users([UserKey(tenant="acme", user_id="ada")] * number)
    assert fields_of(caught) == ["users"]
    token = GoneToken(tenant="acme", address=messages.from_address(address()), gone_time=stamp())
    with pytest.raises(InvalidInput) as caught:
        messages.to_gone([token] * number)
    assert fields_of(caught) == ["tokens"]


def test_1000_of_a_batch_are_taken() -> None:
    users = messages.to_users([UserKey(tenant="acme", user_id="ada")] * 1000)
    assert users == [DomainUserKey("acme", "ada")] * 1000


def test_every_bad_item_of_a_batch_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        messages.to_users([UserKey(tenant="acme", user_id="ada"), UserKey(), UserKey(tenant="a/b", user_id="ü")])
    assert fields_of(caught) == ["users[1].tenant", "users[1].user_id", "users[2].tenant", "users[2].user_id"]


@pytest.mark.parametrize("seconds", [-62135596800, 253402300799, 2**62, 0])
def test_a_gone_time_out_of_this_age_is_refused(seconds: int) -> None:
    token = GoneToken(tenant="acme", address=messages.from_address(address()), gone_time=Timestamp(seconds=seconds))
    with pytest.raises(InvalidInput) as caught:
        messages.to_gone([token])
    assert fields_of(caught) == ["tokens[0].gone_time"]


def received(value: bytes) -> Received:
    return Received(topic="device-events", partition=0, offset=0, key=None, value=value, headers={})


def gone_event(**changes: object) -> DeviceEvent:
    event = DeviceEvent(
        tenant="acme",
        token_gone=DeviceEvent.TokenGone(address=messages.from_address(address()), gone_time=stamp(3)),
    )
    for name, value in changes.items():
        setattr(event, name, value)
    return event


def test_an_event_is_read() -> None:
    assert parse(received(gone_event().SerializeToString())) == gone(when=3)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"\xff\xff", id="no protobuf"),
        pytest.param(b"", id="empty"),
        pytest.param(DeviceEvent(tenant="acme").SerializeToString(), id="no kind"),
        pytest.param(gone_event(tenant="").SerializeToString(), id="no tenant"),
        pytest.param(
            DeviceEvent(tenant="acme", token_gone=DeviceEvent.TokenGone(gone_time=stamp())).SerializeToString(),
            id="no address",
        ),
        pytest.param(
            DeviceEvent(
                tenant="acme", token_gone=DeviceEvent.TokenGone(address=messages.from_address(address()))
            ).SerializeToString(),
            id="no time",
        ),
    ],
)
def test_what_is_no_event_cannot_be_read(value: bytes) -> None:
    with pytest.raises((DecodeError, ValueError)):
        parse(received(value))


def test_times_are_written_to_the_millisecond() -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
    stored = recipient()
    message = messages.from_recipient(
        type(stored)(user_id="ada", contact_points=(), locale="", time_zone="", update_time=moment)
    )
    assert message.update_time.ToMilliseconds() == int(moment.timestamp() * 1000)
