"""Reads a CloudFormation template, and evaluates it for given parameters."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "123456789012"


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms: `!Ref x` becomes `{"Ref": "x"}`."""


def short_form(loader, suffix, node):
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {name: value.split(".") if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


Loader.add_multi_constructor("!", short_form)


class Template:
    """A template with values for its parameters."""

    def __init__(self, name, **parameters):
        self.document = yaml.load((ROOT / "infra" / name).read_text(), Loader)
        declared = self.document["Parameters"]
        unknown = parameters.keys() - declared.keys()
        assert not unknown, f"{name} has no parameters {unknown}"
        self.parameters = {key: parameters.get(key, spec.get("Default")) for key, spec in declared.items()}

    def condition(self, name):
        return self.value(self.document["Conditions"][name])

    def value(self, node):
        """The value of an expression; None for AWS::NoValue."""
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not None]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, argument), = node.items()
            if name == "Ref":
                pseudo = {"AWS::AccountId": ACCOUNT, "AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::StackName": "s"}
                if argument == "AWS::NoValue":
                    return None
                return pseudo.get(argument, self.parameters.get(argument, f"<{argument}>"))
            if name == "Fn::If":
                condition, yes, no = argument
                return self.value(yes if self.condition(condition) else no)
            if name == "Fn::Equals":
                one, other = (str(self.value(side)) for side in argument)
                return one == other
            if name == "Condition":
                return self.condition(argument)
            if name == "Fn::And":
                return all(self.value(part) for part in argument)
            if name == "Fn::Not":
                return not self.value(argument[0])
            if name == "Fn::Join":
                separator, parts = argument
                return separator.join(map(str, self.value(parts)))
            if name == "Fn::Split":
                separator, text = argument
                return self.value(text).split(separator)
            if name == "Fn::Sub":
                text, names = argument if isinstance(argument, list) else (argument, {})
                return re.sub(r"\$\{([^}]+)\}", lambda found: self.substituted(found[1], names), text)
            if name == "Fn::GetAtt":
                return f"<{'.'.join(argument)}>"
        values = {key: self.value(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not None}

    def substituted(self, name, names):
        return str(self.value(names[name] if name in names else {"Ref": name}))

    def resources(self):
        """The resources whose condition is true."""
        for name, resource in self.document["Resources"].items():
            if "Condition" not in resource or self.condition(resource["Condition"]):
                yield name, self.value({key: value for key, value in resource.items() if key != "Condition"})

    def statements(self, role):
        policies = dict(self.resources())[role]["Properties"]["Policies"]
        return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
