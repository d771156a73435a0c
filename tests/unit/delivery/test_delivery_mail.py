from __future__ import annotations

from email import policy
from email.parser import BytesParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.adapters.mail import compose
from services.delivery.message import EmailContent
from tests.unit.delivery.builders import NOW, smtp

if TYPE_CHECKING:
    from email.message import EmailMessage

UNSUBSCRIBE = "https://example.com/unsubscribe?d={delivery_id}"


def composed(content: EmailContent, *, unsubscribe: str = "", from_name: str = "The Shop") -> EmailMessage:
    raw = compose(
        content,
        delivery_id="d1",
        recipient="ada@example.org",
        sender=smtp(from_name=from_name),
        unsubscribe=unsubscribe,
        date=NOW,
    )
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert raw.isascii()
    return BytesParser(policy=policy.default).parsebytes(raw)


def body(mail: EmailMessage, kind: str) -> str | None:
    part = mail.get_body((kind,))
    return None if part is None else part.get_content().strip()


def test_text_and_html_are_alternatives() -> None:
    mail = composed(EmailContent(subject="Olá", text="Palavras", html="<p>Palavras é</p>"))
    assert mail.get_content_type() == "multipart/alternative"
    assert (body(mail, "plain"), body(mail, "html")) == ("Palavras", "<p>Palavras é</p>")
    assert mail["Subject"] == "Olá"
    assert mail["From"] == "The Shop <shop@example.com>"
    assert mail["To"] == "ada@example.org"
    assert mail["Message-ID"] == "<d1@example.com>"
    assert mail["Date"].datetime == NOW


@pytest.mark.parametrize(("text", "html"), [("words", ""), ("", "<p>words</p>")])
def test_one_part_alone_is_no_multipart(text: str, html: str) -> None:
    mail = composed(EmailContent(subject="S", text=text, html=html))
    assert not mail.is_multipart()
    assert (body(mail, "plain") or "", body(mail, "html") or "") == (text, html)


def test_unsubscribing_takes_one_click() -> None:
    mail = composed(EmailContent(subject="S", text="x"), unsubscribe=UNSUBSCRIBE)
    assert mail["List-Unsubscribe"].strip() == "<https://example.com/unsubscribe?d=d1>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert composed(EmailContent(subject="S", text="x"))["List-Unsubscribe"] is None


@given(subject=st.text(max_size=80), from_name=st.text(max_size=40))
def test_nothing_in_a_subject_or_a_name_becomes_another_header(subject: str, from_name: str) -> None:
    try:
        mail = composed(EmailContent(subject=subject, text="x"), from_name=from_name)
    except ValueError:
        return
    assert sorted(name.lower() for name in set(mail)) == [
        "auto-submitted", "content-transfer-encoding", "content-type", "date", "from", "message-id", "mime-version",
        "subject", "to",
    ]  # fmt: skip
    assert [str(address.addr_spec) for address in mail["To"].addresses] == ["ada@example.org"]


@pytest.mark.parametrize("subject", ["Hi\r\nBcc: eve@example.com", "Hi\nBcc: eve@example.com", "Hi\n", "\r"])
def test_a_line_break_in_a_subject_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        composed(EmailContent(subject=subject, text="x"))
