"""What a worker is told before a reload empties no backend, is nobody's wish but the new file's, and can be undone."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haproxy_apply.leaving import parts, possible, wishes
from haproxy_apply.model import Model
from haproxy_apply.server_state import rows
from tests.in_memory_haproxy import DRAIN, STOPPED, Worker, model, server

PLACES = ["10.77.1.1:80", "10.77.1.2:80", "[fd77::1]:80"]
NAMES = [f"{backend}/s{number}" for backend in ("app", "api") for number in range(4)]
OPTIONS = [
    "",
    "check inter 1s",
    "backup",
    "on-marked-down shutdown-sessions",
    "track app/s0",
]
FILES = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(
        st.sampled_from(PLACES),
        st.sampled_from(OPTIONS),
        st.sampled_from(["1", "1", "7", "0"]),
        st.sampled_from([False, False, True]),
    ),
    min_size=1,
).map(
    lambda said: model(
        *(
            server(name, place, options, weight=weight, is_disabled=is_disabled)
            for name, (place, options, weight, is_disabled) in said.items()
        )
    )
)
CHOSEN = st.sets(st.sampled_from(NAMES))


@pytest.mark.fault("F198")
@pytest.mark.fault("F199")
@pytest.mark.fault("F200")
@settings(max_examples=200)
@given(FILES, FILES, CHOSEN, CHOSEN, st.booleans())
def test_telling_and_undoing(
    old: Model,
    other: Model,
    down: set[str],
    drained: set[str],
    is_same: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    """Who serves in a backend still does in part, and whoever is told nothing is as before; undone all are."""
    new = old if is_same else other
    worker = Worker.of(old)
    for name, it in worker.servers.items():
        it.op = STOPPED if name in down else it.op
        it.admin |= DRAIN if name in drained else 0
    was = {name: (it.admin, it.weight, it.op) for name, it in worker.servers.items()}
    before = worker.serving
    told = possible(wishes(old, new), rows(worker.state()), old, new)
    assert not (is_same and told)
    for each in told:
        assert worker(f"set server {each.name} {each.said}") == "\n"
    assert {each.name for each in told} <= {
        it.name for it in old.servers if it not in new.servers
    }
    for backend in {name.partition("/")[0] for name in before}:
        assert [name for name in worker.serving if name.startswith(f"{backend}/")]
    after = {name: (it.admin, it.weight, it.op) for name, it in worker.servers.items()}
    changed = {name for name in was if was[name] != after[name]}
    assert changed <= {each.name for each in told}
    for each in told:
        assert worker(f"set server {each.name} {each.was}") == "\n"
    assert was == {
        name: (it.admin, it.weight, it.op) for name, it in worker.servers.items()
    }


@pytest.mark.fault("F227")
@given(st.lists(st.text("x", min_size=1, max_size=900), max_size=150))
def test_no_line_is_longer_than_what_haproxy_reads_at_once(
    commands: list[str],
) -> None:
    """All are told, in order, on few lines."""
    lines = list(parts(commands))
    assert [each for line in lines for each in line.split(";") if each] == commands
    assert all(len(line) < 8192 for line in lines)
    assert all(len(one) + len(other) > 2048 for one, other in pairwise(lines))
