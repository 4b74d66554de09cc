"""Renders cases with real ansible-core. Runs in its own virtual environment: ansible-core is GPL and not a dependency.

Standard input: {"hosts": {name: {"groups": [...], "vars": {...}, "facts": {...}}}, "host": name,
"cases": {name: {"main": path, "files": {path: text}, "variables": YAML text}}}.
Standard output: {name: {"text": ...} or {"error": ...}}.

It does what the `template` task does between reading the file and copying the result; `test_oracle.py` proves with
`ansible-playbook` that this is the same.
"""

import itertools
import json
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

HOME = tempfile.TemporaryDirectory(prefix="oracle-")
(Path(HOME.name) / "ansible.cfg").touch()  # nobody's own settings
os.environ.update(ANSIBLE_HOME=HOME.name, ANSIBLE_CONFIG=f"{HOME.name}/ansible.cfg")

from ansible._internal._templating._engine import TemplateEngine  # noqa: E402 - after the environment
from ansible.errors import AnsibleError  # noqa: E402
from ansible.inventory.manager import InventoryManager  # noqa: E402
from ansible.module_utils.common.text.converters import to_text  # noqa: E402
from ansible.parsing.dataloader import DataLoader  # noqa: E402
from ansible.plugins.loader import Jinja2Loader, init_plugin_loader  # noqa: E402
from ansible.template import Templar, trust_as_template  # noqa: E402
from ansible.vars.hostvars import HostVars  # noqa: E402
from ansible.vars.manager import VariableManager  # noqa: E402

# Filters of ansible.utils copy each list that they are given, and with it the engine that templated it, with all that
# an inventory has. Shared instead, it gives the same answers in a fifth of the time.
TemplateEngine.__deepcopy__ = lambda engine, _memo: engine

# A filter of a collection is looked for in all of its files, for each template again; its name decides what is found.
Jinja2Loader.get = cache(Jinja2Loader.get)


def inventory_text(hosts: dict[str, Any]) -> str:
    """The inventory as YAML (JSON is YAML), hosts in order."""
    groups: dict[str, Any] = {}
    for name, host in hosts.items():
        for group in host["groups"]:
            groups.setdefault(group, {"hosts": {}})["hosts"][name] = host["vars"]
    return json.dumps({"all": {"hosts": dict.fromkeys(hosts), "children": groups}})


class Ansible:
    """One inventory for all cases, which differ in what lies beside their playbook: templates, and `group_vars`."""

    def __init__(self, request: dict[str, Any]) -> None:
        hosts = Path(HOME.name) / "inventory" / "hosts.yml"
        hosts.parent.mkdir()
        hosts.write_text(inventory_text(request["hosts"]))
        self.loader = DataLoader()
        self.inventory = InventoryManager(loader=self.loader, sources=[str(hosts)])
        self.manager = VariableManager(loader=self.loader, inventory=self.inventory)
        HostVars(
            inventory=self.inventory, variable_manager=self.manager, loader=self.loader
        )
        for name, host in request["hosts"].items():
            self.manager.set_host_facts(name, host["facts"])
        self.host = self.inventory.get_host(request["host"])
        self.numbers = itertools.count()
        # By the variables and the names of the files that lie there.
        self.playbooks: dict[tuple[str, ...], tuple[Path, dict[str, Any]]] = {}

    def playbook(self, case: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
        """The folder of the case's playbook, and what its host knows; cases that differ in no name share it."""
        key = (case["variables"], *sorted(case["files"]))
        if key in self.playbooks:
            folder, variables = self.playbooks[key]
            self.loader.set_basedir(str(folder))
            return folder, variables
        folder = Path(HOME.name) / f"playbook-{next(self.numbers)}"
        (folder / "group_vars").mkdir(parents=True)
        (folder / "group_vars" / "all.yml").write_text(case["variables"])
        self.loader.set_basedir(str(folder))
        variables = self.manager.get_vars(host=self.host)
        variables.setdefault("ansible_managed", "Ansible managed")
        self.playbooks[key] = folder, variables
        return folder, variables

    def render(self, case: dict[str, Any]) -> str:
        """The text of one case."""
        folder, known = self.playbook(case)
        variables = {**known}
        templates = folder / "templates"
        for path, text in case["files"].items():
            (templates / path).parent.mkdir(parents=True, exist_ok=True)
            (templates / path).write_bytes(text.encode())
        source = trust_as_template(
            self.loader.get_text_file_contents(str(templates / case["main"]))
        )
        templar = Templar(loader=self.loader, variables=variables)
        searchpath = [str(templates), str(folder)]
        templar = templar.copy_with_new_env(
            searchpath=searchpath, available_variables=variables
        )
        result = templar.template(
            source, escape_backslashes=False, overrides={"trim_blocks": True}
        )
        # As the action writes it: bytes as they are, everything else as its text.
        return "" if result is None else to_text(result)


def main() -> None:
    """Every case on its own."""
    init_plugin_loader([])
    request = json.load(sys.stdin)
    ansible = Ansible(request)
    answers = {}
    for name, case in request["cases"].items():
        try:
            answers[name] = {"text": ansible.render(case)}
        except AnsibleError as error:
            answers[name] = {"error": str(error)}
    json.dump(answers, sys.stdout)


main()
