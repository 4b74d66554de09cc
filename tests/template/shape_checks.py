"""Nothing is in the template but what `allowed` lists: sections, resources, properties at any depth, outputs."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.template import allowed
from tests.template.stack import Stack
from tests.template.translate import Template

SKIPS = ("checkov.skip.id", "checkov.skip.comment?")
DIGEST = re.compile(r"[0-9a-f]{10}")


def sections_are_listed(stack: Stack) -> Iterator[str]:
    """All sections are there, and no other: `Mappings`, `Globals` or a macro would be judged by nobody."""
    found = stack.template.keys()
    yield from differences("the template", found, allowed.SECTIONS)
    if stack.template["AWSTemplateFormatVersion"] != "2010-09-09":
        yield "the template is of another version than the only one"
    conditions = stack.template["Conditions"].keys()
    yield from differences("Conditions", conditions, allowed.CONDITIONS)


def resources_are_listed(stack: Stack) -> Iterator[str]:
    """Each by its id and type."""
    found = {
        f"{plain_id(name, each['Type'])} of {each['Type']}"
        for name, each in stack.resources.items()
    }
    wanted = {f"{name} of {each}" for name, each in allowed.RESOURCES.items()}
    yield from differences("Resources", found, wanted)


def plain_id(name: str, of_type: str) -> str:
    """The id as the source has it."""
    if of_type == "AWS::Lambda::LayerVersion":
        return name.removesuffix(DIGEST.findall(name)[-1])
    return name


def attributes_are_listed(stack: Stack) -> Iterator[str]:
    """What stands beside a resource's properties."""
    for name, each in stack.resources.items():
        plain = {"Type", "Properties", "Metadata"}
        wanted = allowed.ATTRIBUTES.get(each["Type"], set()) | plain
        found = each.keys() | {"Metadata"}
        yield from differences(name, found, wanted)
        shape = SKIPS if "Metadata" in each else ()
        yield from misshapen(f"{name}: Metadata", each.get("Metadata", {}), shape)


def properties_are_listed(stack: Stack) -> Iterator[str]:
    """At any depth, with references replaced: what stands in either branch of an `Fn::If` is seen in some stack."""
    for name, each in stack.resources.items():
        shape = allowed.PROPERTIES.get(each["Type"], ())
        yield from misshapen(name, each["Properties"], shape)


def misshapen(name: str, node: Any, shape: tuple[str, ...]) -> Iterator[str]:
    """What the node has beyond the shape's paths, and which it lacks."""
    known = {path.rstrip("*?") for path in shape}
    whole = {path.rstrip("*?") for path in shape if "*" in path}
    needed = {path.rstrip("*?") for path in shape if not path.endswith("?")}
    found = set(paths(node, whole))
    yield from (f"{name}: {path} is not allowed" for path in sorted(found - known))
    yield from (f"{name}: {path} is missing" for path in sorted(needed - found))


def paths(node: Any, whole: set[str], prefix: str = "") -> Iterator[str]:
    """The paths to all leaves, through lists as if they were one; those of `whole` are not looked into."""
    if prefix in whole or not isinstance(node, dict | list) or (prefix and not node):
        yield prefix
    elif isinstance(node, list):
        for each in node:
            yield from paths(each, whole, prefix)
    else:
        for key, value in node.items():
            yield from paths(value, whole, f"{prefix}.{key}".removeprefix("."))


# What a name within a resource consists of, by the element that has it.
NAMES = {
    "Id": re.compile(r"[A-Za-z0-9_.-]{1,64}"),
    "PolicyName": re.compile(r"[A-Za-z0-9_+=,.@-]{1,128}"),
    "Sid": re.compile(r"[A-Za-z0-9]+"),
}


def names_are_taken_once(stack: Stack) -> Iterator[str]:
    """Statements, policies, targets and lifecycle rules of one list are called differently, as the services want it.

    Of two policies with one name, the second would take the first one's place.
    """
    for name, each in stack.resources.items():
        for siblings in lists(each["Properties"]):
            yield from (f"{name}: {problem}" for problem in misnamed(siblings))


def lists(node: Any) -> Iterator[list[Any]]:
    """All lists in it, at any depth."""
    if isinstance(node, list):
        yield node
    if isinstance(node, list | dict):
        for each in node.values() if isinstance(node, dict) else node:
            yield from lists(each)


def misnamed(siblings: list[Any]) -> Iterator[str]:
    """What in one list is called as another, or as nothing can be."""
    mappings = [each for each in siblings if isinstance(each, dict)]
    if any("PolicyDocument" in each and "PolicyName" not in each for each in mappings):
        yield "a policy has no name"
    for key, letters in NAMES.items():
        names = [each[key] for each in mappings if key in each]
        yield from (
            f"{key} {each} is no name" for each in names if not letters.fullmatch(each)
        )
        yield from (
            f"{key} {each} is there twice" for each in {*names} if names.count(each) > 1
        )


def descriptions_are_short(stack: Stack) -> Iterator[str]:
    """They hold nothing that may be too long, or of letters that a service refuses: a deploy would fail."""
    for name, each in stack.template["Resources"].items():
        described = each["Properties"].get("Description", "")
        text = described["Fn::Sub"] if isinstance(described, dict) else described
        found = {*re.findall(r"\$\{(.+?)\}", text)} - allowed.DESCRIBED
        yield from (f"{name} is described by {each}" for each in sorted(found))


def outputs_are_listed(stack: Stack) -> Iterator[str]:
    """Each leads to its resource; none is exported, since another stack would hold this one."""
    yield from differences("Outputs", stack.outputs.keys(), allowed.OUTPUTS.keys())
    for name, output in stack.outputs.items():
        yield from differences(name, output.keys(), {"Description", "Value"})
        wanted = stack.text(allowed.OUTPUTS.get(name, ""))
        if output.get("Value") != wanted:
            yield f"the output {name} is {output.get('Value')}, not {wanted}"


def findings_are_listed(stack: Stack) -> Iterator[str]:
    """What a scanner finds and we keep, each with its reason; that it is found, `bin/lint` asks the scanner."""
    found = {name: skips(each) for name, each in stack.resources.items()}
    for name, reasons in found.items():
        wanted = allowed.FINDINGS.get(name, set())
        yield from differences(f"{name}: checkov", reasons.keys(), wanted)
        for number, reason in reasons.items():
            if len(reason) < 20:
                yield f"{name}: {number} has no reason"


def skips(resource: Mapping[str, Any]) -> dict[str, str]:
    """The reasons, by the scanner's numbers."""
    metadata = resource.get("Metadata", {}).get("checkov", {})
    return {each["id"]: each.get("comment", "") for each in metadata.get("skip", [])}


def source_is_listed(source: Template) -> Iterator[str]:
    """The source has the same sections, one transform, and what the transform reads of function and layer."""
    wanted = allowed.SECTIONS | {"Transform"}
    yield from differences("the template", source.keys(), wanted)
    if source.get("Transform") != "AWS::Serverless-2016-10-31":
        yield f"Transform is {source.get('Transform')}: a macro could change everything"
    for name, each in source["Resources"].items():
        shape = allowed.SOURCE_PROPERTIES.get(each["Type"])
        if shape is not None:
            yield from misshapen(name, each["Properties"], shape)


def differences(
    name: str, found: Mapping[str, Any] | Any, wanted: Any
) -> Iterator[str]:
    """What is there beyond the wanted, and what is wanted and not there."""
    yield from (
        f"{name}: {each} is not allowed" for each in sorted({*found} - {*wanted})
    )
    yield from (f"{name}: {each} is missing" for each in sorted({*wanted} - {*found}))
