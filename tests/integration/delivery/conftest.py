"""The delivery service as its bootstrap makes it, on real engines, against the simulated providers over real sockets."""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from clarion.delivery import v1
from clarion.type import v1 as wire
from pydantic import SecretStr

from deploy.local.composition.topics import create_topics
from services.delivery.bootstrap import build
from services.delivery.settings import DeliverySettings
from services.runtime.process import Process
from services.simulators.testing import RunningSimulators, running_simulators
from tests.serving import ISSUER, Issuer, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    import grpc

    from services.runtime.server import Add

CREDENTIAL_KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
APP = "shop"
CONTENT = wire.Content(
    push=wire.PushContent(title="Hello Ada", body="Out for delivery", data={"order": "7"}, badge=2, sound="ping"),
    sms=wire.SmsContent(body="Your code is 1234"),
    email=wire.EmailContent(subject="Olá Ada", text="Plain words", html="<p>Marked words</p>"),
)


class BuiltProcess(Process[DeliverySettings]):
    """Keeps what the bootstrap wants served."""

    def __init__(self, settings: DeliverySettings, stack: AsyncExitStack) -> None:
        super().__init__("delivery", settings, stack, traced=False)
        self.servicers: dict[str, Add] = {}

    def serve(self, servicers: Mapping[str, Add]) -> None:
        self.servicers.update(servicers)


class Caller:
    """Calls one replica as a worker and as a tenant's operator."""

    def __init__(self, channel: grpc.aio.Channel, issuer: Issuer) -> None:
        self.stub, self.issuer = v1.DeliveryServiceStub(channel), issuer

    def metadata(self, *roles: str, tenant: str = "acme") -> tuple[tuple[str, str], ...]:
        return self.issuer.metadata(*roles, tenant=tenant)

    async def deliver(self, *items: v1.DeliverItem, content: wire.Content = CONTENT) -> list[v1.DeliverResult]:
        request = v1.DeliverRequest(contents=[content], items=items)
        answer = await self.stub.Deliver(request, metadata=self.metadata("service"), timeout=30)
        return list(answer.results)

    async def create(self, account: v1.ProviderAccount, tenant: str = "acme") -> v1.ProviderAccount:
        answer = await self.stub.CreateProviderAccount(
            v1.CreateProviderAccountRequest(provider_account=account),
            metadata=self.metadata("operator", tenant=tenant),
        )
        return answer.provider_account

    async def listed(self, notification_id: str, tenant: str = "acme") -> list[v1.Delivery]:
        answer = await self.stub.ListDeliveries(
            v1.ListDeliveriesRequest(notification_id=notification_id),
            metadata=self.metadata("viewer", tenant=tenant),
        )
        return list(answer.deliveries)


@asynccontextmanager
async def running(settings: DeliverySettings, issuer: Issuer) -> AsyncIterator[Caller]:
    async with AsyncExitStack() as stack:
        process = BuiltProcess(settings, stack)
        await build(process)
        async with served(process.servicers, issuer) as channel:
            yield Caller(channel, issuer)


@pytest.fixture(scope="session")
async def session_simulators(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningSimulators]:
    async with running_simulators(tmp_path_factory.mktemp("providers")) as started:
        yield started


@pytest.fixture
async def simulators(session_simulators: RunningSimulators) -> AsyncIterator[RunningSimulators]:
    yield session_simulators
    await session_simulators.reset()


