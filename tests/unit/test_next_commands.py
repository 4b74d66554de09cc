"""The rollout's next step, from values alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.fleet.model import Proxy
from haproxy_sync.rollout import limits, next_commands, transitions
from haproxy_sync.rollout.next_commands import NextCommands, due
from haproxy_sync.rollout.progress import Progress
from haproxy_sync.rollout.reports import Report
from haproxy_sync.settings import Limit, Settings
from haproxy_sync.state.model import (
    Assignment,
    Command,
    Digest,
    EnvironmentState,
    Freeze,
    Outcome,
    ProxyState,
    Publication,
    Purpose,
)

SETTINGS = Settings("staging", "r", "b", "q", "d", "stack")
OLD = Digest("0" * 64, "0" * 32)
NEW = Digest("1" * 64, "1" * 32)
NOW = 10_000.0
FENCE = 9_000


def proxy_id(number: int) -> str:
    """The id of a proxy."""
    return f"i-{number:08x}"


def environment(
    number: int = 3, digest: Digest = NEW, generation: int = 7
) -> EnvironmentState:
    """Proxies that run the old config, and a publication of the new one."""
    return EnvironmentState(
        revision=generation + 1,
        proxies=proxies(number),
        publication=Publication(generation, FENCE, 9_000.0, Assignment(digest)),
        proxy_states={proxy.instance_id: ran(OLD, 5) for proxy in proxies(number)},
    )


def proxies(number: int) -> tuple[Proxy, ...]:
    """That many."""
    return tuple(
        Proxy(proxy_id(n), "haproxy", f"lb-{n}", f"10.0.{n // 250}.{n % 250}", "a")
        for n in range(number)
    )


def ran(digest: Digest, generation: int) -> ProxyState:
    """A proxy that proved the config long ago."""
    return ProxyState(
        Outcome.INSTALLED,
        "",
        "",
        generation,
        generation,
        digest.md5,
        digest.md5,
        at=100.0,
        sent_at=100.0,
    )


def everybody(state: EnvironmentState) -> frozenset[str]:
    """All agents online."""
    return frozenset(proxy.instance_id for proxy in state.proxies)


def step(
    state: EnvironmentState,
    now: float = NOW,
    settings: Settings = SETTINGS,
    offline: tuple[str, ...] = (),
) -> NextCommands:
    """The next step."""
    return next_commands.next_commands(
        state, due(state, settings, now), everybody(state) - set(offline), settings, now
    )


def targets(step_: NextCommands) -> list[str]:
    """All it would send to."""
    return [target for claim in step_.claims for target in claim.targets]


def sent(
    state: EnvironmentState, now: float = NOW, **options: object
) -> EnvironmentState:
    """The state after the step was claimed and sent."""
    claims = step(state, now, **options).claims  # type: ignore[arg-type]
    assert claims
    numbered = {
        claim.claim_id: replace(claim, command_id="id-" + claim.claim_id)
        for claim in claims
    }
    return transitions.sent(transitions.claimed(state, claims, now), numbered, state)


def said(
    state: EnvironmentState,
    outcome: Outcome,
    *instance_ids: str,
    running: Digest | None = NEW,
    now: float = NOW + 1,
) -> EnvironmentState:
    """The state after these proxies reported."""
    for command in state.commands:
        md5 = running.md5 if running else ""
        reports = [
            Report(each, outcome, "why", is_heard=True, installed=md5, running=md5)
            for each in instance_ids
        ]
        state = transitions.reported(state, command, reports, now)
    return replace(state, revision=state.revision + 1)


def proven(number: int = 3) -> EnvironmentState:
    """The canary has succeeded."""
    return said(sent(environment(number)), Outcome.INSTALLED, proxy_id(0))


def test_one_canary_comes_first() -> None:
    """And nobody else while it is under way."""
    first = step(environment())
    assert [claim.purpose for claim in first.claims] == [Purpose.CANARY]
    assert targets(first) == [proxy_id(0)]
    assert step(sent(environment())).claims == ()


def test_the_rest_comes_after_the_canary_proved_it() -> None:
    """In one wave."""
    wave = step(proven())
    assert [claim.purpose for claim in wave.claims] == [Purpose.WAVE]
    assert targets(wave) == [proxy_id(1), proxy_id(2)]


@pytest.mark.fault("F68")
@pytest.mark.parametrize("running", [OLD, None])
def test_a_canary_that_does_not_run_the_new_digest_proves_nothing(
    running: Digest | None,
) -> None:
    """Whatever word it reports."""
    state = said(sent(environment()), Outcome.INSTALLED, proxy_id(0), running=running)
    assert Progress(state).proven_by == ""
    assert Purpose.WAVE not in [claim.purpose for claim in step(state, NOW + 60).claims]


def test_without_the_canary_setting_everybody_is_in_the_first_wave() -> None:
    """The parameter turns it off."""
    assert (
        len(targets(step(environment(), settings=replace(SETTINGS, canary=False)))) == 3
    )


@pytest.mark.fault("F65")
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.ROLLED_BACK])
def test_a_failed_canary_stops_the_rollout(outcome: Outcome) -> None:
    """Only itself is tried again, with growing spacing, until it succeeds."""
    state = said(sent(environment()), outcome, proxy_id(0), running=OLD)
    assert step(state, NOW + 2).claims == ()
    waits = []
    now = NOW + 1
    for _ in range(9):
        wake_at = step(state, now).wake_at
        assert wake_at
        waits.append(wake_at - now)
        now = wake_at
        again = step(state, now)
        assert targets(again) == [proxy_id(0)]
        assert again.claims[0].purpose is Purpose.RETRY
        state = said(sent(state, now), outcome, proxy_id(0), running=OLD, now=now)
    assert waits[:3] == [30, 60, 120]
    assert waits[-1] == limits.MAX_RETRY_SECONDS
    cured = said(
        sent(state, now + 1800), Outcome.INSTALLED, proxy_id(0), now=now + 1801
    )
    assert targets(step(cured, now + 1801)) == [proxy_id(1), proxy_id(2)]


def test_a_canary_that_cannot_be_reached_is_replaced() -> None:
    """Not reachable is no verdict on the config."""
    assert targets(step(environment(), offline=(proxy_id(0),))) == [proxy_id(1)]
    missing = said(sent(environment()), Outcome.MISSING, proxy_id(0), running=OLD)
    assert targets(step(missing, NOW + 2)) == [proxy_id(1)]


@pytest.mark.fault("F90")
def test_a_stopped_haproxy_is_settled_and_proves_nothing() -> None:
    """The next proxy becomes the canary."""
    state = sent(environment())
    report = Report(
        proxy_id(0), Outcome.NOT_RUNNING, is_heard=True, installed=NEW.md5, running=""
    )
    state = transitions.reported(state, state.commands[0], [report], NOW + 1)
    assert Progress(state).proxy(proxy_id(0)).is_settled
    assert targets(step(state, NOW + 2)) == [proxy_id(1)]


def test_a_failure_in_the_wave_stops_the_next_one() -> None:
    """What is not tried yet keeps the old config; the failed one is retried."""
    state = sent(proven(80))
    first = [target for command in state.commands for target in command.targets]
    assert len(first) == limits.MAX_INSTANCES
    state = said(state, Outcome.FAILED, first[0], running=OLD)
    state = said(state, Outcome.NOT_TRIED, *first[1:], running=OLD)
    assert step(state, NOW + 20).claims == ()
    later = step(state, NOW + 60)
    assert targets(later) == [first[0]]
    assert [claim.purpose for claim in later.claims] == [Purpose.RETRY]


def test_max_errors_allows_that_many() -> None:
    """The rollout goes on while no more have failed."""
    tolerant = replace(SETTINGS, max_errors=Limit(1))
    state = said(sent(proven(5)), Outcome.FAILED, proxy_id(1), running=OLD)
    state = said(
        state, Outcome.NOT_TRIED, *(proxy_id(n) for n in (2, 3, 4)), running=OLD
    )
    assert targets(step(state, NOW + 20, tolerant)) == [
        proxy_id(2),
        proxy_id(3),
        proxy_id(4),
    ]


def test_a_proxy_with_a_bad_record_does_not_hold_up_the_next_publication() -> None:
    """It is tried last and alone, and is not the canary."""
    state = environment(3)
    bad = replace(
        state.proxy_states[proxy_id(0)],
        outcome=Outcome.FAILED,
        observed_generation=5,
        sent_generation=5,
    )
    state = replace(state, proxy_states={**state.proxy_states, proxy_id(0): bad})
    assert targets(step(state)) == [proxy_id(1)]
    state = said(sent(state), Outcome.INSTALLED, proxy_id(1))
    assert targets(step(state, NOW + 10)) == [proxy_id(2)]
    state = said(sent(state, NOW + 10), Outcome.INSTALLED, proxy_id(2))
    assert targets(step(state, NOW + 20)) == [proxy_id(0)]


def test_one_command_in_flight_per_proxy() -> None:
    """A newer publication waits for the proxy, not for the old command's other targets."""
    state = sent(proven())
    newer = replace(state, publication=Publication(9, FENCE, NOW, Assignment(OLD)))
    assert set(targets(step(newer, NOW + 20))).isdisjoint({proxy_id(1), proxy_id(2)})


