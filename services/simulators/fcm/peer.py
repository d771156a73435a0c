"""FCM's HTTP v1 API with its token endpoint, over TLS, on HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import json
import re
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING

from services.simulators.fcm import answers, rules
from services.simulators.fcm.oauth import TOKEN_PATH, TokenEndpoint
from services.simulators.ledger import ACCEPTED, Ledger
from services.simulators.peer import Peer
from services.simulators.player import Player
from services.simulators.script import Limit, Scope
from services.simulators.wire.exchange import Request, Response, endure, json_response
from services.simulators.wire.http1 import AlpnChooser, Http1Server
from services.simulators.wire.http2 import Http2Connection
from services.simulators.wire.listener import Listener

if TYPE_CHECKING:
    import random
    import ssl

    from services.simulators.credentials import FcmProject
    from services.simulators.ledger import Clock

QUOTA = Limit(requests=600_000, window_seconds=60, scope=Scope.ACCOUNT)
"""Per project, whatever the answer was (firebase.google.com: throttling and quotas)."""

_SEND = re.compile(r"/v1/projects/([^/]+)/messages:send")
_STREAMS = 100
_MAX_BODY = 65_536
_LIMITED = "QUOTA_EXCEEDED"


class FcmPeer(Peer):
    """Firebase Cloud Messaging: bearer tokens by service account, messages checked as FCM checks them.

    Every well-formed token is a registered device until a script says otherwise.
    """

    name = "fcm"

    def __init__(
        self, *, host: str, port: int, tls: ssl.SSLContext, clock: Clock, rng: random.Random, capacity: int
    ) -> None:
        self._http1 = Http1Server(self._answer)
        self.tokens = TokenEndpoint(clock=clock)
        super().__init__(
            ledger=Ledger(capacity=capacity, clock=clock),
            player=Player(clock=clock, rng=rng, defaults=(QUOTA,)),
            listener=Listener(host=host, port=port, factory=self._protocol, tls=tls),
        )

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"https://{self.host}:{self.port}"

    @property
    def token_url(self) -> str:
        """Its token endpoint, for a service account's `token_uri`."""
        return f"{self.url}{TOKEN_PATH}"

    def register(self, project: FcmProject) -> None:
        """Let a service account send for its project."""
        self.tokens.register(project)

    def knows(self, error: str) -> bool:
        """FCM's errorCodes, and the platform's answers beside them."""
        return error in answers.ERRORS

    def _protocol(self) -> AlpnChooser:
        return AlpnChooser(self._http1, lambda: Http2Connection(self._answer, streams=_STREAMS, max_body=_MAX_BODY))

    async def _answer(self, request: Request) -> Response:
        if request.path == TOKEN_PATH and request.method == "POST":
            return await self._token(request)
        route = _SEND.fullmatch(request.path)
        if route is None or request.method != "POST":
            return answers.failure("NOT_FOUND")
        return await self._send(request, route.group(1))

    async def _token(self, request: Request) -> Response:
        # A fault without this address is about messages, and must not be used up here.
        verdict = self._player.decide_named(TOKEN_PATH)
        await endure(verdict, self._player)
        if verdict.fault is None or verdict.fault.error is None:
            return self.tokens.issue(request)
        failed = answers.failure(verdict.fault.error, retry_after_seconds=verdict.retry_after_seconds)
        if failed.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return failed
        return json_response(failed.status, {"error": "invalid_grant", "error_description": "Scripted."})

    async def _send(self, request: Request, project_id: str) -> Response:
        stranger = self._stranger(request, project_id)
        if stranger is not None:
            self.ledger.record("", {"project_id": project_id}, stranger)
            return answers.failure(stranger)
        body = _parse(request.body)
        message = body.get("message")
        address = rules.target(message) if isinstance(message, dict) else ""
        name = f"projects/{project_id}/messages/0:{uuid.uuid4().hex}"
        content = {"project_id": project_id, "name": name, "message": message}
        verdict = self._player.decide(address, account=project_id)
        if verdict.strikes:
            self.ledger.record(address, content, verdict.outcome(_LIMITED))
            await endure(verdict, self._player)
            error = verdict.error(_LIMITED, "UNAVAILABLE")
            return answers.failure(error, retry_after_seconds=verdict.retry_after_seconds)
        refusal = _refusal(body)
        dry_run = body.get("validate_only", body.get("validateOnly")) is True
        if refusal is not None or not dry_run:
            self.ledger.record(address, content, ACCEPTED if refusal is None else "INVALID_ARGUMENT")
        await endure(verdict, self._player)
        return refusal or answers.sent(f"projects/{project_id}/messages/fake_message_id" if dry_run else name)

    def _stranger(self, request: Request, project_id: str) -> str | None:
        granted = self.tokens.project_of(request.header("authorization"))
        if granted is None:
            return "UNAUTHENTICATED"
        return None if granted == project_id else "PERMISSION_DENIED"


def _parse(body: bytes) -> dict[str, object]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _refusal(body: dict[str, object]) -> Response | None:
    """Why FCM does not take this message, if it does not."""
    if "message" not in body:
        return answers.unparsable("Invalid JSON payload received. A message is required.")
    message = body["message"]
    misfits = rules.schema_violations(message)
    if misfits or not isinstance(message, dict):
        return answers.invalid(misfits, code=False)
    if rules.oversize(message):
        return answers.failure("OVERSIZE")
    wrong = rules.violations(message)
    return answers.invalid(wrong, code=True) if wrong else None
