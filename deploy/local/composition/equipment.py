"""What the demo tenant of a fresh stack is given: an account at each provider peer, so that a first call delivers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import aiohttp
import grpc
from pydantic import ValidationError

from deploy.local.composition.credentials import kept
from deploy.local.demo.providers import Accounts
from deploy.local.demo.tenant import CALL_SECONDS, access_token, bearer, connected
from deploy.local.problem import Problem
from services.simulators.credentials import ApnsKey, ServiceAccount, SmsAccount, SmtpAccount

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.local.composition.plan import Plan

_APP = "parcels"
_NEEDED = frozenset({"auth", "delivery"})


def demo_accounts(secrets: Path) -> Accounts:
    """Read the demo tenant's accounts, making them up where there are none. Raises Problem."""
    file = kept(secrets / "demo-accounts.json", _made_up)
    try:
        stored = json.loads(file.read_bytes())
        return Accounts(
            fcm=ServiceAccount.model_validate(stored["fcm"]),
            apns=ApnsKey.model_validate(stored["apns"]),
            sms=SmsAccount.model_validate(stored["sms"]),
            smtp=SmtpAccount.model_validate(stored["smtp"]),
        )
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as exc:
        raise Problem(f"{file} cannot be read", remedy="remove that file and try again") from exc


def known_to_peers(accounts: Accounts) -> str:
    """Write what the provider peers are told of them at their start."""
    return json.dumps(
        {
            "fcm": [accounts.fcm.project().model_dump(mode="json")],
            "apns": [accounts.apns.team().model_dump(mode="json")],
            "sms": [accounts.sms.model_dump(mode="json")],
            "smtp": [accounts.smtp.model_dump(mode="json")],
        }
    )


async def equip(plan: Plan, accounts: Accounts) -> None:
    """Store the accounts for the demo tenant, unless that was done before. Raises Problem."""
    if plan.addresses is None or plan.secrets is None or not {spec.name for spec in plan.specs} >= _NEEDED:
        return
    demo = plan.secrets.demo
    try:
        token = await access_token(plan.addresses.auth_url, demo.client_id, demo.client_secret)
        async with connected(plan.addresses, bearer(token)) as tenant:
            for request in accounts.requests(app=_APP, addresses=plan.addresses):
                try:
                    await tenant.deliveries.CreateProviderAccount(
                        request, metadata=tenant.metadata, timeout=CALL_SECONDS
                    )
                except grpc.aio.AioRpcError as exc:
                    if exc.code() is not grpc.StatusCode.ALREADY_EXISTS:
                        raise
    except (grpc.aio.AioRpcError, aiohttp.ClientError, TimeoutError) as exc:
        said = exc.details() if isinstance(exc, grpc.aio.AioRpcError) else str(exc)
        raise Problem(
            f"the demo tenant was not given its provider accounts ({said})", remedy="see `clarion logs delivery`"
        ) from exc


def _made_up() -> str:
    accounts = Accounts.generate("local")
    parts = {"fcm": accounts.fcm, "apns": accounts.apns, "sms": accounts.sms, "smtp": accounts.smtp}
    return json.dumps({name: part.model_dump(mode="json") for name, part in parts.items()})
