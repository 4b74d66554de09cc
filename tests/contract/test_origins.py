"""Where template and variables come from, by `plan` and `status`; and what an earlier stack's bucket still has."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from moto.s3.models import S3Backend, s3_backends

from haproxy_sync.config import earlier_uploads
from haproxy_sync.config.sources import Uploads
from haproxy_sync.state.model import EnvironmentState
from local.cloud import s3 as cloud_s3
from tests.contract.faults import Fault, calls, failing
from tests.contract.world import ACCOUNT, REGION, World, new_world

STACK = "haproxy-ec2-sync-staging"
OURS = f"{STACK}-configbucket-1a2b3c4d5e6f"
OLD = f"{STACK}-configbucket-zzzzzzzzzzzz"
OLDER = f"{STACK}-configbucket-aaaaaaaaaaaa"
MAIN, VARIABLES = "templates/staging/haproxy.cfg.j2", "vars/staging.yml"
TEMPLATE = """\
frontend f
  bind :80
backend b
{% for x in groups.backends %}
  server {{ x }} {{ x }}:1
{% endfor %}
"""
COPY = (
    f"aws s3 cp --recursive s3://{OLD}/ s3://{OURS}/"
    " --exclude '*' --include 'templates/staging/*' --include 'vars/staging.yml'"
)


def put(world: World, key: str, text: str, bucket: str = OURS) -> None:
    """An upload."""
    world.clients.s3.put_object(Bucket=bucket, Key=key, Body=text.encode())


def make_bucket(world: World, name: str, created: int, region: str = REGION) -> None:
    """A bucket that was made in that year."""
    where: Any = {"LocationConstraint": REGION}
    world.clients.s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    bucket = s3_backends[ACCOUNT]["aws"].buckets[name]
    bucket.region_name = region
    bucket.creation_date = datetime(created, 1, 1, tzinfo=UTC)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A new stack that is named as CloudFormation names it, beside a fleet that is tagged already."""
    by_name = cloud_s3.list_buckets(S3Backend.list_buckets)
    monkeypatch.setattr(S3Backend, "list_buckets", by_name)
    with new_world(bucket=OURS, start_frozen=True) as world:
        make_bucket(world, OURS, 2026)
        world.launch(number=2)
        world.launch("haproxy", 2)
        yield world


@pytest.fixture
def beside(fresh: World) -> World:
    """The same beside the bucket of an earlier stack, with uploads in it, and beside that of the one before."""
    for bucket, year in ((OLD, 2025), (OLDER, 2024)):
        make_bucket(fresh, bucket, year)
        put(fresh, MAIN, TEMPLATE, bucket)
    put(fresh, VARIABLES, "a: 1", OLD)
    return fresh


def told(world: World, name: str) -> Any:
    """What a look says in `status`, which a plan says before it."""
    world.pass_time(60)  # a look a minute
    plan = world.act("plan")
    assert world.sweep() == []
    status = world.act("status")
    assert status[name] == plan[name]
    return status[name]


def causes(world: World) -> dict[str, dict[str, Any]]:
    """The conditions of `status`, by their cause."""
    return {each["cause"]: each for each in world.act("status")["conditions"]}


@pytest.mark.fault("F182")
def test_status_and_plan_say_what_is_rendered(fresh: World) -> None:
    """Origin, version and time, of each kind, in the first freeze and behind it."""
    assert fresh.act("status")["template"]["origin"] == "unknown"
    bundled = told(fresh, "template")
    assert (bundled["origin"], bundled["at"]) == ("bundled", None)
    assert told(fresh, "variables") == {
        "origin": "none",
        "version": "",
        "at": None,
        "at_iso": None,
    }
    put(fresh, MAIN, TEMPLATE)
    first = told(fresh, "template")
    stored = fresh.clients.s3.head_object(Bucket=OURS, Key=MAIN)["LastModified"]
    assert first["origin"] == "uploaded"
    assert (
        first["at"]
        == datetime.strptime(stored, "%a, %d %b %Y %H:%M:%S GMT")
        .replace(tzinfo=UTC)
        .timestamp()
    )
    fresh.act("unfreeze")
    fresh.settle()
    put(fresh, "templates/staging/part.j2", "")
    second = told(fresh, "template")
    assert len({each["version"] for each in (bundled, first, second)}) == 3
    put(fresh, VARIABLES, "a: 1")
    assert told(fresh, "variables")["origin"] == "uploaded"
    assert told(fresh, "template") == second
    for key in (MAIN, "templates/staging/part.j2"):
        fresh.clients.s3.delete_object(Bucket=OURS, Key=key)
    assert told(fresh, "template") == bundled


@pytest.mark.fault("F182")
def test_a_broken_upload_is_told_as_the_origin_all_the_same(fresh: World) -> None:
    """That is when somebody asks."""
    put(fresh, MAIN, "{{ nobody }}")
    put(fresh, VARIABLES, "a: [")
    assert told(fresh, "template")["origin"] == "uploaded"
    assert told(fresh, "variables")["origin"] == "uploaded"
    assert fresh.act("status")["template_error"]


