"""The IAM evaluator by the service's own documentation: the rules and examples of its user guide.

Its pages are "Policy evaluation logic", "Condition operators", "Principal", "NotPrincipal", "Policy variables",
"Single-valued vs. multivalued context keys" and "Global condition context keys".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from local.cloud.conditions import Condition, NotJudged, arn_like, like
from local.cloud.policies import Decision, Document, Request, allows, decide
from local.cloud.principals import ANONYMOUS

OURS, THEIRS = "123456789012", "210987654321"
OBJECT = "arn:aws:s3:::amzn-s3-demo-bucket/data/report.csv"
ROLE = f"arn:aws:iam::{OURS}:role/team/reader"
SESSION = f"arn:aws:sts::{OURS}:assumed-role/writer/carlossalazar"
USER = f"arn:aws:iam::{OURS}:user/martha"
ROOT = f"arn:aws:iam::{OURS}:root"
FEDERATED = f"arn:aws:sts::{OURS}:federated-user/nikki"
FOREIGN = f"arn:aws:iam::{THEIRS}:role/team/reader"
SERVICE = "logging.s3.amazonaws.com"


def policy(effect: str = "Allow", **elements: Any) -> Document:
    """A document of one statement about S3, with elements replaced."""
    statement = {"Effect": effect, "Action": "s3:*", "Resource": "*"} | elements
    return {
        "Version": "2012-10-17",
        "Statement": [{key: each for key, each in statement.items() if each}],
    }


def said(
    who: str,
    identity: Sequence[Document] = (),
    resource: Sequence[Document] = (),
    action: str = "s3:GetObject",
    **context: Any,
) -> Decision:
    """What IAM says of an object of our account; a key's colon is written as two underscores."""
    keys = {name.replace("__", ":"): value for name, value in context.items()}
    return decide(Request(action, OBJECT, keys, who), OURS, identity, resource)


ALL, NONE = policy(), policy("Deny")
TO_ALL = policy(Principal="*")


# Policy evaluation logic.


def test_by_default_all_is_denied() -> None:
    """Implicitly; but for the account's root."""
    assert said(ROLE) is Decision.NOT_ALLOWED
    assert said(USER) is Decision.NOT_ALLOWED
    assert said(ROOT) is Decision.ALLOWED


@pytest.mark.parametrize(
    ("identity", "resource"),
    [
        ([ALL, NONE], []),
        ([NONE, ALL], [TO_ALL]),
        ([ALL], [TO_ALL, policy("Deny", Principal="*")]),
        ([ALL], [policy("Deny", Principal={"AWS": ROLE})]),
        ([ALL], [policy("Deny", Principal={"AWS": OURS})]),
        ([ALL], [policy("Deny", Principal={"AWS": ROOT})]),
    ],
)
def test_an_explicit_deny_wins(
    identity: list[Document], resource: list[Document]
) -> None:
    """Wherever it stands, and whatever allows."""
    assert said(ROLE, identity, resource) is Decision.DENIED


@pytest.mark.parametrize(
    ("principal", "says"),
    [
        ("*", Decision.ALLOWED),
        ({"AWS": "*"}, Decision.ALLOWED),
        ({"AWS": ROLE}, Decision.ALLOWED),
        ({"AWS": [FOREIGN, ROLE]}, Decision.ALLOWED),
        ({"AWS": FOREIGN}, Decision.NOT_ALLOWED),
        ({"Service": SERVICE}, Decision.NOT_ALLOWED),
        # The account may give what it was given.
        ({"AWS": OURS}, Decision.NOT_ALLOWED),
        ({"AWS": ROOT}, Decision.NOT_ALLOWED),
    ],
)
def test_in_one_account_the_resources_policy_is_enough(
    principal: Any, says: Decision
) -> None:
    """If it names who asks; to name the account leaves it to the account's own policies."""
    assert said(ROLE, [], [policy(Principal=principal)]) is says
    assert said(ROLE, [ALL], [policy(Principal=principal)]) is Decision.ALLOWED


