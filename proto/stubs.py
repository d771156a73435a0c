"""Generates the typed Python stubs of the contract.

Each package `clarion.<area>.v1` re-exports its messages, enums, stubs and servicers, so that callers import
from the package and never from a `_pb2` module.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

if TYPE_CHECKING:
    from collections.abc import Sequence

PROTO_ROOT = Path(__file__).parent


def generate(destination: Path) -> None:
    """Write the package `clarion` and its descriptor set, `clarion/descriptors.binpb`, into `destination`.

    Raises RuntimeError, naming protoc's exit code, if a proto file does not compile.
    """
    package = destination / "clarion"
    package.mkdir(parents=True, exist_ok=True)
    descriptors = package / "descriptors.binpb"
    sources = sorted(path.relative_to(PROTO_ROOT).as_posix() for path in (PROTO_ROOT / "clarion").rglob("*.proto"))
    arguments = [
        "protoc",
        f"--proto_path={PROTO_ROOT}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--proto_path={_googleapis_root()}",
        f"--python_out={destination}",
        f"--grpc_python_out={destination}",
        f"--mypy_out={destination}",
        f"--mypy_grpc_out={destination}",
        f"--plugin=protoc-gen-mypy={_plugin('protoc-gen-mypy')}",
        f"--plugin=protoc-gen-mypy_grpc={_plugin('protoc-gen-mypy_grpc')}",
        f"--descriptor_set_out={descriptors}",
        "--include_imports",
        "--include_source_info",
        *sources,
    ]
    if code := protoc.main(arguments):
        raise RuntimeError(f"protoc failed with exit code {code}")
    described = FileDescriptorSet.FromString(descriptors.read_bytes())
    for name in {Path(source).parent for source in sources}:
        ours = [file for file in described.file if Path(file.name).parent == name]
        (destination / name / "__init__.py").write_text(_exports(ours))
        (destination / name / "py.typed").touch()


def _googleapis_root() -> Path:
    import google.api

    return Path(next(iter(google.api.__path__))).parent.parent


def _plugin(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _exports(described: Sequence[FileDescriptorProto]) -> str:
    lines = ['"""Generated from the contract; do not edit."""', ""]
    exported: list[str] = []
    for file in described:
        module = "." + Path(file.name).stem + "_pb2"
        names = [message.name for message in file.message_type] + [enum.name for enum in file.enum_type]
        names += [value.name for enum in file.enum_type for value in enum.value]
        lines += _import(module, names)
        exported += names
        services = [
            name
            for service in file.service
            for name in (f"{service.name}Stub", f"{service.name}Servicer", f"add_{service.name}Servicer_to_server")
        ]
        lines += _import(module + "_grpc", services)
        exported += services
    return "\n".join([*lines, "", f"__all__ = {sorted(exported)!r}", ""])


def _import(module: str, names: list[str]) -> list[str]:
    return [f"from {module} import {', '.join(sorted(names))}"] if names else []


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
