from __future__ import annotations

import base64

import pytest
from clarion.auth.v1 import ListAuditEntriesRequest, ListClientsRequest
from clarion.notification.v1 import ListNotificationsRequest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.runtime.errors import InvalidInput
from services.runtime.pages import PageTokens
from services.runtime.settings import PageSettings

PAGES = PageTokens(PageSettings(page_token_key=SecretStr("0123456789abcdef")))
REQUEST = ListClientsRequest(page_size=10)
cursors = st.text(max_size=200, alphabet=st.characters(exclude_categories=["Cs"]))
tenants = st.text(min_size=1, max_size=20, alphabet=st.characters(exclude_categories=["Cs"]))


@given(cursor=cursors, tenant=tenants, size=st.integers(0, 500))
def test_a_token_opens_for_the_same_request_whatever_the_page_size(cursor: str, tenant: str, size: int) -> None:
    token = PAGES.sign(cursor, tenant=tenant, request=REQUEST)
    again = ListClientsRequest(page_size=size, page_token=token)
    assert PAGES.open(token, tenant=tenant, request=again) == cursor


@given(cursor=cursors, tenant=tenants, other=tenants)
def test_a_token_of_another_tenant_is_refused(cursor: str, tenant: str, other: str) -> None:
    token = PAGES.sign(cursor, tenant=tenant, request=REQUEST)
    if tenant != other:
        with pytest.raises(InvalidInput):
            PAGES.open(token, tenant=other, request=REQUEST)


@given(token=st.text(min_size=1, max_size=300) | st.binary(min_size=1).map(lambda raw: base64.b64encode(raw).decode()))
def test_a_made_up_token_is_refused_by_its_field(token: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        PAGES.open(token, tenant="acme", request=REQUEST)
    assert [each.field for each in caught.value.violations] == ["page_token"]


@given(cursor=cursors, data=st.data())
def test_an_altered_token_is_refused(cursor: str, data: st.DataObject) -> None:
    token = PAGES.sign(cursor, tenant="acme", request=REQUEST)
    raw = bytearray(base64.urlsafe_b64decode(token + "=="))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    altered = base64.urlsafe_b64encode(bytes(raw)).decode()
    with pytest.raises(InvalidInput):
        PAGES.open(altered, tenant="acme", request=REQUEST)


def test_a_token_is_bound_to_the_filters_and_to_the_method() -> None:
    token = PAGES.sign("cursor", tenant="acme", request=ListNotificationsRequest(category="news"))
    for other in (ListNotificationsRequest(category="offers"), ListNotificationsRequest(), ListAuditEntriesRequest()):
        with pytest.raises(InvalidInput):
            PAGES.open(token, tenant="acme", request=other)


def test_without_a_token_it_is_the_first_page() -> None:
    assert PAGES.open("", tenant="acme", request=REQUEST) == ""


def test_another_deployments_token_is_refused() -> None:
    token = PageTokens(PageSettings(page_token_key=SecretStr("fedcba9876543210"))).sign(
        "cursor", tenant="acme", request=REQUEST
    )
    with pytest.raises(InvalidInput):
        PAGES.open(token, tenant="acme", request=REQUEST)


def test_a_megabyte_is_refused() -> None:
    with pytest.raises(InvalidInput):
        PAGES.open("A" * 1_000_000, tenant="acme", request=REQUEST)
