"""DeviceService and RecipientService: message in, use case, message out."""
# ruff: noqa: N802 - the methods have the contract's names

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from clarion.device import v1

from services.device import messages
from services.device.domain import Position
from services.runtime import identity
from services.runtime.errors import Unimplemented
from services.runtime.validation import Violations

if TYPE_CHECKING:
    from services.device.service import Devices, Reachability, Recipients
    from services.runtime.clock import Clock
    from services.runtime.pages import PageTokens
    from services.runtime.server import Context

DEFAULT_PAGE, MAX_PAGE = 50, 100


class DeviceApi(v1.DeviceServiceServicer):
    """DeviceService."""

    def __init__(self, *, devices: Devices, reachability: Reachability, pages: PageTokens) -> None:
        """The use cases, and what signs page tokens."""
        self._devices, self._reachability, self._pages = devices, reachability, pages

    async def RegisterDevice(self, request: v1.RegisterDeviceRequest, context: Context) -> v1.RegisterDeviceResponse:
        """Store or refresh a device."""
        violations = Violations()
        violations.identifier("user_id", request.user_id)
        messages.check_address(violations, "address", request.address)
        violations.locale("locale", request.locale)
        violations.check()
        device = await self._devices.register(
            identity.tenant(), request.user_id, messages.to_address(request.address), request.locale
        )
        return v1.RegisterDeviceResponse(device=messages.from_device(device))

    async def GetDevice(self, request: v1.GetDeviceRequest, context: Context) -> v1.GetDeviceResponse:
        """One device."""
        _check_device_name(request)
        device = await self._devices.get(identity.tenant(), request.user_id, request.device_id)
        return v1.GetDeviceResponse(device=messages.from_device(device))

    async def ListDevices(self, request: v1.ListDevicesRequest, context: Context) -> v1.ListDevicesResponse:
        """A page of a user's devices."""
        tenant = identity.tenant()
        violations = Violations()
        violations.identifier("user_id", request.user_id)
        size = violations.page_size(request.page_size, default=DEFAULT_PAGE, most=MAX_PAGE)
        violations.check()
        cursor = self._pages.open(request.page_token, tenant=tenant, request=request)
        page, following = await self._devices.listed(
            tenant, request.user_id, after=Position.from_cursor(cursor) if cursor else None, size=size
        )
        return v1.ListDevicesResponse(
            devices=[messages.from_device(device) for device in page],
            next_page_token=self._pages.sign(following.cursor(), tenant=tenant, request=request) if following else "",
        )

    async def DeleteDevice(self, request: v1.DeleteDeviceRequest, context: Context) -> v1.DeleteDeviceResponse:
        """Forget a device."""
        _check_device_name(request)
        await self._devices.delete(identity.tenant(), request.user_id, request.device_id)
        return v1.DeleteDeviceResponse()

    async def ResolveRecipients(
        self, request: v1.ResolveRecipientsRequest, context: Context
    ) -> v1.ResolveRecipientsResponse:
        """How users can be reached."""
        reaches = await self._reachability.resolve(messages.to_users(request.users))
        return v1.ResolveRecipientsResponse(recipients=[messages.from_reach(reach) for reach in reaches])

    async def InvalidateTokens(
        self, request: v1.InvalidateTokensRequest, context: Context
    ) -> v1.InvalidateTokensResponse:
        """Drop tokens that are gone."""
        dropped = await self._devices.drop_gone(messages.to_gone(request.tokens))
        return v1.InvalidateTokensResponse(dropped=dropped)


class RecipientApi(v1.RecipientServiceServicer):
    """RecipientService; preferences and topics are not served yet."""

    def __init__(self, *, recipients: Recipients, clock: Clock) -> None:
        """The use cases, and the time."""
        self._recipients, self._clock = recipients, clock

    async def UpsertRecipient(self, request: v1.UpsertRecipientRequest, context: Context) -> v1.UpsertRecipientResponse:
        """Store a recipient."""
        recipient = messages.to_recipient(request.recipient, field="recipient", now=self._clock())
        stored = await self._recipients.put(identity.tenant(), recipient)
        return v1.UpsertRecipientResponse(recipient=messages.from_recipient(stored))

    async def GetRecipient(self, request: v1.GetRecipientRequest, context: Context) -> v1.GetRecipientResponse:
        """One recipient."""
        _check_user(request.user_id)
        recipient = await self._recipients.get(identity.tenant(), request.user_id)
        return v1.GetRecipientResponse(recipient=messages.from_recipient(recipient))

    async def DeleteRecipient(self, request: v1.DeleteRecipientRequest, context: Context) -> v1.DeleteRecipientResponse:
        """Forget a person and their devices."""
        _check_user(request.user_id)
        await self._recipients.delete(identity.tenant(), request.user_id)
        return v1.DeleteRecipientResponse()

    async def GetPreferences(self, request: v1.GetPreferencesRequest, context: Context) -> NoReturn:
        """Not served yet."""
        raise Unimplemented

    async def UpdatePreferences(self, request: v1.UpdatePreferencesRequest, context: Context) -> NoReturn:
        """Not served yet."""
        raise Unimplemented

    async def SubscribeTopic(self, request: v1.SubscribeTopicRequest, context: Context) -> NoReturn:
        """Not served yet."""
        raise Unimplemented

    async def UnsubscribeTopic(self, request: v1.UnsubscribeTopicRequest, context: Context) -> NoReturn:
        """Not served yet."""
        raise Unimplemented


def _check_user(user_id: str) -> None:
    violations = Violations()
    violations.identifier("user_id", user_id)
    violations.check()


def _check_device_name(request: v1.GetDeviceRequest | v1.DeleteDeviceRequest) -> None:
    violations = Violations()
    violations.identifier("user_id", request.user_id)
    violations.identifier("device_id", request.device_id)
    violations.check()