def asked(number: int = 2) -> EnvironmentState:
    """All is well, an operator asks for a comparison, and nothing of this publication was ever sent.

    As after a rollback to what runs already.
    """
    return replace(environment(number, OLD), verify_requested_at=NOW)


def owing(state: EnvironmentState) -> EnvironmentState:
    """An older command that nobody has answered may still come to the first proxy."""
    return state.with_each_proxy_state(
        [proxy_id(0)], lambda proxy: replace(proxy, sent_generation=6)
    )


def test_a_fleet_is_in_sync_while_it_is_compared() -> None:
    """The first comparison after a rollback to what runs already brings nothing older."""
    assert Progress(asked()).is_converged
    assert Progress(sent(asked())).is_converged


def test_a_comparison_that_may_have_been_sent_is_awaited() -> None:
    """Whoever claimed it has died: what comes next installs, if need be."""
    claimed = transitions.claimed(asked(), step(asked()).claims, NOW)
    void = transitions.given_up(claimed, NOW + 80)
    assert not Progress(void).is_converged
    assert [claim.purpose for claim in step(void, NOW + 90).claims] == [Purpose.CANARY]


def test_a_comparison_with_what_was_published_before_settles_nothing() -> None:
    """What is published now is unknown to its proxy."""
    assert not Progress(transitions.overtaken(sent(asked()), NOW)).is_converged


