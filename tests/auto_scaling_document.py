"""What docs/auto-scaling.md tells a group's owner to add, in each of its three languages, for the tests."""

import argparse
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from cfnlint.decode import cfn_yaml

from tests.documents import DOCUMENTS

TEXT = DOCUMENTS["auto-scaling.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_OPENS = re.compile(r'(resource) "(\w+)" "\w+" \{|(\w+) \{')
_SETS = re.compile(r'(\w+) *= ("[^"]*"|[a-z0-9_.]+)')


@dataclass(frozen=True, slots=True)
class Hook:
    """A lifecycle hook of a group."""

    name: str
    transition: str
    heartbeat: int
    default_result: str


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of a group."""

    key: str
    value: str
    is_propagated: bool


@dataclass(frozen=True, slots=True)
class Told:
    """A group's name, and what it gets."""

    group: str
    tags: frozenset[Tag]
    hooks: frozenset[Hook]

    @classmethod
    def of(cls, groups: set[str], tags: list[Tag], hooks: list[Hook]) -> Self:
        """Of one group, nothing of it twice."""
        (group,) = groups
        told = cls(group, frozenset(tags), frozenset(hooks))
        assert (len(told.tags), len(told.hooks)) == (len(tags), len(hooks))
        return told


def block(language: str) -> str:
    """The document's only block in that language."""
    (found,) = [text for name, text in BLOCK.findall(TEXT) if name == language]
    return str(found)


def cloudformation() -> Told:
    """What the template says."""
    resources = cfn_yaml.loads(block("yaml"))["Resources"]
    (group,) = [
        each["Properties"]
        for each in resources.values()
        if each["Type"] == "AWS::AutoScaling::AutoScalingGroup"
    ]
    assert len(resources) == 1
    return Told.of(
        {group["AutoScalingGroupName"]},
        [
            Tag(each["Key"], each["Value"], each["PropagateAtLaunch"])
            for each in group["Tags"]
        ],
        [
            Hook(
                each["LifecycleHookName"],
                each["LifecycleTransition"],
                each["HeartbeatTimeout"],
                each["DefaultResult"],
            )
            for each in group["LifecycleHookSpecificationList"]
        ],
    )


type Block = tuple[str, dict[str, str]]


def hcl(text: str) -> list[Block]:
    """Blocks with their own arguments, in the order of their ends; every other form is refused."""
    done: list[Block] = []
    opened: list[Block] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        opens, sets = _OPENS.fullmatch(line), _SETS.fullmatch(line)
        if opens:
            opened.append((opens[2] or opens[3], {}))
        elif line == "}":
            done.append(opened.pop())
        else:
            assert sets, line
            assert sets[1] not in opened[-1][1], line
            opened[-1][1][sets[1]] = sets[2].strip('"')
    assert not opened
    return done


def terraform() -> Told:
    """What the resources say."""
    blocks = hcl(block("hcl"))
    (group,) = [said for name, said in blocks if name == "aws_autoscaling_group"]
    hooks = [said for name, said in blocks if name == "aws_autoscaling_lifecycle_hook"]
    named = {said["autoscaling_group_name"] for said in hooks}
    assert named == {"aws_autoscaling_group.backends.name"}
    return Told.of(
        {group["name"]},
        [
            Tag(said["key"], said["value"], said["propagate_at_launch"] == "true")
            for name, said in blocks
            if name == "tag"
        ],
        [
            Hook(
                said["name"],
                said["lifecycle_transition"],
                int(said["heartbeat_timeout"]),
                said["default_result"],
            )
            for said in hooks
        ],
    )


def command_lines() -> list[list[str]]:
    """The words of each command, as a shell splits them."""
    text = block("console").replace("\\\n", " ")
    return [shlex.split(line.removeprefix("$ ")) for line in text.splitlines()]


def _options(words: list[str]) -> Mapping[str, Any]:
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    for name in ("--auto-scaling-group-name", "--lifecycle-hook-name"):
        parser.add_argument(name, required=True)
    for name in ("--lifecycle-transition", "--default-result"):
        parser.add_argument(name, required=True)
    parser.add_argument("--heartbeat-timeout", type=int, required=True)
    return vars(parser.parse_args(words))


def command_line() -> Told:
    """What the commands say."""
    tagging, *hooking = command_lines()
    assert tagging[:4] == ["aws", "autoscaling", "create-or-update-tags", "--tags"]
    assert {tuple(words[:3]) for words in hooking} == {
        ("aws", "autoscaling", "put-lifecycle-hook")
    }
    tags = [dict(_pairs(words)) for words in tagging[4:]]
    hooks = [_options(words[3:]) for words in hooking]
    assert {each["ResourceType"] for each in tags} == {"auto-scaling-group"}
    return Told.of(
        {each["ResourceId"] for each in tags}
        | {each["auto_scaling_group_name"] for each in hooks},
        [
            Tag(each["Key"], each["Value"], each["PropagateAtLaunch"] == "true")
            for each in tags
        ],
        [
            Hook(
                each["lifecycle_hook_name"],
                each["lifecycle_transition"],
                each["heartbeat_timeout"],
                each["default_result"],
            )
            for each in hooks
        ],
    )


def _pairs(words: str) -> Iterator[tuple[str, str]]:
    for word in words.split(","):
        key, _, value = word.partition("=")
        yield key, value
