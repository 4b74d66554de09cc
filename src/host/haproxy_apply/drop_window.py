"""The drop window: new SYNs are dropped while the old process stops, so clients try again instead of being refused."""

from __future__ import annotations

import os
from time import gmtime, monotonic, strftime, time
from typing import TYPE_CHECKING

from haproxy_apply import PROJECT, durable
from haproxy_apply.commands import find, run
from haproxy_apply.state import DROP_MARK

if TYPE_CHECKING:
    from haproxy_apply.journal import Journal

DROP_SECONDS = 3
"""Longest time that a SYN is dropped, whatever dies: the kernel ends it."""

_COMMENT = PROJECT
_TABLE = "haproxy_ec2_sync"
_FAMILIES = ("iptables", "ip6tables")
_MIGRATE = "/proc/sys/net/ipv4/tcp_migrate_req"
_IPV6 = "/proc/net/if_inet6"


class DropWindow:
    """The drop window of a run, on its ports ("80,443"); opened at most once in each reload.

    As a context it is one reload: closed on every way out.
    """

    def __init__(self, ports: str, journal: Journal) -> None:
        self._ports = ports
        self._journal = journal
        self._tool = ""
        self._began: float | None = None
        self.milliseconds = 0
        """How long it was open in this run, so far: over all reloads, none of them for longer than DROP_SECONDS."""

    def __enter__(self) -> DropWindow:  # noqa: PYI034  # Python 3.8 has no Self
        """Begin a reload, which has had no drop window yet."""
        self._began = None
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    @property
    def was_opened(self) -> bool:
        """Whether this reload had its drop window, or did without because of the host."""
        return self._began is not None

    @property
    def is_open(self) -> bool:
        """Whether SYNs are dropped now, unless the kernel has ended it."""
        return self._tool != ""

    def open(self) -> None:
        """Drop new SYNs from here on. A host that cannot gets a note and moves waiting handshakes instead."""
        if self.was_opened:
            return
        self._began = monotonic()
        if not _remember():
            self._do_without()
        elif not (self._opens_with("nft") or self._opens_with("iptables")):
            _forget()
            self._do_without()

    def _opens_with(self, tool: str) -> bool:
        """Whether this tool did it; while it does, the rules count as its own, for whoever interrupts us."""
        if not find(tool):
            return False
        self._tool = tool
        is_done = self._nft_drop() if tool == "nft" else self._iptables_drop()
        self._tool = tool if is_done else ""
        return is_done

    def close(self) -> None:
        """Open the ports again, if they are not; also where a signal comes in between."""
        if not self.is_open:
            return
        try:
            _sweep(self._journal, self._tool)
        except BaseException:
            _sweep(self._journal, self._tool)
            raise
        finally:
            self._tool = ""
            seconds = min(monotonic() - (self._began or 0), DROP_SECONDS)
            self.milliseconds += int(seconds * 1000)

    def _do_without(self) -> None:
        self._journal.note("no-drop-window")
        migrate_handshakes(self._journal)

    def _nft_drop(self) -> bool:
        """In one transaction, for both families."""
        return run(["nft", "-f", "-"], text=_nft_rules(self._ports)).status == 0

    def _iptables_drop(self) -> bool:
        """Both families or none."""
        stop = int(time()) + DROP_SECONDS  # --datestop counts whole seconds
        rule = _iptables_rule(self._ports, stop)
        for tool in _FAMILIES:
            if tool == "ip6tables" and not _has_ipv6():
                continue
            if run([tool, "-w", "2", "-I", "INPUT", *rule]).status != 0:
                sweep(self._journal)
                return False
        return True


def sweep(journal: Journal) -> None:
    """Remove the rules of a run that was killed, whatever tool it had; without such a run nothing is started."""
    _sweep(journal, "")


def can_migrate_handshakes() -> bool:
    """Whether `migrate_handshakes` would be able to, as far as that is known without doing it."""
    return _migrates() or os.access(_MIGRATE, os.W_OK)


def _migrates() -> bool:
    return durable.read_text(_MIGRATE).strip() == "1"


def migrate_handshakes(journal: Journal) -> bool:
    """Let the kernel move what waits on a closing listener to another one; False before Linux 5.14.

    It has to stay on to work.
    """
    if _migrates():
        return True
    try:
        with open(_MIGRATE, "r+", encoding="ascii") as switch:
            switch.write("1\n")
    except OSError:
        return False
    journal.note("tcp-migrate-req-on")
    return True


# --- the file that says that there may be rules ---


def _remember() -> bool:
    """Before the first rule."""
    try:
        with open(DROP_MARK, "w", encoding="ascii") as file:
            file.write("hold\n")
    except OSError:
        return False
    return True


def _forget() -> None:
    """After the last rule."""
    durable.remove(DROP_MARK)  # where it stays, the next run sweeps in vain


# --- the rules ---


def _nft_rules(ports: str) -> str:
    expiring = f" timeout {DROP_SECONDS}s"
    elements = ports.replace(",", f"{expiring}, ") + expiring
    return f"""\
table inet {_TABLE}
delete table inet {_TABLE}
table inet {_TABLE} {{
  set ports {{ type inet_service; flags timeout; elements = {{ {elements} }}; }}
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname != "lo" tcp flags & (fin|syn|rst|ack) == syn tcp dport @ports counter drop comment "{_COMMENT}"
  }}
}}
"""


def _iptables_rule(ports: str, stop: int) -> list[str]:
    """`stop` in seconds of the epoch; the kernel's rule ends in UTC."""
    until = strftime("%Y-%m-%dT%H:%M:%S", gmtime(stop))
    return [
        *("!", "-i", "lo", "-p", "tcp", "-m", "multiport", "--dports", ports),
        *("--syn", "-m", "time", "--datestop", until),
        *("-m", "comment", "--comment", _COMMENT, "-j", "DROP"),
    ]


def _has_ipv6() -> bool:
    try:
        with open(_IPV6, encoding="ascii") as addresses:
            return addresses.readline().endswith("\n")
    except OSError:
        return False


# --- removing them ---


def _sweep(journal: Journal, tool: str) -> None:
    """Remove our rules and only ours: those of this tool, or of any if it is empty."""
    if not os.path.exists(DROP_MARK):
        return
    if tool != "iptables":
        run(["nft", "delete", "table", "inet", _TABLE])
    tools = {"nft": (), "iptables": _FAMILIES}.get(tool, _all_iptables())
    if [name for name in tools if not _delete_rules(name)]:
        journal.note("drop-window-expires-by-itself")
    else:
        _forget()


def _all_iptables() -> tuple[str, ...]:
    """Also those that the host does not use now: a killed run may have."""
    return tuple(
        family + kind for family in _FAMILIES for kind in ("", "-nft", "-legacy")
    )


def _delete_rules(tool: str) -> bool:
    """Whether none of our rules is left, as far as this tool sees them; one that stays does not keep the others."""
    if not find(tool):
        return True
    listed = run([tool, "-w", "2", "-S", "INPUT"]).output
    rules = [rule for rule in map(_our_rule, listed.splitlines()) if rule]
    return not [rule for rule in rules if run([tool, "-w", "2", "-D", *rule]).status]


def _our_rule(line: str) -> list[str]:
    """The words after -A of a listed rule that has our comment, all of it and nothing else; else none.

    Ours has no word that would need quotes.
    """
    words = line.split()
    is_ours = ("--comment", _COMMENT) in zip(words, words[1:])
    return words[1:] if is_ours and words[0] == "-A" and '"' not in line else []
