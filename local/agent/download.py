"""aws:downloadContent from S3, as far as a document that fetches one file can notice."""

import hashlib
import posixpath
import re
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from local.agent.host import PRIVATE, Host, make_directory
from local.run_command import NAMELESS_SECONDS, SILENT_SECONDS, Clock, wall_clock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The agent's own (`s3uri.go`): any domain will do, so those of all partitions.
_S3 = re.compile(r"(?:(?P<bucket>.+)\.)?s3[.-][a-z0-9-]+\.")

RETRIES = (1.0, 2.0, 4.0)
"""Seconds between the tries of a download that failed with anything but 403."""

PATIENCE: Mapping[type[BotoCoreError], float] = {
    EndpointConnectionError: NAMELESS_SECONDS,
    ConnectTimeoutError: SILENT_SECONDS,
    ReadTimeoutError: SILENT_SECONDS,
}
"""Seconds that the agent goes on trying where no answer comes, by what the SDK says of it; other errors end at once."""

TRY_SECONDS = 30
"""About how long one of its tries takes."""

_POLL_SECONDS = 0.005


class DownloadFailed(Exception):
    """What the step's stderr says."""


@dataclass(frozen=True, slots=True)
class Location:
    """An object."""

    bucket: str
    key: str


def parse_url(url: str) -> Location:
    """Bucket and key of an https URL of an S3 host; a query, a version id too, is dropped."""
    parts = urlsplit(url)
    host = _S3.match(parts.netloc)
    if parts.scheme != "https" or not host:
        raise DownloadFailed(f"invalid S3 path parameter: {url}")
    path = unquote_plus(parts.path.lstrip("/"))
    if host["bucket"]:
        return Location(host["bucket"], path)
    bucket, _, key = path.partition("/")
    return Location(bucket, key)


@dataclass(frozen=True, slots=True)
class Downloader:
    """Fetches to one host with the rights of that host's role."""

    host: Host
    s3: "S3Client"
    retries: Sequence[float] = RETRIES
    clock: Clock = wall_clock
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the agent is to end: unlike a cancel, that stops a download."""

    def run(self, inputs: Mapping[str, Any], downloads: str) -> str:
        """Carry out the step and return its stdout; raises DownloadFailed."""
        url = str(inputs["sourceInfo"].get("path", ""))
        location = parse_url(url)
        # The agent makes the downloads directory first; it is where the next step will start.
        make_directory(self.host.path(downloads))
        self._check_no_folder(location)
        destination = posixpath.join(downloads, inputs["destinationPath"])
        self._save(destination, self._fetch(location), url)
        return f"Content downloaded to {destination}"

    def _check_no_folder(self, location: Location) -> None:
        """The agent takes objects below the key instead of it; where nothing can be listed there are none."""
        with suppress(ClientError, BotoCoreError):
            listed = self.s3.list_objects(
                Bucket=location.bucket, Prefix=f"{location.key.rstrip('/')}/"
            )
            if listed.get("Contents"):
                raise DownloadFailed(
                    f"not played: the download of a folder, {location.key}"
                )

    def _fetch(self, location: Location) -> bytes:
        begun, pauses = self.clock(), iter(self.retries)
        while True:
            try:
                return self._get(location)
            except ClientError as error:
                status = HTTPStatus(
                    error.response["ResponseMetadata"]["HTTPStatusCode"]
                )
                is_denied = status is HTTPStatus.FORBIDDEN
                pause = None if is_denied else next(pauses, None)
                if pause is None:
                    raise DownloadFailed(_unsigned_failure(status)) from error
                time.sleep(pause)
            except BotoCoreError as error:
                patience = timedelta(seconds=PATIENCE.get(type(error), 0))
                if self.clock() >= begun + patience:
                    raise DownloadFailed(f"failed to download: {error}") from error
                try_ends = self.clock() + timedelta(seconds=TRY_SECONDS)
                self._wait_until(min(try_ends, begun + patience))

    def _get(self, location: Location) -> bytes:
        answer = self.s3.get_object(Bucket=location.bucket, Key=location.key)
        return answer["Body"].read()

    def _wait_until(self, end: datetime) -> None:
        """By the agent's clock, which a test may move."""
        while self.clock() < end:
            if self.closing.wait(_POLL_SECONDS):
                raise DownloadFailed("the agent was stopped")

    def _save(self, destination: str, content: bytes, url: str) -> None:
        target = self.host.path(destination)
        make_directory(target.parent)
        partial = target.with_name(f"{target.name}.part")
        partial.write_bytes(content)
        partial.chmod(PRIVATE)
        partial.rename(target)
        etag = target.with_name(
            f"{hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()}.etag"
        )
        etag.write_text(hashlib.md5(content, usedforsecurity=False).hexdigest())
        etag.chmod(0o644)


def _unsigned_failure(status: HTTPStatus) -> str:
    """The unsigned fallback's words; the SDK's error is in the agent's debug log alone."""
    return f"http request failed. status:{status} {status.phrase} statuscode:{status}"
