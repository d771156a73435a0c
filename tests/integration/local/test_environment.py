"""Every process is given an environment that its own settings accept."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING

import pytest

from deploy.local.composition.environment import SERVICES, Service
from deploy.local.composition.topology import ClarionPlanner
from deploy.local.machine.folder import StackFolder
from deploy.local.machine.portbook import PortBook
from services.runtime.settings import ProcessSettings, load

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.local.composition.plan import Plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    elsewhere = {
        "PATH": "",
        "CLARION_MONGO_URL": "mongodb://127.0.0.1:1/",
        "CLARION_REDIS_URL": "redis://127.0.0.1:1/0",
        "CLARION_KAFKA_BOOTSTRAP": "127.0.0.1:1",
    }
    folder = StackFolder(tmp_path / "second")
    folder.prepare()
    return ClarionPlanner(environ=elsewhere)(folder, PortBook(fixed={}, kept={}))


def settings_of(service: Service) -> type[ProcessSettings]:
    module = importlib.import_module(f"services.{service.name}.settings")
    (found,) = (
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, ProcessSettings) and each.__module__ == module.__name__
    )
    return found


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_its_settings_take_what_it_is_given(service: Service, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in plan.environments[service.name].items():
        monkeypatch.setenv(name, value)
    settings = load(settings_of(service))
    assert plan.addresses is not None
    assert f"127.0.0.1:{settings.grpc_port}" == plan.addresses.grpc[service.name]
    assert settings.bind_address == "127.0.0.1"


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_it_is_given_nothing_that_its_settings_do_not_know(service: Service, plan: Plan) -> None:
    """A variable of its own whose name changed in the service would silently do nothing."""
    shared = set.intersection(*(set(each) for each in plan.environments.values()))
    own = set(plan.environments[service.name]) - shared
    known = {f"CLARION_{name.upper()}" for name in settings_of(service).model_fields}
    assert own <= known


def test_a_second_stack_on_engines_that_others_use_keeps_to_names_of_its_own(plan: Plan) -> None:
    variables = plan.environments["notification"]
    assert variables["CLARION_MONGO_DATABASE"] == "clarion-second"
    assert variables["CLARION_TOPIC_PREFIX"] == "second."
