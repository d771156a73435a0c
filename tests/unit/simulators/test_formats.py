from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from services.simulators.sms.answers import segments
from services.simulators.sms.callbacks import signature
from services.simulators.smtp.mail import parsed


@pytest.mark.parametrize(
    ("body", "count"),
    [("", 1), ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("ж" * 70, 1), ("ж" * 71, 2)],
)
def test_a_text_is_counted_in_segments(body: str, count: int) -> None:
    assert segments(body) == count


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=8))
def test_every_signature_is_the_one_twilio_computes(parameters: dict[str, str]) -> None:
    url = "https://example.org/callback?x=1"
    assert signature("secret", url, parameters) == RequestValidator("secret").compute_signature(url, parameters)


@given(st.binary(max_size=2000))
def test_any_bytes_are_parsed_or_called_malformed(raw: bytes) -> None:
    assert parsed(raw)["size"] == len(raw)


def test_an_attachment_is_named_and_measured() -> None:
    raw = (
        b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain; charset=no-such\r\n\r\nh\xe9llo\r\n"
        b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment; filename=a.pdf\r\n\r\naGVsbG8=\r\n--b--\r\n"
    )
    mail = parsed(raw)
    assert mail["text"] == "héllo"
    assert mail["attachments"] == [{"filename": "a.pdf", "content_type": "application/pdf", "size": 5}]
