"""Answers that docs/architecture.md describes, of a fleet that has every kind of trouble."""

from typing import Any

NOW = 1795662000.0  # 2026-11-26 03:00:00 UTC
OLD, NEW, STRANGE = "0c9f" * 8, "de9c" * 8, "7a11" * 8
NAMES = {
    "i-0000000000000000a": ("edge-1", "10.77.0.5", "ap-southeast-2a"),
    "i-0000000000000000b": ("edge-2", "10.77.16.5", "ap-southeast-2b"),
    "i-0000000000000000c": ("edge-3", "10.77.32.5", "ap-southeast-2c"),
    "i-0000000000000000d": ("edge-4", "10.77.0.6", "ap-southeast-2a"),
}
FIRST, SECOND, THIRD, FOURTH = NAMES


def instances() -> dict[str, Any]:
    """The key of that name."""
    return {key: place(key) | {"role": "proxy"} for key in NAMES}


def place(instance_id: str) -> dict[str, Any]:
    """Its name, address and zone."""
    return dict(zip(("name", "address", "zone"), NAMES[instance_id], strict=True))


def proxy(instance_id: str, **changes: Any) -> dict[str, Any]:
    """A proxy that is well, but for the changes."""
    return (
        place(instance_id)
        | {
            "sync": "synced",
            "health": "healthy",
            "desired": NEW,
            "installed": NEW,
            "running": NEW,
            "haproxy": "running",
            "heard_at": NOW - 40,
            "backends": {"application": {"up": 3, "down": 0}},
            "more_backends": 0,
            "outcome": "installed",
            "reason": "",
            "at": NOW - 40,
            "next": "",
            "next_at": None,
            "inspection": None,
        }
        | changes
    )


def condition(what: str, health: str, **changes: Any) -> dict[str, Any]:
    """A condition of which no more is known than the changes."""
    return {
        "cause": "some-cause",
        "health": health,
        "what": what,
        "since": None,
        "next": "",
        "next_at": None,
        "advice": "",
        "runbook": "",
        "instances": [],
    } | changes


def status(**changes: Any) -> dict[str, Any]:
    """Of a rollout that stopped at its canary."""
    digest = {"md5": OLD, "sha256": "0" * 64}
    publication = {
        "generation": 12,
        "at": NOW - 240,
        "why": f"tag-change-on-resource {SECOND}",
        "assignment": {"shared": digest | {"md5": NEW}, "by_proxy": {}},
    }
    before = publication | {
        "generation": 11,
        "assignment": {"shared": digest, "by_proxy": {}},
    }
    return {
        "action": "status",
        "environment": "staging",
        "headline": "staging is degraded, out of sync: the rollout of generation 12 stopped at edge-1 "
        "(failed cannot-write: no room in /etc/haproxy), since 02:59:20 UTC; next try at 03:00:30 UTC; "
        "make room there, see docs/runbook.md#alarms; and 3 more",
        "sync": "out-of-sync",
        "health": "degraded",
        "conditions": [
            condition("the rollout of generation 12 stopped at edge-1", "degraded"),
            condition(
                "HAProxy is stopped on edge-3",
                "degraded",
                since=NOW - 600,
                advice="start it: systemctl start haproxy",
                runbook="docs/runbook.md#haproxy-stopped",
                instances=[THIRD],
            ),
            condition(
                "edge-4 said nothing for 25 min",
                "unknown",
                since=NOW - 1500,
                next="next drift check",
                next_at=NOW + 90,
                advice="status --fresh asks now",
            ),
            condition(
                "a hand edit on edge-2 was repaired",
                "healthy",
                since=NOW - 3600,
                advice="its file is in /etc/haproxy/haproxy.cfg.1.bak",
            ),
        ],
        "proxies": {
            FOURTH: proxy(FOURTH, health="unknown", sync="unknown")
            | {"heard_at": NOW - 1500, "at": NOW - 1500},
            SECOND: proxy(SECOND),
            FIRST: proxy(FIRST, health="degraded", sync="out-of-sync")
            | {
                "installed": OLD,
                "running": OLD,
                "outcome": "failed",
                "reason": "cannot-write",
                "next": "retry",
                "next_at": NOW + 30,
                "backends": {
                    "application": {"up": 2, "down": 1},
                    "api": {"up": 0, "down": 4},
                },
            },
            THIRD: proxy(THIRD, health="degraded", sync="out-of-sync")
            | {"haproxy": "stopped", "running": "", "outcome": "not-running"}
            | {"backends": None},
        },
        "backends": ["i-00000000000000b1", "i-00000000000000b2", "i-00000000000000b3"],
        "hold": None,
        "freeze": None,
        "template_error": "",
        "history": [publication, before],
        "looked_at": NOW - 12,
        "next_look_at": NOW + 48,
        "inspect": {"requested_at": None, "unanswered": []},
        **origins(),
        "instances": instances(),
    } | changes


