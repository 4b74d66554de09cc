"""Saved server state carries what happened to a server, and never what the file says of it."""

import contextlib
import http.client
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style, self_signed, wait_until
from tests.host.apply_step import (
    CONDITIONS,
    ApplyStep,
    digest,
    kill_when,
    state_of,
    stateful,
)

type MakeProxy = Callable[..., ProxyHost]

CHECK = "check inter 300ms"


@pytest.fixture
def tls(backends: tuple[BackendHost, ...], tmp_path: Path) -> Iterator[None]:
    """The backends answer over TLS too, on port 8443; in clear text nothing answers there."""
    pem = tmp_path / "backend.pem"
    pem.write_text(self_signed("backend.example.test"))
    with contextlib.ExitStack() as stack:
        for host in backends:
            listen = f"OPENSSL-LISTEN:8443,fork,reuseaddr,verify=0,cert={pem}"
            stack.enter_context(
                host.beside(["socat", listen, "TCP:127.0.0.1:8080"], port=8443)
            )
        yield


def serving(client: Client, proxy: ProxyHost) -> set[str]:
    """Who answers a few requests with 200."""
    answers = [client.get(str(proxy.ipv4)) for _ in range(6)]
    return {answer.headers["x-backend"] for answer in answers if answer.status == 200}


def is_served(client: Client, proxy: ProxyHost) -> bool:
    """Whether a request is answered with 200; where a server hangs up, HAProxy says 502, and 2.2 hangs up as well."""
    with contextlib.suppress(http.client.RemoteDisconnected):
        return client.get(str(proxy.ipv4)).status == HTTPStatus.OK
    return False


def proven(proxy: ProxyHost, text: str) -> ApplyStep:
    """The step on a proxy that is proven to run this file."""
    proxy.start(text)
    step = ApplyStep(proxy)
    assert step.run(text, ReloadMethod="seamless")["running_md5"] == digest(text)
    return step


