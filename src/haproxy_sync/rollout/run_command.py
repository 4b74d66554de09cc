"""Run Command: sends what a claim says, reads what came of it, asks about agents."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import batched
from typing import Any

from botocore.exceptions import ClientError

from haproxy_sync.aws import error_code, pages, url_suffix
from haproxy_sync.rollout import shipped
from haproxy_sync.rollout.limits import MAX_INSTANCES
from haproxy_sync.rollout.reports import APPLY_STEP, DETAIL_LENGTH, Report
from haproxy_sync.settings import MAX_PERCENT, Limit, Settings
from haproxy_sync.state.model import (
    Agent,
    Command,
    Document,
    Outcome,
    Purpose,
    UnixSeconds,
)
from haproxy_sync.state.store import candidate_key, config_key, program_key

# An agent that has not picked it up by then gets the next one instead.
DELIVERY_SECONDS = 60
# A host's work, amply; those behind it in the ramp wait that long each round.
ROUND_SECONDS = 30
# Errors that refuse a whole call because of one target, and what is reported of that target.
DENIED = "AccessDeniedException"
REFUSALS = {
    "InvalidInstanceId": (Outcome.MISSING, "not-reachable"),
    DENIED: (Outcome.DENIED, "access-denied"),
}
MISMATCH = "InvalidParameters"  # the document has a pattern that takes one program
OTHER_PARAMETERS = frozenset(
    {
        "SourceUrl",
        "Md5",
        "Sha256",
        "Generation",
        "ConfigPath",
        "ReloadMethod",
        "ListenPorts",
    }
)
# Not among those: a document of an earlier release lacks them, so a refusal that names one is a mismatch, too. Some
# refusals of a parameter that a document lacks name none at all (claranet/ssha#71, boto/boto3#3151).
NEWER_PARAMETERS = frozenset(
    {
        "Publisher",
        "Adopt",
        "Action",
        "SecretLines",
        "AllowUnsafeKeywords",
        "Watch",
    }
)
ACTIONS = {Purpose.INSPECT: "inspect", Purpose.CHECK: "check"}
APPLY = "apply"  # the action of all others
NOBODY = "0"  # is asked about
NO_KEYWORD = "0"  # is allowed
NOT_FOUND = frozenset({"InvalidCommandId", "InvocationDoesNotExist"})


def agents(
    ssm: Any, instance_ids: Iterable[str], now: UnixSeconds
) -> Mapping[str, Agent]:
    """What the service says of each one's agent (`ClientError`, `BotoCoreError`)."""
    found = dict.fromkeys(instance_ids, Agent("", "", now))
    for ids in batched(sorted(found), MAX_INSTANCES, strict=False):
        filters = [{"Key": "InstanceIds", "Values": list(ids)}]
        listed = pages(
            ssm.describe_instance_information,
            "InstanceInformationList",
            Filters=filters,
            MaxResults=MAX_INSTANCES,
        )
        about = filter(says_whom, listed)
        found.update(
            (each["InstanceId"], _agent(each, now))
            for each in about
            if each["InstanceId"] in found
        )
    return found


def says_whom(raw: object) -> bool:
    """Whether what the service lists is of an instance, which it names; all else is passed over."""
    return isinstance(raw, Mapping) and isinstance(raw.get("InstanceId"), str)


def _agent(listed: Mapping[str, Any], now: UnixSeconds) -> Agent:
    """One without a state is as one that the service does not know."""
    return Agent(
        str(listed.get("AgentVersion", "")), str(listed.get("PingStatus", "")), now
    )


def is_mismatch(error: Exception) -> bool:
    """Whether the document seems to take another program than ours: it blames no other parameter."""
    return (
        isinstance(error, ClientError)
        and error_code(error) == MISMATCH
        and OTHER_PARAMETERS.isdisjoint(re.findall(r"\w+", str(error)))
    )


def document(ssm: Any, name: str, program: str) -> Document:
    """The document's newest version, to be pinned in every command of a rollout (`ClientError`, `BotoCoreError`).

    Not the default one: a deploy that ends well may never have moved it (docs/decisions.md). `DocumentDiffers` if it
    is not the one that this release was shipped with.
    """
    answer = ssm.describe_document(Name=name, DocumentVersion="$LATEST")
    described = answer["Document"]
    version, sha256 = described["DocumentVersion"], described["Hash"]
    if not shipped.is_confirmed(name, version, sha256):
        answer = ssm.get_document(
            Name=name, DocumentVersion=version, DocumentFormat="JSON"
        )
        shipped.confirm(name, version, sha256, answer.get("Content", ""))
    return Document(version, sha256, program)


def invocations(ssm: Any, command: Command) -> Iterator[Mapping[str, Any]]:
    """What each target has to say so far; none while the service does not list the command yet.

    `ClientError` or `BotoCoreError` for any other failure.
    """
    try:
        listed = pages(
            ssm.list_command_invocations,
            "CommandInvocations",
            CommandId=command.command_id,
            Details=True,
            MaxResults=MAX_INSTANCES,
        )
        yield from filter(says_whom, listed)
    except ClientError as error:
        if error_code(error) not in NOT_FOUND:
            raise


def output(ssm: Any, command: Command, instance_id: str) -> str:
    """What one target printed, its first 24,000 characters; empty while the service does not know of it.

    `ClientError` or `BotoCoreError` for any other failure.
    """
    try:
        answer = ssm.get_command_invocation(
            CommandId=command.command_id,
            InstanceId=instance_id,
            PluginName=APPLY_STEP,
        )
    except ClientError as error:
        if error_code(error) not in NOT_FOUND:
            raise
        return ""
    return str(answer.get("StandardOutputContent", ""))


