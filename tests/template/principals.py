"""Who there is around a deployed stack, with all policies that play: the stack's own, and those in docs/."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.iam.aws_managed_policies import aws_managed_policies_data

from local.cloud.policies import Decision, Document, Request, decide
from local.cloud.principals import ANONYMOUS
from tests.command_line_reference import policy as operators_policy
from tests.template.stack import STACK_NAME, Stack
from tests.template.translate import PROJECT

ACCOUNT, FOREIGN_ACCOUNT = "123456789012", "210987654321"
EVENTS = "events.amazonaws.com"
EVERYTHING: Document = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
}
ANYTHING_IN_S3: Document = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
}
CORE: Document = json.loads(aws_managed_policies_data)["AmazonSSMManagedInstanceCore"]["Document"]  # fmt: skip
"""What SSM's agent needs, as AWS has it; README.md asks for it."""
DEPLOYING: Document = json.loads((PROJECT / "docs/deploying-user.json").read_text())


def role(name: str, account: str = ACCOUNT) -> str:
    """The ARN of a role."""
    return f"arn:aws:iam::{account}:role/{name}"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody, and what their own policies say."""

    arn: str
    policies: tuple[Document, ...] = ()

    def asks(
        self, stack: Stack, action: str, resource: str, **context: str
    ) -> Decision:
        """What IAM says to that, by their policies and by those of the bucket or queue; a colon is two underscores."""
        known = {key.replace("__", ":"): value for key, value in context.items()}
        request = Request(action, resource, {"aws:SecureTransport": "true"} | known, self.arn)  # fmt: skip
        return decide(request, ACCOUNT, self.policies, _of_resource(stack, resource))

    def may(self, stack: Stack, action: str, resource: str, **context: str) -> bool:
        """Whether they may do that."""
        return self.asks(stack, action, resource, **context) is Decision.ALLOWED


def _of_resource(stack: Stack, arn: str) -> list[Document]:
    """The policies that hang on the bucket or queue."""
    name = arn.rpartition(":")[2].partition("/")[0]
    buckets = stack.of_type("AWS::S3::BucketPolicy").values()
    queues = stack.of_type("AWS::SQS::QueuePolicy").values()
    return [
        *(each["PolicyDocument"] for each in buckets if each["Bucket"] == name),
        *(
            each["PolicyDocument"]
            for each in queues
            if name in {url.rpartition("/")[2] for url in each["Queues"]}
        ),
    ]


def function(stack: Stack) -> Principal:
    """The function, by the role that the stack gives it."""
    ((logical_id, properties),) = stack.of_type("AWS::IAM::Role").items()
    policies = tuple(each["PolicyDocument"] for each in properties["Policies"])
    return Principal(stack.arn(logical_id), policies)


def proxy(stack: Stack) -> Principal:
    """A proxy whose role has what it needs: the stack's policy, and AWS's own."""
    document = stack.one("AWS::IAM::ManagedPolicy")["PolicyDocument"]
    return Principal(role("haproxy"), (document, CORE))


OPERATOR = Principal(role("operator"), (operators_policy(),))
CI = Principal(role("ci"), (DEPLOYING,))
AUTHOR = Principal(role("author"), (ANYTHING_IN_S3,))
GLASS = Principal(role("glass"), (EVERYTHING,))
# Who may do everything by IAM, in every kind that IAM has.
ADMINISTRATORS: Mapping[str, Principal] = {
    "a role": Principal(role("administrator"), (EVERYTHING,)),
    "a role with a path": Principal(role("team/glass"), (EVERYTHING,)),
    "a role called alike": Principal(role("glass2"), (EVERYTHING,)),
    "a user called alike": Principal(f"arn:aws:iam::{ACCOUNT}:user/glass", (EVERYTHING,)),
    "a user": Principal(f"arn:aws:iam::{ACCOUNT}:user/martha", (EVERYTHING,)),
    "a session": Principal(f"arn:aws:sts::{ACCOUNT}:assumed-role/administrator/glass", (EVERYTHING,)),
    "a federated user": Principal(f"arn:aws:sts::{ACCOUNT}:federated-user/glass", (EVERYTHING,)),
    "the root": Principal(f"arn:aws:iam::{ACCOUNT}:root"),
    "the deployer": CI,
    "who may do anything in S3": AUTHOR,
}  # fmt: skip
STRANGERS: Mapping[str, Principal] = {
    "a foreign role": Principal(role("glass", FOREIGN_ACCOUNT), (EVERYTHING,)),
    "a foreign root": Principal(f"arn:aws:iam::{FOREIGN_ACCOUNT}:root", (EVERYTHING,)),
    "the world": Principal(ANONYMOUS),
    "a service": Principal("logging.s3.amazonaws.com"),
    "EventBridge": Principal(EVENTS),
}


@dataclass(frozen=True, slots=True)
class Names:
    """What of the stack `staging` somebody could reach."""

    stack: Stack
    bucket: str = f"arn:aws:s3:::{STACK_NAME}-configbucket-1a2b3c4d5e6f"

    def key(self, key: str) -> str:
        """An object of the bucket."""
        return f"{self.bucket}/{key}"

    def arn(self, logical_id: str) -> str:
        """Of a queue or of a role."""
        return self.stack.arn(logical_id)

    def named(self, service: str, kind: str, logical_id: str) -> str:
        """Of a function or document: what the stack calls it."""
        end = f"{STACK_NAME}-{logical_id}-AbC123dEfGhI"
        return f"arn:aws:{service}:ap-southeast-2:{ACCOUNT}:{kind}{end}"


def policy_size(document: Any) -> int:
    """Characters without blanks, as AWS counts."""
    return len("".join(json.dumps(document).split()))
