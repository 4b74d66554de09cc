"""No small change of the template stays unnoticed, whether or not somebody thought of it, but for the harmless."""

import json
import re
from collections.abc import Mapping

import pytest

from tests.template import rules
from tests.template.mutants import Mutant, mutants
from tests.template.translate import Template, source, translate

TEXT = "(longer|a star)"
NAME = "(longer|left out)"
READ = "people read it in the console"
PACKED = (
    "`sam package` writes where it put the code; the source rules judge what it packs"
)
HARMLESS: Mapping[str, str] = {
    rf"Description: {TEXT}": READ,
    rf"(Parameters|Outputs)\.\w+\.Description: {TEXT}": READ,
    rf"Resources\.\w+Rule\.Properties\.Description: {TEXT}": READ,
    rf"Resources\.DependencyLayer\w+\.Properties\.Description: {TEXT}": READ,
    rf"Resources\.Reconcile\w+\.Properties\.Description\.Fn::Sub: ({TEXT}|.* (as a star|written out))": READ,
    r"Resources\.ReconcileRole\.Properties\.Description\.Fn::Sub: .* moved to Environment": READ,
    rf"Metadata\.\S+\.Label(: left out|\.default: {TEXT})": READ,
    rf"Parameters\.\w+\.ConstraintDescription: {TEXT}": "people read it when a value is refused",
    r"Parameters\.(BackendPort|MaxLossPercent)\.ConstraintDescription: left out": "the range is named anyway",
    r"Parameters\.(Drain|RolloutSpacing)Seconds\.ConstraintDescription: left out": "the range is named anyway",
    r"Rules\.\w+\.Assertions\.0\.AssertDescription: longer": "the parameters are still named in it",
    r"Resources\.\w+Rule\.Properties\.Targets\.0\.Id: longer": "a name for the only target",
    rf"Resources\.\S+\.Sid: {NAME}": "a statement's name, which nothing refers to",
    r"Resources\.ReconcileRole\.\S+\.PolicyName: longer": "a policy's name",
    rf"Resources\.ConfigBucket\.\S+\.Rules\.\d\.Id: {NAME}": "a lifecycle rule's name",
    r"Resources\.\S+\.skip\.\d\.comment: longer": "more of a reason",
    rf"Resources\.\S+\.(Code|Content)\.S3(Bucket|Key): {TEXT}": PACKED,
    r"Resources\.ReconcileRole\.\S+\.Fn::Sub\.1: joined by a stranger": "a word that the text does not have",
}
"""Mutants that change nothing in the world, each with its reason; all others must be caught."""


OF_FUNCTION = ("Resources", "ReconcileFunction", "Properties")
OF_LAYER = ("Resources", "DependencyLayer")
HIDDEN = (
    ("Transform",),
    (*OF_FUNCTION, "CodeUri"),
    (*OF_FUNCTION, "Events"),
    (*OF_LAYER, "Metadata"),
    (*OF_LAYER, "Properties", "ContentUri"),
    (*OF_LAYER, "Properties", "RetentionPolicy"),
    ("Resources", "ApplyDocument", "Properties", "Content"),
)


@pytest.fixture(scope="module")
def translated() -> Template:
    """The translated template, of which no part is shared with another."""
    plain: Template = json.loads(json.dumps(translate(source())))
    return plain


def place(mutant: Mutant) -> str:
    """What of the template it changes: a resource, or a section."""
    first, second = (*map(str, mutant.path), "", "")[:2]
    return second if first == "Resources" else first


def is_harmless(mutant: Mutant) -> bool:
    """Whether the table has a reason for it."""
    return any(re.fullmatch(each, str(mutant)) for each in HARMLESS)


PLACES = sorted({place(each) for each in mutants(translate(source()))})


@pytest.mark.parametrize("changed", PLACES)
def test_mutants_are_caught(changed: str, translated: Template) -> None:
    """All but exactly those that the table calls harmless."""
    mine = [each for each in mutants(translated) if place(each) == changed]
    alive = {
        str(each)
        for each in mine
        if next(rules.problems(each.of(translated)), None) is None
    }
    assert alive == {str(each) for each in mine if is_harmless(each)}


@pytest.mark.parametrize("part", HIDDEN, ids=".".join)
def test_mutants_of_what_the_transform_hides_are_caught(part: tuple[str, ...]) -> None:
    """Of the source all that the translated template does not show, or shows as something else."""
    written: Template = json.loads(json.dumps(source()))
    mine = [each for each in mutants(written) if each.path[: len(part)] == part]
    assert mine
    alive = [
        str(each)
        for each in mine
        if next(rules.source_problems(each.of(written)), None) is None
    ]
    assert alive == []


def test_mutants_are_many(translated: Template) -> None:
    """The sweep reaches the whole template, and no reason outlives its mutants."""
    every = [str(each) for each in mutants(translated)]
    assert len(every) > 3000
    for pattern in HARMLESS:
        assert any(re.fullmatch(pattern, each) for each in every), pattern
