"""A small account in moto, seeded in-process, where every field can be set.

Prints one JSON line with the endpoint. Then prints the remaining images as a JSON line for each line of input, until the
input ends.
"""

import hashlib
import json
import sys
from datetime import datetime, timezone

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.exceptions import JsonRESTError
from moto.ecr.models import Image, ecr_backends
from moto.ecr.responses import ECRResponse
from moto.ecs.models import Container, ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.moto_api import state_manager
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

REGIONS = ("us-west-2", "eu-west-1")
DAY = 86_400


def registry(region):
    return ecr_backends[DEFAULT_ACCOUNT_ID][region]


MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def push(region, repository, tags, days_old, pulled_days_ago=None, manifest=None, media_type=MANIFEST):
    """Adds an image whose digest is that of its manifest, and returns the digest."""
    backend = registry(region)
    if repository not in backend.repositories:
        backend.create_repository(repository, None, {}, None, "MUTABLE", [])
    name = f"{region}{repository}{tags}{days_old}"
    manifest = json.dumps(manifest or {"layers": [], "config": {"size": 50_000_000, "digest": name}})
    digest = "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
    image = Image(DEFAULT_ACCOUNT_ID, tags[0] if tags else None, manifest, repository, media_type, digest)
    image.image_tags = list(tags)
    now = int(datetime.now(timezone.utc).timestamp())
    image.image_pushed_at = now - int(days_old * DAY)
    if pulled_days_ago is not None:
        image.last_recorded_pull_time = now - int(pulled_days_ago * DAY)
    backend.repositories[repository].images.append(image)
    return digest


def push_multi_arch(region, repository, tag, days_old):
    """Adds an index with two untagged children, and returns the digest of the first child."""
    children = [push(region, repository, [], days_old + number) for number in range(2)]
    manifests = [{"mediaType": MANIFEST, "digest": digest, "size": 7} for digest in children]
    manifest = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    push(region, repository, [tag], days_old, manifest=manifest, media_type=INDEX)
    return children[0]


def run(region, image):
    """Runs a task of one container."""
    backend = ecs_backends[DEFAULT_ACCOUNT_ID][region]
    backend.create_cluster("prod")
    backend.register_task_definition(
        family="app",
        container_definitions=[{"name": "app", "image": image, "cpu": 0, "memory": 0, "essential": True}],
    )
    backend.run_task("prod", "app", 1, None, "test", [], "FARGATE")


def unknown_operation(_response):
    """AWS's answer to an operation that a region doesn't support. moto would answer with an HTML page."""
    raise JsonRESTError("UnknownOperationException", "unknown operation")


def seed():
    # Every DescribeTasks would move the tasks on, until they stop.
    state_manager.set_transition("ecs::task", {"progression": "manual", "times": 1})
    # moto sends these two as numbers, where ECS and the SDK have text.
    described = Container.__init__

    def with_text(self, task_definition):
        described(self, task_definition)
        self.cpu = str(self.cpu)
        self.memory = str(self.memory)

    Container.__init__ = with_text
    EC2ContainerServiceResponse.list_daemons = unknown_operation
    ECRResponse.list_pull_time_update_exclusions = unknown_operation
    for region in REGIONS:
        for build in range(1, 13):
            push(region, "app", [f"v{build}"], days_old=200 - build)
        push(region, "app", [], days_old=100)
        push(region, "app", [], days_old=3)
        push(region, "app", ["old-and-latest", "latest"], days_old=900)
        push(region, "app", ["pulled"], days_old=900, pulled_days_ago=2)
        push(region, "idle", ["v1"], days_old=900)
        used = push(region, "by-digest", ["moved-away"], days_old=900)
        push(region, "by-digest", ["v2"], days_old=800)
        push_multi_arch(region, "multi", "stale", days_old=300)
        platform = push_multi_arch(region, "multi", "used", days_old=400)
        push(region, "multi", [], days_old=500)
    return used, platform


def left():
    return {
        region: {
            name: [tag for image in repository.images for tag in (image.image_tags or ["<untagged>"])]
            for name, repository in registry(region).repositories.items()
        }
        for region in REGIONS
    }


def main():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    used, platform = seed()
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket("our-memory", "us-west-2")
    registry_host = f"{DEFAULT_ACCOUNT_ID}.dkr.ecr"
    try:
        run("us-west-2", f"{registry_host}.us-west-2.amazonaws.com/app:v3")
        run("eu-west-1", f"{registry_host}.eu-west-1.amazonaws.com/by-digest@{used}")
        run("eu-west-1", f"{registry_host}.eu-west-1.amazonaws.com/multi@{platform}")
        print(json.dumps({"endpoint": f"http://{host}:{port}"}), flush=True)
        for _ in sys.stdin:
            print(json.dumps(left()), flush=True)
    finally:
        server.stop()


main()
