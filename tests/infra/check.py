"""Checks what cfn-lint does not: what the template comes to with given parameters, and its policies against IAM's tables.

Needs no network: the tables are those that policy_sentry carries along.
"""

import json
import re
import sys
from pathlib import Path

import yaml
from aws_cron_expression_validator.validator import AWSCronExpressionValidator
from policy_sentry.querying.actions import get_action_data

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "123456789012"

# Newer than the tables, or than the tables' resource types for them.
UNKNOWN_ACTIONS = {"ecs:DescribeDaemon", "ecs:DescribeDaemonRevisions", "ecs:ListDaemons"}


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
    """A template with parameters, which can be asked what it comes to."""

    def __init__(self, name, **parameters):
        self.document = yaml.load((ROOT / "infra" / name).read_text(), Loader)
        declared = self.document["Parameters"]
        unknown = parameters.keys() - declared.keys()
        assert not unknown, f"{name} has no parameters {unknown}"
        self.parameters = {
            key: self.typed(spec, parameters.get(key, spec.get("Default"))) for key, spec in declared.items()
        }

    @staticmethod
    def typed(spec, value):
        if spec["Type"] == "CommaDelimitedList":
            return [] if not value else value.split(",")
        return value

    def condition(self, name):
        return self.value(self.document["Conditions"][name])

    def value(self, node):
        """What an expression comes to; None for AWS::NoValue."""
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
            if name == "Fn::Not":
                return not self.value(argument[0])
            if name == "Fn::Join":
                separator, parts = argument
                return separator.join(map(str, self.value(parts)))
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
        """The resources whose condition holds."""
        for name, resource in self.document["Resources"].items():
            if "Condition" not in resource or self.condition(resource["Condition"]):
                yield name, self.value({key: value for key, value in resource.items() if key != "Condition"})

    def statements(self, role):
        policies = dict(self.resources())[role]["Properties"]["Policies"]
        return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def actions(statements):
    return {action for statement in statements for action in as_list(statement["Action"])}


def as_list(value):
    return value if isinstance(value, list) else [value]


def check_statements(where, statements):
    """Every action exists, and one that can't be limited to a resource is not: that would grant nothing."""
    for statement in statements:
        for action in as_list(statement["Action"]):
            service, operation = action.split(":")
            rows = get_action_data(service, operation)
            rows = rows[service] if rows else []
            if not rows:
                assert action in UNKNOWN_ACTIONS, f"{where}: there is no action {action}"
                continue
            assert action not in UNKNOWN_ACTIONS, f"{where}: the tables know {action} by now"
            needs_star = all(row["resource_arn_format"] == "*" for row in rows)
            assert not needs_star or statement["Resource"] == "*", f"{where}: {action} takes no resource"
            for condition in statement.get("Condition", {}).values():
                for key in condition:
                    known = {known.split("/")[0] for row in rows for known in row["condition_keys"]}
                    assert key.split("/")[0] in known, f"{where}: {action} knows no {key}"


def check_policies():
    dry, live = Template("template.yaml"), Template("template.yaml", DryRun="false", OnlyTaggedRepositories="true")
    writes = {"ecr:BatchDeleteImage", "ecr:UpdateImageStorageClass"}
    for name, template in (("dry", dry), ("live", live)):
        check_statements(f"template.yaml, {name}", template.statements("Role"))
    assert actions(live.statements("Role")) - actions(dry.statements("Role")) == writes
    assert not any(re.match(r"ecr:(Batch(Delete)|Put|Update|Delete)", action) for action in actions(dry.statements("Role")))
    deleting, = (statement for statement in live.statements("Role") if writes & set(as_list(statement["Action"])))
    assert deleting["Condition"] == {"StringEquals": {"aws:ResourceTag/ecr-cleanup": "delete"}}
    team = Template("template.yaml", DryRun="false", RepositoriesToDeleteFrom="team/*").statements("Role")
    deleting, = (statement for statement in team if writes & set(as_list(statement["Action"])))
    assert deleting["Resource"] == f"arn:aws:ecr:*:{ACCOUNT}:repository/team/*" and "Condition" not in deleting

    usage = Template("usage-role.yaml", FunctionRoleArn="arn:aws:iam::1:role/r")
    check_statements("usage-role.yaml", usage.statements("UsageRole"))
    # What stands in plain JSON is what the templates come to, but for the log group, which is not made there.
    for name, template, role in (
        ("policy-dry-run", dry, "Role"),
        ("policy-live", live, "Role"),
        ("policy-usage-role", usage, "UsageRole"),
    ):
        plain = json.loads((ROOT / "infra/plain" / f"{name}.json").read_text())["Statement"]
        check_statements(name, plain)
        granted = lambda statements: {action for action in actions(statements) if not action.startswith(("logs:", "sns:"))}
        assert granted(plain) == granted(template.statements(role)), name


