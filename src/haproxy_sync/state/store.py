"""S3: the state, read first and put under `If-Match`; configs and programs, which never change."""

import json
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from botocore.exceptions import ClientError

from haproxy_sync.aws import Clients, error_code
from haproxy_sync.errors import CorruptState, Superseded
from haproxy_sync.fleet.model import Config
from haproxy_sync.settings import Settings
from haproxy_sync.state import codec, history
from haproxy_sync.state.check import Check
from haproxy_sync.state.model import EnvironmentState

# 412: somebody was faster. 409: two at the same moment. 404: the object we matched is gone.
EXISTS = frozenset({"PreconditionFailed", "412"})
CONFLICT = frozenset({"ConditionalRequestConflict", "409"})
ABSENT = frozenset({"NoSuchKey", "404"})
LOST = EXISTS | CONFLICT | ABSENT

# The document always downloads a config; an inspection needs none, and one where nothing was ever published gets this.
PLACEHOLDER = Config("# haproxy-ec2-sync: what an inspection downloads\n")


def state_key(environment: str) -> str:
    """Where the environment's state is."""
    return f"state/{environment}.json"


def config_prefix(environment: str) -> str:
    """Below which all configs of the environment are, and nobody else's."""
    return f"configs/{environment}/"


def config_key(environment: str, sha256: str) -> str:
    """Where a config is."""
    return f"{config_prefix(environment)}{sha256}/haproxy.cfg"


def last_good_key(environment: str) -> str:
    """Where a proxy finds a config at boot. No command names it: the document takes only keys with a digest."""
    return f"{config_prefix(environment)}last-good/haproxy.cfg"


def check_prefix(environment: str) -> str:
    """Below which all is that checks need, and no config: a rule of the bucket deletes it after a week."""
    return f"{config_prefix(environment)}check/"


def candidate_key(environment: str, sha256: str) -> str:
    """Where a candidate is."""
    return f"{check_prefix(environment)}{sha256}/haproxy.cfg"


def check_key(environment: str, check_id: str) -> str:
    """Where a check is."""
    return f"{check_prefix(environment)}{check_id}/check.json"


def secret_lines_key(environment: str, sha256: str) -> str:
    """Where the numbers of a config's secret lines are; there is no such object where it has none."""
    return f"{config_prefix(environment)}{sha256}/secret-lines.json"