@pytest.mark.fault("F182")
def test_origins_cost_a_look_nothing(fresh: World) -> None:
    """It lists uploads anyway; other buckets are nobody's business once something is published."""
    fresh.act("unfreeze")
    fresh.settle()
    fresh.pass_time(120)
    with calls(fresh.clients) as made:
        assert fresh.sweep() == []
    assert [each for each in made if each.startswith("s3.")] == [
        "s3.GetObject",
        "s3.ListObjectsV2",
        "s3.ListObjectsV2",
        "s3.PutObject",
    ]


@pytest.mark.fault("F183")
def test_uploads_of_an_earlier_stack_are_named(beside: World) -> None:
    """In plan and status, with the command that copies those of the newest bucket; nothing of them is used."""
    found = told(beside, "earlier_uploads")
    assert found == [
        f"s3://{OLD}/templates/staging/",
        f"s3://{OLD}/vars/staging.yml",
        f"s3://{OLDER}/templates/staging/",
    ]
    status = beside.act("status")
    assert status["template"]["origin"] == "bundled"
    assert status["headline"].startswith("staging needs attention, ")
    assert OLD in status["headline"]
    condition = causes(beside)["uploads-elsewhere"]
    assert OLD in condition["what"]
    assert condition["advice"] == COPY
    assert condition["health"] == "attention"
    assert beside.orders() == 0


@pytest.mark.fault("F183")
def test_what_is_uploaded_here_is_not_copied_over(beside: World) -> None:
    """Each of the two by itself; the command leaves the other alone."""
    beside.sweep()
    put(beside, MAIN, TEMPLATE)
    assert told(beside, "earlier_uploads") == [f"s3://{OLD}/vars/staging.yml"]
    advice = causes(beside)["uploads-elsewhere"]["advice"]
    assert advice.endswith("--exclude '*' --include 'vars/staging.yml'")
    put(beside, VARIABLES, "a: 1")
    assert told(beside, "earlier_uploads") == []
    assert "uploads-elsewhere" not in causes(beside)


@pytest.mark.fault("F183")
def test_unfreeze_ends_the_search(beside: World) -> None:
    """Whoever goes on without them has decided."""
    beside.sweep()
    assert beside.act("status")["earlier_uploads"]
    with calls(beside.clients) as made:
        beside.act("unfreeze")
        beside.settle()
        beside.pass_time(120)
        beside.sweep()
    assert beside.act("status")["earlier_uploads"] == []
    assert beside.act("plan")["earlier_uploads"] == []
    assert "s3.ListBuckets" not in made


@pytest.mark.fault("F183")
def test_buckets_of_others_are_not_asked(fresh: World) -> None:
    """Of another stack, another region, where a stack of this name is in use, or of another kind."""
    others = {
        f"{STACK}-2-configbucket-1a2b3c4d5e6f": REGION,
        f"{STACK}-configbucket-1a2b3c4d5e6f-logs": REGION,
        f"{STACK}-configbucket-us1a2b3c4d5e": "us-west-2",
        "configbucket-1a2b3c4d5e6f": REGION,
    }
    for name, region in others.items():
        make_bucket(fresh, name, 2025, region)
        put(fresh, MAIN, TEMPLATE, name)
    empty = f"{STACK}-configbucket-empty"
    make_bucket(fresh, empty, 2025)
    put(fresh, "templates/production/haproxy.cfg.j2", TEMPLATE, empty)
    assert told(fresh, "earlier_uploads") == []


@pytest.mark.fault("F183")
@pytest.mark.parametrize("code", ["AccessDenied", "SlowDown"])
def test_who_may_not_search_finds_nothing(beside: World, code: str) -> None:
    """As where the organisation denies it; the look is as good as without."""
    with failing(beside.clients, "s3.ListBuckets", Fault(403, code)):
        assert told(beside, "earlier_uploads") == []
    status = beside.act("status")
    assert status["look_failure"] is None
    assert status["template"]["origin"] == "bundled"
    assert told(beside, "earlier_uploads")


@pytest.mark.fault("F183")
def test_a_bucket_that_is_gone_hides_no_other(
    beside: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deletes it between the two questions."""
    listed = beside.clients.s3.list_objects_v2

    def refuses(**request: Any) -> Any:
        if request["Bucket"] == OLD:
            request["Bucket"] = f"{OLD}-gone"
        return listed(**request)

    monkeypatch.setattr(beside.clients.s3, "list_objects_v2", refuses)
    assert told(beside, "earlier_uploads") == [f"s3://{OLDER}/templates/staging/"]


@pytest.mark.fault("F183")
def test_a_bucket_with_a_name_of_its_own_has_no_earlier_ones(beside: World) -> None:
    """Nor one whose name CloudFormation had to cut."""
    uploads = Uploads(beside.clients, replace(beside.settings, bucket="bucket"))
    with calls(beside.clients) as made:
        assert earlier_uploads.find(uploads) == ()
    assert "s3.ListBuckets" not in made


def test_a_state_of_an_earlier_release_knows_no_origin() -> None:
    """Until the next look."""
    assert str(EnvironmentState().template_origin.kind) == "unknown"
