"""What an operator's action would do, and what came of it."""

from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Group

from haproxy_ec2_sync.answers import Fields, Names, names
from haproxy_ec2_sync.views.plan import plan
from haproxy_ec2_sync.views.status import headline
from haproxy_ec2_sync.views.words import labelled


def planned(answer: Any) -> Group:
    """The plan, and the proxies that would be taken from other stacks."""
    fields = Fields.of(answer)
    known = names(fields)
    takes = (
        labelled(
            "taken", f"{known.listed(of.texts('instances'))} from {stack}", "yellow"
        )
        for stack, of in fields.items("publishers")
        if not of.values.get("ours")
    )
    return Group(plan(answer), *takes)


def acted(answer: Any) -> Group:
    """What was published, who got a command, what keeps the rest, and how all is."""
    fields = Fields.of(answer)
    known = names(fields)
    parts = (
        labelled("generation", _generation(fields)),
        labelled("commands", "; ".join(_commands(fields, known)) or "none"),
        *(
            labelled(label, words, "yellow")
            for label, of in KEPT
            if (words := of(fields, known))
        ),
    )
    return Group(headline(answer), *parts)


def _generation(fields: Fields) -> str:
    number = fields.count("generation")
    if not number:
        return "none, nothing was ever published"
    fate = (
        "published now" if fields.values.get("published") else "the config is as before"
    )
    return f"{number}, {fate}"


def _commands(fields: Fields, known: Names) -> Iterator[str]:
    for command in fields.many("commands"):
        yield f"{command.text('purpose')} to {known.listed(command.texts('targets'))}"


def _held(fields: Fields, known: Names) -> str:
    hold = fields.fields("hold")
    if not hold.values:
        return ""
    missing = tuple(key for key, _ in hold.items("missing"))
    who = known.listed(missing) or "the pool"
    return f"{who} ({hold.text('reason')}), ends {hold.text('ends')}"


def _frozen(fields: Fields, _known: Names) -> str:
    freeze = fields.fields("freeze")
    if not freeze.values:
        return ""
    until = freeze.text("until_iso") or "unfreeze"
    return f"until {until}: {freeze.text('reason')}"


def _unreachable(fields: Fields, known: Names) -> str:
    return known.listed(fields.texts("missing"))


def _template_error(fields: Fields, _known: Names) -> str:
    return fields.text("template_error")


def _unheard(fields: Fields, known: Names) -> str:
    """Of the answer of `unfreeze`: proxies that have not said yet who published to them."""
    note = fields.text("publishers_note")
    return note or known.listed(fields.texts("unheard"))


KEPT: tuple[tuple[str, Callable[[Fields, Names], str]], ...] = (
    ("held", _held),
    ("frozen", _frozen),
    ("template error", _template_error),
    ("unreachable", _unreachable),
    ("not heard yet", _unheard),
)
"""What keeps something, by its label; empty where nothing does."""