def test_a_comparison_settles_nobody_else() -> None:
    """Neither the other proxies, nor is anything but a comparison as good."""
    compared = sent(owing(asked()), offline=(proxy_id(0),))
    assert targets_of(compared, Purpose.VERIFY) == [proxy_id(1)]
    assert Progress(compared).unsettled == (proxy_id(0),)
    installing = sent(owing(environment(2, OLD)))
    assert targets_of(installing, Purpose.WAVE) == [proxy_id(0)]
    assert Progress(installing).unsettled == (proxy_id(0),)


def targets_of(state: EnvironmentState, purpose: Purpose) -> list[str]:
    """Who is in flight for that."""
    return [
        target
        for command in state.commands
        if command.purpose is purpose
        for target in command.targets
    ]


def test_commands_to_one_proxy_keep_their_distance() -> None:
    """What must wait is due at a known time."""
    state = said(sent(proven()), Outcome.INSTALLED, proxy_id(1), proxy_id(2))
    newer = replace(state, publication=Publication(9, FENCE, NOW, Assignment(OLD)))
    assert step(newer, NOW + 4.9).claims == ()
    assert step(newer, NOW + 4.9).wake_at == NOW + 5
    assert targets(step(newer, NOW + 5)) == [proxy_id(0)]


@pytest.mark.fault("F11")
def test_a_command_that_may_still_arrive_unsettles_its_proxy() -> None:
    """A claim that was perhaps sent could bring an older config back, so the newer number must get there too."""
    state = environment(1, digest=OLD)
    state = replace(state, publication=Publication(7, FENCE, NOW, Assignment(OLD)))
    assert Progress(state).proxy(proxy_id(0)).is_settled
    claimed = transitions.claimed(
        state, (Command("7.0", Purpose.WAVE, 6, FENCE, NEW, (proxy_id(0),), NOW),), NOW
    )
    void = transitions.given_up(claimed, NOW + limits.VOID_SECONDS)
    assert void.commands == ()
    assert not Progress(void).proxy(proxy_id(0)).is_settled
    assert targets(step(void, NOW + limits.VOID_SECONDS)) == [proxy_id(0)]


