"""What nobody promised not to send: JSON of any shape, texts with syntax in them, numbers that are none."""

from typing import Any

from hypothesis import strategies as st

PIECES = st.sampled_from(
    [
        "\n", "\r", " ", "#", '"', "'", "\\", "$", "${HOME}", "{{ 7*7 }}", "{% raw %}", "{#", "#}", "%[src]", "%", "\0",
        "server x 1.2.3.4:5", "a", "\u2028", "é", "\ud800", "../", "$(id)", "`id`", ";", "\x1b[0m", "i-0a1b2c3d",
        "10.0.0.1",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=6).map("".join) | st.text(max_size=30)
NUMBERS = (
    st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | st.sampled_from([1e308, -0.0, 2**63, 10**400, -1])
)
PLAIN = st.none() | st.booleans() | NUMBERS | TEXTS
JSON: st.SearchStrategy[Any] = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """The value with odd ones in some places, and some places gone."""
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        changed = dict(value)
        for key in draw(st.lists(st.sampled_from(sorted(value)), max_size=2)):
            if draw(st.integers(0, 3)):
                changed[key] = draw(mutated(value[key]))
            else:
                changed.pop(key, None)
        return changed
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(mutated(value[at])), *value[at + 1 :]]
    return draw(JSON)
