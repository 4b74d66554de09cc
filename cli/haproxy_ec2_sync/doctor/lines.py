"""What a check says: lines, each of them right, wrong, or not known."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from haproxy_ec2_sync.text import listed

DEPLOY = "somebody changed it by hand: deploy again"
"""What to do about a part of the stack that is not as the template says."""

FEW = 5
"""How many lines a check has at most, and how many names a line has."""


@dataclass(frozen=True, slots=True)
class Line:
    """What was found, and what to do about it. `ok` is None where nobody may say."""

    ok: bool | None
    detail: str
    advice: str = ""


def right(detail: str) -> Line:
    """All is well."""
    return Line(ok=True, detail=detail)


def wrong(detail: str, advice: str) -> Line:
    """Something is not."""
    return Line(ok=False, detail=detail, advice=advice)


def judged(is_right: object, detail: str, advice: str) -> tuple[Line, ...]:
    """One line, which needs the advice where it is not right."""
    return (right(detail) if is_right else wrong(detail, advice),)


def verdict(problems: Iterable[Line], fine: str) -> tuple[Line, ...]:
    """The first few problems, and how many more there are; or that all is well."""
    found = tuple(problems)
    rest = len(found) - FEW
    more = (wrong(f"and {rest} more", "mend these first"),) if rest > 0 else ()
    return (*found[:FEW], *more) or (right(fine),)


def by_trouble(found: Iterable[tuple[str, str, object]]) -> list[Line]:
    """One line for all who have the same trouble: each is what is wrong, what to do, and with whom."""
    names = defaultdict(list)
    for detail, advice, name in found:
        names[detail, advice].append(str(name))
    return [
        wrong(f"{detail}: {some(each)}", advice)
        for (detail, advice), each in names.items()
    ]


def some(names: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    return listed(names, FEW)