def program_key(sha256: str) -> str:
    """Where a program is; of all environments, since each release has but one."""
    return f"program/{sha256}/haproxy_apply.zip"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state as read, and the ETag a put must match; no ETag: there is none yet."""

    state: EnvironmentState
    etag: str | None
    corruption: str = ""  # why the object is no state; then `state` is empty
    # How it is a newer release's; then `state` is empty, and nothing may be put.
    newer: str = ""
    # No state to be had and not one config: nothing was ever published here.
    is_first: bool = False


@dataclass(frozen=True, slots=True)
class Store:
    """The environment's part of the bucket. Every call raises `ClientError` or `BotoCoreError` where S3 fails."""

    s3: Any
    bucket: str
    environment: str

    @classmethod
    def of(cls, clients: Clients, settings: Settings) -> "Store":
        """As the stack is configured."""
        return cls(clients.s3, settings.bucket, settings.environment)

    def read(self) -> Snapshot:
        """The state and its ETag; `NewerState` for a newer release's.

        To be called before looking at EC2, never after (docs/decisions.md).
        """
        answer = self._get(state_key(self.environment))
        if answer is None:
            return Snapshot(
                state=EnvironmentState(),
                etag=None,
                is_first=not self._has_configs(),
            )
        state, corruption = _loaded(answer["Body"].read())
        # Whatever we put has a revision: `{}` is nobody's state, though it reads as one.
        is_first = state.revision == 0 and not self._has_configs()
        return Snapshot(
            state=state,
            etag=answer["ETag"],
            corruption=corruption,
            is_first=is_first,
        )

    def put(self, state: EnvironmentState, etag: str | None) -> str:
        """Replace exactly the state that was read; the new ETag. `Superseded` if somebody was faster."""
        body = codec.dumps(state)
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        try:
            answer = self.s3.put_object(
                Bucket=self.bucket,
                Key=state_key(self.environment),
                Body=body,
                ContentType="application/json",
                **condition,
            )
        except ClientError as error:
            if error_code(error) not in LOST:
                raise
            return self._own_put(body, error)
        return str(answer["ETag"])

    def _own_put(self, body: bytes, error: ClientError) -> str:
        """The SDK repeats a put whose answer got lost, and the second meets the first: then it was ours after all."""
        key = state_key(self.environment)
        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=key)
        except ClientError:
            raise Superseded(f"{key}: {error_code(error)}") from error
        if answer["Body"].read() != body:
            reason = f"{key}: {error_code(error)}, somebody else moved the state"
            raise Superseded(reason) from error
        return str(answer["ETag"])

    def put_config(self, config: Config) -> None:
        """Store the config under its own digest; an equal one already there is the same thing.

        `Superseded` if somebody puts the same at this moment: whether they succeed is open yet.
        """
        # First, so that nobody who finds the config shows them. Another mark makes others of the same text.
        if config.secret_lines:
            self._put_secret_lines(config)
        key = config_key(self.environment, config.sha256)
        self._put_once(key, config.text.encode(), "text/plain")

    def put_last_good(self, sha256: str) -> bool:
        """Put a stored config where proxies look at boot; false if it is not there, or is another one by now."""
        text = self.get_config(sha256)
        if text is None or Config(text).sha256 != sha256:
            return False
        self._put(last_good_key(self.environment), text.encode(), "text/plain")
        return True

    def put_candidate(self, config: Config) -> None:
        """Store it for checks to download. Again where it is: it must not be deleted for its age meanwhile."""
        self._put(
            candidate_key(self.environment, config.sha256),
            config.text.encode(),
            "text/plain",
        )

    def put_check(self, check: Check) -> None:
        """Store what was asked; its id is nobody else's."""
        self._put(
            check_key(self.environment, check.check_id),
            codec.serialized(check),
            "application/json",
        )

    def get_check(self, check_id: str) -> Check | None:
        """The check with this id; None if there is none, or none any more (`CorruptState` if the object is none)."""
        answer = self._get(check_key(self.environment, check_id))
        if answer is None:
            return None
        return codec.parsed(Check, answer["Body"].read())

    def _put_secret_lines(self, config: Config) -> None:
        self._put(
            secret_lines_key(self.environment, config.sha256),
            json.dumps({"lines": config.secret_lines}).encode(),
            "application/json",
        )

    def put_program(self, sha256: str, content: bytes) -> None:
        """The same for the program that proxies run."""
        self._put_once(program_key(sha256), content, "application/zip")

    def replace_program(self, sha256: str, content: bytes) -> None:
        """Put the program over whatever lies in its place; the bucket keeps that as an older version."""
        self._put(program_key(sha256), content, "application/zip")

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        """Put the object over whatever lies in its place."""
        self.s3.put_object(
            Bucket=self.bucket, Key=key, Body=body, ContentType=content_type
        )

    def _put_once(self, key: str, body: bytes, content_type: str) -> None:
        """Create the object, unless it is there."""
        try:
            self.s3.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=body,
                ContentType=content_type,
                IfNoneMatch="*",
            )
        except ClientError as error:
            if error_code(error) in CONFLICT:
                raise Superseded(f"{key}: {error_code(error)}") from error
            if error_code(error) not in EXISTS:
                raise

    def _has_configs(self) -> bool:
        """Whether a config of the environment was published: they outlive the state, and are put before it."""
        folder = config_prefix(self.environment)
        page = self.s3.list_objects_v2(
            Bucket=self.bucket,
            Prefix=folder,
            Delimiter="/",
            MaxKeys=3,
        )
        found = set(map(itemgetter("Prefix"), page.get("CommonPrefixes", ())))
        none_of_them = {
            f"{folder}{PLACEHOLDER.sha256}/",
            check_prefix(self.environment),
        }
        return not found <= none_of_them

    def get_config(self, sha256: str) -> str | None:
        """The text of a stored config; None if somebody deleted it."""
        answer = self._get(config_key(self.environment, sha256))
        if answer is None:
            return None
        return str(answer["Body"].read().decode())

    def get_secret_lines(self, sha256: str) -> tuple[int, ...]:
        """The numbers of a stored config's secret lines, from 1; an earlier release stored none."""
        answer = self._get(secret_lines_key(self.environment, sha256))
        if answer is None:
            return ()
        return tuple(json.loads(answer["Body"].read())["lines"])

    def _get(self, key: str) -> Any:
        """S3's answer; None if there is no such object."""
        try:
            return self.s3.get_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if error_code(error) in ABSENT:
                return None
            raise


def _loaded(body: bytes) -> tuple[EnvironmentState, str]:
    """The state, or an empty one and why the object is none."""
    try:
        state = codec.loads(body)
    except CorruptState as error:
        return EnvironmentState(), str(error)
    return replace(state, history=history.bounded(state.history)), ""
