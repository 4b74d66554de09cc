"""Renders cases with real ansible-core. Runs in its own virtual environment: ansible-core is GPL and not a dependency.

Standard input: {"hosts": {name: {"groups": [...], "vars": {...}, "facts": {...}}}, "host": name,
"cases": {name: {"main": path, "files": {path: text}, "variables": YAML text}}}.
Standard output: {name: {"text": ...} or {"error": ...}}.

It does what the `template` task does between reading the file and copying the result; `test_oracle.py` proves with
`ansible-playbook` that this is the same.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HOME = tempfile.TemporaryDirectory(prefix="oracle-")
(Path(HOME.name) / "ansible.cfg").touch()  # nobody's own settings
os.environ.update(ANSIBLE_HOME=HOME.name, ANSIBLE_CONFIG=f"{HOME.name}/ansible.cfg")

from ansible.errors import AnsibleError  # noqa: E402 - after the environment
from ansible.inventory.manager import InventoryManager  # noqa: E402
from ansible.parsing.dataloader import DataLoader  # noqa: E402
from ansible.plugins.loader import init_plugin_loader  # noqa: E402
from ansible.template import Templar, trust_as_template  # noqa: E402
from ansible.vars.hostvars import HostVars  # noqa: E402
from ansible.vars.manager import VariableManager  # noqa: E402


def inventory_text(hosts: dict[str, Any]) -> str:
    """The inventory as YAML (JSON is YAML), hosts in order."""
    groups: dict[str, Any] = {}
    for name, host in hosts.items():
        for group in host["groups"]:
            groups.setdefault(group, {"hosts": {}})["hosts"][name] = host["vars"]
    return json.dumps({"all": {"hosts": dict.fromkeys(hosts), "children": groups}})


def variables_of(folder: Path, request: dict[str, Any], case: dict[str, Any]) -> tuple[DataLoader, dict[str, Any]]:
    """All variables of the rendering host, as a task would see them."""
    (folder / "hosts.yml").write_text(inventory_text(request["hosts"]))
    (folder / "group_vars").mkdir()
    (folder / "group_vars" / "all.yml").write_text(case["variables"])
    loader = DataLoader()
    loader.set_basedir(str(folder))
    inventory = InventoryManager(loader=loader, sources=[str(folder / "hosts.yml")])
    manager = VariableManager(loader=loader, inventory=inventory)
    HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    for name, host in request["hosts"].items():
        manager.set_host_facts(name, host["facts"])
    return loader, manager.get_vars(host=inventory.get_host(request["host"]))


def render(folder: Path, request: dict[str, Any], case: dict[str, Any]) -> str:
    """The text of one case."""
    templates = folder / "templates"
    for path, text in case["files"].items():
        (templates / path).parent.mkdir(parents=True, exist_ok=True)
        (templates / path).write_bytes(text.encode())
    loader, variables = variables_of(folder, request, case)
    variables.setdefault("ansible_managed", "Ansible managed")
    source = trust_as_template(loader.get_text_file_contents(str(templates / case["main"])))
    templar = Templar(loader=loader, variables=variables)
    searchpath = [str(folder / "templates"), str(folder)]
    templar = templar.copy_with_new_env(searchpath=searchpath, available_variables=variables)
    result = templar.template(source, escape_backslashes=False, overrides={"trim_blocks": True})
    return "" if result is None else str(result)


def main() -> None:
    """Every case on its own."""
    init_plugin_loader([])
    request = json.load(sys.stdin)
    answers = {}
    for name, case in request["cases"].items():
        with tempfile.TemporaryDirectory(prefix="oracle-case-") as folder:
            try:
                answers[name] = {"text": render(Path(folder), request, case)}
            except AnsibleError as error:
                answers[name] = {"error": str(error)}
    json.dump(answers, sys.stdout)


main()
