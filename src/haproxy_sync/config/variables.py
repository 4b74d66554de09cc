"""The variables file: YAML as Ansible reads it, with names that EC2 decides refused by name."""

import re
from collections.abc import Mapping
from typing import Any

from haproxy_sync.config.ansible.raw import Data, Unreadable
from haproxy_sync.config.facts import reserved
from haproxy_sync.config.scope import GROUP_VARS, HOST_VARS
from haproxy_sync.errors import TemplateError

ENCRYPTED_FILE = "$ANSIBLE_VAULT;"
_ENCRYPTED = "it is encrypted with Ansible Vault; give it in the clear"
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def parse_variables(text: str, file: str) -> Mapping[str, Any]:
    """The variables by name. Raises `TemplateError` with file, line and name."""
    if text.startswith(ENCRYPTED_FILE):
        raise TemplateError(file, 1, _ENCRYPTED)
    variables = _loaded(text, file)
    if variables is None:
        return {}
    if not isinstance(variables, dict):
        raise TemplateError(file, 1, f"variables are a mapping of names to values, not a {type(variables).__name__}")
    _check(variables, file)
    for key in {GROUP_VARS, HOST_VARS} & variables.keys():
        layers = {str(name): own or {} for name, own in _mapping(variables[key] or {}, key, file).items()}
        for name, own in layers.items():
            _check(_mapping(own, f"{key}.{name}", file), file)
        variables[key] = layers
    return variables


def _mapping(value: Any, name: str, file: str) -> Mapping[Any, Any]:
    if not isinstance(value, dict):
        raise TemplateError(file, None, f"{name} is a mapping, not a {type(value).__name__}")
    return value


def _check(variables: Mapping[Any, Any], file: str) -> None:
    for name in variables:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise TemplateError(file, None, f"{name!r} is not a variable name")
        if name in reserved() or name.startswith("ec2_tag_"):
            raise TemplateError(file, None, f"{name} comes from EC2; a variable cannot change it")


def _loaded(text: str, file: str) -> Any:
    import yaml  # noqa: PLC0415 - only those who state variables pay for it

    class Loader(yaml.SafeLoader):
        """Safe YAML with Ansible's two tags."""

    def vault(_loader: Loader, node: Any) -> Unreadable:
        return Unreadable(file, node.start_mark.line + 1, _ENCRYPTED)

    def unsafe(loader: Loader, node: Any) -> Data:
        return Data(loader.construct_scalar(node))

    Loader.add_constructor("!vault", vault)
    Loader.add_constructor("!vault-encrypted", vault)
    Loader.add_constructor("!unsafe", unsafe)
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise TemplateError(file, mark.line + 1 if mark else None, error.problem or "no YAML") from error
    except yaml.YAMLError as error:
        raise TemplateError(file, None, str(error)) from error
