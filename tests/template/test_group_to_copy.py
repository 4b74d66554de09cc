"""docs/auto-scaling.md: what a group's owner copies is right, the same in all languages, and fits the stack."""

import json
import subprocess
from pathlib import Path

import pytest

from haproxy_sync.settings import Settings
from tests import auto_scaling_document
from tests.auto_scaling_document import Told, hcl
from tests.template.translate import PROJECT, Template

DEFAULTS = {
    name: variable.read({})
    for name, variable in Settings.variables().items()
    if variable.default is not None
}
AT_MOST = 7200  # that Auto Scaling takes
SWEEPS_SECONDS = 120  # two of them, until a function that can speak again has spoken


@pytest.fixture
def told() -> Told:
    """As CloudFormation is told."""
    return auto_scaling_document.cloudformation()


def test_the_template_is_one_that_cloudformation_takes(tmp_path: Path) -> None:
    """As it stands, and whatever a linter knows."""
    path = tmp_path / "group.yaml"
    path.write_text(auto_scaling_document.block("yaml"))
    command = ["cfn-lint", "--include-checks", "I", "--template", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_all_languages_say_the_same(told: Told) -> None:
    """Of the same group: tags, and hooks with names, transitions, timeouts and results."""
    assert auto_scaling_document.terraform() == told
    assert auto_scaling_document.command_line() == told


def test_the_hooks_are_ours_and_end_well(told: Told) -> None:
    """One each way: who never came up is not served, and who cannot be asked about goes all the same."""
    found = {each.transition: each.default_result for each in told.hooks}
    assert len(told.hooks) == len(found)
    assert found == {
        "autoscaling:EC2_INSTANCE_LAUNCHING": "ABANDON",
        "autoscaling:EC2_INSTANCE_TERMINATING": "CONTINUE",
    }
    prefix = DEFAULTS["lifecycle_hook_prefix"]
    assert all(each.name.startswith(prefix) for each in told.hooks)


def test_a_drain_has_its_time_without_a_heartbeat(told: Told) -> None:
    """And the document says how much that is."""
    wanted = DEFAULTS["drain_seconds"] + SWEEPS_SECONDS
    assert all(wanted <= each.heartbeat <= AT_MOST for each in told.hooks)
    assert "`DrainSeconds` and two minutes more" in auto_scaling_document.TEXT


def test_the_tags_are_those_of_a_backend(told: Told) -> None:
    """On the group and its instances, as the stack's defaults have them."""
    assert all(each.is_propagated for each in told.tags)
    assert {each.key: each.value for each in told.tags} == {
        DEFAULTS["environment_tag_key"]: "staging",
        DEFAULTS["type_tag_key"]: DEFAULTS["backend_tag_value"],
    }


def test_the_samples_are_of_these_hooks(told: Told) -> None:
    """The events that they make have their names and transitions."""
    samples = [
        json.loads(path.read_text())["detail"]
        for path in (PROJECT / "events").glob("autoscaling-*-lifecycle-action.json")
    ]
    assert {
        (each["LifecycleHookName"], each["LifecycleTransition"]) for each in samples
    } == {(each.name, each.transition) for each in told.hooks}


def test_the_parameters_that_it_names_are_there(source: Template) -> None:
    """By their names in the template."""
    for name in (
        "JoinWhen",
        "LifecycleHookPrefix",
        "DrainSeconds",
        "SlowStartSeconds",
    ):
        assert name in source["Parameters"]
        assert f"`{name}" in auto_scaling_document.TEXT


@pytest.mark.parametrize(
    "text",
    [
        'resource "x" "y" {\n  a = 1\n',
        'resource "x" "y" {\n  a = [1]\n}',
        'resource "x" "y" {\n  a = 1\n  a = 2\n}',
        "x = 1",
        "}",
    ],
)
def test_what_the_reader_of_terraform_does_not_know_it_refuses(text: str) -> None:
    """It never passes over a line."""
    with pytest.raises((AssertionError, IndexError)):
        hcl(text)
