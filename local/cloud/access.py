"""Stands for IAM's enforcement: a request with a role's session credentials may do what the deployed role allows.

Requests with other keys are the account's administrator (the person who deploys, launches and tags), who may do
everything that no bucket's policy denies.
Also checked: S3 answers 403, not 404, for a missing key to whoever may not list the bucket.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import unescape

from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import AccessDeniedError, JsonRESTError
from moto.ec2.models import ec2_backends
from moto.iam.access_control import PermissionResult
from moto.iam.models import iam_backends
from moto.s3.exceptions import S3AccessDeniedError
from moto.s3.models import FakeBucket, s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sts.models import sts_backends

from local.cloud import ACCOUNT, PARTITION, REGION, auto_scaling
from local.cloud.policies import Decision, Request, allows, decide

CREDENTIAL = re.compile(r"Credential=(?P<key>[^/]+)/[^/]+/[^/]+/(?P<service>[^/]+)/")
# API operations that IAM knows by another action's name.
S3_ACTIONS = {
    "HeadObject": "GetObject",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
}
# Services that sign requests with another name.
SERVICES = {"monitoring": "cloudwatch"}
ADMINISTRATOR = f"arn:{PARTITION}:iam::{ACCOUNT}:user/administrator"
EVERYTHING: Any = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
}
# Services whose errors are XML.
QUERY = ("ec2", "cloudformation", "iam", "sts", "monitoring", "autoscaling")


def policies_of(role_arn: str) -> list[Any]:
    """Every policy document, inline and attached, of a role."""
    role = iam_backends[ACCOUNT][PARTITION].get_role_by_arn(role_arn)
    attached = [
        version.document
        for policy in role.managed_policies.values()
        for version in policy.versions
        if version.version_id == policy.default_version_id
    ]
    return [
        document if isinstance(document, dict) else json.loads(unquote(document))
        for document in [*role.policies.values(), *attached]
    ]


def install() -> None:
    """Judge each request to this process's moto."""
    ActionAuthenticatorMixin._authenticate_and_authorize_action = _authorize  # type: ignore[method-assign, assignment]
    leave_bucket_policies()


def leave_bucket_policies() -> None:
    """Keep this process's moto from judging a bucket's policy: it knows neither conditions nor who asks."""
    FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL  # type: ignore[method-assign]


def _authorize(self: Any, _: type, resource: str = "*") -> None:
    # Requests without a signature, and presigned ones, are the owner's: nothing of the project sends any.
    credential = CREDENTIAL.search(self.headers.get("Authorization", ""))
    CALLER.session = _session(credential["key"]) if credential else None
    if not credential or (is_owner() and credential["service"] != "s3"):
        return
    service = credential["service"]
    for request in _requests(service, self._get_action(), resource, self):
        try:
            demand(request)
        except Refused as refused:
            raise _refusal(service, who(), str(refused)) from refused


class Refused(Exception):
    """The caller may not do it; the message names action and resource."""


CALLER = threading.local()
"""Whose request this thread serves."""
JUDGED: set[str] = set()
"""Every question that was asked about somebody, once."""


def is_owner() -> bool:
    """Whether the request is the account owner's, who may do everything."""
    return not getattr(CALLER, "session", None)


def who() -> str:
    """The ARN of the caller: of its role, or the administrator's."""
    return ADMINISTRATOR if is_owner() else str(CALLER.session.role_arn)


def demand(request: Request) -> None:
    """Let the caller do this, or raise `Refused`."""
    policies = [EVERYTHING] if is_owner() else policies_of(who())
    question = [who(), request.action, request.resource, dict(request.context)]
    JUDGED.add(json.dumps(question))
    if not _is_permitted(policies, request):
        raise Refused(f"{request.action} on {request.resource}")


def _session(key: str) -> Any:
    """The role session that the access key belongs to; none for the account's owner."""
    return sts_backends[ACCOUNT][PARTITION].get_assumed_role_from_access_key(key)


def _is_permitted(policies: list[Any], request: Request) -> bool:
    asked = replace(request, principal=who())
    decision = decide(asked, ACCOUNT, policies, _bucket_policies(request.resource))
    return decision is Decision.ALLOWED and not _hides_missing_key(policies, request)


def _bucket_policies(arn: str) -> list[Any]:
    """The policy of the bucket that the ARN names, or whose object. Nothing here has TLS, and no request says so."""
    name = arn.partition(":::")[2].partition("/")[0]
    bucket = s3_backends[ACCOUNT][PARTITION].buckets.get(name)
    return [json.loads(bucket.policy)] if bucket and bucket.policy else []


def _refusal(service: str, who: str, what: str) -> Exception:
    """The error in the service's own protocol."""
    if service == "s3":
        return S3AccessDeniedError()
    if service in QUERY:
        return AccessDeniedError(who, what)
    return JsonRESTError("AccessDeniedException", f"{who} may not {what}")


