"""Two stacks and one proxy: it obeys one of them, names the other, and changes hands by word alone."""

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from haproxy_apply import state
from local.lab import BackendHost, ProxyHost, Style, wait_until
from tests.host.apply_step import (
    CONFIG,
    STACK,
    STATE_DIR,
    ApplyStep,
    StepReport,
    backups,
    config,
    digest,
    finish,
    installed,
    leftovers,
)
from tests.host.test_kill_sweep import INSTALLED, TRACER, Point, points

type MakeProxy = Callable[..., ProxyHost]
OTHER = STACK.replace("staging/0", "staging/1")


@pytest.fixture
def step(make_proxy: MakeProxy, backends: tuple[BackendHost, ...]) -> ApplyStep:
    """A proxy that has two servers by our stack."""
    proxy = make_proxy(Style.MASTER_WORKER)
    return installed(proxy, config(backends[0]), config(*backends[:2]))


def files(proxy: ProxyHost) -> dict[str, tuple[str, int]]:
    """All that the program may write: contents and times of change, by name."""
    folders = (proxy.path(STATE_DIR), proxy.path(CONFIG).parent)
    return {
        path.name: (path.read_text("latin-1"), path.stat().st_mtime_ns)
        for folder in folders
        for path in folder.iterdir()
        if path.is_file()
    }


