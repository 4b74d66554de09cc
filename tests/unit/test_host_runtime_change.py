"""A change without a new process ends as the new config says, empties no backend, and never fails in silence."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from haproxy_apply.journal import Journal
from haproxy_apply.model import Model, Server
from haproxy_apply.runtime_change import (
    MAX_STEPS,
    WARM_SECONDS,
    Refused,
    Step,
    carry_out,
    fitting_steps,
    is_able,
    takes_servers,
)
from haproxy_apply.server_state import Connections, connections, runs
from tests.in_memory_haproxy import (
    MAINTENANCE,
    STOPPED,
    Running,
    Worker,
    model,
    server,
)

PLACES = ["10.77.1.1:80", "10.77.1.2:80", "10.77.1.2:8080", "[fd77::1]:80"]
NAMES = [f"{backend}/s{number}" for backend in ("app", "api") for number in range(4)]
CHECK = "check inter 1s"
MANY = settings(max_examples=100)


@dataclass
class Case:
    """Two configs, and a worker that runs the old one; not all of its servers are as they were started."""

    old: Model
    new: Model
    start: Callable[[], Worker]

    @property
    def steps(self) -> tuple[Step, ...]:
        """Of cases that take a new process nothing is to be said here."""
        steps = fitting_steps(self.old, self.new, self.start().state())
        assume(steps is not None)
        return steps or ()


def lines(name: str) -> st.SearchStrategy[Server]:
    """A server of this name."""
    return st.builds(
        server,
        st.just(name),
        st.sampled_from(PLACES),
        st.sampled_from(["", CHECK, CHECK, "check rise 1 agent-check agent-port 9"]),
        weight=st.sampled_from(["1", "1", "7", "0"]),
        is_disabled=st.sampled_from([False, False, False, True]),
    )


def _is_elsewhere(before: Server | None, after: Server) -> bool:
    return before is not None and before[1:3] != after[1:3]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A server may stay, go, come, or change as the Runtime API can change it; some are DOWN, busy, or left over."""
    old: dict[str, Server] = {}
    new: dict[str, Server] = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=2)):
        it = draw(lines(name))
        where = draw(st.sampled_from(["old", "new", "both", "both", "changed"]))
        old |= {name: it} if where != "new" else {}
        new |= {name: it} if where != "old" else {}
        if where == "changed":
            other = draw(lines(name))
            kept = draw(st.sampled_from([("address", "port"), ("weight",), ()]))
            new[name] = it._replace(
                address=it.address if "address" in kept else other.address,
                port=it.port if "port" in kept else other.port,
                weight=it.weight if "weight" in kept else other.weight,
                is_disabled=other.is_disabled if "port" in kept else it.is_disabled,
            )
    assume(old and new)
    chosen = st.sets(st.sampled_from(sorted(old)))
    down, drained, busy = draw(st.tuples(chosen, chosen, chosen))
    busy -= {name for name, it in new.items() if _is_elsewhere(old.get(name), it)}
    left_over = draw(st.sampled_from(["app/gone", "api/s0"]))

    def start() -> Worker:
        worker = Worker.of(model(*old.values()))
        for name, it in worker.servers.items():
            it.is_busy = name in busy
            it.op = STOPPED if name in down else it.op
            it.weight = 0 if name in drained else it.weight
        if left_over not in old:
            worker.servers[left_over] = Running(
                "10.77.1.9", "80", 1, 1, op=STOPPED, admin=MAINTENANCE
            )
        return worker

    return Case(model(*old.values()), model(*new.values()), start)


def changed(case: Case) -> dict[str, Server]:
    """The servers that the new config adds or says otherwise."""
    old = {it.name: it for it in case.old.servers}
    return {it.name: it for it in case.new.servers if old.get(it.name) != it}


def carried_out(worker: Worker, steps: tuple[Step, ...]) -> tuple[str, ...]:
    """Carry it out; whoever stays is told."""
    return carry_out(steps, worker, Journal(), worker.sleep)


@MANY
@given(cases())
def test_after_a_change_the_worker_runs_the_new_servers(case: Case) -> None:
    """With address, weight and `disabled` of the new config; whoever else is still there is in maintenance."""
    worker = case.start()
    staying = carried_out(worker, case.steps)
    assert runs(worker.state(), case.new)
    assert set(worker.servers) == {it.name for it in case.new.servers} | set(staying)
    assert all(worker.servers[name].admin & MAINTENANCE for name in staying)
    for name, it in changed(case).items():
        assert bool(worker.servers[name].admin & MAINTENANCE) == it.is_disabled


