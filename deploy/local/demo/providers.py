"""The tenant's accounts at the four providers: known to the simulators, and stored with Clarion."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clarion.delivery.v1 import (
    ApnsCredentials,
    CreateProviderAccountRequest,
    FcmCredentials,
    ProviderAccount,
    SmtpCredentials,
    TwilioCredentials,
)

from deploy.local.demo.tenant import CALL_SECONDS
from services.simulators.credentials import ApnsKey, ServiceAccount, SmsAccount, SmtpAccount

if TYPE_CHECKING:
    from deploy.local.composition.plan import Addresses
    from deploy.local.demo.ledger import Ledgers
    from deploy.local.demo.tenant import Tenant

SMS_SENDER = "+15005550006"
MAIL_SENDER = "parcels@example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """One account at each provider, as the provider handed it out."""

    fcm: ServiceAccount
    apns: ApnsKey
    sms: SmsAccount
    smtp: SmtpAccount

    @classmethod
    def generate(cls, name: str) -> Accounts:
        """Make up new ones; `name` keeps several tenants apart: lower-case letters."""
        return cls(
            fcm=ServiceAccount.generate(project_id=f"clarion-{name}"),
            apns=ApnsKey.generate(
                team_id=f"{name.upper():X<10.10}", key_id=f"{name.upper():K<10.10}", topic=f"com.example.{name}"
            ),
            sms=SmsAccount.generate(number=SMS_SENDER),
            smtp=SmtpAccount.generate(username=f"{name}@example.com"),
        )

    async def register(self, ledgers: Ledgers) -> None:
        """Make them known to the simulators."""
        await ledgers.register("fcm/projects", self.fcm.project().model_dump_json())
        await ledgers.register("apns/teams", self.apns.team().model_dump_json())
        await ledgers.register("sms/accounts", self.sms.model_dump_json())
        await ledgers.register("smtp/accounts", self.smtp.model_dump_json())

    def requests(self, *, app: str, addresses: Addresses, prefix: str = "") -> list[CreateProviderAccountRequest]:
        """What stores them with Clarion; the push accounts serve this app, and every id begins with `prefix`."""
        key_file = self.fcm.google_json(token_uri=f"https://127.0.0.1:{addresses.peer_ports['fcm']}/token")
        fcm = FcmCredentials(project_id=self.fcm.project_id, service_account_json=json.dumps(key_file))
        apns = ApnsCredentials(
            team_id=self.apns.team_id,
            key_id=self.apns.key_id,
            signing_key_pem=self.apns.private_key,
            topic=self.apns.topic,
        )
        twilio = TwilioCredentials(account_sid=self.sms.account_sid, auth_token=self.sms.auth_token, sender=SMS_SENDER)
        smtp = SmtpCredentials(
            username=self.smtp.username, password=self.smtp.password, from_address=MAIL_SENDER, from_name="Parcels"
        )
        accounts = (
            ProviderAccount(provider_account_id=f"{prefix}fcm", app=app, fcm=fcm),
            ProviderAccount(provider_account_id=f"{prefix}apns", app=app, apns=apns),
            ProviderAccount(provider_account_id=f"{prefix}twilio", twilio=twilio),
            ProviderAccount(provider_account_id=f"{prefix}smtp", smtp=smtp),
        )
        return [CreateProviderAccountRequest(provider_account=each) for each in accounts]

    async def store(self, tenant: Tenant, *, app: str, addresses: Addresses, prefix: str) -> None:
        """Store them with Clarion."""
        for request in self.requests(app=app, addresses=addresses, prefix=prefix):
            await tenant.deliveries.CreateProviderAccount(request, metadata=tenant.metadata, timeout=CALL_SECONDS)
