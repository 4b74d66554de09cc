"""How the agent stand-in treats a document: parameters, flow control, workers, and its life inside Run Command."""

import json
from itertools import accumulate
from pathlib import Path

import pytest

from local.agent import Here, HostAgent
from local.lab import wait_until
from local.run_command import Detail, Order
from tests.local.agent_runner import NO_S3, Runner, ended, finished, step
from tests.local.run_command_bench import PUBLISHER, Bench, ids, program_url

HOST_DOCUMENT = Path(__file__).parents[2] / "src/host/document.json"


TEXT = {"P": {"type": "String"}}
ENV_VAR = {"P": {"type": "String", "interpolationType": "ENV_VAR"}}


def test_values_are_pasted_as_raw_text(runner: Runner) -> None:
    """A value with a substitution in it runs on the host: only patterns and ENV_VAR protect a script."""
    result = runner.run(
        step("apply", 'echo "{{ P }}" {{P}}'),
        parameters=TEXT,
        given={"P": ["$(echo ran)"]},
    )
    assert result.steps[0].stdout == "ran ran\n"


def test_values_are_pasted_once(runner: Runner) -> None:
    """A value that looks like a reference is not expanded again, and `$$` in it becomes `$`."""
    parameters = {**TEXT, "Q": {"type": "String", "default": "inner"}}
    result = runner.run(
        step("apply", "echo 'a {{ P }} z'"),
        parameters=parameters,
        given={"P": ["{{ Q }} $$5"]},
    )
    assert result.steps[0].stdout == "a {{ Q }} $5 z\n"


def test_undeclared_references_stay(runner: Runner) -> None:
    """The name of no parameter stays as text."""
    assert (
        runner.run(step("apply", "echo '{{ Nobody }}'")).steps[0].stdout
        == "{{ Nobody }}\n"
    )


def test_env_var_parameters_never_touch_the_script(runner: Runner) -> None:
    """ENV_VAR values arrive as SSM_<name>, quotes and substitutions included, and the text is left alone."""
    value = "'\"$(id) `id` {{ P }}"
    result = runner.run(
        step("apply", "printf %s \"$SSM_P\" '{{ P }}'"),
        parameters=ENV_VAR,
        given={"P": [value]},
    )
    assert result.steps[0].stdout == value + "{{ P }}"


@pytest.mark.fault("F58")
def test_an_old_agent_pastes_env_var_parameters(old_runner: Runner) -> None:
    """Before 3.3.2746.0 the field is ignored: the value is pasted and SSM_<name> is unset."""
    script = step("apply", 'echo "{{ P }}" "${SSM_P-unset}"')
    result = old_runner.run(script, parameters=ENV_VAR, given={"P": ["$(echo ran)"]})
    assert result.steps[0].stdout == "ran unset\n"


@pytest.mark.fault("F119")
@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("^[0-9]+$", "12a"),
        ("^[0-9]+$", "12\n"),
        ("^(?=1)[0-9]+$", "12"),
        ("^[0-9]+$", None),
    ],
    ids=["no match", "trailing newline", "not RE2", "neither value nor default"],
)
def test_the_agent_checks_patterns_itself(
    runner: Runner, tmp_path: Path, pattern: str, value: str | None
) -> None:
    """A refused value fails the document before any step; why stands in the agent's log alone."""
    parameters = {"P": {"type": "String", "allowedPattern": pattern}}
    given = {} if value is None else {"P": [value]}
    result = runner.run(
        step("apply", f"touch {tmp_path}/ran"), parameters=parameters, given=given
    )
    assert (result.detail, result.steps, result.trace) == (Detail.FAILED, (), "")
    assert not (tmp_path / "ran").exists()


def test_patterns_are_searched_for(runner: Runner) -> None:
    """An unanchored pattern lets everything around it through, on the host too."""
    parameters = {"P": {"type": "String", "allowedPattern": "[0-9]+"}}
    assert (
        runner.run(
            step("apply", "true"), parameters=parameters, given={"P": ["x 1 y"]}
        ).detail
        is Detail.SUCCESS
    )


def test_a_default_must_match_its_own_pattern(runner: Runner) -> None:
    """Defaults are checked like values."""
    parameters = {
        "P": {"type": "String", "allowedPattern": "^[0-9]+$", "default": "none"}
    }
    assert (
        runner.run(step("apply", "true"), parameters=parameters).detail is Detail.FAILED
    )


