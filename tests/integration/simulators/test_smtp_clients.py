"""The mail server, judged by smtplib."""

from __future__ import annotations

import asyncio
import email.policy
import smtplib
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import pytest

from services.simulators.script import Action, Fault, Limit, Scope, Script, Stage

if TYPE_CHECKING:
    from services.simulators.testing import RunningSimulators


def mail(to: str = "ann@example.com") -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"], message["Subject"] = "clarion@example.org", to, "Grüße"
    message["List-Unsubscribe"] = "<https://example.org/u/1>"
    message.set_content("plain täxt\n.dot\n")
    message.add_alternative("<p>html</p>", subtype="html")
    return message


def submit(simulators: RunningSimulators, *messages: EmailMessage, login: bool = True) -> list[Any]:
    account = simulators.smtp_account
    with smtplib.SMTP(simulators.smtp.host, simulators.smtp.port, timeout=10) as client:
        client.starttls(context=simulators.client_context())
        if login:
            client.login(account.username, account.password)
        return [client.send_message(message) for message in messages]


async def test_smtplib_submits_and_the_mail_is_parsed(simulators: RunningSimulators) -> None:
    assert await asyncio.to_thread(submit, simulators, mail(), mail("bob@example.com")) == [{}, {}]
    [kept] = simulators.smtp.ledger.messages("ann@example.com")
    assert kept.content["text"] == "plain täxt\r\n.dot\r\n"
    assert kept.content["html"] == "<p>html</p>\r\n"
    headers: Any = kept.content["headers"]
    assert ["Subject", "Grüße"] in headers
    assert ["List-Unsubscribe", "<https://example.org/u/1>"] in headers
    assert kept.content["username"] == "clarion"
    assert simulators.smtp.counts() == {"accepted": 2}


async def test_smtplib_is_not_served_without_login_or_tls(simulators: RunningSimulators) -> None:
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        await asyncio.to_thread(submit, simulators, mail(), login=False)
    assert (refused.value.smtp_code, refused.value.smtp_error[:5]) == (530, b"5.7.0")

    def plain() -> tuple[int, bytes]:
        with smtplib.SMTP(simulators.smtp.host, simulators.smtp.port, timeout=10) as client:
            client.ehlo()
            assert not client.has_extn("auth")
            return client.mail("clarion@example.org")

    code, reply = await asyncio.to_thread(plain)
    assert (code, reply[:5]) == (530, b"5.7.0")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_smtplib_logs_in_either_way_and_not_with_a_wrong_password(
    simulators: RunningSimulators, mechanism: str
) -> None:
    def attempt(password: str) -> tuple[int, bytes]:
        with smtplib.SMTP(simulators.smtp.host, simulators.smtp.port, timeout=10) as client:
            client.starttls(context=simulators.client_context())
            client.ehlo()
            client.user, client.password = simulators.smtp_account.username, password
            return client.auth(mechanism, getattr(client, f"auth_{mechanism.lower()}"))

    assert (await asyncio.to_thread(attempt, simulators.smtp_account.password))[0] == 235
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        await asyncio.to_thread(attempt, "wrong")
    assert (refused.value.smtp_code, refused.value.smtp_error[:5]) == (535, b"5.7.8")


@pytest.mark.parametrize(
    "reply",
    [
        "450 4.2.0 Mailbox busy", "451 4.3.0 Local error", "452 4.3.1 Insufficient storage",
        "550 5.1.1 User unknown", "552 5.2.2 Mailbox full", "550 5.7.1 Rejected by policy",
        "553 5.1.3 Bad address",
    ],
)  # fmt: skip
async def test_smtplib_gets_the_scripted_reply_for_one_recipient(simulators: RunningSimulators, reply: str) -> None:
    await simulators.smtp.play(Script(faults=(Fault(match="bob@example.com", error=reply),)))
    [refused] = await asyncio.to_thread(submit, simulators, mail("ann@example.com, bob@example.com"))
    assert refused == {"bob@example.com": (int(reply[:3]), reply[4:].encode())}
    assert simulators.smtp.counts() == {"accepted": 1, " ".join(reply.split()[:2]): 1}


@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.MAIL, Stage.RCPT, Stage.DATA])
async def test_421_closes_the_channel(simulators: RunningSimulators, stage: Stage) -> None:
    await simulators.smtp.play(Script(faults=(Fault(stage=stage, error="421 4.3.2 Shutting down"),)))
    with pytest.raises(smtplib.SMTPException) as refused:
        await asyncio.to_thread(submit, simulators, mail())
    assert "421" in str(refused.value)
    assert simulators.smtp.ledger.accepted == 0


@pytest.mark.parametrize("deliver", [True, False])
async def test_the_connection_may_be_lost_after_the_final_dot(simulators: RunningSimulators, deliver: bool) -> None:
    fault = Fault(stage=Stage.DATA, action=Action.DROP, deliver=deliver)
    await simulators.smtp.play(Script(faults=(fault,)))
    with pytest.raises(smtplib.SMTPServerDisconnected):
        await asyncio.to_thread(submit, simulators, mail())
    assert simulators.smtp.ledger.accepted == int(deliver)


async def test_a_greylisted_sender_is_let_in_later(simulators: RunningSimulators, clock: Any) -> None:
    await simulators.smtp.play(Script(greylist_seconds=60))
    for ahead in (0, 30):
        clock.ahead = ahead
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            await asyncio.to_thread(submit, simulators, mail())
        assert refused.value.recipients["ann@example.com"][0] == 450
    clock.ahead = 61
    assert await asyncio.to_thread(submit, simulators, mail()) == [{}]


async def test_a_mail_above_the_size_limit_is_refused(simulators: RunningSimulators) -> None:
    large = mail()
    large.add_attachment(b"x" * 10_485_760, maintype="application", subtype="octet-stream", filename="x.bin")
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        await asyncio.to_thread(submit, simulators, large)
    assert (refused.value.smtp_code, refused.value.smtp_error[:5]) == (552, b"5.3.4")


async def test_a_user_is_slowed_down_above_the_limit(simulators: RunningSimulators) -> None:
    limit = Limit(requests=1, window_seconds=60, scope=Scope.ACCOUNT)
    await simulators.smtp.play(Script(limits=(limit,)))
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        await asyncio.to_thread(submit, simulators, mail(), mail())
    assert refused.value.recipients["ann@example.com"][0] == 450
    assert simulators.smtp.ledger.accepted == 1
