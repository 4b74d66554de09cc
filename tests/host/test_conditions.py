"""One file for a fleet, with conditions: what counts on a host is what its HAProxy reads there."""

from collections.abc import Callable
from typing import Any

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style
from local.lab.proxy import STATS_SOCKET
from tests.host.apply_step import (
    CONDITIONS,
    CONFIG,
    ApplyStep,
    config,
    digest,
    state_of,
    stateful,
)

type MakeProxy = Callable[..., ProxyHost]

pytestmark = CONDITIONS

HERE = "/run/haproxy/here.sock"
OTHER = "/etc/haproxy/other.cfg"
LEVEL = "level admin expose-fd listeners"


def only_elsewhere(*lines: str, otherwise: str = "") -> str:
    """Lines for a host with another environment, and perhaps one for all others."""
    otherwise = f".else\n{otherwise}\n" if otherwise else ""
    return "\n.if defined(NOWHERE)\n{}\n{}.endif\n".format("\n".join(lines), otherwise)


NOT_TAKEN = {
    "bind": {"binds": only_elsewhere("bind 10.88.0.5:8088")},
    "socket": {"extra": only_elsewhere("stats socket /run/nowhere/s.sock level admin")},
    "chroot": {"extra": only_elsewhere("chroot /var/lib/nowhere")},
    "else": {
        "binds": "\n.if !defined(NOWHERE)\nbind :8088\n.else\nbind 10.88.0.5:8088\n.endif\n"
    },
    "elif": {
        "binds": "\n.if defined(NOWHERE)\n.elif 1\n.elif 1\nbind 10.88.0.5:81\n.endif\n"
    },
    "nested": {
        "binds": "\n.if 1\n.if 0\n.if 1\nbind 10.88.0.5:81\n.endif\n.else\n.endif\n.endif\n"
    },
    "section": {
        "extra": only_elsewhere("listen more", "    bind 10.88.0.5:81", "global")
    },
    "setenv": {
        "extra": 'setenv NODE b\n.if streq("$NODE",a)\nchroot /var/lib/nowhere\n.endif\n'
    },
}


@pytest.mark.fault("F209")
@pytest.mark.parametrize("what", NOT_TAKEN)
def test_a_branch_that_is_not_taken_counts_for_nothing(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client, what: str
) -> None:
    """Addresses and directories that only another node has are no reason to refuse the file here."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(config(backends[0]))
    text = config(*backends, **NOT_TAKEN[what])
    step = ApplyStep(proxy)
    assert step.run(text, Action="check")["would"] == "differs"
    answer = step.run(text, ReloadMethod="auto")
    assert answer.says("installed"), answer
    assert answer["running_md5"] == digest(text)
    assert client.get(str(proxy.ipv4)).status == 200


@pytest.mark.fault("F209")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"binds": "\n.if 1\nbind 10.88.0.5:8088\n.endif\n"}, "cannot-bind"),
        (
            {
                "extra": "setenv NODE a",
                "binds": '\n.if streq("$NODE",a)\nbind 10.88.0.5:81\n.endif\n',
            },
            "cannot-bind",
        ),
        (
            {"extra": "\n.if 0\n.else\nchroot /var/lib/nowhere\n.endif\n"},
            "missing-directory",
        ),
    ],
    ids=["bind", "setenv", "chroot"],
)
def test_a_branch_that_is_taken_is_looked_at(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    haproxy: dict[str, Any],
    options: dict[str, str],
    reason: str,
) -> None:
    """Before the file is touched, like all that stands under no condition."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(config(backends[0]))
    answer = ApplyStep(proxy).run(config(*backends, **options), ReloadMethod="auto")
    assert answer.says("failed", reason), answer
    assert proxy.read(CONFIG) == config(backends[0])


def by_node(text: str) -> str:
    """The config with its global paths under conditions: those of another node first, then ours."""
    elsewhere = only_elsewhere(
        f"stats socket /run/haproxy/elsewhere.sock {LEVEL}",
        "server-state-file /var/lib/haproxy/elsewhere",
        "pidfile /run/elsewhere.pid",
        otherwise=f"stats socket {HERE} {LEVEL}\n"
        "server-state-file /var/lib/haproxy/server-state\npidfile /run/here.pid",
    )
    lines = text.splitlines(keepends=True)
    unconditional = (STATS_SOCKET, "server-state-file ")
    kept = [line for line in lines if not any(word in line for word in unconditional)]
    return "".join(kept).replace("    daemon\n", f"    daemon\n{elsewhere}")