@pytest.mark.usefixtures("tls")
@pytest.mark.parametrize("where", ["server", "default-server"])
def test_tls_that_is_switched_on_is_spoken(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    where: str,
) -> None:
    """A server whose state is carried over is spoken to in TLS as soon as the file says so, and in clear as it says."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    plain = stateful(*backends, options="").replace(":8080", ":8443")
    if where == "server":
        after = plain.replace(":8443", ":8443 ssl verify none")
    else:
        after = plain.replace(
            "    balance", "    default-server ssl verify none\n    balance"
        )
    proxy.start(plain)
    step = ApplyStep(proxy)
    assert step.run(after, ReloadMethod="seamless").says("installed")
    assert serving(client, proxy) == {"app-1", "app-2", "app-3"}
    assert step.run(plain, ReloadMethod="seamless").says("installed")
    assert not any(is_served(client, proxy) for _ in range(6))


@pytest.mark.usefixtures("tls")
@pytest.mark.parametrize("where", ["server", "default-server"])
def test_a_new_tls_server_is_spoken_to_in_tls(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    where: str,
) -> None:
    """It is born DOWN among others that are up, checked over TLS, and then answers."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    before = stateful(*backends[:2], options=CHECK)
    proxy.start(before)
    new = (
        "    server app-3 10.77.1.3:8443 "
        + CHECK
        + (" ssl verify none" if where == "server" else "")
    )
    default = (
        "    default-server ssl verify none\n" if where == "default-server" else ""
    )
    assert (
        ApplyStep(proxy)
        .run(before + default + new + "\n", ReloadMethod="seamless")
        .says("installed")
    )
    wait_until(lambda: state_of(proxy)["app-3"][1] == 2, what=lambda: state_of(proxy))
    assert serving(client, proxy) == {"app-1", "app-2", "app-3"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{CHECK} port 8080", f"{CHECK} port 9000"),
        (f"{CHECK} addr 10.77.1.1", f"{CHECK} addr 10.77.1.1 port 9000"),
        (f"{CHECK} addr 127.0.0.1 port 80", f"{CHECK} addr 127.0.0.1 port 9000"),
        (f"{CHECK} addr 127.0.0.1 port 80", f"{CHECK} addr 10.77.1.1 port 9000"),
        (
            "agent-check agent-inter 300ms agent-port 9000 agent-addr 127.0.0.1",
            "agent-check agent-inter 300ms agent-port 9001 agent-addr 127.0.0.1",
        ),
    ],
    ids=["port", "port-added", "port-beside-address", "address", "agent"],
)
def test_checks_go_where_the_file_says(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    before: str,
    after: str,
) -> None:
    """The new file checks where nothing is well: the servers go down, and come back with the file after it."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(stateful(*backends, options=before))
    step = ApplyStep(proxy)
    with proxy.beside(["socat", "TCP-LISTEN:9001,fork,reuseaddr", "EXEC:echo down"]):
        assert step.run(
            stateful(*backends, options=after), ReloadMethod="seamless"
        ).says("installed")
        wait_until(
            lambda: client.get(str(proxy.ipv4)).status == 503,
            what=lambda: state_of(proxy),
        )
    if "agent" not in before:
        assert step.run(
            stateful(*backends, options=before), ReloadMethod="seamless"
        ).says("installed")
        wait_until(
            lambda: len(serving(client, proxy)) == 3, what=lambda: state_of(proxy)
        )


@pytest.mark.fault("F94")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("inter 1h", "inter 1h"),
        ("inter 1h", "inter 2h maxconn 70 rise 3 port 8080 slowstart 1s"),
        ("inter 1h", "inter 1h ssl verify none"),
    ],
    ids=["nothing", "many-words", "tls"],
)
def test_an_edit_of_every_server_line_forgets_nothing(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    haproxy: dict[str, Any],
    before: str,
    after: str,
) -> None:
    """DOWN, drain, maintenance and a run-time weight survive whatever changes beside address and port.

    The server that is DOWN is a healthy one, seldom checked: a forgotten state would not be found by the next check.
    """
    text = (
        stateful(*backends, options="check {} weight 10")
        + "    server down 10.77.1.1:8080 check {} weight 10\n"
    )
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(text.format(*[before] * 4))
    proxy.ask(
        "set server app/app-1 state drain; set server app/app-2 state maint; set server app/app-3 weight 5"
    )
    proxy.ask("set server app/down health down")
    wait_until(lambda: state_of(proxy)["down"][1] == 0)
    recorded = state_of(proxy)
    # The checks of the new worker would bring the servers that answer no TLS down.
    text = text.replace(
        "app-3 10.77.1.3:8080 check {}", "app-3 10.77.1.3:8080 check {} inter 1h"
    )
    changed = text.replace("roundrobin", "leastconn").format(*[after] * 4)
    assert ApplyStep(proxy).run(changed, ReloadMethod="seamless").says("installed")
    state = state_of(proxy)
    assert state["down"] == recorded["down"]
    assert state["app-3"] == recorded["app-3"]
    assert (state["app-1"][2], state["app-2"][2]) == (
        recorded["app-1"][2],
        recorded["app-2"][2],
    )
    assert all((recorded["app-1"][2], recorded["app-2"][2]))


def test_a_weight_that_the_file_changes_wins_over_one_set_at_run_time(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """The later word counts, as in HAProxy itself: an operator's weight lasts until the file gives another one."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(stateful(*backends, options="check weight 10"))
    proxy.ask("set server app/app-1 weight 3; set server app/app-2 weight 3")
    step = ApplyStep(proxy)
    after = stateful(*backends, options="check weight 10").replace(
        "2:8080 check weight 10", "2:8080 check weight 4"
    )
    assert step.run(after, ReloadMethod="seamless").says("installed")
    assert {name: state[3] for name, state in state_of(proxy).items()} == {
        "app-1": 3,
        "app-2": 4,
        "app-3": 10,
    }


