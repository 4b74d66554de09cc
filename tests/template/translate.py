"""The template as CloudFormation gets it: SAM translated, the document included.

`python -m tests.template.translate FILE` writes it as JSON, for cfn-lint: on the source form it finds almost nothing.
"""

import json
import sys
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

PROJECT = Path(__file__).parents[2]
TEMPLATE = PROJECT / "template.yaml"
REGION = "ap-southeast-2"

Template = dict[str, Any]


def source() -> Template:
    """template.yaml as written; intrinsics in their long form."""
    template: Template = yaml_parse(TEMPLATE.read_text())
    return template


def translate(template: Template) -> Template:
    """Plain CloudFormation: what `sam deploy` ends up creating."""
    copy: Template = include(json.loads(json.dumps(template)))
    for resource in copy["Resources"].values():
        for key in ("CodeUri", "ContentUri"):
            if key in resource.get("Properties", {}):
                resource["Properties"][key] = "s3://artifacts/package.zip"
    session = boto3.session.Session(region_name=REGION)
    translated: Template = Translator({}, Parser(), boto_session=session).translate(
        copy, {}
    )
    return translated


def include(node: Any) -> Any:
    """The node with every AWS::Include replaced by the file that it names."""
    match node:
        case {
            "Fn::Transform": {
                "Name": "AWS::Include",
                "Parameters": {"Location": location},
            }
        }:
            return json.loads((PROJECT / location).read_text())
        case dict():
            return {key: include(value) for key, value in node.items()}
        case list():
            return [include(value) for value in node]
    return node


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(translate(source()), indent=2))
