"""Whatever lies in the queue, the bucket and an operator's hand: an answer or a refusal, and nothing is lost."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example
from hypothesis import strategies as st

from haproxy_sync.config import sources
from haproxy_sync.config.sources import Uploads
from haproxy_sync.errors import BadEvent, CorruptState, NewerState, TemplateError
from haproxy_sync.fleet.model import INSTANCE_ID, Config
from haproxy_sync.reconcile import events
from haproxy_sync.reconcile.events import Home
from haproxy_sync.settings import Settings
from haproxy_sync.state import codec
from haproxy_sync.state.model import (
    Assignment,
    Change,
    Digest,
    EnvironmentState,
    Outcome,
    ProxyState,
)
from tests.fuzz.budget import fuzzed
from tests.fuzz.odd import JSON, TEXTS, mutated

HOME = Home("123456789012", "ap-southeast-2")
EVENT = {
    "source": "aws.ec2",
    "detail-type": "EC2 Instance State-change Notification",
    "account": HOME.account,
    "region": HOME.region,
    "time": "2026-11-22T03:04:05Z",
    "resources": ["arn:aws:ec2:ap-southeast-2:123456789012:instance/i-0a1b2c3d"],
    "detail": {
        "instance-id": "i-0a1b2c3d",
        "state": "running",
        "tags": {"Type": "tomcat"},
        "look_after": 7,
        "why": "sweep",
    },
}
SOURCES = st.sampled_from(sorted(events.KINDS))
BODIES = mutated(EVENT) | st.builds(
    lambda body, source: {**EVENT, **body, "source": source},
    st.dictionaries(st.sampled_from(sorted(EVENT)), JSON, max_size=2),
    SOURCES,
)


@pytest.mark.fault("F05")
@fuzzed(3000, body=BODIES)
@example(
    body={**EVENT, "source": "haproxy-ec2-sync", "detail": {"look_after": 10**400}}
)
@example(
    body={**EVENT, "source": "haproxy-ec2-sync", "detail": {"look_after": float("nan")}}
)
@example(
    body={
        **EVENT,
        "source": "haproxy-ec2-sync",
        "detail": {"look_after": 7, "why": "a sweep\nof somebody else's"},
    }
)
@example(body={**EVENT, "source": ["aws.ec2"]})
@example(body={**EVENT, "detail-type": 7})
@example(body={**EVENT, "source": "aws.tag", "detail": {"tags": {"a": 7}}})
def test_a_record_is_an_event_or_a_bad_one(body: Any) -> None:
    """Of a bare event, and of one in the queue, where JSON can say NaN."""
    record = {"messageId": "m", "body": json.dumps(body)}
    for sent in ({"SentTimestamp": "1795316645000"}, {}):
        try:
            found = events.parse_record(record | {"attributes": sent}, HOME)
        except BadEvent:
            continue
        assert all(map(INSTANCE_ID.fullmatch, found.instance_ids))
        assert len(found.why) < 300
        assert found.why.isprintable()
        events.intent([found]).why.encode()
        assert (
            found.look_after == found.look_after + 0
        )  # no NaN, which no time comes after


CONFIG = Digest.of(Config("listen a\n bind :80\n"))
STATE = json.loads(
    codec.dumps(
        EnvironmentState(
            revision=7,
            proxy_states={"i-0a1b2c3d": ProxyState(outcome=Outcome.INSTALLED)},
            history=(Change(3, 7, 1.0, "sweep", Assignment(shared=CONFIG)),),
        )
    )
)


@pytest.mark.fault("F48")
@fuzzed(3000, value=mutated(STATE))
@example(value=STATE | {"looked_at": 10**400})
@example(value=STATE | {"looked_at": float("nan")})
@example(value=STATE | {"revision": True})
@example(value=STATE | {"proxies": [7]})
@example(value=STATE | {"schema": 10**30})
def test_a_state_is_read_or_refused(value: Any) -> None:
    """Whatever lies under its key; what is read is written the same again, and can be read again."""
    try:
        state = codec.loads(json.dumps(value).encode())
    except (CorruptState, NewerState):
        return
    again = codec.dumps(state)
    assert codec.dumps(codec.loads(again)) == again


@pytest.mark.fault("F48")
@fuzzed(
    1000,
    body=st.binary(max_size=50)
    | TEXTS.map(lambda text: text.encode("utf-8", "replace")),
)
@example(body=b"[" * 100_000)
@example(body=b"\xff\xfe{\x00}\x00")
def test_bytes_are_a_state_or_none(body: bytes) -> None:
    """JSON or not."""
    try:
        codec.loads(body)
    except (CorruptState, NewerState):
        return


SETTINGS = Settings(
    "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
)
ITEM = {
    "Key": "templates/staging/haproxy.cfg.j2",
    "ETag": '"abc"',
    "Size": 7,
    "LastModified": "2026-11-22T03:04:05.000Z",
}
KEYS = (
    st.sampled_from(["haproxy.cfg.j2", "", "/", "a/../b", "haproxy.cfg.j2/", "ä"])
    | TEXTS.map(
        lambda text: text.encode("utf-8", "replace").decode()
    )  # XML has no half
)
TIMES = st.sampled_from(
    [
        "2026-11-22T03:04:05.000Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "",
        "now",
    ]
)


class Body:
    """Of an object."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self) -> bytes:
        """All of it."""
        return self.content


class Bucket:
    """A bucket with such a listing; each object has the same content."""

    def __init__(self, listed: list[dict[str, Any]], content: bytes) -> None:
        self.listed = listed
        self.content = content

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:
        """One page, as long as it may be."""
        return {
            "Contents": [
                each
                for each in self.listed
                if each["Key"].startswith(request["Prefix"])
            ]
        }

    def get_object(self, **_: Any) -> dict[str, Any]:
        """Whatever is asked for."""
        return {"Body": Body(self.content)}


LISTED = st.builds(
    lambda prefix, key, size, at: (
        ITEM | {"Key": prefix + key, "Size": size, "LastModified": at}
    ),
    st.sampled_from(["templates/staging/", "vars/staging.yml", ""]),
    KEYS,
    st.integers(-1, 2**40),
    TIMES,
)


@pytest.mark.fault("F295")
@fuzzed(
    1000,
    listed=st.lists(LISTED, max_size=5),
    content=st.binary(max_size=20)
    | TEXTS.map(lambda text: text.encode("utf-8", "replace")),
)
@example(listed=[ITEM | {"Key": "vars/staging.yml.bak"}], content=b"a: 1")
@example(listed=[ITEM | {"LastModified": "now"}], content=b"")
@example(listed=[ITEM | {"LastModified": "0001-01-01T00:00:00"}], content=b"")
def test_a_listing_is_a_source_or_a_template_error(
    listed: list[Any], content: bytes
) -> None:
    """With keys, sizes and times of any kind."""
    clients: Any = SimpleNamespace(s3=Bucket(listed, content))
    uploads = Uploads(clients, SETTINGS)
    try:
        source = sources.load(uploads)
    except TemplateError:
        pass
    else:
        assert sources.MAIN in source.templates.files
    json.dumps(codec.jsonable(uploads.origins))
    assert uploads.variables.keys() <= {"vars/staging.yml"}
