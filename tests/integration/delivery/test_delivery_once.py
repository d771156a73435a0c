"""The same delivery twice is one call to the provider, whatever fails on the way; what happened is told and kept."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
from clarion.delivery import v1
from clarion.events.v1 import AnalyticsEvent, DeviceEvent
from clarion.type import v1 as wire
from clarion.type.v1 import DeliveryState
from pymongo import MongoClient
from redis.asyncio import Redis

from services import topics
from services.runtime import kafka
from services.simulators.script import Fault, Script
from tests.integration.delivery.conftest import CREDENTIAL_KEY, accounts, android, ios, mail, sms, until
from tests.serving import refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from services.delivery.settings import DeliverySettings
    from services.runtime.kafka import Received
    from services.simulators.testing import RunningSimulators
    from tests.integration.delivery.conftest import Caller

    Replica = Callable[..., AbstractAsyncContextManager[Caller]]

SENT, QUEUED = DeliveryState.DELIVERY_STATE_SENT, DeliveryState.DELIVERY_STATE_QUEUED
READ_SECONDS = 30


def everywhere(count: int) -> list[v1.DeliverItem]:
    kinds = (
        lambda n: android(f"fcm-token-{n:04}"),
        lambda n: ios(f"{n:064x}"),
        lambda n: sms(f"+3512112{n:05}"),
        lambda n: mail(f"user{n}@example.org"),
    )
    return [kinds[n % 4](n) for n in range(count)]


def accepted(simulators: RunningSimulators) -> list[str]:
    peers = (simulators.fcm, simulators.apns, simulators.sms, simulators.smtp)
    return sorted(each.address for peer in peers for each in peer.ledger.messages())


class Relay:
    """A port that leads to another one until it is cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cut()

    def cut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_a_batch_sent_again_calls_no_provider(delivery: Caller, simulators: RunningSimulators) -> None:
    items = everywhere(40)
    first = await delivery.deliver(*items)
    again = await delivery.deliver(*reversed(items))
    assert {each.state for each in first} == {SENT}
    assert [each.delivery_id for each in again] == [each.delivery_id for each in reversed(first)]
    assert {each.state for each in again} == {SENT}
    assert len(accepted(simulators)) == 40


async def test_two_replicas_with_the_same_batch_send_each_message_once(
    delivery: Caller, replica: Replica, simulators: RunningSimulators
) -> None:
    items = everywhere(200)
    async with replica() as other:
        answers = await asyncio.gather(*(each.deliver(*items) for each in (delivery, other, delivery, other)))
        assert {result.state for answer in answers for result in answer} <= {SENT, QUEUED}
        for index in range(200):
            assert any(answer[index].state == SENT for answer in answers)
        after = await other.deliver(*items)
    assert {each.state for each in after} == {SENT}
    found = accepted(simulators)
    assert len(found) == len(set(found)) == 200


async def test_one_apns_token_is_minted_for_two_replicas(
    delivery: Caller, replica: Replica, simulators: RunningSimulators
) -> None:
    # The simulator refuses a team's second token within 20 minutes, as Apple does.
    async with replica() as other:
        answers = await asyncio.gather(
            delivery.deliver(*(ios(f"{n:064x}") for n in range(30))),
            other.deliver(*(ios(f"{n:064x}") for n in range(30, 60))),
        )
        assert {result.state for answer in answers for result in answer} == {SENT}
    assert simulators.apns.counts() == {"accepted": 60}


async def test_with_redis_down_messages_are_sent_and_known_ones_are_not_sent_again(
    replica: Replica, redis_url: str, simulators: RunningSimulators
) -> None:
    port = int(redis_url.rpartition(":")[2].split("/")[0])
    async with Relay(port) as relay, replica(redis_url=f"redis://127.0.0.1:{relay.port}/0") as delivery:
        for account in accounts(simulators):
            await delivery.create(account)
        await delivery.deliver(*everywhere(8))
        relay.cut()
        results = await delivery.deliver(*everywhere(16))
        again = await delivery.deliver(*everywhere(16))
    assert {each.state for each in (*results, *again)} == {SENT}
    assert len(accepted(simulators)) == 16


