"""docs/templates.md is what people see of the names, so it names them all."""

import re
from pathlib import Path

from haproxy_sync.config import sources
from haproxy_sync.config.facts import conveniences, reserved
from haproxy_sync.fleet.model import Host

DOCS = (Path(__file__).parents[2] / "docs" / "templates.md").read_text()
BUNDLED = (sources.PACKAGE / "templates" / sources.MAIN).read_text()
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
    host = Host("i-00000000", "none", "none", "192.0.2.1", "none")
    assert (reserved() | conveniences(host).keys()) - ipv6 - DOCUMENTED == set()
