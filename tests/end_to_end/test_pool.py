"""From an event to traffic: instances join and leave the pool, and what changes nothing reloads nothing."""

from local.system import LocalSystem
from tests.end_to_end.conftest import come_to_rest, config, workers


def test_a_launched_backend_gets_traffic(system: LocalSystem) -> None:
    """Launch an instance with the tags, and clients of both proxies reach it."""
    system.launch_backend("ap-southeast-2b")
    system.wait_until_serving(*system.backends.values())


def test_a_terminated_backend_leaves(system: LocalSystem) -> None:
    """Terminate an instance, and it is gone from both configs; clients reach the others only."""
    gone = next(iter(system.backends.values()))
    system.terminate(gone.instance_id)
    system.wait_until_serving(*system.backends.values())
    system.wait_until(
        "it is out of both configs",
        lambda: all(gone.name not in config(p) for p in system.proxies.values()),
    )


def test_a_tag_that_is_added_brings_an_instance_in(system: LocalSystem) -> None:
    """An instance of another type gets no traffic until its tag says so."""
    late = system.launch_backend(Type="batch")
    others = [backend for backend in system.backends.values() if backend is not late]
    system.invoke({"action": "sync"})
    system.wait_until_serving(*others)
    system.tag({"Type": "tomcat"}, late.instance_id)
    system.wait_until_serving(*others, late)


def test_a_tag_that_is_removed_takes_an_instance_out(system: LocalSystem) -> None:
    """Without its tag an instance gets no more traffic, though it runs and would answer."""
    leaving, *others = system.backends.values()
    system.untag("Type", leaving.instance_id)
    system.wait_until_serving(*others)
    assert leaving.host.requests
    system.terminate(leaving.instance_id)


def test_no_change_is_no_reload(system: LocalSystem) -> None:
    """Events that change nothing, a sync and a comparison leave the very same HAProxy processes running."""
    before = workers(system)
    generation = system.status()["generation"]
    bystander = system.launch_backend(Environment="elsewhere")
    system.invoke({"action": "sync"})
    compared_at = system.status()["looked_at"]
    system.invoke({"action": "verify"})
    system.wait_until(
        "both have compared", lambda: _compared_since(system, compared_at)
    )
    assert workers(system) == before
    assert system.status()["generation"] == generation
    system.terminate(bystander.instance_id)


def _compared_since(system: LocalSystem, moment: float) -> bool:
    proxies = system.status()["proxies"].values()
    return all(
        proxy["outcome"] == "unchanged" and proxy["at"] > moment for proxy in proxies
    )


def test_a_hand_edit_is_repaired_by_the_sweep(system: LocalSystem) -> None:
    """Nobody calls for it: the edited file is replaced, kept as a backup, and reported."""
    proxy = next(iter(system.proxies.values()))
    good = config(proxy)
    proxy.host.write("/etc/haproxy/haproxy.cfg", f"{good}# edited by hand\n")
    system.wait_until("the file is repaired", lambda: config(proxy) == good)
    system.wait_until(
        "that is reported",
        lambda: system.status()["proxies"][proxy.instance_id]["outcome"] == "repaired",
    )
    backup = system.status()["proxies"][proxy.instance_id]["backup"]
    assert proxy.host.read(backup) == f"{good}# edited by hand\n"


def test_tags_set_weight_and_port(system: LocalSystem) -> None:
    """The options of a backend are tags, and a value that is refused harms nobody else."""
    first, second, *_ = system.backends.values()
    system.tag({"haproxy:weight": "7"}, first.instance_id)
    system.tag({"haproxy:weight": "7 backup"}, second.instance_id)
    line = f"server {first.name} {first.host.ipv4}:8080"
    system.wait_until(
        "its weight is in both configs",
        lambda: all(_has(config(p), line, "weight 7") for p in system.proxies.values()),
    )
    assert all(
        f"server {second.name} " in config(proxy) and "7 backup" not in config(proxy)
        for proxy in system.proxies.values()
    )
    come_to_rest(system)
    system.untag("haproxy:weight", first.instance_id, second.instance_id)
    come_to_rest(system)
    assert not any(
        _has(config(proxy), line, "weight 7") for proxy in system.proxies.values()
    )


def _has(text: str, start: str, word: str) -> bool:
    return any(start in line and word in line for line in text.splitlines())
