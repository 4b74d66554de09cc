"""Our own queue: a delayed message is how a reconcile asks to be run again at a known time."""

import json
from collections.abc import Mapping
from typing import Any


def send(sqs: Any, queue_url: str, body: Mapping[str, Any], delay_seconds: int) -> None:
    """A message that arrives no earlier; whoever loses it is found by the sweep."""
    sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(body), DelaySeconds=delay_seconds)
