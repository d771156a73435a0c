from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.runtime.errors import PreconditionFailed
from services.runtime.sealing import Sealer
from services.runtime.settings import SealingSettings


def sealer(letter: bytes = b"k") -> Sealer:
    key = SecretStr(base64.b64encode(letter * 32).decode())
    return Sealer(SealingSettings(credential_key_file="", credential_key=key))


SEALER = sealer()


@given(secret=st.binary(max_size=500), context=st.binary(max_size=50))
def test_what_is_sealed_opens_again_and_does_not_show(secret: bytes, context: bytes) -> None:
    sealed = SEALER.seal(secret, context)
    assert SEALER.open(sealed, context) == secret
    assert len(secret) < 8 or secret not in sealed


@given(secret=st.binary(max_size=50), data=st.data())
def test_what_was_altered_does_not_open(secret: bytes, data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(secret, b"context"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PreconditionFailed):
        SEALER.open(bytes(sealed), b"context")


@given(sealed=st.binary(max_size=100))
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(PreconditionFailed):
        SEALER.open(sealed, b"context")


def test_it_opens_neither_elsewhere_nor_with_another_key() -> None:
    sealed = SEALER.seal(b"secret", b"accounts/1")
    with pytest.raises(PreconditionFailed):
        SEALER.open(sealed, b"accounts/2")
    with pytest.raises(PreconditionFailed, match="another CLARION_CREDENTIAL_KEY"):
        sealer(b"x").open(sealed, b"accounts/1")


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    assert SEALER.seal(b"secret", b"") != SEALER.seal(b"secret", b"")
