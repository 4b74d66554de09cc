"""Who may write to the bucket, by its policy: docs/security.md has what that means."""

from collections.abc import Sequence

from haproxy_ec2_sync.doctor.facts import BucketPolicy
from haproxy_ec2_sync.doctor.lines import Line, judged, some

CONFIGS, TEMPLATES, BUCKET = (
    ("program/*", "configs/*", "state/*"),
    ("templates/*", "vars/*"),
    ("",),
)
"""The keys of each fence, as template.yaml has them."""

PUT_BACK = "somebody changed the bucket's policy: a deploy that changes TemplateWriters or BreakGlass puts it back"


def configs(found: BucketPolicy, role: str, named: Sequence[str]) -> tuple[Line, ...]:
    """Configs, programs and the state are written by the function's role and those that BreakGlass names alone.

    And the latter alone change the bucket, where somebody is named.
    """
    changed = "" if named else "; whom IAM allows may change that (no BreakGlass)"
    fine = f"{some(found[CONFIGS])} may write configs, programs and the state{changed}"
    lacks = [
        _lacks(found[CONFIGS], (role, *named), "configs"),
        _lacks(found[BUCKET], named, "the bucket itself"),
    ]
    return _judged(lacks, fine)


def templates(
    found: BucketPolicy, writers: Sequence[str], named: Sequence[str]
) -> tuple[Line, ...]:
    """Templates and variables are written by those that TemplateWriters names, or by anybody whom IAM allows."""
    spared = found[TEMPLATES]
    anybody = "whom IAM allows may write templates and variables; TemplateWriters would name them (docs/security.md)"
    fine = f"{some(spared)} may write templates and variables" if spared else anybody
    # Break-glass writes them, too, where somebody has to be named for that.
    expected = (*writers, *(named if writers else ()))
    return _judged([_lacks(spared, expected, "templates")], fine)


def _lacks(spared: Sequence[str], expected: Sequence[str], what: str) -> str:
    """What is wrong with a fence; nothing where it spares just these."""
    missing = [arn for arn in expected if arn not in spared]
    others = [arn for arn in spared if arn not in expected]
    if missing:
        return f"the bucket's policy has no fence around {what} that spares {some(missing)}"
    return f"its fence around {what} spares {some(others)}, too" if others else ""


def _judged(lacks: Sequence[str], fine: str) -> tuple[Line, ...]:
    """One line: the first that is wrong, or that all is well."""
    wrong = next(filter(None, lacks), "")
    return judged(not wrong, wrong or fine, PUT_BACK)