@MANY
@given(cases())
def test_nobody_is_touched_but_whom_the_config_changes(case: Case) -> None:
    """No command names another server; a weight is set where the config changes it, and is the operator's elsewhere."""
    worker, before = case.start(), case.start()
    steps = case.steps
    carried_out(worker, steps)
    named = {step.name for step in steps}
    assert {command.split(" ")[2] for command in worker.commands} <= named
    assert not named & {it.name for it in case.new.servers if it in case.old.servers}
    weights = {it.name: it.weight for it in case.old.servers}
    for it in case.new.servers:
        is_weighed = weights.get(it.name) != it.weight
        weight = int(it.weight) if is_weighed else before.servers[it.name].weight
        assert worker.servers[it.name].weight == weight


@MANY
@given(cases())
def test_while_a_server_moves_another_one_of_its_backend_is_up(case: Case) -> None:
    """From the first command to the removals, even if nobody new is well; and after them, too, if somebody is."""
    steps = case.steps
    moved = {step.name for step in steps if step.action == "move"}
    unsure = case.start()
    unsure.is_well = lambda name: name not in changed(case)
    carried_out(unsure, tuple(step for step in steps if step.action != "remove"))
    sure = case.start()
    carried_out(sure, steps)
    for backend in {name.partition("/")[0] for name in moved}:
        assert all(serving_in(backend, unsure))
        # Where the new config has nobody who could serve, its removals leave nobody.
        assert all(serving_in(backend, sure)) or not serving_in(backend, sure)[-1]


def serving_in(backend: str, worker: Worker) -> list[list[str]]:
    """Who of a backend was serving after each command, and after each wait."""
    return [
        [name for name in names if name.startswith(f"{backend}/")]
        for names in worker.after_each
    ]


@MANY
@given(cases())
def test_a_new_server_gets_nothing_before_its_first_good_check(case: Case) -> None:
    """Also if that never comes."""
    added = changed(case).keys() - {it.name for it in case.old.servers}
    checked = {it.name for it in case.new.servers if it.name in added and it.is_checked}
    worker = case.start()
    worker.is_well = lambda name: name not in added
    carried_out(worker, case.steps)
    assert not any(checked & names for names in worker.after_each)


@MANY
@given(cases(), st.sampled_from(["Permission denied\n\n", "No such server.\n", None]))
def test_no_refusal_passes_in_silence(case: Case, refusal: str | None) -> None:
    """Whichever command is refused, or not answered: it fails there, and the log says what was answered to what.

    Two refusals are no failure, and are noted: a server that is not deleted stays in maintenance, and one that is not
    told that its check was good comes up by itself. But who is to be added anew has to be deleted first.
    """
    steps = case.steps
    in_the_way = {
        f"del server {step.name}" for step in steps if step.action.startswith("add")
    }
    untroubled = case.start()
    carried_out(untroubled, steps)
    for number, command in enumerate(untroubled.commands):
        worker, journal = case.start(), Journal()
        ask = refusing(worker, number, refusal)
        answer = (refusal or "no answer").strip()
        if command in in_the_way:
            with pytest.raises(Refused, match="add server"):
                carry_out(steps, ask, journal, worker.sleep)
        elif command.startswith("del ") or command.endswith("health up"):
            carry_out(steps, ask, journal, worker.sleep)
            assert runs(worker.state(), case.new)
        else:
            with pytest.raises(Refused, match=command.replace("[", r"\[")):
                carry_out(steps, ask, journal, worker.sleep)
            assert worker.commands == untroubled.commands[:number]
        assert f"{command}: {answer}" in journal.log


def refusing(worker: Worker, number: int, refusal: str | None) -> Callable[[str], str]:
    """The worker's socket, which refuses one command (counted from 0), or does not answer it."""

    def ask(command: str) -> str:
        if not command.startswith("show ") and len(asked) == number:
            asked.append(command)
            if refusal is None:
                raise ConnectionResetError
            return refusal
        asked.extend([command][: not command.startswith("show ")])
        return worker(command)

    asked: list[str] = []
    return ask


