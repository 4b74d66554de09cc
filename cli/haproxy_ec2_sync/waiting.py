"""Waits until the proxies are synchronised and healthy, whatever goes wrong meanwhile, for as long as was said.

A state from before a change looks as well as one from after it. So the function is made to look at EC2 first, and once
more before its word is believed: EC2's answers are eventually consistent, and show a new tag some seconds late.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from haproxy_ec2_sync import clock
from haproxy_ec2_sync.answers import Fields
from haproxy_ec2_sync.errors import Failed, one_line
from haproxy_ec2_sync.function import Answer, FunctionFailed, Refused
from haproxy_ec2_sync.text import count

POLL_SECONDS = 2.0
MOMENT_SECONDS = 0.05  # less is not worth another question
TIMEOUT_SECONDS = 600.0
CONSISTENT_SECONDS = 5.0
"""After so many EC2 shows what was changed before."""

REASON = "haproxy-ec2-sync wait"
SYNCED = "synced"
LASTING = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "OptInRequired",
        "RequestExpired",
        "ResourceNotFoundException",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
        "ValidationError",
        "ValidationException",
    }
)
"""Errors of AWS that no waiting mends."""

TOO_SOON = (
    "no look was late enough to see a change of before, as EC2 shows a change some "
    f"{CONSISTENT_SECONDS:.0f} s late: give a longer --timeout, or wait --no-sync"
)
OLDER = "this function is older than this command line, and has no word for synchronised: deploy the same release"


@dataclass(frozen=True, slots=True)
class Goal:
    """What is waited for: all synchronised, and as healthy as this."""

    healths: frozenset[str] = frozenset({"healthy"})
    generation: int = 0
    """Of at least this publication."""
    heard_before: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """When each proxy spoke last; it has to speak again."""
    looks: bool = True
    """Whether the function has to look at EC2; else what it knows will do."""
    timeout: float = TIMEOUT_SECONDS

    @property
    def needs_thaw(self) -> bool:
        """Whether it cannot come true in a freeze: nothing is published then, and nobody compares."""
        return self.looks or bool(self.heard_before)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The status in which the wait ended, and what went wrong on the way."""

    status: Answer
    seconds: float
    troubles: tuple[str, ...]


