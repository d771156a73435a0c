"""What the processor expects of its peers, held against its fakes and against its adapters over real channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from services.processor.adapters.delivery import DeliveryOut
from services.processor.adapters.device import DeviceDirectory
from services.processor.adapters.notification import NotificationProgress
from services.processor.domain import Channel, End, Message, Outcome, Report, Standing, User
from services.runtime import deadline
from services.runtime.channels import Channels
from services.runtime.errors import Conflict, DeadlineExceeded, InvalidInput, PeerFailed, Unavailable
from tests.integration.processor.peers import Peers, caller, issuing, serving
from tests.unit.processor.fakes import chunk, device, job, mailbox, phone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.processor.ports import Deliveries, Directory, Progress

ADA = (device("a1"), device("a2", app="bank"), phone("+351211111111"), mailbox("ada@example.com"))


@pytest.fixture
def peers() -> Peers:
    return Peers()


@pytest.fixture
async def channels(peers: Peers) -> AsyncIterator[Channels]:
    async with issuing() as issuer, serving(peers) as address:
        yield Channels(caller(address, issuer), traced=False)


@pytest.fixture(params=["fake", "grpc"])
async def progress(request: pytest.FixtureRequest, peers: Peers, channels: Channels) -> AsyncIterator[Progress]:
    async with channels.to("notification") as channel:
        yield peers.progress if request.param == "fake" else NotificationProgress(channel, concurrent=2)


@pytest.fixture(params=["fake", "grpc"])
async def directory(request: pytest.FixtureRequest, peers: Peers, channels: Channels) -> AsyncIterator[Directory]:
    async with channels.to("device") as channel:
        yield peers.directory if request.param == "fake" else DeviceDirectory(channel, concurrent=2)


@pytest.fixture(params=["fake", "grpc"])
async def deliveries(request: pytest.FixtureRequest, peers: Peers, channels: Channels) -> AsyncIterator[Deliveries]:
    async with channels.to("delivery") as channel:
        yield peers.deliveries if request.param == "fake" else DeliveryOut(channel, most_items=1000, concurrent=2)


async def test_progress_says_where_each_chunk_stands(progress: Progress, peers: Peers) -> None:
    peers.progress.standings = {"over": Standing.FINAL, "gone": Standing.UNKNOWN}
    asked = [chunk("over"), chunk("open"), chunk("gone"), chunk("open", number=1)]
    assert await progress.started(asked) == [Standing.FINAL, Standing.OPEN, Standing.UNKNOWN, Standing.OPEN]


async def test_a_chunk_is_done_once_it_was_reported_and_the_first_report_stays(
    progress: Progress, peers: Peers
) -> None:
    done = job(chunk("n1", number=2)).going_on(
        (),
        [
            *(End(outcome=outcome) for outcome in Outcome if outcome not in (Outcome.QUEUED, Outcome.RETRYING)),
            End(outcome=Outcome.RETRYING, delivery_id="d1"),
            End(outcome=Outcome.RETRYING, delivery_id="d2"),
        ],
    )
    await progress.processed([Report.of(done)])
    await progress.processed([Report.of(job(chunk("n1", number=2)))])
    assert peers.progress.counts("n1", 2) == {"sent": 1, "failed": 1, "suppressed": 1, "expired": 1, "retrying": 2}
    assert peers.progress.reports["acme", "n1", 2].retrying == ("d1", "d2")
    assert await progress.started([chunk("n1", number=2), chunk("n1", number=3)]) == [Standing.DONE, Standing.OPEN]


async def test_a_reason_arrives_where_nothing_was_sent(progress: Progress, peers: Peers) -> None:
    done = job(chunk()).going_on((), [End(outcome=Outcome.SUPPRESSED, reason="NO_ADDRESS")])
    await progress.processed([Report.of(done)])
    assert peers.progress.reports["acme", "n1", 0].reason == "NO_ADDRESS"


async def test_users_are_resolved_in_order_and_however_many(directory: Directory, peers: Peers) -> None:
    peers.directory.known = {"ada": ADA, "bob": ()}
    users = [User("acme", f"u{number}") for number in range(1500)]
    users[3], users[1200], users[1499] = User("acme", "ada"), User("acme", "bob"), User("other", "ada")
    reaches = await directory.resolve(users)
    assert len(reaches) == 1500
    assert {at: reach for at, reach in enumerate(reaches) if reach is not None} == {3: ADA, 1200: ()}


def messages(*, count: int = 1) -> list[Message]:
    contents = dict.fromkeys(Channel, b"")
    return [
        Message(chunk=chunk(f"n{number}", contents=contents), user_id="ada", address=ADA[number % len(ADA)])
        for number in range(count)
    ]


async def test_results_come_in_order_and_the_same_again_is_not_sent_again(deliveries: Deliveries, peers: Peers) -> None:
    peers.deliveries.answers = {
        "a1": (Outcome.RETRYING, "PROVIDER_UNAVAILABLE"),
        "a2": (Outcome.FAILED, "TOKEN_GONE"),
        "ada@example.com": (Outcome.SUPPRESSED, "OPTED_OUT"),
    }
    first = await deliveries.deliver(messages(count=2500))
    assert [end.outcome for end in first[:4]] == [Outcome.RETRYING, Outcome.FAILED, Outcome.SENT, Outcome.SUPPRESSED]
    assert first[1].reason == "TOKEN_GONE"
    assert len({end.delivery_id for end in first}) == 2500
    assert await deliveries.deliver(messages(count=2500)) == first
    assert set(peers.deliveries.handed_over.values()) == {1}


async def test_what_another_worker_has_is_queued(deliveries: Deliveries, peers: Peers) -> None:
    peers.deliveries.answers = {"a1": (Outcome.QUEUED, "")}
    assert [end.outcome for end in await deliveries.deliver(messages())] == [Outcome.QUEUED]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.ABORTED, Conflict),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidInput),
        (grpc.StatusCode.INTERNAL, PeerFailed),
    ],
)
async def test_a_refused_call_is_an_error_of_the_taxonomy(
    peers: Peers, channels: Channels, status: grpc.StatusCode, error: type[Exception]
) -> None:
    peers.statuses = [status]
    async with channels.to("delivery") as channel:
        with pytest.raises(error):
            await DeliveryOut(channel, most_items=10, concurrent=1).deliver(messages())


async def test_a_delivery_whose_time_was_over_is_expired(peers: Peers, channels: Channels) -> None:
    peers.deliveries.answers = {"a1": (Outcome.SUPPRESSED, "EXPIRED"), "a2": (Outcome.FAILED, "EXPIRED")}
    async with channels.to("delivery") as channel:
        ends = await DeliveryOut(channel, most_items=10, concurrent=1).deliver(messages(count=2))
    assert [end.outcome for end in ends] == [Outcome.EXPIRED, Outcome.FAILED]


async def test_calls_carry_the_deadline_and_the_token(peers: Peers, channels: Channels) -> None:
    with deadline.within(5.0):
        async with channels.to("device") as channel:
            await DeviceDirectory(channel, concurrent=1).resolve([User("acme", "ada")])
    assert 0 < peers.seconds_left[0] < 5.5  # gRPC rounds up
    assert peers.credentials == {"Bearer made-up"}
