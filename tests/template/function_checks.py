"""The function runs our code, with our layer and the settings that it reads. Each rule yields complaints."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from haproxy_sync.settings import Settings
from tests.template import allowed
from tests.template.stack import Stack
from tests.template.translate import PROJECT, Template

# Cost, speed and the queue's times hang on them: to change one is a decision, made here, too.
MEMORY_MB, TIMEOUT_SECONDS = 512, 60
# The code is written for it, and the layer's lock file is tried with it.
RUNTIME, ARCHITECTURES = "python3.13", ["x86_64"]
# What SAM itself adds.
TAGS = [{"Key": "lambda:createdBy", "Value": "SAM"}]


def code_is_ours(stack: Stack) -> Iterator[str]:
    """The handler exists; function and layer are of one runtime and one processor; no layer but ours."""
    function = stack.one("AWS::Lambda::Function")
    ((name, layer),) = stack.of_type("AWS::Lambda::LayerVersion").items()
    if function.get("Layers") != [stack.text(f"${{{name}}}")]:
        yield f"layers are {function.get('Layers')}: what is not ours runs before us"
    if not _defines(function["Handler"]):
        yield f"{function['Handler']} does not exist"
    for mine, its in (
        ([function["Runtime"]], layer["CompatibleRuntimes"]),
        (function["Architectures"], layer["CompatibleArchitectures"]),
    ):
        if mine != its:
            yield f"the layer is for {its}, the function is {mine}"
    if layer["LayerName"] != stack.text("${AWS::StackName}-dependencies"):
        yield "two stacks would make versions of one layer"


@cache
def _defines(handler: str) -> bool:
    """Whether our package has the function."""
    *modules, name = handler.split(".")
    path = PROJECT.joinpath("src", *modules).with_suffix(".py")
    body = ast.parse(path.read_text()).body if path.exists() else []
    return any(isinstance(each, ast.FunctionDef) and each.name == name for each in body)


def function_has_its_measures(stack: Stack) -> Iterator[str]:
    """Memory and time are those that were decided; what it may do is in our role; SAM alone tags it."""
    function = stack.one("AWS::Lambda::Function")
    found = (function["MemorySize"], function["Timeout"])
    if found != (MEMORY_MB, TIMEOUT_SECONDS):
        yield f"memory and timeout are {found}, not {MEMORY_MB} MB, {TIMEOUT_SECONDS} s"
    if (function["Runtime"], function["Architectures"]) != (RUNTIME, ARCHITECTURES):
        yield f"it runs on {function['Runtime']}, {function['Architectures']}"
    if function["Role"] != stack.arn("ReconcileRole"):
        yield "the function has another role"
    if function["Tags"] != TAGS:
        yield f"its tags are {function['Tags']}: policies may go by them"


def environment_is_what_settings_read(stack: Stack) -> Iterator[str]:
    """Exactly the variables that `Settings` reads, each from the parameter of its name, and the log's level.

    Others change how the runtime starts: `AWS_LAMBDA_EXEC_WRAPPER`, `PYTHONPATH`.
    """
    found = stack.one("AWS::Lambda::Function")["Environment"]["Variables"]
    wanted = {name: stack.text(text) for name, text in variables().items()}
    yield from (f"{name} is read by nobody" for name in sorted({*found} - {*wanted}))
    for name, value in wanted.items():
        if found.get(name) != value:
            yield f"{name} is {found.get(name)!r}, not {value!r}"


def variables() -> dict[str, str]:
    """Where the function's variables come from; the region is Lambda's own."""
    names = {variable.name for variable in Settings.variables().values()}
    of_parameters = {name: f"${{{parameter(name)}}}" for name in names}
    del of_parameters["AWS_REGION"]
    return of_parameters | allowed.VARIABLES_OF_THE_STACK


def parameter(variable: str) -> str:
    """`MIN_BACKENDS` is filled by `MinBackends`."""
    return "".join(word.capitalize() for word in variable.split("_"))


def build_is_of_one_kind(source: Template) -> Iterator[str]:
    """What only `sam build` reads: code from our folders, built for what the function runs on."""
    function = source["Resources"]["ReconcileFunction"]["Properties"]
    layer = source["Resources"]["DependencyLayer"]
    found = (function.get("CodeUri"), layer["Properties"].get("ContentUri"))
    if found != ("src/", "layers/deps"):
        yield f"function and layer are built from {found}"
    built = {
        "BuildMethod": function["Runtime"],
        "BuildArchitecture": function["Architectures"][0],
    }
    if layer.get("Metadata") != built:
        yield f"the layer is built with {layer.get('Metadata')}, not {built}"
    if layer["Properties"].get("RetentionPolicy") != "Delete":
        yield "versions of the layer that nothing uses any more would stay"


def document_is_the_file(source: Template) -> Iterator[str]:
    """The one include is the document that `make document` makes."""
    content = {
        "Fn::Transform": {
            "Name": "AWS::Include",
            "Parameters": {"Location": "src/host/document.json"},
        }
    }
    if source["Resources"]["ApplyDocument"]["Properties"].get("Content") != content:
        yield "the document's content is not src/host/document.json"
    if len(re.findall("Fn::Transform", str(source))) != 1:
        yield "another transform brings in what nobody judges"