@dataclass
class Wait:
    """One wait; `told` gets the newest status, or in words why there is none."""

    ask: Callable[..., Answer]
    goal: Goal
    told: Callable[[Answer | str], None]
    looked_at: float | None = None
    begin: float = field(init=False)
    believed_from: float = field(init=False)
    """A look before then may not see the change."""
    status: Answer | None = None
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The time runs; EC2 needs its own."""
        self.begin = clock.now()
        self.believed_from = self.begin + CONSISTENT_SECONDS

    def run(self) -> Outcome:
        """Returns when all is as it was to be; `Failed` says how it is instead."""
        if not until(self._is_done, self._fails, self.begin + self.goal.timeout):
            raise Failed(self._too_late())
        seconds = clock.now() - self.begin
        return Outcome(self.status or {}, seconds, tuple(self.troubles))

    def _fails(self, words: str) -> None:
        self.troubles.append(words)
        self.told(words)

    def _is_done(self) -> bool:
        if self._is_look_due():
            now = clock.now()
            self.ask("sync", reason=REASON)
            self.looked_at = now
        self.status = self.ask("status")
        self.told(self.status)
        self._check_freeze(self.status)
        return self._has_seen and is_reached(self.status, self.goal)

    @property
    def _has_seen(self) -> bool:
        """Whether a look was late enough to see all that was there when this began."""
        looked_at = self.looked_at or 0.0
        return not self.goal.looks or looked_at >= self.believed_from

    def _is_look_due(self) -> bool:
        """At the beginning, and when all seems well by a look that came too soon."""
        if self._has_seen or self.looked_at is None:
            return not self._has_seen
        is_time = clock.now() >= self.believed_from
        return is_time and is_reached(self.status or {}, self.goal)

    def _check_freeze(self, status: Answer) -> None:
        """`Failed` for one that does not end in time; a look before its end publishes nothing."""
        freeze = Fields.of(status).fields("freeze")
        if not (self.goal.needs_thaw and freeze.values):
            return
        until = freeze.number("until")
        if until is None or until > self.begin + self.goal.timeout:
            raise Failed(_frozen(freeze))
        self.believed_from = max(self.believed_from, until)
        # Its clock decides, not ours: a look that the function calls frozen has published nothing.
        self.looked_at = 0.0

    def _too_late(self) -> str:
        within = f"within {self.goal.timeout:.0f} s"
        if self.status is None:
            return f"{within} the function gave no status{_counted(self.troubles)}"
        headline = Fields.of(self.status).text("headline")
        why = self._missing(self.status)
        return f"{within} {why}: {headline}{_counted(self.troubles)}"

    def _missing(self, status: Answer) -> str:
        generation = Fields.of(status).count("generation")
        if generation < self.goal.generation:
            return f"generation {self.goal.generation} was not published, but {generation or 'none'}"
        if is_reached(status, self.goal):
            return TOO_SOON
        return f"not synchronised and healthy ({progress(status, self.goal)})"


def until(
    is_done: Callable[[], bool], trouble: Callable[[str], None], deadline: float
) -> bool:
    """Ask until it is done; false: the time is over. `trouble` gets the words of each error that waiting may mend."""
    while not _tried(is_done, trouble):
        left = deadline - clock.now()
        if left < MOMENT_SECONDS:
            return False
        clock.sleep(min(POLL_SECONDS, left))
    return True


def _tried(is_done: Callable[[], bool], trouble: Callable[[str], None]) -> bool:
    try:
        return is_done()
    except Exception as error:
        if not is_passing(error):
            raise
        trouble(one_line(error))
        return False


def is_reached(status: Answer, goal: Goal) -> bool:
    """Whether the function says so in this status; `Failed` if it has no words for it."""
    fields = Fields.of(status)
    if not fields.text("sync"):
        raise Refused(OLDER)
    proxies = list(fields.items("proxies"))
    return (
        fields.text("sync") == SYNCED
        and fields.text("health") in goal.healths
        and fields.count("generation") >= goal.generation
        and all(_has_spoken(key, proxy, goal) for key, proxy in proxies)
    )


def progress(status: Answer, goal: Goal) -> str:
    """`2 of 3 proxies`."""
    proxies = list(Fields.of(status).items("proxies"))
    done = [
        key
        for key, proxy in proxies
        if proxy.text("sync") == SYNCED and _has_spoken(key, proxy, goal)
    ]
    return f"{len(done)} of {count(len(proxies), 'proxy')}"


def heard(status: Answer) -> Mapping[str, float]:
    """When each proxy spoke last."""
    proxies = Fields.of(status).items("proxies")
    return {key: proxy.number("heard_at") or 0.0 for key, proxy in proxies}


def failures(troubles: tuple[str, ...]) -> str:
    """How many questions got no answer, and the last error; empty for none."""
    return _counted(list(troubles)).removeprefix("; ")


def is_passing(error: Exception) -> bool:
    """Whether waiting may mend it: throttling, a deploy under way, a connection that broke."""
    from botocore.exceptions import (  # noqa: PLC0415 # help does without
        ClientError,
        ConnectionError,  # noqa: A004 # botocore's own
        HTTPClientError,
        IncompleteReadError,
    )

    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code", "") not in LASTING
    broken = ConnectionError | HTTPClientError | IncompleteReadError
    return isinstance(error, FunctionFailed | broken)


def _has_spoken(key: str, proxy: Fields, goal: Goal) -> bool:
    """Anew, where that was asked for."""
    before = goal.heard_before.get(key)
    return before is None or (proxy.number("heard_at") or 0.0) > before


def _frozen(freeze: Fields) -> str:
    until = freeze.text("until_iso")
    ends = (
        f"until {until}, which is later than this waits" if until else "until unfreeze"
    )
    return f"frozen {ends} ({freeze.text('reason')}): nothing is published or compared before; unfreeze first"


def _counted(troubles: list[str]) -> str:
    if not troubles:
        return ""
    questions = count(len(troubles), "question")
    return f"; {questions} failed, the last one: {troubles[-1]}"
