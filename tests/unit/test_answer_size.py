"""The greatest answers still fit through Lambda."""

import json

import pytest

from haproxy_sync.config.diff import semantic_diff
from haproxy_sync.fleet.model import Backend, Proxy, Skipped, ids
from haproxy_sync.operator import answers, checks, instances, told
from haproxy_sync.operator.actions import SHOWN_CHANGES
from haproxy_sync.operator.situation import Situation
from haproxy_sync.reconcile.publish import Proposal
from haproxy_sync.rollout.checks import CheckResult, Row
from haproxy_sync.rollout.reports import Report
from haproxy_sync.settings import Settings
from haproxy_sync.state.check import Check
from haproxy_sync.state.model import (
    Agent,
    Assignment,
    BackendServers,
    Digest,
    EnvironmentState,
    HAProxy,
    Hold,
    Inspection,
    Outcome,
    ProxyState,
    Publication,
    Serving,
)
from haproxy_sync.state.store import Snapshot
from tests.unit.test_settings import GOOD

NOW = 1_800_000_000.0
STACK = GOOD["PUBLISHER"]

LAMBDA = 6_291_556  # bytes of an answer


def backends(first: int, number: int) -> tuple[Backend, ...]:
    """As EC2 names them."""
    return tuple(
        Backend(
            f"i-{key:017x}",
            "tomcat",
            f"ip-10-200-{key // 256}-{key % 256}",
            f"10.200.{key // 256}.{key % 256}",
            "ap-southeast-2a",
        )
        for key in range(first, first + number)
    )


def config(fleet: tuple[Backend, ...], weight: int) -> str:
    """As the bundled template has servers."""
    lines = (
        f"    server {each.name} {each.address}:8080 check observe layer7 weight {weight}"
        for each in fleet
    )
    return "\n".join(["backend application", *lines, ""])


def test_a_plan_that_changes_more_than_it_shows() -> None:
    """As many as fit of each kind: who leaves, who comes and who changes, with names and addresses."""
    number = SHOWN_CHANGES + 100
    gone, kept, new = (backends(each * number, number) for each in range(3))
    diff = semantic_diff(
        config((*gone, *kept), 100), config((*kept, *new), 200), (*gone, *kept, *new)
    )
    shown = diff.as_json(SHOWN_CHANGES)
    assert len(shown["added"]) == len(shown["changed"]) == SHOWN_CHANGES
    before = EnvironmentState(backends=(*gone, *kept))
    known = instances.of_plan(before, Proposal(before, pool=(*kept, *new)))
    named = instances.named(shown, known)
    assert len(named) == 3 * SHOWN_CHANGES
    # A megabyte is left for all else that a plan says.
    assert len(json.dumps(shown | {"instances": named})) < LAMBDA - 1_000_000


def test_status_of_a_big_fleet_in_a_bad_hour() -> None:
    """A thousand proxies that have much to say, of ten thousand backends most vanished, and as many are left out."""
    pool, left_out = backends(0, 10_000), backends(20_000, 10_000)
    proxies = tuple(
        Proxy(f"i-{key:017x}", "haproxy", each.name, each.address, each.zone)
        for key, each in enumerate(pool[:1000], 50_000)
    )
    ids = [each.instance_id for each in proxies]
    digest = Digest("a" * 64, "b" * 32)
    told_of = tuple(BackendServers(f"backend-{key:04d}", 3, 1) for key in range(22))
    observed = ProxyState(
        outcome=Outcome.FAILED,
        reason="invalid-config",
        detail="x" * 300,
        installed=digest.md5,
        running="c" * 32,
        backup="/etc/haproxy/haproxy.cfg.12345678.bak",
        at=NOW - 60,
        sent_at=NOW - 70,
        attempts=3,
        failed_generation=1,
        publisher=STACK,
        inspection=Inspection(NOW - 30, "running", down="x" * 300),
        serving=Serving(
            NOW - 30,
            HAProxy.RUNNING,
            "3.0.1",
            told_of,
            100,
            style="master-worker",
            old_workers=100,
            notes=tuple(f"named-files-changed-{number:07}" for number in range(7)),
        ),
        notes=("server-state-not-configured",) * 7,
        window_ms=3000,
    )
    gone = {each.instance_id: NOW - 60 for each in pool[1000:]}
    state = EnvironmentState(
        looked_at=NOW - 30,
        publisher=STACK,
        backends=pool,
        proxies=proxies,
        skipped=tuple(
            Skipped(
                each.instance_id,
                "bad-weight",
                "x" * 60,
                each.name,
                each.address,
                each.zone,
            )
            for each in left_out
        ),
        publication=Publication(1, 1, NOW - 900, Assignment(digest)),
        proxy_states=dict.fromkeys(ids, observed),
        agents=dict.fromkeys(ids, Agent("3.3.4000.0", "Online", NOW - 60)),
        hold=Hold("90 % vanished", NOW - 60, gone, NOW - 60, NOW + 240, gone),
    )
    snapshot = Snapshot(state, etag=None)
    situation = Situation.of(snapshot, Settings.from_env(GOOD), NOW)
    answer = told.status(answers.status(snapshot, NOW), situation)
    answer["instances"] = instances.named(answer, instances.of_states(state))
    # The history may have half a megabyte.
    assert len(json.dumps(answer)) < LAMBDA - 500_000
    first = answer["proxies"][ids[0]]
    assert len(first["backends"]) + first["more_backends"] == 122
    assert answer["skipped"][-1]["detail"].endswith(" (and 9000 more)")
    assert len(answer["hold"]["missing"]) == 9000


@pytest.mark.fault("F168")
def test_a_check_of_a_big_fleet_whose_files_all_differ() -> None:
    """A thousand proxies whose hosts printed as much as they may; each shows its share, and says of how much."""
    proxies = tuple(
        Proxy(f"i-{key:017x}", "haproxy", f"ip-10-0-0-{key}", "10.0.0.1", "zone-2a")
        for key in range(1000)
    )
    lines = tuple(f"-    # \N{SNOWMAN} line {number}" for number in range(1000))
    names = ids(proxies)
    check = Check(
        check_id="1795316640-a",
        at=NOW,
        proxies=proxies,
        candidates=dict.fromkeys(names, Digest("a" * 64, "b" * 32)),
        agents=dict.fromkeys(names, Agent("3.3.3572.0", "Online", NOW)),
        commands=(),
        not_asked={},
    )
    rows = {
        key: Row(
            CheckResult.DIFFERS,
            Report(
                key,
                Outcome.CHECKED,
                "differs",
                detail="d" * 300,
                publisher=STACK,
                diff_lines=1200,
                diff_shown=1000,
            ),
            lines,
        )
        for key in names
    }
    answer = checks.shown(check, rows)
    for row in answer.values():
        shown = row["diff"].split("\n")[:-1]
        assert shown == list(lines[: row["diff_shown"]])
        assert 0 < row["diff_shown"] < 1000 < row["diff_lines"]
    known = instances.of_proxies(proxies)
    named = instances.named(answer, known)
    assert len(json.dumps({"proxies": answer, "instances": named})) < 5_000_000
    (alone,) = checks.shown(check, {"i-" + "0" * 17: rows["i-" + "0" * 17]}).values()
    assert alone["diff_shown"] == 1000
