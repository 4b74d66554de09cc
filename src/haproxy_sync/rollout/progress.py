"""How far the rollout of a state has come. Questions only: what changes a state is in `transitions`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, product

from haproxy_sync.rollout import ownership
from haproxy_sync.settings import Limit, Settings
from haproxy_sync.state.model import (
    APPLIED,
    Command,
    Digest,
    EnvironmentState,
    Outcome,
    ProxyState,
    Purpose,
    UnixSeconds,
)

# When to ask again for output that a final status came without; at the last of these its absence is believed.
LISTEN_SECONDS = (1, 3, 7, 15, 30)
# Longer than a host works on a command that it has taken: the document gives the program 180 s, a download takes one.
WORK_SECONDS = 210


def listening(since: Iterable[UnixSeconds]) -> Iterator[UnixSeconds]:
    """When to ask again for what may have been said since those times."""
    return map(sum, product(since, LISTEN_SECONDS))


@dataclass(frozen=True, slots=True)
class ProxyProgress:
    """One proxy, measured against what is published."""

    instance_id: str
    state: ProxyState
    desired: Digest | None
    generation: int  # that is published
    since: int  # the first generation of its program: that of the publication, or before where a deploy is unproven
    is_compared: bool  # a comparison with what is published is under way

    @property
    def is_broken(self) -> bool:
        """Whether it failed, with whatever it was, and did not succeed since."""
        return self.state.failed_generation != 0

    @property
    def has_failed(self) -> bool:
        """Whether it tried what is published, or anything by its new program, and did not succeed since."""
        return self.is_broken and self.state.failed_generation >= self.since

    @property
    def is_settled(self) -> bool:
        """Whether it has what is published, and nothing older can still arrive there."""
        return self._is_applied and self._gets_nothing_older and self._has_proof

    @property
    def runs_desired(self) -> bool:
        """Whether HAProxy itself runs what is published; that the file is installed is not enough."""
        return self._is_desired(self.state.running)

    def _is_desired(self, md5: str) -> bool:
        return self.desired is not None and md5 == self.desired.md5

    @property
    def desired_md5(self) -> str:
        """The digest that it shall run; empty where nothing is published for it."""
        return self.desired.md5 if self.desired else ""

    @property
    def may_have_it(self) -> bool:
        """Whether a command for what is published was claimed for it, and so may have been sent."""
        return self.state.sent_generation == self.generation

    @property
    def _is_applied(self) -> bool:
        return self.state.outcome in APPLIED

    @property
    def _gets_nothing_older(self) -> bool:
        # Who has a command in flight is never due, and only who is settled is compared: so it was settled when the
        # comparison was claimed, and all that this can bring is what is published.
        has_answered = self.state.observed_generation >= self.state.sent_generation
        return has_answered or self.is_compared

    @property
    def _has_proof(self) -> bool:
        # HAProxy was stopped by somebody: the file is there, and nothing runs that could prove it.
        is_stopped = self.state.outcome is Outcome.NOT_RUNNING
        return self._is_desired(
            self.state.installed if is_stopped else self.state.running
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """The proxies of the last look, measured against what is published."""

    state: EnvironmentState

    def proxy(self, instance_id: str) -> ProxyProgress:
        """One of them."""
        return ProxyProgress(
            instance_id=instance_id,
            state=self.state.proxy_state(instance_id),
            desired=self.state.desired(instance_id),
            generation=self.state.generation,
            since=self._since,
            is_compared=self._is_compared(instance_id),
        )

    def _is_compared(self, instance_id: str) -> bool:
        return any(
            command.purpose is Purpose.VERIFY
            and command.generation == self.state.generation
            and instance_id in command.targets
            for command in self.state.commands
        )

    @property
    def _since(self) -> int:
        return self.state.begun_generation or self.state.generation

    @property
    def proxies(self) -> Iterator[ProxyProgress]:
        """All of them, by instance id."""
        return map(self.proxy, self.state.proxy_ids)

    @property
    def failed(self) -> tuple[str, ...]:
        """Those that tried what is published and did not succeed since."""
        return tuple(proxy.instance_id for proxy in self.proxies if proxy.has_failed)

    @property
    def unsettled(self) -> tuple[str, ...]:
        """Those that do not have yet what is published."""
        return tuple(
            proxy.instance_id for proxy in self.proxies if not proxy.is_settled
        )

    def has_stopped(self, max_errors: Limit) -> bool:
        """Whether so many failed that no wave follows."""
        return len(self.failed) > max_errors.of(len(self.state.proxies))

    def stoppers(self, settings: Settings) -> tuple[str, ...]:
        """Those that failed and keep what is published from all others: by themselves, or with more than MaxErrors."""
        is_waited_for = settings.canary and not self.proven_by
        has_stopped = self.has_stopped(settings.max_errors)
        return self.failed if is_waited_for or has_stopped else ()

    @property
    def proven_by(self) -> str:
        """A proxy that runs what is published, so that the others may have it too; empty while there is none."""
        return next((proxy.instance_id for proxy in self.proofs), "")

    @property
    def proofs(self) -> Iterator[ProxyProgress]:
        """All that do."""
        return filter(self._is_proof, self.proxies)

    def _is_proof(self, proxy: ProxyProgress) -> bool:
        return self._has_tried(proxy) and proxy.runs_desired and proxy.is_settled

    def _has_tried(self, proxy: ProxyProgress) -> bool:
        """Whoever has a config of its own proves only what it did since: the others' configs were never tried.

        So does everybody where a deploy brought another program.
        """
        is_shared = self.state.assignment.shared is not None
        is_older_proof_enough = is_shared and not self.has_new_program
        has_tried_since = proxy.state.observed_generation == self.state.generation
        return is_older_proof_enough or has_tried_since

    @property
    def has_new_program(self) -> bool:
        """Whether a deploy brought another program since this was published first."""
        return self.state.begun_generation != 0

    def has_proven_program(self, program: str) -> bool:
        """Whether a proxy proved what is published by that very program, or one ran it before this was published."""
        is_proven = not self.has_new_program or self.proven_by != ""
        return is_proven and self.state.program == program

    @property
    def awaits_healthy_canary(self) -> bool:
        """Whether a new program is unproven, and somebody is broken: who was so before it came proves nothing."""
        is_unproven = self.has_new_program and not self.proven_by
        return is_unproven and any(proxy.is_broken for proxy in self.proxies)

    @property
    def is_converged(self) -> bool:
        """Whether every proxy has the config of the last look."""
        has_proxies = self.state.proxies != ()
        is_ours = ownership.publishers(self.state).keys() <= {self.state.publisher}
        return has_proxies and is_ours and self._is_current and not self.unsettled

    @property
    def _is_current(self) -> bool:
        """Whether what is published is what the last look saw, with nothing held, frozen, broken or queued.

        While looks fail, nobody can say so.
        """
        state = self.state
        return not any(
            (
                state.look_failure,
                state.hold,
                state.is_frozen,
                state.template_error,
                state.queued,
            )
        )

    @property
    def under_way(self) -> tuple[Command, ...]:
        """The commands that others wait for.

        A comparison changes nothing, and one that no agent takes, or that hangs, must not block the rest.
        """
        return tuple(filter(self._is_waited_for, self.state.commands))

    def _is_waited_for(self, command: Command) -> bool:
        is_current = command.generation == self.state.generation
        changes_something = command.purpose is not Purpose.VERIFY
        return is_current and changes_something and not command.is_stalled

    def ask_again_at(self, now: UnixSeconds) -> UnixSeconds | None:
        """When to ask Run Command again for what the silent have to say, and for those at work for too long then."""
        commands = self.state.commands
        silences = chain.from_iterable(each.silent.values() for each in commands)
        at_work = chain.from_iterable(each.at_work.values() for each in commands)
        times = chain(listening(silences), map(sum, product(at_work, [WORK_SECONDS])))
        return min((time for time in times if time > now), default=None)


def ended(
    before: EnvironmentState, after: EnvironmentState, max_errors: Limit
) -> tuple[str, ...]:
    """The outcome of a rollout that came to its end between two states; nothing while it goes on."""
    # That nobody could look meanwhile began no rollout.
    was, now = Progress(replace(before, look_failure=None)), Progress(after)
    if now.is_converged and not was.is_converged:
        return ("completed",)
    has_stopped = now.has_stopped(max_errors)
    if has_stopped and not was.has_stopped(max_errors):
        return ("stopped",)
    return ()
