"""Ports of a stack: fixed, kept or chosen."""

from __future__ import annotations

import socket

import pytest

from deploy.local.machine.portbook import PortBook
from deploy.local.machine.ports import free_ports, is_free
from deploy.local.problem import Problem


def test_chosen_ports_are_free_different_and_below_those_of_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(is_free(port) and port < 32768 for port in ports)


def test_the_same_name_has_the_same_port() -> None:
    book = PortBook(fixed={}, kept={})
    assert book.port("auth.grpc") == book.port("auth.grpc")
    assert book.given() == {"auth.grpc": book.port("auth.grpc")}


def test_a_fixed_port_wins_over_a_kept_one() -> None:
    fixed, kept = free_ports(2)
    assert PortBook(fixed={"a": fixed}, kept={"a": kept}).port("a") == fixed


def test_a_kept_port_that_is_now_fixed_for_another_is_not_given_twice() -> None:
    (port,) = free_ports(1)
    book = PortBook(fixed={"a": port}, kept={"b": port})
    assert book.port("b") != port
    assert book.port("a") == port


def test_a_fixed_port_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Problem, match=f"port {port} for a is taken by"):
            PortBook(fixed={"a": port}, kept={}).port("a")


def test_a_fixed_port_with_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    book = PortBook(fixed={"nonsense": free_ports(1)[0]}, kept={})
    book.port("auth.grpc")
    with pytest.raises(Problem, match=r"no port named nonsense: choose one of auth\.grpc"):
        book.given()
