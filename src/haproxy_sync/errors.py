"""Every error this package raises on purpose.

    SyncError
     ├── SettingsError      an environment variable is missing or malformed
     ├── BadRequest         an operator's request nobody can act on: says which actions exist
     ├── BadEvent           a queue record nobody can act on: acknowledged and counted, never retried
     ├── RefusedValue       a value from outside is not on the allow-list
     ├── TemplateError      template or variables cannot be rendered: file, line, name
     ├── CorruptState       the state cannot be read as one: what was published is unknown
     ├── NewerState         a newer release wrote the state: nothing is written before it is deployed again
     ├── Unpinned           commands were claimed for a publication without a document to run: a bug of ours
     ├── ProgramDiffers     the release was built wrong: its files make another program than its document names
     ├── DocumentDiffers    the document of the stack is not the one that the function was shipped with
     ├── Superseded         somebody moved the state since it was read: start again
     │
     │   defined where they are raised, for nobody outside that package sees them:
     ├── fleet.inventory._Unfit                   an instance cannot be a host: it is skipped with the reason
     ├── config.ansible.missing.MissingError      a template used an undefined value
     ├── config.ansible.output.OutputTooLarge     a template produces more text than fits into memory
     └── config.ansible.lookups.Unavailable       a template calls a function that needs Ansible's control node

Errors carry their evidence as attributes; the message says what is wrong, where, and what to do. Filters and other
functions that stand for Python's own raise what those raise, which the same package catches: see
tests/unit/test_errors.py, which holds this picture and that rule against the code.
"""

from typing import Self


class SyncError(Exception):
    """Root of the tree."""


class SettingsError(SyncError):
    """Names every missing or malformed variable at once."""


class BadRequest(SyncError):
    """The direct invoke is no known action, or its options are wrong."""


class BadEvent(SyncError):
    """The record is no event of ours, and never will be."""


class RefusedValue(SyncError):
    """A value from outside that is not on the allow-list."""

    def __init__(self, what: str, value: object) -> None:
        self.what = what
        self.value = value
        super().__init__(f"{what} {str(value)[:64]!r} is not allowed")


class TemplateError(SyncError):
    """The template or its variables are at fault; the old config stays."""

    def __init__(self, file: str, line: int | None, reason: str) -> None:
        self.file = file
        self.line = line
        self.reason = reason
        place = file if line is None else f"{file}:{line}"
        super().__init__(f"{place}: {reason}")

    def __reduce__(self) -> tuple[type[Self], tuple[str, int | None, str]]:
        """What it was made of: it comes out of another process."""
        return type(self), (self.file, self.line, self.reason)


class CorruptState(SyncError):
    """The object is there, and is no state."""


class NewerState(SyncError):
    """What this release does not know of the state it would lose, so it touches nothing."""

    def __init__(self, schema: int, known: int) -> None:
        self.schema = schema
        self.what = (
            f"the state in the bucket has schema {schema}, of a newer release than this one, "
            f"which knows {known} and changes nothing"
        )
        super().__init__(
            f"{self.what}: deploy the newer release again, or see docs/runbook.md#newer-state"
        )


class Unpinned(SyncError):
    """Claims always come with a pinned document; these do not."""


class ProgramDiffers(SyncError):
    """The files of the release and its document belong to different programs: nothing is sent to any proxy."""

    def __init__(self, packed: str, named: str) -> None:
        self.packed = packed
        self.named = named
        super().__init__(
            f"the function's files make the program {packed}, its document names {named or 'none'}: "
            "run `make document` and deploy again"
        )


class DocumentDiffers(SyncError):
    """The newest version of the document is not this release's: nothing is sent to any proxy, whatever it says."""

    def __init__(self, version: str, how: str) -> None:
        self.version = version
        self.how = how
        super().__init__(
            "the document of the stack is not the one that this function was shipped with: "
            f"its version {version} {how}"
        )


class Superseded(SyncError):
    """The conditional write lost (412) or collided (409); the reconcile restarts from the read."""
