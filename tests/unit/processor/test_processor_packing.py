from __future__ import annotations

import asyncio

import pytest
from clarion.type.v1 import Content, EmailContent, PushContent
from hypothesis import given
from hypothesis import strategies as st

from services.processor.adapters.calls import each_of, portions
from services.processor.adapters.delivery import packed
from services.processor.domain import Channel, Message
from services.runtime.errors import Unavailable
from tests.unit.processor.fakes import chunk, device, mailbox
from tests.unit.processor.test_processor_scheduling import settle


def message(number: int, text: str, channel: Channel = Channel.PUSH) -> Message:
    contents = {
        Channel.PUSH: Content(push=PushContent(title=text)).SerializeToString(),
        Channel.EMAIL: Content(email=EmailContent(subject=text)).SerializeToString(),
    }
    address = device(f"token-{number}") if channel is Channel.PUSH else mailbox(f"m{number}@example.com")
    return Message(chunk=chunk(f"n{number}", contents=contents), user_id=f"u{number}", address=address)


def test_each_text_is_in_a_call_once_however_many_share_it() -> None:
    messages = [message(number, "same") for number in range(50)] + [message(50, "same", Channel.EMAIL)]
    (request,) = packed(messages, most_items=1000, most_bytes=4_000_000)
    assert list(request.contents) == [
        Content(push=PushContent(title="same")),
        Content(email=EmailContent(subject="same")),
    ]
    assert [item.content_index for item in request.items] == [0] * 50 + [1]
    assert request.items[50].address.email == "m50@example.com"


@given(
    texts=st.lists(st.sampled_from(["a", "b", "c" * 300, "d" * 900]), max_size=40),
    most_items=st.integers(1, 10),
    most_bytes=st.integers(200, 3000),
)
def test_calls_are_bounded_and_carry_everything_in_order(texts: list[str], most_items: int, most_bytes: int) -> None:
    messages = [message(number, text) for number, text in enumerate(texts)]
    requests = list(packed(messages, most_items=most_items, most_bytes=most_bytes))
    carried = [
        (item.user_id, request.contents[item.content_index].push.title)
        for request in requests
        for item in request.items
    ]
    assert carried == [(f"u{number}", text) for number, text in enumerate(texts)]
    for request in requests:
        assert 1 <= len(request.items) <= most_items
        assert request.ByteSize() <= most_bytes or len(request.items) == 1
        assert len({content.SerializeToString() for content in request.contents}) == len(request.contents)


def test_portions_are_bounded_in_number_and_size() -> None:
    sizes = [5, 5, 5, 30, 1, 1, 1, 1]
    assert [list(each) for each in portions(sizes, most_items=3, most_bytes=12, size=int)] == [
        [5, 5],
        [5],
        [30],
        [1, 1, 1],
        [1],
    ]
    assert list(portions([], most_items=3, most_bytes=12, size=len)) == []


async def test_calls_are_concurrent_within_the_bound_and_answers_in_order() -> None:
    under_way = most = 0

    async def call(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(10 - number):
            await asyncio.sleep(0)
        under_way -= 1
        return number

    assert await each_of(range(9), call, concurrent=3) == list(range(9))
    assert most == 3


async def test_a_failed_call_does_not_cut_the_others_off() -> None:
    finished: list[int] = []

    async def call(number: int) -> None:
        if number == 0:
            raise Unavailable
        await settle()
        finished.append(number)

    with pytest.raises(Unavailable):
        await each_of(range(3), call, concurrent=3)
    assert finished == [1, 2]
