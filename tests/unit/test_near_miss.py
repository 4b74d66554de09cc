"""Who mistypes a tag is told so, and nobody is suspected who has tags of their own."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.near_miss import exactly, in_environment, in_tags, is_slip
from haproxy_sync.settings import Settings
from tests.fleet import instance

SETTINGS = Settings(
    "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
)


@pytest.mark.fault("F112")
@pytest.mark.parametrize(
    "value",
    [
        "Tomcat",
        "TOMCAT",
        "tomcat ",
        " tomcat",
        "tomcat\u00a0",
        "tom cat",
        "tomcat\u200b",
        "\u3000tomcat",
        "tomcat\n",
        "tom-cat",
        "tomcat_",
        "tomact",
        "ｔｏｍｃａｔ",  # noqa: RUF001 # full-width letters
    ],
)
def test_a_mistyped_type_is_named(value: str) -> None:
    """With what was read and what was expected; it is served no more than before."""
    fleet = inventory.parse([instance(1, value), instance(2)], SETTINGS)
    assert [host.instance_id for host in fleet.backends] == [f"i-{2:017x}"]
    (near,) = fleet.skipped
    assert (near.instance_id, near.reason) == (f"i-{1:017x}", "near-miss")
    assert near.detail == f"'Type'={value!r}, expected 'tomcat'"


@pytest.mark.fault("F112")
@pytest.mark.parametrize(
    "value",
    [
        "tomcats",
        "tomcat8",
        "tomcat-admin",
        "postgres",
        "tom",
        "",
        "hapoxy2",
        "tomcat,x",
    ],
)
def test_another_type_is_nobodys_mistake(value: str) -> None:
    """It may have any name but ours in another spelling."""
    assert inventory.parse([instance(1, value)], SETTINGS).skipped == ()


@pytest.mark.fault("F112")
@pytest.mark.parametrize(
    "key", ["type", "TYPE", "Type ", "Type\u00a0", "Tpye", "_Type"]
)
def test_a_mistyped_type_key_is_named(key: str) -> None:
    """Where there is no tag with the right key."""
    fleet = inventory.parse([instance(1, None, tags={key: "haproxy"})], SETTINGS)
    assert fleet.proxies == ()
    (near,) = fleet.skipped
    assert near.reason == "near-miss"
    assert near.detail == f"tag {key!r}='haproxy', expected the key 'Type'"
    assert (
        inventory.parse([instance(1, "web", tags={key: "x"})], SETTINGS).skipped == ()
    )


@pytest.mark.fault("F112")
@pytest.mark.parametrize(
    "key",
    [
        "haproxy:Port",
        "haproxy-port",
        "haproxy_port",
        "haproxy.port",
        "HAProxy:port",
        "haproxy:prot",
        "haproxy:ports",
        "haproxy:pot",
        "haprxy:port",
        "haproxi:port",
        "haproxy: port",
        "haproxy:port\u00a0",
    ],
)
def test_a_mistyped_option_is_named_and_its_backend_served(key: str) -> None:
    """By the option's default, as before."""
    fleet = inventory.parse([instance(1, tags={key: "9000"})], SETTINGS)
    assert [host.port for host in fleet.backends] == [8080]
    (near,) = fleet.skipped
    assert near.reason == "near-miss"
    assert near.detail == f"tag {key!r}='9000', expected the key 'haproxy:port'"


@pytest.mark.fault("F112")
@pytest.mark.parametrize(
    "key",
    [
        "haproxy:port",
        "haproxy:port2",
        "haproxy:admin",
        "port",
        "Port",
        "haproxy",
        "proxy:port",
    ],
)
def test_another_key_is_nobodys_mistake(key: str) -> None:
    """A template may read it."""
    assert inventory.parse([instance(1, tags={key: "9000"})], SETTINGS).skipped == ()


@pytest.mark.fault("F112")
def test_two_types_that_differ_by_case_alone_are_two_types() -> None:
    """Where the stack says so."""
    both = replace(SETTINGS, backend_tag_value="web", proxy_tag_value="Web")
    fleet = inventory.parse([instance(1, "web"), instance(2, "Web")], both)
    assert (len(fleet.backends), len(fleet.proxies), fleet.skipped) == (1, 1, ())


@pytest.mark.fault("F112")
def test_a_whole_fleet_of_near_misses_does_not_fill_the_state() -> None:
    """The first ones are named, the others counted."""
    fleet = inventory.parse([instance(n, "Tomcat") for n in range(1, 240)], SETTINGS)
    assert len(fleet.skipped) == 50
    assert fleet.skipped[-1].detail.endswith("(and 189 more)")
    long = inventory.parse([instance(1, "tomcat" + 250 * " ")], SETTINGS)
    assert len(long.skipped[0].detail) < 200


@pytest.mark.fault("F113")
@pytest.mark.parametrize(
    ("tags", "is_named"),
    [
        ({"Environment": "Staging", "Type": "tomcat"}, True),
        ({"environment": "staging", "Type": "haproxy"}, True),
        ({"Environment": "staging\u00a0", "type": "Tomcat"}, True),
        ({"ENVIRONMENT": "stagign", "Type": "haproxy"}, True),
        ({"Environment": "production", "Type": "tomcat"}, False),
        (
            {"Environment": "production", "environment": "staging", "Type": "tomcat"},
            False,
        ),
        ({"Environment": "staging2", "Type": "tomcat"}, False),
        ({"Environment": "Staging", "Type": "postgres"}, False),
        ({"Environment": "Staging"}, False),
    ],
)
def test_who_was_meant_for_the_environment(
    tags: dict[str, str],
    is_named: bool,  # noqa: FBT001 # a column
) -> None:
    """Key and value may both be mistyped; the type says whether it matters to us."""
    assert bool(in_environment(tags, SETTINGS)) == is_named


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_judged(read: str, expected: str) -> None:
    """Nothing is a slip of itself, and nothing crashes."""
    assert not is_slip(expected, expected)
    assert is_slip(read, expected) in {True, False}
    assert isinstance(in_tags({read: expected, "Type": read}, SETTINGS), list)


@given(st.text(alphabet="a*?\\", max_size=12))
def test_an_escaped_text_holds_no_wildcard(text: str) -> None:
    """Read back by EC2's rule, each character means itself."""
    read, escaped = "", iter(exactly(text))
    for character in escaped:
        assert character not in "*?"
        read += next(escaped) if character == "\\" else character
    assert read == text
