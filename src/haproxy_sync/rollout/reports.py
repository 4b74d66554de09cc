"""Invocations -> what each proxy reported. Only the marker line proves anything, never a status."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from haproxy_sync.secrets import masked_alert
from haproxy_sync.settings import KEYWORD
from haproxy_sync.state.model import BackendServers, HAProxy, Outcome, Watched

MARKER = "haproxy-ec2-sync "
APPLY_STEP = "apply"
DOWNLOAD_FAILED = "download-failed"  # reason of a host that did not get the config
# Of one that did not get the program.
PROGRAM_DOWNLOAD_FAILED = "program-download-failed"
PROGRAM_MISMATCH = "program-mismatch"  # of one that got something else in its place
DOWNLOAD_HANGING = "download-hanging"  # of one whose download no answer ends
DELIVERY_TIMED_OUT = "delivery-timed-out"  # of one whose agent did not take the command
NO_REPORT = "no-report"  # of one that took it, and was not heard of any more
# Of one whose agent rejected it, or died with all that it had to say.
NO_STEP = "no-step"
AGENT_DIED = "agent-died"  # of one whose script goes on without anybody who listens
# What the agent says in the output of the document's first step, whichever ran; its words to that point.
WORKER_DIED = "document process failed unexpectedly"
# Steps that download, in order, and the reason where one fails.
DOWNLOADS = {
    "download": DOWNLOAD_FAILED,
    "download-program": PROGRAM_DOWNLOAD_FAILED,
}
MD5 = re.compile(r"|[0-9a-f]{32}", re.ASCII)
HOST_OUTCOMES = frozenset(Outcome) - {
    Outcome.MISSING,
    Outcome.UNKNOWN,
    Outcome.DENIED,
    Outcome.NOT_TRIED,
}
# A host that is another stack's tried nothing, so that is no failure of the config, and stops nobody else.
HOST_DENIALS = {(Outcome.FAILED, "other-publisher"): Outcome.DENIED}
# What a host says that an apply would end as.
WOULD = frozenset({"same", "differs", "refused"})
DETAIL_LENGTH = 300  # enough for the first ALERT lines
# As many as the parameter AllowUnsafeKeywords takes, but with blanks between them.
UNSAFE = re.compile(rf"{KEYWORD}(?: {KEYWORD}){{0,39}}", re.ASCII)
NOTE = re.compile(r"(?<!\S)[a-z][a-z0-9-]{1,47}(?!\S)", re.ASCII)
NOTES_LENGTH = 200  # of all, with the blanks between them
# HAProxy's names have no other characters, and nobody has more servers.
BACKEND = re.compile(r"([A-Za-z0-9_.:-]+) ([0-9]{1,7})/([0-9]{1,7})", re.ASCII)
# All that a host names, in at most 400 characters.
BACKENDS = re.compile(rf"(?=.{{0,400}}\Z)(?:{BACKEND.pattern}(?: (?=.)|\Z))*", re.ASCII)

# Of each endpoint that a command asked about, in its order.
WATCHED = re.compile(r"(up|part|out|gone)/([0-9]{1,9}|\?)", re.ASCII)
ALL_WATCHED = re.compile(rf"{WATCHED.pattern}( {WATCHED.pattern})*", re.ASCII)

# Of an invocation and of a step alike.
FINAL = frozenset({"Success", "Failed", "TimedOut", "Cancelled"})
SPEAKING = frozenset({"Success", "Failed"})  # a step that ends so printed something
# What Run Command itself says where the host said nothing: outcome and reason by status detail.
UNREPORTED = {
    "deliverytimedout": (Outcome.MISSING, DELIVERY_TIMED_OUT),
    "undeliverable": (Outcome.MISSING, "undeliverable"),
    "accessdenied": (Outcome.DENIED, "access-denied"),
    "terminated": (Outcome.NOT_TRIED, "stopped-by-max-errors"),
    "executiontimedout": (Outcome.FAILED, "execution-timed-out"),
    "invalidplatform": (Outcome.FAILED, "invalid-platform"),
    "cancelled": (Outcome.FAILED, "cancelled"),
}
# Run Command's own words on a host that ran nothing: no agent has more to say.
STEPLESS = frozenset(
    {
        "deliverytimedout",
        "undeliverable",
        "accessdenied",
        "terminated",
        "invalidplatform",
    }
)


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
    # Whose the host is, empty: nobody's; None: it did not say.
    publisher: str | None = None
    other_publisher: str = ""
    other_publisher_at: float = 0.0
    haproxy_version: str = ""
    style: str = ""
    notes: tuple[str, ...] = ()  # what the host could not do, each one word
    window_ms: int = 0  # for which the drop window was open
    old_workers: int | None = None
    servers_up: int | None = None
    servers_down: int | None = None
    down: str = ""
    haproxy: HAProxy = HAProxy.UNKNOWN  # at the end of the run
    backends: tuple[BackendServers, ...] | None = None
    more_backends: int = 0  # than those
    watched: tuple[Watched, ...] = ()
    # Of a check: what an apply would end as, how many lines the diff has, and how many of them follow the marker.
    would: str = ""
    diff_lines: int = 0
    diff_shown: int = 0
    unsafe: tuple[str, ...] = ()  # keywords of the live file that have to be allowed


@dataclass(frozen=True, slots=True)
class _Step:
    """What Run Command shows of one step of the document on one host."""

    status: str
    output: str

    @property
    def is_final(self) -> bool:
        """Whether the step is over and its agent said so.

        An agent sends what each step said and the final status apart, in any order; lost ones come minutes later.
        """
        return self.status in FINAL

    @property
    def is_mute(self) -> bool:
        """Whether the step printed something that has not arrived."""
        return self.status in SPEAKING and not self.output


@dataclass(frozen=True, slots=True)
class _Invocation:
    """What Run Command shows of a command on one host."""

    instance_id: str
    status: str
    status_details: str  # letters only, small: the service spells it in several ways
    trace: str
    # Those that the service lists, by the reason where one fails.
    downloads: Mapping[str, _Step]
    apply: _Step

    @property
    def is_final(self) -> bool:
        """Whether the command is over there."""
        return self.status in FINAL

    @property
    def steps(self) -> tuple[_Step, ...]:
        """Those that the service lists, and the last one."""
        return (*self.downloads.values(), self.apply)

    @property
    def has_no_step(self) -> bool:
        """Whether no step is known to have ended."""
        return not any(step.is_final for step in self.steps)

    @property
    def is_silent(self) -> bool:
        """Whether what the host said may still be on its way."""
        if self.status_details in STEPLESS and self.has_no_step:
            return False
        has_all = self.downloads and all(step.is_final for step in self.steps)
        return self.apply.is_mute or not has_all

    @property
    def awaits_download(self) -> bool:
        """Whether no step has begun, as far as it shows, but those that download."""
        has_config = self.downloads and all(
            step.is_final for step in self.downloads.values()
        )
        return not (has_config or self.apply.is_final)

    @property
    def failed_download(self) -> tuple[str, _Step] | None:
        """Reason and step of the download that failed, after which nothing was run."""
        failed = (each for each in self.downloads.items() if each[1].status == "Failed")
        return next(failed, None)


def reports_of(invocations: Iterable[Mapping[str, Any]]) -> tuple[Report, ...]:
    """A report of each invocation that is over, or whose apply step is; none for those still under way.

    Of what one says nothing is taken for granted but whom it is about.
    """
    reports = map(_report, map(_parse, invocations))
    return tuple(report for report in reports if report)


def awaits_download(invocation: Mapping[str, Any]) -> bool:
    """Whether a command that is in progress may not have got beyond its downloads, by what the service shows."""
    return _parse(invocation).awaits_download


def _parse(raw: Mapping[str, Any]) -> _Invocation:
    plugins = raw.get("CommandPlugins")
    listed = plugins if isinstance(plugins, list) else []
    steps = {
        _text(plugin.get("Name")): plugin
        for plugin in listed
        if isinstance(plugin, Mapping)
    }
    status = _text(raw.get("Status"))
    details = _text(raw.get("StatusDetails")) or status
    return _Invocation(
        instance_id=raw["InstanceId"],
        status=status,
        status_details=re.sub(r"[^a-z]", "", details.lower()),
        trace=_text(raw.get("TraceOutput")),
        downloads={
            reason: _parse_step(steps[name])
            for name, reason in DOWNLOADS.items()
            if name in steps
        },
        apply=_parse_step(steps.get(APPLY_STEP, {})),
    )


def _parse_step(raw: Mapping[str, Any]) -> _Step:
    return _Step(
        status=_text(raw.get("Status")),
        output=_text(raw.get("Output")),
    )


def _report(invocation: _Invocation) -> Report | None:
    marker = parse_marker(invocation.apply.output)
    if marker and (invocation.is_final or invocation.apply.is_final):
        return _reported(invocation.instance_id, marker)
    if invocation.is_final:
        return _unreported(invocation)
    return None


def _unreported(invocation: _Invocation) -> Report:
    """What Run Command itself says where the host said nothing."""
    if invocation.failed_download:
        reason, step = invocation.failed_download
        detail = _detail(step.output)
        if WORKER_DIED in step.output:
            return Report(invocation.instance_id, Outcome.UNKNOWN, AGENT_DIED, detail)
        return Report(invocation.instance_id, Outcome.FAILED, reason, detail)
    details = invocation.status_details
    is_rejected = details == "failed" and invocation.has_no_step
    otherwise = (
        (Outcome.UNKNOWN, NO_STEP) if is_rejected else (Outcome.FAILED, "no-marker")
    )
    outcome, reason = UNREPORTED.get(details, otherwise)
    return Report(
        instance_id=invocation.instance_id,
        outcome=outcome,
        reason=reason,
        detail=_detail(invocation.apply.output or invocation.trace),
        is_silent=invocation.is_silent,
    )


def _reported(instance_id: str, marker: Mapping[str, Any]) -> Report:
    """What the host said."""
    reason = _short(marker.get("reason"))
    outcome, would = Outcome(marker["outcome"]), _text(marker.get("would"))
    return Report(
        instance_id=instance_id,
        outcome=HOST_DENIALS.get((outcome, reason), outcome),
        reason=reason,
        detail=_detail(marker.get("detail")),
        is_heard=True,
        installed=marker["md5_after"],
        running=marker["running_md5"],
        backup=_short(marker.get("backup")),
        method=_short(marker.get("method")),
        publisher=_short(marker["publisher"]) if "publisher" in marker else None,
        other_publisher=_short(marker.get("other_publisher")),
        other_publisher_at=float(_whole(marker.get("other_publisher_at")) or 0),
        haproxy_version=_short(marker.get("haproxy_version")),
        style=_short(marker.get("style")),
        notes=_notes(marker.get("notes")),
        window_ms=_whole(marker.get("window_ms")) or 0,
        old_workers=_whole(marker.get("old_workers")),
        servers_up=_whole(marker.get("servers_up")),
        servers_down=_whole(marker.get("servers_down")),
        down=_short(marker.get("down")),
        watched=_watched(marker.get("watched")),
        would=would if would in WOULD else "",
        diff_lines=_whole(marker.get("diff_lines")) or 0,
        diff_shown=_whole(marker.get("diff_shown")) or 0,
        unsafe=_unsafe(marker.get("unsafe")),
        **_serving(marker),
    )


def _serving(marker: Mapping[str, Any]) -> dict[str, Any]:
    """How HAProxy is there and which servers it has, where all that is said of it has the promised shape."""
    told = {"haproxy": HAProxy.read(_text(marker.get("haproxy")))}
    backends = _backends(str(marker.get("backends")))
    more = _whole(marker.get("more_backends", 0))
    if None in (backends, more):
        return told
    return told | {"backends": backends, "more_backends": more}


def _watched(value: object) -> tuple[Watched, ...]:
    """What the host said of each endpoint; nothing unless all of it is as promised."""
    text = _text(value)
    if ALL_WATCHED.fullmatch(text) is None:
        return ()
    return tuple(map(_watched_word, WATCHED.findall(text)))


def _watched_word(word: tuple[str, str]) -> Watched:
    state, connections = word
    return Watched(state, None if connections == "?" else int(connections))


def _backends(text: str) -> tuple[BackendServers, ...] | None:
    """What the host named, each once; None unless all of it is as promised."""
    if BACKENDS.fullmatch(text) is None:
        return None
    found = tuple(map(_backend, BACKEND.findall(text)))
    names = {each.name for each in found}
    return found if len(names) == len(found) else None


def _backend(words: tuple[str, str, str]) -> BackendServers:
    name, up, down = words
    return BackendServers(name, int(up), int(down))


def parse_marker(output: str) -> Mapping[str, Any] | None:
    """The JSON of the marker, if the first line is one whose outcome, fence and MD5s have the promised shape."""
    first = output.partition("\n")[0]
    if not first.startswith(MARKER):
        return None
    try:
        marker = json.loads(first.removeprefix(MARKER))
    except ValueError:
        return None
    if isinstance(marker, dict) and _is_sound(marker):
        return marker
    return None


def following(output: str, shown: int) -> tuple[str, ...]:
    """The first lines behind the marker's, at most so many, each whole: an output may be cut anywhere."""
    return tuple(_text(output).split("\n")[1:-1][:shown])