@pytest.mark.parametrize(
    ("identity", "resource", "says"),
    [
        ([ALL], [], Decision.NOT_ALLOWED),
        ([], [policy(Principal={"AWS": FOREIGN})], Decision.NOT_ALLOWED),
        ([], [TO_ALL], Decision.NOT_ALLOWED),
        ([ALL], [policy(Principal={"AWS": FOREIGN})], Decision.ALLOWED),
        ([ALL], [policy(Principal={"AWS": THEIRS})], Decision.ALLOWED),
        ([ALL], [policy(Principal={"AWS": OURS})], Decision.NOT_ALLOWED),
        ([NONE], [policy(Principal={"AWS": FOREIGN})], Decision.DENIED),
    ],
)
def test_of_another_account_both_must_allow(
    identity: list[Document], resource: list[Document], says: Decision
) -> None:
    """The account that has the resource, and that of who asks."""
    assert said(FOREIGN, identity, resource) is says


def test_services_and_the_anonymous_have_the_resources_policy_alone() -> None:
    """What names everybody means them, too; what names an account does not."""
    for who in (SERVICE, ANONYMOUS):
        assert said(who, [], [TO_ALL]) is Decision.ALLOWED
        assert said(who) is Decision.NOT_ALLOWED
        assert said(who, [], [policy(Principal={"AWS": OURS})]) is Decision.NOT_ALLOWED
    named = [policy(Principal={"Service": SERVICE})]
    assert said(SERVICE, [], named) is Decision.ALLOWED
    assert said(ANONYMOUS, [], named) is Decision.NOT_ALLOWED


def test_a_root_is_denied_what_is_denied_but_for_the_buckets_policy() -> None:
    """S3 lets the owner's root mend a policy that locks all out."""
    closed = [policy("Deny", Principal="*")]
    assert said(ROOT, [], closed) is Decision.DENIED
    for action in ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"):
        assert said(ROOT, [], closed, action) is Decision.ALLOWED
        assert said(USER, [ALL], closed, action) is Decision.DENIED
        assert said(ROOT.replace(OURS, THEIRS), [], closed, action) is Decision.DENIED


# Who is meant.


def test_a_roles_arn_means_each_of_its_sessions() -> None:
    """A session's own means that one."""
    role = f"arn:aws:iam::{OURS}:role/writer"
    other = SESSION.replace("carlossalazar", "martha")
    for principal, is_other in ((role, True), (SESSION, False)):
        named = [policy(Principal={"AWS": principal})]
        assert said(SESSION, [], named) is Decision.ALLOWED
        assert (said(other, [], named) is Decision.ALLOWED) == is_other


@pytest.mark.parametrize(
    ("who", "arn"),
    [
        (ROLE, ROLE),
        (SESSION, f"arn:aws:iam::{OURS}:role/writer"),
        (USER, USER),
        (ROOT, ROOT),
        (FEDERATED, FEDERATED),
        (SERVICE, None),
        (ANONYMOUS, None),
    ],
)
def test_principal_arn(who: str, arn: str | None) -> None:
    """Of a session it is its role's; services and the anonymous have none, so that a negated condition holds."""
    for operator, named in (("ArnEquals", True), ("ArnNotEquals", False)):
        condition = {operator: {"aws:PrincipalArn": arn or ROLE}}
        denied = policy("Deny", Principal="*", Condition=condition)
        is_denied = said(who, [], [TO_ALL, denied]) is Decision.DENIED
        assert is_denied == (named if arn else not named)


