"""`plan`: what would change, in lines, totals and an exit code."""

import json
from typing import Any

import pytest
from rich.console import Console

from haproxy_ec2_sync.views import plan as view
from tests.cli import samples, screen
from tests.cli.conftest import Shell
from tests.contract.world import World


def put_template(world: World, text: str) -> None:
    """Somebody uploads it."""
    world.clients.s3.put_object(
        Bucket=world.settings.bucket,
        Key=f"templates/{world.settings.environment}/haproxy.cfg.j2",
        Body=text.encode(),
    )


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_plan_with_changes(width: int) -> None:
    """Grouped by distinct diff; a server that is in both counts once, and so do those that the answer leaves out."""
    screen.check(f"plan-{width}", view.plan(samples.plan()), width)
    text = screen.shown(view.plan(samples.plan()), width)
    assert "Plan: 1 to add, 1 to change, 4 to remove.\n" in text
    assert max(map(len, text.splitlines())) <= width


def test_a_plan_without_changes() -> None:
    """In two words, and nothing is asked of anybody."""
    screen.check("plan-none", view.plan(samples.plan(changes=False, diff=[])))


def test_a_plan_of_other_lines_alone() -> None:
    """A template that changed, and no server."""
    diff = samples.diffs()[0] | {"added": [], "removed": [], "changed": []}
    screen.check("plan-other", view.plan(samples.plan(diff=[diff])))


def test_signs_have_their_colours() -> None:
    """On a terminal: green, yellow and red."""
    console = Console(force_terminal=True, width=120, color_system="standard")
    with console.capture() as capture:
        console.print(view.plan(samples.plan()))
    shown = capture.get()
    for sign, code in (("+", 32), ("~", 33), ("-", 31)):
        assert f"\x1b[{code}m{sign}\x1b[0m" in shown
        assert f"\x1b[{code}mapplication/ip-10-77-" in shown
    assert "\x1b[31m-    maxconn 100" in shown


@pytest.mark.parametrize(
    ("verdict", "advice"),
    [
        ("waits: frozen until unfreeze", "If this is right: unfreeze."),
        ("waits: frozen until 2026-11-26T04:00:00Z", "unfreeze ends the freeze"),
        ("waits: queued behind the rollout under way", "sync does not wait"),
        ("waits: the document takes no command", "It goes on by itself"),
        ("held: 5 of 6 backends vanished", "--allow-mass-removal shows"),
        ("blocked: template error: haproxy.cfg.j2:7: no", "Mend the template"),
        ("blocked: the proxies are another stack's (x)", "Look who owns them"),
        ("blocked: rollout stopped: i-1 failed", "status says what is wrong"),
        ("blocked: AccessDenied", "doctor looks for the cause"),
        ("something that a later release says", ""),
    ],
)
def test_a_verdict_says_what_to_do(verdict: str, advice: str) -> None:
    """Beside the function's own words."""
    text = screen.shown(view.plan(samples.plan(verdict=verdict)), 200)
    assert f"{verdict}.\n" in text
    assert advice in text
    assert "would happen now" not in text


def test_what_else_to_know_before_a_yes() -> None:
    """When a hold ends, who gets what is published already, and who is left out and why."""
    skipped = [
        {"instance_id": f"i-{number}", "reason": "bad-port", "detail": "'80a'"}
        for number in range(12)
    ]
    answer = samples.plan(
        verdict="held: too many",
        hold={"ends": "at 2026-11-26T03:05:00Z; when the vanished are back"},
        rolling_out=[samples.FIRST, samples.SECOND],
        skipped=skipped,
    )
    screen.check("plan-held", view.plan(answer))


def test_who_drains_and_what_is_wrong_with_the_stack() -> None:
    """A line for all who drain, and one for each warning; at most ten."""
    warnings = ["DrainSeconds is 20, close-spread-time 30 s: an idle connection"] * 12
    drains = [
        *samples.leaving()["draining"],
        *(samples.drain(each) for each in samples.NAMES),
    ]
    answer = samples.plan(warnings=warnings, draining=drains * 2)
    text = screen.shown(view.plan(answer), 600)
    lines = [line for line in text.splitlines() if line.startswith("warning: ")]
    assert lines == [f"warning: {warnings[0]}"] * 10 + ["warning: 2 more"]
    (line,) = (line for line in text.splitlines() if line.startswith("draining: "))
    assert line.startswith("draining: i-000000000000000b3 (haproxy:drain), ")
    assert "edge-1 (Terminating:Wait)" in line
    assert line.endswith(" and 4 more")
    older = screen.shown(view.plan(samples.plan()))
    assert "draining" not in older
    assert "warning" not in older


def test_no_changes_is_exit_code_0(shell: Shell, running: World) -> None:
    """All is as it should be."""
    typed = shell("plan")
    assert (typed.status, typed.err) == (0, "")
    assert typed.out.startswith("No changes.\n")
    assert len(running.proxies) == 3


def test_changes_are_exit_code_2(shell: Shell, running: World) -> None:
    """As `terraform plan -detailed-exitcode`."""
    (joined,) = running.launch()
    typed = shell("plan")
    assert (typed.status, typed.err) == (2, "")
    assert "Plan: 1 to add, 0 to change, 0 to remove.\n" in typed.out
    assert "This would happen now" in typed.out
    (line,) = (line for line in typed.out.splitlines() if joined in line)
    assert line.strip().startswith("+ application/")


def test_a_plan_as_json_has_the_exit_code_too(shell: Shell, running: World) -> None:
    """And the function's own answer."""
    running.launch()
    typed = shell("plan", "--json")
    assert typed.status == 2
    assert json.loads(typed.out)["changes"] is True


def test_the_option_for_one_look_is_passed_on(shell: Shell, running: World) -> None:
    """Without it those who vanished are held."""
    running.terminate(*(each.instance_id for each in running.state.pool))
    held = shell("plan")
    assert (held.status, held.out.count("No changes.")) == (0, 1)
    assert "held: " in held.out
    allowed = shell("plan", "--allow-mass-removal")
    assert allowed.status == 2
    assert "Plan: 0 to add, 0 to change, 3 to remove." in allowed.out
    assert shell.asked[-1] == {"action": "plan", "allow_mass_removal": True}


@pytest.mark.parametrize("is_json", [False, True])
def test_a_template_that_does_not_render_is_an_error(
    shell: Shell, running: World, *, is_json: bool
) -> None:
    """Which instances would come is shown all the same; what it would change nobody knows, so it is no plan."""
    running.launch()
    put_template(running, "{{ adress }}\n")
    typed = shell("plan", *["--json"][: int(is_json)])
    assert typed.status == 1
    assert "the template does not render: " in typed.err
    assert "'adress' is undefined" in typed.err
    assert typed.err.count("\n") == 1
    if is_json:
        assert json.loads(typed.out)["template_error"]
    else:
        assert "Plan: 1 to add, 0 to change, 0 to remove." in typed.out


def test_a_look_that_fails_is_an_error(
    shell: Shell, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With AWS's own words, and no traceback."""
    failure = {"operation": "DescribeInstances", "code": "UnauthorizedOperation"}

    def act(_self: World, **_request: Any) -> dict[str, Any]:
        told = failure | {"message": "You are not authorized"}
        return samples.plan(
            changes=False, diff=[], look_failure=told, verdict="blocked: it"
        )

    monkeypatch.setattr(type(running), "act", act)
    typed = shell("plan")
    assert typed.status == 1
    assert typed.err == (
        "haproxy-ec2-sync: the plan's look failed: DescribeInstances: UnauthorizedOperation: "
        "You are not authorized\n"
    )
