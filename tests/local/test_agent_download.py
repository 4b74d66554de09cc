"""How the agent stand-in downloads from S3."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import ANY, Stubber
from moto import mock_aws

from local.agent import Here, HostAgent
from local.agent.download import DownloadFailed, Location, parse_url
from local.run_command import Detail, DocumentResult, Order
from tests.local.agent_runner import ended, finished, step
from tests.local.run_command_bench import Json

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

URL = "https://bucket.s3.eu-west-1.amazonaws.com/configs/a/haproxy.cfg"
CONTENT = b"global\n"


@pytest.fixture
def s3() -> Iterator["S3Client"]:
    """A bucket with one config."""
    with mock_aws():
        client = boto3.client("s3", region_name="eu-west-1")
        client.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        client.put_object(Bucket="bucket", Key="configs/a/haproxy.cfg", Body=CONTENT)
        yield client


def download(source: Any, **inputs: Any) -> Json:
    """A download step; a string is the URL, anything else the whole sourceInfo."""
    info = json.dumps({"path": source}) if isinstance(source, str) else source
    return {
        "action": "aws:downloadContent",
        "name": "download",
        "inputs": {"sourceType": "S3", "sourceInfo": info, "destinationPath": "haproxy.cfg", **inputs},
    }


def run(s3: "S3Client", data: Path, *steps: Json, command_id: str = "command-1") -> DocumentResult:
    """Run the steps on this machine."""
    with HostAgent(Here(), s3, data=str(data), retries=()) as agent:
        content = {"schemaVersion": "2.2", "mainSteps": list(steps)}
        return finished(agent.start(Order(command_id, "i-1", "Apply", content, {})))


@pytest.mark.parametrize("source", [URL, {"path": URL}], ids=["JSON text", "mapping"])
def test_a_relative_download_is_where_the_next_step_starts(s3: "S3Client", tmp_path: Path, source: Any) -> None:
    """The file is root's alone, beside a helper file, in a directory of this command."""
    result = run(s3, tmp_path, download(source), step("apply", "pwd", "stat -c %a . *.cfg", "cat *.cfg"))
    downloads = tmp_path / "i-1/document/orchestration/command-1/downloads"
    assert result.steps[1].stdout == f"{downloads}\n700\n700\nglobal\n"
    [etag] = downloads.glob("*.etag")
    assert etag.stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in downloads.iterdir()) == sorted(["haproxy.cfg", etag.name])


@pytest.mark.fault("F69")
def test_a_missing_object_fails_the_step(s3: "S3Client", tmp_path: Path) -> None:
    """404 in stderr, code 1; the next step runs unless onFailure says exit, and finds nothing of an earlier run."""
    run(s3, tmp_path, download(URL), command_id="earlier")
    missing = download(URL.replace("/a/", "/b/"))
    result = run(s3, tmp_path, missing, step("apply", "ls"))
    assert ended(result) == [("Failed", 1), ("Success", 0)]
    assert "status:404" in result.steps[0].stderr
    assert result.steps[1].stdout == ""
    missing["inputs"]["onFailure"] = "exit"
    result = run(s3, tmp_path, missing, step("apply", "touch ran"), command_id="command-2")
    assert result.detail is Detail.FAILED
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.fault("F70")
def test_a_denied_object_fails_the_step(s3: "S3Client", tmp_path: Path) -> None:
    """403 in stderr; a denied listing alone is no reason to fail."""
    with Stubber(s3) as stubber:
        stubber.add_client_error("list_objects", "AccessDenied", http_status_code=403)
        stubber.add_client_error("get_object", "AccessDenied", http_status_code=403)
        result = run(s3, tmp_path, download(URL))
    assert ended(result) == [("Failed", 1)]
    assert "status:403" in result.steps[0].stderr


def test_other_errors_are_tried_again(s3: "S3Client", tmp_path: Path) -> None:
    """A passing 500 does not fail the download."""
    body = s3.get_object(Bucket="bucket", Key="configs/a/haproxy.cfg")
    with Stubber(s3) as stubber, HostAgent(Here(), s3, data=str(tmp_path), retries=(0,)) as agent:
        stubber.add_response("list_objects", {}, {"Bucket": "bucket", "Prefix": ANY})
        stubber.add_client_error("get_object", "InternalError", http_status_code=500)
        stubber.add_response("get_object", body)
        order = Order("command-1", "i-1", "Apply", {"mainSteps": [download(URL)]}, {})
        assert finished(agent.start(order)).detail is Detail.SUCCESS


def test_objects_below_the_key_are_taken_instead_of_it(s3: "S3Client", tmp_path: Path) -> None:
    """For whoever may list, a key that is also a prefix becomes a directory."""
    s3.put_object(Bucket="bucket", Key="configs/a/haproxy.cfg/other", Body=b"other")
    run(s3, tmp_path, download(URL))
    assert [path.read_bytes() for path in tmp_path.rglob("haproxy.cfg/other")] == [b"other"]


def test_an_absolute_destination_is_used_as_it_is(s3: "S3Client", tmp_path: Path) -> None:
    """Missing parents are made for root alone; a directory as destination keeps the key's name."""
    run(s3, tmp_path / "data", download(URL, destinationPath=f"{tmp_path}/etc/haproxy/"))
    assert (tmp_path / "etc/haproxy/haproxy.cfg").read_bytes() == CONTENT
    assert (tmp_path / "etc").stat().st_mode & 0o777 == 0o700


def test_a_relative_working_directory_is_below_the_downloads(s3: "S3Client", tmp_path: Path) -> None:
    """A script can start in a directory that came with the download."""
    result = run(s3, tmp_path, download(URL, destinationPath="etc/"), step("apply", "ls *.cfg", workingDirectory="etc"))
    assert result.steps[1].stdout == "haproxy.cfg\n"


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (URL, "configs/a/haproxy.cfg"),
        (f"{URL}?versionId=1", "configs/a/haproxy.cfg"),
        ("https://s3.eu-west-1.amazonaws.com/bucket/key", "key"),
        ("https://s3-eu-west-1.amazonaws.com/bucket/key", "key"),
        ("https://bucket.s3.amazonaws.com/a+b%2Bc", "a b+c"),
        ("https://bucket.s3.cn-north-1.amazonaws.com.cn/key", "key"),
    ],
)
def test_urls_of_s3_hosts(url: str, key: str) -> None:
    """Path style and virtual host style name the same object; a query is dropped; `+` means space."""
    assert parse_url(url) == Location("bucket", key)


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/key", "http://bucket.s3.amazonaws.com/key", "https://example.com/key", "https://s3.evil.com/b/k"],
)
def test_other_urls_are_refused(url: str) -> None:
    """Only https URLs of S3 hosts are downloaded."""
    with pytest.raises(DownloadFailed, match="invalid S3 path parameter"):
        parse_url(url)


@pytest.mark.parametrize("info", ['{"path": "', '{"url": "x"}', '"text"'])
def test_broken_source_info_fails_the_step(s3: "S3Client", tmp_path: Path, info: str) -> None:
    """SourceInfo that is no JSON object with a path is the step's failure, not the agent's."""
    broken = download(URL)
    broken["inputs"]["sourceInfo"] = info
    assert ended(run(s3, tmp_path, broken)) == [("Failed", 1)]