@pytest.mark.fault("F10")
def test_a_claim_keeps_others_off_until_it_is_void() -> None:
    """Whoever claimed it may be about to send."""
    state = environment()
    claimed = transitions.claimed(state, step(state).claims, NOW)
    assert step(claimed, NOW + 10).claims == ()
    assert transitions.given_up(claimed, NOW + limits.VOID_SECONDS - 1) == claimed
    assert targets(
        step(
            transitions.given_up(claimed, NOW + limits.VOID_SECONDS),
            NOW + limits.VOID_SECONDS,
        )
    ) == [proxy_id(0)]


def test_a_command_nobody_reports_on_is_given_up() -> None:
    """After an hour its targets are missing, and tried again."""
    state = transitions.given_up(sent(environment()), NOW + transitions.LOST_SECONDS)
    assert state.commands == ()
    assert state.proxy_state(proxy_id(0)).reason == "no-report"


@pytest.mark.fault("F66")
def test_a_terminated_proxy_leaves_the_rollout() -> None:
    """It is gone, not failed, and nobody waits for it."""
    state = sent(environment())
    left = transitions.forgotten(replace(state, proxies=state.proxies[1:]))
    assert left.commands == ()
    assert proxy_id(0) not in left.proxy_states
    assert targets(step(left)) == [proxy_id(1)]


def test_a_late_proxy_is_brought_up_alone() -> None:
    """The publication is proven, so it needs no canary of its own."""
    state = said(sent(proven()), Outcome.INSTALLED, proxy_id(1), proxy_id(2))
    assert step(state, NOW + 60).claims == ()
    late = Proxy(proxy_id(9), "haproxy", "lb-9", "10.0.0.9", "a")
    assert targets(step(replace(state, proxies=(*state.proxies, late)), NOW + 60)) == [
        proxy_id(9)
    ]


def test_everybody_compares_once_per_drift_check() -> None:
    """And at once when somebody asks."""
    state = said(sent(proven()), Outcome.INSTALLED, proxy_id(1), proxy_id(2))
    assert step(state, NOW + 599).claims == ()
    due = step(state, NOW + 600)
    assert {claim.purpose for claim in due.claims} == {Purpose.VERIFY}
    assert len(targets(due)) == 3
    assert due.wake_at is None
    asked = step(replace(state, verify_requested_at=NOW + 50), NOW + 50)
    assert len(targets(asked)) == 3


def test_a_publication_that_changes_nobody_needs_no_canary() -> None:
    """Everybody runs their config already; comparing goes on."""
    state = said(sent(proven()), Outcome.INSTALLED, proxy_id(1), proxy_id(2))
    same = replace(
        state,
        publication=Publication(9, FENCE, NOW, Assignment(NEW)),
        verify_requested_at=NOW + 50,
    )
    compared = step(same, NOW + 50)
    assert {claim.purpose for claim in compared.claims} == {Purpose.VERIFY}
    assert len(targets(compared)) == 3


def test_back_to_what_runs_needs_no_proof() -> None:
    """A -> B -> A before anybody got B: comparing goes on, and a proxy that joins gets A at once."""
    state = replace(environment(digest=OLD), verify_requested_at=NOW)
    assert {claim.purpose for claim in step(state).claims} == {Purpose.VERIFY}
    joined = replace(state, proxies=proxies(5))
    assert targets(step(joined)) == [proxy_id(3), proxy_id(4)]


def test_own_configs_are_proven_by_what_was_done_since() -> None:
    """One that kept its config says nothing about the configs of the others."""
    own = {proxy_id(0): OLD, proxy_id(1): NEW, proxy_id(2): NEW}
    state = replace(
        environment(),
        publication=Publication(7, FENCE, NOW, Assignment(by_proxy=own)),
        verify_requested_at=NOW,
    )
    assert targets(step(state)) == [proxy_id(1)]
    assert step(state).claims[0].purpose is Purpose.CANARY
    unreachable = step(state, offline=(proxy_id(1), proxy_id(2)))
    assert targets(unreachable) == [proxy_id(0)]
    assert unreachable.claims[0].purpose is Purpose.VERIFY


def deployed(state: EnvironmentState, now: float = NOW + 60) -> EnvironmentState:
    """After a deploy that brought another program."""
    return transitions.begun_anew(state, "f" * 64, now)


