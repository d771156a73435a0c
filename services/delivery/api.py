"""DeliveryService: message in, use case, message out."""
# ruff: noqa: N802 - the methods have the contract's names

from __future__ import annotations

from typing import TYPE_CHECKING

from clarion.delivery import v1

from services.delivery import answers, requests
from services.runtime import identity
from services.runtime.validation import Violations

if TYPE_CHECKING:
    from services.delivery.accounts import Accounts
    from services.delivery.health import HealthWindows
    from services.delivery.service import DeliveryService
    from services.runtime.pages import PageTokens
    from services.runtime.server import Context

DEFAULT_PAGE, MAX_PAGE = 100, 1_000
MAX_ACCOUNT_PAGE = 100


class DeliveryApi(v1.DeliveryServiceServicer):
    """DeliveryService."""

    def __init__(
        self, *, service: DeliveryService, accounts: Accounts, health: HealthWindows, pages: PageTokens
    ) -> None:
        """The use cases, and what signs page tokens."""
        self._service, self._accounts, self._health, self._pages = service, accounts, health, pages

    async def Deliver(self, request: v1.DeliverRequest, context: Context) -> v1.DeliverResponse:
        """Send a batch."""
        results = await self._service.deliver(requests.messages(request))
        return v1.DeliverResponse(results=[answers.result(each) for each in results])

    async def ListDeliveries(self, request: v1.ListDeliveriesRequest, context: Context) -> v1.ListDeliveriesResponse:
        """A page of one notification's deliveries."""
        tenant = identity.tenant()
        violations = Violations()
        violations.identifier("notification_id", request.notification_id)
        size = violations.page_size(request.page_size, default=DEFAULT_PAGE, most=MAX_PAGE)
        violations.check()
        after = self._pages.open(request.page_token, tenant=tenant, request=request)
        found = await self._service.page(tenant, request.notification_id, after=after, limit=size + 1)
        following = found[size - 1].delivery_id if len(found) > size else ""
        return v1.ListDeliveriesResponse(
            deliveries=[answers.delivery(each) for each in found[:size]],
            next_page_token=self._pages.sign(following, tenant=tenant, request=request) if following else "",
        )

    async def GetProviderHealth(
        self, request: v1.GetProviderHealthRequest, context: Context
    ) -> v1.GetProviderHealthResponse:
        """How the providers did for this tenant."""
        return v1.GetProviderHealthResponse(
            providers=[answers.provider_health(each) for each in self._health.of(identity.tenant())]
        )

    async def CreateProviderAccount(
        self, request: v1.CreateProviderAccountRequest, context: Context
    ) -> v1.CreateProviderAccountResponse:
        """Store credentials."""
        account_id, app, credentials = requests.account(request.provider_account)
        account = await self._accounts.create(identity.tenant(), account_id, app, credentials)
        return v1.CreateProviderAccountResponse(provider_account=answers.account(account))

    async def ListProviderAccounts(
        self, request: v1.ListProviderAccountsRequest, context: Context
    ) -> v1.ListProviderAccountsResponse:
        """A page of the tenant's accounts."""
        tenant = identity.tenant()
        violations = Violations()
        size = violations.page_size(request.page_size, default=MAX_ACCOUNT_PAGE, most=MAX_ACCOUNT_PAGE)
        violations.check()
        after = self._pages.open(request.page_token, tenant=tenant, request=request)
        found = await self._accounts.page(tenant, after=after, limit=size + 1)
        following = found[size - 1].account_id if len(found) > size else ""
        return v1.ListProviderAccountsResponse(
            provider_accounts=[answers.account(each) for each in found[:size]],
            next_page_token=self._pages.sign(following, tenant=tenant, request=request) if following else "",
        )

    async def DeleteProviderAccount(
        self, request: v1.DeleteProviderAccountRequest, context: Context
    ) -> v1.DeleteProviderAccountResponse:
        """Forget credentials."""
        violations = Violations()
        violations.identifier("provider_account_id", request.provider_account_id, most=64)
        violations.check()
        await self._accounts.delete(identity.tenant(), request.provider_account_id)
        return v1.DeleteProviderAccountResponse()
