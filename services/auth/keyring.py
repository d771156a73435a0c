"""The signing keys in use: which one signs, which are published, and how they give way to one another."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from services.auth.domain import AuditEntry, SigningKey, outlived, signing
from services.runtime.errors import AlreadyExists, ClarionError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from services.auth.domain import Actor
    from services.auth.ports import KeyPairs, SigningKeys
    from services.runtime.clock import Clock

log = structlog.get_logger()
REFRESH_SECONDS = 10.0
"""How long a replica may not know of a key that another one made."""
BOOTSTRAP = "bootstrap"


class Keyring:
    """The keys of all replicas, kept in memory and read again now and then.

    A new key is published for some time before it signs, so that whoever caches the published keys has seen it; an old
    one stays published until every token signed with it has expired.
    """

    def __init__(
        self,
        store: SigningKeys,
        pairs: KeyPairs,
        *,
        publish_for: timedelta,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        """Nothing is known before `load`."""
        self._store, self._pairs = store, pairs
        self._publish_for, self._clock, self._new_id = publish_for, clock, new_id
        self._keys: Sequence[SigningKey] = ()
        self._stopping = asyncio.Event()

    async def load(self) -> None:
        """Read the keys; make the first one if there is none."""
        await self.refresh()
        if not self._keys:
            await self._make(timedelta(0), actor=BOOTSTRAP, tenants=())

    async def refresh(self) -> None:
        """Read what other replicas may have changed."""
        self._keys = await self._store.all()

    def published(self) -> list[dict[str, str]]:
        """The public keys with which valid tokens are or will be signed, as JSON Web Keys."""
        over = {key.key_id for key in outlived(self._keys, self._clock())}
        return [self._pairs.public(key) for key in self._keys if key.key_id not in over]

    def sign(self, claims: Mapping[str, object]) -> str:
        """An access token.

        Raises Unavailable while there is no key.
        """
        key = signing(self._keys, self._clock())
        if key is None:
            raise Unavailable("there is no signing key yet")
        return self._pairs.sign(key, claims)

    async def rotate(self, actor: Actor) -> str:
        """Publish a new key, which signs a little later; answers its id. While one waits to sign, it is the answer."""
        await self.refresh()
        newest = max(self._keys, key=lambda key: key.generation, default=None)
        if newest and newest.signs_from > self._clock():
            return newest.key_id
        key_id = await self._make(self._publish_for, actor=actor.client_id, tenants=(actor.tenant,))
        await self._store.remove([key.key_id for key in outlived(self._keys, self._clock())])
        return key_id

    async def run(self) -> None:
        """Keep up with other replicas until stopped; while the store is away the known keys stay in use."""
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), REFRESH_SECONDS)
            except TimeoutError:
                try:
                    await self.refresh()
                except ClarionError as exc:
                    log.warning("keys_not_refreshed", reason=exc.reason)

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()

    async def _make(self, publish_for: timedelta, *, actor: str, tenants: tuple[str, ...]) -> str:
        now = self._clock()
        key_id, private = self._pairs.make()
        key = SigningKey(
            key_id=key_id,
            generation=1 + max((key.generation for key in self._keys), default=0),
            private=private,
            created_at=now,
            signs_from=now + publish_for,
        )
        entry = AuditEntry(
            entry_id=self._new_id(),
            time=now,
            tenants=tenants,
            actor=actor,
            action="signing_key.rotate",
            subject=key_id,
            details={"signs_from": key.signs_from.isoformat()},
        )
        try:
            await self._store.add(key, entry)
        except AlreadyExists:
            # Another replica was faster; its key serves as well.
            log.info("signing_key_made_elsewhere", generation=key.generation)
        await self.refresh()
        return next(known.key_id for known in self._keys if known.generation == key.generation)
