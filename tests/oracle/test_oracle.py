"""Our rendering against ansible-core, byte for byte. rules.yml says which case of the corpus holds which rule."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from haproxy_sync.config.unsafe import found
from tests.oracle.fleet import PROXY, PYTHON, Case, ansible, inventory, ours

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
RULES: Mapping[str, list[str]] = yaml.safe_load((HERE / "rules.yml").read_text())

# The same templates as other authors might have saved or used them.
VARIATIONS: Mapping[str, Callable[[Case], Case]] = {
    "no final newline": lambda case: _with_main(
        case, case.files[case.main].rstrip("\n")
    ),
    "more newlines": lambda case: _with_main(case, case.files[case.main] + "\n\n"),
    "lstrip_blocks": lambda case: _with_main(
        case, "#jinja2: lstrip_blocks: True\n" + case.files[case.main]
    ),
    "minus": lambda case: _with_main(
        case, case.files[case.main].replace("{% ", "{%- ")
    ),
    "included": lambda case: _wrapped(
        case, "a\n{% include '" + case.main + "' %}\nb\n"
    ),
    "in a variable": lambda case: _wrapped(case, "a\n{{ source }}\nb\n"),
}


def _text(path: Path) -> str:
    return path.read_bytes().decode() if path.exists() else ""  # keeps CR


def _with_main(case: Case, text: str) -> Case:
    return replace(case, files={**case.files, case.main: text})


def _wrapped(case: Case, text: str) -> Case:
    source = f"\nsource: {json.dumps(case.files[case.main])}\n"
    return replace(
        case,
        main="wrapper.j2",
        files={**case.files, "wrapper.j2": text},
        variables=case.variables + source,
    )


@pytest.fixture(scope="module")
def corpus() -> list[Case]:
    """Every case: a template, its variables, and the files all may include."""
    included = {
        f"includes/{path.name}": _text(path)
        for path in sorted((CORPUS / "includes").iterdir())
    }
    return [
        Case(
            path.stem,
            path.name,
            {path.name: _text(path), **included},
            _text(path.with_suffix(".yml")),
        )
        for path in sorted(CORPUS.glob("*.j2"))
    ]


@pytest.fixture(scope="module")
def expected(corpus: list[Case]) -> Mapping[str, str | None]:
    """What ansible-core makes of the corpus."""
    assert PYTHON.exists(), "run `make setup-ansible` first"
    return ansible(corpus)


def test_the_corpus_is_byte_identical(
    corpus: list[Case], expected: Mapping[str, str | None]
) -> None:
    """Every template of the corpus gives the bytes that Ansible gives, or an error where Ansible gives one."""
    different = {
        case.name: (expected[case.name], ours(case))
        for case in corpus
        if ours(case) != expected[case.name]
    }
    assert different == {}


def test_exactly_the_refused_are_refused(expected: Mapping[str, str | None]) -> None:
    """A case fails because its rule says so, never because it is broken by accident."""
    assert {name for name, text in expected.items() if text is None} == set(
        RULES["refused"]
    )


def test_every_rule_twice(corpus: list[Case]) -> None:
    """Each rule is held by at least two cases that exist, and each case holds a rule."""
    names = {case.name for case in corpus}
    assert len(names) >= 60
    assert {
        rule: cases for rule, cases in RULES.items() if len(set(cases) & names) < 2
    } == {}
    assert names == {name for cases in RULES.values() for name in cases}


@pytest.mark.parametrize("variation", VARIATIONS)
def test_variations_are_byte_identical(corpus: list[Case], variation: str) -> None:
    """The corpus written in other styles gives Ansible's bytes, too."""
    varied = [VARIATIONS[variation](case) for case in corpus]
    expected = ansible(varied)
    different = {
        case.name: (expected[case.name], ours(case))
        for case in varied
        if ours(case) != expected[case.name]
    }
    assert different == {}


def test_the_oracle_is_the_template_task(
    corpus: list[Case], expected: Mapping[str, str | None], tmp_path: Path
) -> None:
    """A real `ansible-playbook` with `template` tasks writes the files that the oracle predicts."""
    cases = [
        case
        for case in corpus
        if not case.variables and expected[case.name] is not None
    ]
    # Facts would need hosts to gather them from; what stands for them is in the inventory.
    cases = [
        case for case in cases if "ansible_facts" not in str(case.files[case.main])
    ][:12]
    for case in cases:
        for name, text in case.files.items():
            path = tmp_path / "templates" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
    _play(tmp_path, [case.main for case in cases])
    written = {case.name: _text(tmp_path / "out" / case.main) for case in cases}
    assert written == {case.name: expected[case.name] for case in cases}


def _play(folder: Path, names: list[str]) -> None:
    hosts = inventory()
    groups: dict[str, dict[str, dict[str, object]]] = {}
    for name, host in hosts.items():
        for group in host["groups"]:
            groups.setdefault(group, {"hosts": {}})["hosts"][name] = (
                host["facts"] | host["vars"]
            )
    (folder / "hosts.yml").write_text(
        json.dumps({"all": {"hosts": dict.fromkeys(hosts), "children": groups}})
    )
    (folder / "out").mkdir()
    task = {
        "template": {"src": "{{ item }}", "dest": f"{folder}/out/{{{{ item }}}}"},
        "loop": names,
    }
    here = {"ansible_connection": "local", "ansible_python_interpreter": str(PYTHON)}
    play = {
        "hosts": PROXY.address,
        "gather_facts": False,
        "vars": here,
        "tasks": [task],
    }
    (folder / "play.yml").write_text(json.dumps([play]))
    environment = {
        **os.environ,
        "ANSIBLE_HOME": str(folder),
        "HOME": str(folder),
        "ANSIBLE_NOCOLOR": "1",
    }
    command: list[str | Path] = [
        PYTHON.parent / "ansible-playbook",
        "-i",
        "hosts.yml",
        "play.yml",
    ]
    run = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]


def test_what_others_wrote_is_ordinary(corpus: list[Case]) -> None:
    """No config of the corpus has a keyword that is refused unless somebody allows it."""
    texts = {case.name: text for case in corpus if (text := ours(case))}
    assert len(texts) > len(corpus) / 2
    assert {
        name: [str(each) for each in unsafe]
        for name, text in texts.items()
        if (unsafe := found(text, "/etc/haproxy/haproxy.cfg"))
    } == {}
