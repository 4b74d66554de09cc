"""A new environment publishes nothing before somebody has looked (`StartFrozen`)."""

from dataclasses import replace

import pytest

from haproxy_sync.state.store import PLACEHOLDER
from tests.contract.world import World, new_world

CONFIGS, STATE = "configs/staging/", "state/staging.json"


def sweeps(world: World, minutes: int = 10) -> None:
    """The schedule, and all that comes of it."""
    for _ in range(minutes):
        assert world.sweep() == []
        world.pass_time(60)


def keys(world: World, prefix: str) -> list[str]:
    """What lies in the bucket, but what inspections download."""
    page = world.clients.s3.list_objects_v2(Bucket=world.settings.bucket, Prefix=prefix)
    found = [item["Key"] for item in page.get("Contents", ())]
    return [key for key in found if PLACEHOLDER.sha256 not in key]


def is_untouched(world: World) -> bool:
    """No proxy was given anything, and there is nothing that it could be given."""
    return world.orders() == 0 and not keys(world, CONFIGS)


def test_no_proxy_is_touched_before_somebody_unfreezes(fresh: World) -> None:
    """However long it takes; then the rollout begins at once."""
    sweeps(fresh)
    assert is_untouched(fresh)
    status = fresh.act("status")
    assert not status["converged"]
    assert status["freeze"]["until"] is None
    assert "unfreeze" in status["freeze"]["reason"]
    assert fresh.act("unfreeze")["published"]
    fresh.settle()
    assert fresh.act("status")["converged"]
    assert fresh.act("status")["freeze"] is None
    assert all(host.running for host in fresh.proxies.values())


def test_status_says_so_before_the_first_look(fresh: World) -> None:
    """Seconds after the deploy."""
    assert fresh.act("status")["freeze"]["until"] is None


def test_unfreeze_right_after_the_deploy(fresh: World) -> None:
    """Nothing was ever read or written."""
    assert fresh.act("unfreeze")["published"]
    fresh.settle()
    assert fresh.act("status")["converged"]


def test_the_plan_of_a_frozen_environment_shows_what_unfreeze_would_do(
    fresh: World,
) -> None:
    """Who would be in the pool, from which template, on which proxies; and nothing is written for it."""
    for _ in range(2):  # before the first look and after it
        plan = fresh.act("plan")
        assert plan["verdict"] == "waits: frozen until unfreeze"
        assert plan["freeze"]["until"] is None
        assert plan["changes"]
        assert len(plan["servers"]["added"]) == 3
        assert sorted(plan["proxies"]) == sorted(fresh.proxies)
        assert plan["diff"]
        assert plan["template"]["origin"] == "bundled"
        assert plan["variables"]["origin"] == "none"
        assert is_untouched(fresh)
        fresh.sweep()
    added = plan["servers"]["added"]
    fresh.act("unfreeze")
    assert fresh.act("status")["history"][0]["added"] == added


def test_the_plan_names_an_uploaded_template(fresh: World) -> None:
    """Uploading one's own is the step before `unfreeze`."""
    text = "frontend f\n  bind :80\nbackend b\n{% for x in groups.backends %}  server {{ x }} {{ x }}:1\n{% endfor %}"
    fresh.clients.s3.put_object(
        Bucket="bucket", Key="templates/staging/haproxy.cfg.j2", Body=text.encode()
    )
    fresh.clients.s3.put_object(Bucket="bucket", Key="vars/staging.yml", Body=b"a: 1")
    plan = fresh.act("plan")
    assert (plan["template"]["origin"], plan["variables"]["origin"]) == (
        "uploaded",
        "uploaded",
    )


def test_the_plan_names_origins_when_the_template_is_broken_or_nothing_is_rendered() -> (
    None
):
    """They are what a person needs then."""
    with new_world(start_frozen=True) as world:
        # No backend, so nothing to render.
        assert world.act("plan")["template"]["origin"] == "bundled"
        world.launch()
        world.clients.s3.put_object(
            Bucket="bucket",
            Key="templates/staging/haproxy.cfg.j2",
            Body=b"{{ nobody }}",
        )
        plan = world.act("plan")
        assert "nobody" in plan["template_error"]
        assert plan["template"]["origin"] == "uploaded"


