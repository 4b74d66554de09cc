"""Kinds of values of options that click does not have."""

from math import isfinite
from typing import Any

import click


class Finite(click.FloatRange):
    """A number that some clock reaches; `nan` is below no limit, and no wait would end."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The number; click's error for any other."""
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number


class Given(click.types.StringParamType):
    """Text that is not empty: a script's variable that nobody set is no wish for the default."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The text; click's error for an empty one."""
        text = super().convert(value, param, ctx)
        if not text:
            self.fail("it is empty.", param, ctx)
        return text
