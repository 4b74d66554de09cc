"""What a lifecycle state makes of an instance, and which actions are ours to end."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from botocore.session import get_session

from haproxy_sync.fleet import auto_scaling, inventory
from haproxy_sync.fleet.auto_scaling import (
    GROUP_TAG,
    Group,
    Groups,
    Hook,
    Stage,
    Transition,
)
from haproxy_sync.fleet.inventory import NO_SIGNALS, Signals
from haproxy_sync.fleet.model import Fleet
from haproxy_sync.settings import Settings
from tests.fleet import instance

SETTINGS = Settings("staging", "ap-southeast-2", "bucket", "https://queue", "doc", "me")
LAUNCH = Hook("haproxy-ec2-sync-launch", Transition.LAUNCHING, 300)
TERMINATE = Hook("haproxy-ec2-sync-terminate", Transition.TERMINATING, 300)
JOINS, WAITS, DRAINS = Stage.JOINS, Stage.WAITS, Stage.DRAINS

# What becomes of an instance: by default, with a launch hook of ours, and with JoinWhen=running.
STAGES: Mapping[str, tuple[Stage, Stage, Stage]] = {
    "Pending": (WAITS, WAITS, JOINS),
    "Pending:Wait": (WAITS, JOINS, JOINS),
    "Pending:Proceed": (WAITS, JOINS, JOINS),
    "InService": (JOINS, JOINS, JOINS),
    "EnteringStandby": (DRAINS, DRAINS, DRAINS),
    "Standby": (DRAINS, DRAINS, DRAINS),
    "Terminating": (DRAINS, DRAINS, DRAINS),
    "Terminating:Wait": (DRAINS, DRAINS, DRAINS),
    "Terminating:Proceed": (DRAINS, DRAINS, DRAINS),
    "Terminating:Retained": (DRAINS, DRAINS, DRAINS),
    "Terminated": (DRAINS, DRAINS, DRAINS),
    "Detaching": (JOINS, JOINS, JOINS),
    "Detached": (JOINS, JOINS, JOINS),
    "Quarantined": (JOINS, JOINS, JOINS),
    "ReplacingRootVolume": (JOINS, JOINS, JOINS),
    "ReplacingRootVolume:Wait": (JOINS, JOINS, JOINS),
    "ReplacingRootVolume:Proceed": (JOINS, JOINS, JOINS),
    "RootVolumeReplaced": (JOINS, JOINS, JOINS),
    "Warmed:Pending": (WAITS, WAITS, WAITS),
    "Warmed:Pending:Wait": (WAITS, WAITS, WAITS),
    "Warmed:Pending:Proceed": (WAITS, WAITS, WAITS),
    "Warmed:Pending:Retained": (WAITS, WAITS, WAITS),
    "Warmed:Terminating": (WAITS, WAITS, WAITS),
    "Warmed:Terminating:Wait": (WAITS, WAITS, WAITS),
    "Warmed:Terminating:Proceed": (WAITS, WAITS, WAITS),
    "Warmed:Terminating:Retained": (WAITS, WAITS, WAITS),
    "Warmed:Terminated": (WAITS, WAITS, WAITS),
    "Warmed:Stopped": (WAITS, WAITS, WAITS),
    "Warmed:Running": (WAITS, WAITS, WAITS),
    "Warmed:Hibernated": (WAITS, WAITS, WAITS),
    "": (JOINS, JOINS, JOINS),
    "SomethingNew": (JOINS, JOINS, JOINS),
}


def group(
    states: Mapping[str, str], *hooks: Hook, keeps_abandoned: bool = False
) -> Group:
    """A group with these instances."""
    return Group("web", MappingProxyType(dict(states)), keeps_abandoned, hooks)


def look(states: Mapping[int, str], *hooks: Hook, **changes: object) -> Fleet:
    """Backends by number, in one group, in these lifecycle states."""
    tags = {GROUP_TAG: "web"}
    backends = [instance(number, tags=tags, **changes) for number in states]
    named = {f"i-{number:017x}": state for number, state in states.items()}
    groups = Groups({"web": group(named, *hooks)})
    return inventory.parse(
        [*backends, instance(9, "haproxy")], SETTINGS, Signals(groups)
    )


@pytest.mark.fault("F272")
@pytest.mark.parametrize("state", STAGES)
def test_each_lifecycle_state_has_its_stage(state: str) -> None:
    """With and without a launch hook of ours, and where instances join as soon as they run."""
    plain, hooked = group({"i": state}), group({"i": state}, LAUNCH)
    found = (
        plain.stage("i", joins_when_running=False),
        hooked.stage("i", joins_when_running=False),
        plain.stage("i", joins_when_running=True),
    )
    assert found == STAGES[state]


def test_no_state_of_the_service_is_missing() -> None:
    """As far as the SDK knows them."""
    model = get_session().get_service_model("autoscaling")
    shape: Any = model.shape_for("LifecycleState")
    known = set(shape.enum)
    assert known <= STAGES.keys()


def test_an_instance_of_a_group_that_says_nothing_of_it_is_as_any_other() -> None:
    """The group was deleted, or has let it go: it runs on, and serves on."""
    for groups in (Groups({"web": group({})}), Groups()):
        described = [instance(1, tags={GROUP_TAG: "web"})]
        fleet = inventory.parse(described, SETTINGS, Signals(groups))
        assert [each.drain for each in fleet.backends] == [False]


@pytest.mark.fault("F272")
def test_who_waits_is_no_backend_and_is_named() -> None:
    """As is one in a warm pool, which was let go."""
    fleet = look({1: "Pending", 2: "Warmed:Running", 3: "InService", 4: "Standby"})
    assert [each.instance_id[-1] for each in fleet.backends] == ["3", "4"]
    assert [(each.reason, each.detail) for each in fleet.skipped] == [
        ("not-in-service", "Pending"),
        ("not-in-service", "Warmed:Running"),
    ]
    assert {key[-1] for key in fleet.waiting} == {"1"}
    assert {key[-1] for key in fleet.let_go} == {"2"}
    assert {key[-1]: why for key, why in fleet.drains.items()} == {"4": "Standby"}


@pytest.mark.fault("F273")
def test_a_machine_that_goes_by_its_groups_will_was_let_go() -> None:
    """One of which the group says nothing was not."""
    states = {1: "Terminating:Proceed", 2: "InService"}
    fleet = look(states, State={"Name": "shutting-down"})
    assert {key[-1] for key in fleet.leaving} == {"1", "2"}
    assert {key[-1] for key in fleet.let_go} == {"1"}


@pytest.mark.fault("F274")
def test_one_with_a_spot_interruption_notice_drains() -> None:
    """And is let go once its machine goes."""
    noticed = Signals(interrupted=frozenset({f"i-{1:017x}"}))
    fleet = inventory.parse([instance(1), instance(2)], SETTINGS, noticed)
    assert [each.drain for each in fleet.backends] == [True, False]
    assert list(fleet.drains.values()) == ["spot interruption notice"]
    going = instance(1, State={"Name": "shutting-down"})
    fleet = inventory.parse([going, instance(2)], SETTINGS, noticed)
    assert fleet.let_go == fleet.leaving == frozenset({f"i-{1:017x}"})


@pytest.mark.parametrize(
    ("state", "hooks", "expected"),
    [
        ("Pending:Wait", (LAUNCH, TERMINATE), [(LAUNCH.name, True)]),
        ("Terminating:Wait", (LAUNCH, TERMINATE), [(TERMINATE.name, False)]),
        (
            "Warmed:Pending:Wait",
            (LAUNCH, TERMINATE),
            [(LAUNCH.name, False), (TERMINATE.name, False)],
        ),
        (
            "Warmed:Terminating:Wait",
            (LAUNCH, TERMINATE),
            [(LAUNCH.name, False), (TERMINATE.name, False)],
        ),
        ("Terminating:Wait", (LAUNCH,), []),
        ("Terminating:Proceed", (TERMINATE,), []),
        ("InService", (LAUNCH, TERMINATE), []),
    ],
)
def test_actions_are_those_of_hooks_that_wait(
    state: str, hooks: tuple[Hook, ...], expected: list[tuple[str, bool]]
) -> None:
    """On the way into a warm pool or out of it either transition may wait; the instance comes to nobody."""
    actions = look({1: state}, *hooks).actions
    assert [(each.hook, each.joins) for each in actions] == expected
    assert {each.endpoint for each in actions} <= {"10.0.0.2:8080"}


def test_a_haproxy_host_of_a_group_is_none_of_its_backends() -> None:
    """It gets its config whatever its lifecycle state is, and no proxy has clients for it."""
    tags = {GROUP_TAG: "web"}
    states = {f"i-{1:017x}": "Terminating:Wait"}
    signals = Signals(Groups({"web": group(states, TERMINATE)}))
    fleet = inventory.parse([instance(1, "haproxy", tags=tags)], SETTINGS, signals)
    assert [each.endpoint for each in fleet.actions] == [""]
    assert (len(fleet.proxies), fleet.drains) == (1, {})


def test_without_signals_nothing_changes() -> None:
    """As in an environment without groups."""
    tags = {GROUP_TAG: "web"}
    fleet = inventory.parse([instance(1, tags=tags)], SETTINGS, NO_SIGNALS)
    assert (len(fleet.backends), fleet.drains) == (1, {})


class ManyGroups:
    """Answers by pages of twenty, and takes as many names as the service does."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def describe_auto_scaling_groups(self, **request: Any) -> dict[str, Any]:
        """As the SDK's client does."""
        names: list[str] = request["AutoScalingGroupNames"]
        assert len(names) <= 50
        self.asked.append(len(names))
        begin = int(request.get("NextToken", "0"))
        page = names[begin : begin + 20]
        more = begin + 20 < len(names)
        groups = [{"AutoScalingGroupName": name, "Instances": []} for name in page]
        token = {"NextToken": str(begin + 20)} if more else {}
        return {"AutoScalingGroups": groups, **token}


def test_of_many_groups_all_are_asked_about() -> None:
    """By fifty names, and every page of each answer."""
    service = ManyGroups()
    named = {f"i-{number:017x}": f"web-{number:03}" for number in range(120)}
    groups = auto_scaling.look(lambda: service, named, ["web-120"], "ours")
    assert sorted(groups.by_name) == [f"web-{number:03}" for number in range(121)]
    assert service.asked == [50] * 6 + [21] * 2


def test_where_nobody_has_a_group_auto_scaling_is_not_asked() -> None:
    """No client of it is made."""

    def never() -> None:
        raise AssertionError("asked")

    assert auto_scaling.look(never, {}, [], "ours").by_name == {}
