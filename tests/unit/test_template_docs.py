"""docs/templates.md is what people see of the names, so it names them all."""

import re
from pathlib import Path

import pytest

from haproxy_sync.config import sources
from haproxy_sync.config.ansible.engine import Engine
from haproxy_sync.config.facts import HostIndex, conveniences, reserved
from haproxy_sync.config.marked import Marks, Reading
from haproxy_sync.config.scope import Scope, World
from haproxy_sync.fleet.model import Fleet, Host
from haproxy_sync.settings import Settings

DOCS = (Path(__file__).parents[2] / "docs" / "templates.md").read_text()
BUNDLED = (sources.PACKAGE / "templates" / sources.MAIN).read_text()
HOST = Host("i-00000000", "none", "none", "192.0.2.1", "none")
IN_ANSIBLE = {
    "ansible_managed",
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "play_hosts",
}
"""Names that Ansible defines, too."""
DOCUMENTED = set(re.findall(r"`(\w+)", DOCS))


def test_every_variable_of_the_bundled_template() -> None:
    """Whatever has a default, or does something when it is defined."""
    variables = set(re.findall(r"(\w+) \| default\(", BUNDLED)) | set(
        re.findall(r"(\w+) is defined", BUNDLED)
    )
    assert len(variables) > 20
    assert variables - DOCUMENTED == set()


def test_every_name_of_a_host() -> None:
    """What EC2 decides, and what a variable may replace."""
    ipv6 = {name for name in reserved() if "ipv6" in name}  # "(or ipv6)"
    assert (reserved() | conveniences(HOST).keys()) - ipv6 - DOCUMENTED == set()


@pytest.mark.fault("F141")
def test_every_name_that_hides_a_default() -> None:
    """What a template of somebody else may count on the absence of stands where the differences are listed."""
    world = World(
        Engine("main", {"main": ""}),
        HostIndex(Fleet((), ())),
        {},
        Settings(
            "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
        ),
        Reading(Marks()),
    )
    hiding = set(Scope(world, HOST).fallbacks) - IN_ANSIBLE
    differences = DOCS.partition("# What is different from Ansible")[2]
    listed = differences.partition("**Names of ours")[2].partition("\n- ")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == hiding
