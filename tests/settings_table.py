"""The list of settings in docs/architecture.md: `PYTHONPATH=src python -m tests.settings_table` rewrites it.

Names and defaults are those of the fields; what a variable means and takes, its parameter says to whoever deploys.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

from haproxy_sync.settings import Settings, Variable
from tests.template.translate import Template, source

DOCUMENT = Path(__file__).parents[1] / "docs/architecture.md"
LIST = re.compile(r"(?:^- `[A-Z_]+`, .*\n(?:  .*\n)*)+", re.MULTILINE)
SENTENCE_END = re.compile(r"(?<=\.) (?=[A-Z])")
WIDTH = 120
LIBRARY = "POWERTOOLS_"
"""Variables that begin so are read by Powertools, not by `Settings`."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable with what template.yaml puts into it: a parameter, or the reference of a resource."""

    variable: Variable
    reference: str
    parameter: Mapping[str, Any]

    @property
    def entry(self) -> str:
        """Its lines of the list: one a sentence."""
        sentences = [
            *SENTENCE_END.split(self.meaning),
            f"Takes: {self.takes}" if self.takes else "",
        ]
        lines = [line for sentence in sentences for line in _wrapped(sentence)]
        return "\n".join([f"- `{self.variable.name}`, {self.default}", *lines, ""])

    @property
    def default(self) -> str:
        """The default of the field, which is the parameter's."""
        if not self.parameter:
            return "from the stack:"
        if self.variable.default is None:
            return "must be given:"
        return (
            f"default {_code(self.variable.default)}:"
            if self.variable.default
            else "default empty:"
        )

    @property
    def takes(self) -> str:
        """What CloudFormation lets pass."""
        if "AllowedValues" in self.parameter:
            return ", ".join(map(_code, self.parameter["AllowedValues"]))
        if "MinValue" in self.parameter:
            return f"{self.parameter['MinValue']} to {self.parameter['MaxValue']}"
        return str(self.parameter.get("ConstraintDescription", ""))

    @property
    def meaning(self) -> str:
        """The parameter's description."""
        return str(self.parameter.get("Description", f"`Ref` of `{self.reference}`"))


def _code(text: str) -> str:
    return f"`{text}`"


def _wrapped(sentence: str) -> list[str]:
    indent = " " * 2
    return wrap(
        sentence,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def settings(template: Template) -> Iterator[Setting]:
    """The settings that template.yaml gives to the function, in its order; a name that no field has is a KeyError."""
    variables = {variable.name: variable for variable in Settings.variables().values()}
    given = template["Resources"]["ReconcileFunction"]["Properties"]["Environment"][
        "Variables"
    ]
    for name, value in given.items():
        if not name.startswith(LIBRARY):
            yield Setting(
                variables[name],
                value["Ref"],
                template["Parameters"].get(value["Ref"], {}),
            )


def rewritten(text: str, template: Template) -> str:
    """The document with its list as fields and template say."""
    entries = "".join(each.entry for each in settings(template))
    return LIST.sub(lambda _: entries, text)


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text(), source()))
