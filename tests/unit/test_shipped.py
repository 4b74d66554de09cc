"""Whether a deployed document says what this release's own says: values count, and nothing else of the text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.rollout import shipped
from local.cloud.document_text import submitted

TEXT = shipped.document()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
NODES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
    ),
    max_leaves=9,
)
DOCUMENTS = st.dictionaries(st.text(max_size=3), NODES)


def reordered(node: Any) -> Any:
    """The same with each object's keys in the other direction."""
    if isinstance(node, dict):
        return {key: reordered(node[key]) for key in reversed(node)}
    return [reordered(each) for each in node] if isinstance(node, list) else node


@pytest.mark.fault("F170")
@given(content=DOCUMENTS, indent=st.none() | st.integers(0, 5))
def test_layout_order_and_kind_do_not_count(
    content: dict[str, Any], indent: int | None
) -> None:
    """What CloudFormation makes of a document is the same document."""
    ours = json.dumps(content)
    assert shipped.difference(ours, submitted(content)) == ""
    assert shipped.difference(ours, json.dumps(reordered(content), indent=indent)) == ""


@pytest.mark.fault("F169")
@given(content=DOCUMENTS, other=DOCUMENTS)
def test_every_value_counts(content: dict[str, Any], other: dict[str, Any]) -> None:
    """Two documents are equal if CloudFormation would submit equal content, and not otherwise."""
    is_equal = json.loads(submitted(content)) == json.loads(submitted(other))
    assert (shipped.difference(submitted(content), submitted(other)) == "") == is_equal


def text(change: Any) -> str:
    """The release's document with a change."""
    content = json.loads(TEXT)
    change(content)
    return json.dumps(content)


@pytest.mark.fault("F169")
@pytest.mark.parametrize(
    ("deployed", "how"),
    [
        (
            text(lambda c: c["mainSteps"][2]["inputs"]["runCommand"].append("evil")),
            "differs at mainSteps.2.inputs.runCommand.1",
        ),
        (text(lambda c: c.update({"": "more"})), "differs at "),
        (text(lambda c: c.update(MainSteps=[])), "differs at MainSteps"),
        (text(lambda c: c["mainSteps"].reverse()), "differs at mainSteps.0"),
        (text(lambda c: c["parameters"].pop("Adopt")), "differs at parameters.Adopt"),
        (TEXT.rstrip()[:-1] + ', "mainSteps": []}', "is no JSON"),
        (TEXT[:-9], "is no JSON"),
        ("", "is no JSON"),
        ("[" * 60_000, "is no JSON"),
        ('"text"', "differs at "),
    ],
    ids=range(10),
)
def test_what_is_another_document(deployed: str, how: str) -> None:
    """The first place is named, and none that a parser may read in two ways is taken."""
    assert shipped.difference(TEXT, deployed).startswith(how)
