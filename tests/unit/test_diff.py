"""What a new config changes, in an operator's words."""

import pytest

from haproxy_sync.config.diff import semantic_diff
from haproxy_sync.config.language import Server, servers
from haproxy_sync.fleet.model import Backend

CONFIG = """global
    maxconn 100
backend app
    server a 10.0.0.1:80 check weight 10
    server b 10.0.0.2:80 check
listen other
    bind :81
    server a 10.0.1.1:80
"""


def backend(number: int, name: str, address: str) -> Backend:
    """A backend by name and address."""
    return Backend(f"i-{number:08x}", "tomcat", name, address, "ap-southeast-2a")


def test_nothing_changed() -> None:
    """An empty diff is false, and says so in JSON."""
    diff = semantic_diff(CONFIG, CONFIG)
    assert not diff
    assert diff.as_json(9) == {
        "added": [],
        "removed": [],
        "changed": [],
        "other": "",
        "more": {"added": 0, "removed": 0, "changed": 0, "other": 0},
    }


def test_added_and_removed_by_section_and_instance() -> None:
    """A server of one section is not that of another one; the instance id comes from name or address."""
    new = CONFIG.replace(
        "    server b 10.0.0.2:80 check\n", "    server c 10.0.0.3:80 check backup\n"
    )
    diff = semantic_diff(
        CONFIG, new, [backend(2, "x", "10.0.0.2"), backend(3, "c", "10.9.9.9")]
    )
    (added,), (removed,) = diff.added, diff.removed
    assert (added.section, added.name, added.instance_id) == (
        "backend app",
        "c",
        "i-00000003",
    )
    assert (removed.section, removed.name, removed.instance_id) == (
        "backend app",
        "b",
        "i-00000002",
    )
    assert added.after == {"address": "10.0.0.3:80", "check": True, "backup": True}
    assert diff.changed == ()
    assert diff.other == ()


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("server a 10.0.0.1:80 check weight 5", {"weight": ["10", "5"]}),
        ("server a 10.0.0.1:80 check", {"weight": ["10", None]}),
        (
            "server a 10.0.0.9:80 check weight 10",
            {"address": ["10.0.0.1:80", "10.0.0.9:80"]},
        ),
        (
            "server a 10.0.0.1:80 weight 10 ssl",
            {"check": [True, None], "ssl": [None, True]},
        ),
        ("server a 10.0.0.1:80 weight 10 check", {}),
        ("server a 10.0.0.1:80 weight 10 check # a comment", {}),
        ('server "a" 10.0.0.1:80 weight "10" check', {}),
    ],
)
def test_which_keyword_changed(line: str, changes: dict[str, object]) -> None:
    """Before and after of the keywords that differ; order, quotes and comments do not count."""
    diff = semantic_diff(
        CONFIG, CONFIG.replace("server a 10.0.0.1:80 check weight 10", line)
    )
    assert [change.as_json()["changes"] for change in diff.changed] == (
        [changes] if changes else []
    )
    assert (diff.added, diff.removed, diff.other) == ((), (), ())


def test_everything_else_is_a_unified_diff() -> None:
    """Without the servers, which are listed already."""
    new = CONFIG.replace("maxconn 100", "maxconn 200").replace(
        "    server b 10.0.0.2:80 check\n", ""
    )
    other = semantic_diff(CONFIG, new).as_json(99)["other"]
    assert "-    maxconn 100\n+    maxconn 200" in other
    assert "server" not in other


def test_what_does_not_fit_is_counted() -> None:
    """An answer of Lambda has 6 MB, and a big fleet may change whole."""
    shown = semantic_diff("", CONFIG).as_json(2)
    assert [server["name"] for server in shown["added"]] == ["a", "b"]
    assert shown["more"]["added"] == 1
    assert len(shown["other"].splitlines()) == 2
    assert shown["more"]["other"] > 0


def test_the_first_config_adds_all() -> None:
    """From nothing to something."""
    diff = semantic_diff("", CONFIG)
    assert [change.name for change in diff.added] == ["a", "b", "a"]
    assert "+global" in diff.other


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.0.0.1:80", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("2001:db8::1:8080", "2001:db8::1"),
        ("ipv4@10.0.0.1:80", "10.0.0.1"),
        ("ip-10-0-0-1:+8000", "ip-10-0-0-1"),
        ("app.internal", "app.internal"),
    ],
)
def test_host_of_an_address(address: str, host: str) -> None:
    """Port, brackets and family do not belong to it; HAProxy takes the last colon for the port's."""
    assert Server("backend b", "a", address, ()).host == host


def test_sections_as_haproxy_reads_them() -> None:
    """A section keyword opens one wherever the line begins, but not in the middle of a line."""
    text = "frontend f\n  bind :80\n  use_backend b if x\n  backend b\n\tserver s 1.2.3.4:5 check # note\n"
    assert list(servers(text)) == [Server("backend b", "s", "1.2.3.4:5", ("check",))]
