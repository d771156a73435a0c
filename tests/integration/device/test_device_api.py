"""Both services over gRPC, behind the real guard, with real tokens, on real stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from clarion.device import v1
from clarion.type.v1 import DeviceAddress, Platform
from google.protobuf.timestamp_pb2 import Timestamp

from services.device.domain import MAX_DEVICES
from tests.serving import Issuer, refusal

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from tests.integration.device.conftest import Stack

INVALID = grpc.StatusCode.INVALID_ARGUMENT
ADDRESS = DeviceAddress(platform=Platform.PLATFORM_IOS, app="shop", token="token-1")
YEAR_0, YEAR_9999 = Timestamp(seconds=-62135596800), Timestamp(seconds=253402300799)


class Caller:
    """Calls as one tenant, with the roles of both an app's server and a worker."""

    def __init__(self, channel: grpc.aio.Channel, issuer: Issuer, *, tenant: str = "acme") -> None:
        self.devices, self.recipients = v1.DeviceServiceStub(channel), v1.RecipientServiceStub(channel)
        self.metadata = issuer.metadata("registrar", "service", tenant=tenant)

    async def register(self, user_id: str = "ada", address: DeviceAddress = ADDRESS) -> v1.Device:
        request = v1.RegisterDeviceRequest(user_id=user_id, address=address, locale="pt-PT")
        return (await self.devices.RegisterDevice(request, metadata=self.metadata)).device

    async def resolve(self, *users: tuple[str, str]) -> list[v1.ResolvedRecipient]:
        request = v1.ResolveRecipientsRequest(users=[v1.UserKey(tenant=tenant, user_id=user) for tenant, user in users])
        return list((await self.devices.ResolveRecipients(request, metadata=self.metadata)).recipients)

    async def listed(self, *, size: int = 0, token: str = "", user_id: str = "ada") -> v1.ListDevicesResponse:
        request = v1.ListDevicesRequest(user_id=user_id, page_size=size, page_token=token)
        return await self.devices.ListDevices(request, metadata=self.metadata)

    async def call(self, method: str, request: Message) -> Message:
        stub = self.devices if hasattr(self.devices, method) else self.recipients
        answer: Message = await getattr(stub, method)(request, metadata=self.metadata)
        return answer


@pytest.fixture
def caller(channel: grpc.aio.Channel, issuer: Issuer) -> Caller:
    return Caller(channel, issuer)


@pytest.fixture
def stranger(channel: grpc.aio.Channel, issuer: Issuer) -> Caller:
    return Caller(channel, issuer, tenant="other")


async def test_a_person_with_a_device_a_phone_and_a_mailbox_is_resolved(caller: Caller) -> None:
    recipient = v1.Recipient(
        user_id="ada",
        contact_points=[
            v1.ContactPoint(phone="+351211234567", verified=True),
            v1.ContactPoint(email="unverified@example.com"),
            v1.ContactPoint(email="ada@example.com", verified=True),
        ],
        locale="pt-PT",
        time_zone="Europe/Lisbon",
    )
    stored = await caller.recipients.UpsertRecipient(
        v1.UpsertRecipientRequest(recipient=recipient), metadata=caller.metadata
    )
    assert stored.recipient.HasField("update_time")
    stored_again = await caller.recipients.GetRecipient(v1.GetRecipientRequest(user_id="ada"), metadata=caller.metadata)
    assert stored_again.recipient == stored.recipient
    stored.recipient.ClearField("update_time")
    assert stored.recipient == recipient
    await caller.register()
    known = v1.ResolvedRecipient(
        found=True,
        devices=[ADDRESS],
        phone="+351211234567",
        email="ada@example.com",
        locale="pt-PT",
        time_zone="Europe/Lisbon",
    )
    unknown = v1.ResolvedRecipient()
    for _ in ("from the stores", "from the cache"):
        assert await caller.resolve(("acme", "bob"), ("acme", "ada"), ("other", "ada")) == [unknown, known, unknown]


