"""The rollout as a whole: the canary, a proxy that dies or comes late, concurrent reconciles, an operator's brakes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.lab import Style
from local.system import CERTIFICATE, LocalSystem
from tests.end_to_end.conftest import config, is_at_rest, workers


@pytest.fixture
def no_certificates(system: LocalSystem) -> Iterator[None]:
    """What makes HAProxy refuse every new config on both proxies; afterwards they can be loaded again."""
    kept = {
        proxy.instance_id: proxy.host.read(CERTIFICATE)
        for proxy in system.proxies.values()
    }
    for proxy in system.proxies.values():
        proxy.host.path(CERTIFICATE).unlink()
    yield
    for instance_id, content in kept.items():
        system.proxies[instance_id].host.write(CERTIFICATE, content, mode=0o600)
    # A new generation, which need not wait for a retry.
    system.terminate(next(reversed(system.backends)))


@pytest.mark.fault("F65")
@pytest.mark.usefixtures("no_certificates")
def test_a_canary_that_fails_stops_the_rollout(system: LocalSystem) -> None:
    """One proxy tries the new config and refuses it, the other is not even asked; both keep serving what they had."""
    before, present = workers(system), list(system.backends.values())
    system.launch_backend()
    system.wait_until("the canary failed", lambda: _outcomes(system).count("failed"))
    system.invoke({"action": "sync"})
    status = system.status()
    assert _outcomes(system).count("failed") == 1
    assert {
        proxy["observed_generation"] < status["generation"]
        for proxy in status["proxies"].values()
    } == {True, False}
    assert all(
        proxy["running"] != proxy["desired"] for proxy in status["proxies"].values()
    )
    assert workers(system) == before
    system.wait_until_serving(*present)


def _outcomes(system: LocalSystem) -> list[str]:
    return [proxy["outcome"] for proxy in system.status()["proxies"].values()]


@pytest.mark.fault("F66")
def test_a_proxy_that_dies_in_mid_rollout_is_gone_not_failed(
    system: LocalSystem,
) -> None:
    """A third proxy joins late and is brought up to date; terminated while a rollout runs, it holds nobody up."""
    third = system.launch_proxy(Style.DAEMON)
    system.wait_until_serving(*system.backends.values())
    system.launch_backend()
    system.terminate(third.instance_id)
    system.wait_until_serving(*system.backends.values())
    system.wait_until("rest", lambda: is_at_rest(system))
    assert third.instance_id not in system.status()["proxies"]


@pytest.mark.fault("F09")
def test_concurrent_reconciles_agree(system: LocalSystem) -> None:
    """Reconciles at the same moment, while the pool changes, end in one config that has all of it."""
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(system.invoke, {"action": "sync"}) for _ in range(3)]
        system.launch_backend()
        answers.append(threads.submit(system.invoke, {"action": "sync"}))
    generations = [answer.result()["generation"] for answer in answers]
    system.wait_until_serving(*system.backends.values())
    assert system.status()["generation"] >= max(generations)
    assert len({config(proxy) for proxy in system.proxies.values()}) == 1


@pytest.mark.fault("F18")
def test_an_empty_pool_is_held(system: LocalSystem) -> None:
    """All backends lose their tag at once: no reload, clients are served, and the hold ends with its cause."""
    before, instance_ids = workers(system), list(system.backends)
    system.untag("Type", *instance_ids)
    system.wait_until("a hold", lambda: system.status()["hold"])
    assert system.invoke({"action": "plan"})["hold"]["reason"]
    system.wait_until_serving(*system.backends.values())
    system.tag({"Type": "tomcat"}, *instance_ids)
    system.wait_until("the end of the hold", lambda: not system.status()["hold"])
    assert workers(system) == before


def test_an_operator_releases_a_hold(system: LocalSystem) -> None:
    """Most backends leave at once: they stay in the config until somebody says that it is meant."""
    while len(system.backends) < 3:
        system.launch_backend()
    system.wait_until_serving(*system.backends.values())
    staying, *leaving = system.backends.values()
    system.untag("Type", *(backend.instance_id for backend in leaving))
    system.wait_until("a hold", lambda: system.status()["hold"])
    system.wait_until_serving(*system.backends.values())
    system.invoke({"action": "sync", "allow_mass_removal": True, "reason": "meant"})
    system.wait_until_serving(staying)
    for backend in leaving:
        system.terminate(backend.instance_id)


def test_nothing_moves_while_frozen(system: LocalSystem) -> None:
    """Frozen, a new backend waits; the end of the freeze brings it in."""
    present = list(system.backends.values())
    system.invoke({"action": "freeze", "minutes": 60, "reason": "test"})
    system.launch_backend()
    generation = system.status()["generation"]
    system.invoke({"action": "sync"})
    assert system.status()["generation"] == generation
    assert system.status()["freeze"]["reason"] == "test"
    system.wait_until_serving(*present)
    system.invoke({"action": "unfreeze"})
    system.wait_until_serving(*system.backends.values())


def test_rollback_brings_an_earlier_config_back(system: LocalSystem) -> None:
    """The config of an earlier generation runs again, as a higher one, until the freeze that comes with it is ended."""
    earlier, present = system.status()["generation"], list(system.backends.values())
    old = config(next(iter(system.proxies.values())))
    system.launch_backend()
    system.wait_until_serving(*system.backends.values())
    system.invoke({"action": "rollback", "generation": earlier})
    system.wait_until_serving(*present)
    system.wait_until(
        "both have it",
        lambda: all(config(proxy) == old for proxy in system.proxies.values()),
    )
    assert system.status()["generation"] > earlier
    system.invoke({"action": "unfreeze"})
    system.wait_until_serving(*system.backends.values())
