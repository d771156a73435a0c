"""Requests as they came, read into the domain; what is wrong is named field by field."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from services.delivery.credentials import (
    ApnsCredentials,
    FcmCredentials,
    SmtpCredentials,
    TwilioCredentials,
    wrong_with,
)
from services.delivery.message import (
    Address,
    Channel,
    Content,
    DeviceAddress,
    EmailAddress,
    EmailContent,
    Message,
    PhoneAddress,
    Platform,
    Priority,
    PushContent,
    SmsContent,
    delivery_id,
)
from services.runtime.validation import Violations

if TYPE_CHECKING:
    from clarion.delivery.v1 import DeliverItem, DeliverRequest, ProviderAccount
    from clarion.type import v1 as wire

    from services.delivery.credentials import Credentials

MAX_ITEMS: Final = 1_000
MAX_TOKEN_CHARS: Final = 4_096
MAX_SMS_CHARS: Final = 1_600
MAX_SUBJECT_CHARS: Final = 255
MAX_TEXT_BYTES, MAX_HTML_BYTES = 64 * 1024, 256 * 1024
NO_CONTENT: Final = "NO_CONTENT"
INVALID_ADDRESS: Final = "INVALID_ADDRESS"
INVALID_CONTENT: Final = "INVALID_CONTENT"
_PLATFORMS = (Platform.ANDROID, Platform.ANDROID, Platform.IOS, Platform.WEB)
_PRIORITIES = (
    Priority.NORMAL,
    Priority.CRITICAL,
    Priority.NORMAL,
    Priority.BULK,
)


def messages(request: DeliverRequest) -> list[Message]:
    """The request's items.

    An item that no provider could take is read with its fault, and fails alone. Raises InvalidInput for what only a
    broken caller sends.
    """
    violations = Violations()
    read: list[Message] = []
    if violations.count("items", len(request.items), most=MAX_ITEMS):
        contents = _Contents(request)
        for index, item in enumerate(request.items):
            message = _message(f"items[{index}]", item, contents, violations)
            if message is not None:
                read.append(message)
    violations.check()
    return read


class _Contents:
    """The request's contents, each read once for each channel it is used on."""

    def __init__(self, request: DeliverRequest) -> None:
        self._contents = request.contents
        self._read: dict[tuple[int, Channel | None], tuple[Content | None, str]] = {}

    def __len__(self) -> int:
        return len(self._contents)

    def of(self, index: int, channel: Channel | None) -> tuple[Content | None, str]:
        """The content for a channel, and its fault."""
        if (index, channel) not in self._read:
            content = _content(self._contents[index], channel)
            fault = NO_CONTENT if content is None else _fault_of_content(content)
            self._read[index, channel] = (content, fault)
        return self._read[index, channel]


def _message(path: str, item: DeliverItem, contents: _Contents, violations: Violations) -> Message | None:
    for name in ("tenant", "notification_id"):
        violations.identifier(f"{path}.{name}", getattr(item, name))
    expire_at = violations.timestamp(f"{path}.expire_time", item.expire_time)
    accepted_at = violations.timestamp(f"{path}.accept_time", item.accept_time)
    if not 0 <= item.content_index < len(contents):
        violations.add(f"{path}.content_index", f"must be that of one of the {len(contents)} contents")
        return None
    if expire_at is None or accepted_at is None:
        return None
    address = _address(item.address)
    fault = INVALID_ADDRESS if address is None else _fault_of_address(address)
    message = Message(
        delivery_id=delivery_id(
            tenant=item.tenant, notification_id=item.notification_id, user_id=item.user_id, address=address
        ),
        tenant=item.tenant,
        notification_id=item.notification_id,
        chunk=item.chunk,
        user_id=item.user_id,
        address=address,
        content=None,
        category=item.category,
        template_id=item.template_id,
        priority=_PRIORITIES[item.priority] if 0 <= item.priority < len(_PRIORITIES) else Priority.NORMAL,
        collapse_key=item.collapse_key,
        expire_at=expire_at,
        accepted_at=accepted_at,
        fault=fault,
    )
    return _with_content(message, *contents.of(item.content_index, message.channel))


