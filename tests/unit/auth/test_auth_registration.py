from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from services.auth.domain import Role
from services.auth.registration import Registrar, read
from services.runtime.errors import AlreadyExists, StartupError
from tests.unit.auth.builders import Clock, client, numbered
from tests.unit.auth.fakes import MemoryClients, MemoryStore, QuickHashing

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "a secret of some length"
SHOP = {"client_id": "shop", "client_secret": SECRET, "tenant": "acme", "roles": ["sender"], "display_name": "the shop"}


def written(tmp_path: Path, *entries: object) -> Path:
    file = tmp_path / "clients.json"
    file.write_text(json.dumps(list(entries)))
    return file


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def hashing() -> QuickHashing:
    return QuickHashing()


@pytest.fixture
def registrar(store: MemoryStore, hashing: QuickHashing) -> Registrar:
    return Registrar(clients=MemoryClients(store), hashing=hashing, clock=Clock(), new_id=numbered("entry"))


async def test_a_missing_client_is_registered_and_audited(
    registrar: Registrar, store: MemoryStore, tmp_path: Path
) -> None:
    await registrar.register(read(written(tmp_path, SHOP)))
    shop = store.clients["shop"]
    assert (shop.tenant, shop.roles, shop.display_name) == ("acme", frozenset({Role.SENDER}), "the shop")
    assert [(entry.actor, entry.action) for entry in store.audit] == [("bootstrap", "client.create")]


async def test_what_is_the_same_is_left_alone(
    registrar: Registrar, store: MemoryStore, hashing: QuickHashing, tmp_path: Path
) -> None:
    for _ in range(3):
        await registrar.register(read(written(tmp_path, SHOP)))
    assert len(hashing.hashed) == 1
    assert len(store.audit) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "globex"},
        {"roles": ["sender", "viewer"]},
        {"display_name": "another"},
        {"client_secret": "another secret of some length"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_differs_is_replaced(
    registrar: Registrar, store: MemoryStore, tmp_path: Path, change: dict[str, Any]
) -> None:
    await registrar.register(read(written(tmp_path, SHOP)))
    before = store.clients["shop"]
    await registrar.register(read(written(tmp_path, SHOP | change)))
    assert store.clients["shop"] != before
    assert store.clients["shop"].created_at == before.created_at
    assert store.audit[-1].action == "client.update"


async def test_clients_that_the_file_does_not_name_are_not_touched(
    registrar: Registrar, store: MemoryStore, tmp_path: Path
) -> None:
    store.clients["other"] = client("other")
    await registrar.register(read(written(tmp_path, SHOP)))
    assert store.clients["other"] == client("other")


async def test_a_replica_that_was_faster_is_no_error(store: MemoryStore, tmp_path: Path) -> None:
    class Overtaken(MemoryClients):
        async def add(self, *args: object) -> None:
            raise AlreadyExists

    registrar = Registrar(clients=Overtaken(store), hashing=QuickHashing(), clock=Clock(), new_id=numbered("entry"))
    await registrar.register(read(written(tmp_path, SHOP)))
    assert store.audit == []


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        (SHOP | {"client_id": "has space"}, "[0].client_id"),
        (SHOP | {"client_id": 7}, "[0].client_id"),
        (SHOP | {"tenant": ""}, "[0].tenant"),
        (SHOP | {"client_secret": "short"}, "[0].client_secret"),
        (SHOP | {"roles": ["king"]}, "[0].roles"),
        (SHOP | {"roles": []}, "[0].roles"),
        (SHOP | {"roles": [["sender"]]}, "[0].roles"),
        (SHOP | {"display_name": "x" * 201}, "[0].display_name"),
        ("not an object", "[0].client_id"),
    ],
)
def test_what_is_wrong_with_the_file_is_named_in_one_line_without_secrets(
    tmp_path: Path, entry: object, named: str
) -> None:
    with pytest.raises(StartupError) as caught:
        read(written(tmp_path, entry))
    text = str(caught.value)
    assert "CLARION_BOOTSTRAP_CLIENTS_FILE" in text
    assert named in text
    assert "\n" not in text
    assert SECRET not in text


def test_a_client_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="twice"):
        read(written(tmp_path, SHOP, SHOP))


@pytest.mark.parametrize("text", ["{", "{}", ""])
def test_a_file_that_is_not_a_list_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "clients.json"
    file.write_text(text)
    with pytest.raises(StartupError, match="CLARION_BOOTSTRAP_CLIENTS_FILE"):
        read(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="FileNotFoundError"):
        read(tmp_path / "absent.json")