def _is_sound(marker: Mapping[str, Any]) -> bool:
    digests = (marker.get("md5_after"), marker.get("running_md5"))
    outcome = marker.get("outcome")
    is_outcome = isinstance(outcome, str) and outcome in HOST_OUTCOMES
    has_fence = type(marker.get("generation")) is int
    return is_outcome and has_fence and all(map(_is_digest, digests))


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and MD5.fullmatch(value) is not None


def _text(value: object) -> str:
    """What the service or a host says, as far as it is text at all; empty where it says nothing."""
    # An escape of JSON can be half a character, and no answer of ours could be sent with it.
    return str(value or "").encode("utf-8", "replace").decode()


def _notes(value: object) -> tuple[str, ...]:
    """Those that fit into what a host may say; what is no word of its kind is no note."""
    said = _text(value) if isinstance(value, str) else ""
    whole = said[: NOTES_LENGTH + 1].rpartition(" ")[0]
    return tuple(NOTE.findall(whole if len(said) > NOTES_LENGTH else said))


def _unsafe(value: object) -> tuple[str, ...]:
    """The keywords that a host names; none unless all of it is as promised."""
    said = _text(value)
    return tuple(said.split(" ")) if UNSAFE.fullmatch(said) else ()


def _whole(value: object) -> int | None:
    """A whole number of a size that a host can mean; None for anything else."""
    if type(value) is int and 0 <= value < 1 << 53:
        return value
    return None


def _detail(value: object) -> str:
    """Words of a tool, which may quote a line of the config."""
    return _short(masked_alert(_text(value)))


def _short(value: object) -> str:
    return _text(value)[:DETAIL_LENGTH]