@pytest.mark.fault("F64")
def test_what_the_old_program_proved_says_nothing_of_a_new_one() -> None:
    """The rest of the rollout begins with one proxy, and goes on when that has proven it."""
    state = deployed(proven())
    assert Progress(state).proven_by == ""
    (canary,) = step(state, NOW + 60).claims
    assert (canary.purpose, canary.targets) == (Purpose.CANARY, (proxy_id(1),))
    state = said(sent(state, NOW + 60), Outcome.INSTALLED, proxy_id(1), now=NOW + 61)
    assert targets(step(state, NOW + 62)) == [proxy_id(2)]


def test_a_new_program_is_tried_once_before_all_compare_by_it() -> None:
    """By one that has the config: somebody who lacks it would take precedence."""
    state = said(sent(proven()), Outcome.INSTALLED, proxy_id(1), proxy_id(2))
    state = replace(deployed(state), verify_requested_at=NOW + 60)
    (canary,) = step(state, NOW + 60).claims
    assert (canary.purpose, canary.targets) == (Purpose.CANARY, (proxy_id(0),))
    lacking = replace(state, proxies=proxies(4))
    assert targets(step(lacking, NOW + 60)) == [proxy_id(3)]
    assert targets(step(lacking, NOW + 60, offline=(proxy_id(3),))) == [proxy_id(0)]
    state = said(sent(state, NOW + 60), Outcome.UNCHANGED, proxy_id(0), now=NOW + 61)
    compared = step(state, NOW + 61)
    assert {claim.purpose for claim in compared.claims} == {Purpose.VERIFY}
    assert targets(compared) == [proxy_id(1), proxy_id(2)]


def test_nobody_else_tries_a_new_program_that_failed() -> None:
    """Not even to compare."""
    state = said(sent(proven()), Outcome.INSTALLED, proxy_id(1), proxy_id(2))
    state = replace(deployed(state), verify_requested_at=NOW + 60)
    state = said(sent(state, NOW + 60), Outcome.FAILED, proxy_id(0), now=NOW + 61)
    assert step(state, NOW + 70).claims == ()
    assert targets(step(state, NOW + 5000)) == [proxy_id(0)]


def test_a_deploy_lets_a_stopped_rollout_begin_again() -> None:
    """Whatever failed may be mended: nobody waits for the end of a spacing."""
    state = said(sent(environment()), Outcome.FAILED, proxy_id(0))
    assert step(state, NOW + 10).claims == ()
    assert len(targets(step(deployed(state, NOW + 10), NOW + 10))) == 1


def test_an_untried_program_stays_untried_with_the_next_publication() -> None:
    """One that a proxy has run is no news then."""
    untried = deployed(proven())
    change = transitions.next_change(untried, Assignment(OLD), "back", NOW + 61)
    assert transitions.roll_out(untried, change).publication == replace(
        Publication(change.generation, change.fence, NOW + 61, Assignment(OLD)),
        program="f" * 64,
        begun_generation=untried.generation,
    )
    tried = said(sent(untried, NOW + 60), Outcome.INSTALLED, proxy_id(1), now=NOW + 61)
    published = transitions.roll_out(tried, change).publication
    assert published
    assert published.begun_generation == 0


@pytest.mark.fault("F65")
def test_a_failed_canary_stays_the_canary_when_it_cannot_be_reached() -> None:
    """Whether it is seen offline or its retry is never delivered: nobody else tries the config, and why is kept."""
    state = said(sent(environment()), Outcome.FAILED, proxy_id(0), running=OLD)
    offline = transitions.unreachable(
        transitions.unreachable(state, [proxy_id(0)], NOW), [proxy_id(0)], NOW
    )
    assert offline.proxy_state(proxy_id(0)).reason == "why, agent-offline"
    assert step(offline, NOW + 60, offline=(proxy_id(0),)).claims == ()
    assert targets(step(offline, NOW + 60)) == [proxy_id(0)]
    again = sent(state, NOW + 60)
    lost = transitions.reported(
        again, again.commands[0], [Report(proxy_id(0), Outcome.MISSING)], NOW + 100
    )
    assert step(lost, NOW + 110).claims == ()
    assert targets(step(lost, NOW + 1000)) == [proxy_id(0)]


