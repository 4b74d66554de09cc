"""Maps, certificates and other files that a config names: whether the worker has them as they are on the disk."""

import os
from collections.abc import Callable

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style, wait_until
from tests.host.apply_step import CONFIG, ApplyStep, config, installed, state_of

type MakeProxy = Callable[..., ProxyHost]

MAP = "/etc/haproxy/hosts.map"
NOTE = "named-files-changed"
# A load lasts long behind the map; the load of a check, and each later one, does not.
SLOW = """\
if not io.open("/proc/self/cmdline"):read("a"):find("%z%-c%z") and not io.open("/run/loaded") then
  io.open("/run/loading", "w"):close()
  os.execute("sleep 6")
  io.open("/run/loaded", "w"):close()
  os.remove("/run/loading")
end
"""


def mapped(*hosts: BackendHost) -> str:
    """A config whose frontend answers with what a map says of the path."""
    rule = f"http-request return status 200 hdr X-Backend %[path,map_beg({MAP},none)] if {{ path_beg /map }}\n"
    return config(*hosts).replace("frontend web\n", f"frontend web\n    {rule}")


def drained(*hosts: BackendHost) -> str:
    """The same, with a change that every HAProxy takes at run time."""
    return mapped(*hosts).replace("2:8080 check", "2:8080 check weight 0")


def told(client: Client, proxy: ProxyHost) -> str:
    """What the worker has in its map."""
    return client.get(str(proxy.ipv4), path="/map").headers["x-backend"]


@pytest.fixture
def step(make_proxy: MakeProxy, backends: tuple[BackendHost, ...]) -> ApplyStep:
    """A proxy whose worker was started by our stack."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(MAP, "/map first\n")
    return installed(
        proxy, mapped(backends[0]), mapped(*backends[:2]), ReloadMethod="seamless"
    )


@pytest.mark.fault("F213")
def test_a_changed_map_is_loaded_with_the_next_change(
    step: ApplyStep, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """Servers alone differ, but only a new process reads the map; the change after that needs none."""
    proxy = step.host
    worker = proxy.worker
    proxy.write(MAP, "/map second\n")
    answer = step.run(mapped(*backends), ReloadMethod="auto")
    assert answer.says("installed", method="seamless"), answer
    assert told(client, proxy) == "second"
    assert proxy.worker != worker
    answer = step.run(mapped(*backends[:2]), ReloadMethod="auto")
    assert answer.says("installed", method="runtime"), answer


@pytest.mark.fault("F213")
def test_a_file_that_says_the_same_is_no_change(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """Written anew by some tool, with the same content: nothing is reloaded for that."""
    worker = step.host.worker
    step.host.path(MAP).unlink()
    step.host.write(MAP, "/map first\n")
    assert step.run(mapped(*backends[:2])).says("unchanged")
    answer = step.run(drained(*backends[:2]), ReloadMethod="runtime")
    assert answer.says("installed", method="runtime"), answer
    assert NOTE not in answer["notes"].split()
    assert step.host.worker == worker


@pytest.mark.fault("F213")
def test_a_map_that_changed_after_a_change_at_run_time(
    step: ApplyStep, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """What counts is what the worker loaded at its start, not what was there at the last change."""
    proxy = step.host
    assert step.run(drained(*backends[:2]), ReloadMethod="auto").says(
        "installed", method="runtime"
    )
    proxy.write(MAP, "/map third\n")
    answer = step.run(mapped(*backends[:2]), ReloadMethod="auto")
    assert answer.says("installed", method="seamless"), answer
    assert told(client, proxy) == "third"


@pytest.mark.fault("F213")
def test_a_worker_that_somebody_else_started(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """Nobody remembers what it loaded: a file that changed since its start is loaded with the next change."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(MAP, "/map first\n")
    step = installed(proxy, mapped(*backends), mapped(*backends[:2]))
    proxy.run(["systemctl", "restart", "haproxy"])
    proxy.wait_until_ready()
    proxy.write(MAP, "/map second\n")
    answer = step.run(mapped(*backends), ReloadMethod="auto")
    assert answer.says("installed"), answer
    assert told(client, proxy) == "second"


