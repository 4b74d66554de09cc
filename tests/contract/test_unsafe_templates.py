"""A template that would run code as root on the proxies: it does not leave the function unless somebody allows it."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from haproxy_sync.errors import BadRequest
from tests.contract.world import World

KEY = {"Bucket": "bucket", "Key": "templates/staging/haproxy.cfg.j2"}
ORDINARY = """listen app
    bind *:80
{% for backend in backends %}
    server {{ backend.name }} {{ backend.address }}:8080 check
{% endfor %}
"""
PROGRAM = "program p\n    command /bin/sh\n"
PASTE = "AllowUnsafeKeywords=program"


def upload(world: World, text: str) -> None:
    """Somebody may write to `templates/`."""
    world.clients.s3.put_object(**KEY, Body=text.encode())
    world.sweep()
    world.settle()


def stored(world: World) -> list[str]:
    """Every object that a proxy may download, as text."""
    s3 = world.clients.s3
    listed = s3.list_objects_v2(Bucket="bucket", Prefix="configs/")["Contents"]
    objects = (s3.get_object(Bucket="bucket", Key=each["Key"]) for each in listed)
    return [each["Body"].read().decode() for each in objects]


@pytest.mark.fault("F296")
def test_it_reaches_neither_the_bucket_nor_a_proxy(running: World) -> None:
    """The old config stays; status, plan and check say which line it is, and what would allow it."""
    before = {key: host.running for key, host in running.proxies.items()}
    upload(running, ORDINARY + PROGRAM)
    status = running.act("status")
    assert (
        f"program: runs a command as root; if that is meant, set {PASTE}"
        in (status["template_error"])
    )
    assert "line 6" in status["template_error"]
    plan = running.act("plan")
    assert PASTE in plan["template_error"]
    with pytest.raises(BadRequest, match=PASTE):
        running.act("check")
    assert {key: host.running for key, host in running.proxies.items()} == before
    assert not any("program p" in text for text in stored(running))


@pytest.mark.fault("F296")
def test_it_goes_out_where_it_is_allowed(running: World) -> None:
    """The list travels in the command, so that the hosts go by the same."""
    upload(running, ORDINARY + PROGRAM)
    running.settings = replace(
        running.settings, allow_unsafe_keywords=frozenset({"program", "lua-load"})
    )
    said: list[str] = []

    def listen(parameters: Mapping[str, str]) -> None:
        said.append(parameters["AllowUnsafeKeywords"])

    for host in running.proxies.values():
        host.breaks = listen
    running.sweep()
    running.settle()
    assert running.act("status")["template_error"] == ""
    assert all(PROGRAM in running.served(key) for key in running.proxies)
    assert set(said) == {"lua-load,program"}


@pytest.mark.fault("F298")
def test_a_check_says_what_live_files_have(running: World) -> None:
    """Each by its own word; one that says something else than keywords says nothing."""
    one, two, three = sorted(running.proxies)
    running.proxies[one].more = {
        "unsafe": "lua-load program",
        "notes": "runs-as-root no-chroot",
    }
    running.proxies[two].more = {"unsafe": "$(id) program"}
    begun = running.act("check")
    running.pass_time(5)
    rows = running.act("check", id=begun["id"])["proxies"]
    assert rows[one]["unsafe_keywords"] == ["lua-load", "program"]
    assert rows[one]["notes"] == ["runs-as-root", "no-chroot"]
    assert rows[two]["unsafe_keywords"] == rows[three]["unsafe_keywords"] == []
