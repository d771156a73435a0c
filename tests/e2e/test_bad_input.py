"""Whatever is wrong is refused with every offending field named; nothing of it is stored, nothing reaches a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from clarion.auth.v1 import ROLE_VIEWER, ListClientsRequest
from clarion.delivery.v1 import ListProviderAccountsRequest
from clarion.device.v1 import GetRecipientRequest
from clarion.notification.v1 import BatchSendNotificationsRequest, ListNotificationsRequest

from deploy.local.demo import people
from deploy.local.demo.letters import Peer
from tests.e2e.bad_requests import ALL, PHONE, SENDS, USER
from tests.e2e.refusals import parsed, refusal
from tests.e2e.world import phone

if TYPE_CHECKING:
    from tests.e2e.world import World


async def test_bad_input_is_named_and_leaves_no_trace(world: World) -> None:
    before = await _stored(world)
    wrong = []
    for bad in ALL:
        stub = getattr(getattr(world.tenant, bad.stub), bad.method)
        no = await refusal(world.call(stub, bad.request))
        if no.code is not grpc.StatusCode.INVALID_ARGUMENT or no.fields != bad.fields:
            wrong.append(f"{bad.name}: {no.code.name} {sorted(no.fields)}, not {sorted(bad.fields)}")
    assert wrong == []
    assert await _stored(world) == before
    await _nothing_reached_a_provider(world)


async def test_bad_items_of_a_batch_are_named_and_leave_no_trace(world: World) -> None:
    before = await _stored(world)
    # One batch has to fit into a gRPC message, so the largest are left to their own calls.
    small = [bad for bad in SENDS if bad.request.ByteSize() < 100_000]
    request = BatchSendNotificationsRequest(requests=[bad.request for bad in small])  # type: ignore[misc]
    answer = await world.call(world.tenant.notifications.BatchSendNotifications, request)
    for bad, result in zip(small, answer.results, strict=True):
        assert result.WhichOneof("outcome") == "error", bad.name
        assert parsed(result.error).fields == bad.fields, bad.name
    assert await _stored(world) == before
    await _nothing_reached_a_provider(world)


async def test_a_page_token_of_another_tenant_or_query_is_refused(world: World) -> None:
    _, content = world.content(Peer.SMS)
    for _ in range(2):
        await world.send(phone(world.stranger().phone), content=content)
    listing = world.tenant.notifications.ListNotifications
    first = await world.call(listing, ListNotificationsRequest(page_size=1))
    token = first.next_page_token
    assert token
    assert (await world.call(listing, ListNotificationsRequest(page_size=1, page_token=token))).notifications
    other = await world.client(ROLE_VIEWER, tenant="e2e-pages")
    no = await refusal(world.call(listing, ListNotificationsRequest(page_token=token), metadata=other))
    assert (no.code, set(no.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, {"page_token"})
    no = await refusal(world.call(listing, ListNotificationsRequest(page_token=token, category="other")))
    assert (no.code, set(no.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, {"page_token"})


async def _stored(world: World) -> dict[str, object]:
    """All that bad requests could have left behind."""
    notifications = await world.call(
        world.tenant.notifications.ListNotifications, ListNotificationsRequest(page_size=1)
    )
    clients = await world.call(world.tenant.auth.ListClients, ListClientsRequest(page_size=500))
    accounts = await world.call(world.tenant.deliveries.ListProviderAccounts, ListProviderAccountsRequest())
    recipient = await refusal(world.call(world.tenant.recipients.GetRecipient, GetRecipientRequest(user_id=USER)))
    assert recipient.code is grpc.StatusCode.NOT_FOUND
    return {
        "newest": [each.notification_id for each in notifications.notifications],
        "clients": [each.client_id for each in clients.clients],
        "accounts": [each.provider_account_id for each in accounts.provider_accounts],
        "devices": await people.tokens(world.tenant, USER),
    }


async def _nothing_reached_a_provider(world: World) -> None:
    # What is sent now comes after all that was sent before, so nothing is still under way once it has arrived.
    before = await world.ledgers.total()
    _, content = world.content(Peer.SMS)
    answer = await world.send(phone(world.stranger().phone), content=content)
    await world.final(answer.notification_id)
    assert await world.ledgers.total() == before + 1
    assert await world.ledgers.messages(Peer.SMS, address=PHONE) == []