@pytest.fixture(scope="session")
def topic_prefix(kafka_bootstrap: str) -> str:
    prefix = f"delivery-{uuid.uuid4().hex[:8]}."
    create_topics(kafka_bootstrap, prefix=prefix)
    return prefix


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def make_settings(
    mongo_url: str,
    mongo_database: str,
    redis_url: str,
    kafka_bootstrap: str,
    topic_prefix: str,
    simulators: RunningSimulators,
) -> Callable[..., DeliverySettings]:
    given: dict[str, Any] = {
        "grpc_port": 0,
        "metrics_port": 0,
        "mongo_url": SecretStr(mongo_url),
        "mongo_database": mongo_database,
        "redis_url": SecretStr(redis_url),
        "kafka_bootstrap": kafka_bootstrap,
        "topic_prefix": topic_prefix,
        "issuer": ISSUER,
        "page_token_key": SecretStr("a key of 16 characters and more"),
        "credential_key": SecretStr(CREDENTIAL_KEY),
        "fcm_url": simulators.fcm.url,
        "fcm_token_url": simulators.fcm.token_url,
        "apns_url": simulators.apns.url,
        "apns_sandbox_url": simulators.apns.url,
        "twilio_url": simulators.sms.url,
        "smtp_host": simulators.smtp.host,
        "smtp_port": simulators.smtp.port,
        "provider_ca_file": str(simulators.ca_file),
        "unsubscribe_url": "https://example.com/unsubscribe/{delivery_id}",
        "account_cache_seconds": 0.0,
        "retry_base_seconds": 0.001,
        "provider_call_seconds": 5.0,
    }
    return lambda **changes: DeliverySettings(**(given | changes))


@pytest.fixture
def replica(
    make_settings: Callable[..., DeliverySettings], issuer: Issuer
) -> Callable[..., AbstractAsyncContextManager[Caller]]:
    """Start the service: `async with replica(claim_seconds=30) as delivery`."""
    return lambda **changes: running(make_settings(**changes), issuer)


@pytest.fixture
async def delivery(
    replica: Callable[..., AbstractAsyncContextManager[Caller]], simulators: RunningSimulators
) -> AsyncIterator[Caller]:
    """A replica, and an account of the tenant acme at every provider."""
    async with replica() as caller:
        for account in accounts(simulators):
            await caller.create(account)
        yield caller


def accounts(simulators: RunningSimulators) -> list[v1.ProviderAccount]:
    key, sms, smtp = simulators.apns_key, simulators.sms_account, simulators.smtp_account
    make = partial(v1.ProviderAccount)
    return [
        make(
            provider_account_id="android",
            app=APP,
            fcm=v1.FcmCredentials(
                project_id=simulators.service_account.project_id,
                service_account_json=json.dumps(simulators.service_account_json()),
            ),
        ),
        make(
            provider_account_id="ios",
            app=APP,
            apns=v1.ApnsCredentials(
                team_id=key.team_id, key_id=key.key_id, topic=key.topic, signing_key_pem=key.private_key
            ),
        ),
        make(
            provider_account_id="sms",
            twilio=v1.TwilioCredentials(account_sid=sms.account_sid, auth_token=sms.auth_token, sender=sms.numbers[0]),
        ),
        make(
            provider_account_id="mail",
            smtp=v1.SmtpCredentials(
                username=smtp.username,
                password=smtp.password,
                from_address="shop@example.com",
                from_name="The Shop",
            ),
        ),
    ]


def item(address: wire.Address, *, seconds: float = 3600, **fields: Any) -> v1.DeliverItem:
    given: dict[str, Any] = {
        "tenant": "acme",
        "notification_id": "n-1",
        "user_id": "ada",
        "priority": wire.Priority.PRIORITY_NORMAL,
        "category": "orders",
    }
    made = v1.DeliverItem(address=address, **(given | fields))
    now = datetime.now(UTC)
    made.accept_time.FromDatetime(now)
    made.expire_time.FromDatetime(now + timedelta(seconds=seconds))
    return made


def sms(number: str = "+351211234567", **fields: Any) -> v1.DeliverItem:
    return item(wire.Address(phone=number), **fields)


def mail(mailbox: str = "ada@example.org", **fields: Any) -> v1.DeliverItem:
    return item(wire.Address(email=mailbox), **fields)


def android(registration: str = "fcm-token-0001", *, platform: str = "ANDROID", **fields: Any) -> v1.DeliverItem:
    address = wire.DeviceAddress(platform=wire.Platform.Value(f"PLATFORM_{platform}"), app=APP, token=registration)
    return item(wire.Address(device=address), **fields)


def ios(registration: str = "ab" * 32, **fields: Any) -> v1.DeliverItem:
    return android(registration, platform="IOS", **fields)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that other tasks bring about."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
