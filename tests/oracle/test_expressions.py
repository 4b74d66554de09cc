"""Single expressions against ansible-core and the collection ansible.utils: filters, tests, lookups, addresses."""

import json
import subprocess
from itertools import product
from pathlib import Path

import pytest

from haproxy_sync.config.ansible.addresses import QUERIES
from haproxy_sync.config.ansible.plugins import FILTERS, TESTS
from tests.oracle.fleet import PYTHON, Case, ansible, ours

HERE = Path(__file__).parent
VARIABLES = (HERE / "expressions.yml").read_text()
EXPRESSIONS = [
    line
    for line in (HERE / "expressions.txt").read_text().splitlines()
    if line and not line.startswith("# ")
]
TEMPLATES = {
    "port.j2": "{{ a_port }} x\n",
    "nested.j2": "{{ nested }}\n",
    "own.j2": "{{ lv }}-{{ ansible_managed }}\n{% include 'port.j2' %}|\n",
}
ADDRESSES = (
    "10.0.3.7", "10.0.3.7/24", "10.0.3.0/24", "10.0.3.255/24", "10.0.0.0/31", "10.0.0.1/31", "10.0.0.1/32",
    "10.0.0.1/30", "10.0.0.4/30", "10.0.0.3/30", "2001:db8::1", "2001:db8::1/64", "2001:db8::/64", "2001:db8::/127",
    "::1", "fe80::1", "ff02::1", "::ffff:10.0.0.1", "::10.0.0.1", "2001:DB8::A/112", "8.8.8.8/24", "127.0.0.1/8",
    "169.254.1.1", "224.0.0.1", "100.64.0.1", "63.255.255.255", "128.0.0.0", "192.88.99.1", "2002::1", "64:ff9b::1",
    "x", "", "10.0.0.1/255.255.255.0", "10.0.0.1/0.0.0.255", "10.0.0.1/33", "10.0.0.01", "10.1", "fe80::1%eth0",
    "16909060", "ff0e::1",
)  # fmt: skip
ASKED = (
    *QUERIES, "10.0.0.0/8", "10.0.3.0/24", "2001:db8::/32", "10.0.3.7", "0", "1", "-1", "300", "0.0.0.0/0", "no such",
)  # fmt: skip
NEEDS_THE_CONTROL_NODE = {
    "expanduser", "expandvars", "fileglob", "realpath", "relpath", "strftime", "unvault", "vault",
    "directory", "exists", "file", "finished", "is_dir", "is_file", "is_link", "is_mount", "is_same_file", "link",
    "link_exists", "mount", "same_file", "started", "timedout", "vault_encrypted", "vaulted_file",
}  # fmt: skip
NAMES = """
import importlib, json, pkgutil
import ansible.plugins.filter, ansible.plugins.test
names = []
for package, kind, method in (
    (ansible.plugins.filter, "FilterModule", "filters"), (ansible.plugins.test, "TestModule", "tests")
):
    for module in pkgutil.iter_modules(package.__path__):
        plugins = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), kind)()
        names += getattr(plugins, method)()
print(json.dumps(sorted(names)))
"""


def differences(templates: list[str], variables: str = "") -> dict[str, object]:
    """What Ansible and we make of each template, where that is not the same; None for an error."""
    assert PYTHON.exists(), "run `make setup-ansible` first"
    cases = [
        Case(template, "main.j2", {"main.j2": template, **TEMPLATES}, variables)
        for template in templates
    ]
    expected = ansible(cases)
    both = {case.name: (expected[case.name], ours(case)) for case in cases}
    return {
        name: (theirs, own) for name, (theirs, own) in both.items() if theirs != own
    }


@pytest.mark.fault("F137")
@pytest.mark.parametrize("pattern", ["x{{ %s }}|", "{{ %s }}"])
def test_expressions_are_byte_identical(pattern: str) -> None:
    """Each gives the bytes that Ansible gives, or an error where Ansible gives one; between text, and alone."""
    assert len(EXPRESSIONS) > 700
    templates = list(dict.fromkeys(pattern % each for each in EXPRESSIONS))
    assert differences(templates, VARIABLES) == {}


@pytest.mark.fault("F137")
def test_every_answer_of_ipaddr() -> None:
    """Every query of every kind of address."""
    templates = [
        f"x{{{{ {value!r} | ansible.utils.ipaddr({query!r}) }}}}|"
        for value, query in product(ADDRESSES, ASKED)
    ]
    assert differences(templates) == {}


@pytest.mark.fault("F137")
def test_no_filter_or_test_is_forgotten(tmp_path: Path) -> None:
    """All of ansible-core's but those that need its control node."""
    (tmp_path / "ansible.cfg").touch()
    environment = {
        "ANSIBLE_HOME": str(tmp_path),
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
    }
    printed = subprocess.check_output([PYTHON, "-c", NAMES], env=environment, text=True)
    missing = set(json.loads(printed)) - FILTERS.keys() - TESTS.keys()
    assert missing == NEEDS_THE_CONTROL_NODE
