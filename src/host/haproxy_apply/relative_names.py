"""A config that is tried elsewhere than where HAProxy reads it: its relative names mean the same."""

from __future__ import annotations

import os
import re

# Where HAProxy looks for the files that a config names by relative paths, if that depends on where the config is.
_DEFAULT_PATH = re.compile(
    rb"""^([ \t]*default-path[ \t]+)(["']?)(config|parent)\2(?=[\s#]|$)""", re.MULTILINE
)


def as_in(directory: str, content: bytes) -> bytes:
    """The content as it is to be read elsewhere, to mean what it means in this directory. No line moves."""
    name = os.fsencode(directory) or b"."
    origins = {b"config": name, b"parent": name + b"/.."}

    def origin(found: re.Match[bytes]) -> bytes:
        return found[1] + b"origin " + origins[found[3]]

    return _DEFAULT_PATH.sub(origin, content)
