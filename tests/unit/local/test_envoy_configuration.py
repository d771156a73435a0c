"""What the stack's Envoy is told."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.local.composition.envoy import bootstrap

_GOLDEN = Path(__file__).with_name("golden") / "envoy.json"


def test_the_configuration_is_the_golden_one() -> None:
    built = json.loads(bootstrap(listen=15001, services={"notification": 20002, "auth": 20001}))
    assert built == json.loads(_GOLDEN.read_text())


def test_no_route_retries_or_ends_a_call_that_lasts() -> None:
    built = json.loads(bootstrap(listen=15001, services={"auth": 20001}))
    (listener,) = built["staticResources"]["listeners"]
    manager = listener["filterChains"][0]["filters"][0]["typedConfig"]
    (route,) = manager["routeConfig"]["virtualHosts"][0]["routes"]
    assert "retryPolicy" not in route["route"]
    assert route["route"]["timeout"] == "0s"
    assert manager["streamIdleTimeout"] == "0s"


def test_it_listens_on_loopback_only() -> None:
    built = json.loads(bootstrap(listen=15001, services={"auth": 20001}))
    (listener,) = built["staticResources"]["listeners"]
    assert listener["address"]["socketAddress"] == {"address": "127.0.0.1", "portValue": 15001}