@pytest.mark.fault("F209")
def test_the_socket_and_the_state_file_are_those_of_the_branch_that_is_taken(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """An operator's drain survives a reload, a change needs none, and an inspection knows the servers."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(by_node(stateful(*backends)))
    proxy.ask("set server app/app-1 state drain", HERE)
    step = ApplyStep(proxy)
    inspected = step.run(by_node(stateful(*backends)), Action="inspect")
    assert inspected["servers_up"] == 3
    changed = by_node(stateful(*backends).replace("roundrobin", "leastconn"))
    answer = step.run(changed, ReloadMethod="auto")
    assert answer.says("installed", method="seamless"), answer
    assert "server-state" not in answer["notes"]
    assert "app-1 10.77.1.1 2 8 " in proxy.ask("show servers state", HERE)
    fewer = by_node(stateful(*backends[:2]).replace("roundrobin", "leastconn"))
    answer = step.run(fewer, ReloadMethod="auto")
    assert answer.says("installed", method="runtime"), answer


@pytest.mark.fault("F209")
def test_a_pid_file_of_another_node_names_nobody(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """What stands there by chance is not taken for ours; a daemon writes the one of its branch."""
    proxy = make_proxy(Style.DAEMON)
    proxy.write(CONFIG, by_node(config(backends[0])))
    proxy.write("/run/elsewhere.pid", "1\n")
    proxy.run(["haproxy", "-D", "-f", CONFIG])
    proxy.wait_until_ready()
    text = by_node(config(*backends))
    answer = ApplyStep(proxy).run(text, ReloadMethod="seamless")
    assert answer.says("installed", method="seamless"), answer
    assert proxy.read("/run/here.pid").split() == [str(proxy.worker)]


@pytest.mark.fault("F209")
def test_a_section_of_another_node_takes_no_lines(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """A server below a backend's condition belongs to the backend that HAProxy reads."""
    header = only_elsewhere("backend elsewhere")

    def text(*hosts: BackendHost) -> str:
        return config(*hosts).replace("    balance", f"{header}    balance")

    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(text(backends[0]))
    step = ApplyStep(proxy)
    assert step.run(text(*backends[:2]), ReloadMethod="seamless").says("installed")
    answer = step.run(text(*backends), ReloadMethod="auto")
    assert answer.says("installed", method="runtime"), answer
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}


# --- in another file of HAProxy's ---


def elsewhere(line: str) -> str:
    """Under a condition that holds on another node alone."""
    return f".if defined(NOWHERE)\n    {line}\n.endif\n"


def start_with(proxy: ProxyHost, text: str, other: str) -> None:
    """HAProxy with two files."""
    proxy.write(OTHER, other)
    proxy.write("/etc/default/haproxy", f'EXTRAOPTS="-f {OTHER}"\n')
    proxy.start(text)


@pytest.mark.fault("F209")
@pytest.mark.parametrize("style", [Style.MASTER_WORKER, Style.SYSV])
def test_a_server_of_another_files_branch_is_nobody(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    style: Style,
) -> None:
    """The one of this name that HAProxy reads here is where it was: an operator's drain survives a reload."""
    proxy = make_proxy(style)
    here, there, stays = (host.ipv4 for host in backends)
    other = (
        f"backend app\n    server app-2 {stays}:8080\n"
        f".if defined(NOWHERE)\n    server app-1 {there}:8080\n"
        f".else\n    server app-1 {here}:8080\n.endif\n"
    )
    text = stateful().replace("\nbackend app\n", "\nbackend none\n")
    start_with(proxy, text, other)
    proxy.ask("set server app/app-1 state drain")
    changed = text.replace("roundrobin", "leastconn")
    answer = ApplyStep(proxy).run(changed, ReloadMethod="auto")
    assert answer.says("installed"), answer
    served = {client.get(str(proxy.ipv4)).headers["x-backend"] for _ in range(6)}
    assert served == {"app-3"}


@pytest.mark.fault("F209")
def test_a_line_of_another_files_branch_says_nothing(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """A `zero-warning` of another node: what a server was is carried over all the same."""
    proxy = make_proxy(Style.MASTER_WORKER)
    start_with(proxy, stateful(*backends), "global\n" + elsewhere("zero-warning"))
    proxy.ask("set server app/app-1 state drain")
    changed = stateful(*backends).replace("roundrobin", "leastconn")
    answer = ApplyStep(proxy).run(changed, ReloadMethod="auto")
    assert answer.says("installed"), answer
    assert answer["notes"] == "", answer
    served = {client.get(str(proxy.ipv4)).headers["x-backend"] for _ in range(6)}
    assert served == {"app-2", "app-3"}


@pytest.mark.fault("F209")
def test_a_map_of_another_files_branch_is_none_of_ours(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Somebody writes it for another node: nothing here has changed."""
    proxy = make_proxy(Style.MASTER_WORKER)
    there, here = "/etc/haproxy/there.map", "/etc/haproxy/here.map"
    for path in (there, here):
        proxy.write(path, "/a app\n")
    mapped = "    http-request set-header x-m %[path,map({})]\n"
    other = (
        f"backend more\n.if defined(NOWHERE)\n{mapped.format(there)}"
        f".else\n{mapped.format(here)}.endif\n"
    )
    start_with(proxy, config(backends[0]), other)
    step = ApplyStep(proxy)
    text = config(*backends)
    assert step.run(text, ReloadMethod="auto").says("installed")
    proxy.write(there, "/b app\n")
    assert step.run(text)["notes"] == ""
    proxy.write(here, "/b app\n")
    assert step.run(text)["notes"] == "named-files-changed"
