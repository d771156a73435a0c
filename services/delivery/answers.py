"""Answers: the domain in the contract's words. Secrets are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clarion.delivery.v1 import (
    ApnsCredentials,
    Attempt,
    DeliverResult,
    Delivery,
    FcmCredentials,
    Provider,
    ProviderAccount,
    ProviderHealth,
    SmtpCredentials,
    TwilioCredentials,
)
from clarion.type.v1 import Channel, DeliveryState

from services.delivery import credentials

if TYPE_CHECKING:
    from services.delivery import domain, health
    from services.delivery.message import ProviderName


def result(given: domain.Result) -> DeliverResult:
    """What became of one item."""
    answer = DeliverResult(delivery_id=given.delivery_id, state=_state(given.state), reason=given.reason)
    if given.due_at is not None:
        answer.due_time.FromDatetime(given.due_at)
    return answer


def delivery(given: domain.Delivery) -> Delivery:
    """One record."""
    answer = Delivery(
        delivery_id=given.delivery_id,
        notification_id=given.notification_id,
        user_id=given.user_id,
        channel=Channel.Value(f"CHANNEL_{given.channel}") if given.channel else Channel.CHANNEL_UNSPECIFIED,
        provider=_provider(given.provider) if given.provider else Provider.PROVIDER_UNSPECIFIED,
        state=_state(given.state),
        reason=given.reason,
        provider_message_id=given.provider_message_id,
        attempts=[_attempt(each) for each in given.attempts],
    )
    answer.create_time.FromDatetime(given.created_at)
    answer.update_time.FromDatetime(given.updated_at)
    if given.due_at is not None:
        answer.due_time.FromDatetime(given.due_at)
    return answer


def provider_health(given: health.ProviderHealth) -> ProviderHealth:
    """How one provider did."""
    answer = ProviderHealth(
        provider=_provider(given.provider),
        succeeded=given.succeeded,
        failed_permanently=given.failed_permanently,
        failed_transiently=given.failed_transiently,
    )
    if given.last_success_at is not None:
        answer.last_success_time.FromDatetime(given.last_success_at)
    return answer


def account(given: credentials.Account) -> ProviderAccount:
    """One account without its secret."""
    answer = ProviderAccount(provider_account_id=given.account_id, app=given.app)
    answer.create_time.FromDatetime(given.created_at)
    match given.credentials:
        case credentials.FcmCredentials() as fcm:
            answer.fcm.CopyFrom(FcmCredentials(project_id=fcm.project_id))
        case credentials.ApnsCredentials() as apns:
            answer.apns.CopyFrom(
                ApnsCredentials(team_id=apns.team_id, key_id=apns.key_id, topic=apns.topic, sandbox=apns.sandbox)
            )
        case credentials.TwilioCredentials() as twilio:
            answer.twilio.CopyFrom(TwilioCredentials(account_sid=twilio.account_sid, sender=twilio.sender))
        case credentials.SmtpCredentials() as smtp:
            answer.smtp.CopyFrom(
                SmtpCredentials(
                    host=smtp.host,
                    port=smtp.port,
                    username=smtp.username,
                    from_address=smtp.from_address,
                    from_name=smtp.from_name,
                )
            )
    return answer


def _attempt(given: domain.Attempt) -> Attempt:
    answer = Attempt(provider_code=given.code, state=_state(given.state))
    answer.time.FromDatetime(given.time)
    return answer


def _state(state: domain.State) -> DeliveryState.ValueType:
    return DeliveryState.Value(f"DELIVERY_STATE_{state}")


def _provider(provider: ProviderName) -> Provider.ValueType:
    return Provider.Value(f"PROVIDER_{provider}")
