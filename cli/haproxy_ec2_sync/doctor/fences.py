"""Who may write to the bucket, by its policy: docs/security.md has what that means."""

from collections.abc import Sequence

from haproxy_ec2_sync.doctor.facts import BucketPolicy
from haproxy_ec2_sync.doctor.lines import Line, judged, some

CONFIGS, TEMPLATES, BUCKET = (
    "OnlyTheFunctionWrites",
    "OnlyTemplateWritersWrite",
    "OnlyBreakGlassChangesTheBucket",
)
"""The names of its statements, as template.yaml has them."""

PUT_BACK = "somebody changed the bucket's policy: a deploy that changes TemplateWriters or BreakGlass puts it back"


def configs(found: BucketPolicy, role: str, named: Sequence[str]) -> tuple[Line, ...]:
    """Configs, programs and the state are written by the function's role and those that BreakGlass names."""
    missing = [arn for arn in (role, *named) if arn not in found[CONFIGS]]
    changed = (
        "" if found[BUCKET] else "; whom IAM allows may change that (no BreakGlass)"
    )
    fine = f"{some(found[CONFIGS])} may write configs, programs and the state{changed}"
    lacks = (
        f"the bucket's policy has no fence around configs that spares {some(missing)}"
    )
    return judged(not missing, lacks if missing else fine, PUT_BACK)


def templates(found: BucketPolicy, named: Sequence[str]) -> tuple[Line, ...]:
    """Templates and variables are written by those that TemplateWriters names, or by anybody whom IAM allows."""
    spared = found[TEMPLATES]
    missing = [arn for arn in named if arn not in spared]
    anybody = "whom IAM allows may write templates and variables; TemplateWriters would name them (docs/security.md)"
    fine = f"{some(spared)} may write templates and variables" if spared else anybody
    lacks = f"the bucket's policy does not name {some(missing)} of TemplateWriters"
    return judged(not missing, lacks if missing else fine, PUT_BACK)
