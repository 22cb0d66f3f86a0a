"""Derives from AWS's own service models what the operations that this project calls may be asked and may answer.

    derive.py            writes operations.json
    derive.py --check    fails if operations.json is not what the models give

The models are botocore's, in the version that tests/requirements.txt pins. Facts are carried over, no sentences. A
structure has a table of its own and is named where it is used, so a structure that holds itself needs no end.

An operation that the models don't have is told on stderr and is recorded as absent.
"""

import json
import re
import sys
from pathlib import Path

import botocore
from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader

HERE = Path(__file__).resolve().parent
TABLE = HERE / "operations.json"
PINNED = HERE.parent / "requirements.txt"

# What the function calls, what the simulated account answers, and what tells of uses that the function does not ask for.
OPERATIONS = {
    "account": ["ListRegions"],
    "ecr": [
        "BatchDeleteImage", "BatchGetImage", "DescribeImages", "DescribePullThroughCacheRules", "DescribeRegistry",
        "DescribeRepositories", "GetLifecyclePolicy", "GetRegistryPolicy", "GetRepositoryPolicy", "ListImageReferrers",
        "ListPullTimeUpdateExclusions", "UpdateImageStorageClass",
    ],
    "ecs": [
        "DescribeDaemon", "DescribeDaemonDeployments", "DescribeDaemonRevisions", "DescribeDaemonTaskDefinition",
        "DescribeServiceDeployments", "DescribeServiceRevisions", "DescribeServices", "DescribeTaskDefinition",
        "DescribeTasks", "ListClusters", "ListDaemonDeployments", "ListDaemonTaskDefinitions", "ListDaemons",
        "ListServiceDeployments", "ListServices", "ListTaskDefinitionFamilies", "ListTaskDefinitions", "ListTasks",
    ],
    "lambda": ["GetFunction", "ListAliases", "ListEventSourceMappings", "ListFunctions", "ListVersionsByFunction"],
    "lambda-core": ["GetRuntimeVersion", "ListRuntimeAliases", "ListRuntimeVersions", "ListRuntimes"],
    "sts": ["AssumeRole", "GetCallerIdentity"],
}

TYPES = {"long": "integer", "double": "float", "character": "string"}
# How a protocol writes a time in a body, unless the model says otherwise.
TIMES = {"json": "unixTimestamp", "rest-json": "unixTimestamp", "query": "iso8601"}


