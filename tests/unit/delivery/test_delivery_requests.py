from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from clarion.delivery.v1 import DeliverItem, DeliverRequest, ProviderAccount
from clarion.type import v1 as wire
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.delivery import answers, requests
from services.delivery.message import Channel, Platform, Priority
from services.runtime.errors import InvalidInput
from tests.unit.delivery.builders import NOW, account, apns, apns_key, service_account, smtp, twilio


def item(**fields: Any) -> DeliverItem:
    given: dict[str, Any] = {"tenant": "acme", "notification_id": "n-1", "address": wire.Address(phone="+351211234567")}
    made = DeliverItem(**(given | fields))
    made.expire_time.FromDatetime(NOW + timedelta(hours=1))
    made.accept_time.FromDatetime(NOW)
    return made


CONTENT = wire.Content(
    push=wire.PushContent(title="T", body="B", data={"k": "v"}),
    sms=wire.SmsContent(body="S"),
    email=wire.EmailContent(subject="E", text="words"),
)


def read(*items: DeliverItem, content: wire.Content = CONTENT) -> Any:
    return requests.messages(DeliverRequest(contents=[content], items=items))


def fields_of(caught: pytest.ExceptionInfo[InvalidInput]) -> list[str]:
    return [each.field for each in caught.value.violations]


def device(registration: str = "token", platform: int = 2) -> wire.Address:
    return wire.Address(
        device=wire.DeviceAddress(platform=wire.Platform.ValueType(platform), app="shop", token=registration)
    )


def test_an_item_is_read_whole() -> None:
    (message,) = read(
        item(address=device(), priority=wire.Priority.PRIORITY_BULK, chunk=3, category="c", collapse_key="k")
    )
    assert (message.channel, message.priority, message.chunk, message.fault) == (Channel.PUSH, Priority.BULK, 3, "")
    assert message.address.platform is Platform.IOS
    assert message.content.data == {"k": "v"}
    assert message.content.badge is None
    assert message.accepted_at == NOW


@pytest.mark.parametrize("unknown", [-2_000, -1, 4, 2_000])
def test_a_priority_of_another_release_is_normal(unknown: int) -> None:
    (message,) = read(item(priority=wire.Priority.ValueType(unknown)))
    assert message.priority is Priority.NORMAL


def test_a_content_is_read_once_for_all_the_items_that_share_it() -> None:
    first, second = read(item(), item(address=wire.Address(phone="+351211234568")))
    assert first.content is second.content


