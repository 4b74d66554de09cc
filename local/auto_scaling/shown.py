"""How the API words what the service remembers."""

from typing import Any

from local.auto_scaling.model import Group, Hook, Member, Refresh
from local.auto_scaling.refresh import remaining


def group(group: Group, *, with_instances: bool = True) -> dict[str, Any]:
    """An element of AutoScalingGroups; instances of the warm pool are no part of it."""
    members = [each for each in group.members.values() if not each.state.is_warmed]
    retention = "retain" if group.is_retaining else "terminate"
    return {
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        **_source(group),
        "MinSize": group.min_size,
        "MaxSize": group.max_size,
        "DesiredCapacity": group.desired,
        "DefaultCooldown": 300,
        "AvailabilityZones": sorted(set(group.subnets.values())),
        "LoadBalancerNames": [],
        "TargetGroupARNs": [],
        "HealthCheckType": "EC2",
        "HealthCheckGracePeriod": 0,
        "Instances": [instance(each) for each in members] if with_instances else [],
        "CreatedTime": group.created,
        "SuspendedProcesses": [],
        "VPCZoneIdentifier": ",".join(group.subnets),
        "EnabledMetrics": [],
        "Tags": tags(group),
        "TerminationPolicies": ["Default"],
        "NewInstancesProtectedFromScaleIn": False,
        "CapacityRebalance": False,
        "TrafficSources": [],
        "InstanceLifecyclePolicy": {
            "RetentionTriggers": {"TerminateHookAbandon": retention}
        },
        **group.request,
        **warm_pool(group),
        **({"Status": "Delete in progress"} if group.is_deleting else {}),
    }


def _source(group: Group) -> dict[str, Any]:
    if "MixedInstancesPolicy" in group.request:
        return {}
    template = _template(group.launch.template_id, group)
    return {"LaunchTemplate": template} if template else {}


def _template(template_id: str, of: Group | Member) -> dict[str, str]:
    if not template_id:
        return {}
    return {
        "LaunchTemplateId": template_id,
        "LaunchTemplateName": of.launch.template_name,
        "Version": of.launch.version,
    }


def warm_pool(group: Group) -> dict[str, Any]:
    """Configuration and size of the group's warm pool; nothing for a group without one."""
    pool = group.pool
    if pool is None:
        return {}
    configuration: dict[str, Any] = {
        "MinSize": pool.min_size,
        "PoolState": pool.state,
        "InstanceReusePolicy": {"ReuseOnScaleIn": pool.is_reused},
    }
    if pool.prepared is not None:
        configuration["MaxGroupPreparedCapacity"] = pool.prepared
    if pool.is_deleting:
        configuration["Status"] = "PendingDelete"
    return {
        "WarmPoolConfiguration": configuration,
        "WarmPoolSize": len(group.warmed),
    }


def instance(member: Member) -> dict[str, Any]:
    """An element of Instances."""
    template = _template(member.launch.template_id, member)
    return {
        "InstanceId": member.instance_id,
        "InstanceType": member.launch.instance_type,
        "AvailabilityZone": member.zone,
        "LifecycleState": member.state.value,
        "HealthStatus": member.health,
        "ProtectedFromScaleIn": member.is_protected,
        **({"LaunchTemplate": template} if template else {}),
    }


def tags(group: Group) -> list[dict[str, Any]]:
    """The group's, by key."""
    return [
        {
            "ResourceId": group.name,
            "ResourceType": "auto-scaling-group",
            "Key": tag.key,
            "Value": tag.value,
            "PropagateAtLaunch": tag.is_propagated,
        }
        for _, tag in sorted(group.tags.items())
    ]


def hook(group: Group, hook: Hook) -> dict[str, Any]:
    """An element of LifecycleHooks."""
    described = {
        "LifecycleHookName": hook.name,
        "AutoScalingGroupName": group.name,
        "LifecycleTransition": hook.transition.value,
        "HeartbeatTimeout": hook.heartbeat_seconds,
        "GlobalTimeout": hook.global_seconds,
        "DefaultResult": hook.default.value,
    }
    if hook.metadata:
        described["NotificationMetadata"] = hook.metadata
    return described


def activity(group: Group, member: Member, description: str) -> dict[str, Any]:
    """An activity that has just begun."""
    return {
        "ActivityId": member.activity_id,
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "Description": f"{description}: {member.instance_id}",
        "Cause": f"At {member.since:%Y-%m-%dT%H:%M:%SZ} {member.cause}",
        "StartTime": member.since,
        "StatusCode": "InProgress",
        "Progress": 50,
        "Details": "{}",
    }


def refresh(group: Group, refresh: Refresh) -> dict[str, Any]:
    """An element of InstanceRefreshes."""
    left = remaining(group, refresh)
    described = {
        "InstanceRefreshId": refresh.refresh_id,
        "AutoScalingGroupName": group.name,
        "Status": refresh.status,
        "StartTime": refresh.started,
        "PercentageComplete": 100
        * (len(refresh.old) - left)
        // max(1, len(refresh.old)),
        "InstancesToUpdate": left,
        "Strategy": "Rolling",
        "Preferences": dict(refresh.request),
    }
    if refresh.ended:
        described["EndTime"] = refresh.ended
    return described