async def test_with_redis_emptied_known_messages_are_not_sent_again(
    delivery: Caller, simulators: RunningSimulators, make_settings: Callable[..., DeliverySettings]
) -> None:
    await delivery.deliver(*everywhere(8))
    async with Redis.from_url(make_settings().redis_url.get_secret_value()) as client:
        await client.flushall()
    assert {each.state for each in await delivery.deliver(*everywhere(8))} == {SENT}
    assert len(accepted(simulators)) == 8


async def test_claims_do_not_stay_in_redis(delivery: Caller, make_settings: Callable[..., DeliverySettings]) -> None:
    await delivery.deliver(*everywhere(8))
    async with Redis.from_url(make_settings().redis_url.get_secret_value()) as client:
        assert [key async for key in client.scan_iter("delivery:claim:*")] == []


async def test_a_caller_that_goes_away_leaves_no_message_unrecorded(
    delivery: Caller, simulators: RunningSimulators
) -> None:
    await simulators.sms.play(Script(faults=(Fault(latency_seconds=0.5),)))
    request = v1.DeliverRequest(contents=[wire.Content(sms=wire.SmsContent(body="x"))], items=[sms()])
    call = delivery.stub.Deliver(request, metadata=delivery.metadata("service"), timeout=30)
    await until(lambda: simulators.sms.ledger.accepted > 0)
    call.cancel()
    kept = await delivery.listed("n-1")
    for _ in range(100):
        if kept:
            break
        await asyncio.sleep(0.05)
        kept = await delivery.listed("n-1")
    assert [each.state for each in kept] == [SENT]
    await delivery.deliver(sms())
    assert simulators.sms.ledger.accepted == 1


async def test_a_call_ends_within_its_callers_time(delivery: Caller, simulators: RunningSimulators) -> None:
    await simulators.fcm.play(Script(faults=(Fault(latency_seconds=20),)))
    request = v1.DeliverRequest(contents=[wire.Content(push=wire.PushContent(title="x"))], items=[android()])
    answer = await delivery.stub.Deliver(request, metadata=delivery.metadata("service"), timeout=3)
    (result,) = answer.results
    assert (result.state, result.reason) == (DeliveryState.DELIVERY_STATE_RETRYING, "PROVIDER_TIMEOUT")


async def received(settings: DeliverySettings, topic: str, count: int, notification_id: str) -> list[Received]:
    """The records of one test, whichever partition they are on."""
    found: list[Received] = []
    until = time.monotonic() + READ_SECONDS
    async with kafka.source(settings, group=f"reader-{notification_id}-{topic}", topics=[topic]) as source:
        while len(found) < count:
            assert time.monotonic() < until, f"{len(found)} of {count} on {topic}"
            found += [each for each in await source.read(500, 0.5) if notification_id.encode() in (each.key or b"")]
    return found