def send(
    ssm: Any, settings: Settings, claim: Command, pinned: Document
) -> tuple[Command | None, tuple[Report, ...]]:
    """The command that the claim became, for all of its targets or some, and those that are refused, by name.

    One bad host makes the service refuse the whole call without saying which: the halves are tried then, and the
    first that is taken is enough: two commands at once would start twice what MaxConcurrency allows. Any other
    failure is raised (`ClientError`, `BotoCoreError`).
    """
    request = _request(settings, claim, pinned)
    try:
        answer = ssm.send_command(**request)
    except ClientError as error:
        refusal = REFUSALS.get(error_code(error))
        if refusal is None:
            raise
        if len(claim.targets) == 1:
            return None, (_refused(claim.targets[0], *refusal, error),)
        return _first_taken(ssm, settings, claim, pinned)
    sent = replace(
        claim,
        command_id=answer["Command"]["CommandId"],
        deliver_by=claim.claimed_at + request["TimeoutSeconds"],
    )
    return sent, ()


def _refused(
    instance_id: str, outcome: Outcome, reason: str, error: ClientError
) -> Report:
    """A target that cannot have the command, in the service's words."""
    detail = str(error.response["Error"].get("Message", ""))[:DETAIL_LENGTH]
    return Report(instance_id, outcome, reason, detail=detail)


def _first_taken(
    ssm: Any, settings: Settings, claim: Command, pinned: Document
) -> tuple[Command | None, tuple[Report, ...]]:
    refused: tuple[Report, ...] = ()
    half = len(claim.targets) // 2
    for targets in (claim.targets[:half], claim.targets[half:]):
        command, reports = send(ssm, settings, replace(claim, targets=targets), pinned)
        refused += reports
        if command:
            return command, refused
    return None, refused


def _request(settings: Settings, claim: Command, pinned: Document) -> dict[str, Any]:
    ramp = _ramp(settings, claim.purpose)
    return {
        "DocumentName": settings.document_name,
        "DocumentVersion": pinned.version,
        "DocumentHash": pinned.sha256,
        "DocumentHashType": "Sha256",
        "InstanceIds": list(claim.targets),
        "Parameters": {
            name: [value]
            for name, value in parameters(settings, claim, pinned.program).items()
        },
        "TimeoutSeconds": delivery_seconds(len(claim.targets), ramp.concurrency),
        "MaxConcurrency": str(ramp.concurrency),
        "MaxErrors": str(ramp.errors),
        "Comment": f"haproxy-ec2-sync {settings.environment[:40]} {claim.generation} {claim.purpose}",
    }


@dataclass(frozen=True, slots=True)
class _Ramp:
    """How many hosts of one command work at once, and how many may fail before the service starts no other."""

    concurrency: Limit
    errors: Limit


def _ramp(settings: Settings, purpose: Purpose) -> _Ramp:
    one, all_of_them = Limit(1), Limit(MAX_PERCENT, is_percent=True)
    ramps = {
        Purpose.CANARY: _Ramp(one, Limit(0)),
        Purpose.WAVE: _Ramp(settings.max_concurrency, settings.max_errors),
        # A comparison or a retry that fails says nothing of other proxies: they have the config, or failed it too.
        Purpose.RETRY: _Ramp(one, all_of_them),
        Purpose.VERIFY: _Ramp(settings.max_concurrency, all_of_them),
        Purpose.INSPECT: _Ramp(settings.max_concurrency, all_of_them),
        Purpose.CHECK: _Ramp(settings.max_concurrency, all_of_them),
    }
    return ramps[purpose]


def delivery_seconds(targets: int, concurrency: Limit) -> int:
    """How long the last target may have to wait: the service starts with one host and doubles up to the limit."""
    limit = max(1, concurrency.of(targets))
    started, width, rounds = 0, 1, 0
    while started < targets:
        started += width
        rounds += 1
        width = min(2 * width, limit)
    return DELIVERY_SECONDS + ROUND_SECONDS * (rounds - 1)


def parameters(settings: Settings, claim: Command, program: str) -> dict[str, str]:
    """The document's parameters, as docs/architecture.md lists them; its `Generation` is the fence."""
    host = f"{settings.bucket}.s3.{settings.region}.{url_suffix(settings.region)}"
    key = candidate_key if claim.purpose is Purpose.CHECK else config_key
    return {
        "ProgramUrl": f"https://{host}/{program_key(program)}",
        "SourceUrl": f"https://{host}/{key(settings.environment, claim.digest.sha256)}",
        "Md5": claim.digest.md5,
        "Sha256": claim.digest.sha256,
        "Generation": str(claim.fence),
        "ConfigPath": settings.config_path,
        "ReloadMethod": settings.reload_method,
        "ListenPorts": ",".join(map(str, settings.listen_ports)),
        "Publisher": settings.publisher,
        "Adopt": str(claim.adopts).lower(),
        "Action": ACTIONS.get(claim.purpose, APPLY),
        "SecretLines": claim.digest.secret_lines,
        "AllowUnsafeKeywords": ",".join(sorted(settings.allow_unsafe_keywords))
        or NO_KEYWORD,
        "Watch": ",".join(claim.watch) or NOBODY,
    }
