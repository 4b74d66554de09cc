"""What `tests/oracle` cannot compare: filters outside ansible-core, repeatable answers, containers seen by Python."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.config.ansible import passwords
from haproxy_sync.config.ansible.engine import Engine
from haproxy_sync.config.ansible.lazy import LazyDict, LazyList
from haproxy_sync.errors import TemplateError


def render(template: str, **variables: Any) -> str:
    """The text of a template with ready values."""
    return Engine("t.j2", {"t.j2": template}).render(variables)


@pytest.mark.fault("F137")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("'10.0.0.1' | ipaddr('nothing')", r"ipaddr\('nothing'\) is not known: .*, cidr,"),
        ("'10.0.0.1' | ipaddr('peer')", "is no network"),
        ("1.5 | ipaddr", "takes text, a number or a list, not 1.5"),
        ("'10.0.0.0/24' | ipsubnet(20)", "10.0.0.0/24 is smaller"),
        ("'10.0.0.0/24' | ipsubnet(20, 0)", "10.0.0.0/24 is smaller"),
        ("'::1' | ipmath(-2)", "there is no address -2 after ::1"),
        ("'a' | password_hash('sha512')", "needs a salt: .* would differ in every run"),
        ("'a' | password_hash('bcrypt', 'salt')", "knows sha256 and sha512, not 'bcrypt'"),
        ("'a' | password_hash('sha512', 'no salt!')", "a salt of 1 to 16 letters"),
        ("'10 parsecs' | human_to_bytes", "knows B, K, M, .*, not 'parsecs'"),
        ("'\xe9'.encode('latin-1') | regex_replace('a', 'b')", "can't decode byte 0xe9"),
        ("lookup('template', 'nowhere.j2')", "there is no template nowhere.j2"),
        ("lookup('template', 't.j2', colour='red')", "has no option colour"),
    ],
)  # fmt: skip
def test_what_a_filter_refuses(call: str, message: str) -> None:
    """One line that says what is wrong, and what there is."""
    with pytest.raises(TemplateError, match=rf"^t\.j2:2: .*{message}"):
        render("\n{{ " + call + " }}")


@pytest.mark.fault("F137")
def test_half_a_million_rounds_are_counted_once() -> None:
    """A config is rendered at least twice, and for each proxy."""
    call = "'a' | password_hash('sha512', 'pepper', rounds=1235)"
    rendered = render("{{ " + call + " }}")
    (key,) = (key for key in passwords.known() if key[3] == 1235)
    passwords.remember({key: "as it was"})
    assert render("{{ " + call + " }}") == "as it was"
    passwords.remember({key: rendered})


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("['b', 'a'] | union(['c', 'a'])", "['b', 'a', 'c']"),
        ("['b', 'a', 'b'] | intersect(['a', 'b'])", "['b', 'a']"),
        ("['b', 'a', 'c'] | difference(['a'])", "['b', 'c']"),
        ("['b', 'a'] | symmetric_difference(['a', 'c'])", "['b', 'c']"),
    ],
)
def test_sets_keep_their_order(expression: str, result: str) -> None:
    """Ansible's order depends on the hash seed of its process; here it is the same in every run."""
    assert render("{{ " + expression + " }}") == result


def test_a_broken_filter_argument_says_what_is_wrong() -> None:
    """An error of a filter carries the line of the template."""
    for call in (
        "{} | comment('bash')",
        "'a' | regex_search('a', 'b')",
        "[1] | combine({})",
        "'1.x' is version('2', 'strict')",
    ):
        with pytest.raises(TemplateError, match=r"t\.j2:2: "):
            render("\n{{ " + call + " }}")


def _json_like() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
    )


def _lazy(value: Any) -> Any:
    def show(raw: Any, path: str) -> Any:
        if isinstance(raw, dict):
            return LazyDict(raw, show, path)
        return LazyList(raw, show, path) if isinstance(raw, list) else raw

    return show(value, "value")


@given(_json_like())
def test_lazy_containers_look_like_what_they_hold(value: Any) -> None:
    """However Python reads them: printed, compared, copied, iterated, as JSON."""
    for read in (repr, str, _plain, lambda v: json.loads(json.dumps(_plain(v)))):
        assert read(_lazy(value)) == read(value)
    assert _lazy(value) == value
    assert value == _lazy(value)
    if isinstance(value, list):
        assert list(reversed(_lazy(value))) == value[::-1]
        assert _lazy(value) + value == value + _lazy(value) == value + value
        assert [item in _lazy(value) for item in value] == [True] * len(value)
        assert tuple(_lazy(value)) == tuple(value)
    if isinstance(value, dict):
        assert dict(_lazy(value)) == {**_lazy(value)} == value
        assert list(_lazy(value).values()) == list(value.values())
        assert _lazy(value) | {"k": 1} == value | {"k": 1}
        assert {"k": 1} | _lazy(value) == {"k": 1} | value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return (
        [_plain(item) for item in value]
        if isinstance(value, list)
        else copy.copy(value)
    )


def test_only_what_is_read_is_rendered() -> None:
    """One item of a container costs nothing for its neighbours."""
    shown: list[str] = []

    def show(raw: Any, path: str) -> Any:
        shown.append(path)
        return raw

    values = LazyDict({"a": 1, "b": 2}, show, "d")
    assert values.get("b") == values["b"] == 2
    assert values.pop("b") == 2
    assert shown == ["d.b"]
    numbers = LazyList([1, 2, 3], show, "l")
    assert numbers[-1] == 3
    numbers.append(4)
    assert shown == ["d.b", "l[-1]"]
    assert numbers == [1, 2, 3, 4]
