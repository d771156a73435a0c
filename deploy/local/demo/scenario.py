"""What the demo sends to whom, and what must reach the providers: decided before anything runs, the same each time."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, replace
from typing import Final

from clarion.notification.v1 import DeliveryOptions, Recipient, SendNotificationRequest
from clarion.type.v1 import (
    PLATFORM_ANDROID,
    PLATFORM_IOS,
    PRIORITY_BULK,
    PRIORITY_CRITICAL,
    PRIORITY_NORMAL,
    Address,
    Content,
    DeviceAddress,
    EmailContent,
    PushContent,
    SmsContent,
)
from google.protobuf.duration_pb2 import Duration

from deploy.local.demo.letters import Letter, Peer, data_detail

NOTIFICATIONS: Final = 1000
PEOPLE: Final = 100
BATCH: Final = 100
APP: Final = "parcels"
"""The tenant's app, which its devices and its push accounts share."""
GONE: Final = "UNREGISTERED"
EXPIRED_TTL_SECONDS: Final = 1
_NAMES: Final = ("Ada", "Bo", "Chidi", "Dorothea", "Edsger", "Fatima", "Grace", "Hedy", "Ivan", "Joan")
_PRIORITIES: Final = (PRIORITY_CRITICAL, PRIORITY_NORMAL, PRIORITY_NORMAL, PRIORITY_BULK)


class Part(enum.Enum):
    """How a notification is sent, and what is to become of it."""

    SINGLE = "by a call of its own"
    BATCH = "in a batch"
    CANCELLED = "cancelled before a worker took it"
    EXPIRED = "past its time to live before a worker took it"
    REPEATED = "sent twice with the same idempotency key"
    GONE = "to a device that is gone"


HELD_BACK: Final = (Part.CANCELLED, Part.EXPIRED)
"""What must never reach a provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone with one device, a phone and a mailbox."""

    user_id: str
    name: str
    device: DeviceAddress
    phone: str
    email: str

    @property
    def push(self) -> Peer:
        """The provider that reaches the device."""
        return Peer.APNS if self.device.platform == PLATFORM_IOS else Peer.FCM


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One notification: how it is sent, and the letter that its provider must see (or, held back, must not)."""

    part: Part
    request: SendNotificationRequest
    letter: Letter

    @property
    def peer(self) -> Peer:
        """The provider that it is for."""
        return self.letter.peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everybody who is registered and everything that is sent."""

    people: tuple[Person, ...]
    uninstalled: Person
    """Someone whose only device is gone, as FCM will say."""
    sendings: tuple[Sending, ...]

    def of(self, *parts: Part) -> list[Sending]:
        """The notifications of these parts, in their order."""
        return [each for each in self.sendings if each.part in parts]

    def expected(self) -> list[Letter]:
        """Every letter that must reach a provider, each once."""
        return [each.letter for each in self.sendings if each.part not in HELD_BACK]


def scenario() -> Scenario:
    """Make the demo's scenario: 250 notifications for each provider, one of them special."""
    people = tuple(_person(number) for number in range(PEOPLE))
    uninstalled = _person(PEOPLE)
    special = {Peer.FCM: Part.GONE, Peer.APNS: Part.REPEATED, Peer.SMS: Part.CANCELLED, Peer.SMTP: Part.EXPIRED}
    sendings = []
    for number in range(NOTIFICATIONS):
        peer = tuple(Peer)[number % len(Peer)]
        turn = number // len(Peer)
        # The first of each provider is the special one; of the others two in five travel in batches.
        part = special[peer] if turn == 0 else Part.BATCH if turn % 5 in {1, 2} else Part.SINGLE
        person = uninstalled if part is Part.GONE else _reached(people, peer, turn)
        sendings.append(_sending(number, part, peer, person))
    return Scenario(people=people, uninstalled=uninstalled, sendings=tuple(sendings))


def _person(number: int) -> Person:
    name = _NAMES[number % len(_NAMES)]
    user_id = f"{name.lower()}-{number}"
    ios = number % 2 == 1
    token = hashlib.sha256(user_id.encode()).hexdigest()
    return Person(
        user_id=user_id,
        name=name,
        device=DeviceAddress(
            platform=PLATFORM_IOS if ios else PLATFORM_ANDROID, app=APP, token=token if ios else f"demo:{token}"
        ),
        # Numbers that Ofcom keeps for drama: nobody has them.
        phone=f"+447700900{number:03}",
        email=f"{user_id}@example.com",
    )


def _reached(people: tuple[Person, ...], peer: Peer, turn: int) -> Person:
    able = [each for each in people if peer not in {Peer.FCM, Peer.APNS} or each.push is peer]
    return able[turn % len(able)]


def _sending(number: int, part: Part, peer: Peer, person: Person) -> Sending:
    parcel = f"{number:04}"
    content, letter = _written(parcel, peer, person)
    # Mail and SMS go by turns to a known user and to an address that is given with the call.
    directly = peer in {Peer.SMS, Peer.SMTP} and number // len(Peer) % 2 == 1
    options = DeliveryOptions(category="parcels", priority=_PRIORITIES[number // len(Peer) % len(_PRIORITIES)])
    if part is Part.EXPIRED:
        options.ttl.CopyFrom(Duration(seconds=EXPIRED_TTL_SECONDS))
    if part is Part.GONE:
        letter = replace(letter, outcome=GONE)
    request = SendNotificationRequest(
        recipients=[Recipient(address=_address(peer, person)) if directly else Recipient(user_id=person.user_id)],
        content=content,
        options=options,
        idempotency_key=f"parcel-{parcel}",
    )
    return Sending(part=part, request=request, letter=letter)


def _written(parcel: str, peer: Peer, person: Person) -> tuple[Content, Letter]:
    title = f"Parcel {parcel}"
    body = f"{person.name}, parcel {parcel} comes today between 2 and 4."
    if peer is Peer.SMS:
        return Content(sms=SmsContent(body=body)), Letter(peer=peer, address=person.phone, title="", body=body)
    if peer is Peer.SMTP:
        html = f"<p>{person.name}, parcel <b>{parcel}</b> comes today between 2 and 4.</p>"
        letter = Letter(peer=peer, address=person.email, title=title, body=body, detail=html)
        return Content(email=EmailContent(subject=title, text=body, html=html)), letter
    data = {"parcel": parcel}
    letter = Letter(peer=peer, address=person.device.token, title=title, body=body, detail=data_detail(data))
    return Content(push=PushContent(title=title, body=body, data=data)), letter


def _address(peer: Peer, person: Person) -> Address:
    return Address(phone=person.phone) if peer is Peer.SMS else Address(email=person.email)
