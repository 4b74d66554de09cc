"""samconfig.toml: the SAM CLI ignores unknown keys and unknown environments in silence, so this does not."""

import json
import re
import subprocess
import tomllib
from functools import cache
from typing import Any

import pytest

from local import deployment
from tests.template.parameter_checks import careless, takes
from tests.template.translate import PROJECT, Template

SAMCONFIG = PROJECT / "samconfig.toml"
OPTIONS = """
import importlib, json, sys
names = {}
for module in sys.argv[1:]:
    cli = importlib.import_module(f"samcli.commands.{module}").cli
    names[module.partition(".")[0]] = [option.name for option in cli.params]
print(json.dumps(names))
"""
READ = """
import json, sys
from samcli.cli.types import CfnParameterOverridesType
print(json.dumps(CfnParameterOverridesType().convert(json.loads(sys.argv[1]), None, None)))
"""
EVERYWHERE = {"stack_name", "region"}  # the `global` table


def samconfig() -> dict[str, Any]:
    """The tables, by environment."""
    tables = tomllib.loads(SAMCONFIG.read_text())
    del tables["version"]
    return tables


@cache
def options(*modules: str) -> dict[str, list[str]]:
    """The options that the locked SAM CLI knows, by command."""
    python = PROJECT / ".venv-sam" / "bin" / "python"
    done = subprocess.run(
        [python, "-c", OPTIONS, *modules], check=True, capture_output=True, text=True
    )
    return dict(json.loads(done.stdout))


def test_environments() -> None:
    """There is a table for trying, for staging and for production."""
    assert list(samconfig()) == ["default", "staging", "production"]


@pytest.mark.parametrize("environment", samconfig())
def test_keys_are_options(environment: str) -> None:
    """Each key is an option of its command; a misspelt one would be ignored in silence."""
    for command, table in samconfig()[environment].items():
        recorded = (
            EVERYWHERE
            if command == "global"
            else set(
                options("build.command", "deploy.command", "validate.validate")[command]
            )
        )
        assert set(table["parameters"]) <= recorded, command


@pytest.mark.parametrize("environment", samconfig())
def test_each_stands_alone(environment: str, source: Template) -> None:
    """Nothing is inherited, so each has a stack of its own, a region, and parameters that the template takes."""
    tables = samconfig()[environment]
    deploy = tables["deploy"]["parameters"]
    overrides = deployment.overrides(tables)
    assert (
        tables["global"]["parameters"]["stack_name"]
        == f"haproxy-ec2-sync-{overrides['Environment']}"
    )
    assert tables["global"]["parameters"]["region"]
    assert deploy["s3_prefix"] == tables["global"]["parameters"]["stack_name"]
    assert f"environment={overrides['Environment']}" in deploy["tags"]
    assert {"CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"} == set(deploy["capabilities"])
    assert all(
        takes(source["Parameters"][name], value) for name, value in overrides.items()
    )


def sam_reads(parameters: Any) -> dict[str, str]:
    """Parameters of a file, as the locked SAM CLI reads them."""
    python = PROJECT / ".venv-sam" / "bin" / "python"
    done = subprocess.run(
        [python, "-c", READ, json.dumps(parameters)],
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("environment", samconfig())
def test_every_sam_reads_the_parameters(environment: str) -> None:
    """A list of texts: no release before 1.152 takes a table. Each is one parameter, and read as it stands there."""
    tables = samconfig()[environment]
    pairs = tables["deploy"]["parameters"]["parameter_overrides"]
    assert [type(pair) for pair in pairs] == [str] * len(pairs)
    assert sam_reads(pairs) == deployment.overrides(tables)
    assert len(deployment.overrides(tables)) == len(pairs)


def test_a_value_with_spaces_is_quoted_as_the_file_says() -> None:
    """Without the quotes SAM would cut it at the first space, in silence."""
    (example,) = re.findall("'(SweepRate=[^']*)'", SAMCONFIG.read_text())
    assert sam_reads([example]) == {"SweepRate": "rate(5 minutes)"}
    assert sam_reads([example.replace('"', "")]) == {"SweepRate": "rate(5"}


def test_production_asks_first() -> None:
    """A person sees the change set of production before it runs."""
    asks = {
        name: tables["deploy"]["parameters"]["confirm_changeset"]
        for name, tables in samconfig().items()
    }
    assert asks == {"default": False, "staging": False, "production": True}


def test_only_who_tries_is_careless() -> None:
    """What is careful by default stays so wherever there is traffic."""
    said = {
        name: [
            each.partition(":")[0] for each in careless(deployment.overrides(tables))
        ]
        for name, tables in samconfig().items()
    }
    assert said == {"default": ["StartFrozen=false"], "staging": [], "production": []}
