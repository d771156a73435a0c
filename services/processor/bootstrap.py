"""The only place that constructs things: peers, the chain of stages, and one consumer for each lane."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from services import topics
from services.processor.adapters.delivery import DeliveryOut
from services.processor.adapters.device import DeviceDirectory
from services.processor.adapters.notification import NotificationProgress
from services.processor.consumer import Parser
from services.processor.domain import Lane
from services.processor.scheduling import FairTurns
from services.processor.service import Processing
from services.processor.stages.begin import Begin
from services.processor.stages.deliver import Deliver
from services.processor.stages.expire import Expire
from services.processor.stages.report import Report
from services.processor.stages.resolve import Resolve
from services.processor.stages.route import Route
from services.runtime import kafka
from services.runtime.channels import Channels
from services.runtime.clock import utc_now
from services.runtime.consumption import Consumption

if TYPE_CHECKING:
    from services.processor.domain import Job
    from services.processor.ports import Deliveries, Directory, Progress, Stage
    from services.processor.settings import Settings
    from services.runtime.clock import Clock
    from services.runtime.process import Process

TOPICS = {
    Lane.CRITICAL: topics.NOTIFICATIONS_CRITICAL,
    Lane.NORMAL: topics.NOTIFICATIONS_NORMAL,
    Lane.BULK: topics.NOTIFICATIONS_BULK,
}


def chain(progress: Progress, directory: Directory, deliveries: Deliveries, clock: Clock) -> Stage:
    """The way of a batch: a stage more is a line more."""
    report = Report(progress, clock)
    deliver = Deliver(deliveries, clock, report)
    route = Route(deliver)
    resolve = Resolve(directory, route)
    expire = Expire(clock, resolve)
    return Begin(progress, expire)


async def build(process: Process[Settings]) -> None:
    """Set the processor up."""
    values = process.settings
    channels = Channels(values, traced=process.traced)
    concurrent = values.concurrent_calls
    stages = chain(
        NotificationProgress(await process.open(channels.to("notification")), concurrent=concurrent),
        DeviceDirectory(await process.open(channels.to("device")), concurrent=concurrent),
        DeliveryOut(
            await process.open(channels.to("delivery")), most_items=values.deliver_items, concurrent=concurrent
        ),
        utc_now,
    )
    weights = {
        Lane.CRITICAL: values.weight_critical,
        Lane.NORMAL: values.weight_normal,
        Lane.BULK: values.weight_bulk,
    }
    processing = Processing(
        stages,
        FairTurns(weights, shared=values.concurrent_batches, reserved=values.reserved_batches),
        batch_recipients=values.batch_recipients,
        batch_seconds=values.batch_seconds,
    )
    publisher = await process.open(kafka.publisher(values))
    for lane, topic in TOPICS.items():
        consumption = Consumption(
            name=f"processor-{lane}",
            source=await process.open(kafka.source(values, group=f"processor-{lane}", topics=[topic])),
            publisher=publisher,
            parse=Parser(lane),
            handle=partial(processing.process, lane),
            batch_size=values.batch_messages,
        )
        process.work(f"consume-{lane}", consumption.run, stop=partial(_stop, consumption, processing))


def _stop(consumption: Consumption[Job], processing: Processing) -> None:
    consumption.stop()
    processing.drain()
