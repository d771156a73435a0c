"""Constructs the delivery service."""

from __future__ import annotations

import random
import ssl
import time
import uuid
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from clarion.delivery import v1

from services import access
from services.delivery.accounts import Accounts
from services.delivery.adapters import http
from services.delivery.adapters.accounts import MongoAccounts
from services.delivery.adapters.apns import ApnsProvider
from services.delivery.adapters.apns_connections import ApnsConnections
from services.delivery.adapters.apns_tokens import ApnsTokens, SharedTokens
from services.delivery.adapters.fcm import FcmProvider
from services.delivery.adapters.fcm_tokens import FcmTokens
from services.delivery.adapters.http import Endpoint
from services.delivery.adapters.kafka import KafkaEvents
from services.delivery.adapters.mongo import MongoRecords
from services.delivery.adapters.redis import RedisClaims
from services.delivery.adapters.smtp import SmtpProvider
from services.delivery.adapters.smtp_pool import Relay, SmtpPool
from services.delivery.adapters.twilio import TwilioProvider
from services.delivery.api import DeliveryApi
from services.delivery.calls import ProviderCalls
from services.delivery.health import HealthWindows
from services.delivery.message import ProviderName
from services.delivery.policy import RetryPolicy
from services.delivery.service import DeliveryService, Limits
from services.delivery.slots import Slots
from services.runtime import kafka, mongo, redis
from services.runtime.clock import utc_now
from services.runtime.identity import KeySet, Verifier
from services.runtime.pages import PageTokens
from services.runtime.sealing import Sealer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from redis.asyncio import Redis

    from services.delivery.ports import Provider
    from services.delivery.settings import DeliverySettings
    from services.runtime.process import Process

RECORD_SECONDS = 2.0
"""What is left of the caller's time for recording and publishing."""
SECONDS_BEFORE_CLAIMS_END = 20.0
"""A batch's calls end so long before its claims do: time to look up and to record, an election included."""


async def build(process: Process[DeliverySettings]) -> None:
    """Open the stores and the ways to the providers, and serve."""
    settings = process.settings
    sealer = Sealer(settings)
    database = await process.open(mongo.opened(settings))
    client = await process.open(redis.opened(settings))
    publisher = await process.open(kafka.publisher(settings))
    records, stored_accounts = MongoRecords(database), MongoAccounts(database, sealer)
    await records.create_indexes()
    await stored_accounts.create_indexes()

    health = HealthWindows(utc_now)
    accounts = Accounts(
        stored_accounts, live_seconds=settings.account_cache_seconds, clock=utc_now, new_version=_new_name
    )
    slots = Slots(
        dict.fromkeys(ProviderName, settings.provider_concurrency) | {ProviderName.SMTP: settings.smtp_connections}
    )
    service = DeliveryService(
        records=records,
        claims=RedisClaims(client, seconds=settings.claim_seconds),
        accounts=accounts,
        calls=ProviderCalls(
            await _providers(process, client, sealer),
            slots=slots,
            health=health,
            call_seconds=settings.provider_call_seconds,
            clock=utc_now,
        ),
        events=KafkaEvents(publisher),
        policy=RetryPolicy(
            base=settings.retry_base_seconds,
            cap=settings.retry_cap_seconds,
            retry_after_cap=settings.retry_after_cap_seconds,
            jitter=random.random,
        ),
        limits=Limits(
            batches=settings.deliver_batches,
            batch_seconds=settings.claim_seconds - SECONDS_BEFORE_CLAIMS_END,
            record_seconds=RECORD_SECONDS,
            retention=timedelta(days=settings.delivery_retention_days),
        ),
        clock=utc_now,
        new_owner=_new_name,
    )
    await process.open(_settling(service))
    api = DeliveryApi(service=service, accounts=accounts, health=health, pages=PageTokens(settings))
    process.serve({"clarion.delivery.v1.DeliveryService": partial(v1.add_DeliveryServiceServicer_to_server, api)})
    process.admit(Verifier(settings, KeySet(settings.issuer)), access.ACCESS)


async def _providers(
    process: Process[DeliverySettings], client: Redis, sealer: Sealer
) -> Mapping[ProviderName, Provider]:
    settings = process.settings
    caller = await process.open(http.opened(ca_file=settings.provider_ca_file))

    def endpoint(url: str) -> Endpoint:
        return Endpoint.at(url, settings.provider_outbound)

    connections = await process.open(
        ApnsConnections(
            production=endpoint(settings.apns_url),
            sandbox=endpoint(settings.apns_sandbox_url),
            ca_file=settings.provider_ca_file,
        )
    )
    tls = ssl.create_default_context()
    if settings.provider_ca_file:
        tls.load_verify_locations(settings.provider_ca_file)
    pool = await process.open(
        SmtpPool(
            relay=Relay(host=settings.smtp_host, port=settings.smtp_port, security=settings.smtp_security),
            tls=tls,
            hostname=settings.smtp_hostname,
            now=time.monotonic,
        )
    )
    tokens = FcmTokens(caller, endpoint(settings.fcm_token_url), audience=settings.fcm_token_url, now=time.time)
    return {
        ProviderName.FCM: FcmProvider(caller, endpoint(settings.fcm_url), tokens, clock=utc_now),
        ProviderName.APNS: ApnsProvider(connections, ApnsTokens(SharedTokens(client, sealer), now=time.time)),
        ProviderName.TWILIO: TwilioProvider(
            caller,
            endpoint(settings.twilio_url),
            status_callback=settings.twilio_status_callback_url,
            clock=utc_now,
        ),
        ProviderName.SMTP: SmtpProvider(pool, unsubscribe=settings.unsubscribe_url, clock=utc_now),
    }


@asynccontextmanager
async def _settling(service: DeliveryService) -> AsyncIterator[None]:
    """Before the stores close, wait for batches whose callers have gone."""
    try:
        yield
    finally:
        await service.settle()


def _new_name() -> str:
    return uuid.uuid4().hex
