"""What a peer is told to do wrong: faults, limits and outages, and which of them a request meets."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_SCRIPTED = ConfigDict(frozen=True, extra="forbid")


class Action(StrEnum):
    """How a faulty request ends."""

    ANSWER = "answer"
    """With an answer: the fault's error, or the usual one when it names none."""
    DROP = "drop"
    """The connection closes without an answer."""
    HANG = "hang"
    """No answer until the script changes; then the connection closes."""
    GOAWAY = "goaway"
    """APNs only: GOAWAY with the error as its reason; this request is not processed."""


class Stage(StrEnum):
    """Where in an SMTP session a fault strikes."""

    CONNECT = "connect"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    """The DATA command's final dot."""


class Outage(StrEnum):
    """Whether a peer can be reached at all."""

    NONE = "none"
    REFUSE = "refuse"
    """Open connections are reset and new ones refused; the port stays ours."""


class Fault(BaseModel):
    """One thing that goes wrong, for the requests it matches.

    `match` is a device token, phone number or mail address (SMTP's MAIL stage: the sender's; CONNECT: the
    client's host); a final `*` matches by prefix; none matches every request. FCM's token endpoint is
    `/token`. Of those that match, the first `skip` are spared, then those of the first `after_seconds`
    after the script was set, then it strikes `times` times (for ever, if none) with `probability`.

    `error` is in the peer's own words: FCM's errorCode (or HTML_502, UNAUTHENTICATED), APNs' reason, the
    SMS gateway's number, SMTP's reply. Without an error an answer is the usual one, only later: latencies
    of such faults add up and the search goes on. `deliver` keeps the message as received although its
    sender does not learn of it. `retry_after_seconds` is sent with an error, `timestamp_ms` with APNs' 410.
    """

    model_config = _SCRIPTED
    match: str | None = Field(default=None, min_length=1, max_length=4096)
    stage: Stage = Stage.RCPT
    error: str | None = Field(default=None, min_length=1, max_length=512, pattern=r"^[^\r\n]+$")
    action: Action = Action.ANSWER
    deliver: bool = False
    latency_seconds: float = Field(default=0.0, ge=0, le=600)
    retry_after_seconds: int | None = Field(default=None, ge=0)
    timestamp_ms: int | None = Field(default=None, ge=0)
    probability: float = Field(default=1.0, ge=0, le=1)
    skip: int = Field(default=0, ge=0)
    after_seconds: float = Field(default=0.0, ge=0)
    times: int | None = Field(default=None, ge=1)


class Scope(StrEnum):
    """What one window of a limit counts."""

    PEER = "peer"
    ACCOUNT = "account"
    """Per FCM project, Apple team, SMS account or SMTP user."""
    ADDRESS = "address"


class Limit(BaseModel):
    """At most `requests` in `window_seconds`; the window opens with its first request, at any moment."""

    model_config = _SCRIPTED
    requests: int = Field(ge=0)
    window_seconds: float = Field(gt=0, le=86_400)
    scope: Scope = Scope.PEER


class Callbacks(BaseModel):
    """The status callbacks of SMS to `match` (the last match wins), posted in exactly this order."""

    model_config = _SCRIPTED
    match: str | None = Field(default=None, min_length=1, max_length=64)
    statuses: tuple[str, ...] = Field(default=("sent", "delivered"), max_length=32)
    error_code: int | None = None
    delay_seconds: float = Field(default=0.0, ge=0, le=600)
    extra: dict[str, str] = Field(default_factory=dict, max_length=32)


class Script(BaseModel):
    """Everything that a peer plays until it is given another script or reset."""

    model_config = _SCRIPTED
    outage: Outage = Outage.NONE
    faults: tuple[Fault, ...] = Field(default=(), max_length=10_000)
    limits: tuple[Limit, ...] = Field(default=(), max_length=32)
    callbacks: tuple[Callbacks, ...] = Field(default=(), max_length=1000)
    greylist_seconds: float | None = Field(default=None, gt=0, le=86_400)

    @model_validator(mode="after")
    def _answers_say_something(self) -> Self:
        for index, fault in enumerate(self.faults):
            if fault.action is Action.ANSWER and fault.error is None and not fault.latency_seconds:
                raise ValueError(f"faults.{index}: needs an error, an action or a latency")
        return self
