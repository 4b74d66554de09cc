"""What takes the place of references where a template is tried: their values, or stand-ins that name them."""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from json import dumps
from typing import Any

from haproxy_sync import aws
from haproxy_sync.config.ansible.raw import Address, Reference
from haproxy_sync.config.references import distinct, filled
from haproxy_sync.config.secret_stores import SecretStores
from haproxy_sync.config.variables import references


def filled_in(
    variables: Mapping[str, Any], region: str | None = None
) -> tuple[Mapping[str, Any], list[str]]:
    """The variables without references, and what a person should know of that.

    With a region its services are asked, by the credentials of the shell: `TemplateError`, and botocore's `ClientError`
    and `BotoCoreError`.
    """
    found = references(variables)
    if region and found:
        values = SecretStores(aws.clients(region)).values(distinct(found))
        texts = {address: each.text for address, each in values.items()}
        return filled(variables, found, texts), []
    names = ", ".join(dict.fromkeys(map(str, found)))
    said = [f"stand-ins take the place of what AWS was not asked for: {names}"]
    return filled(variables, found, stand_ins(found)), said if found else []


def stand_ins(found: Iterable[Reference]) -> Mapping[Address, str]:
    """Texts that every template can take as a word; of a secret with keys a JSON object that has them."""
    ordered = sorted(found, key=lambda each: (each.address.store, each.address.name))
    return {
        address: _stand_in(address, {each.key for each in group} - {""})
        for address, group in groupby(ordered, key=lambda each: each.address)
    }


def _stand_in(address: Address, keys: Iterable[str]) -> str:
    values = {key: _word(f"{address.name} {key}") for key in sorted(keys)}
    return dumps(values) if values else _word(address.name)


def _word(text: str) -> str:
    return "stand-in-" + re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")
