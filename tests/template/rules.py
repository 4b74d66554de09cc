"""Every rule that the template keeps, in one list: nothing to complain about is the template as it should be."""

import re
from collections.abc import Callable, Iterable, Iterator

from moto.events.exceptions import InvalidEventPatternException
from samtranslator.model.exceptions import InvalidDocumentException

from tests.template import access_checks as access
from tests.template import allowed
from tests.template import document_checks as document
from tests.template import event_checks as events
from tests.template import function_checks as function
from tests.template import parameter_checks as parameters
from tests.template import shape_checks as shape
from tests.template import wiring_checks as wiring
from tests.template.parameter_values import GOOD
from tests.template.stack import PSEUDO, Stack, placed, pseudo
from tests.template.translate import Template, translate

type Rule = Callable[[Stack], Iterator[str]]
type SourceRule = Callable[[Template], Iterator[str]]

RULES: tuple[Rule, ...] = (
    # Nothing is there that is not listed.
    shape.sections_are_listed,
    shape.resources_are_listed,
    shape.attributes_are_listed,
    shape.properties_are_listed,
    shape.outputs_are_listed,
    shape.findings_are_listed,
    shape.names_are_taken_once,
    shape.descriptions_are_short,
    parameters.parameters_are_listed,
    access.policies_grant_what_is_listed,
    access.policies_are_of_one_version,
    access.policies_hang_where_they_should,
    # What is listed means what it should.
    parameters.parameters_take_what_they_should,
    parameters.parameters_take_no_strange_letter,
    parameters.defaults_are_the_codes,
    parameters.defaults_are_careful,
    parameters.contradictions_are_refused,
    parameters.companions_come_together,
    parameters.conditions_ask_for_their_parameters,
    function.code_is_ours,
    function.function_has_its_measures,
    function.environment_is_what_settings_read,
    wiring.queue_outlasts_function,
    wiring.only_the_queue_invokes,
    wiring.targets_lose_nothing,
    wiring.a_beat_exists,
    wiring.bucket_is_private,
    wiring.no_config_expires,
    wiring.deletion_is_decided,
    wiring.proxies_can_follow,
    wiring.the_attached_policy_stays,
    wiring.queues_are_encrypted,
    wiring.log_is_kept_and_bounded,
    events.patterns_let_through,
    events.patterns_say_nothing_idle,
    access.only_our_rules_send,
    access.sqs_takes_queue_policies,
    access.nobody_is_everybody,
    access.tls_only,
    access.doctor_finds_the_fences,
    access.function_acts_exactly,
    access.function_reaches_its_own,
    document.content_is_the_file,
    document.updates_in_place,
    document.parameters_are_hardened,
    document.nothing_is_pasted,
    document.script_starts_and_ends,
    document.a_command_names_its_program,
    document.one_program_runs,
    document.steps_stop,
)
# What the transform hides.
SOURCE_RULES: tuple[SourceRule, ...] = (
    shape.source_is_listed,
    function.build_is_of_one_kind,
    function.document_is_the_file,
)

ELSEWHERE = pseudo("aws-cn", "cn-north-1", "210987654321", "Edge-Production")
"""Another stack, account and partition: what is written out instead of referred to is wrong in one of both."""


def others() -> dict[str, str]:
    """For each parameter another value than its default."""
    return {name: values[1] for name, values in GOOD.items()}


def stacks(plain: Template) -> Iterator[Stack]:
    """The translated template as it may be deployed.

    With defaults; elsewhere with another value of every parameter; and for each condition with what it asks for, with
    what that cannot be without, and with none of the other lists, all else being called as its parameter is: so each
    pair of conditions is seen with one alone, and no reference to another parameter gives the same.
    """
    yield placed(plain, {"Environment": "staging"}, PSEUDO)
    yield placed(plain, others(), ELSEWHERE)
    named_alike = {name: name for name in GOOD}
    named_alike |= dict.fromkeys(allowed.CONDITIONS.values(), "")
    companions = dict(allowed.COMPANIONS.values())
    for name in allowed.CONDITIONS.values():
        given = {name, companions.get(name, name)}
        yield placed(
            plain, named_alike | {each: others()[each] for each in given}, PSEUDO
        )


def problems(plain: Template, rules: Iterable[Rule] = RULES) -> Iterator[str]:
    """What the rules say of the translated template, each complaint with its rule's name."""
    try:
        for stack in stacks(plain):
            for rule in rules:
                yield from judged(rule, stack)
    except BROKEN as error:
        yield f"no stack: {error!r}"


def source_problems(
    source: Template,
    rules: Iterable[Rule] = RULES,
    source_rules: Iterable[SourceRule] = SOURCE_RULES,
) -> Iterator[str]:
    """What the rules say of the source, and of what the transform makes of it."""
    for rule in source_rules:
        yield from judged(rule, source)
    try:
        plain = translate(source)
    except InvalidDocumentException as error:
        yield f"no template: {error}"
    else:
        yield from problems(plain, rules)


# A reference to nothing, or what is so far from its place that a rule stumbles on it: no stack would come of it.
BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    re.error,
    InvalidEventPatternException,
)


def judged[Judged](
    rule: Callable[[Judged], Iterator[str]], subject: Judged
) -> Iterator[str]:
    """What one rule says, with its name."""
    try:
        yield from (f"{rule.__name__}: {problem}" for problem in rule(subject))
    except BROKEN as error:
        yield f"{rule.__name__}: cannot be judged: {error!r}"
