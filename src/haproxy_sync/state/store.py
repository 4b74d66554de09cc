"""S3: the state, read first and put under `If-Match`, and configs that are never overwritten."""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from haproxy_sync.errors import CorruptState, Superseded
from haproxy_sync.fleet.model import Config
from haproxy_sync.state import codec
from haproxy_sync.state.model import EnvironmentState

# 412: somebody was faster. 409: two at the same moment. 404: the object we matched is gone.
EXISTS = frozenset({"PreconditionFailed", "412"})
CONFLICT = frozenset({"ConditionalRequestConflict", "409"})
ABSENT = frozenset({"NoSuchKey", "404"})
LOST = EXISTS | CONFLICT | ABSENT


def state_key(environment: str) -> str:
    """Where the environment's state is."""
    return f"state/{environment}.json"


def config_prefix(environment: str) -> str:
    """Below which all configs of the environment are, and nobody else's."""
    return f"configs/{environment}/"


def config_key(environment: str, sha256: str) -> str:
    """Where a config is."""
    return f"{config_prefix(environment)}{sha256}/haproxy.cfg"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state as read, and the ETag a put must match; no ETag: there is none yet."""

    state: EnvironmentState
    etag: str | None
    corruption: str = ""  # why the object is no state; then `state` is empty
    # No state to be had and not one config: nothing was ever published here.
    is_first: bool = False


def read(s3: Any, bucket: str, environment: str) -> Snapshot:
    """The state and its ETag. To be called before looking at EC2, never after (docs/decisions.md)."""
    try:
        answer = s3.get_object(Bucket=bucket, Key=state_key(environment))
    except ClientError as error:
        if _code(error) in ABSENT:
            return Snapshot(
                EnvironmentState(),
                None,
                is_first=not has_configs(s3, bucket, environment),
            )
        raise
    body, etag = answer["Body"].read(), answer["ETag"]
    try:
        state = codec.loads(body)
        # Whatever we put has a revision: `{}` is nobody's state, though it reads as one.
        return Snapshot(
            state,
            etag,
            is_first=not state.revision and not has_configs(s3, bucket, environment),
        )
    except CorruptState as error:
        return Snapshot(
            EnvironmentState(),
            etag,
            str(error),
            is_first=not has_configs(s3, bucket, environment),
        )


def put(
    s3: Any, bucket: str, environment: str, state: EnvironmentState, etag: str | None
) -> str:
    """Replace exactly the state that was read; the new ETag. `Superseded` if somebody was faster."""
    body = codec.dumps(state)
    condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
    key = state_key(environment)
    try:
        answer = s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=body,
            ContentType="application/json",
            **condition,
        )
    except ClientError as error:
        if _code(error) not in LOST:
            raise
        return _own_put(s3, bucket, key, body, error)
    return str(answer["ETag"])


def _own_put(s3: Any, bucket: str, key: str, body: bytes, error: ClientError) -> str:
    """The SDK repeats a put whose answer got lost, and the second meets the first: then it was ours after all."""
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
    except ClientError:
        raise Superseded(f"{key}: {_code(error)}") from error
    if answer["Body"].read() != body:
        raise Superseded(
            f"{key}: {_code(error)}, somebody else moved the state"
        ) from error
    return str(answer["ETag"])


def put_config(s3: Any, bucket: str, environment: str, config: Config) -> None:
    """Store the config under its own digest; an equal one already there is the same thing.

    `Superseded` if somebody puts the same at this moment: whether they succeed is not known yet.
    """
    key = config_key(environment, config.sha256)
    try:
        s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=config.text.encode(),
            ContentType="text/plain",
            IfNoneMatch="*",
        )
    except ClientError as error:
        if _code(error) in CONFLICT:
            raise Superseded(f"{key}: {_code(error)}") from error
        if _code(error) not in EXISTS:
            raise


def has_configs(s3: Any, bucket: str, environment: str) -> bool:
    """Whether a config of the environment is stored: they outlive the state, and are put before it."""
    page = s3.list_objects_v2(
        Bucket=bucket, Prefix=config_prefix(environment), MaxKeys=1
    )
    return bool(page.get("Contents"))


def get_config(s3: Any, bucket: str, environment: str, sha256: str) -> str | None:
    """The text of a stored config; None if it expired."""
    try:
        answer = s3.get_object(Bucket=bucket, Key=config_key(environment, sha256))
    except ClientError as error:
        if _code(error) in ABSENT:
            return None
        raise
    return str(answer["Body"].read().decode())


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
