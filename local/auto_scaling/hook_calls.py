"""The operations on lifecycle hooks and their actions."""

from collections.abc import Mapping
from typing import Any

from local.auto_scaling import shown
from local.auto_scaling.errors import ApiError, validation_error
from local.auto_scaling.model import Action, Group, Hook, Result, Transition
from local.auto_scaling.service import AutoScaling

type Request = Mapping[str, Any]

MOST_HOOKS = 50
SHORTEST, LONGEST = 30, 7200


def put(service: AutoScaling, request: Request) -> None:
    """PutLifecycleHook: what an update leaves out stays; active actions keep the hook that they began with."""
    group, name = (
        service.group(request["AutoScalingGroupName"]),
        request["LifecycleHookName"],
    )
    known = group.hooks.get(name)
    if known is None and len(group.hooks) >= MOST_HOOKS:
        raise ApiError(
            "LimitExceeded",
            f"You already have {MOST_HOOKS} lifecycle hooks for this Auto Scaling group.",
        )
    group.hooks[name] = hook_of(request, known)


def hook_of(request: Request, known: Hook | None) -> Hook:
    """The hook that a request describes, on top of what is known. Raises ApiError."""
    transition = request.get("LifecycleTransition") or (known and known.transition)
    if transition not in tuple(Transition):
        raise validation_error(
            f"Invalid lifecycle transition {transition}: it must be one of {', '.join(Transition)}"
        )
    base = known or Hook(request["LifecycleHookName"], Transition(transition))
    seconds = request.get("HeartbeatTimeout", base.heartbeat_seconds)
    if not SHORTEST <= seconds <= LONGEST:
        raise validation_error(
            f"Heartbeat timeout must be between {SHORTEST} and {LONGEST} seconds"
        )
    return Hook(
        base.name,
        Transition(transition),
        seconds,
        _result(request.get("DefaultResult", base.default), "default result"),
        request.get("NotificationMetadata", base.metadata),
    )


def _result(value: str, what: str) -> Result:
    if value not in tuple(Result):
        raise validation_error(
            f"Invalid {what} {value}: it must be one of {', '.join(Result)}"
        )
    return Result(value)


def describe(service: AutoScaling, request: Request) -> dict[str, Any]:
    """DescribeLifecycleHooks: of the names that are asked for those that exist; it has no pages."""
    group = service.group(request["AutoScalingGroupName"])
    names = request.get("LifecycleHookNames", [])
    found = [
        shown.hook(group, hook)
        for name, hook in sorted(group.hooks.items())
        if not names or name in names
    ]
    return {"LifecycleHooks": found}


def delete(service: AutoScaling, request: Request) -> None:
    """DeleteLifecycleHook: its active actions end, so that those who launch are abandoned and those who leave go on."""
    group, name = (
        service.group(request["AutoScalingGroupName"]),
        request["LifecycleHookName"],
    )
    if name not in group.hooks:
        raise validation_error(f"No Lifecycle Hook found with name {name}")
    hook = group.hooks.pop(name)
    is_launching = hook.transition is Transition.LAUNCHING
    for member in group.members.values():
        for action in member.actions:
            if action.hook.name == name:
                action.result = Result.ABANDON if is_launching else Result.CONTINUE


def complete(service: AutoScaling, request: Request) -> None:
    """CompleteLifecycleAction: once; a second time, or too late, there is no active action."""
    group = service.group(request["AutoScalingGroupName"])
    result = _result(request["LifecycleActionResult"], "lifecycle action result")
    _active(service, group, request).result = result


def heartbeat(service: AutoScaling, request: Request) -> None:
    """RecordLifecycleActionHeartbeat: the timeout begins again; the global one does not."""
    group = service.group(request["AutoScalingGroupName"])
    _active(service, group, request).heard = service.clock()


def _active(service: AutoScaling, group: Group, request: Request) -> Action:
    token, instance_id = request.get("LifecycleActionToken"), request.get("InstanceId")
    if not token and not instance_id:
        raise validation_error(
            "Either the LifecycleActionToken or the InstanceId must be specified"
        )
    now = service.clock()
    for member in group.members.values():
        for action in member.actions:
            is_meant = (
                action.hook.name == request["LifecycleHookName"]
                and token in (None, action.token)
                and instance_id in (None, member.instance_id)
            )
            if is_meant and action.result_at(now) is None:
                return action
    meant = f"token {token}" if token else f"instance ID {instance_id}"
    raise validation_error(f"No active Lifecycle Action found with {meant}")
