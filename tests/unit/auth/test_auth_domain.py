from __future__ import annotations

from datetime import timedelta

import pytest
from clarion.auth import v1

from services.auth.domain import CLOCK_SKEW, MAX_TOKEN_SECONDS, PRIVILEGED, Role, outlived, signing
from tests.unit.auth.builders import ADMIN, NOON, PLATFORM, client, key

OVERLAP = timedelta(seconds=MAX_TOKEN_SECONDS) + CLOCK_SKEW


def test_roles_are_those_of_the_contract() -> None:
    named = {name.removeprefix("ROLE_").lower() for name in v1.Role.DESCRIPTOR.values_by_name} - {"unspecified"}
    assert named == set(Role)


def test_the_newest_key_whose_time_has_come_signs() -> None:
    keys = [key(2), key(1), key(3, signs_from=NOON + timedelta(seconds=10))]
    early, later = signing(keys, NOON), signing(keys, NOON + timedelta(seconds=10))
    assert early is not None
    assert early.generation == 2
    assert later is not None
    assert later.generation == 3


def test_without_a_key_none_signs() -> None:
    assert signing([], NOON) is None


def test_a_key_is_outlived_once_the_last_token_it_may_have_signed_is_over() -> None:
    keys = [key(1), key(2, signs_from=NOON)]
    assert outlived(keys, NOON + OVERLAP) == []
    assert [each.generation for each in outlived(keys, NOON + OVERLAP + timedelta(milliseconds=1))] == [1]


def test_the_only_key_is_never_outlived() -> None:
    assert outlived([key(1)], NOON + timedelta(days=1000)) == []


def test_only_a_platform_administrator_reaches_past_its_tenant() -> None:
    assert ADMIN.barred == PRIVILEGED
    assert not ADMIN.crosses_tenants
    assert PLATFORM.barred == frozenset()
    assert PLATFORM.crosses_tenants


@pytest.mark.parametrize("secret", ["hash 0 of secret", "private half 7"])
def test_what_is_secret_is_not_shown(secret: str) -> None:
    assert secret not in repr(client(secret_hash=secret))
    assert secret not in repr(key(7))
