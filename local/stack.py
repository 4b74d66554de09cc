"""The deployed stack on the loopback AWS: the process that serves it, its clients, its outputs."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
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


class InvokeFailed(Exception):
    """The function ended with an error; the message is Lambda's error object."""


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
        self.endpoint = ""

    def __enter__(self) -> Self:
        """Deploy."""
        try:
            self._deploy()
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

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """What the function answers to an event, through the Lambda API. Raises InvokeFailed."""
        return invoke(self.endpoint, self.outputs["FunctionName"], event)

    def _deploy(self) -> None:
        template = deployment.built(self.folder)  # meanwhile the AWS process starts
        self.endpoint = (self._process.stdout or io.StringIO()).readline().strip()
        if not self.endpoint:
            raise RuntimeError(
                f"AWS on loopback did not start, see {self.folder}/cloud.stderr"
            )
        environment = {
            # The one spelling of template URLs that moto takes.
            "AWS_ENDPOINT_URL": self.endpoint.replace("127.0.0.1", "localhost"),
            "AWS_ACCESS_KEY_ID": "owner",
            "AWS_SECRET_ACCESS_KEY": "owner",
        }
        deployment.deploy(template, self.folder, environment, self.parameters)
        stack_name = deployment.settings()["stack_name"]
        stack = self.client("cloudformation").describe_stacks(StackName=stack_name)[
            "Stacks"
        ][0]
        self.outputs = {
            output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]
        }


def client(endpoint: str, service: str) -> Any:
    """A boto3 client of the account's owner."""
    config = Config(
        read_timeout=INVOKE_SECONDS,
        retries={"max_attempts": 0},
        s3={"addressing_style": "path"},
    )
    session: Any = boto3.Session("owner", "owner", region_name=REGION)
    return session.client(service, endpoint_url=endpoint, config=config)


def invoke(endpoint: str, function_name: str, event: Mapping[str, Any]) -> Any:
    """What the function answers to an event, through the Lambda API. Raises InvokeFailed."""
    answer = client(endpoint, "lambda").invoke(
        FunctionName=function_name, Payload=json.dumps(event).encode()
    )
    payload = json.loads(answer["Payload"].read() or "null")
    if "FunctionError" in answer:
        raise InvokeFailed(json.dumps(payload, indent=2))
    return payload
