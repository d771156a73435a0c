"""Connections to APNs: one team to each, opened with care."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Self

from services.delivery.adapters import http
from services.delivery.adapters.apns_tokens import signing_key_name
from services.delivery.adapters.http import Answer, Endpoint, HttpClient, Silence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from pyreqwest.client import Client

    from services.delivery.credentials import ApnsCredentials

MAX_CONNECTIONS: Final = 256
"""The longest unused one is closed to stay within; one that is in use never is."""
Team = tuple[str, bool]


class _Connection:
    __slots__ = ("client", "http", "opening", "proven", "users")

    def __init__(self, client: Client) -> None:
        self.client = client
        self.http = HttpClient(client)
        self.opening = asyncio.Lock()
        self.proven = False
        self.users = 0


class ApnsConnections:
    """APNs allows one stream until the first authenticated request was answered (developer.apple.com: Establishing a
    token-based connection), so the first request of a connection goes alone."""

    def __init__(self, *, production: Endpoint, sandbox: Endpoint, ca_file: str) -> None:
        """Connections are opened when they are first used."""
        self._production, self._sandbox, self._ca_file = production, sandbox, ca_file
        self._open: OrderedDict[Team, _Connection] = OrderedDict()

    async def __aenter__(self) -> Self:
        """Nothing is opened yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        while self._open:
            _, connection = self._open.popitem()
            await connection.client.close()

    async def post(
        self, credentials: ApnsCredentials, path: str, *, headers: Mapping[str, str], body: bytes, until: float
    ) -> Answer | Silence:
        """Make one request on the team's connection that ends before `until` (of the loop's time)."""
        endpoint = self._sandbox if credentials.sandbox else self._production
        connection = self._of(credentials, endpoint)
        connection.users += 1
        try:
            await self._close_unused()
            if connection.proven:
                answer = await self._post(connection, endpoint, path, headers, body, until)
            else:
                async with connection.opening:
                    answer = await self._post(connection, endpoint, path, headers, body, until)
                    connection.proven = isinstance(answer, Answer) and answer.status != 403
            if isinstance(answer, Silence):
                connection.proven = False
            return answer
        finally:
            connection.users -= 1

    async def _post(
        self,
        connection: _Connection,
        endpoint: Endpoint,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        until: float,
    ) -> Answer | Silence:
        timeout = max(0.001, until - asyncio.get_running_loop().time())
        return await connection.http.post(endpoint, path, headers=headers, body=body, timeout=timeout)

    def _of(self, credentials: ApnsCredentials, endpoint: Endpoint) -> _Connection:
        # Who merely knows a team's id is not its team: the signing key tells.
        team = (signing_key_name(credentials), credentials.sandbox)
        connection = self._open.get(team)
        if connection is None:
            connection = _Connection(http.build(ca_file=self._ca_file, http2_only=not endpoint.plain))
            self._open[team] = connection
        self._open.move_to_end(team)
        return connection

    async def _close_unused(self) -> None:
        if len(self._open) <= MAX_CONNECTIONS:
            return
        unused = [team for team, connection in self._open.items() if not connection.users]
        # Taken out before any is closed: while one closes, another call might take the next one into use.
        for connection in [self._open.pop(team) for team in unused[: len(self._open) - MAX_CONNECTIONS]]:
            await connection.client.close()
