"""Provider accounts: their administration, and which one a message goes by."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from services.delivery.credentials import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.delivery.credentials import Credentials
    from services.delivery.message import Message, ProviderName
    from services.delivery.ports import AccountStore
    from services.runtime.clock import Clock

MAX_ACCOUNTS: Final = 100
"""Accounts of one tenant."""
CACHED_TENANTS: Final = 5_000


class Accounts:
    """Keeps each tenant's accounts in memory for a few seconds: so long may another replica's change go unseen."""

    def __init__(
        self,
        store: AccountStore,
        *,
        live_seconds: float,
        clock: Clock,
        new_version: Callable[[], str],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` is in seconds and never goes back."""
        self._store = store
        self._live_seconds = live_seconds
        self._clock, self._now, self._new_version = clock, now, new_version
        self._cached: OrderedDict[str, tuple[float, dict[tuple[ProviderName, str], Account]]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[None]] = {}

    async def create(self, tenant: str, account_id: str, app: str, credentials: Credentials) -> Account:
        """Store an account whose fields have been checked.

        Raises AlreadyExists, or LimitReached if the tenant has too many.
        """
        account = Account(
            tenant=tenant,
            account_id=account_id,
            version=self._new_version(),
            app=app,
            credentials=credentials,
            created_at=self._clock(),
        )
        await self._store.add(account, most=MAX_ACCOUNTS)
        self._cached.pop(tenant, None)
        return account

    async def delete(self, tenant: str, account_id: str) -> None:
        """Forget an account.

        Raises NotFound.
        """
        await self._store.remove(tenant, account_id)
        self._cached.pop(tenant, None)

    async def page(self, tenant: str, *, after: str, limit: int) -> list[Account]:
        """A tenant's accounts by id, from the first one after `after`."""
        return await self._store.page(tenant, after=after, limit=limit)

    async def for_messages(self, messages: Sequence[Message]) -> dict[str, Account]:
        """The account that each message goes by, by delivery id; a message without one is left out.

        Of several accounts for the same app the newest counts: new credentials are created before old ones go.
        """
        tenants = {message.tenant for message in messages}
        books = dict(zip(tenants, await asyncio.gather(*map(self._of, tenants)), strict=True))
        chosen: dict[str, Account] = {}
        for message in messages:
            account = books[message.tenant].get((message.provider, message.app)) if message.provider else None
            if account is not None:
                chosen[message.delivery_id] = account
        return chosen

    async def _of(self, tenant: str) -> dict[tuple[ProviderName, str], Account]:
        until, book = self._cached.get(tenant, (float("-inf"), {}))
        if self._now() < until:
            return book
        loading = self._loading.get(tenant)
        if loading is None:
            loading = asyncio.create_task(self._load(tenant))
            self._loading[tenant] = loading
            loading.add_done_callback(lambda _: self._loading.pop(tenant, None))
        await asyncio.shield(loading)
        return self._cached[tenant][1] if tenant in self._cached else await self._of(tenant)

    async def _load(self, tenant: str) -> None:
        until = self._now() + self._live_seconds
        _, before = self._cached.get(tenant, (0.0, {}))
        same = {account.key: account for account in before.values()}
        found = await self._store.of_tenant(tenant)
        # An account never changes: keeping the object keeps the keys and connections that hang on it.
        newest = sorted(found, key=lambda account: (account.created_at, account.account_id))
        book = {(each.provider, each.app): same.get(each.key, each) for each in newest}
        self._cached[tenant] = (until, book)
        self._cached.move_to_end(tenant)
        if len(self._cached) > CACHED_TENANTS:
            self._cached.popitem(last=False)