def _requests(
    service: str, operation: str, resource: str, call: Any
) -> Iterator[Request]:
    """What IAM is asked for one API call: one question for each resource that the action names."""
    action = f"{SERVICES.get(service, service)}:{operation}"
    arn = f"arn:{PARTITION}:{service}:{REGION}:{ACCOUNT}:"
    match service, operation:
        case "s3", _:
            yield from _of_s3(operation, resource, call)
        case "sts", "GetCallerIdentity":
            pass  # everybody may
        case "cloudformation", _:
            stack = str(call._get_param("StackName") or "*").split(":stack/")[-1]
            end = stack if "/" in stack else f"{stack}/"
            yield Request(action, f"{arn}stack/{end}")
        case "ssm", ("SendCommand" | "GetParameters") as several:
            yield from SEVERAL[several](action, arn, call)
        case "autoscaling", _:
            yield Request(action, *_group(operation, call))
        case _:
            named = _named(service, operation, call)
            of = arn.replace(f":{REGION}:", "::") if service == "iam" else arn
            yield Request(
                action.replace(":Invoke", ":InvokeFunction"),
                f"{of}{named}" if named else "*",
            )


def _of_s3(operation: str, resource: str, call: Any) -> Iterator[Request]:
    """A request that deletes many objects names each of them in its body."""
    action = f"s3:{S3_ACTIONS.get(operation, operation)}"
    prefix = {"s3:prefix": call.querystring.get("prefix", [""])[0]}
    keys = (
        re.findall(r"<Key>(.*?)</Key>", call.body.decode())
        if _deletes_many(operation, resource)
        else []
    )
    for arn in [f"{resource}/{unescape(key)}" for key in keys] or [resource]:
        yield Request(action, arn, prefix)


def _deletes_many(operation: str, resource: str) -> bool:
    return operation == "DeleteObject" and "/" not in resource


# Actions that know a resource level: the end of the ARN, and the parameter of the request that has the name.
NAMED = {
    ("sqs", ""): ("{}", "QueueUrl"),
    ("events", "DescribeRule"): ("rule/{}", "Name"),
    ("events", "ListTargetsByRule"): ("rule/{}", "Rule"),
    ("iam", "ListRolePolicies"): ("role/{}", "RoleName"),
    ("iam", "ListAttachedRolePolicies"): ("role/{}", "RoleName"),
    ("logs", ""): ("log-group:{}:log-stream:", "logGroupName"),
    ("ssm", "DescribeDocument"): ("document/{}", "Name"),
    ("ssm", "GetDocument"): ("document/{}", "Name"),
}


def _named(service: str, operation: str, call: Any) -> str:
    """What an action that knows a resource level names, as the end of an ARN; empty for one without."""
    if service in OWN_NAMES:
        return OWN_NAMES[service](call)
    end, parameter = (
        NAMED.get((service, operation)) or NAMED.get((service, "")) or ("", "")
    )
    # Moto's way to read a request.
    return end and end.format(str(call._get_param(parameter)).rsplit("/", 1)[-1])


def _function(call: Any) -> str:
    """Of `/2015-03-31/functions/NAME/...`; other paths name none."""
    path = unquote(call.path).split("/")
    return f"function:{path[3]}" if path[2] == "functions" else ""


def _secret(call: Any) -> str:
    """A secret's ARN ends in six characters by chance; one that is not there has only its name."""
    name = str(call._get_param("SecretId"))
    secret = secretsmanager_backends[ACCOUNT][REGION].secrets.get(name)
    return str(secret.arn).split(":", 5)[-1] if secret else f"secret:{name}"


OWN_NAMES: Mapping[str, Callable[[Any], str]] = {
    "lambda": _function,
    "secretsmanager": _secret,
}
"""Services whose requests name what they are about in ways of their own."""


def _sending(action: str, arn: str, call: Any) -> Iterator[Request]:
    """A command is sent of a document and to instances."""
    yield Request(action, f"{arn}document/{call._get_param('DocumentName')}")
    for instance_id in call._get_param("InstanceIds") or ():
        yield Request(
            action,
            f"{arn}instance/{instance_id}".replace(":ssm:", ":ec2:"),
            _tags(instance_id),
        )


def _reading(action: str, arn: str, call: Any) -> Iterator[Request]:
    """Parameters are asked for by names, of which versions and labels are no part."""
    for name in call._get_param("Names"):
        path = name.partition(":")[0].removeprefix("/")
        yield Request(action, f"{arn}parameter/{path}")


SEVERAL: Mapping[str, Callable[[str, str, Any], Iterator[Request]]] = {
    "SendCommand": _sending,
    "GetParameters": _reading,
}
"""Operations of SSM that are about more than one resource."""


def _group(operation: str, call: Any) -> tuple[str, dict[str, str]]:
    """Auto Scaling's changes name a group, its looks none; who names an instance alone means its group."""
    if operation.startswith("Describe"):
        return "*", {}
    name = call._get_param("AutoScalingGroupName")
    found = auto_scaling.SERVICE.member(call._get_param("InstanceId") or "")
    return auto_scaling.resource(str(name or (found and found[0].name)))


def _tags(instance_id: str) -> dict[str, str]:
    instance = ec2_backends[ACCOUNT][REGION].get_instance_by_id(instance_id)
    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()} if instance else {}
    return {
        f"{prefix}/{key}": value
        for key, value in tags.items()
        for prefix in ("ssm:resourceTag", "aws:ResourceTag")
    }


def _hides_missing_key(policies: list[Any], request: Request) -> bool:
    if request.action != "s3:GetObject":
        return False
    bucket_arn, _, key = request.resource.partition("/")
    listing = Request("s3:ListBucket", bucket_arn, {"s3:prefix": key})
    bucket = bucket_arn.rsplit(":", 1)[-1]
    return not allows(policies, listing) and not s3_backends[ACCOUNT][
        PARTITION
    ].get_object(bucket, unquote(key))
