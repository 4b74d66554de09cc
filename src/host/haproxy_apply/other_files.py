"""The files that HAProxy loads beside the live one, whose lines go on where that one's end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import conditions, durable, files
from haproxy_apply.model import read

if TYPE_CHECKING:
    from haproxy_apply.host import Host
    from haproxy_apply.model import Model


class OtherFiles(NamedTuple):
    """What they say, as they are on the disk now; both empty where the live file is the only one.

    Of conditions that HAProxy decides, only the branches that it takes; of others all.
    """

    live: str  # its text
    before: str
    after: str

    @classmethod
    def of(cls, host: Host, live: str | None = None) -> OtherFiles:
        """Those of the running HAProxy's command line, as it reads them around the live file, or around this text."""
        texts = {True: "", False: ""}  # by whether it comes behind the live file
        is_behind = False
        for file in files.loaded(host.haproxy.command.files, host.live):
            if host.live.is_meant_by(file):
                is_behind = True
            else:
                texts[is_behind] += durable.read_text(file) + "\n"
        text = durable.read_text(host.live.path) if live is None else live
        found = cls(text, texts[False], texts[True])
        return found if found.are_none else _taken(host, found)

    @property
    def are_none(self) -> bool:
        """Whether the live file is the only one."""
        return not (self.before or self.after)

    @property
    def text(self) -> str:
        """Of all files together."""
        return f"{self.before}\n{self.live}\n{self.after}"

    def whole(self, live: Model) -> Model:
        """Of all files together, of which the live one has this model."""
        return live if self.are_none else read(self.text)

    def beside(self, live: Model) -> Model:
        """Of an earlier live file, with the lines that the others have now: of their servers nobody knows."""
        if self.are_none:
            return live
        rest = (*read(self.before).rest, *live.rest, *read(self.after).rest)
        return live._replace(rest=rest)


def _taken(host: Host, every: OtherFiles) -> OtherFiles:
    """The same without the branches that HAProxy does not take: what one file sets decides in the next, too."""
    told = host.haproxy.told((), every.text)
    if told is None:
        return every
    taken = conditions.read_lines(every.text, told.taken).split("\n")
    begins = every.before.count("\n") + 1
    ends = begins + every.live.count("\n") + 1
    parts = taken[begins:ends], taken[:begins], taken[ends:]
    return OtherFiles(*map("\n".join, parts))
