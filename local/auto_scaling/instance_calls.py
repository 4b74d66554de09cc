"""The operations on single instances."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from local.auto_scaling import shown
from local.auto_scaling.errors import ApiError, NotPlayed, validation_error
from local.auto_scaling.group_calls import alive
from local.auto_scaling.model import Group, Member
from local.auto_scaling.request import page
from local.auto_scaling.service import AutoScaling
from local.auto_scaling.states import PATHS, TERMINATE, Place, State

type Request = Mapping[str, Any]

MOST_INSTANCES = 50


def describe(service: AutoScaling, request: Request) -> dict[str, Any]:
    """DescribeAutoScalingInstances: those of groups and of their warm pools; nobody else is mentioned."""
    ids = request.get("InstanceIds", [])
    if len(ids) > MOST_INSTANCES:
        raise validation_error(
            f"The number of InstanceIds, {len(ids)}, is above the maximum of {MOST_INSTANCES}"
        )
    found = [
        {"AutoScalingGroupName": group.name, **shown.instance(member)}
        for _, group in sorted(service.groups.items())
        for instance_id, member in sorted(group.members.items())
        if not ids or instance_id in ids
    ]
    for each in found:
        each["HealthStatus"] = each["HealthStatus"].upper()  # as this call spells it
    return page("AutoScalingInstances", found, request, most=MOST_INSTANCES)


def enter_standby(service: AutoScaling, request: Request) -> dict[str, Any]:
    """EnterStandby: of those in service; none of them, if one is not."""
    group = alive(service, request)
    members = _those(group, request, State.IN_SERVICE)
    _decrement(group, len(members), request, "place into standby")
    return _send(
        service,
        group,
        members,
        State.ENTERING_STANDBY,
        "Moving EC2 instance to Standby",
    )


def exit_standby(service: AutoScaling, request: Request) -> dict[str, Any]:
    """ExitStandby: the desired capacity grows by them."""
    group = alive(service, request)
    members = _those(group, request, State.STANDBY)
    if group.desired + len(members) > group.max_size:
        raise _sizes(group, len(members), "return to service")
    group.desired += len(members)
    for member in members:
        member.has_hooks = service.hooks_after_standby
    return _send(
        service,
        group,
        members,
        State.PENDING,
        "Moving EC2 instance out of Standby",
    )


def detach(service: AutoScaling, request: Request) -> dict[str, Any]:
    """DetachInstances: they run on as nobody's."""
    group = alive(service, request)
    members = _those(group, request, State.IN_SERVICE, State.STANDBY)
    counted = sum(member.is_counted for member in members)
    _decrement(group, counted, request, "detach")
    return _send(service, group, members, State.DETACHING, "Detaching EC2 instance")


def _send(
    service: AutoScaling,
    group: Group,
    members: Sequence[Member],
    state: State,
    description: str,
) -> dict[str, Any]:
    for member in members:
        cause = "instance was moved in response to a user request."
        member.set_out(state, (Place.GROUP, Place.GROUP), cause, service.clock())
    return {
        "Activities": [shown.activity(group, each, description) for each in members]
    }


def _those(group: Group, request: Request, *states: State) -> list[Member]:
    members = [_member(group, each) for each in request.get("InstanceIds", [])]
    for member in members:
        if member.state not in states:
            raise validation_error(
                f"The instance {member.instance_id} is not in {' or '.join(states)}."
            )
    return members


def _member(group: Group, instance_id: str) -> Member:
    member = group.members.get(instance_id)
    if member is None or member.state.is_warmed:
        raise validation_error(
            f"The instance {instance_id} is not part of Auto Scaling group {group.name}."
        )
    return member


def _decrement(group: Group, number: int, request: Request, what: str) -> None:
    if not request["ShouldDecrementDesiredCapacity"]:
        return
    if group.desired - number < group.min_size:
        raise _sizes(group, number, what)
    group.desired -= number


def _sizes(group: Group, number: int, what: str) -> ApiError:
    return validation_error(
        f"AutoScalingGroup {group.name} has min-size={group.min_size}, max-size={group.max_size}, and "
        f"desired-size={group.desired}. To {what} {number} instance{'s' * (number != 1)}, please update the "
        "AutoScalingGroup sizes appropriately."
    )


def _anybody(service: AutoScaling, request: Request) -> tuple[Group, Member]:
    instance_id = request.get("InstanceId", "")
    found = service.member(instance_id)
    if found is None:
        raise validation_error(
            f"Instance Id not found - No managed instance found for instance ID: {instance_id}"
        )
    return found


def terminate(service: AutoScaling, request: Request) -> dict[str, Any]:
    """TerminateInstanceInAutoScalingGroup: with hooks, but for one that an abandoned hook retained."""
    if "InstanceId" not in request:
        raise NotPlayed("TerminateInstanceInAutoScalingGroup without InstanceId")
    group, member = _anybody(service, request)
    if member.state.is_warmed:
        raise validation_error(
            f"The instance {member.instance_id} is in the warm pool of {group.name}."
        )
    if PATHS.get(member.state) is TERMINATE:
        raise ApiError(
            "ScalingActivityInProgress",
            f"Activity {member.activity_id} is in progress for instance {member.instance_id}.",
        )
    if member.is_counted and request["ShouldDecrementDesiredCapacity"]:
        _shrink(group)
    is_retained = member.state is State.TERMINATING_RETAINED
    begin = TERMINATE.proceed if is_retained else TERMINATE.begin
    cause = "instance was taken out of service in response to a user request."
    member.set_out(begin, (Place.GROUP, Place.EC2), cause, service.clock())
    return {"Activity": shown.activity(group, member, "Terminating EC2 instance")}


def _shrink(group: Group) -> None:
    if group.desired <= group.min_size:
        raise validation_error(
            f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without replacement "
            "will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or "
            "lower group's min size."
        )
    group.desired -= 1


def set_health(service: AutoScaling, request: Request) -> None:
    """SetInstanceHealth: within the grace period nothing happens, unless it is not to be respected."""
    group, member = _anybody(service, request)
    status = request["HealthStatus"]
    if status not in {"Healthy", "Unhealthy"}:
        raise validation_error(
            "Valid instance health states are: [Healthy, Unhealthy]."
        )
    grace = group.request.get("HealthCheckGracePeriod", 0)
    is_graced = service.clock() < member.since + timedelta(seconds=grace)
    if is_graced and request.get("ShouldRespectGracePeriod", True):
        return
    member.health = status


def set_protection(service: AutoScaling, request: Request) -> None:
    """SetInstanceProtection."""
    group = alive(service, request)
    for instance_id in request["InstanceIds"]:
        _member(group, instance_id).is_protected = request["ProtectedFromScaleIn"]
