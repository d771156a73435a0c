"""Where the auth service is put together."""

from __future__ import annotations

import secrets
import time
import uuid
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clarion.auth.v1 import add_AuthServiceServicer_to_server

from services.access import ACCESS
from services.auth.adapters import mongo as repositories
from services.auth.adapters.argon2 import Argon2
from services.auth.adapters.es256 import Es256
from services.auth.adapters.local_keys import LocalKeys
from services.auth.api import AuthApi
from services.auth.attempts import Attempts
from services.auth.http import Endpoints, bound
from services.auth.keyring import Keyring
from services.auth.registration import Registrar, read
from services.auth.service import Administration
from services.auth.tokens import Tokens
from services.runtime import mongo
from services.runtime.clock import utc_now
from services.runtime.identity import Verifier
from services.runtime.pages import PageTokens
from services.runtime.sealing import Sealer

if TYPE_CHECKING:
    from services.auth.settings import Settings
    from services.runtime.process import Process


async def build(process: Process[Settings]) -> None:
    """Connect the parts of one auth process."""
    settings = process.settings
    database = await process.open(mongo.opened(settings))
    await repositories.create_indexes(database)
    clients = repositories.MongoClients(database)
    hashing = Argon2()
    keyring = Keyring(
        repositories.MongoSigningKeys(database, Sealer(settings)),
        Es256(),
        publish_for=timedelta(seconds=settings.key_publish_seconds),
        clock=utc_now,
        new_id=_new_id,
    )
    await keyring.load()
    process.work("keyring", keyring.run, stop=keyring.stop)
    if settings.bootstrap_clients_file:
        registrar = Registrar(clients=clients, hashing=hashing, clock=utc_now, new_id=_new_id)
        await registrar.register(read(Path(settings.bootstrap_clients_file)))
    tokens = Tokens(
        issuer=settings.issuer,
        audience=settings.audience,
        token_seconds=settings.token_seconds,
        clients=clients,
        hashing=hashing,
        decoy_hash=await hashing.hash(_new_secret()),
        attempts=Attempts(now=time.monotonic),
        keyring=keyring,
        clock=utc_now,
        new_id=_new_id,
    )
    administration = Administration(
        clients=clients,
        audit=repositories.MongoAuditLog(database),
        hashing=hashing,
        clock=utc_now,
        new_id=_new_id,
        new_secret=_new_secret,
    )
    api = AuthApi(administration, keyring, PageTokens(settings))
    process.serve({"clarion.auth.v1.AuthService": partial(add_AuthServiceServicer_to_server, api)})
    process.admit(Verifier(settings, LocalKeys(keyring)), ACCESS)
    endpoints = Endpoints(issuer=settings.issuer, tokens=tokens, keyring=keyring)
    server = await process.open(
        bound(endpoints.application(), address=settings.bind_address, port=settings.auth_http_port)
    )
    process.work("http", server.run, stop=server.stop)


def _new_id() -> str:
    return uuid.uuid4().hex


def _new_secret() -> str:
    return secrets.token_urlsafe(32)
