"""An AWS account on loopback, for the real `sam deploy` and `sam delete`."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import boto3

from local import deployment
from local.cloud import REGION
from local.stack import client

ANYBODY = json.dumps({"Version": "2012-10-17", "Statement": []})
NO_SCHEDULE = "1"
STACK = "haproxy-ec2-sync-staging"


@dataclass(frozen=True)
class Account:
    """An AWS account on loopback without a stack, and the built application beside it."""

    folder: Path
    endpoint: str
    template: Path
    keys: Mapping[str, str]
    """Of who deploys and deletes."""

    @property
    def environment(self) -> dict[str, str]:
        """Of who deploys and deletes."""
        # The one spelling of template URLs that moto takes.
        endpoint = self.endpoint.replace("127.0.0.1", "localhost")
        return {"AWS_ENDPOINT_URL": endpoint, **self.keys}

    def used_by(self, name: str, policy: Mapping[str, Any]) -> "Account":
        """The same, by a role of this name that may do what the policy says."""
        self.make_role(name)
        iam, text = self.client("iam"), json.dumps(policy)
        iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=text)
        return replace(self, keys=self._keys(name))

    def _keys(self, role: str) -> dict[str, str]:
        """Of a new session of the role."""
        keys = self.client("sts").assume_role(
            RoleArn=f"arn:aws:iam::123456789012:role/{role}", RoleSessionName="a-person"
        )["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": keys["SessionToken"],
        }

    def s3_of(self, role: str) -> Any:
        """S3, of a session of the role."""
        key, secret, token = self._keys(role).values()
        session = boto3.Session(key, secret, token, REGION)
        return session.client("s3", endpoint_url=self.endpoint)

    def deploy(self, **parameters: str) -> None:
        """As README says."""
        deployment.deploy(self.template, self.folder, self.environment, parameters)

    def delete(self) -> None:
        """As README says."""
        deployment.delete(self.folder, self.environment)

    def client(self, service: str) -> Any:
        """Of whoever may do everything."""
        return _client(self.endpoint, service)

    def make_role(self, name: str) -> None:
        """A role of the user's, which no stack has made."""
        self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=ANYBODY)

    def attached(self, role: str) -> list[str]:
        """The policies that hang on a role."""
        answer = self.client("iam").list_attached_role_policies(RoleName=role)
        return [each["PolicyArn"] for each in answer["AttachedPolicies"]]

    def outputs(self) -> dict[str, str]:
        """Of the stack; none if there is no stack."""
        return {
            each["OutputKey"]: each["OutputValue"]
            for each in self._stack().get("Outputs", ())
        }

    def status(self) -> str:
        """Of the stack, as CloudFormation spells it; empty if there is none."""
        return str(self._stack().get("StackStatus", ""))

    def _stack(self) -> Any:
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return next((each for each in stacks if each["StackName"] == STACK), {})

    def troubles(self) -> dict[str, str]:
        """What the stack's events say went wrong, by event; nothing if there is no stack."""
        if not self.status():
            return {}
        events = self.client("cloudformation").describe_stack_events(StackName=STACK)
        return {
            each["EventId"]: each.get("ResourceStatusReason", "")
            for each in events["StackEvents"]
            if each["ResourceStatus"].endswith("_FAILED")
        }

    def has_document(self, name: str) -> bool:
        """Whether there is a document of this name; there is no list of them here."""
        ssm = self.client("ssm")
        try:
            ssm.describe_document(Name=name)
        except ssm.exceptions.InvalidDocument:
            return False
        return True

    def things(self) -> set[str]:
        """What there is in the account that the stack could have made."""
        return {
            *(each["Name"] for each in self.client("s3").list_buckets()["Buckets"]),
            *_named(
                self.client("logs").describe_log_groups(), "logGroups", "logGroupName"
            ),
            *_named(self.client("iam").list_roles(), "Roles", "RoleName"),
            *_named(self.client("iam").list_policies(Scope="Local"), "Policies", "Arn"),
            *self.client("sqs").list_queues().get("QueueUrls", []),
            *_named(self.client("events").list_rules(), "Rules", "Name"),
            *_named(
                self.client("lambda").list_functions(), "Functions", "FunctionName"
            ),
            *_named(self.client("lambda").list_layers(), "Layers", "LayerName"),
            *_named(
                self.client("lambda").list_event_source_mappings(),
                "EventSourceMappings",
                "UUID",
            ),
        }


_client = cache(client)


def _named(answer: Any, key: str, name: str) -> Iterator[str]:
    yield from (each[name] for each in answer[key])


@contextmanager
def opened(folder: Path) -> Iterator[Account]:
    """An account without a stack; when it is closed, `judged.jsonl` has every question that IAM was asked."""
    template = deployment.built(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "local.cloud", str(folder), NO_SCHEDULE],
        cwd=deployment.PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    endpoint = (process.stdout or io.StringIO()).readline().strip()
    owner = {"AWS_ACCESS_KEY_ID": "owner", "AWS_SECRET_ACCESS_KEY": "owner"}
    try:
        yield Account(folder, endpoint, template, owner)
    finally:
        process.communicate(timeout=20)
