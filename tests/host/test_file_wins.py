"""After a reload the servers are what the new file says; only what happened to them is carried over."""

from collections.abc import Callable
from typing import Any

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style, wait_until
from tests.host.apply_step import (
    CONFIG,
    STYLES,
    ApplyStep,
    StepReport,
    digest,
    stateful,
)

type MakeProxy = Callable[..., ProxyHost]
type Columns = dict[str, str]

STATE_FILE = "/var/lib/haproxy/server-state"
SECOND = "/etc/haproxy/second.cfg"
CHECK_ENABLED = 0x04
# The worker loads what somebody else has written between our saving and its start; `haproxy -c` finds nothing saved.
OVERWRITES = """\
os.execute("if grep -q ' app-1 ' {state}; then cp /etc/haproxy/overruling {state}; fi")
"""
# Before the worker answers anybody.
MOVES = """\
core.register_init(function() core.backends["app"].servers["app-1"]:set_addr("10.77.1.2") end)
"""
HEADER = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port\n"
)


def columns_of(proxy: ProxyHost) -> dict[str, Columns]:
    """By server: the columns of `show servers state`."""
    _version, header, *lines = proxy.ask("show servers state").splitlines()
    names = header.removeprefix("# ").split()
    found = [dict(zip(names, line.split(), strict=False)) for line in lines]
    return {each["srv_name"]: each for each in found}


def is_enabled(proxy: ProxyHost, server: str, what: str = "check") -> bool:
    """Whether a server's checks are on."""
    return bool(int(columns_of(proxy)[server][f"srv_{what}_state"]) & CHECK_ENABLED)


def edited(text: str) -> str:
    """A change that takes a reload, and is about no server."""
    return text.replace("roundrobin", "leastconn")


# --- what an operator did that is neither an admin state nor a weight ---