async def test_what_happened_is_told(
    delivery: Caller, simulators: RunningSimulators, make_settings: Callable[..., DeliverySettings]
) -> None:
    gone = datetime(2025, 6, 1, 12, 0, 0, 123_000, tzinfo=UTC)
    faults = (Fault(match="ab" * 32, error="Unregistered", timestamp_ms=int(gone.timestamp() * 1000)),)
    await simulators.apns.play(Script(faults=faults))
    await simulators.fcm.play(Script(faults=(Fault(match="fcm-token-0001", error="UNREGISTERED"),)))
    before = datetime.now(UTC)
    fields = {"notification_id": "told", "user_id": "told-ada", "template_id": "t-1"}
    results = await delivery.deliver(ios(**fields), android(**fields), sms(**fields))

    records = await received(make_settings(), topics.ANALYTICS_EVENTS, 3, "told")
    events = {event.delivery_id: event for event in (AnalyticsEvent.FromString(each.value) for each in records)}
    assert {each.headers["tenant"] for each in records} == {"acme"}
    found = [events[each.delivery_id] for each in results]
    assert [(each.provider, each.state, each.reason) for each in found] == [
        ("apns", DeliveryState.DELIVERY_STATE_FAILED, "TOKEN_GONE"),
        ("fcm", DeliveryState.DELIVERY_STATE_FAILED, "TOKEN_GONE"),
        ("twilio", SENT, ""),
    ]
    assert {(each.category, each.template_id, each.notification_id) for each in found} == {("orders", "t-1", "told")}
    assert len({each.event_id for each in found}) == 3

    dropped = [
        DeviceEvent.FromString(each.value) for each in await received(make_settings(), topics.DEVICE_EVENTS, 2, "told")
    ]
    times = {each.token_gone.address.token: each.token_gone.gone_time.ToDatetime(tzinfo=UTC) for each in dropped}
    assert {each.tenant for each in dropped} == {"acme"}
    assert times["ab" * 32] == gone
    assert before - timedelta(seconds=1) <= times["fcm-token-0001"] <= datetime.now(UTC)


async def test_a_tenant_sees_its_own_deliveries_only_page_by_page(delivery: Caller) -> None:
    results = await delivery.deliver(*everywhere(8))
    request = v1.ListDeliveriesRequest(notification_id="n-1", page_size=3)
    found: list[str] = []
    tokens: list[str] = []
    while not tokens or tokens[-1]:
        page = await delivery.stub.ListDeliveries(request, metadata=delivery.metadata("viewer"))
        found += [each.delivery_id for each in page.deliveries]
        tokens.append(page.next_page_token)
        request.page_token = page.next_page_token
    assert found == sorted(each.delivery_id for each in results)
    assert len(tokens) == 3
    assert await delivery.listed("n-1", tenant="globex") == []
    request.page_token = tokens[0]
    refused = await refusal(
        delivery.stub.ListDeliveries(request, metadata=delivery.metadata("viewer", tenant="globex"))
    )
    assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("page_token",))


async def test_accounts_are_ones_own(delivery: Caller, simulators: RunningSimulators) -> None:
    (result,) = await delivery.deliver(sms(tenant="globex"))
    assert (result.state, result.reason) == (DeliveryState.DELIVERY_STATE_FAILED, "NO_PROVIDER_ACCOUNT")
    operator = delivery.metadata("operator", tenant="globex")
    listed = await delivery.stub.ListProviderAccounts(v1.ListProviderAccountsRequest(), metadata=operator)
    assert not listed.provider_accounts
    request = v1.DeleteProviderAccountRequest(provider_account_id="sms")
    assert (
        await refusal(delivery.stub.DeleteProviderAccount(request, metadata=operator))
    ).code is grpc.StatusCode.NOT_FOUND
    # Another tenant's team id does not open that team's connection or token: the key decides.
    foreign = accounts(simulators)[1]
    foreign.apns.signing_key_pem = type(simulators.apns_key).generate(team_id="x", key_id="x", topic="x").private_key
    await delivery.create(foreign, tenant="globex")
    mine, theirs = await delivery.deliver(ios(), ios("cd" * 32, tenant="globex"))
    assert (mine.state, theirs.reason) == (SENT, "PROVIDER_CREDENTIALS")


async def test_accounts_are_listed_without_secrets_page_by_page_and_can_be_deleted(delivery: Caller) -> None:
    operator = delivery.metadata("operator")
    first = await delivery.stub.ListProviderAccounts(v1.ListProviderAccountsRequest(page_size=3), metadata=operator)
    request = v1.ListProviderAccountsRequest(page_size=3, page_token=first.next_page_token)
    second = await delivery.stub.ListProviderAccounts(request, metadata=operator)
    found = [*first.provider_accounts, *second.provider_accounts]
    assert [each.provider_account_id for each in found] == ["android", "ios", "mail", "sms"]
    assert not any(
        (each.fcm.service_account_json, each.apns.signing_key_pem, each.twilio.auth_token, each.smtp.password)
        != ("",) * 4
        for each in found
    )
    await delivery.stub.DeleteProviderAccount(
        v1.DeleteProviderAccountRequest(provider_account_id="sms"), metadata=operator
    )
    (result,) = await delivery.deliver(sms())
    assert result.reason == "NO_PROVIDER_ACCOUNT"


