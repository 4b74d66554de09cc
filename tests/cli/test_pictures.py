"""The pictures in docs are what the commands show now."""

import re
from xml.etree import ElementTree as ET

import pytest

from tests import pictures


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_is_up_to_date(name: str) -> None:
    """`python -m tests.pictures` draws them anew."""
    assert pictures.drawn(name) == (pictures.FOLDER / f"{name}.svg").read_text()


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_loads_nothing_from_anywhere(name: str) -> None:
    """A reader's browser asks nobody for fonts."""
    text = (pictures.FOLDER / f"{name}.svg").read_text()
    assert not re.search(r"url\((?!#)|@import|<script|<image|href=", text)
    assert ET.fromstring(text).tag.endswith("}svg")  # noqa: S314 # our own
