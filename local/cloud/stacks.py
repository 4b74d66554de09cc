"""Stands for what CloudFormation does with a whole stack, where moto goes half of the way.

Checked: before a change set is made the template's rules hold. A create that fails is rolled back, and only
`DeletionPolicy: Retain` keeps what it made. An update that fails goes back to the template and parameters of before;
after one that succeeds what was replaced is deleted, and what cannot be deleted is the stack's no more.
What cannot be deleted leaves the stack, `DELETE_FAILED`, with the reason among its events.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from moto.awslambda.models import LayerVersion, lambda_backends
from moto.cloudformation import models
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.parsing import parse_condition
from moto.core.exceptions import AccessDeniedError
from moto.s3.models import s3_backends
from samtranslator.yaml_helper import yaml_parse

from local.cloud import ACCOUNT, PARTITION, access, handlers

type Plain = Callable[..., Any]

KEPT_IN_THE_END = "RetainExceptOnCreate"


class ResourceFailed(Exception):
    """A resource could not be made, changed or deleted; the message is what its service said."""

    def __init__(self, logical_id: str, type_name: str, error: Exception) -> None:
        super().__init__(str(getattr(error, "message", "") or error))
        self.logical_id = logical_id
        self.type_name = type_name


def install() -> None:
    """Teach this process's moto."""
    parsing: Any = import_module("moto.cloudformation.parsing")
    for operation in ("create", "update"):
        name = f"parse_and_{operation}_resource"
        setattr(parsing, name, _naming(operation, getattr(parsing, name)))
    responses: Any = import_module("moto.cloudformation.responses")
    responses.get_stack_from_s3_url = _asking(responses.get_stack_from_s3_url)
    layer: Any = LayerVersion
    layer.delete = _delete_layer_version
    resources: Any = parsing.ResourceMap
    resources._delete_resource = _naming_deleted(resources._delete_resource)
    backend: Any = models.CloudFormationBackend
    backend.create_change_set = _judging(backend.create_change_set)
    backend.execute_change_set = _undoing(backend.execute_change_set)
    backend.delete_stack = _keeping(backend.delete_stack)


def _judging(create_change_set: Plain) -> Plain:
    def judged(
        self: Any, *, template: str, parameters: dict[str, str], **more: Any
    ) -> Any:
        broken = "; ".join(broken_rules(yaml_parse(template), parameters))
        if broken:
            raise ValidationError(message=f"Template validation error: {broken}")
        return create_change_set(self, template=template, parameters=parameters, **more)

    return judged


def _undoing(execute_change_set: Plain) -> Plain:
    def undone(self: Any, change_set_name: str, stack_name: str | None = None) -> None:
        change_set = self.describe_change_set(change_set_name)
        stack = self.stacks[change_set.stack_id]
        resources = stack.resource_map
        resources.input_parameters = _known(resources)
        before = (resources._template, resources.input_parameters)
        try:
            execute_change_set(self, change_set_name, stack_name)
        except ResourceFailed as failed:
            undo = _create_undone if change_set.change_set_type == "CREATE" else _back
            undo(stack, before, failed)
        else:
            _clean_up(stack)

    return undone


def _keeping(delete_stack: Plain) -> Plain:
    def kept(self: Any, name_or_stack_id: str) -> None:
        stack = _to_be_deleted(self, name_or_stack_id)
        try:
            delete_stack(self, name_or_stack_id)
        except ResourceFailed as failed:
            self.stacks[stack.stack_id] = stack
            _tell(stack, failed, "DELETE_FAILED")
            _become(stack, "DELETE_FAILED", failed)

    return kept


def _naming_deleted(delete_resource: Plain) -> Plain:
    def named(self: Any, resource: Any, resource_json: Any) -> None:
        name = getattr(resource, "logical_resource_id", "")
        try:
            handlers.judge("delete", name, resource_json, self)
            delete_resource(self, resource, resource_json)
        except Exception as error:
            raise ResourceFailed(name, resource_json["Type"], error) from error

    return named


def _delete_layer_version(layer: Any, account_id: str, region: str) -> None:
    """Moto keeps those of a stack for ever."""
    backend = lambda_backends[account_id][region]
    backend.delete_layer_version(layer.name, layer.version)