def _with_content(message: Message, content: Content | None, fault: str) -> Message:
    return replace(message, content=content, fault=message.fault or fault)


def _address(address: wire.Address) -> Address | None:
    match address.WhichOneof("kind"):
        case "device" if 0 < address.device.platform < len(_PLATFORMS):
            return DeviceAddress(
                platform=_PLATFORMS[address.device.platform], app=address.device.app, token=address.device.token
            )
        case "phone":
            return PhoneAddress(number=address.phone)
        case "email":
            return EmailAddress(mailbox=address.email)
    return None


def _fault_of_address(address: Address) -> str:
    violations = Violations()
    match address:
        case DeviceAddress():
            violations.printable("token", address.token, most=MAX_TOKEN_CHARS)
        case PhoneAddress():
            violations.phone("phone", address.number)
        case EmailAddress():
            violations.email("email", address.mailbox)
    return INVALID_ADDRESS if violations.found else ""


def _content(content: wire.Content, channel: Channel | None) -> Content | None:
    if channel is Channel.PUSH and content.HasField("push"):
        push = content.push
        return PushContent(
            title=push.title,
            body=push.body,
            data=dict(push.data),
            image_url=push.image_url,
            badge=push.badge if push.HasField("badge") else None,
            sound=push.sound,
        )
    if channel is Channel.SMS and content.HasField("sms"):
        return SmsContent(body=content.sms.body)
    if channel is Channel.EMAIL and content.HasField("email"):
        return EmailContent(subject=content.email.subject, text=content.email.text, html=content.email.html)
    return None


def _fault_of_content(content: Content) -> str:
    violations = Violations()
    match content:
        case SmsContent():
            violations.text("body", content.body, least=1, most=MAX_SMS_CHARS)
        case EmailContent():
            violations.text("subject", content.subject, least=1, most=MAX_SUBJECT_CHARS, one_line=True)
            violations.size("text", content.text, most_bytes=MAX_TEXT_BYTES)
            violations.size("html", content.html, most_bytes=MAX_HTML_BYTES)
            if not content.text and not content.html:
                violations.add("text", "is required, or html")
        case PushContent():
            pass  # its size counts once it is encoded: the provider says
    return INVALID_CONTENT if violations.found else ""


def account(given: ProviderAccount) -> tuple[str, str, Credentials]:
    """A new account's id, app and credentials.

    Raises InvalidInput that names every offending field.
    """
    violations = Violations()
    credentials = _credentials(given)
    for name, problem in wrong_with(given.provider_account_id, given.app, credentials):
        violations.add(f"provider_account.{name}", problem)
    if isinstance(credentials, SmtpCredentials):
        violations.email("provider_account.smtp.from_address", credentials.from_address)
    violations.check()
    assert credentials is not None  # noqa: S101 - wrong_with has named it otherwise
    return given.provider_account_id, given.app, credentials


def _credentials(given: ProviderAccount) -> Credentials | None:
    match given.WhichOneof("credentials"):
        case "fcm":
            return FcmCredentials(project_id=given.fcm.project_id, service_account_json=given.fcm.service_account_json)
        case "apns":
            return ApnsCredentials(
                team_id=given.apns.team_id,
                key_id=given.apns.key_id,
                topic=given.apns.topic,
                sandbox=given.apns.sandbox,
                signing_key_pem=given.apns.signing_key_pem,
            )
        case "twilio":
            return TwilioCredentials(
                account_sid=given.twilio.account_sid, sender=given.twilio.sender, auth_token=given.twilio.auth_token
            )
        case "smtp":
            return SmtpCredentials(
                host=given.smtp.host,
                port=given.smtp.port,
                username=given.smtp.username,
                password=given.smtp.password,
                from_address=given.smtp.from_address,
                from_name=given.smtp.from_name,
            )
    return None
