"""Which spot instances EC2 takes back soon, by the status of their requests: a notice may be lost, that stays."""

from collections.abc import Iterable, Mapping
from typing import Any

from haproxy_sync.aws import pages
from haproxy_sync.fleet.model import NOBODY

# EC2's user guide, "Get the status of your Spot Instances".
INTERRUPTED = ("marked-for-termination", "marked-for-stop")


def interrupted(ec2: Any, instances: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Those of the instances that have a notice; only spot instances cost a question.

    Raises botocore's `ClientError` and `BotoCoreError`.
    """
    by_request = {
        raw.get("SpotInstanceRequestId"): str(raw["InstanceId"]) for raw in instances
    }
    if by_request.keys() <= {None}:
        return NOBODY
    marked = pages(
        ec2.describe_spot_instance_requests,
        "SpotInstanceRequests",
        Filters=[{"Name": "status-code", "Values": list(INTERRUPTED)}],
    )
    requests = {raw["SpotInstanceRequestId"] for raw in marked}
    return frozenset(by_request[each] for each in requests & by_request.keys())