@pytest.mark.parametrize("word", ["weight 0", "weight 9", "disabled"])
def test_what_the_file_takes_back_is_gone_however_it_came(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    word: str,
) -> None:
    """Set without a reload and taken back with one, or the other way round: the file's last word is what runs."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    text = stateful(*backends)
    special = text.replace("app-2 10.77.1.2:8080", f"app-2 10.77.1.2:8080 {word}")
    step = proven(proxy, text)
    usual, without = state_of(proxy), serving(client, proxy)

    def reloaded(wanted: str) -> tuple[int, int]:
        assert step.run(wanted, ReloadMethod="seamless").says(
            "installed", method="seamless"
        )
        return state_of(proxy)["app-2"][2:4]

    assert step.run(special, ReloadMethod="runtime").says("installed", method="runtime")
    changed = state_of(proxy)["app-2"]
    assert reloaded(text.replace("roundrobin", "leastconn")) == usual["app-2"][2:4]
    wait_until(lambda: serving(client, proxy) == without)
    assert reloaded(special)[1] == changed[3]
    assert step.run(text, ReloadMethod="runtime").says("installed", method="runtime")
    assert step.run(special, ReloadMethod="seamless").says(
        "installed", method="seamless"
    )
    assert bool(state_of(proxy)["app-2"][2] & 1) == (word == "disabled")
    assert state_of(proxy)["app-2"][3] == changed[3]
    assert ("app-2" in serving(client, proxy)) == (word == "weight 9")


def test_a_weight_set_at_run_time_by_the_step_is_no_reason_to_lose_an_operators(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """HAProxy compares with the weight of its start, which the step's own changes have long replaced."""
    proxy = make_proxy(Style.MASTER_WORKER)
    step = proven(proxy, stateful(*backends, options="check weight 10"))
    text = stateful(*backends, options="check weight 20")
    assert step.run(text, ReloadMethod="runtime").says("installed", method="runtime")
    proxy.ask("set server app/app-1 weight 7")
    assert step.run(
        text.replace("roundrobin", "leastconn"), ReloadMethod="seamless"
    ).says("installed")
    assert [state[3] for state in state_of(proxy).values()] == [7, 20, 20]


