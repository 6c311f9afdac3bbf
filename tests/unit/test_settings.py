"""What may stand for a host, and that everything else is told apart with a next step."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.settings import is_loopback, parse_host, parse_rate, parse_span


@pytest.mark.parametrize(
    "host",
    [
        *("plc", "PLC-7", "plc_7", "_plc", "7.plc", "a.b.c.example.org", "fleet.example.org."),
        *("10.0.4.11", "127.0.0.1", "::1", "fe80::1%eth0", "2001:db8::7", "::ffff:10.0.4.11"),
        *("a" * 63, ".".join(["a" * 63] * 3) + "." + "a" * 61, "xn--ldruck-wxa.example.org"),
    ],
)
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert parse_host(host) == host


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *((f"{host}:502", f'"{host}" alone') for host in ("10.0.4.11", "plc-7")),
        *((f"{host}:502", "port = 502") for host in ("10.0.4.11", "plc-7")),
        ("[::1]:502", '"::1" alone'),
        ("[::1]", "without"),
        ("opc.tcp://plc:4840", "host alone"),
        *((text, "an IPv6 address") for text in ("fe80:::1", "1:2:3", "fe80::1%", "fe80::1%a b")),
        ("10.0.4.256", "four numbers"),
        ("10.0.4", "four numbers"),
        ("1e3.9", "four numbers"),
        ("a" * 64, "at most 63"),
        (".".join(["a" * 63] * 4), "is not a host name"),
        *((text, "is not a host name") for text in ("-plc", "plc-", "a..b", ".", ".a", "a..")),
        *((text, "is not a host name") for text in ("a b", "a\0", "a\n", "a/b", "\u00f6l", "a,b")),
        ("user@plc", "is not a host name"),
    ],
)
def test_what_is_no_host_has_a_hint(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"[^;]+; ") as caught:
        parse_host(text)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.text(max_size=300) | st.text("a.-_1:[]%\0 \u00f6", max_size=70))
def test_a_host_never_fails_before_it_is_looked_up(text: str) -> None:
    """What passes can be handed to the resolver, which refuses NUL, spaces and long labels."""
    try:
        host = parse_host(text)
    except ValueError:
        return
    assert host.isascii()
    assert not any(character.isspace() or character == "\0" for character in host)
    host.encode("idna")


@pytest.mark.parametrize(
    ("host", "stays"),
    [
        ("localhost", True),
        ("127.0.0.9", True),
        ("::1", True),
        ("10.0.0.7", False),
        ("fe80::1", False),
        ("fleet", False),
        ("localhost.example.org", False),
    ],
)
def test_what_cannot_leave_this_machine(host: str, stays: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert is_loopback(host) is stays


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("512 kbit/s", 512_000),
        ("1.5Mbit/s", 1_500_000),
        (" 9600 bit/s ", 9600),
        ("1 Gbit/s", 10**9),
        (9600, 9600),
    ],
)
def test_rates(text: str | int, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("512 kbps", "512 kbit/s"),
        ("64 kB/s", "512 kbit/s"),
        ("64 KB/s", "512 kbit/s"),
        ("2 Mbps", "2 Mbit/s"),
        ("2 MBps", "16 Mbit/s"),
        ("512 kbit", "512 kbit/s"),
        ("10 bytes/s", "80 bit/s"),
        ("1 gbits/s", "1 Gbit/s"),
    ],
)
def test_rates_in_other_words_say_what_to_write(text: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"write {re.escape(meant)}$"):
        parse_rate(text)


@pytest.mark.parametrize(
    "text", ["", "fast", "512", "-1 kbit/s", "1 kbit/min", "1e3 bit/s", "kbit/s"]
)
def test_what_is_no_rate_says_how_one_is_written(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and bit/s"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("22:00-06:00", (1320, 360)),
        ("6:30 - 7:00", (390, 420)),
        ("00:00-24:00", (0, 1440)),
        ("23:59-00:00", (1439, 0)),
    ],
)
def test_times_of_day(text: str, span: tuple[int, int]) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize(
    "text", ["", "22-06", "22:00", "24:00-06:00", "22:60-23:00", "22:00-06:00 CET", "7:00-7:00"]
)
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(ValueError, match=r"22:00-06:00|00:00-24:00"):
        parse_span(text)
