"""A mail in the form it travels in (RFC 5322, MIME; RFC 8058 for one-click unsubscribing)."""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from datetime import datetime

    from services.delivery.credentials import SmtpCredentials
    from services.delivery.message import EmailContent

# Seven bits: not every server on the way takes eight.
_POLICY: Final = SMTP.clone(cte_type="7bit")


def message_id(delivery_id: str, sender: str) -> str:
    """The same for the same delivery, so that a mailbox can tell a repeated mail."""
    return f"<{delivery_id}@{sender.rpartition('@')[2]}>"


def compose(
    content: EmailContent,
    *,
    delivery_id: str,
    recipient: str,
    sender: SmtpCredentials,
    unsubscribe: str,
    date: datetime,
) -> bytes:
    """The mail's bytes. `unsubscribe` is a URL in which `{delivery_id}` is replaced; empty for none.

    Raises ValueError for what cannot stand in a header, such as a line break in the subject.
    """
    for header in (content.subject, recipient, sender.from_name, sender.from_address):
        # The library lets a break at a value's end pass.
        if "\r" in header or "\n" in header:
            raise ValueError("a header cannot have a line break")
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = Address(display_name=sender.from_name, addr_spec=sender.from_address)
    mail["To"] = Address(addr_spec=recipient)
    mail["Subject"] = content.subject
    mail["Date"] = format_datetime(date)
    mail["Message-ID"] = message_id(delivery_id, sender.from_address)
    mail["Auto-Submitted"] = "auto-generated"
    if unsubscribe:
        url = unsubscribe.replace("{delivery_id}", quote(delivery_id, safe=""))
        mail["List-Unsubscribe"] = f"<{url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if content.text:
        mail.set_content(content.text)
        if content.html:
            mail.add_alternative(content.html, subtype="html")
    else:
        mail.set_content(content.html, subtype="html")
    return mail.as_bytes()
