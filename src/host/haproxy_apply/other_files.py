"""The files that HAProxy loads beside the live one, whose lines go on where that one's end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import durable, files
from haproxy_apply.model import read

if TYPE_CHECKING:
    from haproxy_apply.host import Host
    from haproxy_apply.model import Model


class OtherFiles(NamedTuple):
    """What they say, as they are on the disk now; both empty where the live file is the only one."""

    live: str  # its text
    before: str
    after: str

    @classmethod
    def of(cls, host: Host) -> OtherFiles:
        """Those of the running HAProxy's command line."""
        texts = {True: "", False: ""}  # by whether it comes behind the live file
        is_behind = False
        for file in files.loaded(host.haproxy.command.files, host.live):
            if host.live.is_meant_by(file):
                is_behind = True
            else:
                texts[is_behind] += durable.read_text(file) + "\n"
        return cls(durable.read_text(host.live.path), texts[False], texts[True])

    def whole(self, live: Model) -> Model:
        """Of all files together, of which the live one has this model."""
        if not (self.before or self.after):
            return live
        return read(f"{self.before}\n{self.live}\n{self.after}")

    def beside(self, live: Model) -> Model:
        """Of an earlier live file, with the lines that the others have now: of their servers nobody knows."""
        if not (self.before or self.after):
            return live
        rest = (*read(self.before).rest, *live.rest, *read(self.after).rest)
        return live._replace(rest=rest)