def check_settings():
    """What the schedule sends: nothing but what was given, and only settings that there are."""
    def sent(resource="ScheduledRun", **parameters):
        properties = dict(Template("template.yaml", **parameters).resources())[resource]["Properties"]
        target = properties["Target"] if "Target" in properties else properties["Targets"][0]
        return json.loads(target["Input"])

    assert sent() == {"dryRun": True}
    given = {
        "MaxDeletions": ("5", 5),
        "ImagesToKeep": ("0", 0),
        "Policies": ('[{"repositories": ["*"], "rules": "ecr"}]', [{"repositories": ["*"], "rules": "ecr"}]),
        "KeepTags": ("latest,prod-*", ["latest", "prod-*"]),
        "UntaggedOlderThanDays": ("never", None),
        "KeepPulledWithinDays": ("60", 60),
        "KeepPushedWithinDays": ("2", 2),
        "Repositories": ("team/*", ["team/*"]),
        "ExcludeRepositories": ("base/*,x", ["base/*", "x"]),
        "Regions": ("us-east-1", ["us-east-1"]),
        "UsageRegions": ("us-east-1,eu-west-1", ["us-east-1", "eu-west-1"]),
        "AcceptUnseenAccounts": ("*", ["*"]),
    }
    everything = sent(**{name: text for name, (text, _) in given.items()})
    settings = json.loads((ROOT / "events/all-settings.json").read_text()).keys()
    assert everything.keys() <= settings, everything.keys() - settings
    key = {name: name[0].lower() + name[1:] for name in given} | {"Regions": "region"}
    assert everything == {"dryRun": True} | {key[name]: value for name, (_, value) in given.items()}
    assert sent("Rule", Trigger="rule", DryRun="false", ImagesToKeep="7") == {"dryRun": False, "imagesToKeep": 7}
    assert sent(UntaggedOlderThanDays="30") == {"dryRun": True, "untaggedOlderThanDays": 30}
    names = {name for name, _ in Template("template.yaml", Trigger="none").resources()}
    assert not names & {"ScheduledRun", "SchedulerRole", "Rule", "RulePermission"}


def check_schedules():
    plain = json.loads((ROOT / "infra/plain/schedule.json").read_text())
    template = Template("template.yaml")
    for schedule in (plain["ScheduleExpression"], template.parameters["Schedule"]):
        AWSCronExpressionValidator.validate(schedule.removeprefix("cron(").removesuffix(")"))
    json.loads(plain["Target"]["Input"])


def check_alarms_and_dashboard():
    resources = dict(Template("template.yaml").resources())
    alarms = {name for name, resource in resources.items() if resource["Type"] == "AWS::CloudWatch::Alarm"}
    assert alarms == {"RunFailed", "UsageIncomplete", "ImagesFailed", "NoRun"}
    assert all(resources[name]["Properties"]["AlarmActions"] == ["<Topic>"] for name in alarms)
    dashboard = json.loads(resources["Dashboard"]["Properties"]["DashboardBody"])
    shown = set(re.findall(r'"(?:EcrCleanup|\.)", "(\w+)"', json.dumps(dashboard)))
    telemetry = (ROOT / "src/telemetry.rs").read_text()
    for metric in shown | {resources[name]["Properties"]["MetricName"] for name in ("UsageIncomplete", "ImagesFailed")}:
        assert f'("{metric}",' in telemetry, f"the function has no metric {metric}"


def main():
    for check in (check_policies, check_settings, check_schedules, check_alarms_and_dashboard):
        check()
        print(f"{check.__name__}: ok", file=sys.stderr)


main()