@pytest.mark.since("2.4", "when a load began, in `show info`,")
@pytest.mark.fault("F213")
def test_a_map_that_changed_while_somebody_elses_worker_was_loading(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
) -> None:
    """It was read before: younger than the load's beginning counts, and the worker may appear much later."""
    late = "global\n    lua-load /etc/haproxy/slow.lua\n"
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(MAP, "/map first\n")
    proxy.write("/etc/haproxy/slow.lua", "")
    step = installed(proxy, mapped(*backends) + late, mapped(*backends[:2]) + late)
    proxy.write("/etc/haproxy/slow.lua", SLOW)
    with proxy.beside(["systemctl", "restart", "haproxy"]):
        wait_until(proxy.path("/run/loading").exists)
        proxy.write(MAP, "/map second\n")
        wait_until(lambda: not proxy.path("/run/loading").exists())
        proxy.wait_until_ready()
    assert told(client, proxy) == "first"
    answer = step.run(mapped(*backends) + late, ReloadMethod="auto")
    assert answer.says("installed"), answer
    assert told(client, proxy) == "second"


@pytest.mark.fault("F213")
def test_a_map_by_a_name_that_counts_from_where_haproxy_was_started(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """Which is not the root directory."""
    proxy = make_proxy(Style.DAEMON)
    proxy.write(MAP, "/map first\n")

    def text(*hosts: BackendHost) -> str:
        chroot = "    chroot /var/lib/haproxy\n"  # which hides where
        return mapped(*hosts).replace(MAP, "hosts.map").replace(chroot, "")

    proxy.write(CONFIG, text(backends[0]))
    command = ["haproxy", "-D", "-f", CONFIG, "-p", "/run/haproxy.pid"]
    proxy.run(["env", "--chdir=/etc/haproxy", *command])
    proxy.wait_until_ready()
    step = ApplyStep(proxy)
    answer = step.run(text(*backends[:2]), ReloadMethod="seamless")
    assert answer.says("installed", method="seamless"), answer
    proxy.write(MAP, "/map second\n")
    answer = step.run(text(*backends), ReloadMethod="auto")
    assert answer.says("installed", method="seamless"), answer
    assert told(client, proxy) == "second"


@pytest.mark.fault("F214")
def test_an_unchanged_config_with_a_changed_file_is_only_told(
    step: ApplyStep, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """Whoever changes such a file reloads, or sets it at run time: a comparison that nobody asked for does neither."""
    proxy, worker = step.host, step.host.worker
    assert NOTE not in step.run(mapped(*backends[:2]))["notes"].split()
    proxy.write(MAP, "/map second\n")
    answer = step.run(mapped(*backends[:2]))
    assert answer.says("unchanged"), answer
    assert NOTE in answer["notes"].split()
    assert proxy.worker == worker
    assert told(client, proxy) == "first"


def odd(kind: str, proxy: ProxyHost, path: str) -> None:
    """Put something at a path that a config names, or take it away."""
    file = proxy.path(path)
    file.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "loop":
        file.symlink_to(file.name)
    elif kind == "huge":
        with file.open("wb") as made:
            made.truncate(1 << 36)
    elif kind == "directory":
        file.mkdir()


@pytest.mark.fault("F214")
@pytest.mark.parametrize("kind", ["missing", "pipe", "loop", "huge", "directory"])
def test_whatever_has_become_of_a_named_file(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], kind: str
) -> None:
    """An apply never fails of it, nor waits for it; HAProxy alone says what it cannot read."""
    path = "/etc/haproxy/page.http"
    # HAProxy takes any words behind this one, and looks for no file.
    named = f"description errorfile {path}"

    def text(*hosts: BackendHost) -> str:
        return config(*hosts, extra=named)

    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(path, "x\n")
    step = installed(proxy, text(backends[0]), text(*backends[:2]))
    odd(kind, proxy, path)
    answer = step.run(text(*backends[:2]))
    assert answer.says("unchanged"), answer
    assert NOTE in answer["notes"].split()
    answer = step.run(text(*backends), ReloadMethod="auto")
    assert answer.says("installed"), answer
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
    answer = step.run(text(*backends[:2]), ReloadMethod="auto")
    assert answer.says("installed", method="runtime"), answer


@pytest.mark.fault("F234")
def test_a_map_that_only_another_file_names(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """HAProxy has a second file, which names it: it is told of, and a load of it ends that."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(MAP, "/map first\n")
    second = "/etc/haproxy/second.cfg"
    rule = f"http-request set-header X-Map %[path,map_beg({MAP},none)]"
    proxy.write(second, f"backend other\n    mode http\n    {rule}\n")
    proxy.write("/etc/default/haproxy", f'EXTRAOPTS="-f {second}"\n')
    step = installed(
        proxy, config(*backends[:2]), config(*backends), ReloadMethod="seamless"
    )
    assert NOTE not in step.run(config(*backends))["notes"].split()
    proxy.write(MAP, "/map second\n")
    answer = step.run(config(*backends))
    assert answer.says("unchanged"), answer
    assert NOTE in answer["notes"].split()
    assert step.run(config(*backends[:2])).says("installed")
    assert NOTE not in step.run(config(*backends[:2]))["notes"].split()
