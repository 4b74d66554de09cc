"""The step with each Python that hosts have, from the launcher to the marker."""

from collections.abc import Callable
from typing import Any

import pytest

from local.lab import BackendHost, Client, ProxyHost, Style, kill_group
from tests.host.apply_step import (
    CONFIG,
    ApplyStep,
    digest,
    method_that_adds,
    state_of,
    stateful,
)
from tests.host.test_activation import DIES, dying
from tests.host.test_drop_window import in_drop_window
from tests.pythons import VERSIONS, real_python

type MakeProxy = Callable[..., ProxyHost]

USED = "/run/used-python"


@pytest.fixture(params=VERSIONS)
def start(
    request: pytest.FixtureRequest, make_proxy: MakeProxy
) -> Callable[[Style, str], ApplyStep]:
    """Start a proxy whose `python3` is this one, which writes down that it was used."""
    python = real_python(request.param)

    def make(style: Style, text: str) -> ApplyStep:
        proxy = make_proxy(style)
        # In the first directory of the path that commands get.
        script = f'#!/bin/sh\necho {request.param} >>{USED}\nexec {python} "$@"\n'
        proxy.write("/usr/local/sbin/python3", script, mode=0o755)
        proxy.write("/etc/haproxy/dies.lua", DIES.format(milliseconds=500))
        proxy.start(text)
        return ApplyStep(proxy)

    return make


def serves(proxy: ProxyHost, client: Client, text: str) -> bool:
    """Whether the proxy has this file, and its worker this file's servers; asserts that the Python was the one."""
    assert proxy.path(USED).exists(), "another Python ran"
    names = {
        line.split()[1] for line in text.splitlines() if line.startswith("    server ")
    }
    return (
        proxy.read(CONFIG) == text
        and set(state_of(proxy)) == names
        and client.get(str(proxy.ipv4)).status == 200
    )


@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_every_method_and_outcome(
    start: Callable[[Style, str], ApplyStep],
    backends: tuple[BackendHost, ...],
    client: Client,
    haproxy: dict[str, Any],
    style: Style,
) -> None:
    """A new process in a drop window and without one, a change at run time, nothing to do, and a worker that dies."""
    texts = [stateful(*hosts) for hosts in (backends[:1], backends[:2], backends)]
    step = start(style, texts[0])
    proxy = step.host
    for text, method, done in [
        (texts[1], "syn-drop", "syn-drop"),
        (texts[2], "runtime", method_that_adds(haproxy)),
    ]:
        answer = step.run(text, ReloadMethod=method)
        assert answer.says("installed", "changed", done), answer
        assert serves(proxy, client, text)
    assert step.run(texts[2], ReloadMethod="auto").says("unchanged", "same-digest")
    answer = step.run(texts[0], ReloadMethod="seamless")
    assert answer.says("installed", "changed", "seamless"), answer
    assert serves(proxy, client, texts[0])
    answer = step.run(dying(texts[1]))
    assert answer.says("rolled-back", "worker-died"), answer
    assert answer["running_md5"] == digest(texts[0])
    assert serves(proxy, client, texts[0])
    inspected = step.run(None, Action="inspect")
    assert inspected.says("inspected", "running"), inspected
    assert not answer.stderr + inspected.stderr


def test_a_killed_drop_window_is_swept(
    start: Callable[[Style, str], ApplyStep],
    backends: tuple[BackendHost, ...],
    client: Client,
) -> None:
    """The next run removes the rule and finishes."""
    before, after = stateful(backends[0]), stateful(*backends)
    proxy = start(Style.SYSV, before).host
    with in_drop_window(proxy, after) as process:
        kill_group(process)
        assert proxy.firewall()
    answer = ApplyStep(proxy).run(after, Generation="2")
    assert answer.says("repaired", "not-activated"), answer
    assert not proxy.firewall()
    assert len(proxy.workers()) == 1
    assert serves(proxy, client, after)
