"""What Run Command is told fits the document, whatever the size of the fleet."""

import re
from dataclasses import replace
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config as BotoConfig

import ssm_document
from haproxy_sync.aws import url_suffix
from haproxy_sync.fleet.model import Config
from haproxy_sync.rollout.run_command import (
    NEWER_PARAMETERS,
    OTHER_PARAMETERS,
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
    "arn:aws:cloudformation:ap-southeast-2:123456789012:stack/haproxy-backends-staging/"
    "0f3c1a60-cbd5-11f0-8f2e-0a1b2c3d4e5f",
)


def claim(servers: int) -> Command:
    """A claim for a config with that many servers."""
    config = Config("".join(f"server s{n} 10.0.0.1:80\n" for n in range(servers)))
    return Command(
        "1.0", Purpose.WAVE, 7, 1795316400, Digest.of(config), ("i-00000001",), 0.0
    )


SESSION = boto3.Session("key", "secret")
REGIONS = {
    region: partition
    for partition in SESSION.get_available_partitions()
    for region in SESSION.get_available_regions("s3", partition)
}
ONE_OF_EACH_PARTITION = {partition: region for region, partition in REGIONS.items()}
VIRTUAL_HOSTS = BotoConfig(
    s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
)


@pytest.mark.fault("F111")
@pytest.mark.parametrize("region", REGIONS)
def test_a_proxy_downloads_where_the_sdk_would(region: str) -> None:
    """The addresses are those that the SDK of the region signs, but for the signature."""
    values = parameters(replace(SETTINGS, region=region), claim(3), PROGRAM)
    s3 = SESSION.client("s3", region, config=VIRTUAL_HOSTS)
    for name in ("SourceUrl", "ProgramUrl"):
        key = urlsplit(values[name]).path.removeprefix("/")
        where = {"Bucket": SETTINGS.bucket, "Key": key}
        signed = s3.generate_presigned_url("get_object", Params=where)
        assert signed.partition("?")[0] == values[name]


def test_all_partitions_are_tried() -> None:
    """Otherwise the tests here try less than they say."""
    assert {"aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso", "aws-iso-b"} <= (
        ONE_OF_EACH_PARTITION.keys()
    )


@pytest.mark.fault("F111")
@pytest.mark.parametrize(
    ("region", "suffix"),
    [
        ("eu-west-9", "amazonaws.com"),
        ("cn-south-3", "amazonaws.com.cn"),
        ("eusc-de-west-2", "amazonaws.eu"),
        ("mars-north-1", "amazonaws.com"),
    ],
)
def test_a_region_that_the_sdk_does_not_know_is_told_by_its_name(
    region: str, suffix: str
) -> None:
    """A new region needs no new function."""
    assert url_suffix(region) == suffix


@pytest.mark.fault("F111")
@pytest.mark.parametrize("region", ONE_OF_EACH_PARTITION.values())
def test_the_parameters_are_those_of_the_document(region: str) -> None:
    """Same names, and every value passes its pattern, in every partition."""
    values = parameters(replace(SETTINGS, region=region), claim(3), PROGRAM)
    assert values.keys() == DOCUMENT["parameters"].keys()
    assert values.keys() == {"ProgramUrl", *OTHER_PARAMETERS, *NEWER_PARAMETERS}
    for name, value in values.items():
        assert re.fullmatch(DOCUMENT["parameters"][name]["allowedPattern"], value), name
    assert values["SourceUrl"].endswith("/haproxy.cfg")
    assert values["ProgramUrl"].endswith(f"/program/{PROGRAM}/haproxy_apply.zip")
    assert values["Generation"] == "1795316400"  # hosts compare the fence


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


@pytest.mark.fault("F164")
@pytest.mark.parametrize(
    ("purpose", "action", "folder"),
    [
        (Purpose.CHECK, "check", "configs/staging/check/"),
        (Purpose.INSPECT, "inspect", "configs/staging/"),
        (Purpose.CANARY, "apply", "configs/staging/"),
    ],
)
def test_a_check_downloads_a_candidate(
    purpose: Purpose, action: str, folder: str
) -> None:
    """And is told which lines hold secrets, as every command is; the document takes all of it."""
    digest = Digest("a" * 64, "b" * 32, "3,17-19")
    asked = replace(claim(3), purpose=purpose, digest=digest)
    values = parameters(SETTINGS, asked, PROGRAM)
    key = urlsplit(values["SourceUrl"]).path.removeprefix("/")
    assert key == f"{folder}{asked.digest.sha256}/haproxy.cfg"
    assert (values["Action"], values["SecretLines"]) == (action, "3,17-19")
    for name, value in values.items():
        assert re.fullmatch(DOCUMENT["parameters"][name]["allowedPattern"], value)
