"""Which requests are valid. Every offending field is named at its path; nothing here looks anything up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from clarion.notification.v1 import NotificationState
from clarion.type.v1 import Channel, Platform, Priority, Routing

from services.notification.content import check_content
from services.notification.domain import Filter
from services.runtime.errors import Unimplemented
from services.runtime.validation import Violations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clarion.notification.v1 import (
        DeliveryOptions,
        ListNotificationsRequest,
        Recipient,
        SendNotificationRequest,
        TemplateReference,
    )
    from clarion.type.v1 import DeviceAddress

MAX_NAMED: Final = 100
"""An answer has room for about this many violations: looking for more would be for nothing."""
MAX_RECIPIENTS: Final = 10_000
MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
"""With its progress, a notification is one document, for which MongoDB has 16 MiB."""
MAX_TEMPLATE_VARIABLES_BYTES: Final = 64 * 1024
MIN_TTL, MAX_TTL = timedelta(seconds=1), timedelta(days=28)
MAX_AHEAD: Final = timedelta(days=366)
DEFAULT_PAGE, MAX_PAGE = 50, 500
MAX_ID_CHARS: Final = 64
_CHANNEL_FIELDS: Final = {
    Channel.CHANNEL_PUSH: "push",
    Channel.CHANNEL_SMS: "sms",
    Channel.CHANNEL_EMAIL: "email",
}


def check_send(request: SendNotificationRequest, now: datetime) -> None:
    """Check everything about one notification.

    Raises InvalidInput, and Unimplemented for what is valid but not served yet.
    """
    violations = Violations()
    if request.ByteSize() > MAX_REQUEST_BYTES:
        violations.add("request", f"must be at most {MAX_REQUEST_BYTES} bytes")
        violations.check()
    if violations.count("recipients", len(request.recipients), most=MAX_RECIPIENTS):
        _check_recipients(violations, request.recipients)
    if request.HasField("content") == request.HasField("template"):
        violations.add("content", "give either content or a template, exactly one of the two")
    if request.HasField("content"):
        check_content(violations, request.content)
    if request.HasField("template"):
        _check_template(violations, request.template)
    if request.idempotency_key:
        violations.printable("idempotency_key", request.idempotency_key, most=128)
    _check_channels(violations, request)
    send_at = _check_options(violations, request.options, now)
    violations.check()
    _refuse_unserved(request, send_at, now)


def filter_of(request: ListNotificationsRequest) -> tuple[Filter, int]:
    """What a list asks for, and how many at a time.

    Raises InvalidInput.
    """
    violations = Violations()
    size = violations.page_size(request.page_size, default=DEFAULT_PAGE, most=MAX_PAGE)
    violations.count("states", len(request.states), least=0, most=len(NotificationState.values()))
    for index, state in enumerate(request.states[:MAX_NAMED]):
        violations.enumerated(f"states[{index}]", state, NotificationState, required=True)
    violations.text("category", request.category, most=64, one_line=True)
    after = before = None
    if request.HasField("created_after"):
        after = violations.timestamp("created_after", request.created_after)
    if request.HasField("created_before"):
        before = violations.timestamp("created_before", request.created_before)
    violations.check()
    wanted = Filter(
        states=frozenset(request.states), category=request.category, created_after=after, created_before=before
    )
    return wanted, size


def check_id(notification_id: str) -> None:
    """An id that could be one of ours.

    Raises InvalidInput.
    """
    violations = Violations()
    violations.identifier("notification_id", notification_id, most=MAX_ID_CHARS)
    violations.check()


def _check_recipients(violations: Violations, recipients: Sequence[Recipient]) -> None:
    for index, recipient in enumerate(recipients):
        target = recipient.WhichOneof("target")
        if target == "user_id":
            violations.identifier(f"recipients[{index}].user_id", recipient.user_id)
        elif target == "address":
            _check_address(violations, f"recipients[{index}].address", recipient)
        else:
            violations.add(f"recipients[{index}]", "give a user id or an address")
        if len(violations.found) > MAX_NAMED:
            return


def _check_address(violations: Violations, field: str, recipient: Recipient) -> None:
    address = recipient.address
    kind = address.WhichOneof("kind")
    if kind == "phone":
        violations.phone(f"{field}.phone", address.phone)
    elif kind == "email":
        violations.email(f"{field}.email", address.email)
    elif kind == "device":
        _check_device(violations, f"{field}.device", address.device)
    else:
        violations.add(field, "give a device, a phone number or an email address")


def _check_device(violations: Violations, field: str, device: DeviceAddress) -> None:
    violations.enumerated(f"{field}.platform", device.platform, Platform, required=True)
    violations.name(f"{field}.app", device.app, most=100)
    violations.printable(f"{field}.token", device.token, most=4096)


def _check_template(violations: Violations, template: TemplateReference) -> None:
    violations.identifier("template.template_id", template.template_id)
    if template.version < 0:
        violations.add("template.version", "must be 1 or more, or 0 for the newest")
    if template.variables.ByteSize() > MAX_TEMPLATE_VARIABLES_BYTES:
        violations.add("template.variables", f"must be at most {MAX_TEMPLATE_VARIABLES_BYTES} bytes")


def _check_channels(violations: Violations, request: SendNotificationRequest) -> None:
    channels = request.options.channels
    if not violations.count("options.channels", len(channels), least=0, most=len(_CHANNEL_FIELDS)):
        return
    seen = set()
    for index, channel in enumerate(channels):
        field = f"options.channels[{index}]"
        content = _CHANNEL_FIELDS.get(channel)
        if content is None:
            violations.enumerated(field, channel, Channel, required=True)
        elif channel in seen:
            violations.add(field, "is there twice")
        elif request.HasField("content") and not request.content.HasField(content):  # type: ignore[arg-type]
            violations.add(field, f"needs content.{content}")
        seen.add(channel)


def _check_options(violations: Violations, options: DeliveryOptions, now: datetime) -> datetime | None:
    violations.enumerated("options.routing", options.routing, Routing)
    violations.enumerated("options.priority", options.priority, Priority)
    violations.text("options.category", options.category, most=64, one_line=True)
    if options.HasField("ttl"):
        violations.duration("options.ttl", options.ttl, least=MIN_TTL, most=MAX_TTL)
    violations.text("options.collapse_key", options.collapse_key, most=64, one_line=True)
    violations.size("options.collapse_key", options.collapse_key, most_bytes=64)
    if options.HasField("escalate_after"):
        violations.duration("options.escalate_after", options.escalate_after, least=MIN_TTL, most=MAX_TTL)
    if not options.HasField("send_at"):
        return None
    send_at = violations.timestamp("options.send_at", options.send_at)
    if send_at is not None and send_at > now + MAX_AHEAD:
        violations.add("options.send_at", f"must be at most {MAX_AHEAD.days} days ahead")
    return send_at


def _refuse_unserved(request: SendNotificationRequest, send_at: datetime | None, now: datetime) -> None:
    if request.HasField("template"):
        raise Unimplemented("templates are not served yet: send content", reason="TEMPLATES_NOT_SERVED")
    if send_at is not None and send_at > now.astimezone(UTC):
        raise Unimplemented(
            "a time ahead is not served yet: leave send_at unset to send now", reason="SCHEDULING_NOT_SERVED"
        )
    if request.options.routing == Routing.ROUTING_ESCALATE:
        raise Unimplemented(
            "escalation is not served yet: use ROUTING_FIRST or ROUTING_ALL", reason="ESCALATION_NOT_SERVED"
        )