def server(name: str, instance_id: str | None, **keywords: Any) -> dict[str, Any]:
    """A server of a diff; each keyword as before and after."""
    return {
        "section": "backend application",
        "name": name,
        "instance_id": instance_id,
        "changes": {keyword: list(sides) for keyword, sides in keywords.items()},
    }


def added(name: str, address: str) -> dict[str, Any]:
    """A server that appears."""
    instance_id = f"i-{name.removeprefix('ip-').replace('-', ''):0>17}"
    return server(
        name,
        instance_id,
        address=(None, address),
        check=(None, True),
        weight=(None, "20"),
    )


def diffs() -> list[dict[str, Any]]:
    """Of proxies in two zones, whose configs differ."""
    gone = server(
        "ip-10-77-9-9", "i-000000000000000b9", address=("10.77.9.9:8080", None)
    )
    changed = server(
        "ip-10-77-4-4",
        "i-000000000000000b4",
        weight=("100", "20"),
        backup=(True, None),
        slowstart=(None, "10s"),
    )
    other = "--- old\n+++ new\n@@ -1,3 +1,3 @@\n global\n-    maxconn 100\n+    maxconn 200\n     daemon"
    none = {"added": 0, "removed": 0, "changed": 0, "other": 0}
    first = {
        "proxies": [FIRST, FOURTH],
        "added": [added("ip-10-77-16-4", "10.77.16.4:8080")],
        "changed": [changed],
        "removed": [gone],
        "other": other,
        "more": none,
    }
    second = first | {"proxies": [SECOND], "changed": [], "other": ""}
    return [first, second | {"more": none | {"removed": 3, "other": 2}}]


def origins(**changes: Any) -> dict[str, Any]:
    """An uploaded template, no variables, and nothing in an earlier stack's bucket."""
    nothing = {"version": "", "at": None, "at_iso": None}
    uploaded = {
        "version": "1a2b3c4d5e6f7081",
        "at": NOW - 7200,
        "at_iso": "2026-11-26T01:00:00Z",
    }
    return {
        "template": uploaded | {"origin": "uploaded"},
        "variables": nothing | {"origin": "none"},
        "earlier_uploads": [],
    } | changes


EARLIER = "s3://haproxy-ec2-sync-staging-configbucket-0a1b2c3d/templates/staging/"


def plan(**changes: Any) -> dict[str, Any]:
    """Of a plan that would happen now."""
    backend = {"name": "", "address": "10.77.4.4", "zone": "", "role": "backend"}
    return {
        "action": "plan",
        "environment": "staging",
        "changes": True,
        "servers": {"added": [], "removed": [], "changed": []},
        "diff": diffs(),
        "proxies": [FIRST, SECOND, FOURTH],
        "rolling_out": [],
        "verdict": "proceed",
        "hold": None,
        "freeze": None,
        "template_error": "",
        "look_failure": None,
        **origins(),
        "skipped": [],
        "instances": instances() | {"i-000000000000000b4": backend},
    } | changes


def diff() -> dict[str, Any]:
    """Of a publication against the one before."""
    return {
        "action": "diff",
        "environment": "staging",
        "generation": 12,
        "against": 11,
        "why": "operator sync: more of them",
        "at": NOW - 240,
        "diff": diffs(),
        "instances": instances(),
    }


def history() -> list[dict[str, Any]]:
    """Three publications."""
    lines = [
        "+ backend application/ip-10-77-16-4 (i-1) address 10.77.16.4:8080, check",
        "- backend application/ip-10-77-9-9 (i-2) address 10.77.9.9:8080, check",
        "~ backend application/ip-10-77-4-4 (i-3) weight 100 -> 20",
    ]
    newest = {
        "generation": 12,
        "at": NOW - 240,
        "why": "operator sync: more of them",
        "added": ["i-1"],
        "removed": ["i-2"],
        "changed": ["i-3"],
        "more_removed": 40,
        "diff": lines,
    }
    older = {"at": NOW - 90_000, "why": "sweep", "added": [], "removed": []}
    oldest = {"at": NOW - 900_000, "why": "tag-change-on-resource i-1", "diff": []}
    return [
        newest,
        newest | older | {"generation": 11, "changed": [], "more_removed": 0},
        newest | oldest | {"generation": 10, "more_removed": 0},
    ]


CHECK_ID = "1795662000-0a1b2c3d"
DIFF = """--- live file
+++ candidate
@@ -12,7 +12,8 @@
 backend application
     balance roundrobin
-    server ip-10-77-9-9 10.77.9.9:8080 check
+    server ip-10-77-16-4 10.77.16.4:8080 check weight 20
+    http-request set-header Authorization ***
     option httpchk
"""


def begun(**changes: Any) -> dict[str, Any]:
    """The answer of a check that begins: three proxies are asked, and one cannot be."""
    return {
        "action": "check",
        "environment": "staging",
        "id": CHECK_ID,
        "at": NOW,
        "at_iso": "2026-11-26T03:00:00Z",
        "asked": [FIRST, SECOND, THIRD],
        "unreachable": [FOURTH],
        "template": origins()["template"],
        "variables": origins()["variables"],
        "hold": None,
        "skipped": [],
        "instances": instances(),
    } | changes