def test_a_new_proxy_is_not_kept_waiting_by_a_broken_one() -> None:
    """The stop protects those that serve; those that have nothing yet go one by one, up to the first that fails."""
    state = said(sent(proven()), Outcome.FAILED, proxy_id(1), running=OLD)
    state = said(state, Outcome.INSTALLED, proxy_id(2))
    state = replace(state, proxies=proxies(5))
    assert targets(step(state, NOW + 5)) == [proxy_id(3)]
    served = said(sent(state, NOW + 5), Outcome.INSTALLED, proxy_id(3), now=NOW + 6)
    assert targets(step(served, NOW + 7)) == [proxy_id(4)]
    stopped = said(
        sent(state, NOW + 5), Outcome.FAILED, proxy_id(3), running=None, now=NOW + 6
    )
    assert step(stopped, NOW + 7).claims == ()


@pytest.mark.fault("F68")
def test_an_unproven_success_is_a_failure() -> None:
    """It stops the rollout, is named so, and is tried again with growing spacing."""
    state, now = environment(), NOW
    for wait in (30, 60, 120):
        state = said(
            sent(state, now), Outcome.INSTALLED, proxy_id(0), running=OLD, now=now
        )
        assert state.proxy_state(proxy_id(0)).reason == "unproven"
        assert step(state, now).wake_at == now + wait
        assert step(state, now + wait - 1).claims == ()
        now += wait


def test_comparing_keeps_to_one_command_at_a_time() -> None:
    """Each has a MaxConcurrency of its own."""
    state = replace(environment(120, digest=OLD), verify_requested_at=NOW)
    state = sent(state)
    assert step(state, NOW + 10).claims == ()
    state = said(state, Outcome.UNCHANGED, *state.commands[0].targets, running=OLD)
    assert len(targets(step(state, NOW + 10))) == limits.MAX_INSTANCES


def test_asked_to_compare_within_the_spacing_somebody_will_look_again() -> None:
    """What must wait has a time; a drift check has none, the sweep finds it."""
    state = said(sent(proven()), Outcome.INSTALLED, proxy_id(1), proxy_id(2))
    asked = step(replace(state, verify_requested_at=NOW + 2), NOW + 2)
    assert (asked.claims, asked.wake_at) == ((), NOW + 5)


def test_what_was_claimed_and_not_sent_is_due_again() -> None:
    """The part of a claim that was left out, and the claim that was refused, wait for no spacing."""
    state = proven(5)
    (claim,) = step(state).claims
    claimed = transitions.claimed(state, (claim,), NOW)
    half = replace(claim, targets=claim.targets[:2], command_id="id")
    left = transitions.sent(claimed, {claim.claim_id: half}, state)
    assert left.proxies_in_flight == set(claim.targets[:2])
    left = said(left, Outcome.INSTALLED, *claim.targets[:2])
    assert targets(step(left, NOW + 1)) == list(claim.targets[2:])
    refused = transitions.sent(claimed, {claim.claim_id: None}, state)
    assert refused == state
    assert targets(step(refused, NOW + 1)) == list(claim.targets)


def test_nothing_is_sent_while_frozen() -> None:
    """But a rollback's own publication is."""
    frozen = replace(environment(), freeze=Freeze(NOW + 60, "deploy"))
    assert step(frozen) == NextCommands()
    assert targets(step(frozen, NOW + 60)) == [proxy_id(0)]
    assert targets(
        step(replace(frozen, freeze=Freeze(NOW + 60, "rollback", generation=7)))
    ) == [proxy_id(0)]
    assert (
        step(
            replace(frozen, freeze=Freeze(NOW + 60, "an older rollback", generation=6))
        )
        == NextCommands()
    )


def test_a_host_that_knows_a_higher_number_is_overtaken() -> None:
    """A state that was lost must not leave hosts deaf."""
    state = sent(replace(environment(), freeze=Freeze(NOW + 600, "rollback", 7)))
    state = said(state, Outcome.SUPERSEDED, proxy_id(0), running=OLD)
    assert state.publication
    assert state.publication.generation > 7
    assert targets(step(state, NOW + 60))


def test_an_older_command_that_was_superseded_is_no_failure() -> None:
    """The newer publication is sent as soon as the spacing allows."""
    state = sent(environment())
    newer = replace(state, publication=Publication(9, FENCE, NOW, Assignment(OLD)))
    newer = said(newer, Outcome.INSTALLED, proxy_id(0))
    assert proxy_id(0) in targets(step(newer, NOW + 6))


