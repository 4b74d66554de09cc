"""What commands that change something have in common: they may ask first, and may wait for what comes of it."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Self, TypeVar

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from haproxy_ec2_sync import waiting
from haproxy_ec2_sync.answers import Fields
from haproxy_ec2_sync.desk import Desk
from haproxy_ec2_sync.errors import Failed, one_line
from haproxy_ec2_sync.function import Answer
from haproxy_ec2_sync.parameters import Finite
from haproxy_ec2_sync.streams import screen
from haproxy_ec2_sync.views import acted
from haproxy_ec2_sync.waiting import TIMEOUT_SECONDS, Goal, Outcome, Wait

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

HEALTHY = frozenset({"healthy"})
ACCEPTABLE = HEALTHY | {"attention"}
ESSENCE_OF_PLAN = ("servers", "diff", "verdict", "publishers")
KINDS = ("added", "changed", "removed")

YES = click.option("--yes", "-y", "is_yes", is_flag=True, help="Do not ask first.")
REASON = click.option("--reason", help="Why, for the history and for colleagues.")
MINUTES = click.option(
    "--minutes",
    type=Finite(min=0, min_open=True),
    metavar="MINUTES",
    default=60,
    show_default=True,
    help="How long the freeze lasts; it ends by itself.",
)
ADOPT = click.option(
    "--adopt",
    is_flag=True,
    help="Take the proxies that are another stack's; asks first.",
)


def timeout_option(
    seconds: float, help_: str, *names: str
) -> Callable[[Decorated], Decorated]:
    """The option --timeout of a command that waits, also under these names."""
    return click.option(
        "--timeout",
        *names,
        "timeout",
        type=Finite(min=0),
        default=seconds,
        show_default=True,
        metavar="SECONDS",
        help=help_,
    )


TIMEOUT = timeout_option(TIMEOUT_SECONDS, "How long to wait.")
ALLOW_ATTENTION = click.option(
    "--allow-attention",
    is_flag=True,
    help="Be content with the health `attention`, too.",
)
WAIT = click.option(
    "--wait",
    "is_waiting",
    is_flag=True,
    help="Then wait until all is synchronised and healthy.",
)


def waits(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """A command that takes the options of waiting, and gets the goal; None, if nobody wants to wait."""

    @wraps(command)
    def waiting_command(
        *arguments: Any,
        is_waiting: bool,
        timeout: float,
        allow_attention: bool,
        **given: Any,
    ) -> None:
        goal = wanted(timeout, allow_attention=allow_attention)
        command(*arguments, goal=goal if is_waiting else None, **given)

    for option in (ALLOW_ATTENTION, TIMEOUT, WAIT):
        waiting_command = option(waiting_command)
    return waiting_command


def wanted(timeout: float, *, allow_attention: bool) -> Goal:
    """What the options say."""
    return Goal(ACCEPTABLE if allow_attention else HEALTHY, timeout=timeout)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that somebody gave."""
    missing = (None, False)  # 0 is a number that the function judges
    return {
        name: value
        for name, value in options.items()
        if not any(value is each for each in missing)
    }


def only(request: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Some of its options, as far as they are given."""
    return {name: request[name] for name in names if name in request}


def notes() -> Console:
    """Where a person is told what is no answer: previews, progress."""
    return screen(is_error=True)


@dataclass(frozen=True, slots=True)
class Preview:
    """What somebody is shown before they say yes; `essence` are the keys of the answer that say what would happen."""

    look: Callable[[], Answer]
    view: Callable[[Answer], RenderableType]
    essence: tuple[str, ...]

    def agreed(self, question: str) -> Answer:
        """Show it and ask. `Failed` for a no, without a terminal, and if it is another one by the time of the yes."""
        check_terminal()
        seen = self.look()
        notes().print(self.view(seen))
        if not click.confirm(question, err=True):
            raise Failed("nothing was done")
        if self._essence(self.look()) != self._essence(seen):
            raise Failed(
                "meanwhile something changed, and this is no longer what you saw: nothing was done; look again"
            )
        return seen

    def _essence(self, answer: Answer) -> Mapping[str, Any]:
        return {key: answer.get(key) for key in self.essence}


def check_terminal() -> None:
    """`Failed` if there is nobody to ask."""
    if not (sys.stdin and sys.stdin.isatty()):
        raise Failed("this asks first, and here is no terminal to ask at: give --yes")


def plan(desk: Desk, request: Mapping[str, Any]) -> Preview:
    """What a look with these options would publish, and whose proxies it would take."""

    def look() -> Answer:
        answer = desk.ask("plan", **only(request, "allow_mass_removal"))
        return _with_owners(desk, answer) if "adopt" in request else answer

    return Preview(look, acted.planned, ESSENCE_OF_PLAN)


def _with_owners(desk: Desk, answer: Answer) -> Answer:
    """The plan, and which stack has which proxies."""
    status = desk.ask("status")
    known = status.get("instances", {}) | answer.get("instances", {})
    return answer | {"publishers": status.get("publishers"), "instances": known}


def compare(desk: Desk, plan_seen: Answer | None, answer: Answer) -> None:
    """Say so if what was published, in the moment after the second look, is not what somebody had seen."""
    if plan_seen is None or not answer.get("published"):
        return
    try:
        status = desk.ask("status")
    except Exception as error:  # noqa: BLE001 # what was asked for is done, whoever fails now
        warn(f"whether it is what you saw is not known, see history: {one_line(error)}")
        return
    warn(_another(Fields.of(plan_seen).fields("servers"), Fields.of(status)))


def _another(seen: Fields, status: Fields) -> str:
    """In words, if the newest publication is not this one."""
    published = next(iter(status.many("history")), Fields({}))
    is_same = all(_is_as_seen(published, seen, kind) for kind in KINDS)
    return (
        "" if is_same else "what was published is not what you saw before: see history"
    )


def _is_as_seen(published: Fields, seen: Fields, kind: str) -> bool:
    """The history names some of the servers, and counts the others."""
    named, shown = set(published.texts(kind)), set(seen.texts(kind))
    return named <= shown and len(named) + published.count(f"more_{kind}") == len(shown)


def warn(words: str) -> None:
    """What somebody should know who has the answer already."""
    if words:
        notes().print(Text(words, "yellow"))


def wait(desk: Desk, goal: Goal, looked_at: float | None = None) -> Outcome:
    """Wait, and show on the standard error stream how far it is and how it ended."""
    with Progress() as shown:

        def told(what: Answer | str) -> None:
            shown.told(what if isinstance(what, str) else _so_far(what, goal))

        outcome = Wait(desk.ask, goal, told, looked_at).run()
    warn(waiting.failures(outcome.troubles))
    return outcome


def _so_far(status: Answer, goal: Goal) -> str:
    headline = Fields.of(status).text("headline")
    return f"{waiting.progress(status, goal)}: {headline}"


class Progress:
    """How far a wait is: a line that changes on a terminal, a line for each change elsewhere."""

    def __init__(self) -> None:
        self.console = notes()
        self.said = ""
        self.live = Live(console=self.console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        """The terminal's line begins."""
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """And goes."""
        self.live.stop()

    def told(self, words: str) -> None:
        """How far it is, or what went wrong."""
        if self.console.is_terminal:
            self.live.update(Text(words), refresh=True)
        elif words != self.said:
            self.console.print(Text(words))
        self.said = words