def test_a_server_that_was_down_serves_when_the_file_stops_checking_it(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
) -> None:
    """Without a check nothing would ever bring it up again."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(stateful(backends[0], options=f"{CHECK} port 81"))
    wait_until(lambda: state_of(proxy)["app-1"][1] == 0)
    assert (
        ApplyStep(proxy)
        .run(stateful(backends[0], options=""), ReloadMethod="seamless")
        .says("installed")
    )
    assert serving(client, proxy) == {"app-1"}


@pytest.mark.usefixtures("backends")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "server-template app- 1-3 10.77.1.1:81 {}",
            "server-template app- 1-3 10.77.1.1:8080 {}",
        ),
        ('server "app-1" 10.77.1.1:81 {}', 'server "app-1" 10.77.1.1:8080 {}'),
        ("server app-1 10.77.1.1:8080 {}", "server app-1 10.77.1.1 {}"),
        ("server app-1 10.77.1.1:81 {}", "server app-1 10.77.1.1:+8000 {}"),
        (
            "server-template app- 1-1 10.77.1.1:81 {}",
            "server-template app- 1-1 10.77.1.1:8080 {}",
        ),
        (
            "server-template app- 1-2 10.77.1.1:81\n server-template app- 3-4 10.77.1.2:81 {}",
            "server-template app- 1-2 10.77.1.1:8080\n server-template app- 3-4 10.77.1.2:8080 {}",
        ),
        pytest.param(
            ".if defined(X)\n server app-1 10.77.1.1:81\n.else\n server app-1 10.77.1.1:81 {}\n.endif",
            ".if defined(X)\n server app-1 10.77.1.1:81\n.else\n server app-1 10.77.1.1:8080 {}\n.endif",
            marks=CONDITIONS,
        ),
    ],
    ids=[
        "template",
        "quoted",
        "no-port",
        "relative-port",
        "one-of-a-template",
        "two-templates",
        "condition",
    ],
)
def test_the_port_of_the_file_wins_in_every_form(
    make_proxy: MakeProxy, haproxy: dict[str, Any], before: str, after: str
) -> None:
    """HAProxy takes the port of a state line as it is, also for a server that the file gives another one."""

    def text(server: str, options: str = "") -> str:
        return stateful() + "    " + server.format(options) + "\n"

    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    step = ApplyStep(proxy)
    proxy.start(text(after))
    expected = state_of(proxy)["app-1"][0]
    proxy.stop()
    proxy.start(text(before))
    assert step.run(text(after), ReloadMethod="seamless").says("installed")
    assert state_of(proxy)["app-1"][0] == expected
    # A form of its own is no reason to forget what is the same.
    proxy.ask("set server app/app-1 state drain")
    assert step.run(text(after, "maxconn 70"), ReloadMethod="seamless").says(
        "installed"
    )
    assert state_of(proxy)["app-1"][2]


@pytest.mark.parametrize(
    "address",
    [
        "[fd77:0::0001:1]:8080",
        "ipv6@FD77::1:1:8080",
        "[::ffff:10.77.1.1]:8080",
        "[::ffff:a4d:101]:8080",
        pytest.param("tcp4@10.77.1.1:8080", marks=pytest.mark.since("2.4", "`tcp4@`")),
        "unix@/run/app.sock",
        "localhost:8080",
        "*:8080",
        ":8080",
    ],
)
def test_an_address_is_the_same_in_every_spelling(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], address: str
) -> None:
    """A drain is kept although HAProxy shows the address in another way than the file, or not at all."""
    text = stateful(backends[0], options="") + f"    server other {address}\n"
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(text)
    step = ApplyStep(proxy)
    proxy.ask("set server app/other state drain")
    drained = state_of(proxy)["other"]
    assert drained[2]
    assert step.run(
        text.replace("roundrobin", "leastconn"), ReloadMethod="seamless"
    ).says("installed")
    assert state_of(proxy)["other"] == drained


def test_a_drained_server_is_no_reason_to_hold_a_new_one_back(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """With weight 0 the only other one gets nothing: the pool would be empty until the first check."""
    proxy = make_proxy(Style.MASTER_WORKER)
    text = stateful(backends[0], options="check inter 30s weight 0")
    step = proven(proxy, text)
    after = text + "    server app-2 10.77.1.2:8080 check inter 30s\n"
    assert step.run(after, ReloadMethod="seamless").says("installed")
    assert serving(client, proxy) == {"app-2"}


@pytest.mark.usefixtures("backends")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "server-template app- 1-2 10.77.1.1:8080 check inter 300ms port 81",
            "server-template app- 1-2 10.77.1.1:8080",
        ),
        (
            'server app-1 "10.77.1.1:8080" check inter 300ms port 81',
            'server app-1 "10.77.1.1:8080"',
        ),
        (
            "server-template app- 1-2 10.77.1.1:8080 disabled",
            "server-template app- 1-2 10.77.1.1:8080",
        ),
    ],
    ids=["template", "quoted", "template-disabled"],
)
def test_nothing_stays_out_because_of_a_word_that_is_gone(
    make_proxy: MakeProxy, client: Client, before: str, after: str
) -> None:
    """Without a check, or without `disabled`, in forms that the step does not take apart either."""
    head = stateful() + "    "
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(f"{head}{before}\n")
    wait_until(lambda: state_of(proxy)["app-1"][1] == 0 or state_of(proxy)["app-1"][2])
    assert (
        ApplyStep(proxy)
        .run(f"{head}{after}\n", ReloadMethod="seamless")
        .says("installed")
    )
    assert serving(client, proxy) == {"app-1"}


@pytest.mark.usefixtures("backends")
@pytest.mark.parametrize("variable", ["port", "host"])
def test_what_a_variable_says_is_the_files_word(
    make_proxy: MakeProxy, client: Client, variable: str
) -> None:
    """`setenv` changes and the server line does not: no state of the old place is carried over."""

    def text(number: int, port: int) -> str:
        setting = f"    setenv PORT {port}\n    setenv NUMBER {number}\n"
        head = stateful().replace("global\n", "global\n" + setting, 1)
        return head + '    server app-1 "10.77.1.${NUMBER}:${PORT}"\n'

    proxy = make_proxy(Style.MASTER_WORKER)
    step = proven(proxy, text(1, 81) if variable == "port" else text(2, 8080))
    assert step.run(text(1, 8080), ReloadMethod="seamless").says("installed")
    assert serving(client, proxy) == {"app-1"}


@pytest.mark.parametrize("word", ["weight 20", "disabled"])
def test_a_hand_edit_does_not_make_our_change_an_operators(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], word: str
) -> None:
    """What was set at run time because the file said so goes with the file, whatever was edited in between."""
    first = stateful(*backends[:2], options="weight 10")
    second = first.replace(
        "10.77.1.1:8080 weight 10", f"10.77.1.1:8080 weight 10 {word}"
    )
    proxy = make_proxy(Style.MASTER_WORKER)
    step = proven(proxy, first)
    recorded = state_of(proxy)
    assert step.run(second, ReloadMethod="runtime").says("installed", method="runtime")
    proxy.write("/etc/haproxy/haproxy.cfg", second + "# by hand\n")
    assert step.run(
        first.replace("roundrobin", "leastconn"), ReloadMethod="seamless"
    ).says("repaired")
    assert state_of(proxy) == recorded


@pytest.mark.parametrize(
    "form",
    [
        "server app-2 10.77.1.2:8080 {} # it's mended",
        'server "app-2" 10.77.1.2:8080 {}',
    ],
)
@pytest.mark.parametrize("word", ["weight 0", "disabled"])
def test_a_change_at_run_time_is_taken_back_in_every_form(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    word: str,
    form: str,
) -> None:
    """A quote on the line, be it in a comment, does not make our own change an operator's."""
    text = stateful(*backends[:2], options=CHECK)
    proxy = make_proxy(Style.MASTER_WORKER)
    step = proven(proxy, text)
    line = f"server app-2 10.77.1.2:8080 {CHECK}"
    assert step.run(text.replace(line, f"{line} {word}"), ReloadMethod="auto").says(
        "installed", method="runtime"
    )
    assert step.run(
        text.replace(line, form.format(CHECK)), ReloadMethod="seamless"
    ).says("installed")
    wait_until(
        lambda: serving(client, proxy) == {"app-1", "app-2"},
        what=lambda: state_of(proxy),
    )


