"""The running system as its tests see it: a tenant that calls it, and the providers' ledgers."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clarion.auth.v1 import CreateClientRequest
from clarion.delivery.v1 import ListDeliveriesRequest
from clarion.notification.v1 import (
    DeliveryOptions,
    GetNotificationRequest,
    Recipient,
    SendNotificationRequest,
)
from clarion.type.v1 import (
    PLATFORM_ANDROID,
    PLATFORM_IOS,
    Address,
    Content,
    DeviceAddress,
    EmailContent,
    PushContent,
    SmsContent,
)
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.demo import people
from deploy.local.demo.ledger import Ledgers
from deploy.local.demo.letters import ACCEPTED, Letter, Peer
from deploy.local.demo.providers import Accounts
from deploy.local.demo.scenario import Person
from deploy.local.demo.sending import Sender
from deploy.local.demo.tenant import CALL_SECONDS, Metadata, access_token, bearer, connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import aiohttp
    from clarion.auth.v1 import Role
    from clarion.delivery.v1 import Delivery
    from clarion.notification.v1 import Notification, SendNotificationResponse
    from clarion.type.v1 import Platform
    from google.protobuf.message import Message

    from deploy.local.demo.tenant import Tenant
    from deploy.local.stack import Stack

APP = "e2e"
SECONDS = 30.0
UNSUBSCRIBE = "https://example.com/unsubscribe/{delivery_id}"
_WATCHED_AT_ONCE = 100
_numbers = itertools.count(1)


@dataclass(kw_only=True)
class World:
    """A stack, the tenant that the tests are, and what they have said that no log may repeat."""

    stack: Stack
    http: aiohttp.ClientSession
    ledgers: Ledgers
    tenant: Tenant
    admin: Tenant
    accounts: Accounts
    secrets: set[str] = field(default_factory=set)
    """Tokens, addresses, bodies and credentials of this run."""

    async def call(self, stub: Any, request: Message, *, metadata: Metadata | None = None) -> Any:
        """Call a method as the tenant, or as somebody else."""
        return await stub(request, metadata=self.tenant.metadata if metadata is None else metadata, timeout=SECONDS)

    async def client(self, *roles: Role.ValueType, tenant: str = "") -> Metadata:
        """Create a client with these roles, of the tests' own tenant or another, and get a token for it."""
        administrator = self.admin if tenant else self.tenant
        answer = await administrator.auth.CreateClient(
            CreateClientRequest(display_name="e2e", roles=roles, tenant=tenant),
            metadata=administrator.metadata,
            timeout=CALL_SECONDS,
        )
        metadata = bearer(
            await access_token(self.stack.addresses.auth_url, answer.client.client_id, answer.client_secret)
        )
        self.secrets |= {answer.client_secret, metadata[0][1].removeprefix("Bearer ")}
        return metadata

    def stranger(self, platform: Platform.ValueType = PLATFORM_ANDROID) -> Person:
        """Somebody whom nobody has registered yet, with addresses of their own."""
        number = next(_numbers)
        ios = platform == PLATFORM_IOS
        token = f"{number:064x}" if ios else f"e2e-device-token-{number:06}"
        person = Person(
            user_id=f"e2e-user-{number}",
            name="Ada",
            device=DeviceAddress(platform=platform, app=APP, token=token),
            phone=f"+447700{910_000 + number}",
            email=f"e2e-{number}@mail.example.com",
        )
        self.secrets |= {person.device.token, person.phone, person.email}
        return person

    async def person(self, platform: Platform.ValueType = PLATFORM_ANDROID) -> Person:
        """Somebody who is registered."""
        person = self.stranger(platform)
        await people.register(self.tenant, [person])
        return person

    def content(self, *peers: Peer) -> tuple[str, Content]:
        """Content for these peers' channels that occurs nowhere else, and the word by which it is known."""
        word = f"e2e-word-{next(_numbers):06}"
        self.secrets.add(word)
        content = Content()
        if {Peer.FCM, Peer.APNS} & set(peers):
            content.push.CopyFrom(PushContent(title=f"Title {word}", body=f"Body {word}", data={"k": word}))
        if Peer.SMS in peers:
            content.sms.CopyFrom(SmsContent(body=f"Text {word}"))
        if Peer.SMTP in peers:
            content.email.CopyFrom(
                EmailContent(subject=f"Subject {word}", text=f"Text {word}", html=f"<p>HTML {word}</p>")
            )
        return word, content

    async def send(
        self,
        *recipients: Recipient,
        content: Content,
        options: DeliveryOptions | None = None,
        idempotency_key: str = "",
        metadata: Metadata = (),
    ) -> SendNotificationResponse:
        """Send one notification as the tenant."""
        request = SendNotificationRequest(
            recipients=recipients, content=content, options=options, idempotency_key=idempotency_key
        )
        return await self.tenant.notifications.SendNotification(
            request, metadata=(*self.tenant.metadata, *metadata), timeout=SECONDS
        )

    async def final(self, notification_id: str) -> Notification:
        """Watch a notification until its state is final."""
        return await Sender(self.tenant).final(notification_id, seconds=SECONDS)

    async def finals(self, notification_ids: Iterable[str]) -> list[Notification]:
        """Watch many notifications until the state of each is final."""
        turns = asyncio.Semaphore(_WATCHED_AT_ONCE)

        async def one(notification_id: str) -> Notification:
            async with turns:
                return await self.final(notification_id)

        return await asyncio.gather(*map(one, notification_ids))

    async def get(self, notification_id: str) -> Notification:
        """One notification as it is now."""
        answer = await self.call(
            self.tenant.notifications.GetNotification, GetNotificationRequest(notification_id=notification_id)
        )
        notification: Notification = answer.notification
        return notification

    async def deliveries(self, notification_id: str) -> list[Delivery]:
        """A notification's deliveries."""
        answer = await self.call(
            self.tenant.deliveries.ListDeliveries, ListDeliveriesRequest(notification_id=notification_id)
        )
        return list(answer.deliveries)

    async def letters(self, peer: Peer, address: str) -> list[Letter]:
        """What a provider accepted for an address."""
        received = await self.ledgers.receipts(peer, address=address)
        return [each.letter for each in received if each.letter.outcome == ACCEPTED]

    @asynccontextmanager
    async def playing(self, peer: Peer, **fault: Any) -> AsyncIterator[None]:
        """Let a provider do one thing wrong for as long as the context lasts."""
        await self.ledgers.play(peer, fault)
        try:
            yield
        finally:
            await self.ledgers.play(peer)

    async def metric(self, service: str, name: str, **labels: str) -> float:
        """A process's metric now, summed over the labels that are not given; 0 if there is none yet."""
        async with self.http.get(self.stack.addresses.metrics[service]) as answer:
            answer.raise_for_status()
            text = await answer.text()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def user(person: Person) -> Recipient:
    """A recipient by user id."""
    return Recipient(user_id=person.user_id)