@pytest.mark.parametrize(
    ("spared", "who", "is_denied"),
    [
        ([USER, ROOT], USER, False),
        ([USER, OURS], USER, False),
        # Without the account it is denied, too.
        ([USER], USER, True),
        ([ROOT], USER, True),
        ([USER, ROOT], ROLE, True),
        ([SESSION, f"arn:aws:iam::{OURS}:role/writer", ROOT], SESSION, False),
        ([f"arn:aws:iam::{OURS}:role/writer", ROOT], SESSION, True),
        ([ROOT], ROOT, False),
        ([USER, ROOT], ANONYMOUS, True),
        ([USER, ROOT], SERVICE, True),
    ],
)
def test_not_principal_spares_whose_every_name_it_has(
    spared: list[str],
    who: str,
    is_denied: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """The account's included, and of a session both its own and its role's."""
    denied = policy("Deny", NotPrincipal={"AWS": spared})
    assert (said(who, [], [TO_ALL, denied]) is Decision.DENIED) == is_denied


# Actions and resources.


@pytest.mark.parametrize(
    ("elements", "is_allowed"),
    [
        ({"Action": "S3:getobject"}, True),
        ({"Action": "s3:Get*"}, True),
        ({"Action": "s3:GetObjec?"}, True),
        ({"Action": "s3:GetObject?"}, False),
        ({"Action": "*"}, True),
        ({"Action": "s3:GetObjectVersion"}, False),
        ({"Action": None, "NotAction": "s3:Get*"}, False),
        ({"Action": None, "NotAction": ["s3:Put*", "iam:*"]}, True),
        ({"Resource": "arn:aws:s3:::amzn-s3-demo-bucket/*"}, True),
        ({"Resource": "arn:aws:s3:::amzn-s3-demo-bucket/*.csv"}, True),
        ({"Resource": "arn:aws:s3:::amzn-s3-demo-bucket"}, False),
        ({"Resource": "arn:aws:s3:::amzn-s3-demo-bucket/Data/*"}, False),
        ({"Resource": "arn:aws:s3:*:*:amzn-s3-demo-bucket/*"}, True),
        ({"Resource": f"arn:aws:s3::{OURS}:amzn-s3-demo-bucket/*"}, False),
        ({"Resource": None, "NotResource": "arn:aws:s3:::amzn-s3-demo-bucket/*"}, False),
        ({"Resource": None, "NotResource": "arn:aws:s3:::other/*"}, True),
    ],
)  # fmt: skip
def test_actions_and_resources(
    elements: Mapping[str, Any],
    is_allowed: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """An action's case does not matter, a resource's does; wildcards are any text, or one character."""
    assert (said(ROLE, [policy(**elements)]) is Decision.ALLOWED) == is_allowed


# Conditions.

Y, N = True, False
OPERATORS: list[tuple[str, Any, Any, bool]] = [
    ("StringEquals", "johndoe", "johndoe", Y),
    ("StringEquals", "johndoe", "JohnDoe", N),
    ("StringEquals", ["a", "b"], "b", Y),
    ("StringEquals", "a*", "ab", N),
    ("StringEqualsIgnoreCase", "johndoe", "JohnDoe", Y),
    ("StringLike", "jo*d?e", "johndoe", Y),
    ("StringLike", "jo*d?e", "Johndoe", N),
    ("StringNotEquals", ["a", "b"], "b", N),
    ("StringNotEquals", ["a", "b"], "c", Y),
    ("StringNotEqualsIgnoreCase", "A", "a", N),
    ("StringNotLike", ["a*", "b*"], "bc", N),
    ("StringNotLike", ["a*", "b*"], "cc", Y),
    ("NumericLessThanEquals", "10", "10", Y),
    ("NumericLessThan", "10", "9.5", Y),
    ("NumericLessThan", "10", "10", N),
    ("NumericGreaterThan", "9", "10", Y),
    ("NumericNotEquals", "10", "10.0", N),
    ("DateLessThan", "2026-06-30T00:00:00Z", "2026-06-29T23:59:59Z", Y),
    ("DateGreaterThan", "2026-06-30T00:00:00Z", "2026-06-29T23:59:59Z", N),
    ("DateGreaterThan", "2026-06-30T00:00:00Z", "1782777601", Y),
    ("Bool", "true", "true", Y),
    ("Bool", False, "true", N),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", Y),
    ("IpAddress", "203.0.113.0/24", "203.0.113.9", Y),
    ("IpAddress", ["2001:DB8:1234:5678::/64"], "2001:db8:1234:5679::1", N),
    ("NotIpAddress", "203.0.113.0/24", "203.0.113.9", N),
    ("ArnLike", "arn:aws:iam::*:role/*", ROLE, Y),
    ("ArnEquals", "arn:aws:iam::*:role/*", ROLE, Y),
    ("ArnLike", "arn:aws:iam::*:role/reader", ROLE, N),
    ("ArnLike", "arn:aws:*:role/team/reader:*:*", ROLE, N),
    ("ArnNotLike", ["arn:aws:iam::*:role/*", "arn:aws:iam::*:user/*"], ROLE, N),
    ("ArnNotEquals", ["arn:aws:iam::*:user/*"], ROLE, Y),
]


@pytest.mark.parametrize(("operator", "expected", "actual", "holds"), OPERATORS)
def test_operators(
    operator: str,
    expected: Any,
    actual: str,
    holds: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """Of several values of the policy any one will do; of a negated operator's none may be met."""
    values = expected if isinstance(expected, list) else [expected]
    condition = Condition.read(operator, "aws:userid", values)
    assert condition.holds({"aws:userid": actual}) == holds


def test_a_missing_key_does_not_match() -> None:
    """So that a negated condition holds; with IfExists all hold."""
    for operator, _, _, _ in OPERATORS:
        is_negated = "Not" in operator
        for suffix, holds in (("", is_negated), ("IfExists", True)):
            named = f"{operator}{suffix}"
            assert Condition.read(named, "aws:userid", ["x"]).holds({}) == holds, named


@pytest.mark.parametrize(
    ("expected", "context", "holds"),
    [
        ("true", {}, Y),
        ("true", {"aws:username": "martha"}, N),
        ("false", {}, N),
        ("false", {"aws:username": "martha"}, Y),
        (True, {"aws:TagKeys": []}, Y),
    ],
)
def test_null(
    expected: Any,
    context: Mapping[str, Any],
    holds: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """`true` asks for the key's absence, `false` for its presence with a value."""
    key = next(iter(context), "aws:username")
    assert Condition.read("Null", key, [expected]).holds(context) == holds


@pytest.mark.parametrize(
    ("operator", "actual", "holds"),
    [
        # Of the user guide's tables for the policy's values environment and cost-center.
        ("ForAllValues:StringEquals", ["environment"], Y),
        ("ForAllValues:StringEquals", ["environment", "cost-center"], Y),
        ("ForAllValues:StringEquals", ["environment", "webserver"], N),
        ("ForAllValues:StringEquals", [], Y),
        ("ForAllValues:StringEquals", None, Y),
        ("ForAnyValue:StringEquals", ["webserver", "environment"], Y),
        ("ForAnyValue:StringEquals", ["webserver"], N),
        ("ForAnyValue:StringEquals", [], N),
        ("ForAnyValue:StringEquals", None, N),
        ("ForAllValues:StringNotEquals", ["webserver"], Y),
        ("ForAllValues:StringNotEquals", ["webserver", "environment"], N),
        ("ForAllValues:StringNotEquals", None, Y),
        ("ForAnyValue:StringNotEquals", ["webserver", "environment"], Y),
        ("ForAnyValue:StringNotEquals", ["environment"], N),
        ("ForAnyValue:StringLike", ["x-cost-center"], N),
        ("ForAnyValue:StringLike", "environment", Y),
    ],
)
def test_keys_of_several_values(
    operator: str,
    actual: Any,
    holds: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """All of the request's values, or any; of none all are right, and no one is."""
    wanted = ["environment", "cost-center"]
    context = {} if actual is None else {"aws:TagKeys": actual}
    assert Condition.read(operator, "aws:TagKeys", wanted).holds(context) == holds


def test_all_conditions_must_hold() -> None:
    """Of every operator and every key of it; keys are known in any case."""
    both = {
        "StringEquals": {"AWS:username": "martha", "aws:PrincipalTag/Team": "blue"},
        "IpAddress": {"aws:sourceip": "203.0.113.0/24"},
    }
    known = {"aws:UserName": "martha", "aws:principaltag/team": "blue", "aws:SourceIp": "203.0.113.9"}  # fmt: skip
    asked = Request("s3:GetObject", OBJECT, known)
    assert allows([policy(Condition=both)], asked)
    for key in known:
        other = Request("s3:GetObject", OBJECT, known | {key: "203.0.114.9"})
        assert not allows([policy(Condition=both)], other)


@pytest.mark.parametrize(
    ("pattern", "value", "is_like"),
    [
        ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a/b:c", Y),
        ("arn:*:s3:::bucket/?", "arn:aws-cn:s3:::bucket/a", Y),
        ("arn:aws:s3:::bucket/?", "arn:aws:s3:::bucket/ab", N),
        ("arn:aws:*:*:*:*", "arn:aws:sqs:eu-west-1:123456789012:q", Y),
        ("arn:aws:s*:::bucket", "arn:aws:sqs:eu-west-1:123456789012:bucket", N),
        ("arn:aws:s3:::bucket", "bucket", N),
    ],
)
def test_arns_part_by_part(
    pattern: str,
    value: str,
    is_like: bool,  # noqa: FBT001 # a column of the table
) -> None:
    """Each of the six parts for itself; the last may have colons and slashes."""
    assert arn_like(pattern, value) == is_like


def test_a_policy_without_version_is_an_old_one() -> None:
    """Which has no policy variables, and is judged where it has nothing that looks like one."""
    for document in ({**ALL, "Version": "2008-10-17"}, {"Statement": ALL["Statement"]}):
        assert said(ROLE, [document]) is Decision.ALLOWED


# Policy variables.


def test_policy_variables() -> None:
    """A key's value is text, not a pattern; a key that is missing has the default that the policy gives."""
    home = policy(Resource="arn:aws:s3:::amzn-s3-demo-bucket/${aws:username}/*")
    assert said(USER, [home], aws__username="data") is Decision.ALLOWED
    assert said(USER, [home], aws__username="*") is Decision.NOT_ALLOWED
    default = "arn:aws:s3:::amzn-s3-demo-bucket/${aws:PrincipalTag/team, 'data'}/*"
    assert said(USER, [policy(Resource=default)]) is Decision.ALLOWED
    assert like("a${*}${?}${$}", "a*?$")
    assert not like("a${*}", "ab")
    equal = {"StringEquals": {"aws:userid": "${aws:username}"}}
    known: Any = {"aws__username": "martha", "aws__userid": "martha"}
    assert said(USER, [policy(Condition=equal)], **known) is Decision.ALLOWED
    with pytest.raises(NotJudged, match="aws:username"):
        said(USER, [home])


# What is not known is an error.


@pytest.mark.parametrize(
    "document",
    [
        {**ALL, "Version": "2012-10-18"},
        {**policy(Resource="arn:aws:s3:::${aws:username}"), "Version": "2008-10-17"},
        {"Statement": policy(Resource="arn:aws:s3:::${aws:username}")["Statement"]},
        {**ALL, "Comment": ""},
        policy(Effects="Allow"),
        policy(effect="allow"),
        policy(Action=None),
        policy(Resource=None),
        policy(NotAction="s3:Put*"),
        policy(NotResource="arn:aws:s3:::other"),
        policy(Action="s3"),
        policy(Action="s3:Get Object"),
        policy(Resource="arn:aws:s3:*"),
        policy(Condition={"StringEqual": {"aws:username": "a"}}),
        policy(Condition={"StringEquals": {"aws:usrname": "a"}}),
        policy(Condition={"NullIfExists": {"aws:username": "true"}}),
        policy(Condition={"ForAllValues:StringEqualsIfExists": {"aws:username": "a"}}),
        policy(Condition={"ForSomeValues:StringEquals": {"aws:username": "a"}}),
        policy(Condition={"NumericLessThan": {"aws:PrincipalType": "a"}}),
        policy(Condition={"Bool": {"aws:PrincipalIsAWSService": "no"}}),
        policy(Condition={"ArnLike": {"aws:PrincipalArn": "*"}}),
        policy(Condition={"StringEquals": {"aws:CalledVia": "a"}}),
    ],
)
def test_what_is_not_known_is_an_error(document: Document) -> None:
    """Of a policy, even where the statement would not apply anyway."""
    with pytest.raises(NotJudged):
        said(ROLE, [document], aws__CalledVia=["cloudformation.amazonaws.com"])


@pytest.mark.parametrize(
    "elements",
    [
        {"Principal": {"AWS": "arn:aws:iam::123456789012:role/*"}},
        {"Principal": {"Federated": "cognito-identity.amazonaws.com"}},
        {"Principal": {"AWS": "martha"}},
        {"Principal": "martha"},
        {"NotPrincipal": {"AWS": ROLE}},
        {"NotPrincipal": {"AWS": ROLE}, "Principal": "*"},
    ],
)
def test_a_principal_that_is_not_known_is_an_error(elements: Mapping[str, Any]) -> None:
    """So is NotPrincipal with Allow, which would let in the world."""
    with pytest.raises(NotJudged):
        said(ROLE, [], [policy(**elements)])


def test_a_request_that_is_not_known_is_an_error() -> None:
    """Its principal, its keys, and policies that are judged otherwise."""
    with pytest.raises(NotJudged):
        said("martha", [ALL])
    with pytest.raises(NotJudged):
        said(ROLE, [ALL], aws__usrname="martha")
    with pytest.raises(NotJudged):
        said(ROLE, [TO_ALL])
    with pytest.raises(NotJudged):
        said(ROLE, [ALL], [ALL])
    key = Request("kms:Decrypt", f"arn:aws:kms:eu-west-1:{OURS}:key/a", {}, ROLE)
    with pytest.raises(NotJudged):
        decide(key, OURS, [policy(Action="*")], [policy(Action="*", Principal="*")])
