from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import phonenumbers
import pytest
from clarion.auth.v1 import Role
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.errors import InvalidInput
from services.runtime.validation import Violations

if TYPE_CHECKING:
    from collections.abc import Callable

FIELD = "items[3].field"
CONTROLS = [chr(each) for each in (*range(0x20), 0x7F)]
anything = st.text(max_size=400)


def accepted(check: Callable[[Violations], object]) -> bool:
    wrong = Violations()
    check(wrong)
    assert all(each.field == FIELD and each.description for each in wrong.found)
    return not wrong.found


def test_everything_that_is_wrong_is_raised_at_once() -> None:
    wrong = Violations()
    wrong.identifier("a", "")
    wrong.email("b", "")
    wrong.phone("c", "")
    with pytest.raises(InvalidInput) as caught:
        wrong.check()
    assert [each.field for each in caught.value.violations] == ["a", "b", "c"]


def test_where_nothing_is_wrong_nothing_is_raised() -> None:
    Violations().check()


@given(value=anything)
def test_an_identifier_is_plain_ascii_in_bounds(value: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@-")
    plain = 0 < len(value) <= 128 and set(value) <= allowed
    assert accepted(lambda wrong: wrong.identifier(FIELD, value)) == plain


@given(value=anything)
def test_what_is_printable_has_neither_spaces_nor_controls(value: str) -> None:
    plain = 0 < len(value) <= 300 and all("!" <= each <= "~" for each in value)
    assert accepted(lambda wrong: wrong.printable(FIELD, value, most=300)) == plain


@given(value=anything)
def test_one_line_is_one_line(value: str) -> None:
    if accepted(lambda wrong: wrong.text(FIELD, value, most=100, one_line=True)):
        assert len(value) <= 100
        assert len(value.splitlines()) <= 1 or set("\x1c\x1d\x1e\x85\u2028\u2029\r\n\v\f").isdisjoint(value)
        assert not set(CONTROLS) & set(value)


@pytest.mark.parametrize("control", sorted(set(CONTROLS) - set("\t\n\r")))
def test_control_characters_are_refused_everywhere(control: str) -> None:
    value = f"a{control}b"
    assert not accepted(lambda wrong: wrong.text(FIELD, value, most=10))
    assert not accepted(lambda wrong: wrong.size(FIELD, value, most_bytes=10))
    assert not accepted(lambda wrong: wrong.identifier(FIELD, value))
    assert not accepted(lambda wrong: wrong.printable(FIELD, value, most=10))
    assert not accepted(lambda wrong: wrong.email(FIELD, f"a{control}@example.com"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028", "\u2029", "\nBcc: victim@example.com"])
def test_header_injection_is_refused(end: str) -> None:
    assert not accepted(lambda wrong: wrong.text(FIELD, f"Hello{end}", most=100, one_line=True))
    assert not accepted(lambda wrong: wrong.email(FIELD, f"ada@example.com{end}"))
    assert not accepted(lambda wrong: wrong.phone(FIELD, f"+351211234567{end}"))
    assert not accepted(lambda wrong: wrong.identifier(FIELD, f"ada{end}"))
    assert not accepted(lambda wrong: wrong.locale(FIELD, f"pt{end}"))


def test_text_may_have_line_breaks_and_tabs() -> None:
    assert accepted(lambda wrong: wrong.text(FIELD, "a\n\tb\r\n", most=10))


@given(value=anything, most=st.integers(0, 500))
def test_size_is_counted_in_bytes(value: str, most: int) -> None:
    if accepted(lambda wrong: wrong.size(FIELD, value, most_bytes=most)):
        assert len(value.encode()) <= most


@given(value=anything)
def test_an_email_address_has_one_at_and_no_way_out_of_a_header(value: str) -> None:
    if accepted(lambda wrong: wrong.email(FIELD, value)):
        assert value.count("@") == 1
        assert value.isascii()
        assert not set(value) & set('\r\n<>,; \t"()')


@pytest.mark.parametrize("value", ["ada@example.com", "a.b+c@sub.example.co", "x_y-z@a-b.org", "1@1.pt"])
def test_ordinary_addresses_are_taken(value: str) -> None:
    assert accepted(lambda wrong: wrong.email(FIELD, value))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@localhost",
        "a..b@example.com",
        ".a@example.com",
        "ada@-example.com",
        "ada@example..com",
        "ada@exämple.com",
        '"ada lovelace"@example.com',
        "ada@[127.0.0.1]",
        "Ada <ada@example.com>",
        "a" * 65 + "@example.com",
        "a@" + "b" * 60 + "." + "c" * 60 + "." + "d" * 60 + "." + "e" * 60 + "." + "f" * 20 + ".com",
    ],
)
def test_what_is_no_address_is_refused(value: str) -> None:
    assert not accepted(lambda wrong: wrong.email(FIELD, value))


@pytest.mark.parametrize("region", ["PT", "US", "GB", "JP", "BR", "IN", "NG"])
def test_a_countrys_example_number_is_taken(region: str) -> None:
    number = phonenumbers.example_number(region)
    assert number is not None
    value = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    assert accepted(lambda wrong: wrong.phone(FIELD, value))


@pytest.mark.parametrize(
    "value",
    ["", "351211234567", "+0123456789", "+351 21 123 4567", "+1", "+3512112345671234", "+٣٥١٢١١٢٣٤٥٦٧", "tel:+1"],
)
def test_what_is_not_e164_is_refused(value: str) -> None:
    assert not accepted(lambda wrong: wrong.phone(FIELD, value))


@given(value=anything)
def test_a_phone_number_is_a_plus_and_at_most_15_digits(value: str) -> None:
    if accepted(lambda wrong: wrong.phone(FIELD, value)):
        assert value[0] == "+"
        assert set(value[1:]) <= set("0123456789")
        assert len(value) <= 16


@pytest.mark.parametrize(
    ("value", "good"), [("", True), ("pt-BR", True), ("zh-Hant-TW", True), ("x", False), ("../x", False)]
)
def test_locales_are_language_tags(value: str, good: bool) -> None:
    assert accepted(lambda wrong: wrong.locale(FIELD, value)) is good


@pytest.mark.parametrize("value", [-1, 9, 1000, 2**31 - 1])
def test_an_unknown_enum_value_is_refused(value: int) -> None:
    assert not accepted(lambda wrong: wrong.enumerated(FIELD, value, Role))


def test_an_unspecified_enum_value_is_refused_where_one_is_required() -> None:
    assert accepted(lambda wrong: wrong.enumerated(FIELD, 0, Role))
    assert not accepted(lambda wrong: wrong.enumerated(FIELD, 0, Role, required=True))


@given(number=st.integers(0, 20_000))
def test_how_many_is_bounded(number: int) -> None:
    assert accepted(lambda wrong: wrong.count(FIELD, number, most=1000)) == (1 <= number <= 1000)


@given(seconds=st.integers(-(2**63), 2**63 - 1), nanos=st.integers(-(2**31), 2**31 - 1))
def test_any_timestamp_is_read_or_refused(seconds: int, nanos: int) -> None:
    wrong = Violations()
    moment = wrong.timestamp(FIELD, Timestamp(seconds=seconds, nanos=nanos))
    assert (moment is None) == bool(wrong.found)
    if moment is not None:
        assert datetime(2000, 1, 1, tzinfo=UTC) <= moment < datetime(2200, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("year", [1, 1970, 1999, 2200, 9999])
def test_far_years_are_refused(year: int) -> None:
    stamp = Timestamp()
    stamp.FromDatetime(datetime(year, 1, 1, tzinfo=UTC))
    assert not accepted(lambda wrong: wrong.timestamp(FIELD, stamp))


@given(seconds=st.integers(-(2**63), 2**63 - 1), nanos=st.integers(-(2**31), 2**31 - 1))
def test_any_duration_is_read_in_bounds_or_refused(seconds: int, nanos: int) -> None:
    least, most = timedelta(seconds=1), timedelta(days=28)
    wrong = Violations()
    read = wrong.duration(FIELD, Duration(seconds=seconds, nanos=nanos), least=least, most=most)
    assert (read is None) == bool(wrong.found)
    if read is not None:
        assert least <= read <= most


@pytest.mark.parametrize(
    ("asked", "used", "good"), [(0, 50, True), (7, 7, True), (500, 500, True), (501, 501, False), (-1, -1, False)]
)
def test_page_sizes_are_bounded_and_have_a_default(asked: int, used: int, good: bool) -> None:
    wrong = Violations()
    assert wrong.page_size(asked, default=50, most=500) == used
    assert bool(wrong.found) is not good