def test_each_config_goes_in_its_own_command_within_the_limit() -> None:
    """Several commands at once start no more proxies than one may."""
    own = {proxy_id(n): Digest(f"{n:064x}", f"{n:032x}") for n in range(31)}
    state = replace(
        environment(30),
        publication=Publication(7, FENCE, 9_000.0, Assignment(by_proxy=own)),
    )
    state = replace(
        state,
        proxies=(*state.proxies, proxies(31)[30]),
        proxy_states={**state.proxy_states, proxy_id(30): ran(own[proxy_id(30)], 7)},
    )
    claims = step(state).claims
    assert len(claims) == 10
    assert all(len(claim.targets) == 1 for claim in claims)
    assert [claim.digest for claim in claims] == [
        own[claim.targets[0]] for claim in claims
    ]


def test_who_is_offline_is_missing_by_name() -> None:
    """And is found again by the step that sees it online."""
    state = environment()
    state = transitions.unreachable(state, [proxy_id(1)], NOW)
    assert state.proxy_state(proxy_id(0)).outcome is Outcome.INSTALLED
    assert state.proxy_state(proxy_id(1)).outcome is Outcome.MISSING
    assert state.proxy_state(proxy_id(1)).reason == "agent-offline"
    assert targets(
        step(said(sent(state), Outcome.INSTALLED, proxy_id(0)), NOW + 1)
    ) == [proxy_id(1), proxy_id(2)]


def test_no_proxies_is_no_convergence() -> None:
    """An alarm shall ring for an environment without any."""
    assert not Progress(environment(0)).is_converged
    done = said(sent(proven()), Outcome.UNCHANGED, proxy_id(1), proxy_id(2))
    assert Progress(done).is_converged


OUTCOMES = st.sampled_from(
    [
        Outcome.INSTALLED,
        Outcome.FAILED,
        Outcome.MISSING,
        Outcome.NOT_TRIED,
        Outcome.SUPERSEDED,
    ]
)


@given(
    st.lists(
        st.tuples(OUTCOMES, st.floats(0.5, 400), st.integers(0, 4), st.booleans()),
        max_size=40,
    ),
    st.integers(1, 5),
)
def test_any_history_of_reports_ends_well(
    script: list[tuple[Outcome, float, int, bool]], number: int
) -> None:
    """Never two commands on one proxy, never a wave before the proof; once hosts behave, everybody gets there."""
    state, now = environment(number), NOW
    for outcome, gap, which, republish in script:
        state, now = _one_step(state, now + gap, outcome, which)
        if republish:
            publication = Publication(
                state.revision, FENCE, now, Assignment(OLD if which % 2 else NEW)
            )
            state = replace(state, publication=publication, revision=state.revision + 1)
    for _ in range(3 * number + 6):
        state, now = _one_step(state, now + limits.MAX_RETRY_SECONDS, None, 0)
    assert all(
        Progress(state).proxy(proxy.instance_id).is_settled for proxy in state.proxies
    )


def _one_step(
    state: EnvironmentState, now: float, outcome: Outcome | None, which: int
) -> tuple[EnvironmentState, float]:
    """One step and one command's reports; no outcome: every host does as it is told."""
    before = state.proxies_in_flight
    claims = step(state, now).claims
    claimed = [target for claim in claims for target in claim.targets]
    assert len(set(claimed)) == len(claimed)
    assert before.isdisjoint(claimed)
    assert state.publication
    if not Progress(state).proven_by:
        assert (
            sum(
                len(claim.targets)
                for claim in claims
                if claim.purpose is not Purpose.VERIFY
            )
            <= 1
        )
    numbered = {claim.claim_id: replace(claim, command_id="id") for claim in claims}
    state = transitions.sent(transitions.claimed(state, claims, now), numbered, state)
    for command in (
        state.commands if outcome is None else state.commands[which : which + 1]
    ):
        good = outcome in {None, Outcome.INSTALLED}
        md5 = command.digest.md5 if good else ""
        heard = outcome not in {Outcome.MISSING, Outcome.NOT_TRIED}
        reports = [
            Report(
                target,
                outcome or Outcome.INSTALLED,
                is_heard=heard,
                installed=md5,
                running=md5,
            )
            for target in command.targets
        ]
        state = transitions.reported(state, command, reports, now)
    return replace(state, revision=state.revision + 1), now