async def test_a_bad_account_is_refused_with_every_field_and_not_stored(delivery: Caller) -> None:
    operator = delivery.metadata("operator")
    bad = v1.ProviderAccount(provider_account_id="new", twilio=v1.TwilioCredentials(account_sid="x"))
    refused = await refusal(
        delivery.stub.CreateProviderAccount(v1.CreateProviderAccountRequest(provider_account=bad), metadata=operator)
    )
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.fields == tuple(
        f"provider_account.twilio.{each}" for each in ("account_sid", "auth_token", "sender")
    )
    listed = await delivery.stub.ListProviderAccounts(v1.ListProviderAccountsRequest(), metadata=operator)
    assert len(listed.provider_accounts) == 4


async def test_a_batch_that_only_a_broken_caller_sends_is_refused_whole(
    delivery: Caller, simulators: RunningSimulators
) -> None:
    metadata = delivery.metadata("service")
    wrong = v1.DeliverRequest(contents=[], items=[sms()])
    refused = await refusal(delivery.stub.Deliver(wrong, metadata=metadata))
    assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("items[0].content_index",))
    assert accepted(simulators) == []
    stranger = await refusal(delivery.stub.Deliver(wrong, metadata=delivery.metadata("operator")))
    assert stranger.code is grpc.StatusCode.PERMISSION_DENIED


async def test_health_shows_the_tenants_recent_calls(delivery: Caller) -> None:
    await delivery.deliver(sms(), mail())
    answer = await delivery.stub.GetProviderHealth(v1.GetProviderHealthRequest(), metadata=delivery.metadata("viewer"))
    assert {each.provider: each.succeeded for each in answer.providers} == {
        v1.PROVIDER_FCM: 0, v1.PROVIDER_APNS: 0, v1.PROVIDER_TWILIO: 1, v1.PROVIDER_SMTP: 1,
    }  # fmt: skip


async def test_nothing_stored_gives_away_a_secret_or_an_address(
    delivery: Caller,
    simulators: RunningSimulators,
    mongo_url: str,
    mongo_database: str,
    make_settings: Callable[..., DeliverySettings],
) -> None:
    await simulators.sms.play(Script(faults=(Fault(match="+351211234567", error="20500"),)))
    await delivery.deliver(android(), ios(), sms(), mail())
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_url)
    with client:
        database = client[mongo_database]
        stored = repr([[*database[name].find()] for name in database.list_collection_names()])
    async with Redis.from_url(make_settings().redis_url.get_secret_value()) as cache:
        cached = repr([(key, await cache.get(key)) async for key in cache.scan_iter("*")])
    assert "android" in stored
    assert "delivery:apns-token:" in cached
    secrets = (
        simulators.sms_account.auth_token,
        simulators.smtp_account.password,
        "PRIVATE KEY",
        json.dumps(simulators.apns_key.private_key.splitlines()[1])[1:-1],
        "eyJ",
    )
    addresses = ("fcm-token-0001", "ab" * 32, "+351211234567", "ada@example.org", "Your code", "Plain words")
    for word in (*secrets, *addresses):
        assert word not in stored
        assert word not in cached


async def test_with_another_key_accounts_cannot_be_used(delivery: Caller, replica: Replica) -> None:
    async with replica(credential_key=CREDENTIAL_KEY.replace("AAAA", "BBBB", 1)) as other:
        (result,) = await other.deliver(sms())
    assert result.reason == "NO_PROVIDER_ACCOUNT"
