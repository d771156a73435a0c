from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from services.runtime.errors import StartupError
from services.runtime.settings import (
    CallerSettings,
    KafkaSettings,
    MongoSettings,
    PageSettings,
    ProcessSettings,
    RedisSettings,
    SealingSettings,
    VerifierSettings,
    load,
)

if TYPE_CHECKING:
    from pathlib import Path

KEY = base64.b64encode(bytes(32)).decode()


class Everything(
    ProcessSettings,
    MongoSettings,
    RedisSettings,
    KafkaSettings,
    VerifierSettings,
    CallerSettings,
    PageSettings,
    SealingSettings,
):
    """All parts at once, as no service has them."""


GOOD = {
    "CLARION_GRPC_PORT": "50051",
    "CLARION_METRICS_PORT": "9464",
    "CLARION_MONGO_URL": "mongodb://user:hidden@127.0.0.1/",
    "CLARION_REDIS_URL": "redis://:hidden@127.0.0.1/0",
    "CLARION_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
    "CLARION_ISSUER": "http://127.0.0.1:8080",
    "CLARION_CLIENT_ID": "clarion-test",
    "CLARION_CLIENT_SECRET": "hidden",
    "CLARION_PAGE_TOKEN_KEY": "hidden hidden hidden",
    "CLARION_CREDENTIAL_KEY": KEY,
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_every_part_reads_its_variables_with_the_prefix() -> None:
    values = load(Everything)
    assert (values.grpc_port, values.kafka_bootstrap, values.client_id) == (50051, "127.0.0.1:9092", "clarion-test")


def test_everything_that_is_missing_or_wrong_is_said_at_once_with_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLARION_MONGO_URL")
    monkeypatch.setenv("CLARION_GRPC_PORT", "70000")
    monkeypatch.setenv("CLARION_CREDENTIAL_KEY", "short")
    with pytest.raises(StartupError) as caught:
        load(Everything)
    text = str(caught.value)
    assert "CLARION_MONGO_URL: Field required, for example 'mongodb://" in text
    assert "CLARION_GRPC_PORT: " in text
    assert "CLARION_CREDENTIAL_KEY: must be 32 bytes in base64" in text
    assert "\n" not in text
    assert "hidden" not in text


def test_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(load(Everything))
    assert KEY not in repr(load(Everything))


def test_settings_do_not_change() -> None:
    values = load(Everything)
    with pytest.raises(ValueError, match="frozen"):
        values.grpc_port = 1


def test_the_credential_key_is_read_from_its_file_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = base64.b64encode(b"k" * 32).decode()
    file = tmp_path / "key"
    file.write_text(other + "\n")
    monkeypatch.setenv("CLARION_CREDENTIAL_KEY_FILE", str(file))
    assert load(Everything).credential_key.get_secret_value() == other


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"CLARION_CREDENTIAL_KEY": ""}, "is required"),
        ({"CLARION_CREDENTIAL_KEY": "!" * 44}, "must be 32 bytes"),
        ({"CLARION_CREDENTIAL_KEY": base64.b64encode(bytes(31)).decode()}, "must be 32 bytes"),
        ({"CLARION_CREDENTIAL_KEY_FILE": "/nowhere/key"}, "the file /nowhere/key cannot be read"),
    ],
)
def test_what_is_wrong_with_the_credential_key_is_said(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StartupError, match=f"CLARION_CREDENTIAL_KEY: {said}"):
        load(Everything)
