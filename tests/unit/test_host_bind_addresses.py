"""The addresses of `bind` lines: what of them may be tried while a HAProxy serves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_apply.bind_addresses import ANY, Held, free_ports, parse
from haproxy_apply.model import read


@pytest.mark.parametrize(
    ("written", "host"),
    [
        (":80", ANY),
        ("0.0.0.0:80", ANY),
        ("*:80", ANY),
        ("ipv4@:80", ANY),
        (":::80", ANY),
        ("[::]:80", ANY),
        ("ipv6@:::0080", ANY),
        ("10.0.0.1:80", "10.0.0.1"),
        ("tcp4@10.0.0.1:80", "10.0.0.1"),
        ("[::ffff:10.0.0.1]:80", "10.0.0.1"),
        ("[2001:DB8:0::1]:80", "2001:db8::1"),
        ("2001:db8::1:80", "2001:db8::1"),
        ("web.internal:80", "web.internal"),
    ],
)
def test_an_address_has_one_spelling(written: str, host: str) -> None:
    """That of the kernel's listeners."""
    found = parse(written)
    assert found
    assert (found.host, found.low, found.high) == (host, 80, 80)


@pytest.mark.parametrize("written", ["$A:80", ":$P", ":80-", "", ":", ":+80"])
def test_what_nobody_understands_is_not_tried(written: str) -> None:
    """A variable that HAProxy did not tell, and what it would refuse."""
    assert parse(written) is None


def test_each_address_of_a_line_is_one() -> None:
    """Lists, and what else is on the line; sockets of other kinds are none."""
    line = 'bind "10.0.0.1:80,:81-83",/run/x.sock,abns@x ssl interface eth0 v6only'
    assert [tuple(each) for each in read(f"frontend f\n{line}\n").binds] == [
        ("10.0.0.1:80", "interface eth0 v6only"),
        (":81-83", "interface eth0 v6only"),
    ]


HOSTS = st.sampled_from([ANY, "10.0.0.1", "10.0.0.2", "2001:db8::1"])
PORTS = st.integers(1, 40)


@pytest.mark.fault("F210")
@given(
    host=HOSTS,
    low=PORTS,
    size=st.integers(0, 40),
    held=st.sets(st.tuples(HOSTS, PORTS)),
)
def test_nothing_that_is_held_is_tried(
    host: str, low: int, size: int, held: set[tuple[str, int]]
) -> None:
    """Every port is, but for those where a listener of ours could take a connection of another one."""
    address = parse(f"{host}:{low}-{low + size}")
    assert address
    tried = {
        port
        for first, last in free_ports(address, [Held(*each) for each in held])
        for port in range(first, last + 1)
    }
    met = {port for other, port in held if ANY in {host, other} or host == other}
    assert tried == set(range(low, low + size + 1)) - met
