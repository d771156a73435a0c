"""Kafka's storage tool takes the cluster id as an argument of its own."""

from __future__ import annotations

import uuid

from deploy.local.engines.kafka import cluster_id


def test_a_cluster_id_never_looks_like_an_option() -> None:
    drawn = [uuid.UUID(bytes=b"\xf8" + bytes(15)), uuid.UUID(bytes=b"\xfb" + bytes(15)), uuid.UUID(bytes=bytes(16))]
    assert cluster_id(lambda: drawn.pop(0)) == "A" * 22
    assert drawn == []