async def test_a_device_can_be_read_listed_and_forgotten(caller: Caller) -> None:
    device = await caller.register()
    assert (device.user_id, device.address, device.locale) == ("ada", ADDRESS, "pt-PT")
    assert device.register_time.ToMilliseconds() == device.last_seen_time.ToMilliseconds() > 0
    assert device.register_time.nanos % 1_000_000 == 0
    name = v1.GetDeviceRequest(user_id="ada", device_id=device.device_id)
    assert (await caller.devices.GetDevice(name, metadata=caller.metadata)).device == device
    assert list((await caller.listed()).devices) == [device]
    delete = v1.DeleteDeviceRequest(user_id="ada", device_id=device.device_id)
    await caller.devices.DeleteDevice(delete, metadata=caller.metadata)
    assert (await refusal(caller.devices.GetDevice(name, metadata=caller.metadata))).code is grpc.StatusCode.NOT_FOUND
    again = await refusal(caller.devices.DeleteDevice(delete, metadata=caller.metadata))
    assert again.code is grpc.StatusCode.NOT_FOUND


async def test_the_pages_of_a_list_have_every_device_once(caller: Caller) -> None:
    for number in range(5):
        await caller.register(address=DeviceAddress(platform=ADDRESS.platform, app="shop", token=f"t{number}"))
    tokens, page_token = [], ""
    while True:
        page = await caller.listed(size=2, token=page_token)
        tokens += [each.address.token for each in page.devices]
        page_token = page.next_page_token
        if not page_token:
            break
    assert sorted(tokens) == [f"t{number}" for number in range(5)]


async def test_a_page_token_serves_only_the_request_it_was_given_for(caller: Caller, stranger: Caller) -> None:
    for token in ("a", "b"):
        await caller.register(address=DeviceAddress(platform=ADDRESS.platform, app="shop", token=token))
    given = (await caller.listed(size=1)).next_page_token
    assert given
    tampered = given[:-1] + ("A" if given[-1] != "A" else "B")
    for refused in (
        caller.listed(token="made-up"),
        caller.listed(token=tampered),
        caller.listed(token=given, user_id="bob"),
        stranger.listed(token=given),
        caller.listed(token="x" * 5000),
        caller.listed(token="\u00fc"),
    ):
        answer = await refusal(refused)
        assert (answer.code, answer.fields) == (INVALID, ("page_token",))


