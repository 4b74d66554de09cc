"""Stands for managed policies of IAM, and of CloudFormation, where moto does less than they do.

IAM deletes no policy that is attached to anybody. A stack attaches its policy to the roles of the template, follows
their list in an update, and detaches it from those, and from nobody else, before it deletes it. Another description is
another policy; the one before is deleted when the update is complete, or taken back when it fails.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from moto.iam.exceptions import DeleteConflictException
from moto.iam.models import IAMBackend, ManagedPolicy, iam_backends

from local.cloud import ACCOUNT, PARTITION

Resource = dict[str, Any]


def install() -> None:
    """Teach this process's moto."""
    plain_delete = IAMBackend.delete_policy
    plain_create = ManagedPolicy.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def delete_policy(self: IAMBackend, policy_arn: str) -> None:
        if any(policy_arn in each.managed_policies for each in _entities(self)):
            raise DeleteConflictException(
                "Cannot delete a policy attached to entities."
            )
        plain_delete(self, policy_arn)

    def create(
        cls: type, name: str, resource: Resource, *args: Any, **more: Any
    ) -> Any:
        bare = {**resource["Properties"]}
        roles = bare.pop("Roles", [])
        policy = plain_create(cls, name, resource | {"Properties": bare}, *args, **more)
        policy.roles_of_stack = []
        try:
            _attach_to(policy, roles)
        except Exception:
            _delete(policy)
            raise
        return policy

    policy: Any = ManagedPolicy
    policy.create_from_cloudformation_json = classmethod(create)
    policy.update_from_cloudformation_json = classmethod(_update)
    policy.update_document = _update_document
    policy.replaces = None
    policy.delete = lambda self, *_: _delete(self)
    IAMBackend.delete_policy = delete_policy  # type: ignore[method-assign]


def _update(
    cls: Any,
    /,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: Resource,
    **more: Any,
) -> Any:
    properties, before = cloudformation_json["Properties"], original_resource.replaces
    if _is_such(before, properties):
        _delete(original_resource)
        return before
    if not _is_such(original_resource, properties):
        made = cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, **more
        )
        made.replaces = original_resource
        return made
    original_resource.update_document(properties["PolicyDocument"])
    _attach_to(original_resource, properties.get("Roles", []))
    return original_resource


def _is_such(policy: Any, properties: Resource) -> bool:
    """Whether it has what no update can change of a policy."""
    return policy is not None and policy.description == properties["Description"]


def _entities(backend: IAMBackend) -> Iterator[Any]:
    yield from backend.roles.values()
    yield from backend.users.values()
    yield from backend.groups.values()


def _backend() -> IAMBackend:
    return iam_backends[ACCOUNT][PARTITION]


def _attach_to(policy: Any, roles: Iterable[str]) -> None:
    """To these roles and to none of those that an earlier template named; a role that is missing is IAM's error."""
    for role in roles:
        _backend().attach_role_policy(policy.arn, role)
        policy.roles_of_stack.append(role)
    for role in {*policy.roles_of_stack} - {*roles}:
        _backend().detach_role_policy(policy.arn, role)
    policy.roles_of_stack = [*roles]


def _delete(policy: Any) -> None:
    _attach_to(policy, [])
    _backend().delete_policy(policy.arn)


def _update_document(policy: Any, document: Any) -> None:
    """The default version says what is allowed."""
    for version in policy.versions:
        if version.version_id == policy.default_version_id:
            version.document = json.dumps(document)
