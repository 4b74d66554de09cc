"""The deployed stack on the loopback AWS: the process that serves it, its clients, its outputs."""

import io
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config

from local import deployment
from local.cloud import REGION

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client

STOP_SECONDS = 20
INVOKE_SECONDS = 90
_CREATING = threading.Lock()


class InvokeFailed(Exception):
    """The function ended with an error; the message is that of Lambda's error object."""


class Stack:
    """A context manager: serves AWS on loopback, deploys to it what `make build` built, and ends it all.

    `speed` multiplies the schedules of the deployed rules; `parameters` replace those of samconfig.toml.
    """

    def __init__(
        self, folder: Path, parameters: Mapping[str, str], speed: float
    ) -> None:
        self.folder = folder
        self.parameters = parameters
        self.outputs: Mapping[str, str] = {}
        with (folder / "cloud.stderr").open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local.cloud", str(folder), str(speed)],
                cwd=deployment.PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,  # an interrupt at the terminal is for this process, which then ends that one
            )
        self._template = Path()
        self.endpoint = ""
        """By name: clients of S3 put the bucket before it, and moto takes no template from an address."""

    def __enter__(self) -> Self:
        """Deploy."""
        try:
            self._start()
            self.deploy({})
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End the AWS process and all that runs for it."""
        try:
            self._process.communicate(timeout=STOP_SECONDS)  # closes its standard input
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def order(self, **order: Any) -> None:
        """Tell the AWS process about an agent, see `local.cloud.hosts`."""
        print(json.dumps(order), file=self._process.stdin, flush=True)

    def client(self, service: str) -> Any:
        """A boto3 client of the account's owner."""
        return client(self.endpoint, service)

    @property
    def ec2(self) -> "EC2Client":
        """The EC2 client of the account's owner."""
        ec2: EC2Client = self.client("ec2")
        return ec2

    @property
    def s3(self) -> "S3Client":
        """The S3 client of the account's owner."""
        s3: S3Client = self.client("s3")
        return s3

    def instances(self, *states: str) -> dict[str, Any]:
        """Every instance in one of these states, as EC2 describes it, by its id."""
        return instances(self.ec2, *states)

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """What the function answers to an event, through the Lambda API. Raises InvokeFailed."""
        return invoke(self.endpoint, self.outputs["FunctionName"], event)

    def delete(self) -> None:
        """Delete the stack; what is to be retained stays, and belongs to nobody."""
        name = deployment.settings()["stack_name"]
        self.client("cloudformation").delete_stack(StackName=name)

    def _start(self) -> None:
        self._template = deployment.built(self.folder)  # meanwhile AWS starts
        said = (self._process.stdout or io.StringIO()).readline().strip()
        if not said:
            raise RuntimeError(
                f"AWS on loopback did not start, see {self.folder}/cloud.stderr"
            )
        self.endpoint = said.replace("127.0.0.1", "localhost")

    def deploy(self, parameters: Mapping[str, str]) -> None:
        """Run `sam deploy`, with these parameters for this once."""
        environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "owner",
            "AWS_SECRET_ACCESS_KEY": "owner",
        }
        deployment.deploy(
            self._template, self.folder, environment, {**self.parameters, **parameters}
        )
        stack_name = deployment.settings()["stack_name"]
        stack = self.client("cloudformation").describe_stacks(StackName=stack_name)[
            "Stacks"
        ][0]
        self.outputs = {
            output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]
        }


@cache
def client(endpoint: str, service: str) -> Any:
    """The boto3 client of the account's owner: one for all threads, since who polls would load the API's model anew."""
    config = Config(
        read_timeout=INVOKE_SECONDS,
        retries={"max_attempts": 0},
        s3={"addressing_style": "path"},
    )
    with _CREATING:
        return _session().client(service, endpoint_url=endpoint, config=config)


@cache
def _session() -> Any:
    """One for all clients: it keeps what it has read of the services' descriptions. It makes one client at a time."""
    return boto3.Session("owner", "owner", region_name=REGION)


def instances(ec2: "EC2Client", *states: str) -> dict[str, Any]:
    """Every instance in one of these states, as EC2 describes it, by its id."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": list(states)}]
    )
    return {
        instance["InstanceId"]: instance
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    }


def invoke(endpoint: str, function_name: str, event: Mapping[str, Any]) -> Any:
    """What the function answers to an event, through the Lambda API. Raises InvokeFailed."""
    answer = client(endpoint, "lambda").invoke(
        FunctionName=function_name, Payload=json.dumps(event).encode()
    )
    payload = json.loads(answer["Payload"].read() or "null")
    if "FunctionError" in answer:
        raise InvokeFailed(payload.get("errorMessage", payload))
    return payload
