"""Every sample in events/ is taken by the deployed function, as `sam remote invoke --event-file` would send it."""

import json
from pathlib import Path

import pytest

from local.system import LocalSystem

EVENTS = Path(__file__).parents[2] / "events"


@pytest.mark.parametrize(
    "path", sorted(EVENTS.glob("*.json")), ids=lambda path: path.stem
)
def test_sample_is_accepted(
    deployed: LocalSystem, system: LocalSystem, path: Path
) -> None:
    """Neither an error nor a message that would come back."""
    event = json.loads(path.read_text())
    # Samples cannot know this system's.
    if "generation" in event:
        event["generation"] = system.status()["generation"]
    if "id" in event and event.get("action") == "check":
        event["id"] = system.invoke({"action": "check"})["id"]
    answer = system.invoke(event)
    if event.get("action") in ("freeze", "rollback"):
        deployed.invoke({"action": "unfreeze"})
    assert not answer.get("batchItemFailures")