@pytest.mark.parametrize("word", ["weight 0", "disabled"])
def test_beside_a_default_in_quotes_a_change_at_run_time_is_taken_back_too(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client, word: str
) -> None:
    """What the file said and says no more is ours, whatever the default is; an operator's weight is not."""
    head, server, rest = stateful(*backends[:2], options=CHECK).partition(
        "    server app-1"
    )
    text = f'{head}    default-server weight "10"\n{server}{rest}'
    proxy = make_proxy(Style.MASTER_WORKER)
    step = proven(proxy, text)
    line = f"server app-2 10.77.1.2:8080 {CHECK}"
    assert step.run(text.replace(line, f"{line} {word}"), ReloadMethod="auto").says(
        "installed", method="runtime"
    )
    proxy.ask("set server app/app-1 weight 7")
    assert step.run(text, ReloadMethod="seamless").says("installed")
    wait_until(
        lambda: serving(client, proxy) == {"app-1", "app-2"},
        what=lambda: state_of(proxy),
    )
    assert [state[3] for state in state_of(proxy).values()] == [7, 10]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("10.77.1.1:8080", "# don't check"),
        ('"10.77.1.1:8080"', "# check"),
        ("10.77.1.1:8080", "no-check no-agent-check"),
    ],
    ids=["comment", "quoted", "agent"],
)
def test_a_check_that_is_not_there_is_not_waited_for(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    place: str,
    words: str,
) -> None:
    """Words of a comment are none of the line, and the last word about an agent counts."""
    head = stateful(backends[0]).partition("    server app-1")[0]
    if "agent" in words:
        head += "    default-server agent-check agent-port 9000\n"
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(f"{head}    server app-1 10.77.1.1:8080 {CHECK} port 81\n")
    wait_until(lambda: state_of(proxy)["app-1"][1] == 0)
    after = f"{head}    server app-1 {place} {words}\n"
    assert ApplyStep(proxy).run(after, ReloadMethod="seamless").says("installed")
    assert serving(client, proxy) == {"app-1"}


