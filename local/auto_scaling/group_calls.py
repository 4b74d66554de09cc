"""The operations on groups and their tags."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import uuid4

from moto.core.exceptions import ServiceException

from local.auto_scaling import shown
from local.auto_scaling.errors import ApiError, NotPlayed, validation_error
from local.auto_scaling.hook_calls import hook_of
from local.auto_scaling.model import Group, GroupTag, Launch
from local.auto_scaling.request import page
from local.auto_scaling.service import AutoScaling
from local.auto_scaling.states import TERMINATE, Place

type Request = Mapping[str, Any]

_SOURCES = ("LaunchTemplate", "MixedInstancesPolicy", "InstanceId")
_KEPT = (
    "DefaultCooldown",
    "HealthCheckGracePeriod",
    "NewInstancesProtectedFromScaleIn",
    "DefaultInstanceWarmup",
    "MixedInstancesPolicy",
)


def create(service: AutoScaling, request: Request) -> None:
    """CreateAutoScalingGroup."""
    name = request["AutoScalingGroupName"]
    if name in service.groups:
        raise ApiError(
            "AlreadyExists",
            f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
        )
    place = f"{service.region}:{service.account}"
    group = Group(
        name,
        f"arn:aws:autoscaling:{place}:autoScalingGroup:{uuid4()}:autoScalingGroupName/{name}",
        service.clock(),
        {},
        _launch(service, request),
        _subnets(service, request),
        request["MinSize"],
        request["MaxSize"],
        request.get("DesiredCapacity", request["MinSize"]),
    )
    _keep(group, request)
    _check_sizes(group.min_size, group.max_size, group.desired)
    for hook in request.get("LifecycleHookSpecificationList", ()):
        group.hooks[hook["LifecycleHookName"]] = hook_of(hook, None)
    for tag in request.get("Tags", ()):
        group.tags[tag["Key"]] = _tag(tag)
    service.groups[name] = group


def update(service: AutoScaling, request: Request) -> None:
    """UpdateAutoScalingGroup: a maximum or minimum that the desired capacity breaks moves it."""
    group = alive(service, request)
    least = request.get("MinSize", group.min_size)
    most = request.get("MaxSize", group.max_size)
    wanted = request.get("DesiredCapacity", min(max(group.desired, least), most))
    _check_sizes(least, most, wanted)
    if any(source in request for source in _SOURCES):
        group.launch = _launch(service, request)
        group.on_demand_base = None
    if {"VPCZoneIdentifier", "AvailabilityZones"} & set(request):
        group.subnets = _subnets(service, request)
    group.min_size, group.max_size, group.desired = least, most, wanted
    _keep(group, request)


def alive(service: AutoScaling, request: Request) -> Group:
    """The group that a request is about. Raises ApiError, also for one that is being deleted."""
    group = service.group(request["AutoScalingGroupName"])
    if group.is_deleting:
        raise validation_error(f"AutoScalingGroup '{group.name}' is pending delete")
    return group


def _keep(group: Group, request: Request) -> None:
    group.request |= {name: request[name] for name in _KEPT if name in request}
    policy = request.get("InstanceLifecyclePolicy")
    if policy:
        triggers = policy.get("RetentionTriggers", {})
        group.is_retaining = triggers.get("TerminateHookAbandon") == "retain"
    mixed = request.get("MixedInstancesPolicy")
    if mixed:
        group.on_demand_base = _on_demand_base(mixed)


def _check_sizes(least: int, most: int, wanted: int) -> None:
    if least < 0 or most < 0:
        raise validation_error("Min and max bounds must not be negative")
    if least > most:
        raise validation_error(
            f"Max bound, {most}, must be greater than or equal to min bound, {least}"
        )
    if not least <= wanted <= most:
        raise validation_error(
            f"Desired capacity:{wanted} must be between the specified min size:{least} and max size:{most}"
        )


def _launch(service: AutoScaling, request: Request) -> Launch:
    given = [source for source in _SOURCES if source in request]
    if len(given) != 1:
        raise validation_error(
            "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or "
            "MixedInstancesPolicy parameter."
        )
    if given == ["InstanceId"]:
        return _like(service, request["InstanceId"])
    mixed = request.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    if mixed.get("Overrides"):
        raise NotPlayed("Overrides of MixedInstancesPolicy")
    named = request.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification")
    return _template(service, named or {})


def _template(service: AutoScaling, named: Mapping[str, str]) -> Launch:
    by_name, by_id = named.get("LaunchTemplateName"), named.get("LaunchTemplateId")
    if bool(by_name) == bool(by_id):
        raise validation_error(
            "Valid requests must contain either launchTemplateId or LaunchTemplateName"
        )
    try:
        template_id = by_id or service.machines.template_id(str(by_name))
        launch = Launch(template_id, version=named.get("Version", "$Default"))
        found = service.machines.template(launch)
    except (ServiceException, KeyError, ValueError) as error:
        raise validation_error(
            f"You must use a valid fully-formed launch template. The specified launch template, {by_name or by_id}, "
            "does not exist."
        ) from error
    if not found.image_id:
        raise validation_error(
            "You must use a valid fully-formed launch template. The request must contain the parameter ImageId"
        )
    return Launch(template_id, found.template_name, launch.version)


def _like(service: AutoScaling, instance_id: str) -> Launch:
    instance = service.machines.describe(instance_id)
    if instance is None:
        raise validation_error(f"Invalid Instance ID {instance_id}")
    return Launch(image_id=instance.image_id, instance_type=instance.instance_type)


def _on_demand_base(mixed: Request) -> int | None:
    """None where all are bought."""
    spread = mixed.get("InstancesDistribution", {})
    percent = spread.get("OnDemandPercentageAboveBaseCapacity", 100)
    if percent not in {0, 100}:
        raise NotPlayed(f"OnDemandPercentageAboveBaseCapacity {percent}")
    return int(spread.get("OnDemandBaseCapacity", 0)) if percent == 0 else None


def _subnets(service: AutoScaling, request: Request) -> Mapping[str, str]:
    ids = list(filter(None, request.get("VPCZoneIdentifier", "").split(",")))
    zones = request.get("AvailabilityZones", [])
    if not ids and not zones:
        raise validation_error(
            "At least one Availability Zone or VPC Subnet is required."
        )
    if ids and zones:
        raise NotPlayed("AvailabilityZones beside VPCZoneIdentifier")
    found = service.machines.subnets(ids, zones)
    _check_places("The subnet ID '{}' does not exist", ids, found)
    _check_places("Invalid availability zones: [{}]", zones, found.values())
    return found


def _check_places(text: str, asked: Iterable[str], found: Iterable[str]) -> None:
    for missing in sorted(set(asked) - set(found)):
        raise validation_error(text.format(missing))


def set_desired_capacity(service: AutoScaling, request: Request) -> None:
    """SetDesiredCapacity."""
    group, wanted = alive(service, request), request["DesiredCapacity"]
    for bound, word, is_broken in (
        (group.min_size, "below min", wanted < group.min_size),
        (group.max_size, "above max", wanted > group.max_size),
    ):
        if is_broken:
            raise validation_error(
                f"New SetDesiredCapacity value {wanted} is {word} value {bound} for the AutoScalingGroup."
            )
    group.desired = wanted


def delete(service: AutoScaling, request: Request) -> None:
    """DeleteAutoScalingGroup: with force its instances end without hooks, and it goes with the last one."""
    group = service.group(request["AutoScalingGroupName"])
    is_forced = request.get("ForceDelete", False)
    if group.members and not is_forced:
        raise ApiError(
            "ResourceInUse",
            "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
            "still in the group.",
        )
    group.is_deleting = True
    for member in group.members.values():
        cause = "the group was deleted."
        way = (Place.GROUP, Place.EC2)
        member.set_out(TERMINATE.begin, way, cause, service.clock())
        member.has_hooks = False


def describe(service: AutoScaling, request: Request) -> dict[str, Any]:
    """DescribeAutoScalingGroups: of the names that are asked for those that exist."""
    names = request.get("AutoScalingGroupNames", [])
    most = request.get("MaxRecords", 50)
    if len(names) > most:
        raise validation_error(
            f"The number of AutoScalingGroupNames, {len(names)}, is above the maximum of {most}"
        )
    short = {name.rpartition("autoScalingGroupName/")[2] for name in names}
    found = [
        shown.group(group, with_instances=request.get("IncludeInstances", True))
        for name, group in sorted(service.groups.items())
        if not names or name in short
    ]
    return page("AutoScalingGroups", found, request)


def _tag(tag: Mapping[str, Any]) -> GroupTag:
    if tag["Key"].lower().startswith("aws:"):
        raise validation_error(
            "Tag keys may not start with 'aws:', which is reserved for internal use"
        )
    return GroupTag(
        tag["Key"], tag.get("Value", ""), tag.get("PropagateAtLaunch", False)
    )


def create_tags(service: AutoScaling, request: Request) -> None:
    """CreateOrUpdateTags: instances that run keep theirs."""
    for group, tag in _tags_of(service, request):
        group.tags[tag["Key"]] = _tag(tag)


def delete_tags(service: AutoScaling, request: Request) -> None:
    """DeleteTags: instances that run keep theirs."""
    for group, tag in _tags_of(service, request):
        group.tags.pop(tag["Key"], None)


def _tags_of(
    service: AutoScaling, request: Request
) -> Iterator[tuple[Group, Mapping[str, Any]]]:
    for tag in request["Tags"]:
        if tag.get("ResourceType", "") != "auto-scaling-group":
            raise validation_error(
                "Invalid resource type. Only auto-scaling-group is supported."
            )
        yield service.group(tag.get("ResourceId", "")), tag


_FILTERS = {"auto-scaling-group": "ResourceId", "key": "Key", "value": "Value"}


def describe_tags(service: AutoScaling, request: Request) -> dict[str, Any]:
    """DescribeTags."""
    tags: Iterable[dict[str, Any]] = [
        tag for _, group in sorted(service.groups.items()) for tag in shown.tags(group)
    ]
    for each in request.get("Filters", ()):
        if each.get("Name") not in _FILTERS:
            raise validation_error(f"Invalid filter: {each.get('Name')}")
        member, values = _FILTERS[each["Name"]], each.get("Values", [])
        tags = [tag for tag in tags if tag[member] in values]
    return page("Tags", list(tags), request)