def phone(number: str) -> Recipient:
    """A recipient by phone number."""
    return Recipient(address=Address(phone=number))


def email(address: str) -> Recipient:
    """A recipient by email address."""
    return Recipient(address=Address(email=address))


@asynccontextmanager
async def inhabited(stack: Stack, http: aiohttp.ClientSession) -> AsyncIterator[World]:
    """Get tokens, open channels, and store the tenant's provider accounts."""
    addresses = stack.addresses
    tokens = {
        client: await access_token(addresses.auth_url, client.client_id, client.client_secret)
        for client in (stack.demo_client, stack.admin_client)
    }
    ledgers = Ledgers(http, addresses.simulators_url)
    accounts = Accounts.generate("e2e")
    async with (
        connected(addresses, bearer(tokens[stack.demo_client])) as tenant,
        connected(addresses, bearer(tokens[stack.admin_client])) as admin,
    ):
        await accounts.register(ledgers)
        await accounts.store(tenant, app=APP, addresses=addresses, prefix="e2e-")
        credentials = {
            accounts.fcm.private_key,
            accounts.fcm.private_key.splitlines()[3],
            accounts.apns.private_key.splitlines()[1],
            accounts.sms.auth_token,
            accounts.smtp.password,
            stack.secrets.page_token_key,
            *(client.client_secret for client in (*tokens, *stack.secrets.services.values())),
            *tokens.values(),
        }
        yield World(
            stack=stack,
            http=http,
            ledgers=ledgers,
            tenant=tenant,
            admin=admin,
            accounts=accounts,
            secrets=credentials,
        )
