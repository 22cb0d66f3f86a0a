"""Derives the requests and answers of the operations that this project calls from AWS's own service models.

    derive.py            writes operations.json
    derive.py --check    fails if operations.json is not what the models give

The models are botocore's, in the version that tests/requirements.txt pins. The table contains facts, and no texts. Each
structure has its own table, to which its uses refer, so that a structure can contain itself.

The script reports an operation without a model on stderr, and records it as absent.
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

# Operations that the function calls, that the simulated account answers, or that return uses the function doesn't read.
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
    """The model of a service, with those of its structures that were needed so far."""

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
        """The members for paging, by their names on the wire."""
        sides = {"input_token": "input", "limit_key": "input", "output_token": "output", "result_key": "output"}
        wire_names = {}
        for key, side in sides.items():
            if key in paginator:
                reference = self.shapes[operation[side]["shape"]]["members"][paginator[key]]
                wire_names[key] = self.wire_name(paginator[key], reference)
        return wire_names

    def error(self, name):
        """The code on the wire, and the status. Without a status in the model, it is a client error unless marked."""
        shape = self.shapes[name]
        error = shape.get("error", {})
        return error.get("code", name), error.get("httpStatusCode", 500 if shape.get("fault") else 400)

    def structure(self, name, side):
        """Makes sure that a structure has its table, and returns its name."""
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
    # Ignores models that users may have added to their home folder.
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
    """An object with one entry per line."""
    entries = ",\n".join(f"{compact(key)}:{one_a_line(value)}" for key, value in sorted(table.items()))
    return f"{{\n{entries}\n}}" if table else "{}"


def text(table):
    """One service, one operation and one member per line, so that a diff shows exactly what changed in a model."""
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
            sys.exit(f"{TABLE.name} is outdated: it differs from the models of botocore {pinned}. Run tests/models/derive.py.")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        TABLE.write_text(derived)


if __name__ == "__main__":
    main()
