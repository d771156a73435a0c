from __future__ import annotations

import asyncio
import json
import os
import smtplib
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import jwt
import pytest

from deploy.local.machine.ports import free_ports
from services.simulators.certificates import issue_server_certificate
from services.simulators.credentials import ApnsKey, Credentials, ServiceAccount, SmsAccount, SmtpAccount
from tests.integration.simulators.http2_client import http2_client

if TYPE_CHECKING:
    from asyncio.subprocess import Process

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("GRPC", "METRICS", "SIM_FCM", "SIM_APNS", "SIM_SMS", "SIM_SMTP", "SIM_INSPECT")


async def start(environment: dict[str, str]) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.simulators",
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def environment(folder: Path) -> dict[str, str]:
    certificate = issue_server_certificate(folder)
    ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
    return {
        **{f"CLARION_{name}_PORT": str(port) for name, port in ports.items()},
        "CLARION_SIM_CERT_FILE": str(certificate.cert_file),
        "CLARION_SIM_KEY_FILE": str(certificate.key_file),
    }


async def until_logged(process: Process, event: str) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        async for line in process.stdout:
            record: dict[str, Any] = json.loads(line)
            if record["event"] == event:
                return record
    raise AssertionError(f"{event} was never logged")


@dataclass(frozen=True)
class Customer:
    """Someone with an account at every peer."""

    firebase: ServiceAccount
    apple: ApnsKey
    sms: SmsAccount
    mail: SmtpAccount
    ca_file: Path

    def credentials(self) -> str:
        return Credentials(
            fcm=(self.firebase.project(),), apns=(self.apple.team(),), sms=(self.sms,), smtp=(self.mail,)
        ).model_dump_json()

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))

    async def push_by_fcm(self, port: int, http: aiohttp.ClientSession) -> int:
        url = f"https://127.0.0.1:{port}"
        now = int(time.time())
        claims = {"iss": self.firebase.client_email, "aud": f"{url}/token", "iat": now, "exp": now + 60}
        scope = {"scope": "https://www.googleapis.com/auth/firebase.messaging"}
        signed = jwt.encode({**claims, **scope}, self.firebase.private_key, algorithm="RS256")
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed}
        async with http.post(f"{url}/token", data=form) as answer:
            token = (await answer.json())["access_token"]
        message = {"message": {"token": "device-token-0001"}}
        headers = {"authorization": f"Bearer {token}"}
        path = f"/v1/projects/{self.firebase.project_id}/messages:send"
        async with http.post(url + path, json=message, headers=headers) as answer:
            return answer.status

    async def push_by_apns(self, port: int) -> int:
        signed = jwt.encode(
            {"iss": self.apple.team_id, "iat": int(time.time())},
            self.apple.private_key,
            algorithm="ES256",
            headers={"kid": self.apple.key_id},
        )
        head = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "api.push.apple.com"),
            (":path", f"/3/device/{'ab' * 32}"),
            ("authorization", f"bearer {signed}"),
            ("apns-topic", self.apple.topic),
        ]
        async with http2_client("127.0.0.1", port, self.context()) as client:
            return (await client.send(head, b'{"aps": {}}')).status

    async def text(self, port: int, http: aiohttp.ClientSession) -> int:
        url = f"https://127.0.0.1:{port}/2010-04-01/Accounts/{self.sms.account_sid}/Messages.json"
        form = {"To": "+15005550010", "From": self.sms.numbers[0], "Body": "hello"}
        async with http.post(url, data=form, headers={"authorization": self.sms.authorization()}) as answer:
            return answer.status

    def mail_to(self, port: int) -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.starttls(context=self.context())
            client.login(self.mail.username, self.mail.password)
            return client.sendmail("clarion@example.org", ["ann@example.com"], b"Subject: x\r\n\r\nhello\r\n")


@pytest.fixture
def customer(tmp_path: Path) -> Customer:
    return Customer(
        firebase=ServiceAccount.generate(project_id="from-file"),
        apple=ApnsKey.generate(team_id="TEAM123456", key_id="KEY1234567", topic="org.clarion.app"),
        sms=SmsAccount.generate(number="+15005550006"),
        mail=SmtpAccount.generate(username="from-file"),
        ca_file=tmp_path / "simulators-ca.pem",
    )


async def test_the_process_serves_all_peers_and_ends_on_sigterm(tmp_path: Path, customer: Customer) -> None:
    # The process runs on uvloop and these tests do not, so every protocol is spoken here once more.
    credentials = tmp_path / "credentials.json"
    credentials.write_text(customer.credentials())
    values = environment(tmp_path)
    process = await start({**values, "CLARION_SIM_CREDENTIALS_FILE": str(credentials)})
    try:
        ports = await until_logged(process, "simulators_listening")
        assert str(ports["smtp"]) == values["CLARION_SIM_SMTP_PORT"]
        connector = aiohttp.TCPConnector(ssl=customer.context())
        async with aiohttp.ClientSession(connector=connector) as http:
            assert await customer.push_by_fcm(ports["fcm"], http) == 200
            assert await customer.push_by_apns(ports["apns"]) == 200
            assert await customer.text(ports["sms"], http) == 201
            assert await asyncio.to_thread(customer.mail_to, ports["smtp"]) == {}
            inspect = f"http://127.0.0.1:{ports['inspect']}"
            async with http.get(f"{inspect}/counts") as answer:
                assert await answer.json() == {peer: {"accepted": 1} for peer in ("fcm", "apns", "sms", "smtp")}
            lost = {"faults": [{"stage": "connect", "action": "drop"}]}
            async with http.post(f"{inspect}/smtp/script", json=lost) as answer:
                assert answer.status == 204
            with pytest.raises(smtplib.SMTPServerDisconnected):
                await asyncio.to_thread(customer.mail_to, ports["smtp"])
        process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        assert (process.returncode, errors) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_the_process_says_what_is_missing(tmp_path: Path) -> None:
    values = environment(tmp_path)
    del values["CLARION_SIM_FCM_PORT"]
    values["CLARION_SIM_APNS_PORT"] = "many"
    process = await start(values)
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert b"CLARION_SIM_FCM_PORT" in errors
    assert b"CLARION_SIM_APNS_PORT" in errors


async def test_wrong_credentials_are_named(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials.json"
    credentials.write_text('{"smtp": [{"username": "x"}]}')
    process = await start({**environment(tmp_path), "CLARION_SIM_CREDENTIALS_FILE": str(credentials)})
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert b"smtp.0.password" in errors
