"""A tenant's own program: an access token by OAuth 2.0 client credentials, and a stub of each service."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import grpc
from clarion.auth.v1 import AuthServiceStub
from clarion.delivery.v1 import DeliveryServiceStub
from clarion.device.v1 import DeviceServiceStub, RecipientServiceStub
from clarion.notification.v1 import NotificationServiceStub, TemplateServiceStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clarion.auth.v1.auth_service_pb2_grpc import AuthServiceAsyncStub
    from clarion.delivery.v1.delivery_service_pb2_grpc import DeliveryServiceAsyncStub
    from clarion.device.v1.device_service_pb2_grpc import DeviceServiceAsyncStub
    from clarion.device.v1.recipient_service_pb2_grpc import RecipientServiceAsyncStub
    from clarion.notification.v1.notification_service_pb2_grpc import NotificationServiceAsyncStub
    from clarion.notification.v1.template_service_pb2_grpc import TemplateServiceAsyncStub

    from deploy.local.composition.plan import Addresses

CALL_SECONDS = 10.0
_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Stubs on open channels, and the metadata that says who calls."""

    metadata: Metadata
    auth: AuthServiceAsyncStub
    notifications: NotificationServiceAsyncStub
    templates: TemplateServiceAsyncStub
    devices: DeviceServiceAsyncStub
    recipients: RecipientServiceAsyncStub
    deliveries: DeliveryServiceAsyncStub


async def access_token(auth_url: str, client_id: str, client_secret: str) -> str:
    """Ask for an access token (RFC 6749, section 4.4)."""
    headers = {"Authorization": aiohttp.encode_basic_auth(client_id, client_secret)}
    async with (
        aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=CALL_SECONDS)) as session,
        session.post(f"{auth_url}/oauth2/token", data={"grant_type": "client_credentials"}) as answer,
    ):
        answer.raise_for_status()
        return str((await answer.json())["access_token"])


def bearer(token: str) -> Metadata:
    """Give the metadata that carries an access token."""
    return (("authorization", f"Bearer {token}"),)


@asynccontextmanager
async def connected(addresses: Addresses, metadata: Metadata) -> AsyncIterator[Tenant]:
    """Open a channel to each service for as long as the context lasts."""
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(grpc.aio.insecure_channel(addresses.grpc[name], options=_OPTIONS))
            for name in ("auth", "notification", "device", "delivery")
        }
        yield Tenant(
            metadata=metadata,
            auth=AuthServiceStub(channels["auth"]),
            notifications=NotificationServiceStub(channels["notification"]),
            templates=TemplateServiceStub(channels["notification"]),
            devices=DeviceServiceStub(channels["device"]),
            recipients=RecipientServiceStub(channels["device"]),
            deliveries=DeliveryServiceStub(channels["delivery"]),
        )
