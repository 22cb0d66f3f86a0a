"""Deploys the stack to MiniStack as a new user does, lets its schedules invoke the function, and destroys it.

    ministack_stack.py BOOTSTRAP_ZIP SAM MINISTACK DEMO

SAM deploys the result of `sam build` in .aws-sam, which is the same as in the zip. The first deployment has only default
parameters. The others are live: with EventBridge Scheduler in one region, and with an EventBridge rule in another.
MiniStack runs the bootstrap, which calls the demo's simulated account. That account deletes in the same way as ECR.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import ExitStack
from pathlib import Path

import boto3

from processes import ACCOUNT, free_port, running, simulated_account, wait_for
from template import ROOT, Template

REGION = "us-west-2"
BY_SCHEDULER, BY_RULE = REGION, "eu-central-1"
# A minute until it is due, ten seconds until MiniStack checks, and the run itself.
FIRED_WITHIN = 120


def clients(endpoint, access_key):
    def client(service, region=REGION):
        return boto3.client(
            service, region, endpoint_url=endpoint, aws_access_key_id=access_key, aws_secret_access_key="simulated"
        )

    return client


def images(ecr):
    """All images, by repository and digest."""
    repositories = ecr.get_paginator("describe_repositories").paginate()
    return {
        (repository["repositoryName"], image["imageDigest"])
        for page in repositories
        for repository in page["repositories"]
        for found in ecr.get_paginator("describe_images").paginate(repositoryName=repository["repositoryName"])
        for image in found["imageDetails"]
    }


def running_images(aws, region):
    """The images of the tasks in a region, by repository and digest."""
    ecr, ecs = aws("ecr", region), aws("ecs", region)
    names = set()
    for cluster in ecs.list_clusters()["clusterArns"]:
        tasks = ecs.list_tasks(cluster=cluster)["taskArns"]
        for task in ecs.describe_tasks(cluster=cluster, tasks=tasks)["tasks"] if tasks else []:
            names |= {container["image"] for container in task["containers"]}
    found = set()
    for name in names:
        repository, tag = name.split("/", 1)[1].rsplit(":", 1)
        detail, = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])["imageDetails"]
        found.add((repository, detail["imageDigest"]))
    assert found, f"nothing runs in {region}"
    return found


class Sam:
    """The SAM CLI in a separate folder, with MiniStack as AWS."""

    def __init__(self, sam, folder, endpoint):
        self.sam, self.folder = sam, folder
        self.environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "SAM_CLI_TELEMETRY": "0",
            "PATH": "/usr/bin:/bin",
            # A home without profiles.
            "HOME": str(folder),
        }

    def __call__(self, *arguments, answers=""):
        done = subprocess.run(
            [self.sam, *arguments],
            env=self.environment,
            cwd=self.folder,
            input=answers,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"sam {arguments[0]}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def deployable(folder, archive):
    """The result of `sam build`, without the one resource type that MiniStack doesn't support."""
    built = (ROOT / ".aws-sam/build/Function/bootstrap").read_bytes()
    assert zipfile.ZipFile(archive).read("bootstrap") == built, "SAM and make build have built different bootstraps"
    document = Template(ROOT / ".aws-sam/build/template.yaml").document
    del document["Resources"]["PullTimeExclusion"]
    document["Resources"]["Function"]["Properties"]["CodeUri"] = str(ROOT / ".aws-sam/build/Function")
    template = folder / "template.json"
    template.write_text(json.dumps(document))
    return template, len(document["Parameters"])


def check_defaults(sam, template, parameters, ministack):
    """Enter at every prompt deploys a stack that runs at night, and can't delete."""
    # The stack's name, the region and each parameter; then SAM's own prompts.
    enters = "\n" * (2 + parameters)
    told = sam(
        "deploy", "--guided", "--template-file", template, "--stack-name", "ecr-cleanup",
        "--capabilities", "CAPABILITY_IAM", "--confirm-changeset", answers=enters + "\n\n\n\n\n\n" + "y\n",
    )  # fmt: skip
    assert "Deploy this changeset?" in told and "Successfully created" in told, told
    assert (sam.folder / "samconfig.toml").exists()
    schedule, = ministack("scheduler").list_schedules()["Schedules"]
    target = ministack("scheduler").get_schedule(Name=schedule["Name"])
    assert json.loads(target["Target"]["Input"]) == {"dryRun": True}, target
    role = target_role(ministack)
    assert not writes(ministack, role), "by default the role can't delete"


