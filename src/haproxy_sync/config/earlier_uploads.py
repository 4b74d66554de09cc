"""Uploads in buckets that earlier stacks of our name left: a bucket outlives its stack, and the next one gets its own.

CloudFormation names a bucket by its stack, its logical id and something random, all in lower case; our own bucket's
name tells the other two.
"""

import re
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

from haproxy_sync.aws import FAILURES
from haproxy_sync.config.sources import Uploads

LOGICAL_ID = "-configbucket-"  # of the bucket in template.yaml
MAX_LISTED = 1000  # buckets; nobody has deleted a stack as often
MAX_ASKED = 10  # the newest ones


def find(uploads: Uploads) -> tuple[str, ...]:
    """Addresses such as `s3://bucket/templates/staging/` and `s3://bucket/vars/staging.yml`, the newest bucket's first.

    Nothing is said of templates where our own bucket has some, nor of variables where it has those. Whatever we may not
    ask, or nobody answers, has none. Raises botocore's `ClientError` and `BotoCoreError` for our own bucket only.
    """
    ours = {*_places(uploads)}
    buckets = _buckets(uploads)
    return tuple(
        f"s3://{bucket}/{place}"
        for bucket in buckets
        for place in _places_in(uploads, bucket)
        if place not in ours
    )


def copying(addresses: tuple[str, ...], bucket: str) -> str:
    """The command that copies into our bucket what lies at these addresses in the first one's."""
    split = (address.removeprefix("s3://").partition("/") for address in addresses)
    earlier, group = next(groupby(split, itemgetter(0)))
    includes = " ".join(f"--include '{_pattern(place)}'" for _, _, place in group)
    begin = f"aws s3 cp --recursive s3://{earlier}/ s3://{bucket}/"
    return f"{begin} --exclude '*' {includes}"


def _pattern(place: str) -> str:
    """What the AWS CLI calls the objects there."""
    return f"{place}*" if place.endswith("/") else place


def _places(uploads: Uploads) -> list[str]:
    """Where something is uploaded."""
    found = {
        uploads.prefix: uploads.templates,
        uploads.variables_key: uploads.variables,
    }
    return [place for place, objects in found.items() if objects]


def _places_in(uploads: Uploads, bucket: str) -> list[str]:
    """The same of another bucket."""
    settings = replace(uploads.settings, bucket=bucket)
    try:
        return _places(replace(uploads, settings=settings))
    except FAILURES:
        return []


def _buckets(uploads: Uploads) -> list[str]:
    """Buckets named as ours but for what is random, of our region: a stack of our name elsewhere is in use."""
    settings = uploads.settings
    stack, logical_id, _ = settings.bucket.partition(LOGICAL_ID)
    prefix = f"{stack}{logical_id}"
    if not logical_id:
        return []
    try:
        page = uploads.s3.list_buckets(
            Prefix=prefix, BucketRegion=settings.region, MaxBuckets=MAX_LISTED
        )
    except FAILURES:
        return []
    newest = sorted(page.get("Buckets", ()), key=itemgetter("CreationDate"))[::-1]
    such = re.compile(f"{re.escape(prefix)}[a-z0-9]+")
    named = filter(such.fullmatch, map(itemgetter("Name"), newest))
    return [name for name in named if name != settings.bucket][:MAX_ASKED]
