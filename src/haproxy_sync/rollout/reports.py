"""Invocations -> what each proxy reported. Only the marker line proves anything, never a status (F54, F68)."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from haproxy_sync.state.model import Outcome

MARKER = "haproxy-ec2-sync "
APPLY_STEP = "apply"
DOWNLOAD_STEP = "download"
MD5 = re.compile(r"|[0-9a-f]{32}", re.ASCII)
HOST_OUTCOMES = frozenset(Outcome) - {Outcome.MISSING, Outcome.DENIED, Outcome.NOT_TRIED}
DETAIL_LENGTH = 300  # enough for the first ALERT lines

FINAL = frozenset({"Success", "Failed", "TimedOut", "Cancelled"})  # of an invocation and of a step alike
SPEAKING = frozenset({"Success", "Failed"})  # a step that ends so printed something
# What Run Command itself says where the host said nothing: outcome and reason by status detail.
UNREPORTED = {
    "deliverytimedout": (Outcome.MISSING, "delivery-timed-out"),
    "undeliverable": (Outcome.MISSING, "undeliverable"),
    "accessdenied": (Outcome.DENIED, "access-denied"),
    "terminated": (Outcome.NOT_TRIED, "stopped-by-max-errors"),
    "executiontimedout": (Outcome.FAILED, "execution-timed-out"),
    "invalidplatform": (Outcome.FAILED, "invalid-platform"),
    "cancelled": (Outcome.FAILED, "cancelled"),
}
# Run Command's own words on a host that ran nothing: no agent has more to say.
STEPLESS = frozenset({"deliverytimedout", "undeliverable", "accessdenied", "terminated", "invalidplatform"})


@dataclass(frozen=True, slots=True)
class Report:
    """One proxy's word on one command. MD5s are empty where it proved nothing."""

    instance_id: str
    outcome: Outcome
    reason: str = ""
    detail: str = ""
    is_heard: bool = False  # the host itself said it, by its marker
    is_silent: bool = False  # the command is over, and what the host said of it may still be on its way
    installed: str = ""
    running: str = ""
    backup: str = ""
    method: str = ""


def fold(invocations: Iterable[Mapping[str, Any]]) -> tuple[Report, ...]:
    """The invocations that are over as reports, also by their step alone; the others are still under way."""
    return tuple(report for report in map(_report, invocations) if report)


def _report(invocation: Mapping[str, Any]) -> Report | None:
    plugins = {plugin.get("Name"): plugin for plugin in invocation.get("CommandPlugins") or ()}
    download, apply = plugins.get(DOWNLOAD_STEP, {}), plugins.get(APPLY_STEP, {})
    is_final = invocation.get("Status") in FINAL
    marker = parse_marker(str(apply.get("Output") or ""))
    if marker and (is_final or not _is_unheard(apply)):
        return _reported(invocation["InstanceId"], marker)
    return _unreported(invocation, download, apply) if is_final else None


def _unreported(invocation: Mapping[str, Any], download: Mapping[str, Any], apply: Mapping[str, Any]) -> Report:
    instance_id = invocation["InstanceId"]
    if download.get("Status") == "Failed":
        return Report(instance_id, Outcome.FAILED, "download-failed", _short(download.get("Output")))
    key = re.sub(r"[^a-z]", "", str(invocation.get("StatusDetails") or invocation["Status"]).lower())
    outcome, reason = UNREPORTED.get(key, (Outcome.FAILED, "no-marker"))
    is_mute = apply.get("Status") in SPEAKING and not apply.get("Output")
    is_stepless = key in STEPLESS and _is_unheard(download) and _is_unheard(apply)
    is_silent = not is_stepless and (is_mute or _is_unheard(download) or _is_unheard(apply))
    said = apply.get("Output") or invocation.get("TraceOutput")
    return Report(instance_id, outcome, reason, _short(said), is_silent=is_silent)


def _is_unheard(step: Mapping[str, Any]) -> bool:
    """An agent sends what each step said and the final status apart, in any order; lost ones come minutes later."""
    return step.get("Status") not in FINAL


def _reported(instance_id: str, marker: Mapping[str, Any]) -> Report:
    return Report(
        instance_id,
        Outcome(marker["outcome"]),
        _short(marker.get("reason")),
        _short(marker.get("detail")),
        is_heard=True,
        installed=marker["md5_after"],
        running=marker["running_md5"],
        backup=_short(marker.get("backup")),
        method=_short(marker.get("method")),
    )


def parse_marker(output: str) -> Mapping[str, Any] | None:
    """The JSON of the marker, if the first line is one and every value has the promised shape."""
    first = output.partition("\n")[0]
    if not first.startswith(MARKER):
        return None
    try:
        marker = json.loads(first.removeprefix(MARKER))
    except ValueError:
        return None
    return marker if isinstance(marker, dict) and _is_sound(marker) else None


def _is_sound(marker: Mapping[str, Any]) -> bool:
    digests = (marker.get("md5_after"), marker.get("running_md5"))
    return (
        marker.get("outcome") in HOST_OUTCOMES
        and type(marker.get("generation")) is int
        and all(isinstance(digest, str) and MD5.fullmatch(digest) for digest in digests)
    )


def _short(text: object) -> str:
    return str(text or "")[:DETAIL_LENGTH]