def broken_rules(
    template: Mapping[str, Any], parameters: Mapping[str, str]
) -> Iterator[str]:
    """What the assertions that do not hold say."""
    declared = template.get("Parameters", {})
    values = {name: each.get("Default") for name, each in declared.items()} | {
        **parameters
    }
    for name, rule in template.get("Rules", {}).items():
        for assertion in rule["Assertions"]:
            if not parse_condition(assertion["Assert"], values, {}):  # type: ignore[arg-type]
                yield f"rule {name}: {assertion['AssertDescription'].strip()}"


def _naming(operation: str, plain: Plain) -> Plain:
    """The same, but its errors say which resource failed: the one that was made first, not one that waits for it.

    What moto does not know it makes again whenever somebody lists the resources, who then needs no right to make it.
    """

    def named(logical_id: str, resource: Any, resources: Any, **more: Any) -> Any:
        unknown = vars(resources).setdefault("unknown_to_moto", set())
        try:
            if logical_id not in unknown:
                handlers.judge(operation, logical_id, resource, resources)
            made = plain(logical_id, resource, resources, **more)
        except ResourceFailed:
            raise
        except Exception as error:
            raise ResourceFailed(logical_id, resource["Type"], error) from error
        if made is None:
            unknown.add(logical_id)
        return made

    return named


def _asking(get_stack_from_s3_url: Plain) -> Plain:
    def asked(template_url: str, **more: Any) -> Any:
        bucket, _, key = urlsplit(template_url).path.lstrip("/").partition("/")
        stored: Any = s3_backends[ACCOUNT][PARTITION].get_object(bucket, key)
        try:
            handlers.judge_template(bucket, key, stored.value.decode())
        except access.Refused as refused:
            raise AccessDeniedError("The caller", str(refused)) from refused
        return get_stack_from_s3_url(template_url, **more)

    return asked


def _to_be_deleted(backend: Any, name_or_stack_id: str) -> Any:
    """The stack, or None; its create succeeded, so all is kept now that such a create keeps."""
    for stack in backend.stacks.values():
        if name_or_stack_id in (stack.stack_id, stack.name):
            for resource in stack.resource_map._resource_json_map.values():
                if resource.get("DeletionPolicy") == KEPT_IN_THE_END:
                    resource["DeletionPolicy"] = "Retain"
            return stack
    return None


def _known(resources: Any) -> dict[str, str]:
    """The parameters of before with their defaults: moto takes for changed what was a default and is sent now."""
    resolved = resources.resolved_parameters.items()
    known = {name: str(value) for name, value in resolved}
    known.update(resources.input_parameters)
    return known


def _create_undone(stack: Any, _: object, failed: ResourceFailed) -> None:
    _tell(stack, failed, "CREATE_FAILED")
    _become(stack, "ROLLBACK_IN_PROGRESS", failed)
    try:
        stack.resource_map.delete()
    except ResourceFailed as kept:
        _tell(stack, kept, "DELETE_FAILED")
        _become(stack, "ROLLBACK_FAILED", kept)
    else:
        _become(stack, "ROLLBACK_COMPLETE", failed)


def _back(stack: Any, before: tuple[Any, Any], failed: ResourceFailed) -> None:
    _tell(stack, failed, "UPDATE_FAILED")
    _become(stack, "UPDATE_ROLLBACK_IN_PROGRESS", failed)
    stack.resource_map.update(*before)
    _become(stack, "UPDATE_ROLLBACK_COMPLETE", failed)


def _clean_up(stack: Any) -> None:
    for logical_id, resource in stack.resource_map._parsed_resources.items():
        replaced = getattr(resource, "replaces", None)
        if replaced is None:
            continue
        resource.replaces = None
        try:
            replaced.delete()
        except Exception as error:  # noqa: BLE001  # whatever it is, CloudFormation goes on
            failed = ResourceFailed(logical_id, resource.cf_resource_type, error)
            _tell(stack, failed, "DELETE_FAILED")


def _become(stack: Any, status: str, failed: ResourceFailed) -> None:
    stack.status = status
    reason = f"The following resource(s) failed: [{failed.logical_id}]"
    stack._add_stack_event(status, resource_status_reason=reason)


def _tell(stack: Any, failed: ResourceFailed, status: str) -> None:
    """The event of the resource itself."""
    stack.events.append(
        models.Event(
            stack_id=stack.stack_id,
            stack_name=stack.name,
            logical_resource_id=failed.logical_id,
            physical_resource_id="",
            resource_type=failed.type_name,
            resource_status=status,
            resource_status_reason=str(failed),
            resource_properties=None,
        )
    )