class Service:
    """One service's model, and the structures of it that were needed so far."""

    def __init__(self, loader, name):
        self.name, self.structures = name, {}
        self.model = loader.load_service_model(name, "service-2")
        self.shapes, self.metadata = self.model["shapes"], self.model["metadata"]
        paginated = name in loader.list_available_services("paginators-1")
        pages = loader.load_service_model(name, "paginators-1") if paginated else {}
        self.pagination = pages.get("pagination", {})

    def facts(self):
        names = {"apiVersion": "version", "jsonVersion": "json", "protocol": "protocol", "targetPrefix": "target"}
        return {name: self.metadata[key] for key, name in names.items() if key in self.metadata}

    def operation(self, action):
        operation = self.model["operations"][action]
        facts = {
            "method": operation["http"]["method"],
            "uri": operation["http"]["requestUri"],
            "errors": dict(self.error(error["shape"]) for error in operation.get("errors", [])),
        }
        if action in self.pagination:
            facts["pagination"] = self.paging(operation, self.pagination[action])
        for side in ("input", "output"):
            if side in operation:
                facts[side] = self.structure(operation[side]["shape"], side)
        return facts

    def paging(self, operation, paginator):
        """The members that pages go by, as they are named on the wire."""
        sides = {"input_token": "input", "limit_key": "input", "output_token": "output", "result_key": "output"}
        wire_names = {}
        for key, side in sides.items():
            if key in paginator:
                reference = self.shapes[operation[side]["shape"]]["members"][paginator[key]]
                wire_names[key] = self.wire_name(paginator[key], reference)
        return wire_names

    def error(self, name):
        """The code on the wire, and the status. Where the model has no status, it is the caller's fault unless marked."""
        shape = self.shapes[name]
        error = shape.get("error", {})
        return error.get("code", name), error.get("httpStatusCode", 500 if shape.get("fault") else 400)

    def structure(self, name, side):
        """Makes sure that a structure has its table, and names it."""
        full_name = f"{self.name}:{name}"
        if full_name not in self.structures:
            shape = self.shapes[name]
            assert "payload" not in shape, f"{full_name} is not in JSON alone"
            self.structures[full_name] = {}
            required = shape.get("required", [])
            for member, reference in shape["members"].items():
                facts = self.member(reference, side)
                if member in required:
                    facts["required"] = True
                wire_name = self.wire_name(member, reference)
                self.structures[full_name][wire_name] = facts
        return full_name

    def wire_name(self, member, reference):
        return reference.get("locationName", member) if self.metadata["protocol"] != "json" else member

    def member(self, reference, side):
        name = reference["shape"]
        shape = self.shapes[name]
        kind = TYPES.get(shape["type"], shape["type"])
        facts = {"type": kind}
        facts |= {key: shape[key] for key in ("min", "max") if key in shape}
        if "enum" in shape:
            facts["enum"] = sorted(shape["enum"])
        if shape.get("document"):
            facts["type"] = "document"
        elif kind == "structure":
            facts["of"] = self.structure(name, side)
        elif kind == "list":
            facts["each"] = self.member(shape["member"], side)
        elif kind == "map":
            facts["key"] = self.member(shape["key"], side)
            facts["each"] = self.member(shape["value"], side)
        elif kind == "timestamp":
            facts["format"] = reference.get("timestampFormat") or shape.get("timestampFormat") or self.time()
        if "location" in reference:
            assert side == "input", f"{name} is answered in a {reference['location']}, which is not checked"
            facts["location"] = reference["location"]
        return facts

    def time(self):
        return self.metadata.get("timestampFormat") or TIMES[self.metadata["protocol"]]


def derive():
    # Nothing from the models that a user may have added to their home.
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    table = {"botocore": botocore.__version__, "services": {}, "operations": {}, "structures": {}}
    for name, actions in OPERATIONS.items():
        try:
            service = Service(loader, name)
        except UnknownServiceError:
            print(f"the models have no service {name}", file=sys.stderr)
            table["operations"] |= {f"{name}:{action}": {"absent": True} for action in actions}
            continue
        table["services"][name] = service.facts()
        for action in actions:
            if action not in service.model["operations"]:
                print(f"the model of {name} has no operation {action}", file=sys.stderr)
                table["operations"][f"{name}:{action}"] = {"absent": True}
                continue
            table["operations"][f"{name}:{action}"] = service.operation(action)
        table["structures"] |= service.structures
    return table


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def lines(table, one_a_line=compact):
    """An object with one entry a line."""
    entries = ",\n".join(f"{compact(key)}:{one_a_line(value)}" for key, value in sorted(table.items()))
    return f"{{\n{entries}\n}}" if table else "{}"


def text(table):
    """One service, one operation and one member a line: what changes in a model shows where it changes."""
    parts = {
        "botocore": compact(table["botocore"]),
        "services": lines(table["services"]),
        "operations": lines(table["operations"]),
        "structures": lines(table["structures"], lines),
    }
    return "{\n" + ",\n".join(f"{compact(key)}:{part}" for key, part in parts.items()) + "\n}\n"


def main():
    pinned = re.search(r"^botocore==(\S+)$", PINNED.read_text(), re.MULTILINE)[1]
    if botocore.__version__ != pinned:
        sys.exit(f"this is botocore {botocore.__version__}; {PINNED.name} pins {pinned}")
    derived = text(derive())
    if sys.argv[1:] == ["--check"]:
        if not TABLE.exists() or TABLE.read_text() != derived:
            sys.exit(f"{TABLE.name} is not what the models of botocore {pinned} give; derive.py writes it anew")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        TABLE.write_text(derived)


if __name__ == "__main__":
    main()
