"""Stands for S3's events to EventBridge, and for the bucket properties that moto's CloudFormation drops.

An event is sent only by a bucket whose deployed template turned EventBridge on, for objects created and deleted.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from moto.core.responses import ActionResult
from moto.s3 import notifications
from moto.s3.models import FakeBucket, NotificationConfiguration, S3Backend
from moto.s3.responses import S3Response

from local.cloud import eventbridge

DETAIL_TYPES = {"ObjectCreated": "Object Created", "ObjectRemoved": "Object Deleted"}
REASONS = {
    "Put": "PutObject",
    "Delete": "DeleteObject",
    "DeleteMarkerCreated": "DeleteObject",
    "Copy": "CopyObject",
}


def install() -> None:
    """Teach this process's moto both."""
    create = FakeBucket.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def create_with_properties(
        cls: type, name: str, resource: dict[str, Any], *args: Any, **kwargs: Any
    ) -> FakeBucket:
        bucket: FakeBucket = create(cls, name, resource, *args, **kwargs)
        properties = resource.get("Properties", {})
        bucket.versioning_status = properties.get("VersioningConfiguration", {}).get(
            "Status"
        )
        bridge = properties.get("NotificationConfiguration", {}).get(
            "EventBridgeConfiguration", {}
        )
        if bridge.get("EventBridgeEnabled", bool(bridge)) in (True, "true"):
            bucket.notification_configuration = NotificationConfiguration(
                event_bridge={}
            )
        return bucket

    FakeBucket.create_from_cloudformation_json = classmethod(create_with_properties)  # type: ignore[assignment]
    notifications.send_event = _send
    S3Backend.list_buckets = list_buckets(S3Backend.list_buckets)  # type: ignore[method-assign]
    install_notification_answer()


def list_buckets(plain: Callable[..., list[FakeBucket]]) -> Callable[..., Any]:
    """ListBuckets answers by name, whatever was made first; `MaxBuckets` is the beginning of that."""

    def by_name(
        self: S3Backend,
        prefix: str | None,
        bucket_region: str | None,
        max_buckets: str | None,
    ) -> list[FakeBucket]:
        found = sorted(plain(self, prefix, bucket_region, None), key=attrgetter("name"))
        return found[: int(max_buckets or len(found))]

    return by_name


def install_notification_answer() -> None:
    """Let GetBucketNotificationConfiguration tell of EventBridge, which moto keeps and leaves out of its answer."""
    plain = S3Response.get_bucket_notification

    def get_bucket_notification(self: S3Response) -> Any:
        configuration = self.backend.get_bucket_notification_configuration(
            self.bucket_name
        )
        if configuration is None or configuration.event_bridge is None:
            return plain(self)
        if configuration.queue or configuration.topic or configuration.cloud_function:
            raise NotImplementedError(
                "other notifications beside EventBridge: add them to local/cloud/s3.py"
            )
        self.data["Action"] = "GetBucketNotificationConfiguration"
        return self.serialized(ActionResult({"EventBridgeConfiguration": {}}))

    S3Response.get_bucket_notification = get_bucket_notification  # type: ignore[method-assign]


def _send(account_id: str, event_name: str, bucket: Any, key: Any) -> None:
    configuration = bucket.notification_configuration
    kind, _, way = (
        str(getattr(event_name, "value", event_name)).removeprefix("s3:").partition(":")
    )
    if (
        configuration is None
        or configuration.event_bridge is None
        or kind not in DETAIL_TYPES
    ):
        return
    detail = {
        "version": "0",
        "bucket": {"name": bucket.name},
        "object": {
            "key": key.name,
            "size": key.size,
            "etag": key.etag.strip('"'),
            "sequencer": "00617F08299329D189",
        },
        "request-id": "N4N7GDK58NMKJ12R",
        "requester": account_id,
        "source-ip-address": "192.0.2.4",
        "reason": REASONS.get(way, way),
    }
    eventbridge.publish("aws.s3", DETAIL_TYPES[kind], detail, bucket.arn)
