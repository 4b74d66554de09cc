"""Our own queue: one delayed message is how a reconcile asks to be run again at a known time."""

import json
from typing import Any

from haproxy_sync.coalesce import delay
from haproxy_sync.events import OWN_SOURCE, REQUEUE, Home


def wake(sqs: Any, queue_url: str, home: Home, wake_at: float, now: float) -> None:
    """A message that arrives at `wake_at` and is done once a look began then or later."""
    body = {
        "source": OWN_SOURCE,
        "detail-type": REQUEUE,
        "account": home.account,
        "region": home.region,
        "detail": {"look_after": wake_at},
    }
    sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(body), DelaySeconds=delay(wake_at, now))
