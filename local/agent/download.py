"""aws:downloadContent from S3, as far as a document that fetches one file can notice."""

import hashlib
import json
import posixpath
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from local.agent.host import Host, make_directory

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_S3 = re.compile(r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]+)\.)?s3(?:[.-][a-z0-9-]+){0,2}\.amazonaws\.com(?:\.cn)?")

RETRIES = (1.0, 2.0, 4.0)
"""Seconds between the tries of a download that failed with anything but 403."""


class DownloadFailed(Exception):
    """What the step's stderr says."""


@dataclass(frozen=True, slots=True)
class Location:
    """An object, or a folder of them."""

    bucket: str
    key: str


def parse_url(url: str) -> Location:
    """Bucket and key of an https URL of an S3 host; a query, a version id too, is dropped."""
    parts = urlsplit(url)
    host = _S3.fullmatch(parts.netloc)
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

    def run(self, inputs: Mapping[str, Any], downloads: str) -> str:
        """Carry out the step and return its stdout; raises DownloadFailed."""
        if inputs.get("sourceType") != "S3":
            raise DownloadFailed(f"unsupported source type {inputs.get('sourceType')}")
        source = inputs.get("sourceInfo", {})
        try:
            url = (json.loads(source) if isinstance(source, str) else source)["path"]
        except (ValueError, KeyError, TypeError) as error:
            raise DownloadFailed(f"sourceInfo could not be parsed: {source}") from error
        location = parse_url(url)
        destination = self._destination(inputs.get("destinationPath", ""), downloads, location)
        # The agent makes the downloads directory first; it is where the next step will start.
        make_directory(self.host.path(downloads))
        folder = self._listed(location)
        for key in folder:
            name = posixpath.join(destination, key.removeprefix(f"{location.key}/"))
            self._save(name, self._fetch(Location(location.bucket, key)), url)
        if not folder:
            self._save(destination, self._fetch(location), url)
        return f"Content downloaded to {destination}"

    def _destination(self, wanted: str, downloads: str, location: Location) -> str:
        path = posixpath.join(downloads, wanted)
        if not wanted or wanted.endswith("/") or self.host.path(path).is_dir():
            return posixpath.join(path, posixpath.basename(location.key))
        return path

    def _listed(self, location: Location) -> list[str]:
        """Objects below the key, which are taken instead of it; none for whoever may not list."""
        with suppress(ClientError):
            answer = self.s3.list_objects(Bucket=location.bucket, Prefix=f"{location.key.rstrip('/')}/")
            return [found["Key"] for found in answer.get("Contents", ())]
        return []

    def _fetch(self, location: Location) -> bytes:
        for pause in (*self.retries, None):
            try:
                return self.s3.get_object(Bucket=location.bucket, Key=location.key)["Body"].read()
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                # The unsigned fallback's words; the SDK's error is in the agent's debug log alone.
                failure = DownloadFailed(f"failed to download: http request failed. status:{status}")
                if status == 403 or pause is None:  # noqa: PLR2004 - an HTTP status
                    raise failure from error
                time.sleep(pause)
            except BotoCoreError as error:
                raise DownloadFailed(f"failed to download: {error}") from error
        raise AssertionError("the last try returns or raises")

    def _save(self, destination: str, content: bytes, url: str) -> None:
        target = self.host.path(destination)
        make_directory(target.parent)
        partial = target.with_name(f"{target.name}.part")
        partial.write_bytes(content)
        partial.chmod(0o700)
        partial.rename(target)
        etag = target.with_name(f"{hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()}.etag")
        etag.write_text(hashlib.md5(content, usedforsecurity=False).hexdigest())
        etag.chmod(0o644)
