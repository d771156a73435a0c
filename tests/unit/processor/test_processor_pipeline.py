from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.processor.bootstrap import chain
from services.processor.domain import Address, Channel, Outcome, Recipient, Routing, Standing
from services.runtime.errors import Conflict, Unavailable
from tests.unit.processor.fakes import (
    NOW,
    FakeDeliveries,
    FakeDirectory,
    FakeProgress,
    ManualClock,
    chunk,
    device,
    job,
    mailbox,
    phone,
)

if TYPE_CHECKING:
    from services.processor.domain import Job
    from services.processor.ports import Stage


@dataclass
class World:
    progress: FakeProgress = field(default_factory=FakeProgress)
    directory: FakeDirectory = field(default_factory=FakeDirectory)
    deliveries: FakeDeliveries = field(default_factory=FakeDeliveries)
    clock: ManualClock = field(default_factory=ManualClock)

    @property
    def stages(self) -> Stage:
        return chain(self.progress, self.directory, self.deliveries, self.clock)


async def test_a_batch_ends_in_sent_suppressed_and_expired() -> None:
    world = World(directory=FakeDirectory({"ada": (device("a1"), device("a2")), "bob": ()}))
    direct = Recipient(addresses=(mailbox("cyd@example.com"),))
    await world.stages(
        [
            job(chunk("mixed"), "ada", "bob", "nobody", direct),
            job(chunk("late", expire_time=NOW - timedelta(seconds=1)), "ada", "bob"),
        ]
    )
    assert world.progress.counts("mixed") == {"sent": 3, "suppressed": 2}
    assert world.progress.counts("late") == {"expired": 2}
    assert world.progress.reports["acme", "late", 0].reason == "EXPIRED"
    assert world.deliveries.addressed == [["a1", "a2", "cyd@example.com"]]


async def test_a_cancelled_notification_reaches_no_provider_and_is_not_reported() -> None:
    world = World(
        progress=FakeProgress(standings={"n1": Standing.FINAL}), directory=FakeDirectory({"ada": (device("a1"),)})
    )
    await world.stages([job(chunk(), "ada")])
    assert world.directory.asked == []
    assert world.deliveries.calls == []
    assert world.progress.reports == {}


async def test_a_redelivered_batch_changes_nothing() -> None:
    world = World(directory=FakeDirectory({"ada": (device("a1"),)}))
    batch = [job(chunk(), "ada"), job(chunk("n2"), "ada")]
    await world.stages(batch)
    before = dict(world.progress.reports)
    await world.stages(batch)
    assert world.progress.reports == before
    assert set(world.deliveries.handed_over.values()) == {1}


@pytest.mark.parametrize("where", ["deliver", "report"])
async def test_a_batch_that_broke_off_is_finished_when_it_comes_again_without_sending_twice(where: str) -> None:
    world = World(directory=FakeDirectory({"ada": (device("a1"), device("a2"), phone("+1"))}))
    world.deliveries.answers = {"a1": (Outcome.FAILED, "TOKEN_GONE"), "a2": (Outcome.FAILED, "TOKEN_GONE")}
    (world.deliveries if where == "deliver" else world.progress).failures.append(Unavailable())
    batch = [job(chunk(), "ada")]
    with pytest.raises(Unavailable):
        await world.stages(batch)
    assert world.progress.reports == {}
    await world.stages(batch)
    assert world.progress.counts() == {"failed": 2, "sent": 1}
    assert set(world.deliveries.handed_over.values()) == {1}


async def test_a_delivery_that_another_worker_had_is_counted_once_it_is_known() -> None:
    world = World(directory=FakeDirectory({"ada": (device("busy"),), "bob": (device("b1"),)}))
    world.deliveries.answers = {"busy": (Outcome.QUEUED, "")}
    batch = [job(chunk("held"), "ada"), job(chunk("free"), "bob")]
    with pytest.raises(Conflict):
        await world.stages(batch)
    assert set(world.progress.reports) == {("acme", "free", 0)}
    world.deliveries.answers = {}
    await world.stages(batch)
    assert world.progress.counts("held") == {"sent": 1}


ADDRESSES = st.one_of(
    st.sampled_from(["t1", "t2", "t3", "t4"]).map(device),
    st.sampled_from(["+1", "+2"]).map(phone),
    st.sampled_from(["x@example.com", "y@example.com"]).map(mailbox),
)
REACHES = st.lists(ADDRESSES, max_size=4, unique=True).map(tuple)
USERS = st.dictionaries(st.sampled_from("abcdef"), REACHES, max_size=5)
RECIPIENTS = st.lists(
    st.one_of(
        st.sampled_from("abcdef").map(lambda user: Recipient(user_id=user)),
        ADDRESSES.map(lambda address: Recipient(addresses=(address,))),
    ),
    unique=True,
    max_size=8,
)
ANSWERS = st.dictionaries(
    st.sampled_from(["t1", "t2", "t3", "+1", "x@example.com"]),
    st.sampled_from([Outcome.SENT, Outcome.RETRYING, Outcome.FAILED, Outcome.SUPPRESSED]).map(
        lambda outcome: (outcome, "" if outcome is Outcome.SENT else "WHY")
    ),
)
CHUNKS = st.builds(
    chunk,
    st.just("n1"),
    channels=st.lists(st.sampled_from(Channel), unique=True, min_size=1),
    contents=st.lists(st.sampled_from(Channel), unique=True).map(lambda channels: dict.fromkeys(channels, b"")),
    routing=st.sampled_from(Routing),
    expire_time=st.sampled_from([NOW - timedelta(seconds=1), NOW + timedelta(hours=1)]),
)


@given(of=CHUNKS, recipients=RECIPIENTS, users=USERS, answers=ANSWERS)
async def test_every_recipient_ends_in_exactly_one_count_a_delivery_or_one_if_there_was_none(
    of: object,
    recipients: list[Recipient],
    users: dict[str, tuple[Address, ...]],
    answers: dict[str, tuple[Outcome, str]],
) -> None:
    world = World(directory=FakeDirectory(users), deliveries=FakeDeliveries(answers))
    whole: Job = job(of, *recipients)  # type: ignore[arg-type]  # st.builds does not say what it builds
    await world.stages([whole])
    report = world.progress.reports["acme", "n1", 0]
    tried = {(user, address) for _, user, address in world.deliveries.handed_over}
    targets = [
        {(each.user_id, address.value) for address in (each.addresses or users.get(each.user_id, ()))}
        for each in recipients
    ]
    untried = sum(1 for target in targets if not target & tried)
    assert sum(report.counts.values()) == len(tried) + untried
    assert report.counts.get(Outcome.QUEUED, 0) == 0
    assert len(report.retrying) == report.counts.get(Outcome.RETRYING, 0)
    reached = report.counts.get(Outcome.SENT, 0) + report.counts.get(Outcome.RETRYING, 0)
    assert bool(report.reason) == bool(recipients and not reached)
