"""Where the config is a link: out of a read-only directory, in a directory of configs, with relative names in it."""

from collections.abc import Callable

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style, wait_until
from tests.host.apply_step import (
    CONFIG,
    STATE_DIR,
    ApplyStep,
    config,
    digest,
    leftovers,
    state_of,
)
from tests.host.test_activation import DIES, dying

type MakeProxy = Callable[..., ProxyHost]

TARGET = "/var/lib/conf/current.cfg"


def linked(make_proxy: MakeProxy, text: str, path: str = CONFIG) -> ProxyHost:
    """A proxy whose config is a link to a writable place."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(TARGET, text)
    proxy.path(path).parent.mkdir(parents=True, exist_ok=True)
    proxy.run(["ln", "-sr", TARGET, path])
    return proxy


@pytest.mark.fault("F211")
def test_a_link_out_of_a_read_only_directory(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], client: Client
) -> None:
    """The backup is beside the file that is replaced; a rollback and a repair find it there; five stay."""
    before = config(backends[0])
    proxy = linked(make_proxy, before)
    proxy.write("/etc/haproxy/dies.lua", DIES.format(milliseconds=500))
    proxy.start()
    proxy.make_read_only("/etc/haproxy")
    step = ApplyStep(proxy)
    assert step.run(config(*backends), Action="check")["would"] == "differs"
    answer = step.run(config(*backends), ReloadMethod="auto")
    assert answer.says("installed"), answer
    assert answer["backup"].startswith(f"{TARGET}.")
    assert proxy.read(answer["backup"]) == before
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
    answer = step.run(dying(config(*backends)), ReloadMethod="seamless")
    assert answer.says("rolled-back", "worker-died"), answer
    assert answer["running_md5"] == digest(config(*backends))
    assert client.get(str(proxy.ipv4)).status == 200
    for number in range(6):
        text = config(*backends, extra=f"maxconn {1000 + number}")
        assert step.run(text, ReloadMethod="seamless").says("installed")
    directory = proxy.path("/var/lib/conf")
    names = sorted(path.name for path in directory.iterdir())
    assert len(names) == 6, names
    assert leftovers(proxy) == []
    assert proxy.path(CONFIG).is_symlink()


@pytest.mark.fault("F211")
def test_without_a_place_for_the_backup_the_reason_names_where_there_is_none(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Neither beside the link nor beside the file: nothing is touched."""
    proxy = linked(make_proxy, config(backends[0]))
    proxy.start()
    proxy.make_read_only("/var/lib/conf")
    answer = ApplyStep(proxy).run(config(*backends))
    assert answer.says("failed", "cannot-write"), answer
    assert "/var/lib/conf" in answer["detail"]
    assert proxy.read(TARGET) == config(backends[0])


@pytest.mark.fault("F212")
def test_a_link_in_a_directory_of_configs(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """HAProxy was started with the directory; the file that it reads there is elsewhere."""
    live = "/etc/haproxy/conf.d/haproxy.cfg"
    proxy = make_proxy(Style.DAEMON)
    proxy.write(TARGET, config(backends[0]))
    proxy.write("/etc/haproxy/conf.d/other.cfg", "backend other\n    mode http\n")
    proxy.run(["ln", "-sr", TARGET, live])
    proxy.run(["haproxy", "-D", "-f", "/etc/haproxy/conf.d", "-p", "/run/haproxy.pid"])
    wait_until(proxy.workers)
    good = config(*backends).replace(
        "default_backend app", "use_backend other if FALSE\n    default_backend app"
    )
    step = ApplyStep(proxy)
    bad = good.replace("balance roundrobin", "no-such-keyword")
    assert step.run(bad, ConfigPath=live).says("failed", "invalid-config")
    answer = step.run(good, ConfigPath=live)
    assert answer.says("installed"), answer
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}
    assert proxy.path(live).is_symlink()


@pytest.mark.since("2.4", "`default-path`")
@pytest.mark.fault("F212")
@pytest.mark.parametrize(
    ("where", "origin"),
    [
        ("/etc/haproxy/pages", "config"),
        ("/etc/pages", "parent"),
        ("/srv/pages", "origin /srv"),
    ],
)
def test_relative_names_mean_what_they_mean_to_haproxy(
    make_proxy: MakeProxy,
    backends: tuple[BackendHost, ...],
    client: Client,
    where: str,
    origin: str,
) -> None:
    """`default-path` counts from the name that HAProxy was started with, also for the check; a reload shows it."""

    def text(*hosts: BackendHost) -> str:
        return config(*hosts, extra=f"default-path {origin}").replace(
            "frontend web\n", "frontend web\n    errorfile 503 pages/503.http\n"
        )

    proxy = linked(make_proxy, text(backends[0]))
    page = "HTTP/1.0 503 -\r\nX-Backend: page\r\n\r\n"
    proxy.write(f"{where}/503.http", page)
    proxy.start()
    step = ApplyStep(proxy)
    assert step.run(text(*backends), Action="check")["would"] == "differs"
    answer = step.run(text(*backends), ReloadMethod="auto")
    assert answer.says("installed"), answer
    bad = text(*backends).replace("balance roundrobin", "no-such-keyword")
    answer = step.run(bad)
    assert answer.says("failed", "invalid-config"), answer
    assert "no-such-keyword" in answer["detail"]
    empty = text()
    assert step.run(empty, ReloadMethod="auto").says("installed")
    assert client.get(str(proxy.ipv4)).headers["x-backend"] == "page"
    proxy.run(["rm", f"{where}/503.http"])
    assert step.run(text(*backends)).says("failed", "invalid-config")


@pytest.mark.fault("F233")
@pytest.mark.parametrize("name", ["candidate.cfg", "candidate.cfg.new"])
def test_what_a_killed_check_read_is_gone_after_the_next_run(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], name: str
) -> None:
    """A config with its secrets does not lie about until the next change."""
    proxy = make_proxy(Style.MASTER_WORKER)
    text = config(*backends)
    proxy.start(text)
    step = ApplyStep(proxy)
    assert step.run(text)["running_md5"] == digest(text)
    proxy.write(f"{STATE_DIR}/{name}", text)
    answer = step.run(text)
    assert answer.says("unchanged"), answer
    assert not proxy.path(f"{STATE_DIR}/{name}").exists()


@pytest.mark.since("2.4", "`default-path`")
@pytest.mark.fault("F212")
@pytest.mark.parametrize("origin", ["config", "parent"])
def test_a_haproxy_that_was_started_where_its_config_is(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], origin: str
) -> None:
    """By the file's bare name: the directory that relative names count from is where it was started."""
    where = {"config": "/etc/haproxy", "parent": "/etc"}[origin]
    proxy = make_proxy(Style.DAEMON)
    proxy.write(f"{where}/pages/503.http", "HTTP/1.0 503 -\r\n\r\n")
    text = config(*backends, extra=f"default-path {origin}").replace(
        "frontend web\n", "frontend web\n    errorfile 503 pages/503.http\n"
    )
    text = text.replace("    chroot /var/lib/haproxy\n", "")  # which hides where
    proxy.write(CONFIG, text)
    proxy.run([
        "env", "--chdir=/etc/haproxy", "haproxy", "-D", "-f", "haproxy.cfg", "-p", "/run/haproxy.pid"
    ])  # fmt: skip
    proxy.wait_until_ready()
    changed = text.replace("roundrobin", "leastconn")
    step = ApplyStep(proxy)
    answer = step.run(changed, Action="check")
    assert answer["would"] == "differs", answer.stdout
    answer = step.run(changed)
    assert answer.says("installed"), answer