def row(instance_id: str, **changes: Any) -> dict[str, Any]:
    """A proxy whose file is the same, but for the changes."""
    return (
        place(instance_id)
        | {
            "result": "same",
            "reason": "",
            "detail": "",
            "live": NEW,
            "candidate": NEW,
            "running": NEW,
            "method": "none",
            "diff": "",
            "diff_lines": 0,
            "diff_shown": 0,
            "haproxy": "running",
            "haproxy_version": "3.0.11",
            "style": "master-worker",
            "agent_version": "3.3.3572.0",
            "publisher": "",
            "unsafe_keywords": [],
            "notes": [],
        }
        | changes
    )


def differing(instance_id: str, **changes: Any) -> dict[str, Any]:
    """One whose file differs, and that would take the candidate."""
    shown = DIFF.count("\n")
    told = {"diff": DIFF, "diff_lines": shown, "diff_shown": shown}
    return row(
        instance_id, result="differs", live=OLD, running=OLD, method="seamless"
    ) | {**told, **changes}


def silent(instance_id: str, result: str) -> dict[str, Any]:
    """One that said nothing."""
    kept = {"name", "address", "zone", "result"}
    full = row(instance_id, result=result)
    nothing = {"diff_lines": 0, "diff_shown": 0, "unsafe_keywords": [], "notes": []}
    return {key: value if key in kept else "" for key, value in full.items()} | nothing


def check(rows: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """The answer of a check: of every kind of result one, unless other rows are given."""
    refused = {
        "result": "refused",
        "reason": "invalid-config",
        "detail": "[ALERT] parsing [haproxy.cfg:14]: unknown keyword 'blance'; did you mean 'balance' maybe ?",
        "running": STRANGE,
        "unsafe_keywords": ["lua-load", "program"],
        "notes": ["runs-as-root", "no-chroot"],
        "publisher": "arn:aws:cloudformation:eu-west-1:123456789012:stack/other/0a1b2c3d",
        "diff_lines": 412,
    }
    every = {
        FIRST: differing(FIRST),
        SECOND: row(SECOND),
        THIRD: differing(THIRD, **refused),
        FOURTH: silent(FOURTH, "unreachable"),
    }
    found = every if rows is None else rows
    return {
        "action": "check",
        "environment": "staging",
        "id": CHECK_ID,
        "at": NOW,
        "at_iso": "2026-11-26T03:00:00Z",
        "done": all(each["result"] != "awaited" for each in found.values()),
        "proxies": found,
        "instances": instances(),
    } | changes


def drain(instance_id: str, **changes: Any) -> dict[str, Any]:
    """A backend that its group lets go, with sessions that are not known."""
    return {
        "instance_id": instance_id,
        "why": "Terminating:Wait",
        "since": NOW - 100,
        "since_iso": "2026-11-26T02:58:20Z",
        "connections": None,
    } | changes


def action(instance_id: str, **changes: Any) -> dict[str, Any]:
    """A hook that waits for an instance that leaves."""
    return {
        "instance_id": instance_id,
        "group": "web",
        "hook": "haproxy-ec2-sync-terminate",
        "joins": False,
        "since": NOW - 100,
        "since_iso": "2026-11-26T02:58:20Z",
        "heartbeat_at": None,
        "heartbeat_at_iso": None,
        "ended_at": None,
        "ended_at_iso": None,
        "result": "",
        "failure": None,
        "behind": [],
        "unreachable": [],
    } | changes


BACKENDS = [f"i-000000000000000{each}" for each in ("b1", "b2", "b3", "b4", "b5")]


def leaving() -> dict[str, Any]:
    """Three backends drain, and hooks wait for three; one of them is ended, and one cannot be."""
    first, second, third, fourth, _ = BACKENDS
    named = {
        key: {
            "name": f"ip-10-77-9-{number}",
            "address": f"10.77.9.{number}",
            "zone": "ap-southeast-2a",
            "role": "backend",
        }
        for number, key in enumerate(BACKENDS, 1)
    }
    refused = {
        "operation": "CompleteLifecycleAction",
        "code": "AccessDenied",
        "message": "no",
        "since": NOW - 30,
        "since_iso": "2026-11-26T02:59:30Z",
        "at": NOW - 15,
        "at_iso": "2026-11-26T02:59:45Z",
    }
    return {
        "draining": [
            drain(first, connections=3),
            drain(second, why="spot interruption notice", since=NOW - 12),
            drain(third, why="haproxy:drain", since=NOW - 7300, connections=1),
        ],
        "lifecycle_actions": [
            action(first, behind=[FIRST, SECOND], unreachable=[FOURTH]),
            action(
                second,
                ended_at=NOW - 5,
                ended_at_iso="2026-11-26T02:59:55Z",
                result="CONTINUE",
            ),
            action(
                fourth,
                joins=True,
                hook="haproxy-ec2-sync-launch",
                since=NOW - 40,
                failure=refused,
            ),
        ],
        "instances": instances() | named,
    }
