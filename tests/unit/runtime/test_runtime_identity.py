from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from services.access import ACCESS
from services.runtime import identity
from services.runtime.errors import Denied, Unauthenticated
from services.runtime.identity import CACHED_TOKENS, Principal, Verifier, authorize
from services.runtime.settings import VerifierSettings
from tests.serving import AUDIENCE, ISSUER, KEY_ID, Issuer

NOW = 1_800_000_000
NAMED = {"kid": KEY_ID, "typ": "at+jwt"}


class Seconds:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


class Counting(Issuer):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def key(self, key_id: str) -> jwt.PyJWK:
        self.asked += 1
        return await super().key(key_id)

    def timed(self, typ: str = "at+jwt", **claims: object) -> str:
        standard = {"iss": ISSUER, "aud": AUDIENCE, "sub": "tester", "iat": NOW, "exp": NOW + 60}
        own = {"tenant": "acme", "roles": ["sender"]}
        headers = {"kid": KEY_ID, "typ": typ}
        return jwt.encode({**standard, **own, **claims}, self._private, algorithm="ES256", headers=headers)


@pytest.fixture
def issuer() -> Counting:
    return Counting()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def verifier(issuer: Counting, seconds: Seconds) -> Verifier:
    return Verifier(VerifierSettings(issuer=ISSUER, audience=AUDIENCE), issuer, now=seconds)


async def test_a_token_names_its_principal(verifier: Verifier, issuer: Counting) -> None:
    principal = await verifier.verify(issuer.timed())
    assert principal == Principal(subject="tester", tenant="acme", roles=frozenset({"sender"}))


async def test_a_token_is_checked_once_and_remembered_until_it_ends(
    verifier: Verifier, issuer: Counting, seconds: Seconds
) -> None:
    token = issuer.timed()
    for _ in range(3):
        await verifier.verify(token)
    assert issuer.asked == 1
    seconds.now += 60
    with pytest.raises(Unauthenticated, match="expired"):
        await verifier.verify(token)


async def test_what_is_remembered_is_bounded(
    verifier: Verifier, issuer: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "CACHED_TOKENS", 2)
    tokens = [issuer.timed(jti=str(number)) for number in range(4)]
    for token in tokens:
        await verifier.verify(token)
    await verifier.verify(tokens[0])
    assert issuer.asked == 5
    assert CACHED_TOKENS > 1000


@pytest.mark.parametrize(
    "claims",
    [{"aud": "another"}, {"iss": "http://elsewhere.test"}, {"exp": NOW}, {"exp": NOW - 1}, {"aud": ["a", "b"]}],
    ids=str,
)
async def test_a_token_for_others_of_others_or_over_is_refused(
    verifier: Verifier, issuer: Counting, claims: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.timed(**claims))


@pytest.mark.parametrize("typ", ["JWT", "logout+jwt", ""])
async def test_a_jwt_of_another_type_is_refused(verifier: Verifier, issuer: Counting, typ: str) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.timed(typ))


async def test_a_token_of_another_key_is_refused(verifier: Verifier) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.verify(Counting().timed())


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_a_token_that_was_not_signed_with_es256_is_refused(verifier: Verifier, issuer: Counting) -> None:
    header, payload, signature = issuer.timed().split(".")
    public = jwt.PyJWK(issuer.jwk).key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    secret = base64.urlsafe_b64encode(public).decode()
    for forged in (
        f"{part({'alg': 'none', **NAMED})}.{payload}.",
        f"{part({'alg': 'HS256', **NAMED})}.{payload}.{signature}",
        jwt.encode({"sub": "x"}, secret, algorithm="HS256", headers=NAMED),
        f"{header}.{part({'sub': 'root', 'roles': ['platform_admin']})}.{signature}",
        f"{header}.{payload}.",
    ):
        with pytest.raises(Unauthenticated):
            await verifier.verify(forged)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "." * 100, "x" * 5000])
async def test_what_is_no_token_is_refused(verifier: Verifier, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.verify(token)


async def test_a_token_of_an_unknown_key_id_is_refused(verifier: Verifier, issuer: Counting) -> None:
    _, payload, signature = issuer.timed().split(".")
    with pytest.raises(Unauthenticated):
        await verifier.verify(f"{part({'alg': 'ES256', **NAMED, 'kid': 'made-up'})}.{payload}.{signature}")


def principal(*roles: str) -> Principal:
    return Principal(subject="tester", tenant="acme", roles=frozenset(roles))


@pytest.mark.parametrize("method", sorted(ACCESS))
def test_each_method_takes_its_roles_and_no_other(method: str) -> None:
    everyone = {role for allowed in ACCESS.values() for role in allowed}
    for role in everyone:
        if role in ACCESS[method]:
            authorize(principal(role), method, ACCESS)
        else:
            with pytest.raises(Denied):
                authorize(principal(role), method, ACCESS)


def test_a_method_that_the_table_does_not_know_is_for_nobody() -> None:
    with pytest.raises(Denied):
        authorize(principal("platform_admin", "service"), "/clarion.auth.v1.AuthService/Made", ACCESS)


def test_outside_of_a_call_there_is_no_caller() -> None:
    with pytest.raises(Unauthenticated):
        identity.current()
