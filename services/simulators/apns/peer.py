"""Apple's push service over HTTP/2 and TLS, with provider tokens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from services.simulators.apns.request import REASONS, Push, header_reason, payload, payload_reason, route_reason
from services.simulators.apns.token import ProviderTokens
from services.simulators.ledger import ACCEPTED, Ledger
from services.simulators.peer import Peer
from services.simulators.player import Player
from services.simulators.script import Action
from services.simulators.wire.exchange import Dropped, Request, Response, endure
from services.simulators.wire.http2 import MANY_STREAMS, Http2Connection
from services.simulators.wire.listener import Listener

if TYPE_CHECKING:
    import random
    import ssl

    from services.simulators.credentials import ApnsTeam
    from services.simulators.ledger import Clock
    from services.simulators.player import Verdict

_MAX_BODY = 8_192
_LIMITED = "TooManyRequests"
_GONE = frozenset({"Unregistered", "ExpiredToken"})


class ApnsPeer(Peer):
    """APNs: one stream until the first authenticated request, then a thousand; one team a connection.

    Every well-formed token is a registered device until a script says otherwise; a dead token that still
    answers 200 for a while is a fault with `skip` or `after_seconds`.
    """

    name = "apns"

    def __init__(
        self, *, host: str, port: int, tls: ssl.SSLContext, clock: Clock, rng: random.Random, capacity: int
    ) -> None:
        self._clock = clock
        self.tokens = ProviderTokens(clock=clock)
        super().__init__(
            ledger=Ledger(capacity=capacity, clock=clock),
            player=Player(clock=clock, rng=rng),
            listener=Listener(host=host, port=port, factory=self._protocol, tls=tls),
        )

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"https://{self.host}:{self.port}"

    def register(self, team: ApnsTeam) -> None:
        """Let a team push with its keys."""
        self.tokens.register(team)

    def knows(self, error: str) -> bool:
        """Apple's reasons."""
        return error in REASONS

    async def reset(self) -> None:
        """Forget messages, counts, the script, and which token each team uses; teams stay."""
        await super().reset()
        self.tokens.forget_updates()

    def go_away(self, reason: str) -> int:
        """End every connection with GOAWAY and this reason; answers how many there were."""
        live = [
            each
            for each in self._listener.connections()
            if isinstance(each, Http2Connection) and each.transport is not None
        ]
        for connection in live:
            connection.go_away(reason)
        return len(live)

    def _protocol(self) -> Http2Connection:
        return Http2Connection(self._answer, streams=1, max_body=_MAX_BODY)

    async def _answer(self, request: Request) -> Response:
        push = Push.of(request)
        reason = route_reason(request)
        team = ""
        if reason is None:
            owner = request.connection.owner if request.connection else None
            team, reason = self.tokens.authenticate(request.header("authorization"), owner)
        if reason is not None:
            self.ledger.record(push.token, _content(push, team, None), reason)
            return self._failure(push, reason)
        if request.connection is not None:
            request.connection.owner = team
            request.connection.allow_streams(MANY_STREAMS)
        content = _content(push, team, payload(request.body))
        verdict = self._player.decide(push.token, account=team)
        if verdict.strikes:
            self.ledger.record(push.token, content, verdict.outcome(_LIMITED))
            await endure(verdict, self._player)
            return self._struck(push, request, verdict)
        reason = self._request_reason(push, request, team)
        self.ledger.record(push.token, content, reason or ACCEPTED)
        await endure(verdict, self._player)
        if reason is not None:
            return self._failure(push, reason)
        return Response(status=200, headers={"apns-id": push.apns_id})

    def _request_reason(self, push: Push, request: Request, team: str) -> str | None:
        reason = header_reason(push, request)
        if reason is None and push.topic is not None and not self.tokens.allows(team, push.topic):
            reason = "TopicDisallowed"
        return reason or payload_reason(push, request.body)

    def _struck(self, push: Push, request: Request, verdict: Verdict) -> Response:
        fault = verdict.fault
        if fault is not None and fault.action is Action.GOAWAY and request.connection is not None:
            request.connection.go_away(fault.error or "Shutdown", refusing=request.stream)
            raise Dropped
        return self._failure(
            push,
            verdict.error(_LIMITED, "InternalServerError"),
            timestamp_ms=fault.timestamp_ms if fault is not None else None,
            retry_after_seconds=fault.retry_after_seconds if fault is not None else None,
        )

    def _failure(
        self, push: Push, reason: str, *, timestamp_ms: int | None = None, retry_after_seconds: int | None = None
    ) -> Response:
        body: dict[str, object] = {"reason": reason}
        if reason in _GONE:
            body["timestamp"] = int(self._clock() * 1000) if timestamp_ms is None else timestamp_ms
        headers = {"apns-id": push.apns_id, "content-type": "application/json"}
        if retry_after_seconds is not None:
            headers["retry-after"] = str(retry_after_seconds)
        return Response(status=REASONS[reason], headers=headers, body=json.dumps(body).encode())


def _content(push: Push, team: str, sent: dict[str, object] | None) -> dict[str, object]:
    return {
        "team_id": team,
        "apns_id": push.apns_id,
        "topic": push.topic,
        "push_type": push.push_type,
        "priority": push.priority,
        "expiration": push.expiration,
        "collapse_id": push.collapse_id,
        "payload": sent,
    }