def told(
    old: Model, new: Model, worker: Worker | None = None
) -> tuple[list[str], Journal, tuple[str, ...]]:
    """The commands of a change, what it says beside them, and who stays in maintenance."""
    worker, journal = worker or Worker.of(old), Journal()
    steps = fitting_steps(old, new, worker.state())
    assert steps is not None
    staying = carry_out(steps, worker, journal, worker.sleep)
    return worker.commands, journal, staying


POOL = " pool-purge-delay 5s pool-max-conn -1"
CUT = "on-marked-down shutdown-sessions"
S1, S2 = server("s1"), server("s2", "10.77.1.2:80")


@pytest.mark.parametrize(
    ("before", "after", "commands"),
    [
        (S2, S2, []),
        (
            None,
            server("s2", "10.77.1.2:80", "maxconn 9", weight="7"),
            [
                f"add server app/s2 10.77.1.2:80 weight 7 maxconn 9{POOL}",
                "set server app/s2 state ready",
            ],
        ),
        (
            None,
            server("s2", "[fd77::1]:80", "check agent-check agent-port 9"),
            [
                f"add server app/s2 [fd77::1]:80 weight 1 check agent-check agent-port 9{POOL}",
                "enable agent app/s2",
                "set server app/s2 state drain",
                "enable health app/s2",
                "set server app/s2 health down",
                "set server app/s2 state ready",
                "set server app/s2 health up",
            ],
        ),
        (
            None,
            server("s2", "10.77.1.2:80", CHECK, is_disabled=True),
            [f"add server app/s2 10.77.1.2:80 weight 1 check inter 1s{POOL}"],
        ),
        (S2, S2._replace(weight="0"), ["set server app/s2 weight 0"]),
        (
            server("s2", options=CUT),
            server("s2", options=CUT, weight="0"),
            ["set server app/s2 weight 0"],
        ),
        (S2, S2._replace(is_disabled=True), ["set server app/s2 state maint"]),
        (S2._replace(is_disabled=True), S2, ["set server app/s2 state ready"]),
        (
            S2,
            server("s2", "[fd77::1]:81", weight="2"),
            [
                "set server app/s2 state maint",
                "set server app/s2 addr fd77::1 port 81",
                "set server app/s2 state ready",
                "set server app/s2 weight 2",
            ],
        ),
        (
            server("s2", options=CHECK),
            server("s2", "10.77.1.2:81", CHECK),
            [
                "set server app/s2 state maint",
                "set server app/s2 addr 10.77.1.2 port 81",
                "set server app/s2 state drain",
                "enable health app/s2",
                "set server app/s2 health down",
                "set server app/s2 state ready",
                "set server app/s2 health up",
            ],
        ),
        (S2, None, ["set server app/s2 state maint", "del server app/s2"]),
    ],
    ids=["same", "add", "add-checked", "add-disabled", "weigh",
         "weigh-one-that-cuts", "stop", "resume", "move", "move-checked", "remove"],
)  # fmt: skip
def test_what_haproxy_is_told(
    before: Server | None, after: Server | None, commands: list[str]
) -> None:
    """Word for word, beside a server that stays."""
    old, new = (model(S1, *filter(None, [it])) for it in (before, after))
    assert told(old, new)[0] == commands


def test_nobody_waits_without_a_reason() -> None:
    """A look at the first check, none at what is never checked."""
    looks = []
    for added in (server("s2"), server("s2", options=CHECK)):
        worker = Worker.of(model(S1))
        planned = fitting_steps(model(S1), model(S1, added), worker.state())
        assert planned is not None
        carry_out(planned, worker, Journal(), worker.sleep)
        looks.append(
            sum(command == "show servers state" for command, _ in worker.answers)
        )
    assert looks == [0, 1]


def test_removals_come_last_and_leftovers_go_first() -> None:
    """Whoever replaces a server is up before it goes; a name that is still there in maintenance is free again."""
    worker = Worker.of(model(S1))
    worker.servers["app/s2"] = Running("10.77.1.9", "80", 1, 1, admin=MAINTENANCE)
    assert told(model(S1), model(S2), worker)[0] == [
        "del server app/s2",
        f"add server app/s2 10.77.1.2:80 weight 1{POOL}",
        "set server app/s2 state ready",
        "set server app/s1 state maint",
        "del server app/s1",
    ]


