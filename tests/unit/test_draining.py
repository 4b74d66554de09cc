"""Who drains: a template that does not show it is not told of them, as long as somebody else remains."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from haproxy_sync.config.render import Rendering, render_fleet
from haproxy_sync.config.sources import TemplateSet
from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import Fleet
from haproxy_sync.settings import Settings
from local.prices import HIDDEN_DRAINS
from tests.fleet import instance

pytestmark = pytest.mark.usefixtures("rendered_here")

SETTINGS = Settings(
    "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
)
PLAYBOOK = """listen app
    bind *:80
{% for backend in groups['backends'] %}
    server {{ backend }} {{ backend }}:8080 check observe layer7
{% endfor %}
"""
OF_ZONE = PLAYBOOK + "    # {{ ec2_placement }}\n"
BY_FIELD = """listen app
    bind *:80
{% for b in backends %}
    server {{ b.name }} {{ b.address }}:80{{ ' weight 0' if b.drain }}
{% endfor %}
"""
BY_TAG = """listen app
    bind *:80
{% for b in backends %}
    server {{ b.name }} {{ b.address }}:80{{ ' weight 0' if b.tags['haproxy:drain'] is defined }}
{% endfor %}
"""
ADVISED = (
    "{% if b.drain and backends | rejectattr('drain') | list %}weight 0{% endif %}"
)
TEMPLATES = Path(__file__).parents[2] / "docs/templates.md"
TAG = {"haproxy:drain": "true"}
NEAR = {"Placement": {"AvailabilityZone": "ap-southeast-2b"}}


def fleet(*backends: str) -> Fleet:
    """Backends that drain by their `tag` or for `another` reason, are in `maint`, in `both`, or `up`."""
    tags = [TAG if each == "tag" else {} for each in backends]
    made = [instance(n, tags=own) for n, own in enumerate(tags, 1)]
    proxies = instance(20, "haproxy"), instance(21, "haproxy", **NEAR)
    found = inventory.parse([*made, *proxies], SETTINGS)
    drains, maint = {"tag", "another", "both"}, {"maint", "both"}
    return replace(
        found,
        backends=tuple(
            replace(backend, drain=each in drains, maint=each in maint)
            for backend, each in zip(found.backends, backends, strict=True)
        ),
    )


def rendered(template: str, of: Fleet, **variables: Any) -> Rendering:
    """What is published of a fleet."""
    return render_fleet(TemplateSet("m", {"m": template}), variables, of, SETTINGS)


def shown(template: str, *backends: str) -> list[int]:
    """Which of them stand in every config, counted from 1."""
    rendering = rendered(template, fleet(*backends))
    found = [
        tuple(
            number
            for number in range(1, len(backends) + 1)
            if f"server ip-10-0-0-{number + 1} " in config.text
        )
        for config in rendering.configs
    ]
    assert len(set(found)) == 1
    hidden = set(range(1, len(backends) + 1)) - set(found[0])
    assert rendering.left_out == {f"i-{number:017x}" for number in hidden}
    return list(found[0])


@pytest.mark.fault("F262")
@pytest.mark.parametrize("template", [PLAYBOOK, OF_ZONE], ids=["shared", "by-proxy"])
@pytest.mark.parametrize(
    ("backends", "expected"),
    [
        (("up", "tag", "another"), [1]),
        (("tag", "up", "up"), [2, 3]),
        (("tag", "another"), [1, 2]),
        (("another",), [1]),
        (("tag", "maint"), [1, 2]),
        (("both", "up"), [1, 2]),
        (("maint", "tag", "up"), [1, 3]),
        ((), []),
    ],
)
def test_a_template_that_does_not_show_drains_is_not_told_of_them(
    template: str, backends: tuple[str, ...], expected: list[int]
) -> None:
    """They get no new client, as long as somebody is left who neither drains nor is in maintenance."""
    assert shown(template, *backends) == expected


@pytest.mark.fault("F262")
@pytest.mark.parametrize("template", [PLAYBOOK, OF_ZONE], ids=["shared", "by-proxy"])
def test_it_is_what_the_pool_without_them_gives(template: str) -> None:
    """Byte for byte, for each proxy."""
    with_them, without = fleet("up", "another", "tag"), fleet("up")
    assert replace(rendered(template, with_them), left_out=frozenset()) == rendered(
        template, without
    )


def test_a_template_that_shows_drains_is_rendered_as_it_is() -> None:
    """It knows itself what draining is."""
    assert shown(BY_FIELD, "up", "tag", "another") == [1, 2, 3]
    text = rendered(BY_FIELD, fleet("up", "tag", "another")).configs[0].text
    assert text.count("weight 0") == 2


def test_one_that_reads_only_the_tag_is_not_told_of_the_others() -> None:
    """The tag says nothing of a machine that Auto Scaling takes away."""
    assert shown(BY_TAG, "up", "tag", "another") == [1, 2]
    assert shown(BY_TAG, "up", "another") == [1]


def test_one_that_cannot_do_without_them_keeps_them() -> None:
    """A template that breaks where nobody drains shows drains."""
    picky = PLAYBOOK + "# {{ (backends | selectattr('drain') | first).name }}\n"
    assert shown(picky, "up", "another") == [1, 2]


@pytest.mark.fault("F262")
def test_what_is_advised_shows_drains_and_leaves_a_pool_that_drains_its_servers() -> (
    None
):
    """By template-test and by the document: where each server weighs 0, HAProxy answers 503."""
    assert ADVISED in HIDDEN_DRAINS
    assert f"\n{ADVISED}\n" in TEMPLATES.read_text()
    line = "server {{ b.name }} {{ b.address }}:80 " + ADVISED
    template = BY_FIELD.replace(
        "server {{ b.name }} {{ b.address }}:80{{ ' weight 0' if b.drain }}",
        f"{line}\n",
    )
    assert shown(template, "up", "tag", "another") == [1, 2, 3]
    text = rendered(template, fleet("up", "tag", "another")).configs[0].text
    assert text.count("weight 0") == 2
    text = rendered(template, fleet("tag", "another")).configs[0].text
    assert text.count("weight 0") == 0
