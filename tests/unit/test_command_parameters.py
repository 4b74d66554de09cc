"""What Run Command is told fits the document, whatever the size of the fleet."""

import re
from dataclasses import replace

import pytest

import ssm_document
from haproxy_sync.fleet.model import Config
from haproxy_sync.rollout.run_command import (
    OTHER_PARAMETERS,
    PROGRAM_PARAMETER,
    delivery_seconds,
    parameters,
)
from haproxy_sync.settings import Limit, Settings
from haproxy_sync.state.model import Command, Digest, Purpose

PROGRAM = "b" * 64
DOCUMENT = ssm_document.document(PROGRAM)
SETTINGS = Settings(
    "staging",
    "ap-southeast-2",
    "haproxy-backends-staging-config",
    "https://queue",
    "document",
)


def claim(servers: int) -> Command:
    """A claim for a config with that many servers."""
    config = Config("".join(f"server s{n} 10.0.0.1:80\n" for n in range(servers)))
    return Command(
        "1.0", Purpose.WAVE, 7, 1795316400, Digest.of(config), ("i-00000001",), 0.0
    )


@pytest.mark.parametrize("region", ["ap-southeast-2", "us-gov-west-1", "cn-north-1"])
def test_the_parameters_are_those_of_the_document(region: str) -> None:
    """Same names, and every value passes its pattern, in every partition."""
    values = parameters(replace(SETTINGS, region=region), claim(3), PROGRAM)
    assert values.keys() == DOCUMENT["parameters"].keys()
    assert values.keys() == {PROGRAM_PARAMETER, *OTHER_PARAMETERS}
    for name, value in values.items():
        assert re.fullmatch(DOCUMENT["parameters"][name]["allowedPattern"], value), name
    assert values["SourceUrl"].endswith("/haproxy.cfg")
    assert values["ProgramUrl"].endswith(f"/program/{PROGRAM}/haproxy_apply.zip")
    assert values["Generation"] == "1795316400"  # hosts compare the fence
    assert (".amazonaws.com.cn/" in values["SourceUrl"]) == region.startswith("cn-")


@pytest.mark.fault("F36")
def test_five_thousand_backends_do_not_make_the_command_larger() -> None:
    """The config travels by its digest."""
    small, large = (
        len(str(parameters(SETTINGS, claim(servers), PROGRAM))) for servers in (1, 5000)
    )
    assert small == large


@pytest.mark.parametrize(
    ("targets", "concurrency", "seconds"),
    [
        (1, "1", 60),
        (2, "10", 90),
        (50, "10", 60 + 30 * 7),
        (50, "1", 60 + 30 * 49),
        (50, "100%", 60 + 30 * 5),
    ],
)
def test_the_last_of_a_wave_may_wait_for_those_before_it(
    targets: int, concurrency: str, seconds: int
) -> None:
    """The service starts with one host and doubles; the deadline counts from the send."""
    assert delivery_seconds(targets, Limit.parse(concurrency)) == seconds
