"""The operations on warm pools and instance refreshes."""

from collections.abc import Mapping
from typing import Any

from local.auto_scaling import shown
from local.auto_scaling.errors import ApiError, NotPlayed, validation_error
from local.auto_scaling.group_calls import alive
from local.auto_scaling.model import Group, Refresh, WarmPool
from local.auto_scaling.request import page
from local.auto_scaling.service import AutoScaling
from local.auto_scaling.states import State

type Request = Mapping[str, Any]

WIDEST = 100
"""Percent between the healthy percentages of a refresh, at most."""


def put(service: AutoScaling, request: Request) -> None:
    """PutWarmPool: what an update leaves out stays."""
    group = alive(service, request)
    _refuse_spot(service, group)
    pool = group.pool or WarmPool()
    if pool.is_deleting:
        raise validation_error(f"The warm pool of {group.name} is pending delete")
    prepared = request.get("MaxGroupPreparedCapacity", pool.prepared)
    prepared = None if prepared == -1 else prepared
    least = request.get("MinSize", pool.min_size)
    if prepared is not None and prepared < least:
        raise validation_error(
            "MaxGroupPreparedCapacity must be greater than or equal to the MinSize of the warm pool"
        )
    reuse = request.get("InstanceReusePolicy", {})
    group.pool = WarmPool(
        request.get("PoolState", pool.state),
        least,
        prepared,
        reuse.get("ReuseOnScaleIn", pool.is_reused),
    )


def _refuse_spot(service: AutoScaling, group: Group) -> None:
    is_spot = service.machines.template(group.launch).is_spot
    if is_spot or "MixedInstancesPolicy" in group.request:
        raise validation_error(
            "You can't add a warm pool to an Auto Scaling group that has a mixed instances policy or that launches "
            "Spot Instances."
        )


def describe(service: AutoScaling, request: Request) -> dict[str, Any]:
    """DescribeWarmPool."""
    group = service.group(request["AutoScalingGroupName"])
    instances = [shown.instance(each) for each in group.warmed]
    described = shown.warm_pool(group)
    described.pop("WarmPoolSize", None)
    return {**described, **page("Instances", instances, request)}


def delete(service: AutoScaling, request: Request) -> None:
    """DeleteWarmPool: it goes with its last instance."""
    group = alive(service, request)
    if group.pool is None:
        raise validation_error(
            f"No warm pool found for Auto Scaling group {group.name}"
        )
    if group.warmed and not request.get("ForceDelete", False):
        raise ApiError(
            "ResourceInUse",
            "You cannot delete a warm pool while there are instances in it.",
        )
    group.pool.is_deleting = True


def start_refresh(service: AutoScaling, request: Request) -> dict[str, Any]:
    """StartInstanceRefresh: one at a time."""
    group = alive(service, request)
    if group.refresh:
        raise ApiError(
            "InstanceRefreshInProgress",
            "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.",
        )
    wishes = request.get("Preferences", {})
    least, most = _percentages(wishes)
    warmup = wishes.get("InstanceWarmup", group.request.get("DefaultInstanceWarmup", 0))
    old = [
        each.instance_id
        for each in group.members.values()
        if each.is_counted or _waits_for(each.state, wishes)
    ]
    refresh = Refresh(frozenset(old), least, most, warmup, service.clock(), wishes)
    group.refreshes.insert(0, refresh)
    return {"InstanceRefreshId": refresh.refresh_id}


def _waits_for(state: State, wishes: Request) -> bool:
    if state is not State.STANDBY:
        return False
    wish = wishes.get("StandbyInstances", "Wait")
    if wish == "Terminate":
        raise NotPlayed("StandbyInstances Terminate of StartInstanceRefresh")
    return bool(wish == "Wait")


def _percentages(wishes: Request) -> tuple[int, int]:
    if "MaxHealthyPercentage" in wishes and "MinHealthyPercentage" not in wishes:
        raise validation_error(
            "If you specify MaxHealthyPercentage, you must also specify MinHealthyPercentage"
        )
    least = wishes.get("MinHealthyPercentage", 90)
    most = wishes.get("MaxHealthyPercentage", 100)
    if most - least > WIDEST:
        raise validation_error(
            "The difference between MaxHealthyPercentage and MinHealthyPercentage cannot be greater than 100"
        )
    return least, most


def cancel_refresh(service: AutoScaling, request: Request) -> dict[str, Any]:
    """CancelInstanceRefresh: what has begun to leave goes on."""
    group = alive(service, request)
    if group.refresh is None:
        raise ApiError(
            "ActiveInstanceRefreshNotFound",
            f"No in progress or pending Instance Refresh found for Auto Scaling group {group.name}",
        )
    group.refresh.status = "Cancelling"
    return {"InstanceRefreshId": group.refreshes[0].refresh_id}


def describe_refreshes(service: AutoScaling, request: Request) -> dict[str, Any]:
    """DescribeInstanceRefreshes, the newest first."""
    group = service.group(request["AutoScalingGroupName"])
    ids = request.get("InstanceRefreshIds", [])
    found = [
        shown.refresh(group, each)
        for each in group.refreshes
        if not ids or each.refresh_id in ids
    ]
    return page("InstanceRefreshes", found, request)
