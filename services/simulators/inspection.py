"""The inspection API: what the peers received, and how to script them. Plain HTTP and JSON, one port for all.

    GET    /counts                        every peer's counts
    GET    /PEER/counts                   one peer's: outcome to number, exact since the last reset
    GET    /PEER/messages                 ?address= (token, to, number) &outcome= (any) &after= &limit=
    GET    /sms/callbacks                 the status callbacks, with the same parameters
    GET    /PEER/script                   what is playing
    POST   /PEER/script                   play another (script.Script)
    DELETE /PEER                          forget messages, counts and the script
    POST   /fcm/projects, /apns/teams, /sms/accounts, /smtp/accounts    register a credential
    POST   /apns/goaway                   {"reason": "Shutdown"}: end every connection
    POST   /fcm/revoke                    make every bearer token invalid

Wrong input is 400 with `errors`: each a `field` and a `description`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Self, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.runtime.errors import InvalidInput, Violation
from services.simulators.apns.request import REASONS
from services.simulators.credentials import ApnsTeam, FcmProject, SmsAccount, SmtpAccount
from services.simulators.ledger import MAX_PAGE, Ledger, Received
from services.simulators.script import Script
from services.simulators.wire.http1 import AlpnChooser
from services.simulators.wire.listener import Listener

if TYPE_CHECKING:
    from types import TracebackType

    from services.simulators.apns.peer import ApnsPeer
    from services.simulators.fcm.peer import FcmPeer
    from services.simulators.peer import Peer
    from services.simulators.sms.peer import SmsPeer
    from services.simulators.smtp.peer import SmtpPeer

_MAX_REQUEST = 4 * 1024 * 1024
_ADDRESSES = ("address", "token", "to", "number")
_Model = TypeVar("_Model", bound=BaseModel)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _GoAway(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reason: str = Field(default="Shutdown")


class Inspection:
    """Serves the inspection API while entered."""

    def __init__(self, *, host: str, port: int, fcm: FcmPeer, apns: ApnsPeer, sms: SmsPeer, smtp: SmtpPeer) -> None:
        self._fcm, self._apns, self._sms, self._smtp = fcm, apns, sms, smtp
        self._peers: dict[str, Peer] = {peer.name: peer for peer in (fcm, apns, sms, smtp)}
        self._runner = web.AppRunner(self._application(), access_log=None, handler_cancellation=True)
        self._listener = Listener(host=host, port=port, factory=lambda: AlpnChooser(self._protocol))

    @property
    def port(self) -> int:
        """The port it listens on; known once entered."""
        return self._listener.port

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://{self._listener.host}:{self.port}"

    async def __aenter__(self) -> Self:
        """Start serving."""
        await self._runner.setup()
        await self._listener.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        await self._listener.stop()
        await self._runner.cleanup()

    def _protocol(self) -> web.RequestHandler:
        server = self._runner.server
        if server is None:
            raise LookupError("the inspection API is not set up")
        return server()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=_MAX_REQUEST, middlewares=[_answer_wrong_input])
        application.router.add_get("/counts", self._all_counts)
        for peer in self._peers.values():
            base = f"/{peer.name}"
            application.router.add_get(f"{base}/counts", self._counts(peer))
            application.router.add_get(f"{base}/messages", self._messages(peer.ledger))
            application.router.add_get(f"{base}/script", self._script(peer))
            application.router.add_post(f"{base}/script", self._play(peer))
            application.router.add_delete(base, self._reset(peer))
        application.router.add_get("/sms/callbacks", self._messages(self._sms.callbacks.ledger))
        application.router.add_post("/fcm/projects", self._register(FcmProject, self._fcm.register))
        application.router.add_post("/apns/teams", self._register(ApnsTeam, self._apns.register))
        application.router.add_post("/sms/accounts", self._register(SmsAccount, self._sms.register))
        application.router.add_post("/smtp/accounts", self._register(SmtpAccount, self._smtp.register))
        application.router.add_post("/apns/goaway", self._go_away)
        application.router.add_post("/fcm/revoke", self._revoke)
        return application

    async def _all_counts(self, request: web.Request) -> web.Response:
        return web.json_response({name: peer.counts() for name, peer in self._peers.items()})

    async def _go_away(self, request: web.Request) -> web.Response:
        wanted = await _parsed(request, _GoAway)
        if wanted.reason not in REASONS:
            raise InvalidInput([Violation("reason", "APNs has no such reason")])
        return web.json_response({"connections": self._apns.go_away(wanted.reason)})

    async def _revoke(self, request: web.Request) -> web.Response:
        self._fcm.tokens.revoke_all()
        return web.Response(status=204)

    @staticmethod
    def _counts(peer: Peer) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            return web.json_response(peer.counts())

        return handle

    @staticmethod
    def _messages(ledger: Ledger) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            query = request.query
            limit = _number(request, "limit", 100, MAX_PAGE)
            page = ledger.page(
                address=next((query[name] for name in _ADDRESSES if name in query), None),
                outcome=query.get("outcome"),
                after=_number(request, "after", 0, 2**53),
                limit=limit,
            )
            following = page[-1].sequence if len(page) == limit else None
            return web.json_response({"messages": [_shown(each) for each in page], "next_after": following})

        return handle

    @staticmethod
    def _script(peer: Peer) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            return web.json_response(text=peer.script.model_dump_json())

        return handle

    @staticmethod
    def _play(peer: Peer) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            await peer.play(await _parsed(request, Script))
            return web.Response(status=204)

        return handle

    @staticmethod
    def _reset(peer: Peer) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            await peer.reset()
            return web.Response(status=204)

        return handle

    @staticmethod
    def _register(kind: type[_Model], register: Callable[[_Model], None]) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            register(await _parsed(request, kind))
            return web.Response(status=204)

        return handle


@web.middleware
async def _answer_wrong_input(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except InvalidInput as wrong:
        errors = [{"field": each.field, "description": each.description} for each in wrong.violations]
        return web.json_response({"errors": errors}, status=400)


async def _parsed(request: web.Request, kind: type[_Model]) -> _Model:
    try:
        return kind.model_validate_json(await request.read() or b"{}")
    except ValidationError as exc:
        raise InvalidInput(
            [
                Violation(".".join(map(str, each["loc"])), each["msg"])
                for each in exc.errors(include_url=False, include_input=False)
            ]
        ) from exc


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    given = request.query.get(name, str(default))
    if not given.isascii() or not given.isdigit() or len(given) > 16 or int(given) > most:
        raise InvalidInput([Violation(name, f"must be a number from 0 to {most}")])
    return int(given)


def _shown(received: Received) -> dict[str, object]:
    return {
        "sequence": received.sequence,
        "received_at": received.received_at,
        "address": received.address,
        "outcome": received.outcome,
        "content": dict(received.content),
    }
