"""The directory of users is the device service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clarion.device.v1 import DeviceServiceStub, ResolvedRecipient, ResolveRecipientsRequest, UserKey

from services.processor.adapters.calls import each_of, portions
from services.processor.domain import Address, Channel
from services.runtime.channels import answered

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc

    from services.processor.domain import User

MOST_USERS, MOST_BYTES = 1000, 4 * 1024 * 1024


class DeviceDirectory:
    """Resolves over ResolveRecipients."""

    def __init__(self, channel: grpc.aio.Channel, *, concurrent: int) -> None:
        """At most `concurrent` calls at once for one batch."""
        self._stub = DeviceServiceStub(channel)
        self._concurrent = concurrent

    async def resolve(self, users: Sequence[User]) -> Sequence[tuple[Address, ...] | None]:
        """See the port."""
        keys = [UserKey(tenant=user.tenant, user_id=user.user_id) for user in users]
        requests = portions(keys, most_items=MOST_USERS, most_bytes=MOST_BYTES, size=UserKey.ByteSize)
        answers = await each_of(requests, self._call, concurrent=self._concurrent)
        return [_addresses(recipient) for answer in answers for recipient in answer]

    async def _call(self, users: Sequence[UserKey]) -> Sequence[ResolvedRecipient]:
        answer = await answered(self._stub.ResolveRecipients(ResolveRecipientsRequest(users=users)))
        return answer.recipients


def _addresses(recipient: ResolvedRecipient) -> tuple[Address, ...] | None:
    if not recipient.found:
        return None
    found = [
        Address(channel=Channel.PUSH, value=device.token, platform=device.platform, app=device.app)
        for device in recipient.devices
    ]
    if recipient.phone:
        found.append(Address(channel=Channel.SMS, value=recipient.phone))
    if recipient.email:
        found.append(Address(channel=Channel.EMAIL, value=recipient.email))
    return tuple(found)
