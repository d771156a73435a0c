from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from services.delivery.adapters.http import Endpoint, seconds_of
from services.delivery.adapters.smtp_pool import Relay
from tests.unit.delivery.builders import smtp

RELAY = Relay(host="relay.internal", port=25, security="NONE")


def test_an_endpoint_is_dialled_where_its_url_says() -> None:
    assert Endpoint.at("https://fcm.googleapis.com/", "") == Endpoint("https://fcm.googleapis.com")


def test_with_an_outbound_address_it_is_dialled_there_in_plain_http_and_asked_by_its_name() -> None:
    found = Endpoint.at("https://oauth2.googleapis.com/token", "127.0.0.1:15001")
    assert found == Endpoint("http://127.0.0.1:15001/token", "oauth2.googleapis.com")
    assert found.plain


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("", None), ("7", 7), (" 0 ", 0), ("soon", None), ("-5", None), ("9" * 40, 999999999999)],
)
def test_retry_after_in_seconds(value: str | None, seconds: float | None) -> None:
    assert seconds_of(value) == seconds


def test_retry_after_as_a_date() -> None:
    assert seconds_of(formatdate(time.time() + 100, usegmt=True)) == pytest.approx(100, abs=2)
    assert seconds_of(formatdate(time.time() - 100, usegmt=True)) == 0


def test_an_accounts_own_mail_server_goes_before_the_installations_and_always_has_tls() -> None:
    assert Relay.of(smtp(), RELAY) is RELAY
    assert Relay.of(smtp(host="mail.example.com", port=465), RELAY).security == "TLS"
    assert Relay.of(smtp(host="mail.example.com", port=25), RELAY).security == "STARTTLS"