def target_role(ministack):
    function, = ministack("lambda").list_functions()["Functions"]
    return function["Role"].rsplit("/", 1)[1]


def writes(ministack, role):
    iam = ministack("iam")
    documents = [
        json.dumps(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    assert documents, "the role has policies"
    return re.findall(r"ecr:(?:BatchDelete|Update|Put|Delete)\w+", " ".join(documents))


def dry_run(ministack):
    """The stale images in the report of a dry run, by region."""
    function, = ministack("lambda").list_functions()["Functions"]
    answer = ministack("lambda").invoke(FunctionName=function["FunctionName"], Payload=json.dumps({"dryRun": True}))
    report = json.loads(answer["Payload"].read())
    assert report.get("outcome") == "planned" and report["truncatedImages"] == 0, report
    return {
        region["region"]: {
            (repository["repositoryName"], image["imageDigest"])
            for repository in region["repositories"]
            for image in repository["stale"]
        }
        for region in report["regions"]
    }


def check_live(sam, template, ministack, aws):
    stale = dry_run(ministack)
    before = {region: images(aws("ecr", region)) for region in (BY_SCHEDULER, BY_RULE)}
    in_use = {region: running_images(aws, region) for region in before}
    for region in before:
        assert stale[region] and stale[region] < before[region] and not stale[region] & in_use[region], region

    stacks = (("ecr-cleanup", "scheduler", BY_SCHEDULER), ("ecr-cleanup-by-rule", "rule", BY_RULE))
    for stack, trigger, region in stacks:
        sam(
            "deploy", "--template-file", template, "--stack-name", stack, "--no-confirm-changeset", "--parameter-overrides",
            "DryRun=false", 'Schedule="cron(* * * * ? *)"', f"Trigger={trigger}", f"Regions={region}",
            f"MaxDeletions={len(stale[region])}",
            # The function calls the simulated account, which lacks the bucket that MiniStack creates.
            "Memory=false",
        )  # fmt: skip
    deployed = time.monotonic()
    left = before
    while time.monotonic() < deployed + FIRED_WITHIN and any(left[region] & stale[region] for region in left):
        time.sleep(1)
        left = {region: images(aws("ecr", region)) for region in left}
    for region in left:
        remaining = len(left[region] & stale[region])
        assert left[region] == before[region] - stale[region], f"{region}: {remaining} stale images are left"
        assert in_use[region] <= left[region], f"{region}: a running image was deleted"
        print(f"{region}: deleted the {len(stale[region])} of {len(before[region])} images that the dry run listed")
    print(f"all of it within {time.monotonic() - deployed:.0f} s of the deployment")


def check_destroyed(sam, ministack):
    for stack in ("ecr-cleanup", "ecr-cleanup-by-rule"):
        sam("delete", "--stack-name", stack, "--no-prompts", "--region", REGION)
    assert not ministack("lambda").list_functions()["Functions"]
    assert not ministack("scheduler").list_schedules()["Schedules"]
    assert not ministack("events").list_rules()["Rules"]
    assert not ministack("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/ecr-cleanup")["logGroups"]


def main():
    archive, sam, program, demo = (Path(argument).absolute() for argument in sys.argv[1:])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        account = simulated_account(stack, demo)
        port = free_port()
        environment = {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "TMPDIR": str(folder),
            # The AWS endpoint of the functions that it runs.
            "AWS_ENDPOINT_URL": account,
        }
        running(stack, [program], environment, folder)
        wait_for(port)
        ministack = clients(f"http://127.0.0.1:{port}", ACCOUNT)
        aws = clients(account, f"AKIASIM{ACCOUNT}")
        template, parameters = deployable(folder, archive)
        sam = Sam(sam, folder, f"http://127.0.0.1:{port}")
        check_defaults(sam, template, parameters, ministack)
        check_live(sam, template, ministack, aws)
        check_destroyed(sam, ministack)
    print("MiniStack: ok")


main()