def test_a_busy_server_stays_in_maintenance() -> None:
    """It is asked for a second, and noted then; one that an earlier change has left is asked once."""
    old, left_over = model(S1, S2), Running("10.77.1.9", "80", 1, 1, admin=MAINTENANCE)
    worker = Worker.of(old)
    worker.servers["app/gone"] = left_over
    left_over.is_busy = worker.servers["app/s2"].is_busy = True
    commands, journal, staying = told(old, model(S1), worker)
    assert commands == ["set server app/s2 state maint"]
    asked = [
        command for command, _ in worker.answers if command == "show servers conn app"
    ]
    assert len(asked) == 1 + 5
    assert staying == ("app/gone", "app/s2")
    assert journal.notes == ["servers-left-in-maintenance"]


@pytest.mark.fault("F202")
@pytest.mark.parametrize("becomes_free", [True, False])
def test_a_server_moves_when_nobody_is_connected(becomes_free: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    """A connection that comes free is kept, and leads to where it was: it is closed, or a new process has to do it."""
    old = model(S1, server("s2", "10.77.1.2:80"))
    new = model(S1, server("s2", "10.77.1.3:80"))
    worker = Worker.of(old)
    worker.servers["app/s2"].is_busy = True

    def sleep(_seconds: float) -> None:
        worker.servers["app/s2"].is_busy = not becomes_free
        worker.servers["app/s2"].kept += becomes_free

    planned = fitting_steps(old, new, worker.state())
    assert planned is not None
    if becomes_free:
        carry_out(planned, worker, Journal(), sleep)
        assert runs(worker.state(), new)
        assert worker.servers["app/s2"].kept == 0
    else:
        journal = Journal()
        with pytest.raises(Refused):
            carry_out(planned, worker, journal, sleep)
        assert worker.servers["app/s2"].address == "10.77.1.2"
        assert "app/s2 still has connections" in journal.log


TITLES = (
    "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb"
    " idle_lim idle_cur idle_per_thr[2]"
)

WITH_A_POOL = "app/s1 3/1 10.77.1.1 80 - 5000 1 9 9 2 3 -1 5 1 4"
WITHOUT_ONE = "app/s2 3/2 10.77.1.1 80 - 0 0 1 1 0 0 0 0"


@pytest.mark.fault("F202")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", {}),
        ("Unknown command", {}),
        (
            "# bkname/svname bkid/svid used_cur\napp/s1 3/1 4\n",
            {"app/s1": Connections(used=4)},
        ),
        (
            f"{TITLES}\n{WITH_A_POOL}\n{WITHOUT_ONE}\n",
            {"app/s1": Connections(1, 10), "app/s2": Connections()},
        ),
    ],
    ids=["nothing", "unknown", "fewer columns", "as 2.6 says it"],
)
def test_connections_are_counted_by_the_titles(
    answer: str, expected: dict[str, Connections]
) -> None:
    """Those that are used and those that are kept."""
    assert connections(answer) == expected


RANDOM = (
    "defaults",
    "backend app",
    "balance random",
    "backend api",
    "balance leastconn",
)


@pytest.mark.fault("F203")
@pytest.mark.parametrize(
    ("rest", "version", "expected"),
    [
        (RANDOM, "2.6.12-1+deb12u4", False),
        (RANDOM, "2.8.24", False),
        (RANDOM, "2.8.25-5cf5d0683", True),
        (RANDOM, "2.9.15", False),
        (RANDOM, "3.0.11", True),
        (RANDOM, "", False),
        (("backend app", "balance uri", "hash-type consistent"), "2.6.12", False),
        (("defaults d", "balance random(3)", "backend app"), "2.6.12", False),
        (("backend app", "balance roundrobin"), "2.6.12", True),
        (("backend api", "balance random", "backend app"), "2.6.12", True),
    ],
)
def test_an_older_haproxy_that_shares_by_a_hash_takes_no_servers(
    rest: tuple[str, ...],
    version: str,
    expected: bool,  # noqa: FBT001 - a parameter of pytest's
) -> None:
    """Only where servers are added to such a backend."""
    old = model(S1, rest=rest)
    assert takes_servers(old, model(S1, S2, rest=rest), version) == expected
    assert takes_servers(old, model(S1._replace(weight="7"), rest=rest), version)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Require 'backend/server'.\n", True),
        ("Unknown command. Please enter one of the following commands only :\n", False),
        (OSError(), False),
    ],
)
def test_a_haproxy_is_asked_whether_it_can_add_servers(
    answer: str | OSError,
    expected: bool,  # noqa: FBT001 - a parameter of pytest's
) -> None:
    """Only where one is to be added; nothing was changed yet."""

    def ask(command: str) -> str:
        assert command == "add server"
        if isinstance(answer, OSError):
            raise answer
        return answer

    old, new = model(S1), model(S1, S2)
    adding = fitting_steps(old, new, Worker.of(old).state())
    assert adding
    assert is_able(adding, ask) == expected
    removing = fitting_steps(new, old, Worker.of(new).state())
    assert removing
    assert is_able(removing, ask)


