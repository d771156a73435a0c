"""Parts of the contract that are not served yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import grpc

from services.runtime.errors import Unimplemented

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.descriptor import ServiceDescriptor

    from services.runtime.server import Add


def unserved(service: ServiceDescriptor) -> Add:
    """A servicer whose every method answers UNIMPLEMENTED to who may call it."""
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        method.name: grpc.unary_stream_rpc_method_handler(_stream)
        if method.server_streaming
        else grpc.unary_unary_rpc_method_handler(_unary)
        for method in service.methods
    }
    generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
    return lambda server: server.add_generic_rpc_handlers((generic,))


async def _unary(request: bytes, context: object) -> NoReturn:
    raise Unimplemented


async def _stream(request: bytes, context: object) -> AsyncIterator[bytes]:
    raise Unimplemented
    yield b""
