"""Asks SSM and Secrets Manager for what a variables file refers to: versions at each look, values once a version.

What is wrong with a reference is a `TemplateError`, for whoever wrote the file has to know; a service that does not
answer is a failed look, as with the bucket. Nothing that is raised holds a value.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import batched, filterfalse
from typing import Any

from botocore.exceptions import ClientError

from haproxy_sync.aws import Clients, error_code
from haproxy_sync.config.ansible.raw import Address, Reference
from haproxy_sync.config.references import unusable

MAX_NAMES = 10  # that GetParameters takes
CURRENT = "AWSCURRENT"
"""The label of a secret's version that is in use."""

# What the services call a key of KMS that the caller may not use; an older message does not name the service.
_OF_KEY = re.compile(r"kms:|to KMS|AWSKMS|master key")
_FORBIDDEN = (
    "the function may not read it; name its ARN in the stack's parameter SecretArns"
)
_UNDECIPHERABLE = (
    "the function may not decrypt it; name the ARN of its KMS key in the stack's parameter SecretKeys,"
    " and see whether the key is enabled"
)
_ABSENT = "there is none of this name in the stack's account and region"
_DELETED = "the secret is deleted, or waits for that"
DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
_REASONS = dict.fromkeys(DENIED, _FORBIDDEN) | {
    "DecryptionFailure": _UNDECIPHERABLE,
    "InvalidKeyId": _UNDECIPHERABLE,
    "InvalidParameterException": "Secrets Manager takes no such name",
    "InvalidRequestException": _DELETED,
    "ParameterNotFound": _ABSENT,
    "ParameterVersionNotFound": "the parameter has no such version or label",
    "ResourceNotFoundException": _ABSENT,
    "ValidationException": "SSM takes no such name",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A value, and of which version it is."""

    version: str
    text: str = field(repr=False)


type Parameter = Mapping[str, Any]
type Ask = Callable[..., Any]
type Wanted = Mapping[Address, Reference]
"""What is asked for, each with the reference that an error names."""


@dataclass(frozen=True)
class SecretStores:
    """Both services, as one look finds them: each version is asked for once.

    Every call raises `TemplateError`, and botocore's `ClientError` and `BotoCoreError`.
    """

    clients: Clients
    _known: dict[Address, str] = field(default_factory=dict)

    def versions(self, wanted: Wanted) -> Mapping[Address, str]:
        """The version that each has now. No secret is transferred: an encrypted parameter comes as it is stored."""
        unknown = {key: wanted[key] for key in wanted.keys() - self._known.keys()}
        parameters = self._parameters(unknown, is_decrypted=False)
        secrets = _asked_each(_of(unknown, "secret"), self._secret_version)
        self._known.update(_versions(parameters) | secrets)
        return {address: self._known[address] for address in wanted}

    def values(self, wanted: Wanted) -> dict[Address, Fetched]:
        """The value that each has now; the look knows its version from then on."""
        parameters = self._parameters(wanted, is_decrypted=True)
        versions = _versions(parameters)
        fetched = {
            address: Fetched(versions[address], parameter["Value"])
            for address, parameter in parameters.items()
        }
        fetched |= _asked_each(_of(wanted, "secret"), self._secret)
        self._known.update((key, each.version) for key, each in fetched.items())
        return fetched

    def _parameters(
        self, wanted: Wanted, *, is_decrypted: bool
    ) -> Mapping[Address, Parameter]:
        """What SSM says of each, in as few requests as it lets us."""
        ask = partial(self.clients.ssm.get_parameters, WithDecryption=is_decrypted)
        references = _of(wanted, "ssm")
        found: dict[Address, Parameter] = {}
        for batch in batched(
            filterfalse(_is_pinned, references), MAX_NAMES, strict=False
        ):
            found |= _together(ask, batch)
        alone = [each for each in references if each.address not in found]
        return found | _asked_each(alone, partial(_alone, ask))

    def _secret_version(self, reference: Reference) -> str:
        """The version that is in use; Secrets Manager describes a secret that waits for its deletion, too."""
        secrets_manager = self.clients.secrets_manager()
        secret = secrets_manager.describe_secret(SecretId=reference.address.name)
        stages = secret.get("VersionIdsToStages", {})
        current = [each for each, labels in stages.items() if CURRENT in labels]
        if "DeletedDate" in secret:
            raise unusable(reference, _DELETED)
        if not current:
            raise unusable(reference, "the secret has no value yet")
        return f"{secret['ARN']} {current[0]}"

    def _secret(self, reference: Reference) -> Fetched:
        """The value that is in use."""
        secrets_manager = self.clients.secrets_manager()
        secret = secrets_manager.get_secret_value(SecretId=reference.address.name)
        if "SecretString" not in secret:
            raise unusable(reference, "the secret is binary; only text can be used")
        return Fetched(f"{secret['ARN']} {secret['VersionId']}", secret["SecretString"])


def _is_pinned(reference: Reference) -> bool:
    """Whether it names a version or a label. SSM is asked for that alone: its answer has the parameter's name only."""
    return ":" in reference.address.name


def _together(ask: Ask, batch: tuple[Reference, ...]) -> dict[Address, Parameter]:
    """As many of them as one request has an answer for: it has none for anybody where one of them is refused."""
    try:
        answer = ask(Names=[each.address.name for each in batch])
    except ClientError as error:
        if error_code(error) not in _REASONS:
            raise
        return {}
    return {Address("ssm", each["Name"]): each for each in answer["Parameters"]}


def _alone(ask: Ask, reference: Reference) -> Parameter:
    """One parameter."""
    found: list[Parameter] = ask(Names=[reference.address.name])["Parameters"]
    if not found:
        raise unusable(reference, _ABSENT)
    return found[0]


def _of(wanted: Wanted, store: str) -> list[Reference]:
    """What one of the services is asked for."""
    return [each for each in wanted.values() if each.address.store == store]


def _versions(parameters: Mapping[Address, Parameter]) -> dict[Address, str]:
    """A number alone is not enough: a parameter that was deleted and made again begins with 1, too."""
    return {
        address: f"{each['Version']} {each['LastModifiedDate']}"
        for address, each in parameters.items()
    }


def _asked_each[T](
    references: Iterable[Reference], ask: Callable[[Reference], T]
) -> dict[Address, T]:
    """What a service says of each, one by one."""
    return {each.address: _asked(each, ask) for each in references}


def _asked[T](reference: Reference, ask: Callable[[Reference], T]) -> T:
    """What a service says of a reference; its refusal is a `TemplateError`, all else is raised as it is."""
    try:
        return ask(reference)
    except ClientError as error:
        reason = _REASONS.get(error_code(error))
        if reason is None:
            raise
        is_about_key = reason is _FORBIDDEN and _OF_KEY.search(str(error))
        why = _UNDECIPHERABLE if is_about_key else reason
        raise unusable(reference, why) from None