def test_a_server_that_becomes_idle_goes() -> None:
    """Its last client is given a moment."""
    worker = Worker.of(model(S1, S2))
    busy = worker.servers["app/s2"]
    busy.is_busy = True

    def sleep(_seconds: float) -> None:
        busy.is_busy = False

    planned = fitting_steps(model(S1, S2), model(S1), worker.state())
    assert planned is not None
    assert carry_out(planned, worker, Journal(), sleep) == ()
    assert worker.servers.keys() == {"app/s1"}


def test_a_server_without_a_good_check_in_time_is_noted_and_left_down() -> None:
    """It is looked after for WARM_SECONDS, also where a question is not answered."""
    slept: list[float] = []
    worker, journal = Worker.of(model(S1)), Journal()

    def ask(command: str) -> str:
        if command.startswith("show "):
            raise TimeoutError
        return worker(command)

    steps = fitting_steps(
        model(S1), model(S1, server("s3", options=CHECK)), worker.state()
    )
    assert steps is not None
    assert carry_out(steps, ask, journal, slept.append) == ()
    assert sum(slept) == pytest.approx(WARM_SECONDS)
    assert journal.notes == ["servers-not-up-yet"]
    assert worker.serving == {"app/s1"}


def test_a_good_check_in_the_last_moment_is_one() -> None:
    """Nothing is noted then."""
    worker, journal, slept = Worker.of(model(S1)), Journal(), list[float]()
    worker.is_well = lambda _name: sum(slept) > WARM_SECONDS - 0.1

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        worker.sleep(seconds)

    new = model(S1, server("s3", options=CHECK))
    planned = fitting_steps(model(S1), new, worker.state())
    assert planned is not None
    assert carry_out(planned, worker, journal, sleep) == ()
    assert worker.serving == {"app/s1", "app/s3"}
    assert journal.notes == []


@pytest.mark.parametrize(
    "answer", ["", "\n", "Server deleted.\n", "x\nNew server registered.\n"]
)
def test_only_its_own_answer_is_a_yes(answer: str) -> None:
    """Silence is none where HAProxy says something, nor is what it says to other commands."""
    steps = (
        Step("add", "app/s2", "10.77.1.2", "80", "1", is_checked=False, options="-"),
    )
    with pytest.raises(Refused):
        carry_out(steps, lambda _command: answer, Journal(), lambda _seconds: None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [server("s2", "localhost:80")]),
        ([], [server("s2", "ipv4@10.77.1.2:80")]),
        ([], [server("s2", "/run/app.sock:-")]),
        ([], [server("s2", "10.77.1.2:+80")]),
        ([S2], [server("s2", "10.77.1.2:80", "maxconn 7")]),
        ([S2], [server("s2", "localhost:80")]),
        ([server("s2", options=CUT)], []),
        ([server("s2", options=CUT)], [server("s2", options=CUT, is_disabled=True)]),
        ([server("s2", options=CUT)], [server("s2", "10.77.1.2:80", CUT)]),
        ([S2], [server("s2", "10.77.1.9:80", is_disabled=True)]),
        ([S2._replace(is_disabled=True)], [server("s2", "10.77.1.9:80")]),
        ([], [server(f"x{number}") for number in range(MAX_STEPS + 1)]),
    ],
    ids=[
        "name", "family", "socket", "relative-port", "keyword", "to-a-name", "removal-cuts-sessions",
        "maintenance-cuts-sessions", "move-cuts-sessions", "moved-and-stopped", "moved-and-resumed", "too-many",
    ],
)  # fmt: skip
def test_what_takes_a_new_process(before: list[Server], after: list[Server]) -> None:
    """Beside a server that stays, which is up."""
    old, new = model(S1, *before), model(S1, *after)
    assert fitting_steps(old, new, Worker.of(old).state()) is None


