"""The variables file: YAML as Ansible reads it, with names that EC2 decides refused by name.

Beside Ansible's tags it has two of ours, `!ssm` and `!secret`: references to values that are kept elsewhere.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from haproxy_sync.config.ansible.raw import (
    Data,
    Reference,
    SortedSet,
    Unreadable,
)
from haproxy_sync.config.facts import reserved
from haproxy_sync.config.leaves import every
from haproxy_sync.config.marked import SECRET_VARIABLES
from haproxy_sync.config.scope import GROUP_VARS, HOST_VARS
from haproxy_sync.errors import TemplateError
from haproxy_sync.secrets import MASK, masked

MAX_CHARACTERS = 256 * 1024
"""Of the file: PyYAML takes a second and a half of the function's processor for a tenth of that."""
MAX_VALUES = 20_000
"""In the file, with what merges (`<<`) copy: a file of 10,000 lines, which takes four seconds there."""

ENCRYPTED_FILE = "$ANSIBLE_VAULT;"
_ENCRYPTED = "it is encrypted with Ansible Vault; give it in the clear"
_NO_PLACE = (
    "is a reference, which can be a value and no name of one; put it behind the colon"
)
_NO_VALUE = "a value looks like a date or a number or says so (!!int), and is none; put it in quotes"
_TOO_DEEP = "a value stands inside too many others"
# What YAML quotes of the file may be a secret; its own tokens stand in <>.
_QUOTED = re.compile(r"(?<!\w)'(?!<)[^']{2,}'")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def parse_variables(text: str, file: str) -> Mapping[str, Any]:
    """The variables by name. Raises `TemplateError` with file, line and name."""
    if len(text) > MAX_CHARACTERS:
        raise TemplateError(file, None, f"larger than {MAX_CHARACTERS} characters")
    if text.startswith(ENCRYPTED_FILE):
        raise TemplateError(file, 1, _ENCRYPTED)
    variables = _loaded(text, file)
    if variables is None:
        return {}
    _check_references(variables)
    if not isinstance(variables, dict):
        kind = type(variables).__name__
        raise TemplateError(
            file, 1, f"variables are a mapping of names to values, not a {kind}"
        )
    _check_names(variables, file)
    for key in sorted({GROUP_VARS, HOST_VARS} & variables.keys()):
        variables[key] = _layers(variables[key], key, file)
    _check_marks(variables, file)
    return variables


def references(variables: Mapping[str, Any]) -> tuple[Reference, ...]:
    """What the variables refer to, by line."""
    found = (each for each in every(variables) if isinstance(each, Reference))
    return tuple(sorted(found, key=lambda each: (each.line, str(each))))


def _check_references(variables: Any) -> None:
    """A name, or a member of a set or of a pair, is no place for one (`TemplateError`)."""
    fixed = (each for each in every(variables) if isinstance(each, set | tuple))
    names = chain(_keys(variables), chain.from_iterable(fixed))
    for each in filter(lambda name: isinstance(name, Reference), names):
        raise TemplateError(each.file, each.line, f"{each} {_NO_PLACE}")


def _check_marks(variables: Mapping[str, Any], file: str) -> None:
    """A name that is mistyped would leave its secret in the open (`TemplateError`)."""
    marked = variables.get(SECRET_VARIABLES) or ()
    if not isinstance(marked, list | tuple) or not all(map(_is_name, marked)):
        raise TemplateError(
            file, None, f"{SECRET_VARIABLES} is a list of names of variables"
        )
    unknown = set(marked) - set(_keys(variables))
    if unknown:
        raise TemplateError(
            file,
            None,
            f"{SECRET_VARIABLES}: there is no variable {', '.join(sorted(unknown))}",
        )


def _keys(variables: Any) -> Iterator[Any]:
    """The keys of all mappings, at any depth."""
    mappings = (each for each in every(variables) if isinstance(each, dict))
    return chain.from_iterable(mappings)


def _layers(value: Any, key: str, file: str) -> Mapping[str, Mapping[str, Any]]:
    """Variables by group or by host (`TemplateError`)."""
    by_name = {str(name): own for name, own in _mapping(value, key, file).items()}
    return {name: _layer(own, f"{key}.{name}", file) for name, own in by_name.items()}


