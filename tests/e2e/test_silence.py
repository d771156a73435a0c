"""Last of all: what the whole run has logged, counted and traced repeats nothing personal and nothing secret."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
from clarion.notification.v1 import ListNotificationsRequest

from deploy.local.demo.letters import Peer
from deploy.local.demo.waiting import until
from tests.e2e.refusals import refusal
from tests.e2e.world import phone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.local.demo.tenant import Metadata
    from tests.e2e.collector import Collector
    from tests.e2e.world import World

SERVICES = ("auth", "notification", "device", "delivery", "processor", "retry", "analytics")


async def test_a_token_that_was_valid_is_refused_once_it_has_expired(world: World, short_lived: Metadata) -> None:
    token = short_lived[0][1].removeprefix("Bearer ")
    expires = jwt.decode(token, options={"verify_signature": False})["exp"]
    listing = world.tenant.notifications.ListNotifications
    if time.time() < expires - 1:
        assert await world.call(listing, ListNotificationsRequest(), metadata=short_lived) is not None

    async def expired() -> bool:
        return bool(time.time() > expires)

    assert await until(expired, seconds=70)
    for stub in (listing, listing):
        no = await refusal(world.call(stub, ListNotificationsRequest(), metadata=short_lived))
        assert no.code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("service", SERVICES)
def test_every_line_of_a_services_log_is_json_with_an_event(world: World, service: str) -> None:
    lines = _lines(world, service)
    assert lines
    for line in lines:
        assert {"event", "level", "timestamp", "service"} <= line.keys(), line
        assert line["service"] == service


async def test_lines_about_a_call_carry_tenant_and_trace(world: World) -> None:
    _, content = world.content(Peer.SMS)
    await world.send(phone(world.stranger().phone), content=content)
    served = [
        line
        for line in _lines(world, "notification")
        if line["event"] == "call_served" and line["code"] == "OK" and "SendNotification" in line["method"]
    ]
    assert served
    assert {line["tenant"] for line in served} >= {"demo"}
    assert all(len(line["trace_id"]) == 32 for line in served)


def test_no_log_repeats_what_it_must_not(world: World) -> None:
    for log in sorted(world.stack.folder.logs.iterdir()):
        assert _repeated(world, log.read_text(errors="replace")) == [], f"in {log.name}"


async def test_no_metric_repeats_what_it_must_not(world: World) -> None:
    for service, url in world.stack.addresses.metrics.items():
        async with world.http.get(url) as answer:
            text = await answer.text()
        assert _repeated(world, text) == [], f"in the metrics of {service}"
        assert "demo" not in text, "a tenant is no label: there can be any number of them"


def test_no_span_repeats_what_it_must_not(world: World, collector: Collector) -> None:
    spans = collector.spans()
    assert len(spans) > 100
    assert _repeated(world, "\n".join(f"{span.name} {span.attributes}" for span in spans)) == []


def _repeated(world: World, text: str) -> list[str]:
    return sorted(secret for secret in world.secrets if secret in text)


def _lines(world: World, service: str) -> list[dict[str, Any]]:
    return list(_parsed(world.stack.folder.log(service).read_text().splitlines()))


def _parsed(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            pytest.fail(f"not JSON: {line[:300]}")