def test_the_plan_says_what_is_wrong_with_an_upload_before_there_is_a_backend() -> None:
    """Template and variables come first when a fleet is taken over."""
    with new_world(start_frozen=True) as world:
        world.launch("haproxy")
        world.clients.s3.put_object(
            Bucket="bucket", Key="vars/staging.yml", Body=b"a: ["
        )
        plan = world.act("plan")
        assert "vars/staging.yml" in plan["template_error"]
        assert (plan["template"]["origin"], plan["variables"]["origin"]) == (
            "bundled",
            "uploaded",
        )


def test_an_operators_freeze_does_not_shorten_the_first_one(fresh: World) -> None:
    """It ends by itself, and nobody has looked."""
    answer = fresh.act("freeze", minutes=1, reason="lunch")
    assert answer["freeze"]["until"] is None
    assert answer["freeze"]["then"]["reason"] == "lunch"
    sweeps(fresh)
    assert is_untouched(fresh)


def test_sync_publishes_nothing_while_frozen(fresh: World) -> None:
    """Whatever it allows."""
    assert not fresh.act("sync", allow_mass_removal=True)["published"]
    fresh.pass_time(60)
    assert is_untouched(fresh)


def test_a_deploy_with_start_frozen_false_ends_the_first_freeze(fresh: World) -> None:
    """For who looked, and wants it written down."""
    sweeps(fresh)
    fresh.settings = replace(fresh.settings, start_frozen=False)
    assert fresh.act("status")["freeze"] is None
    fresh.sweep()
    fresh.settle()
    assert fresh.act("status")["converged"]
    # The next deploy forgets it: nothing is new here.
    fresh.settings = replace(fresh.settings, start_frozen=True)
    fresh.pass_time(60)
    fresh.launch()
    fresh.sweep()
    fresh.settle()
    assert len(fresh.act("status")["backends"]) == 4


def test_a_deploy_does_not_end_an_operators_freeze(fresh: World) -> None:
    """Whoever froze it ends it."""
    fresh.act("unfreeze")
    fresh.settle()
    orders = fresh.orders()
    fresh.act("freeze", minutes=60, reason="incident")
    fresh.settings = replace(fresh.settings, start_frozen=False)
    fresh.launch()
    sweeps(fresh)
    assert fresh.orders() == orders
    assert fresh.act("status")["freeze"]["reason"] == "incident"


@pytest.mark.parametrize(
    "body", [None, b"", b"{}x", b"{}"], ids=["deleted", "empty", "rubbish", "nothing"]
)
def test_a_lost_state_of_an_environment_with_configs_is_no_first_time(
    fresh: World, body: bytes | None
) -> None:
    """Its proxies must not wait for a person who does not know of it."""
    fresh.act("unfreeze")
    fresh.settle()
    if body is None:
        fresh.clients.s3.delete_object(Bucket="bucket", Key=STATE)
    else:
        fresh.clients.s3.put_object(Bucket="bucket", Key=STATE, Body=body)
    assert fresh.act("status")["freeze"] is None
    (new,) = fresh.launch()
    fresh.pass_time(60)
    fresh.sweep()
    fresh.settle()
    status = fresh.act("status")
    assert status["converged"]
    assert new in status["backends"]


@pytest.mark.parametrize("body", [b"{}x", b"{}"], ids=["rubbish", "empty"])
def test_a_lost_state_of_an_environment_that_never_published_stays_frozen(
    fresh: World, body: bytes
) -> None:
    """Nothing was ever shown to anybody."""
    sweeps(fresh, 2)
    fresh.clients.s3.put_object(Bucket="bucket", Key=STATE, Body=body)
    sweeps(fresh, 2)
    assert is_untouched(fresh)
    fresh.clients.s3.delete_object(Bucket="bucket", Key=STATE)
    sweeps(fresh, 2)
    assert is_untouched(fresh)


def test_configs_of_another_environment_are_not_ours(fresh: World) -> None:
    """`staging` is new beside `staging-2`."""
    for environment in ("staging-2", "stagin"):
        key = f"configs/{environment}/{'a' * 64}/haproxy.cfg"
        fresh.clients.s3.put_object(Bucket="bucket", Key=key, Body=b"")
    sweeps(fresh, 2)
    assert fresh.orders() == 0
