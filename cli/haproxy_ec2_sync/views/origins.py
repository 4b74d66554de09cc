"""Where template and variables come from, in one line."""

from collections.abc import Iterator

from rich.text import Text

from haproxy_ec2_sync.answers import Origin, Origins
from haproxy_ec2_sync.views.words import labelled


def origins(found: Origins) -> Iterator[Text]:
    """That line, and one for what lies in the bucket of an earlier stack; none where nobody says."""
    template, variables = _told(found.template), _told(found.variables)
    if template:
        yield labelled("template", f"{template}, variables: {variables or 'none'}")
    if found.earlier_uploads:
        yield labelled(
            "uploads of an earlier stack", ", ".join(found.earlier_uploads), "yellow"
        )


def _told(origin: Origin) -> str:
    """`uploaded 2026-11-26T02:56:00Z (1a2b3c4d5e6f7081)`."""
    version = f"({origin.version})" if origin.version else ""
    return " ".join(filter(None, (origin.kind, origin.at, version)))
