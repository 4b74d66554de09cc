"""Builds the clients, once per cold start: one session, short timeouts, one retry layer (the queue is the other)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.endpoint_provider import RuleSetStandardLibrary
from botocore.exceptions import BotoCoreError, ClientError

from haproxy_sync import __version__

CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=3,
    read_timeout=10,
    tcp_keepalive=True,
    user_agent_extra=f"haproxy-ec2-sync/{__version__}",
)
FAILURES = (ClientError, BotoCoreError)
"""What a call raises where a service refuses, cannot be reached, or does not answer."""

ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1})


@dataclass(frozen=True, slots=True)
class Clients:
    """The services we talk to. `commands` is SSM without retries: a SendCommand repeated is a second command.

    `auto_scaling` and `secrets_manager` make their clients at the first call: only who has groups, or variables that
    refer to secrets, pays for them.
    """

    ec2: Any
    s3: Any
    ssm: Any
    sqs: Any
    commands: Any
    auto_scaling: Callable[[], Any]
    secrets_manager: Callable[[], Any]


def pages(call: Any, name: str, **request: Any) -> Iterator[Mapping[str, Any]]:
    """The items called `name` of every page; an error on any page is raised where its items would have come."""
    while True:
        page = call(**request)
        yield from page[name]
        if not page.get("NextToken"):
            return
        request["NextToken"] = page["NextToken"]


def error_code(error: ClientError) -> str:
    """Why a service refused, as its documentation names it."""
    return str(error.response["Error"]["Code"])


def url_suffix(region: str) -> str:
    """The domain of all services of a region's partition, as the SDK knows it: `amazonaws.com`, `amazonaws.eu`.

    A region that the SDK does not know yet is told by the pattern of its name; that of no partition is taken for one of
    the first partition, `aws`.
    """
    partition = RuleSetStandardLibrary(_partitions()).aws_partition(region)
    return str(partition["dnsSuffix"])


def url_suffixes() -> list[str]:
    """Those of all partitions, sorted."""
    partitions = _partitions()["partitions"]
    return sorted({each["outputs"]["dnsSuffix"] for each in partitions})


@cache
def _partitions() -> Any:
    """A small file of the SDK, which its clients read, too; no request is made."""
    loader = botocore.session.get_session().get_component("data_loader")
    return loader.load_data("partitions")


def clients(region: str) -> Clients:
    """Clients of one session; timestamps stay text, which halves the time to read a long list of instances."""
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(
        timestamp_parser=lambda text: text
    )
    every = {
        name: session.create_client(name, region, config=CONFIG)
        for name in ("ec2", "s3", "ssm", "sqs")
    }

    def later(name: str) -> Callable[[], Any]:
        return cache(lambda: session.create_client(name, region, config=CONFIG))

    return Clients(
        **every,
        commands=session.create_client("ssm", region, config=CONFIG.merge(ONCE)),
        auto_scaling=later("autoscaling"),
        secrets_manager=later("secretsmanager"),
    )