@pytest.mark.fault("F59")
def test_the_real_document_refuses_shell_on_the_host_too(runner: Runner) -> None:
    """The project's document with a value that the service let through all the same runs no step."""
    content = json.loads(HOST_DOCUMENT.read_text())
    good = {"ProgramUrl": (program_url("bucket"),), "Publisher": (PUBLISHER,)}
    for name in content["parameters"]:
        for number, value in enumerate(["$(id)", "a\nb", "{{ssm:x}}", '"'], start=1):
            given = good | {name: (value,)}
            order = Order(f"{name}-{number}", "i-1", "Apply", content, given)
            result = finished(runner.agent.start(order))
            assert (result.detail, result.steps) == (Detail.FAILED, ())


def test_steps_go_on_after_a_failure(runner: Runner) -> None:
    """Without onFailure a failed step does not stop the document, which is Failed in the end."""
    result = runner.run(step("first", "exit 3"), step("second", "true"))
    assert ended(result) == [("Failed", 3), ("Success", 0)]
    assert result.detail is Detail.FAILED


@pytest.mark.fault("F68")
def test_on_failure_exit_skips_the_rest(runner: Runner) -> None:
    """A skipped step is reported as a success without the script's output, and both streams get a note."""
    result = runner.run(
        step("first", "exit 3", onFailure="exit"), step("second", "echo marker")
    )
    assert ended(result) == [("Failed", 3), ("Success", 0)]
    assert "marker" not in result.steps[1].stdout
    assert "onFailure" in result.steps[0].stdout
    assert "onFailure" in result.steps[0].stderr
    assert result.detail is Detail.FAILED


def test_cancelled_steps_do_not_run(runner: Runner, tmp_path: Path) -> None:
    """After a cancel the running step is killed, and the rest is cancelled."""
    execution = runner.start(
        step("first", f"touch {tmp_path}/started", "sleep 60"),
        step("second", "true"),
        step("last", f"touch {tmp_path}/ran"),
    )
    wait_until((tmp_path / "started").exists, what="the first step")
    execution.cancel()
    result = finished(execution)
    assert ended(result) == [("Cancelled", 137), ("Cancelled", 1), ("Cancelled", 1)]
    assert result.detail is Detail.CANCELLED
    assert not (tmp_path / "ran").exists()


def test_five_commands_run_at_once(runner: Runner, tmp_path: Path) -> None:
    """Of eight commands five run together; the others follow as these end."""
    log, go = tmp_path / "log", tmp_path / "go"
    log.touch()
    lines = (
        f"echo 1 >> {log}",
        f"until [ -e {go} ] || [ -e {go}-$SSM_COMMAND_ID ]; do sleep 0.05; done",
    )
    script = step("apply", *lines, f"echo -1 >> {log}", timeoutSeconds="60")

    def running() -> list[int]:
        """How many ran at once, after each start and each end."""
        return list(accumulate(map(int, log.read_text().split())))

    executions = {
        name: runner.start(script, command_id=name)
        for name in (f"command-{number}" for number in range(8))
    }
    wait_until(lambda: len(running()) >= 5, what="five")
    (tmp_path / "go-command-0").touch()
    assert finished(executions["command-0"]).detail is Detail.SUCCESS
    wait_until(lambda: len(running()) >= 7, what="a sixth")
    go.touch()
    assert {finished(execution).detail for execution in executions.values()} == {
        Detail.SUCCESS
    }
    assert len(running()) == 16
    assert max(running()) == 5


def test_a_command_is_not_run_twice(runner: Runner, tmp_path: Path) -> None:
    """A command id that comes again gives the first report again."""
    script = step("apply", f"echo run >> {tmp_path}/runs")
    first = runner.run(script)
    assert runner.run(script) == first
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_real_agent_behind_a_real_client(bench: Bench, tmp_path: Path) -> None:
    """SendCommand reaches a script on this machine, and its output comes back through the API."""
    [host] = ids(1)
    with HostAgent(Here(), NO_S3, data=str(tmp_path)) as agent:
        bench.service.register(host, agent)
        command_id = bench.send([host])

        def is_done() -> bool:
            bench.service.tick()
            return bool(bench.command(command_id).detail == "Success")

        bench.run(1)
        wait_until(is_done, what="success")
    [plugin] = bench.invocations(command_id)[host]["CommandPlugins"]
    assert (plugin["Name"], plugin["ResponseCode"], plugin["Output"]) == (
        "apply",
        0,
        "abcd\n",
    )