async def test_a_user_with_too_many_devices_is_told_so(caller: Caller) -> None:
    for number in range(MAX_DEVICES):
        await caller.register(address=DeviceAddress(platform=ADDRESS.platform, app="shop", token=f"t{number}"))
    answer = await refusal(caller.register())
    assert (answer.code, answer.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_DEVICES")
    assert answer.retry_after is None


async def test_a_provider_can_declare_tokens_gone(caller: Caller) -> None:
    device = await caller.register()
    earlier = Timestamp()
    earlier.FromMilliseconds(device.register_time.ToMilliseconds() - 1)

    async def invalidate(tenant: str, when: Timestamp) -> int:
        token = v1.GoneToken(tenant=tenant, address=ADDRESS, gone_time=when)
        request = v1.InvalidateTokensRequest(tokens=[token])
        return (await caller.devices.InvalidateTokens(request, metadata=caller.metadata)).dropped

    assert (await caller.resolve(("acme", "ada")))[0].devices
    assert await invalidate("acme", earlier) == 0
    assert await invalidate("other", device.register_time) == 0
    assert await invalidate("acme", device.register_time) == 1
    assert await invalidate("acme", device.register_time) == 0
    assert not (await caller.resolve(("acme", "ada")))[0].found


async def test_another_tenants_people_and_devices_are_not_there(caller: Caller, stranger: Caller) -> None:
    device = await caller.register()
    upsert = v1.UpsertRecipientRequest(recipient=v1.Recipient(user_id="ada"))
    await caller.call("UpsertRecipient", upsert)
    names: list[tuple[str, Message]] = [
        ("GetDevice", v1.GetDeviceRequest(user_id="ada", device_id=device.device_id)),
        ("DeleteDevice", v1.DeleteDeviceRequest(user_id="ada", device_id=device.device_id)),
        ("GetRecipient", v1.GetRecipientRequest(user_id="ada")),
        ("DeleteRecipient", v1.DeleteRecipientRequest(user_id="ada")),
    ]
    for method, request in names:
        assert (await refusal(stranger.call(method, request))).code is grpc.StatusCode.NOT_FOUND
    assert not (await stranger.listed()).devices
    assert list((await caller.listed()).devices) == [device]


async def test_what_a_later_issue_brings_is_unimplemented(caller: Caller) -> None:
    later: list[tuple[str, Message]] = [
        ("GetPreferences", v1.GetPreferencesRequest(user_id="ada")),
        ("UpdatePreferences", v1.UpdatePreferencesRequest(user_id="ada")),
        ("SubscribeTopic", v1.SubscribeTopicRequest(topic="news", user_id="ada")),
        ("UnsubscribeTopic", v1.UnsubscribeTopicRequest(topic="news", user_id="ada")),
    ]
    for method, request in later:
        assert (await refusal(caller.call(method, request))).code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("roles", "method", "code"),
    [
        (("viewer",), "RegisterDevice", grpc.StatusCode.PERMISSION_DENIED),
        (("registrar",), "ResolveRecipients", grpc.StatusCode.PERMISSION_DENIED),
        (("registrar", "viewer"), "InvalidateTokens", grpc.StatusCode.PERMISSION_DENIED),
        (("service",), "RegisterDevice", grpc.StatusCode.PERMISSION_DENIED),
        ((), "RegisterDevice", grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_a_caller_needs_the_methods_role(
    channel: grpc.aio.Channel, issuer: Issuer, roles: tuple[str, ...], method: str, code: grpc.StatusCode
) -> None:
    requests: dict[str, Message] = {
        "RegisterDevice": v1.RegisterDeviceRequest(user_id="ada", address=ADDRESS),
        "ResolveRecipients": v1.ResolveRecipientsRequest(users=[v1.UserKey(tenant="acme", user_id="ada")]),
        "InvalidateTokens": v1.InvalidateTokensRequest(),
    }
    metadata = issuer.metadata(*roles) if roles else ()
    stub = getattr(v1.DeviceServiceStub(channel), method)
    assert (await refusal(stub(requests[method], metadata=metadata))).code is code


async def test_a_token_without_a_tenant_registers_nothing(channel: grpc.aio.Channel, issuer: Issuer) -> None:
    answer = await refusal(Caller(channel, issuer, tenant="").register())
    assert (answer.code, answer.reason) == (grpc.StatusCode.PERMISSION_DENIED, "TENANT_MISSING")


def bad(method: str, request: Message, *fields: str) -> object:
    return pytest.param(method, request, fields, id=f"{method}-{'-'.join(fields)}"[:80])


def gone(address: DeviceAddress = ADDRESS, when: Timestamp | None = None, tenant: str = "acme") -> v1.GoneToken:
    return v1.GoneToken(tenant=tenant, address=address, gone_time=when or Timestamp(seconds=1_700_000_000))


def upsert(**values: object) -> v1.UpsertRecipientRequest:
    return v1.UpsertRecipientRequest(recipient=v1.Recipient(**{"user_id": "ada", **values}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "request_message", "fields"),
    [
        bad(
            "RegisterDevice", v1.RegisterDeviceRequest(), "user_id", "address.platform", "address.app", "address.token"
        ),
        bad(
            "RegisterDevice",
            v1.RegisterDeviceRequest(
                user_id="x" * 129,
                address=DeviceAddress(platform=Platform.ValueType(99), app="a b", token="tok\x00en"),
                locale="english, please",
            ),
            "user_id",
            "address.platform",
            "address.app",
            "address.token",
            "locale",
        ),
        bad(
            "RegisterDevice",
            v1.RegisterDeviceRequest(
                user_id="ada",
                address=DeviceAddress(platform=ADDRESS.platform, app="x" * 101, token="x" * 1_000_000),
            ),
            "address.app",
            "address.token",
        ),
        bad("GetDevice", v1.GetDeviceRequest(), "user_id", "device_id"),
        bad("GetDevice", v1.GetDeviceRequest(user_id="a/b", device_id="$ne"), "user_id", "device_id"),
        bad("DeleteDevice", v1.DeleteDeviceRequest(user_id="\n", device_id="x" * 999), "user_id", "device_id"),
        bad("ListDevices", v1.ListDevicesRequest(page_size=101), "user_id", "page_size"),
        bad("ListDevices", v1.ListDevicesRequest(user_id="ada", page_size=-1), "page_size"),
        bad("ResolveRecipients", v1.ResolveRecipientsRequest(), "users"),
        bad("ResolveRecipients", v1.ResolveRecipientsRequest(users=[v1.UserKey()] * 1001), "users"),
        bad(
            "ResolveRecipients",
            v1.ResolveRecipientsRequest(users=[v1.UserKey(tenant="acme", user_id="ada"), v1.UserKey(user_id="{x}")]),
            "users[1].tenant",
            "users[1].user_id",
        ),
        bad("InvalidateTokens", v1.InvalidateTokensRequest(), "tokens"),
        bad("InvalidateTokens", v1.InvalidateTokensRequest(tokens=[gone()] * 1001), "tokens"),
        bad(
            "InvalidateTokens",
            v1.InvalidateTokensRequest(
                tokens=[gone(when=YEAR_0), gone(when=YEAR_9999), gone(DeviceAddress(), tenant="")]
            ),
            "tokens[0].gone_time",
            "tokens[1].gone_time",
            "tokens[2].tenant",
            "tokens[2].address.platform",
            "tokens[2].address.app",
            "tokens[2].address.token",
        ),
        bad("UpsertRecipient", v1.UpsertRecipientRequest(), "recipient.user_id"),
        bad(
            "UpsertRecipient",
            upsert(
                user_id="",
                locale="x" * 1_000_000,
                time_zone="Mars/Olympus",
                contact_points=[
                    v1.ContactPoint(),
                    v1.ContactPoint(phone="0800 555"),
                    v1.ContactPoint(email="ada@example.com\nBcc: all@example.com"),
                    v1.ContactPoint(email="ada@" + "x" * 1_000_000 + ".com"),
                ],
            ),
            "recipient.user_id",
            "recipient.locale",
            "recipient.time_zone",
            "recipient.contact_points[0]",
            "recipient.contact_points[1].phone",
            "recipient.contact_points[2].email",
            "recipient.contact_points[3].email",
        ),
        bad("UpsertRecipient", upsert(contact_points=[v1.ContactPoint()] * 10_000), "recipient.contact_points"),
        bad("GetRecipient", v1.GetRecipientRequest(), "user_id"),
        bad("DeleteRecipient", v1.DeleteRecipientRequest(user_id="a b"), "user_id"),
    ],
)
async def test_bad_input_names_every_field_and_stores_nothing(
    caller: Caller, stack: Stack, method: str, request_message: Message, fields: tuple[str, ...]
) -> None:
    answer = await refusal(caller.call(method, request_message))
    assert (answer.code, answer.fields) == (INVALID, fields)
    assert "tok" not in answer.message.replace("token", "")
    for name in await stack.database.list_collection_names():
        assert await stack.database[name].count_documents({}) == 0
    assert await stack.client.dbsize() == 0
