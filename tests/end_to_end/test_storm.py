"""A storm of events through the real queue, its poller and two workers."""

import json
import time
from pathlib import Path

import pytest

from local.deployment import PROJECT
from local.system import LocalSystem

EVENTS = 1000
SECONDS = 10
BATCH = 10


def _told(system: LocalSystem) -> list[dict[str, object]]:
    """What the function logged since the system was started."""
    logs = sorted(Path(system.folder).glob("**/function.log"))
    lines = [
        line
        for log in logs
        for line in log.read_text(errors="replace").splitlines()
        if line.startswith("{")
    ]
    return [json.loads(line) for line in lines]


def _depth(system: LocalSystem) -> int:
    sqs, names = (
        system.stack.client("sqs"),
        ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    answer = sqs.get_queue_attributes(
        QueueUrl=system.stack.outputs["QueueUrl"], AttributeNames=names
    )
    return sum(int(answer["Attributes"][name]) for name in names)


@pytest.mark.fault("F04")
def test_a_thousand_events_are_a_handful_of_looks(system: LocalSystem) -> None:
    """1,000 events in ten seconds, one of them true: at most ten looks for them, at most two rollouts, none lost."""
    before = len(_told(system))
    body = (PROJECT / "events" / "ec2-instance-state-running.json").read_text()
    sqs, url = system.stack.client("sqs"), system.stack.outputs["QueueUrl"]
    start = time.monotonic()
    launched = None
    for number in range(EVENTS // BATCH):
        time.sleep(
            max(0.0, start + number * SECONDS * BATCH / EVENTS - time.monotonic())
        )
        entries = [{"Id": str(each), "MessageBody": body} for each in range(BATCH)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
        if number == EVENTS // BATCH // 2:
            launched = system.launch_backend()
    assert launched
    system.wait_until("the queue is empty", lambda: _depth(system) == 0)
    system.wait_until_serving(*system.backends.values())
    told = _told(system)[before:]
    looks = [
        line["why"]
        for line in told
        if line.get("message") == "look" and "i-0a1b2c3d4e5f60001" in str(line["why"])
    ]
    published = [line for line in told if line.get("message") == "published"]
    assert 0 < len(looks) <= 10, looks
    assert 0 < len(published) <= 2
