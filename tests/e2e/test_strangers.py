"""Who may do what: tokens, roles, and tenants that never see one another."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
from clarion.auth import v1 as auth
from clarion.delivery import v1 as delivery
from clarion.device import v1 as device
from clarion.notification import v1 as notification
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.local.demo.letters import Peer
from deploy.local.demo.tenant import bearer
from tests.e2e.refusals import refusal
from tests.e2e.world import phone

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from deploy.local.demo.tenant import Metadata
    from tests.e2e.world import World

ALL_ROLES = (
    auth.ROLE_VIEWER,
    auth.ROLE_SENDER,
    auth.ROLE_REGISTRAR,
    auth.ROLE_EDITOR,
    auth.ROLE_OPERATOR,
    auth.ROLE_ADMIN,
)


async def test_another_tenants_ids_are_as_if_they_were_not_there(world: World) -> None:
    person = await world.person()
    _, content = world.content(Peer.SMS)
    sent = await world.send(phone(person.phone), content=content)
    await world.final(sent.notification_id)
    mine = await world.call(world.tenant.devices.ListDevices, device.ListDevicesRequest(user_id=person.user_id))
    clients = await world.call(world.tenant.auth.ListClients, auth.ListClientsRequest())
    other = await world.client(*ALL_ROLES, tenant="e2e-strangers")
    named = {"user_id": person.user_id, "device_id": mine.devices[0].device_id}
    client_id = clients.clients[0].client_id
    tenant = world.tenant
    absent: list[tuple[Any, Message]] = [
        (tenant.notifications.GetNotification, notification.GetNotificationRequest(notification_id=sent.notification_id)),
        (tenant.notifications.CancelNotification, notification.CancelNotificationRequest(notification_id=sent.notification_id)),
        (tenant.devices.GetDevice, device.GetDeviceRequest(**named)),
        (tenant.devices.DeleteDevice, device.DeleteDeviceRequest(**named)),
        (tenant.recipients.GetRecipient, device.GetRecipientRequest(user_id=person.user_id)),
        (tenant.recipients.DeleteRecipient, device.DeleteRecipientRequest(user_id=person.user_id)),
        (tenant.deliveries.DeleteProviderAccount, delivery.DeleteProviderAccountRequest(provider_account_id="e2e-fcm")),
        (tenant.auth.GetClient, auth.GetClientRequest(client_id=client_id)),
        (tenant.auth.SetClientRoles, auth.SetClientRolesRequest(client_id=client_id, roles=[auth.ROLE_VIEWER])),
        (tenant.auth.RotateClientSecret, auth.RotateClientSecretRequest(client_id=client_id)),
        (tenant.auth.DeleteClient, auth.DeleteClientRequest(client_id=client_id)),
    ]  # fmt: skip
    for stub, request in absent:
        no = await refusal(world.call(stub, request, metadata=other))
        assert no.code is grpc.StatusCode.NOT_FOUND, type(request).__name__
    watch = tenant.notifications.WatchNotification(
        notification.WatchNotificationRequest(notification_id=sent.notification_id), metadata=other, timeout=10
    )
    assert (await refusal(anext(aiter(watch)))).code is grpc.StatusCode.NOT_FOUND
    empty: list[tuple[Any, Message, str]] = [
        (tenant.notifications.ListNotifications, notification.ListNotificationsRequest(), "notifications"),
        (tenant.devices.ListDevices, device.ListDevicesRequest(user_id=person.user_id), "devices"),
        (tenant.deliveries.ListDeliveries, delivery.ListDeliveriesRequest(notification_id=sent.notification_id), "deliveries"),
        (tenant.deliveries.ListProviderAccounts, delivery.ListProviderAccountsRequest(), "provider_accounts"),
    ]  # fmt: skip
    for stub, request, name in empty:
        assert not getattr(await world.call(stub, request, metadata=other), name), type(request).__name__
    theirs = await world.call(tenant.auth.ListClients, auth.ListClientsRequest(), metadata=other)
    assert client_id not in {each.client_id for each in theirs.clients}
    # Nothing of it was touched.
    assert (await world.get(sent.notification_id)).notification_id == sent.notification_id
    again = await world.call(tenant.devices.ListDevices, device.ListDevicesRequest(user_id=person.user_id))
    assert again.devices == mine.devices


async def test_a_token_registered_by_another_tenant_stays_with_both(world: World) -> None:
    person = await world.person()
    other = await world.client(*ALL_ROLES, tenant="e2e-strangers")
    request = device.RegisterDeviceRequest(user_id=person.user_id, address=person.device)
    theirs = await world.call(world.tenant.devices.RegisterDevice, request, metadata=other)
    mine = await world.call(world.tenant.devices.ListDevices, device.ListDevicesRequest(user_id=person.user_id))
    assert [each.address.token for each in mine.devices] == [person.device.token]
    assert theirs.device.device_id


async def test_each_role_does_its_own_and_no_more(world: World) -> None:
    stranger = world.stranger()
    _, content = world.content(Peer.SMS)
    viewer = await world.client(auth.ROLE_VIEWER)
    sender = await world.client(auth.ROLE_SENDER)
    send = notification.SendNotificationRequest(recipients=[phone(stranger.phone)], content=content)
    tenant = world.tenant
    assert (await world.call(tenant.notifications.ListNotifications, notification.ListNotificationsRequest(page_size=1), metadata=viewer)) is not None  # fmt: skip
    denied: list[tuple[Any, Message, Metadata]] = [
        (tenant.notifications.SendNotification, send, viewer),
        (tenant.notifications.BatchSendNotifications, notification.BatchSendNotificationsRequest(requests=[send]), viewer),
        (tenant.notifications.CancelNotification, notification.CancelNotificationRequest(notification_id="x"), viewer),
        (tenant.notifications.ReportProgress, notification.ReportProgressRequest(), tenant.metadata),
        (tenant.devices.RegisterDevice, device.RegisterDeviceRequest(user_id="x", address=stranger.device), sender),
        (tenant.devices.ResolveRecipients, device.ResolveRecipientsRequest(), tenant.metadata),
        (tenant.deliveries.Deliver, delivery.DeliverRequest(), tenant.metadata),
        (tenant.deliveries.ListProviderAccounts, delivery.ListProviderAccountsRequest(), viewer),
        (tenant.auth.CreateClient, auth.CreateClientRequest(roles=[auth.ROLE_VIEWER]), sender),
        (tenant.auth.CreateClient, auth.CreateClientRequest(roles=[auth.ROLE_SERVICE]), tenant.metadata),
        (tenant.auth.CreateClient, auth.CreateClientRequest(roles=[auth.ROLE_VIEWER], tenant="else"), tenant.metadata),
        (tenant.auth.RotateSigningKey, auth.RotateSigningKeyRequest(), tenant.metadata),
    ]  # fmt: skip
    for stub, request, metadata in denied:
        no = await refusal(world.call(stub, request, metadata=metadata))
        assert no.code is grpc.StatusCode.PERMISSION_DENIED, type(request).__name__
    assert await world.letters(Peer.SMS, stranger.phone) == []


@pytest.mark.parametrize("service", ["auth", "notifications", "devices", "recipients", "deliveries"])
async def test_no_service_takes_a_call_without_a_valid_token(world: World, service: str) -> None:
    stub, request = {
        "auth": (world.tenant.auth.ListClients, auth.ListClientsRequest()),
        "notifications": (world.tenant.notifications.ListNotifications, notification.ListNotificationsRequest()),
        "devices": (world.tenant.devices.ListDevices, device.ListDevicesRequest(user_id="x")),
        "recipients": (world.tenant.recipients.GetRecipient, device.GetRecipientRequest(user_id="x")),
        "deliveries": (world.tenant.deliveries.ListDeliveries, delivery.ListDeliveriesRequest(notification_id="x")),
    }[service]
    for name, metadata in _invalid(world).items():
        no = await refusal(world.call(stub, request, metadata=metadata))
        assert no.code is grpc.StatusCode.UNAUTHENTICATED, name


def _invalid(world: World) -> dict[str, Metadata]:
    """Every way in which a token can be wrong but by its age, which has a test of its own."""
    token = world.tenant.metadata[0][1].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    header = jwt.get_unverified_header(token)
    forger = ec.generate_private_key(ec.SECP256R1())
    head, body, signature = token.split(".")
    raised = {**claims, "roles": ["service", "platform_admin"], "tenant": "clarion"}
    swapped = base64.urlsafe_b64encode(json.dumps(raised).encode()).decode().rstrip("=")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return {
        "absent": (),
        "no bearer": (("authorization", token),),
        "empty": bearer(""),
        "not a token": bearer("x.y.z"),
        "too long": bearer("x" * 5000),
        "forged with the same key id": bearer(jwt.encode(claims, forger, "ES256", headers={"kid": header["kid"]})),
        "forged with another key id": bearer(jwt.encode(claims, forger, "ES256", headers={"kid": "made-up"})),
        "forged without a key id": bearer(jwt.encode(claims, forger, "ES256")),
        "signed with a shared secret": bearer(jwt.encode(claims, "x" * 64, "HS256", headers={"kid": header["kid"]})),
        "other claims under the same signature": bearer(f"{head}.{swapped}.{signature}"),
        "without a signature": bearer(f"{unsigned}.{body}."),
        "expired and forged": bearer(
            jwt.encode({**claims, "exp": int(time.time()) - 1}, forger, "ES256", headers={"kid": header["kid"]})
        ),
    }