@pytest.mark.since("2.4", "`[*]` behind a variable")
def test_what_only_a_variable_says_forgets_nothing(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """A check may be in a variable, a weight in a default that is not taken apart."""
    head = stateful(*backends).partition("    server app-1")[0]
    text = head.replace("global\n", 'global\n    setenv OPTIONS "check inter 1h"\n', 1)
    text += '    server app-1 10.77.1.1:8080 "${OPTIONS[*]}"\n    default-server weight "10"\n'
    text += "    server app-2 10.77.1.2:8080\n"
    proxy = make_proxy(Style.MASTER_WORKER)
    step = proven(proxy, text)
    proxy.ask("set server app/app-1 health down; set server app/app-2 weight 3")
    recorded = state_of(proxy)
    assert recorded["app-1"][1] == 0
    assert recorded["app-2"][3] == 3
    assert step.run(
        text.replace("roundrobin", "leastconn"), ReloadMethod="seamless"
    ).says("installed")
    assert state_of(proxy) == recorded


def test_a_variable_in_a_name_forgets_nothing_either(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Only its address and port count, whatever else changed on its line."""
    head = (
        stateful(*backends)
        .partition("    server app-1")[0]
        .replace("global\n", "global\n    setenv N 1\n", 1)
    )
    text = head + '    server "app-$N" 10.77.1.1:8080 check inter 1h\n'
    proxy = make_proxy(Style.MASTER_WORKER)
    step = proven(proxy, text)
    proxy.ask("set server app/app-1 health down")
    recorded = state_of(proxy)
    assert recorded["app-1"][1] == 0
    assert step.run(text.replace("inter 1h", "inter 2h"), ReloadMethod="seamless").says(
        "installed"
    )
    assert state_of(proxy) == recorded


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "setenv X 1|streq($X,1)|app|app-1 {}",
            "setenv X 2|streq($X,1)|app|app-1 {}",
            marks=CONDITIONS,
        ),
        pytest.param(
            "setenv X 1|streq($X,1)|app|app-1 {}",
            "setenv X 1|!streq($X,1)|app|app-1 {}",
            marks=CONDITIONS,
        ),
        (
            "setenv\tPORT\t81||app|app-1 10.77.1.1:$PORT",
            "setenv\tPORT\t8080||app|app-1 10.77.1.1:$PORT",
        ),
        (
            "setenv N 1||app|app-$N 10.77.1.1:81",
            "setenv N 1||app|app-$N 10.77.1.1:8080",
        ),
        (
            'setenv N 1||"app"|app-1 10.77.1.1:81',
            'setenv N 1||"app"|app-1 10.77.1.1:8080',
        ),
    ],
    ids=[
        "variable-of-condition",
        "condition",
        "tab",
        "variable-in-name",
        "quoted-backend",
    ],
)
def test_no_form_keeps_an_old_port(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    before: str,
    after: str,
) -> None:
    """Whatever decides where a server is: where that has changed, the file has its way."""

    def text(form: str) -> str:
        setting, condition, backend, server = form.split("|")
        head = (
            stateful(*backends)
            .partition("    server app-1")[0]
            .replace("backend app\n", f"backend {backend}\n")
        )
        head = head.replace("global\n", f"global\n    {setting}\n", 1)
        name, _, place = server.partition(" ")
        if not condition:
            return (
                f'{head}    server "{name}" "{place}"\n'
                if "$" in server
                else f"{head}    server {server}\n"
            )
        condition = condition.replace("$X", '"$X"')
        lines = [f"    server {name} 10.77.1.1:{port}\n" for port in (81, 8080)]
        return f"{head}    .if {condition}\n{lines[0]}    .else\n{lines[1]}    .endif\n"

    proxy = make_proxy(Style.MASTER_WORKER)
    step = proven(proxy, text(before))
    assert step.run(text(after), ReloadMethod="seamless").says("installed")
    assert serving(client, proxy) == {"app-1"}
    proxy.ask("set server app/app-1 state drain")
    assert step.run(
        text(after).replace("roundrobin", "leastconn"), ReloadMethod="seamless"
    ).says("installed")
    assert state_of(proxy)["app-1"][2] == 8


def test_a_server_that_takes_no_new_sessions_is_no_reason_to_hold_a_new_one_back(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """The only other one answers its check with 404: the pool would be empty."""
    head = (
        stateful(*backends).partition("    server app-1")[0]
        + "    option httpchk\n    http-check disable-on-404\n"
    )
    head = head.replace(
        "frontend",
        "frontend ends\n    bind 127.0.0.1:84\n    http-request return status 404\nfrontend",
        1,
    )
    text = head + f"    server app-1 10.77.1.1:8080 {CHECK} addr 127.0.0.1 port 84\n"
    proxy = make_proxy(Style.MASTER_WORKER)
    step = proven(proxy, text)
    wait_until(lambda: state_of(proxy)["app-1"][1] == 3, what=lambda: state_of(proxy))
    after = text + "    server app-2 10.77.1.2:8080 check inter 30s port 81\n"
    assert step.run(after, ReloadMethod="seamless").says("installed")
    assert serving(client, proxy) == {"app-2"}


@pytest.mark.parametrize("word", ["weight 0", "disabled"])
def test_a_killed_change_at_run_time_makes_none_before_it_an_operators(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], word: str
) -> None:
    """What the worker was last proven to run still says which weight is ours, and what an operator has set."""
    text = stateful(*backends, options="check inter 500ms weight 10")
    changed = text.replace(
        "2:8080 check inter 500ms weight 10",
        f"2:8080 check inter 500ms weight 10 {word}",
    )
    proxy = make_proxy(Style.MASTER_WORKER)
    step = proven(proxy, text)
    assert step.run(changed, ReloadMethod="runtime").says("installed", method="runtime")
    proxy.ask("set server app/app-1 weight 7")
    more = changed + "    server app-4 10.77.1.9:8080 check inter 500ms weight 10\n"
    kill_when(
        step.start(more, ReloadMethod="runtime"), lambda: "app-4" in state_of(proxy)
    )
    assert step.run(text, ReloadMethod="seamless").says("installed")
    assert {name: state[2:] for name, state in state_of(proxy).items()} == {
        "app-1": (0, 7),
        "app-2": (0, 10),
        "app-3": (0, 10),
    }


def test_a_relative_state_file_is_one_below_the_root(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """As for HAProxy itself, which services start in `/`."""
    proxy = make_proxy(Style.DAEMON)
    before, after = (
        stateful(*some).replace("/var/lib/haproxy/server-state", "run/server-state")
        for some in (backends[:1], backends[:2])
    )
    proxy.start(before)
    report = ApplyStep(proxy).run(after)
    assert report.says("installed", "changed"), report
    assert proxy.path("/run/server-state").exists(), report


@pytest.mark.fault("F232")
def test_a_link_beside_the_state_file_leads_nowhere(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """HAProxy's own user may write in its directory: what root overwrites is not for that user to choose."""
    proxy = make_proxy(Style.MASTER_WORKER)
    text = stateful(*backends)
    proxy.start(text)
    proxy.write("/etc/victim", "of root")
    proxy.run(["ln", "-s", "/etc/victim", "/var/lib/haproxy/server-state.new"])
    proxy.ask("set server app/app-1 state drain")
    after = text.replace("roundrobin", "leastconn")
    report = ApplyStep(proxy).run(after, ReloadMethod="seamless")
    assert report.says("installed"), report
    assert proxy.read("/etc/victim") == "of root"
    assert state_of(proxy)["app-1"][2] == 8
