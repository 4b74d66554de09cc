"""Conditions of a config: HAProxy says which branches it takes, and only their lines are read."""

import os
import shutil
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haproxy_apply.command_line import CommandLine
from haproxy_apply.haproxy import HAProxy
from haproxy_apply.model import read

BINARY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") or "haproxy"
HAPROXY = HAProxy(
    CommandLine(BINARY, master_mode="-Ws"), "", {"NODE": "b", "TEN": "10"}
)
CONDITIONS = {
    "1": True,
    "0": False,
    "defined(NODE)": True,
    "!defined(NODE)": False,
    'streq("$NODE",b)': True,
    'strneq("$NODE",b)': False,
    'streq("$NODE",a) || streq("$SET",yes)': True,
    "defined(HAPROXY_MWORKER)": True,
    "version_before(2.0)": False,
}

type Branch = tuple[str, list[object]]

BRANCHES: st.SearchStrategy[list[Any]] = st.recursive(
    st.just([]),
    lambda inner: st.lists(
        st.lists(
            st.tuples(st.sampled_from(list(CONDITIONS)), inner), min_size=1, max_size=3
        ),
        max_size=2,
    ),
    max_leaves=12,
)


def written(
    blocks: list[list[Branch]], seen: Iterator[int], *, is_taken: bool = True
) -> Iterator[tuple[str, bool]]:
    """Each line of these blocks, and whether HAProxy reads it."""
    for block in blocks:
        is_open = is_taken
        for number, (condition, inner) in enumerate(block):
            yield f"{'.elif' if number else '.if'} {condition}", True
            yield f"bind :{next(seen)}", is_open and CONDITIONS[condition]
            yield from written(inner, seen, is_taken=is_open and CONDITIONS[condition])  # type: ignore[arg-type]
            is_open = is_open and not CONDITIONS[condition]
        yield ".else", True
        yield f"bind :{next(seen)}", is_open
        yield ".endif", True
        yield f"bind :{next(seen)}", is_taken


@pytest.mark.fault("F209")
@settings(max_examples=60, deadline=None)
@given(blocks=BRANCHES)
def test_what_haproxy_reads_is_what_counts(blocks: list[list[Branch]]) -> None:
    """Whatever stands in whatever, a real HAProxy decides it, with the environment of the one that runs."""
    head = ["global", "setenv SET yes", "frontend web"]
    every = list(
        chain(((line, True) for line in head), written(blocks, iter(range(1, 9999))))
    )
    text = "\n".join(line for line, _is_read in every)
    told = HAPROXY.told((), text)
    assert told is not None
    expected = [line[5:] for line, is_read in every if is_read and line[:5] == "bind "]
    assert [each.address for each in read(text, told).binds] == expected


def test_variables_of_addresses_are_told() -> None:
    """Those of the environment, of this file and of the files before it."""
    text = 'frontend f\nbind "${NODE}.internal:$TEN$PORT",:81\nbind $NOWHERE:82\n'
    told = HAPROXY.told(["global\n setenv PORT 00\n"], text)
    assert [each.address for each in read(text, told).binds] == [
        "b.internal:1000",
        ":81",
        ":82",
    ]


def test_of_a_condition_that_haproxy_refuses_nothing_is_told() -> None:
    """All branches may be meant then."""
    assert HAPROXY.told((), ".if nonsense(\n.endif\n") is None
    assert read("frontend f\n.if 0\nbind :80\n.else\nbind :81\n.endif\n").binds
