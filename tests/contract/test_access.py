"""What the contract promises of its methods, read from its descriptors, against what the code enforces."""

from __future__ import annotations

import filecmp
import importlib
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import clarion
import grpc
import pytest
from clarion.auth.v1 import Role
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from services.access import ACCESS, INTERNAL

ROOT = Path(__file__).parent.parent.parent
AREAS = ("analytics", "auth", "delivery", "device", "events", "notification", "retry", "type")
STATUSES = {code.name for code in grpc.StatusCode}
# FileDescriptorProto.service = 6, ServiceDescriptorProto.method = 2 (google/protobuf/descriptor.proto).
_SERVICE_FIELD, _METHOD_FIELD = 6, 2


@dataclass(frozen=True, kw_only=True)
class Method:
    name: str
    comment: str
    http: bool
    request: str
    response: str

    def __str__(self) -> str:
        return self.name


def described() -> list[FileDescriptorProto]:
    everything = FileDescriptorSet.FromString((files("clarion") / "descriptors.binpb").read_bytes())
    return [file for file in everything.file if file.package.startswith("clarion.")]


def methods() -> list[Method]:
    found = []
    for file in described():
        comments = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}
        for at, service in enumerate(file.service):
            found += [
                Method(
                    name=f"/{file.package}.{service.name}/{method.name}",
                    comment=comments.get((_SERVICE_FIELD, at, _METHOD_FIELD, index), ""),
                    http=method.options.HasExtension(annotations_pb2.http),
                    request=method.input_type,
                    response=method.output_type,
                )
                for index, method in enumerate(service.method)
            ]
    return found


METHODS = methods()


def test_every_method_of_the_contract_has_its_roles_and_no_other_has() -> None:
    assert {method.name for method in METHODS} == set(ACCESS)


def test_no_entry_is_empty_and_every_role_is_one_of_the_contract() -> None:
    roles = {role for allowed in ACCESS.values() for role in allowed}
    known = {name.removeprefix("ROLE_").lower() for name in Role.DESCRIPTOR.values_by_name} - {"unspecified"}
    assert roles <= known
    assert all(ACCESS.values())


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_public_methods_have_an_http_form_and_internal_ones_have_none(method: Method) -> None:
    internal = ACCESS[method.name] == INTERNAL
    assert method.http is not internal
    if not internal:
        assert not ACCESS[method.name] & INTERNAL, "a public method is not for Clarion's own processes"


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_every_methods_comment_names_the_statuses_it_answers(method: Method) -> None:
    assert STATUSES & set(re.findall(r"[A-Z_]{4,}", method.comment))


def test_every_method_has_messages_of_its_own() -> None:
    messages = [name for method in METHODS for name in (method.request, method.response)]
    assert sorted(set(messages)) == sorted(messages)


@pytest.mark.parametrize("area", AREAS)
def test_every_package_exports_its_messages_enums_stubs_and_servicers(area: str) -> None:
    package = importlib.import_module(f"clarion.{area}.v1")
    for file in described():
        if file.package != f"clarion.{area}.v1":
            continue
        names = [message.name for message in file.message_type] + [enum.name for enum in file.enum_type]
        names += [value.name for enum in file.enum_type for value in enum.value]
        for service in file.service:
            names += [f"{service.name}Stub", f"{service.name}Servicer", f"add_{service.name}Servicer_to_server"]
        assert set(names) <= set(package.__all__)
        assert all(hasattr(package, name) for name in names)


def test_there_is_no_package_that_is_not_checked_here() -> None:
    assert {file.package for file in described()} == {f"clarion.{area}.v1" for area in AREAS}


def test_the_installed_stubs_are_those_of_the_contract(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "proto" / "stubs.py"), str(tmp_path)]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    made = {path.relative_to(tmp_path) for path in (tmp_path / "clarion").rglob("*") if path.is_file()}
    installed = Path(next(iter(clarion.__path__))).parent
    _, different, missing = filecmp.cmpfiles(tmp_path, installed, [str(each) for each in made], shallow=False)
    assert not different + missing, "the stubs are stale: run `make stubs`"
