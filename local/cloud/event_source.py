"""Stands for Lambda's SQS pollers: the deployed event source mappings, with the rights of the function's role.

Batch size, concurrency and partial batch responses are the deployed mapping's; visibility timeout, receive count and
dead-letter queue are the deployed queue's. Checked, as the service does: the queue hides messages at least as long as
the function may run; a batch response that names an unknown message fails its whole batch.
"""

import json
import logging
import threading
import time
from typing import Any

from moto.awslambda.models import EventSourceMapping, LambdaFunction
from moto.awslambda.utils import get_backend
from moto.sqs.models import Queue

from local.cloud import ACCOUNT, REGION
from local.cloud.clients import client_of
from local.cloud.function import Functions
from local.cloud.runtime_api import InvocationResult

log = logging.getLogger(__name__)

DEFAULT_POLLERS = 5
RECORD_ATTRIBUTES = (
    "ApproximateReceiveCount",
    "SentTimestamp",
    "SenderId",
    "ApproximateFirstReceiveTimestamp",
)


def install() -> None:
    """Keep moto's SQS from invoking functions itself, and from losing a message sent during a delete."""
    delete = Queue.delete_message

    def delete_message(self: Queue, receipt_handle: str) -> None:
        # Moto copies the list of messages outside of its own lock.
        with self._messages_lock:
            delete(self, receipt_handle)

    Queue.delete_message = delete_message  # type: ignore[method-assign]
    Queue.lambda_event_source_mappings = property(lambda _: {}, lambda *_: None)  # type: ignore[assignment]


def poll_forever(functions: Functions, endpoint: str) -> None:
    """Start the pollers of each mapping that is deployed while this runs. Never returns."""
    polled: set[str] = set()
    while True:
        backend = get_backend(ACCOUNT, REGION)
        for mapping in list(backend._event_source_mappings.values()):
            if mapping.uuid not in polled:
                polled.add(mapping.uuid)
                _start(mapping, functions, endpoint)
        time.sleep(0.5)


def _start(mapping: EventSourceMapping, functions: Functions, endpoint: str) -> None:
    if mapping.filter_criteria or mapping.max_batch_window:
        raise NotImplementedError(
            "filters and batching windows are not polled here: add them to local/cloud/event_source.py"
        )
    pollers = (mapping.scaling_config or {}).get("MaximumConcurrency", DEFAULT_POLLERS)
    for _ in range(int(pollers)):
        poller = Poller(mapping, functions, endpoint)
        threading.Thread(target=poller.run, daemon=True).start()


class Poller:
    """One of the pollers of one mapping: receives, invokes, deletes."""

    def __init__(
        self, mapping: EventSourceMapping, functions: Functions, endpoint: str
    ) -> None:
        self.mapping = mapping
        self.functions = functions
        self.function: LambdaFunction = get_backend(ACCOUNT, REGION).get_function(
            mapping.function_arn
        )
        self.sqs = client_of(self.function.role, "event-source", "sqs", endpoint)
        self.queue_url = (
            f"{endpoint}/{ACCOUNT}/{mapping.event_source_arn.rsplit(':', 1)[-1]}"
        )

    def run(self) -> None:
        """Poll until the mapping is deleted, or the process ends."""
        attributes = self.sqs.get_queue_attributes(
            QueueUrl=self.queue_url, AttributeNames=["VisibilityTimeout"]
        )
        if int(attributes["Attributes"]["VisibilityTimeout"]) < int(
            self.function.timeout
        ):
            log.error(
                "Queue visibility timeout is less than the function timeout: Lambda refuses this mapping"
            )
            return
        while self._is_deployed:
            try:
                self._poll()
            except Exception:
                log.exception("poll failed")
                time.sleep(1)

    @property
    def _is_deployed(self) -> bool:
        return self.mapping.uuid in get_backend(ACCOUNT, REGION)._event_source_mappings

    def _poll(self) -> None:
        received = self.sqs.receive_message(
            QueueUrl=self.queue_url,
            MaxNumberOfMessages=min(10, self.mapping.batch_size),
            WaitTimeSeconds=20,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages = received.get("Messages", [])
        if not messages:
            return
        records = [
            _record(message, self.mapping.event_source_arn) for message in messages
        ]
        result = self.functions.invoke(
            self.function, json.dumps({"Records": records}).encode()
        )
        failed = failed_ids(
            result,
            {record["messageId"] for record in records},
            partial=self._is_partial,
        )
        if failed:
            log.warning(
                "%s of %s messages will be delivered again: %s",
                len(failed),
                len(records),
                result.payload[:500],
            )
        for message in messages:
            if message["MessageId"] not in failed:
                self.sqs.delete_message(
                    QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"]
                )

    @property
    def _is_partial(self) -> bool:
        return "ReportBatchItemFailures" in (self.mapping.function_response_types or ())


def failed_ids(result: InvocationResult, sent: set[str], *, partial: bool) -> set[str]:
    """The messages of a batch that stay in the queue, by Lambda's rules."""
    if result.is_error:
        return sent
    response = json.loads(result.payload or b"null")
    if not partial or not response or not response.get("batchItemFailures"):
        return set()
    named = {failure.get("itemIdentifier") for failure in response["batchItemFailures"]}
    return sent if named - sent else named


def _record(message: dict[str, Any], queue_arn: str) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {name: message["Attributes"][name] for name in RECORD_ATTRIBUTES},
        "messageAttributes": message.get("MessageAttributes", {}),
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    }