def test_as_many_steps_as_are_allowed() -> None:
    """One more is too many, see above."""
    new = model(S1, *(server(f"x{number}") for number in range(MAX_STEPS)))
    steps = fitting_steps(model(S1), new, Worker.of(model(S1)).state())
    assert steps is not None
    assert len(steps) == MAX_STEPS


@pytest.mark.parametrize(
    "others",
    [
        [],
        [server("api/s1")],
        [server("s1", is_disabled=True)],
        [server("s1", weight="0")],
        [server("s1", options=CHECK)],
    ],
    ids=["none", "of-another-backend", "disabled", "without-weight", "down"],
)
def test_nobody_moves_away_from_clients(others: list[Server]) -> None:
    """No other server of its backend is up: even one that is not checked cannot leave for a moment."""
    worker = Worker.of(model(S2, *others))
    for name, it in worker.servers.items():
        it.op = (
            STOPPED if others and others[0].is_checked and name == "app/s1" else it.op
        )
    new = model(server("s2", "10.77.1.9:80"), *others)
    assert fitting_steps(model(S2, *others), new, worker.state()) is None


@pytest.mark.parametrize(
    "other",
    [
        server("s1", "10.77.1.9:80", CHECK),
        server("s1", options=CHECK, weight="0"),
        server("s1", options=CHECK, is_disabled=True),
    ],
    ids=["moved", "drained", "stopped"],
)
def test_what_the_same_change_does_to_the_others_counts(other: Server) -> None:
    """The other one is up, but not all the while."""
    old = model(server("s1", options=CHECK), server("s2", options=CHECK))
    new = model(other, server("s2", "10.77.1.2:80", CHECK))
    assert fitting_steps(old, new, Worker.of(old).state()) is None
    assert fitting_steps(
        old, model(old.servers[0], new.servers[1]), Worker.of(old).state()
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (server("s1"), server("s1", weight="7")),
        (server("s1"), server("s1", "10.77.1.9:80")),
        (server("s1", weight="0"), server("s1", weight="0")),
        (server("s1"), None),
    ],
    ids=["weighed", "moved-unchecked", "weighed-by-an-operator", "removed-in-the-end"],
)
def test_who_is_there_all_the_while_stands_in(
    before: Server, after: Server | None
) -> None:
    """A server that is not checked is ready again before the next one moves, and removals come last."""
    old = model(before, S2)
    new = model(*filter(None, [after]), server("s2", "10.77.1.3:80"))
    worker = Worker.of(old)
    worker("set server app/s1 weight 5")
    assert fitting_steps(old, new, worker.state())


def test_a_worker_that_runs_something_else_is_not_changed() -> None:
    """Somebody has moved one of its servers, or it did not answer."""
    worker = Worker.of(model(S1))
    worker("set server app/s1 addr 10.77.1.9 port 80")
    assert fitting_steps(model(S1), model(S1, S2), worker.state()) is None
    assert fitting_steps(model(S1), model(S1, S2), "") is None
    both = Worker.of(model(S1, S2)).state()
    assert fitting_steps(model(S1), model(S1, S2), both) is None
    assert fitting_steps(model(S1, S2), model(S1), Worker.of(model(S1)).state()) is None


def test_another_spelling_of_a_number_is_no_step() -> None:
    """HAProxy reads 010 as 10."""
    old, new = (
        model(server("s1", f"10.77.1.1:{port}", weight=weight))
        for port, weight in [("80", "10"), ("080", "010")]
    )
    assert fitting_steps(old, new, Worker.of(old).state()) == ()


def test_servers_that_are_not_understood_are_nobodys_business() -> None:
    """The caller compares their lines; no step comes of them, be they templates or written in quotes."""
    old = model(S1, server("s*", "10.77.1.1:80", is_plain=False))
    new = model(S1, server("s*", "10.77.1.2:80", is_plain=False))
    assert fitting_steps(old, new, Worker.of(model(S1)).state()) == ()