@pytest.mark.fault("F194")
def test_checks_that_were_switched_off_run_as_the_file_says(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """The file checks, so the new worker does; what an operator took out stays out."""
    options = "check inter 300ms agent-check agent-port 9000 agent-addr 127.0.0.1"
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(stateful(*backends, options=options))
    proxy.ask("disable health app/app-1; disable agent app/app-1")
    proxy.ask("set server app/app-2 state drain")
    assert not is_enabled(proxy, "app-1")
    report = ApplyStep(proxy).run(
        edited(stateful(*backends, options=options)), ReloadMethod="seamless"
    )
    assert report.says("installed"), report
    assert is_enabled(proxy, "app-1")
    assert is_enabled(proxy, "app-1", "agent")
    assert columns_of(proxy)["app-2"]["srv_admin_state"] == "8"


@pytest.mark.fault("F194")
@pytest.mark.parametrize("form", ["other:8080", '"$NAME:8080"'])
def test_a_name_that_was_changed_at_run_time_is_the_files_again(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    haproxy: dict[str, Any],
    form: str,
) -> None:
    """`set server ... fqdn` is no state of a server, however the file says the name."""
    head = stateful(backends[0]).replace(
        "global\n", "global\n    setenv NAME other\n", 1
    )
    head += (
        "resolvers nobody\n    nameserver here 127.0.0.1:5353\n    hold obsolete 1h\n"
    )
    text = head + "backend named\n" + f"    server named {form} resolvers nobody\n"
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    hosts = proxy.read("/etc/hosts")
    proxy.write("/etc/hosts", hosts + "10.77.1.2 other\n10.77.1.3 another\n")
    proxy.start(text)
    step = ApplyStep(proxy)
    assert step.run(text)["running_md5"] == digest(text)
    proxy.ask("set server named/named fqdn another")
    assert columns_of(proxy)["named"]["srv_fqdn"] == "another"
    report = step.run(edited(text), ReloadMethod="seamless")
    assert report.says("installed"), report
    assert columns_of(proxy)["named"]["srv_fqdn"] == "other"


@pytest.mark.fault("F194")
@pytest.mark.parametrize(
    ("init", "kept"), [("", False), ("init-addr last,libc", True)], ids=["-", "last"]
)
def test_a_name_is_looked_up_by_a_reload_as_by_a_start(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    init: str,
    *,
    kept: bool,
) -> None:
    """The machine of this name is another one since; who wants the last address says so in the file."""
    text = stateful() + f"    server app other:8080 check inter 300ms {init}\n"
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    hosts = proxy.read("/etc/hosts")
    proxy.write("/etc/hosts", hosts + f"{backends[0].ipv4} other\n")
    proxy.start(text)
    proxy.write("/etc/hosts", hosts + f"{backends[1].ipv4} other\n")
    report = ApplyStep(proxy).run(edited(text), ReloadMethod="seamless")
    assert report.says("installed"), report
    served = client.get(str(proxy.ipv4)).headers["x-backend"]
    assert served == ("app-1" if kept else "app-2")


@pytest.mark.fault("F194")
@pytest.mark.parametrize("leader", ["ill", "well"])
def test_a_server_that_tracks_another_one_now_is_as_that_is(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    leader: str,
) -> None:
    """It has no check of its own: its old leader's state would never end."""

    def text(tracked: str) -> str:
        return (
            stateful(backends[0], options=f"track checks/{tracked}")
            + "backend checks\n"
            + "    server ill 127.0.0.1:81 check inter 300ms\n"
            + "    server well 127.0.0.1:80 check inter 300ms\n"
        )

    other = "ill" if leader == "well" else "well"
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(text(other))
    wait_until(lambda: columns_of(proxy)["ill"]["srv_op_state"] == "0")
    report = ApplyStep(proxy).run(text(leader), ReloadMethod="seamless")
    assert report.says("installed"), report
    states = columns_of(proxy)
    assert states["app-1"]["srv_op_state"] == states[leader]["srv_op_state"]
    assert client.get(str(proxy.ipv4)).status == (200 if leader == "well" else 503)


# --- more than one file ---


def start_with_two(proxy: ProxyHost, first: str, second: str) -> None:
    """HAProxy with two files, as a master."""
    proxy.write("/etc/default/haproxy", f'EXTRAOPTS="-f {SECOND}"\n')
    proxy.write(SECOND, second)
    proxy.start(first)


@pytest.mark.fault("F197")
@pytest.mark.usefixtures("backends")
def test_a_server_of_another_file_is_where_that_file_says(
    make_proxy: MakeProxy,
    client: Client,
    haproxy: dict[str, Any],
) -> None:
    """Somebody moved its port there; what happened to those that stay where they were is carried over."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    head = stateful().replace("\nbackend app\n", "\nbackend none\n")
    second = (
        "backend app\n    server app-1 10.77.1.1:81\n    server app-2 10.77.1.2:8080\n"
    )
    start_with_two(proxy, head, second)
    proxy.ask("set server app/app-2 state drain")
    proxy.write(SECOND, second.replace(":81", ":8080"))
    report = ApplyStep(proxy).run(edited(head), ReloadMethod="seamless")
    assert report.says("installed"), report
    assert client.get(str(proxy.ipv4)).headers["x-backend"] == "app-1"
    assert columns_of(proxy)["app-2"]["srv_admin_state"] == "8"


@pytest.mark.fault("F197")
def test_a_check_that_another_files_defaults_give_is_waited_for(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """The first file has the defaults, the second one is ours: DOWN stays DOWN until a good check."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    head, _, rest = stateful(*backends, options="").partition("defaults\n")
    defaults, frontend, rest = rest.partition("frontend web\n")
    first = f"defaults\n    default-server check inter 1h\n{defaults}"
    loaded = "\nbackend app\n    load-server-state-from-file global\n"
    text = head + frontend + rest.replace("\nbackend app\n", loaded)
    proxy.write("/etc/haproxy/0.cfg", first)
    proxy.write(
        "/etc/default/haproxy", f'CONFIG=/etc/haproxy/0.cfg\nEXTRAOPTS="-f {CONFIG}"\n'
    )
    proxy.start(text)
    proxy.ask("set server app/app-1 health down")
    report = ApplyStep(proxy).run(edited(text), ReloadMethod="seamless")
    assert report.says("installed"), report
    assert columns_of(proxy)["app-1"]["srv_op_state"] == "0"


@pytest.mark.fault("F197")
def test_a_port_that_another_file_sets_is_the_same_as_before(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
) -> None:
    """The first file has the variable, and says of it what it said: an operator's drain is carried over."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.write("/etc/haproxy/0.cfg", "global\n    setenv PORT 8080\n")
    proxy.write(
        "/etc/default/haproxy", f'CONFIG=/etc/haproxy/0.cfg\nEXTRAOPTS="-f {CONFIG}"\n'
    )
    text = stateful() + "".join(
        f'    server {host.name} "{host.ipv4}:${{PORT}}"\n' for host in backends[:2]
    )
    proxy.start(text)
    step = ApplyStep(proxy)
    assert step.run(text)["running_md5"] == digest(text)
    proxy.ask("set server app/app-1 state drain")
    report = step.run(edited(text), ReloadMethod="seamless")
    assert report.says("installed"), report
    served = {client.get(str(proxy.ipv4)).headers["x-backend"] for _ in range(6)}
    assert served == {"app-2"}


# --- a worker that differs from its file ---


def overruling(*, ssl: str = "0", check_port: str = "0", port: str = "8080") -> str:
    """A saved state as HAProxy itself writes it, which overrules what a file says of app-1."""
    row = f"3 app 1 app-1 10.77.1.1 2 0 1 1 9 15 3 4 6 0 0 0 - {port} - {ssl} {check_port} - - 0"
    return HEADER + row + "\n"


def overruled(
    proxy: ProxyHost, before: str, after: str, state: str, **parameters: str
) -> StepReport:
    """What the step says where somebody overwrites what it saved, in time for the new worker."""
    proxy.write("/etc/haproxy/overruling", state)
    proxy.write("/etc/haproxy/overwrites.lua", OVERWRITES.format(state=STATE_FILE))
    proxy.path("/etc/haproxy").chmod(0o755)
    lua = "global\n    lua-load /etc/haproxy/overwrites.lua\n"
    proxy.write(STATE_FILE, "1\n")
    proxy.start(before)
    return ApplyStep(proxy).run(after.replace("global\n", lua, 1), **parameters)


@pytest.mark.fault("F193")
@pytest.mark.parametrize("style", [Style.MASTER_WORKER, Style.SYSV])
@pytest.mark.parametrize("method", ["seamless", "syn-drop"])
def test_a_worker_that_a_saved_state_overrules_is_reloaded_without(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    style: Style,
    method: str,
) -> None:
    """Not the process alone is proven: its servers have the file's ports, or it is not the worker to keep."""
    proxy = make_proxy(style, **haproxy)
    text = stateful(*backends[:1], options="")
    report = overruled(
        proxy, text, edited(text), overruling(port="81"), ReloadMethod=method
    )
    assert report.says("installed", "changed", method), report
    assert "state-overrides-file" in report["notes"].split()
    assert report["running_md5"] == report["md5_after"]
    assert columns_of(proxy)["app-1"]["srv_port"] == "8080"
    assert client.get(str(proxy.ipv4)).status == 200
    assert proxy.read(STATE_FILE) == "1\n"


@pytest.mark.fault("F193")
@pytest.mark.parametrize(
    ("overruled_by", "said"),
    [
        ({"port": "81"}, "app/app-1: port 81, not 8080"),
        pytest.param(
            {"check_port": "81"},
            "app/app-1: check port 81, not 8080",
            marks=pytest.mark.since("2.4", "a saved state's port of checks"),
        ),
    ],
    ids=["port", "check-port"],
)
def test_a_state_that_only_haproxy_knows_and_that_overrules_the_file_fails(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    overruled_by: dict[str, str],
    said: str,
) -> None:
    """A backend loads a file of its own: no reload heals that, so nothing is proven until somebody removes it."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    text = stateful(*backends[:1], options="check port 8080 inter 300ms")
    own = "backend app\n    load-server-state-from-file local\n    server-state-file-name /run/own\n"
    proxy.start(text)
    proxy.write("/run/own", overruling(**overruled_by))
    step = ApplyStep(proxy)
    wanted = text.replace("\nbackend app\n", "\n" + own)
    for _ in range(2):
        report = step.run(wanted, ReloadMethod="seamless")
        assert report.says("failed", "state-overrides-file"), report
        assert report.status == 33
        assert report["running_md5"] == ""
        assert said in report["detail"]
    proxy.write("/run/own", "1\n")
    assert step.run(wanted, ReloadMethod="seamless").says("repaired", "not-activated")
    assert client.get(str(proxy.ipv4)).status == 200


@pytest.mark.fault("F193")
def test_a_server_that_somebody_moves_at_once_is_no_failure(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """Tools set addresses at run time, and do so again after each reload; no state is in that, and a note says so."""
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.write("/etc/haproxy/moves.lua", MOVES)
    proxy.path("/etc/haproxy").chmod(0o755)
    text = stateful(*backends, options="")
    proxy.start(text)
    lua = "global\n    lua-load /etc/haproxy/moves.lua\n"
    moving = text.replace("global\n", lua, 1)
    report = ApplyStep(proxy).run(moving, ReloadMethod="seamless")
    assert columns_of(proxy)["app-1"]["srv_addr"] == "10.77.1.2"
    assert report.says("installed"), report
    assert report["running_md5"] == report["md5_after"]
    assert "servers-changed-meanwhile" in report["notes"].split()


# --- who loads no file with a warning ---


@pytest.mark.fault("F195")
@pytest.mark.parametrize("style", [Style.MASTER_WORKER, Style.SYSV])
@pytest.mark.parametrize("where", ["file", "option", "second"])
def test_a_haproxy_that_takes_no_warning_gets_no_state(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    style: Style,
    where: str,
) -> None:
    """HAProxy warns of each server that a saved state has DOWN, also of one that is new."""
    second = "global\n" + ("    zero-warning\n" if where == "second" else "")
    options = f"-f {SECOND}" + (" -dW" if where == "option" else "")
    proxy = make_proxy(style, **haproxy)
    proxy.write("/etc/default/haproxy", f'EXTRAOPTS="{options}"\n')
    proxy.write(SECOND, second)
    proxy.write(STATE_FILE, "1\n")

    def text(*hosts: BackendHost) -> str:
        usual = stateful(*hosts) + "    server ill 127.0.0.1:81 check inter 300ms\n"
        extra = "    zero-warning\n" if where == "file" else ""
        return usual.replace("global\n", "global\n" + extra, 1)

    proxy.start(text(*backends[:2]))
    wait_until(lambda: columns_of(proxy)["ill"]["srv_op_state"] == "0")
    report = ApplyStep(proxy).run(text(*backends), ReloadMethod="seamless")
    assert report.says("installed"), report
    assert report["notes"].split() == ["zero-warning-no-state"]
    assert {client.get(str(proxy.ipv4)).headers.get("x-backend") for _ in range(9)} >= {
        "app-1",
        "app-2",
        "app-3",
    }


@pytest.mark.fault("F196")
@pytest.mark.parametrize("style", STYLES)
def test_a_state_file_that_moves_leaves_none_behind(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    haproxy: dict[str, Any],
    style: Style,
) -> None:
    """Absent, here, there, in each order: what happened to a server goes along, and the old file is gone."""
    paths = ("/run/a.state", "/run/b.state")

    def text(path: str) -> str:
        keyword = "server-state-file " + STATE_FILE
        return stateful(*backends).replace(
            keyword, f"server-state-file {path}" if path else ""
        )

    proxy = make_proxy(style, **haproxy)
    proxy.start(text(""))
    step = ApplyStep(proxy)
    for path in (paths[0], paths[1], "", paths[1], paths[0], ""):
        report = step.run(text(path), ReloadMethod="auto")
        assert report.says("installed"), report
        assert report["running_md5"] == report["md5_after"]
        assert step.run(text(path)).says("unchanged")
        left = [each for each in paths if proxy.path(each).exists()]
        assert left == [path] * bool(path)
        assert len(proxy.workers()) == 1


@pytest.mark.fault("F193")
def test_a_port_that_haproxy_takes_as_another_one_is_no_difference(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], haproxy: dict[str, Any]
) -> None:
    """It takes `port 73616`, and checks 8080."""
    options = "check inter 300ms port 73616"
    proxy = make_proxy(Style.MASTER_WORKER, **haproxy)
    proxy.start(stateful(*backends))
    answer = ApplyStep(proxy).run(stateful(*backends, options=options))
    assert answer.says("installed") or answer["reason"] == "invalid-config", answer
    assert answer["notes"] == "", answer
