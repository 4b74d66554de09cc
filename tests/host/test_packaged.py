"""HAProxy as distributions package it and as people start it: a directory of configs, variables of their own, /run."""

from collections.abc import Callable

import pytest

from local.lab import BackendHost, ProxyHost, Style, wait_until
from tests.host.apply_step import CONDITIONS, CONFIG, ApplyStep, config, state_of

type MakeProxy = Callable[..., ProxyHost]

# As the units of RHEL and Amazon Linux have it; the package brings the directory, and nothing in it.
UNIT = (
    "[Service]\nEnvironment=CFGDIR=/etc/haproxy/conf.d\n"
    "ExecStart=/usr/sbin/haproxy -W -f $CONFIG -f $CFGDIR -p $PIDFILE $OPTIONS\n"
)
DROP_IN = "/etc/systemd/system/haproxy.service.d/10-more.conf"
CONF_D = "/etc/haproxy/conf.d"
# What HAProxy does not read there.
SKIPPED = {
    "empty": "",
    "another-end": f"{CONF_D}/README",
    "hidden": f"{CONF_D}/.more.cfg",
    "twice": f"{CONF_D}/more.cfg.cfg",
    "directory": f"{CONF_D}/more.cfg/more.cfg",
}


@pytest.mark.fault("F237")
@pytest.mark.parametrize("what", SKIPPED)
def test_what_haproxy_skips_in_a_directory_is_no_config(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], what: str
) -> None:
    """An empty one, and what is no config by its name or kind; stopped and running."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(DROP_IN, UNIT)
    proxy.path(CONF_D).mkdir(parents=True)
    if SKIPPED[what]:
        proxy.write(SKIPPED[what], "nonsense\n")
    step = ApplyStep(proxy)
    answer = step.run(config(backends[0]))
    assert answer.says("not-running", "stopped"), answer
    proxy.start()
    assert step.run(config(*backends), Action="check")["would"] == "differs"
    answer = step.run(config(*backends))
    assert answer.says("installed"), answer
    assert set(state_of(proxy)) == {"app-1", "app-2", "app-3"}


@pytest.mark.fault("F237")
def test_the_first_config_of_ours_in_a_directory_is_checked(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """HAProxy runs with the directory, and will read a file there that does not exist yet."""
    live = f"{CONF_D}/ours.cfg"
    proxy = make_proxy(Style.DAEMON)
    proxy.write(f"{CONF_D}/more.cfg", config(backends[0]))
    proxy.run(["haproxy", "-D", "-f", CONF_D, "-p", "/run/haproxy.pid"])
    wait_until(proxy.workers)
    step = ApplyStep(proxy)
    answer = step.run("backend ours\n    nonsense\n", ConfigPath=live)
    assert answer.says("failed", "invalid-config"), answer
    assert not proxy.path(live).exists()
    answer = step.run(
        "backend ours\n    mode http\n    server new 10.77.1.9:80\n", ConfigPath=live
    )
    assert answer.says("installed", "no-file-before"), answer
    assert "new" in state_of(proxy)


@pytest.mark.fault("F238")
@pytest.mark.parametrize(
    "extra",
    [
        "",
        pytest.param(
            '.if !streq("$HAPROXY_ZONE",a)\nchroot /var/lib/nowhere\n.endif',
            marks=CONDITIONS,
        ),
    ],
    ids=["timeout", "condition"],
)
def test_a_variable_that_begins_as_haproxys_own_is_kept(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], extra: str
) -> None:
    """The config that runs uses it: a check, a start beside it and a condition have it, too."""
    proxy = make_proxy(Style.DAEMON)
    text = config(backends[0], extra=extra).replace(
        "timeout connect 2s", 'timeout connect "${HAPROXY_CONNECT}"'
    )
    proxy.write(CONFIG, text)
    variables = ["HAPROXY_CONNECT=2s", "HAPROXY_ZONE=a"]
    command = ["haproxy", "-D", "-f", CONFIG, "-p", "/run/haproxy.pid"]
    proxy.run(["env", *variables, *command])
    proxy.wait_until_ready()
    step = ApplyStep(proxy)
    for method in ("seamless", "syn-drop"):
        text = f"{text}# {method}\n"
        answer = step.run(text, ReloadMethod=method)
        assert answer.says("installed"), answer


@pytest.mark.fault("F239")
@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_what_a_start_makes_is_not_looked_for_before(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """/run is empty after a boot; who starts HAProxy makes its directory there. Any other one has to be there."""
    proxy = make_proxy(style)
    proxy.path("/run/haproxy").rmdir()
    step = ApplyStep(proxy)
    answer = step.run(config(*backends).replace("/var/lib/haproxy", "/var/lib/nowhere"))
    assert answer.says("failed", "missing-directory"), answer
    answer = step.run(config(*backends))
    assert answer.says("not-running", "stopped"), answer
