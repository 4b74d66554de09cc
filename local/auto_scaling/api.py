"""The API's operations on the service."""

from collections.abc import Callable, Mapping
from typing import Any

from local.auto_scaling import group_calls, hook_calls, instance_calls, pool_calls
from local.auto_scaling.request import check
from local.auto_scaling.service import AutoScaling

type ApiRequest = Mapping[str, Any]
type Operation = Callable[[AutoScaling, ApiRequest], dict[str, Any] | None]

OPERATIONS: Mapping[str, Operation] = {
    "CreateAutoScalingGroup": group_calls.create,
    "UpdateAutoScalingGroup": group_calls.update,
    "SetDesiredCapacity": group_calls.set_desired_capacity,
    "DeleteAutoScalingGroup": group_calls.delete,
    "DescribeAutoScalingGroups": group_calls.describe,
    "CreateOrUpdateTags": group_calls.create_tags,
    "DeleteTags": group_calls.delete_tags,
    "DescribeTags": group_calls.describe_tags,
    "DescribeAutoScalingInstances": instance_calls.describe,
    "EnterStandby": instance_calls.enter_standby,
    "ExitStandby": instance_calls.exit_standby,
    "DetachInstances": instance_calls.detach,
    "TerminateInstanceInAutoScalingGroup": instance_calls.terminate,
    "SetInstanceHealth": instance_calls.set_health,
    "SetInstanceProtection": instance_calls.set_protection,
    "PutLifecycleHook": hook_calls.put,
    "DescribeLifecycleHooks": hook_calls.describe,
    "DeleteLifecycleHook": hook_calls.delete,
    "CompleteLifecycleAction": hook_calls.complete,
    "RecordLifecycleActionHeartbeat": hook_calls.heartbeat,
    "PutWarmPool": pool_calls.put,
    "DescribeWarmPool": pool_calls.describe,
    "DeleteWarmPool": pool_calls.delete,
    "StartInstanceRefresh": pool_calls.start_refresh,
    "CancelInstanceRefresh": pool_calls.cancel_refresh,
    "DescribeInstanceRefreshes": pool_calls.describe_refreshes,
}


def call(service: AutoScaling, operation: str, request: ApiRequest) -> dict[str, Any]:
    """Answer one API call, or raise its ApiError."""
    check(operation, request)
    service.tick()
    with service.lock:
        response = OPERATIONS[operation](service, request)
    service.tick()
    return response or {}
