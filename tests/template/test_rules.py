"""The template keeps every rule, and of every seeded fault the rule complains that is there for it."""

import json

import pytest

from tests.template import rules
from tests.template.allowed import CONDITIONS
from tests.template.faults import FAULTS
from tests.template.rules import RULES, SOURCE_RULES, Rule, SourceRule
from tests.template.stack import Stack
from tests.template.translate import Template, translate

NAMES = {rule.__name__ for rule in (*RULES, *SOURCE_RULES)}


@pytest.fixture(scope="session")
def each(source: Template) -> list[Stack]:
    """The stack with defaults, the one elsewhere in which every parameter is another, and those with one list alone."""
    return list(rules.stacks(translate(source)))


@pytest.mark.fault("F03")
@pytest.mark.fault("F06")
@pytest.mark.fault("F07")
@pytest.mark.fault("F52")
@pytest.mark.fault("F57")
@pytest.mark.fault("F59")
@pytest.mark.fault("F64")
@pytest.mark.fault("F96")
@pytest.mark.fault("F97")
@pytest.mark.fault("F98")
@pytest.mark.fault("F99")
@pytest.mark.fault("F100")
@pytest.mark.fault("F178")
@pytest.mark.fault("F183")
@pytest.mark.fault("F270")
@pytest.mark.fault("F294")
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_stack_keeps(rule: Rule, each: list[Stack]) -> None:
    """Deployed anywhere with any parameters, it gives the rule nothing to complain about."""
    assert [list(rule(stack)) for stack in each] == [[]] * (2 + len(CONDITIONS))


@pytest.mark.parametrize("rule", SOURCE_RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps(rule: SourceRule, source: Template) -> None:
    """And what the transform hides."""
    assert list(rule(source)) == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_seeded_fault_is_caught(name: str, source: Template) -> None:
    """By its rule, in words that say what is wrong: not by chance, and not because the fault changed nothing."""
    fault = FAULTS[name]
    faulty = json.loads(json.dumps(source))
    fault.plant(faulty)
    assert faulty != source
    said = list(
        rules.source_problems(
            faulty,
            [each for each in RULES if each.__name__ == fault.rule],
            [each for each in SOURCE_RULES if each.__name__ == fault.rule],
        )
    )
    expected = f"{fault.rule}: "
    assert any(each.startswith(expected) and fault.words in each for each in said), said


def test_seeded_faults_are_many() -> None:
    """No fewer than they were, and of each rule one at least."""
    assert len(FAULTS) >= 310
    assert {fault.rule for fault in FAULTS.values()} == {*NAMES, "no stack"}
