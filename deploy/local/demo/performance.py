"""The demo's acts, in order. Each says what it does and notes what did not come out as it should."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from deploy.local.demo import people
from deploy.local.demo.letters import Peer
from deploy.local.demo.providers import Accounts
from deploy.local.demo.scenario import APP, EXPIRED_TTL_SECONDS, HELD_BACK, Part
from deploy.local.demo.sending import Sender, in_batches, named
from deploy.local.demo.verification import compare, figures
from deploy.local.demo.waiting import until

if TYPE_CHECKING:
    from deploy.local.demo.ledger import Ledgers
    from deploy.local.demo.report import Report
    from deploy.local.demo.scenario import Scenario
    from deploy.local.demo.tenant import Tenant
    from deploy.local.stack import Stack

WORKER: Final = "processor"
STATE_SECONDS: Final = 20.0
"""How long one notification may take to its final state."""
SPREAD_SECONDS: Final = 6.0
"""Over how long the notifications are sent: latencies are those of a system that is busy, not flooded."""
ARRIVAL_SECONDS: Final = 40.0
"""How long everything may take to arrive."""


class Performance:
    """Plays a scenario on a stack."""

    def __init__(
        self,
        *,
        stack: Stack,
        tenant: Tenant,
        ledgers: Ledgers,
        scenario: Scenario,
        report: Report,
        shortfalls: list[str],
    ) -> None:
        """Take the stage; what does not come out as it should is added to `shortfalls`."""
        self._stack = stack
        self._tenant = tenant
        self._ledgers = ledgers
        self._scenario = scenario
        self._report = report
        self._sender = Sender(tenant)
        self._shortfalls = shortfalls

    async def play(self) -> None:
        """Play every act. Raises Unmet and AioRpcError where it makes no sense to go on."""
        await self._register()
        await self._hold_back()
        await self._send()
        await self._repeat()
        await self._lose_device()
        await self._verify()

    async def _register(self) -> None:
        accounts = Accounts.generate("demo")
        await accounts.register(self._ledgers)
        await accounts.store(self._tenant, app=APP, addresses=self._stack.addresses, prefix="demo-")
        self._report.say("four provider accounts are stored, encrypted: FCM, APNs, Twilio, SMTP")
        everybody = (*self._scenario.people, self._scenario.uninstalled)
        await people.register(self._tenant, everybody)
        self._report.say(f"{len(everybody)} people are registered, each with a device, a phone and a mailbox")
        gone = self._scenario.uninstalled
        await self._ledgers.play(Peer.FCM, {"match": gone.device.token, "error": "UNREGISTERED"})
        self._report.also(f"({gone.name} has since uninstalled the app: FCM will say so)", style="dim")

    async def _hold_back(self) -> None:
        await self._stack.stop_process(WORKER)
        self._report.say("the processor is stopped; notifications are still accepted, and wait")
        (cancelled,) = self._scenario.of(Part.CANCELLED)
        (expired,) = self._scenario.of(Part.EXPIRED)
        to_cancel, to_expire = await self._sender.single(cancelled), await self._sender.single(expired)
        self._report.say(f"an SMS and a mail that lives {EXPIRED_TTL_SECONDS} s are accepted; the SMS is cancelled")
        self._check(named(await self._sender.cancel(to_cancel.notification_id)) == "CANCELLED", "cancelling works")
        # The time to live runs from accept; what is under its own clock cannot be asked for.
        await asyncio.sleep(EXPIRED_TTL_SECONDS + 0.1)
        await self._stack.start_process(WORKER)
        self._report.say("the processor is started again, after the mail's time is over")
        ends = (("SMS", "CANCELLED", to_cancel), ("mail", "EXPIRED", to_expire))
        for what, state, answer in ends:
            end = await self._sender.final(answer.notification_id, seconds=STATE_SECONDS)
            self._check(named(end) == state, f"the {what} is {state}")

    async def _send(self) -> None:
        singles, batched = self._scenario.of(Part.SINGLE), self._scenario.of(Part.BATCH)
        how = f"{len(singles)} by calls of their own, {len(batched)} in {len(in_batches(batched))} batches"
        self._report.say(f"sending {len(singles) + len(batched)} notifications over {SPREAD_SECONDS:.0f} s: {how}")
        expected = {peer: sum(each.peer is peer for each in (*singles, *batched)) for peer in Peer}
        sending = asyncio.create_task(self._until_arrived(sum(expected.values())))
        try:
            await self._report.follow(self._arrived, expected, sending)
            await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _until_arrived(self, expected: int) -> None:
        singles, batched = self._scenario.of(Part.SINGLE), self._scenario.of(Part.BATCH)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sender.singles(singles, seconds=SPREAD_SECONDS))
            group.create_task(self._sender.batches(batched, seconds=SPREAD_SECONDS))
        self._report.say(f"all {expected} are accepted")

        async def all_there() -> bool:
            return await self._ledgers.total() >= expected

        await until(all_there, seconds=ARRIVAL_SECONDS)

    async def _arrived(self) -> dict[Peer, int]:
        return {peer: sum(outcomes.values()) for peer, outcomes in (await self._ledgers.counts()).items()}

    async def _repeat(self) -> None:
        (sending,) = self._scenario.of(Part.REPEATED)
        first = await self._sender.single(sending)
        end = await self._sender.final(first.notification_id, seconds=STATE_SECONDS)
        again = await self._sender.single(sending)
        self._report.say(f"one is sent, {named(end)}, and sent again with the same idempotency key")
        self._check(again.duplicate and not first.duplicate, "the second answer says that it is a duplicate")
        again.duplicate = first.duplicate
        self._check(again == first, "in all else it is the first answer")

    async def _lose_device(self) -> None:
        gone = self._scenario.uninstalled
        (sending,) = self._scenario.of(Part.GONE)
        before = await people.tokens(self._tenant, gone.user_id)
        answer = await self._sender.single(sending)
        end = await self._sender.final(answer.notification_id, seconds=STATE_SECONDS)
        self._report.say(f"one is sent to {gone.name}, whose app is gone: {named(end)}")
        self._check(before == {gone.device.token}, f"{gone.name} had one device")

        async def dropped() -> bool:
            return not await people.tokens(self._tenant, gone.user_id)

        self._check(await until(dropped, seconds=STATE_SECONDS), "the device has been dropped")

    async def _verify(self) -> None:
        # Once every notification is final, nothing more will come that should not.
        final = await until(self._sender.none_under_way, seconds=STATE_SECONDS)
        self._check(final, "every notification has a final state")
        receipts = [receipt for peer in Peer for receipt in await self._ledgers.receipts(peer)]
        found = compare(self._scenario.expected(), receipts)
        self._report.say("the providers' ledgers are compared with what was sent")
        rows = []
        for peer in Peer:
            own = [each for each in self._scenario.sendings if each.peer is peer]
            rows.append(
                figures(
                    peer,
                    sent=len(own),
                    held_back=sum(each.part in HELD_BACK for each in own),
                    receipts=receipts,
                    accepted_at=self._sender.accepted_at,
                )
            )
        self._report.table(rows)
        self._shortfalls += found.lines()
        if not found:
            self._report.well("each arrived exactly once, at the right address, with the right content")
            self._report.well("nothing of the cancelled, the expired and the repeated one")

    def _check(self, holds: bool, promise: str) -> None:
        if holds:
            self._report.well(promise)
        else:
            self._report.badly(f"not so: {promise}")
            self._shortfalls.append(f"not so: {promise}")
