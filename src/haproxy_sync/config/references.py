"""References of a variables file to values that are kept elsewhere: how they are written, and what takes their place.

| written | stands for |
|---|---|
| `!ssm /path`, `!ssm name`, `!ssm /path:3`, `!ssm /path:label` | a parameter of SSM, decrypted |
| `!secret name`, `!secret arn:...` | the text of a secret of Secrets Manager |
| `!secret name#key` | of its JSON object the value of that key |
"""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any

from haproxy_sync.config.ansible.raw import Address, Reference, Secret
from haproxy_sync.errors import TemplateError

MAX_ADDRESSES = 50  # each secret is a request of every look

# What the services take in names. A parameter may have a version or a label behind its name.
_PARAMETER = re.compile(
    r"(?P<name>/?[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*(?::[A-Za-z0-9_.-]{1,100})?)(?P<key>)",
    re.ASCII,
)
_SECRET = re.compile(
    r"(?P<name>(?:arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:)?[A-Za-z0-9/_+=.@-]{1,512})"
    r"(?:\#(?P<key>\S(?:.*\S)?))?",
    re.ASCII,
)
_SYNTAX: Mapping[str, tuple[re.Pattern[str], str]] = {
    "!ssm": (
        _PARAMETER,
        "behind !ssm stands the name of a parameter, as in `!ssm /haproxy/password`, perhaps with `:` and a version",
    ),
    "!secret": (
        _SECRET,
        "behind !secret stands the name or ARN of a secret, as in `!secret haproxy` or `!secret haproxy#key_of_json`",
    ),
}


def parse(tag: str, text: str, file: str, line: int) -> Reference:
    """What stands behind a tag; `TemplateError`, which does not quote it, for it may be the secret itself."""
    pattern, usage = _SYNTAX[tag]
    found = pattern.fullmatch(text)
    if found is None:
        raise TemplateError(file, line, usage)
    address = Address(tag.removeprefix("!"), found["name"])
    return Reference(address, found["key"] or "", file, line)


def distinct(references: Iterable[Reference]) -> Mapping[Address, Reference]:
    """What is to be asked for, each with the first reference to it (`TemplateError` where that is too much)."""
    first: dict[Address, Reference] = {}
    for each in references:
        first.setdefault(each.address, each)
    if len(first) > MAX_ADDRESSES:
        beyond = list(first.values())[MAX_ADDRESSES]
        raise unusable(
            beyond,
            f"a file refers to {MAX_ADDRESSES} parameters and secrets at most",
        )
    return first


def filled(
    variables: Mapping[str, Any],
    references: Iterable[Reference],
    texts: Mapping[Address, str],
) -> Mapping[str, Any]:
    """The variables with these texts in place of references (`TemplateError` where one is empty or lacks the key)."""
    secrets = {id(each): _secret(each, texts[each.address]) for each in references}
    # What `deepcopy` is told that it has copied already it puts wherever the original stands.
    return deepcopy(variables, secrets)


def _secret(reference: Reference, text: str) -> Secret:
    """What the reference stands for; what is wrong with it is said without it (`TemplateError`)."""
    value = _of_key(reference, text) if reference.key else text
    if not value:
        raise unusable(reference, "it is empty")
    return Secret(value)


def _of_key(reference: Reference, text: str) -> str:
    """The value of one key, a number as it is written."""
    content: Any = None
    with suppress(ValueError, RecursionError):
        content = json.loads(text, parse_int=str, parse_float=str)
    if not isinstance(content, dict):
        raise unusable(reference, "the secret is no JSON object, so it has no keys")
    if reference.key not in content:
        raise unusable(reference, "the secret's JSON object has no such key")
    value = content[reference.key]
    if not isinstance(value, str):
        raise unusable(reference, "the value of the key is no text and no number")
    return value


def unusable(reference: Reference, why: str) -> TemplateError:
    """The error that says where the reference stands."""
    return TemplateError(reference.file, reference.line, f"{reference}: {why}")
