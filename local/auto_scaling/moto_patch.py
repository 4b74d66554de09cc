"""Puts the stand-in in the place of moto's Auto Scaling, so that a real boto3 client's calls land in it.

moto has groups whose instances are in service at once; hooks, warm pools and refreshes it only remembers. The same
patch serves tests under `mock_aws` and the moto server of the local system.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.responses import EC2Response

from local.auto_scaling.api import call
from local.auto_scaling.errors import NotPlayed
from local.auto_scaling.machines import MotoMachines
from local.auto_scaling.request import service_model
from local.auto_scaling.service import AutoScaling
from local.run_command import Clock, wall_clock


def auto_scaling_on_moto(
    account: str = "123456789012",
    region: str = "eu-west-1",
    *,
    clock: Clock = wall_clock,
    machine_seconds: float | None = 1.0,
    **options: Any,
) -> AutoScaling:
    """A service whose instances are moto's; `options` are fields of `AutoScaling`.

    `machine_seconds` is how long EC2 takes for a change of state; None: somebody else gives moto's instances time.
    """
    machines = MotoMachines(account, region, clock, machine_seconds)
    return AutoScaling(machines, clock, account, region, **options)


@contextmanager
def attach(service: AutoScaling) -> Iterator[AutoScaling]:
    """While this lasts, `service` answers this process's moto for Auto Scaling, and for EC2's spot requests."""
    run = InstanceBackend.run_instances

    def run_instances(backend: Any, *args: Any, **kwargs: Any) -> Any:
        reservation = run(backend, *args, **kwargs)
        for instance in reservation.instances:
            if instance.lifecycle == "spot":
                service.spot.register(instance)
        return reservation

    def describe_spot_instance_requests(response: Any) -> ActionResult:
        # moto's way to read a request
        filters = response._get_param("Filters", [])  # noqa: SLF001
        ids = response._get_param("SpotInstanceRequestIds", [])  # noqa: SLF001
        described = _with_codes(service.spot.described(ids), filters)
        return ActionResult({"SpotInstanceRequests": described})

    ec2: dict[str, Any] = {
        "describe_spot_instance_requests": describe_spot_instance_requests
    }
    instances: dict[str, Any] = {"run_instances": run_instances}
    with (
        patch.multiple(AutoScalingResponse, create=True, **_methods(service)),
        patch.multiple(InstanceBackend, **instances),
        patch.multiple(EC2Response, **ec2),
    ):
        yield service


def _with_codes(
    requests: list[dict[str, Any]], filters: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The requests that pass the filters, of which one is played."""
    for each in filters:
        if each["Name"] != "status-code":
            raise NotPlayed(f"Filter {each['Name']} of DescribeSpotInstanceRequests")
        requests = [
            request
            for request in requests
            if request["Status"]["Code"] in each["Values"]
        ]
    return requests


def _methods(service: AutoScaling) -> dict[str, Any]:
    """A method for each operation of the API, whether moto has it or not."""
    return {
        camelcase_to_underscores(operation): _answer(service, operation)
        for operation in service_model().operation_names
    }


def _answer(
    service: AutoScaling, operation: str
) -> Callable[[AutoScalingResponse], ActionResult]:
    def method(response: AutoScalingResponse) -> ActionResult:
        if response.region != service.region:
            raise NotPlayed(f"{response.region}, but {service.region} alone")
        return ActionResult(call(service, operation, response.params))

    return method
