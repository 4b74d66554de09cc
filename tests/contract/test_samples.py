"""Every sample under events/ does what its name says, through the real handler."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from haproxy_sync import handler
from haproxy_sync.errors import BadRequest
from tests.contract.conftest import settled
from tests.contract.world import ACCOUNT, World, new_world

SAMPLES = sorted((Path(__file__).parents[2] / "events").glob("*.json"))
REGION = "ap-southeast-2"  # where the samples come from


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    """One settled environment for all samples: each must be understood whatever came before."""
    with new_world() as world:
        yield settled(world)


def context() -> SimpleNamespace:
    """What Lambda hands over in that region."""
    return SimpleNamespace(
        invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:reconcile",
        aws_request_id="r",
    )


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_is_understood(running: World, path: Path) -> None:
    """An event reconciles, an action answers with its name; those that need a number of today say so."""
    event: dict[str, Any] = json.loads(path.read_text())
    if event.get("action") == "rollback":
        with pytest.raises(BadRequest, match="newest generations"):
            handler.handler(event, context())
        event["generation"] = running.act("status")["generation"]
    if "id" in event and "action" in event:
        with pytest.raises(BadRequest, match="there is no check"):
            handler.handler(event, context())
        event["id"] = running.act("check")["id"]
    answer = handler.handler(event, context())
    if "Records" in event:
        assert answer == {"batchItemFailures": []}
    elif "action" in event:
        assert answer["action"] == event["action"]
    else:
        assert answer["result"] in {"look", "covered", "advance", "deferred"}
