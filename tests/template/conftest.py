"""The template, as written and as deployed."""

import pytest

from tests.template import stack, translate


@pytest.fixture(scope="session")
def source() -> translate.Template:
    """template.yaml as written."""
    return translate.source()


@pytest.fixture(scope="session")
def staging(source: translate.Template) -> stack.Stack:
    """The stack of the environment `staging` with default parameters."""
    return stack.deployed(source, Environment="staging")
