"""The rules' patterns let through what can change a config, judged by the samples in `events/`."""

import re
from pathlib import Path

import pytest

from haproxy_sync.operator.actions import ACTIONS
from tests.template.event_checks import MATCHES, matching, samples
from tests.template.stack import Stack, deployed
from tests.template.translate import Template

ARCHITECTURE = Path(__file__).parents[2] / "docs/architecture.md"
# What the picture of the architecture calls each rule.
DRAWN = {
    "EC2 state change": "InstanceStateRule",
    "tag change": "InstanceTagRule",
    "Auto Scaling": "AutoScalingRule",
    "spot": "SpotRule",
    "command finished": "CommandRule",
    "template upload": "UploadRule",
    "schedule": "SweepRule",
}


@pytest.mark.parametrize("name", samples())
def test_patterns(name: str, staging: Stack) -> None:
    """Each sample passes exactly the rule that is there for it; one that cannot change a config passes none."""
    expected = [MATCHES[name]] if name in MATCHES else []
    assert matching(staging, samples()[name]) == expected


@pytest.mark.parametrize(
    "key", ["haproxy:port", "haproxy:weight", "haproxy:backup", "haproxy:drain", "Type"]
)
def test_each_tag_key_counts(key: str, staging: Stack) -> None:
    """A change of any of our tag keys passes, alone or among others."""
    event = samples()["tag-change-unrelated"]
    event["detail"]["changed-tag-keys"] = ["Owner", key]
    assert matching(staging, event) == ["InstanceTagRule"]


def test_own_tag_keys(source: Template) -> None:
    """The keys that the parameters name are the ones that count."""
    stack = deployed(
        source, Environment="staging", EnvironmentTagKey="Stage", TypeTagKey="Role"
    )
    event = samples()["tag-change-type-added"]
    assert matching(stack, event) == []
    event["detail"]["changed-tag-keys"] = ["Role"]
    assert matching(stack, event) == ["InstanceTagRule"]


@pytest.mark.parametrize(
    "detail_type",
    [
        "EC2 Instance Launch Unsuccessful",
        "EC2 Auto Scaling Instance Refresh Started",
        "EC2 Spot Instance Request Fulfillment",
    ],
)
def test_what_changes_no_instance_stays_out(detail_type: str, staging: Stack) -> None:
    """Of a group and of spot, what is neither the begin nor the end of an instance's service wakes nobody."""
    for name in ("autoscaling-launch-successful", "spot-interruption-warning"):
        event = samples()[name] | {"detail-type": detail_type}
        assert matching(staging, event) == []


@pytest.mark.fault("F16")
def test_unknown_states_pass(staging: Stack) -> None:
    """A state that nobody knows yet still says: look again."""
    state = samples()["ec2-instance-state-running"]
    state["detail"]["state"] = "hibernated"
    command = samples()["ssm-command-success"]
    command["detail"]["status"] = "Undeliverable"
    assert matching(staging, state) + matching(staging, command) == [
        "InstanceStateRule",
        "CommandRule",
    ]


def test_other_environments_stay_out(staging: Stack) -> None:
    """An upload for another environment, or into another bucket, wakes nobody here."""
    event = samples()["s3-template-uploaded"]
    event["detail"]["object"]["key"] = "templates/staging-2/haproxy.cfg.j2"
    assert matching(staging, event) == []
    event = samples()["s3-template-uploaded"]
    event["detail"]["bucket"]["name"] = "somebody-elses"
    assert matching(staging, event) == []


def test_samples_cover_every_input(staging: Stack) -> None:
    """There is a sample for each rule, for the queue, and for each of the operator's actions."""
    everything = samples()
    assert {
        event["action"] for event in everything.values() if "action" in event
    } == ACTIONS.keys()
    assert set(MATCHES.values()) | {"SweepRule"} == set(
        staging.of_type("AWS::Events::Rule")
    )
    assert everything["schedule"]["resources"] == [staging.arn("SweepRule")]
    assert {
        record["eventSourceARN"] for record in everything["sqs-batch"]["Records"]
    } == {staging.arn("EventQueue")}


def test_the_picture_draws_the_rules(staging: Stack) -> None:
    """Each of them, and none that does not exist; beside them whoever invokes the function."""
    _, _, picture = ARCHITECTURE.read_text().partition("## From an event to a proxy")
    drawn = re.split(" {2,}", picture.strip().splitlines()[1])
    assert drawn == [*DRAWN, "operator"]
    assert {*DRAWN.values()} == {*staging.of_type("AWS::Events::Rule")}


@pytest.mark.parametrize(
    "name", [name for name, event in samples().items() if "source" in event]
)
def test_samples_are_of_one_account(name: str) -> None:
    """A sample sent to the local system is an event of its own account and region."""
    event = samples()[name]
    assert (event["account"], event["region"]) == ("123456789012", "ap-southeast-2")