@pytest.mark.parametrize(
    ("address", "content", "fault"),
    [
        (wire.Address(phone="0211234567"), CONTENT, "INVALID_ADDRESS"),
        (wire.Address(phone="+351\r\n211234567"), CONTENT, "INVALID_ADDRESS"),
        (wire.Address(email="ada@example.com\r\nBcc: eve@example.com"), CONTENT, "INVALID_ADDRESS"),
        (wire.Address(email="ada"), CONTENT, "INVALID_ADDRESS"),
        (device("a\nb"), CONTENT, "INVALID_ADDRESS"),
        (device("x" * 4097), CONTENT, "INVALID_ADDRESS"),
        (device(platform=0), CONTENT, "INVALID_ADDRESS"),
        (device(platform=9), CONTENT, "INVALID_ADDRESS"),
        (wire.Address(), CONTENT, "INVALID_ADDRESS"),
        (wire.Address(phone="+351211234567"), wire.Content(push=CONTENT.push), "NO_CONTENT"),
        (wire.Address(phone="+351211234567"), wire.Content(sms=wire.SmsContent(body="x" * 1601)), "INVALID_CONTENT"),
        (wire.Address(email="ada@example.com"), wire.Content(email=wire.EmailContent(subject="E")), "INVALID_CONTENT"),
        (
            wire.Address(email="ada@example.com"),
            wire.Content(email=wire.EmailContent(subject="Hi\r\nBcc: eve@example.com", text="x")),
            "INVALID_CONTENT",
        ),
    ],
)
def test_what_no_provider_can_take_is_read_with_its_fault(
    address: wire.Address, content: wire.Content, fault: str
) -> None:
    bad, good = read(item(address=address), item(address=wire.Address(phone="+351211234567")), content=content)
    assert bad.fault == fault
    assert content is not CONTENT or good.fault == ""


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_1_to_1000_items(count: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(*[item()] * count)
    assert fields_of(caught) == ["items"]


def test_every_offending_field_of_every_item_is_named() -> None:
    nameless, timeless = item(tenant="", notification_id="a b", content_index=1), item(content_index=-1)
    timeless.ClearField("expire_time")
    timeless.accept_time.seconds = -(10**10)
    with pytest.raises(InvalidInput) as caught:
        read(item(), nameless, timeless)
    assert fields_of(caught) == [
        "items[1].tenant",
        "items[1].notification_id",
        "items[1].content_index",
        "items[2].expire_time",
        "items[2].accept_time",
        "items[2].content_index",
    ]


def wire_account(**fields: Any) -> ProviderAccount:
    return ProviderAccount(**({"provider_account_id": "main"} | fields))


def fcm_json(**fields: Any) -> str:
    return json.dumps(service_account().google_json(token_uri="https://oauth2.googleapis.com/token") | fields)


GOOD = [
    wire_account(app="shop", fcm={"project_id": "clarion-test", "service_account_json": fcm_json()}),
    wire_account(
        app="shop",
        apns={
            "team_id": "TEAM123456",
            "key_id": "KEY1234567",
            "topic": "org.clarion.app",
            "signing_key_pem": apns_key().private_key,
        },
    ),
    wire_account(twilio={"account_sid": "AC" + "a" * 32, "auth_token": "0123456789", "sender": "Shop"}),
    wire_account(twilio={"account_sid": "AC" + "a" * 32, "auth_token": "0123456789", "sender": "+15005550006"}),
    wire_account(smtp={"from_address": "shop@example.com"}),
    wire_account(
        smtp={
            "host": "mail.example.com",
            "port": 465,
            "username": "u",
            "password": "p",
            "from_address": "a@example.com",
        }
    ),
]


@pytest.mark.parametrize("given", GOOD)
def test_a_right_account_is_read_and_shown_without_its_secret(given: ProviderAccount) -> None:
    account_id, app, credentials = requests.account(given)
    shown = answers.account(account(credentials, account_id=account_id, app=app))
    secrets = {"service_account_json", "signing_key_pem", "auth_token", "password"}
    kind = given.WhichOneof("credentials") or ""
    expected = ProviderAccount()
    expected.CopyFrom(given)
    for secret in secrets & {each.name for each in getattr(expected, kind).DESCRIPTOR.fields}:
        getattr(expected, kind).ClearField(secret)
    shown.ClearField("create_time")
    assert shown == expected


def curve_384() -> str:
    return (
        ec.generate_private_key(ec.SECP384R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        (ProviderAccount(), ["provider_account_id", "credentials"]),
        (wire_account(provider_account_id="a/b", fcm={}), [
            "provider_account_id", "app", "fcm.project_id", "fcm.service_account_json",
        ]),
        (wire_account(app="s", fcm={"project_id": "clarion-test", "service_account_json": "{}"}), ["fcm.service_account_json"]),
        (
            wire_account(app="s", fcm={"project_id": "clarion-test", "service_account_json": fcm_json(private_key=apns_key().private_key)}),
            ["fcm.service_account_json"],
        ),
        (wire_account(app="s", apns={}), ["apns.team_id", "apns.key_id", "apns.topic", "apns.signing_key_pem"]),
        (
            wire_account(app="s", apns={
                "team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "a.b", "signing_key_pem": curve_384(),
            }),
            ["apns.signing_key_pem"],
        ),
        (wire_account(app="s", twilio={}), ["app", "twilio.account_sid", "twilio.auth_token", "twilio.sender"]),
        (wire_account(twilio={"account_sid": "../../x", "auth_token": "a b", "sender": "A sender\r\n"}), [
            "twilio.account_sid", "twilio.auth_token", "twilio.sender",
        ]),
        (wire_account(smtp={"port": 25, "password": "p", "from_name": "A\r\nBcc: x", "from_address": "a"}), [
            "smtp.port", "smtp.password", "smtp.from_name", "smtp.from_address",
        ]),
        *[
            (wire_account(smtp={"host": host, "port": 25, "from_address": "a@example.com"}), ["smtp.host"])
            for host in ("127.0.0.1", "localhost", "mongo.clarion.svc", "metadata.google.internal", "[::1]", "a\r\nb.com")
        ],
        (wire_account(smtp={"host": "mail.example.com", "port": 6379, "from_address": "a@example.com"}), ["smtp.port"]),
    ],
)  # fmt: skip
def test_every_offending_field_of_an_account_is_named(given: ProviderAccount, fields: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        requests.account(given)
    assert fields_of(caught) == [f"provider_account.{each}" for each in fields]
    assert "BEGIN" not in str(caught.value)


def test_secrets_do_not_show_in_an_accounts_text() -> None:
    for each in (apns(), twilio(), smtp()):
        shown = repr(account(each))
        assert not any(word in shown for word in ("BEGIN", "secret-auth-token", "secret-password"))