@pytest.mark.fault("F127")
def test_another_stack_changes_nothing_and_is_named(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """Its fence may be higher, its config good: it learns whose the host is, and the owner who it was."""
    proxy, worker, before = step.host, step.host.worker, files(step.host)
    refused = step.run(config(backends[0]), Publisher=OTHER)
    assert (refused.status, refused["reason"]) == (12, "other-publisher")
    assert STACK in refused["detail"]
    assert (refused["publisher"], refused["other_publisher"]) == (STACK, OTHER)
    assert refused["running_md5"] == digest(config(*backends[:2]))
    after = files(proxy)
    assert after.pop("refused")[0].startswith(OTHER)
    assert after == before
    assert proxy.workers() == (worker,)
    owner = step.run(config(*backends[:2]))
    assert owner.says("unchanged")
    assert (owner["publisher"], owner["other_publisher"]) == (STACK, OTHER)
    assert owner["other_publisher_at"] > 1_700_000_000


@pytest.mark.fault("F129")
def test_a_host_is_adopted_with_its_fence(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """Also where nothing else is to be done; then the former owner is refused, and a late command of his loses."""
    text = config(*backends[:2])
    fence = step.generation
    late = step.run(text, Publisher=OTHER, Adopt="true", Generation=str(fence))
    assert late.says("superseded")
    assert late["publisher"] == STACK
    adopted = step.run(text, Publisher=OTHER, Adopt="true", Generation="9")
    assert adopted.says("unchanged")
    assert adopted["publisher"] == OTHER
    assert "other_publisher" not in adopted.marker
    former = step.run(config(backends[0]), Generation="10")
    assert (former["reason"], former["publisher"]) == ("other-publisher", OTHER)
    late = step.run(config(backends[0]), Adopt="true", Generation="9")
    assert late.says("superseded")
    assert step.host.read(CONFIG) == text
    back = step.run(config(backends[0]), Adopt="true", Generation="10")
    assert back.says("installed")
    assert back["publisher"] == STACK
    assert "other_publisher" not in back.marker


@pytest.mark.fault("F130")
def test_a_host_of_an_earlier_release_is_taken_by_the_first_that_comes(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """Its state has no publisher, whoever published."""
    text = config(*backends[:2])
    path = step.host.path(f"{STATE_DIR}/state")
    kept = [line for line in path.read_text().splitlines() if STACK not in line]
    path.write_text("\n".join(kept) + "\n")
    assert step.run(None, Action="inspect")["publisher"] == ""
    taken = step.run(text, Publisher=OTHER)
    assert taken.says("unchanged")
    assert taken["publisher"] == OTHER


@pytest.mark.fault("F129")
def test_a_config_that_is_refused_adopts_nothing(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """Who owns a host has published there."""
    refused = step.run(
        config(backends[0]) + "nonsense\n", Publisher=OTHER, Adopt="true"
    )
    assert refused["reason"] == "invalid-config"
    assert refused["publisher"] == STACK
    assert step.run(config(*backends[:2])).says("unchanged")


@pytest.mark.fault("F129")
def test_a_stopped_proxy_that_has_the_file_is_adopted_with_its_fence(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """Nothing is installed there, but an older command must not come afterwards, nor the former owner's."""
    text = config(*backends[:2])
    step.host.stop()
    adopted = step.run(text, Publisher=OTHER, Adopt="true", Generation="9")
    assert adopted.says("not-running")
    assert adopted["publisher"] == OTHER
    assert step.run(config(backends[0]), Generation="10")["reason"] == "other-publisher"
    late = step.run(config(backends[0]), Publisher=OTHER, Generation="8")
    assert late.says("superseded")
    assert step.host.read(CONFIG) == text


@pytest.mark.fault("F129")
def test_a_full_disk_adopts_nothing(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """The marker says whose the host is by what the disk has; with room again the same command takes it."""
    proxy, text = step.host, config(*backends[:2])
    small = f"mount -t tmpfs -o size=64k state {STATE_DIR}"
    keep, back = f"cp -a {STATE_DIR} /run/kept", f"cp -a /run/kept/. {STATE_DIR}"
    proxy.run(["sh", "-c", f"{keep} && {small} && {back}"])
    filler = f"{STATE_DIR}/filler"
    proxy.run(["sh", "-c", f"cat /dev/zero > {filler}"], check=False)
    adoption = {"Publisher": OTHER, "Adopt": "true", "Generation": "9"}
    same = step.run(text, **adoption)
    assert same.says("unchanged")
    assert (same["notes"], same["publisher"]) == ("state-not-saved", STACK)
    other = step.run(config(backends[0]), **adoption)
    assert (other["reason"], other["publisher"]) == ("state-unwritable", STACK)
    assert step.run(text, Generation="8").says("unchanged")
    proxy.path(filler).unlink()
    assert step.run(text, **adoption)["publisher"] == OTHER


def calls_of_adoption(
    step: ApplyStep,
    events: Path,
    text: str,
    point: Point = ("", 0),
    /,
    **given: str,
) -> list[str]:
    """The calls of a run that adopts the host with this text, to the point where it is killed."""
    tracer = (*TRACER, point[0], str(point[1]), str(events))
    finish(step.start(text, tracer=tracer, Adopt="true", **given))
    return events.read_text().splitlines()


@pytest.mark.fault("F127")
@pytest.mark.fault("F129")
def test_a_kill_leaves_publisher_and_fence_of_one_command(
    step: ApplyStep, backends: tuple[BackendHost, ...], tmp_path: Path
) -> None:
    """Two stacks take the host in turn; who is killed owns it before its config is live, and comes through with it."""
    proxy, events = step.host, tmp_path / "events"
    stacks, texts = (STACK, OTHER), (config(*backends[:2]), config(*backends))
    given = {"ReloadMethod": "runtime", "Publisher": OTHER}
    calls = calls_of_adoption(step, events, texts[1], **given)
    ends = ("rename state.new", "fsync state.new", INSTALLED)
    chosen = [point for point in points(calls) if point[0].endswith(ends)]
    assert len(chosen) == 5
    for number, point in enumerate(chosen):
        fence = str(number + 10)
        before = state.parse(proxy.read(f"{STATE_DIR}/state"))
        given = {"Publisher": stacks[number % 2], "ReloadMethod": "runtime"}
        calls_of_adoption(
            step, events, texts[number % 2], point, Generation=fence, **given
        )
        left = state.parse(proxy.read(f"{STATE_DIR}/state"))
        old, new = before[::3], (int(fence), stacks[number % 2])
        assert (left.fence, left.publisher) in {old, new}, point
        if proxy.read(CONFIG) == texts[number % 2]:
            assert (left.fence, left.publisher) == new, point
        again = step.run(texts[number % 2], Adopt="true", Generation=fence, **given)
        assert again.status == 0, (point, again)
        assert again["publisher"] == stacks[number % 2]
        assert again["running_md5"] == digest(texts[number % 2])
        assert leftovers(proxy) == []


def inspected(step: ApplyStep, **parameters: str) -> StepReport:
    """What an inspection says; it leaves every file as it was, and needs no download."""
    before = files(step.host)
    report = step.run(None, Action="inspect", **parameters)
    assert report.says("inspected"), report
    assert files(step.host) == before
    return report


@pytest.mark.fault("F131")
def test_an_inspection_tells_how_it_is_here(
    step: ApplyStep, backends: tuple[BackendHost, ...]
) -> None:
    """To whoever asks, of whatever fence: who published, what runs, which servers are up."""
    text = config(*backends[:2])
    backends[1].stop()
    try:
        wait_until(lambda: inspected(step)["servers_down"] == 1)
        report = inspected(step, Publisher=OTHER, Generation="0")
    finally:
        backends[1].start()
    assert (report["reason"], report["style"]) == ("running", "master-worker")
    assert report["haproxy_version"][0] in "23"
    assert report["md5_after"] == report["running_md5"] == digest(text)
    assert (report["servers_up"], report["servers_down"]) == (1, 1)
    assert report["down"].endswith("/app-2")
    assert report["publisher"] == STACK
    assert "other_publisher" not in report.marker
    step.host.write(CONFIG, text + "# edited\n")
    edited = inspected(step)
    assert edited["running_md5"] == digest(text)
    assert edited["md5_after"] == digest(text + "# edited\n")


@pytest.mark.fault("F131")
def test_the_worker_is_inspected_on_the_socket_that_it_has(
    step: ApplyStep, backends: tuple[BackendHost, ...], tmp_path: Path
) -> None:
    """A run that was killed before the reload left a file that names another one."""
    text = config(*backends[:2])
    moved = text.replace("/admin.sock", "/moved.sock")
    tracer = (*TRACER, f"python{INSTALLED}", "1", str(tmp_path / "events"))
    finish(step.start(moved, tracer=tracer))
    report = inspected(step)
    assert (report["md5_after"], report["running_md5"]) == (digest(moved), digest(text))
    assert (report["notes"], report["servers_up"]) == ("", 2)


@pytest.mark.fault("F131")
def test_an_inspection_does_nothing_but_ask_haproxy(
    step: ApplyStep, tmp_path: Path
) -> None:
    """By its system calls; HAProxy's own, when it says its version, are HAProxy's (3.2 binds a socket for a moment)."""
    events = tmp_path / "events"
    tracer = (*TRACER, "", "0", str(events))
    report = finish(step.start(None, tracer=tracer, Action="inspect"))
    assert report.says("inspected")
    lines = events.read_text().splitlines()
    calls = [line for line in lines if not line.startswith("haproxy bind")]
    assert calls == ["python connect admin.sock", "python send"]


@pytest.mark.fault("F131")
def test_a_name_without_address_is_in_maintenance(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """HAProxy says so: a server-template has more slots than there are servers."""
    spare = "server-template spare 1-3 nowhere.invalid:80 resolvers none init-addr none"
    resolvers = "resolvers none\n    nameserver none 127.0.0.1:5\n"
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(f"{config(backends[0])}    {spare}\n{resolvers}")
    assert "spare1" in proxy.ask("show servers state")
    report = ApplyStep(proxy).run(None, Action="inspect")
    assert (report["servers_up"], report["servers_down"]) == (1, 0)


@pytest.mark.fault("F131")
def test_an_inspection_of_a_host_where_nothing_of_ours_ever_ran(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Not even the directory of the state is made; without a stats socket the servers are unknown."""
    proxy = make_proxy(Style.SYSV)
    text = "".join(
        line
        for line in config(backends[0]).splitlines(keepends=True)
        if "stats socket" not in line
    )
    proxy.start(text)
    report = ApplyStep(proxy).run(None, Action="inspect")
    assert report.says("inspected", "running")
    assert report["publisher"] == ""
    assert report["notes"] == "servers-unknown"
    assert "servers_up" not in report.marker
    assert not proxy.path(STATE_DIR).exists()
    proxy.stop()
    assert ApplyStep(proxy).run(None, Action="inspect").says("inspected", "stopped")
    assert backups(proxy) == []
    assert leftovers(proxy) == []


@pytest.mark.fault("F131")
def test_an_inspection_does_not_wait_for_another_run(step: ApplyStep) -> None:
    """Which may be waiting for a minute itself."""
    lock = step.host.path(f"{STATE_DIR}/lock")
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert inspected(step)["reason"] == "running"
