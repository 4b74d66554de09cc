"""How the agent stand-in downloads from S3."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

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
        client.create_bucket(
            Bucket="bucket",
            CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
        )
        client.put_object(Bucket="bucket", Key="configs/a/haproxy.cfg", Body=CONTENT)
        yield client


def download(
    url: str, name: str = "download", destination: str = "haproxy.cfg"
) -> Json:
    """A download step."""
    return {
        "action": "aws:downloadContent",
        "name": name,
        "inputs": {
            "sourceType": "S3",
            "sourceInfo": {"path": url},
            "destinationPath": destination,
        },
    }


def run(
    s3: "S3Client", data: Path, *steps: Json, command_id: str = "command-1"
) -> DocumentResult:
    """Run the steps on this machine."""
    with HostAgent(Here(), s3, data=str(data), retries=()) as agent:
        content = {"schemaVersion": "2.2", "mainSteps": list(steps)}
        return finished(agent.start(Order(command_id, "i-1", "Apply", content, {})))


def test_a_download_is_where_the_next_step_starts(
    s3: "S3Client", tmp_path: Path
) -> None:
    """The file is root's alone, beside a helper file, in a directory of this command."""
    result = run(
        s3,
        tmp_path,
        download(URL),
        step("apply", "pwd", "stat -c %a . *.cfg", "cat *.cfg"),
    )
    downloads = tmp_path / "i-1/document/orchestration/command-1/downloads"
    assert result.steps[1].stdout == f"{downloads}\n700\n700\nglobal\n"
    [etag] = downloads.glob("*.etag")
    assert etag.stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in downloads.iterdir()) == sorted(
        ["haproxy.cfg", etag.name]
    )


def test_two_downloads_meet_in_one_directory(s3: "S3Client", tmp_path: Path) -> None:
    """Each under its own name, beside its own helper file, where the launcher starts."""
    s3.put_object(Bucket="bucket", Key="program/b/program.zip", Body=b"zip\n")
    result = run(
        s3,
        tmp_path,
        download(URL),
        download(
            "https://bucket.s3.eu-west-1.amazonaws.com/program/b/program.zip",
            "download-program",
            "program.zip",
        ),
        step("apply", "cat haproxy.cfg program.zip", "ls | grep -c etag"),
    )
    assert ended(result) == [("Success", 0)] * 3
    assert result.steps[2].stdout == "global\nzip\n2\n"


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
    result = run(
        s3, tmp_path, missing, step("apply", "touch ran"), command_id="command-2"
    )
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
    with (
        Stubber(s3) as stubber,
        HostAgent(Here(), s3, data=str(tmp_path), retries=(0,)) as agent,
    ):
        stubber.add_response("list_objects", {}, {"Bucket": "bucket", "Prefix": ANY})
        stubber.add_client_error("get_object", "InternalError", http_status_code=500)
        stubber.add_response("get_object", body)
        order = Order("command-1", "i-1", "Apply", {"mainSteps": [download(URL)]}, {})
        assert finished(agent.start(order)).detail is Detail.SUCCESS


def test_objects_below_the_key_are_not_played(s3: "S3Client", tmp_path: Path) -> None:
    """For whoever may list, a key that is also a prefix would become a directory."""
    s3.put_object(Bucket="bucket", Key="configs/a/haproxy.cfg/other", Body=b"other")
    result = run(s3, tmp_path, download(URL))
    assert ended(result) == [("Failed", 1)]
    assert "not played: the download of a folder" in result.steps[0].stderr


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (URL, "configs/a/haproxy.cfg"),
        (f"{URL}?versionId=1", "configs/a/haproxy.cfg"),
        ("https://s3.eu-west-1.amazonaws.com/bucket/key", "key"),
        ("https://s3-eu-west-1.amazonaws.com/bucket/key", "key"),
        ("https://bucket.s3.amazonaws.com/a+b%2Bc", "a b+c"),
        ("https://bucket.s3.cn-north-1.amazonaws.com.cn/key", "key"),
        ("https://bucket.s3.eusc-de-east-1.amazonaws.eu/key", "key"),
        ("https://bucket.s3.us-isob-east-1.sc2s.sgov.gov/key", "key"),
    ],
)
def test_urls_of_s3_hosts(url: str, key: str) -> None:
    """Path style and virtual host style name the same object; a query is dropped; `+` means space."""
    assert parse_url(url) == Location("bucket", key)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/key",
        "http://bucket.s3.amazonaws.com/key",
        "https://example.com/key",
        "https://s3evil.com/b/k",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    """Only https URLs of what looks like a host of S3, in any domain, are downloaded."""
    with pytest.raises(DownloadFailed, match="invalid S3 path parameter"):
        parse_url(url)


def test_broken_source_info_fails_the_step(s3: "S3Client", tmp_path: Path) -> None:
    """SourceInfo without a path is the step's failure, not the agent's."""
    broken = download(URL)
    broken["inputs"]["sourceInfo"] = {"url": "x"}
    assert ended(run(s3, tmp_path, broken)) == [("Failed", 1)]