def _layer(value: Any, path: str, file: str) -> Mapping[str, Any]:
    """The variables of one group or host (`TemplateError`)."""
    layer = _mapping(value, path, file)
    _check_names(layer, file)
    return layer


def _mapping(value: Any, path: str, file: str) -> Mapping[Any, Any]:
    """The value, or an empty mapping where somebody prepared the key and left it empty (`TemplateError`)."""
    stated = value or {}
    if not isinstance(stated, dict):
        raise TemplateError(
            file, None, f"{path} is a mapping, not a {type(stated).__name__}"
        )
    return stated


def _check_names(variables: Mapping[Any, Any], file: str) -> None:
    for name in variables:
        if not _is_name(name):
            shown = masked(name) if isinstance(name, str) else name
            raise TemplateError(file, None, f"{shown!r} is not a variable name")
        if _is_decided_by_ec2(name):
            raise TemplateError(
                file, None, f"{name} comes from EC2; a variable cannot change it"
            )


def _is_name(name: Any) -> bool:
    """Whether a template can read it; YAML has keys that are numbers or dates, too."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _is_decided_by_ec2(name: str) -> bool:
    return name in reserved() or name.startswith("ec2_tag_")


def _counting_loader(file: str) -> type[Any]:
    """Safe YAML that counts what the file holds and repeats (`TemplateError`)."""
    import yaml  # noqa: PLC0415 - only those who state variables pay for it

    class Loader(yaml.SafeLoader):
        values = 0

        def count(self, more: int, node: Any) -> None:
            self.values += more
            if self.values > MAX_VALUES:
                problem = f"more than {MAX_VALUES} values: leave out some, or merge (<<) fewer"
                raise TemplateError(file, node.start_mark.line + 1, problem)

        def compose_node(self, *args: Any) -> Any:
            node = super().compose_node(*args)
            self.count(1, node)
            return node

        def flatten_mapping(self, node: Any) -> None:
            super().flatten_mapping(node)
            self.count(len(node.value), node)

    return Loader


def _loaded(text: str, file: str) -> Any:
    """What the YAML holds (`TemplateError`), with Ansible's two tags and ours, and sets in order."""
    loader_class = _counting_loader(file)

    def vault(_loader: Any, node: Any) -> Unreadable:
        return Unreadable(file, node.start_mark.line + 1, _ENCRYPTED)

    def unsafe(loader: Any, node: Any) -> Data:
        return Data(loader.construct_scalar(node))

    def reference(loader: Any, node: Any) -> Reference:
        from haproxy_sync.config.references import parse  # noqa: PLC0415 - as above

        text = loader.construct_scalar(node)
        return parse(node.tag, text, file, node.start_mark.line + 1)

    def ordered(loader: Any, node: Any) -> SortedSet:
        return SortedSet(loader.construct_mapping(node))

    loader_class.add_constructor("tag:yaml.org,2002:set", ordered)
    loader_class.add_constructor("!vault", vault)
    loader_class.add_constructor("!vault-encrypted", vault)
    loader_class.add_constructor("!unsafe", unsafe)
    loader_class.add_constructor("!ssm", reference)
    loader_class.add_constructor("!secret", reference)
    return _parsed(text, file, loader_class)


def _parsed(text: str, file: str, loader_class: type[Any]) -> Any:
    import yaml  # noqa: PLC0415 - as above

    try:
        return yaml.load(text, loader_class)  # noqa: S506 - a SafeLoader
    except TemplateError:
        raise
    except Exception as error:  # noqa: BLE001 - of wrong values PyYAML raises what Python does: KeyError, IndexError
        raise _refusal(error, file) from None


def _refusal(error: Exception, file: str) -> TemplateError:
    """What is wrong with the YAML, and where, without what stands there."""
    import yaml  # noqa: PLC0415 - as above

    match error:
        case yaml.MarkedYAMLError():
            line = error.problem_mark.line + 1 if error.problem_mark else None
            problem = _QUOTED.sub(f"'{MASK}'", error.problem or "no YAML")
            return TemplateError(file, line, problem)
        case yaml.YAMLError():
            return TemplateError(file, None, str(error))
        case RecursionError():
            return TemplateError(file, None, _TOO_DEEP)
        case _:
            return TemplateError(file, None, _NO_VALUE)
