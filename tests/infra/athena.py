"""Checks the tables of infra/athena.sql on reports that a test of the function has written: the columns are those of the
rows, and DuckDB, which reads the same partitions, finds the same sums as in the reports.

    athena.py FOLDER

FOLDER is a memory. `cargo test --test wire memory_reports` writes it to target/tmp/athena.
"""

import gzip
import json
import re
import sys
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[2]
# The types of Athena in DuckDB.
TYPES = {"string": "VARCHAR", "boolean": "BOOLEAN", "bigint": "BIGINT", "array<string>": "VARCHAR[]"}
PARTITIONS = ["dt", "account", "region"]


def statements():
    text = re.sub(r"^--.*$", "", (ROOT / "infra/athena.sql").read_text(), flags=re.MULTILINE)
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def tables():
    """The columns of each table with their types, and its folder in the memory."""
    found = {}
    for statement in statements():
        if not statement.startswith("CREATE"):
            continue
        name, columns = re.match(r"CREATE EXTERNAL TABLE (\w+) \(\n(.*?)\n\)", statement, re.DOTALL).groups()
        partitions, = re.findall(r"PARTITIONED BY \((.*)\)", statement)
        assert [column.split() for column in partitions.split(", ")] == [[name, "string"] for name in PARTITIONS]
        location, = re.findall(r"^LOCATION 's3://MEMORY_BUCKET/ecr-cleanup/(.*)/'", statement, re.MULTILINE)
        template, = re.findall(r"'storage.location.template' = 's3://MEMORY_BUCKET/ecr-cleanup/(.*)/'", statement)
        assert template == location + "".join(f"/{name}=${{{name}}}" for name in PARTITIONS), template
        projected = {part.split(".")[1] for part in re.findall(r"'(projection\.\w+\.type)'", statement)}
        assert projected == set(PARTITIONS), projected
        found[name] = (dict(line.strip(" ,").split(" ") for line in columns.split("\n")), location)
    return found


def read(path):
    return gzip.decompress(path.read_bytes()).decode()


def check_columns(memory, columns, location):
    """Each row has all columns, in their order, and no others."""
    rows = [json.loads(line) for file in (memory / location).rglob("*.jsonl.gz") for line in read(file).splitlines()]
    assert rows, f"there are no rows in {location}"
    for row in rows:
        assert list(row) == list(columns), f"{location}: {set(row) ^ set(columns)}"


def create(database, memory, name, columns, location):
    """The table over the files. A value that does not have its column's type is an error."""
    of_duckdb = {column: TYPES[kind] for column, kind in columns.items()}
    partitions = {partition: "VARCHAR" for partition in PARTITIONS}
    database.execute(
        f"CREATE VIEW {name} AS SELECT * FROM read_json('{memory / location}/*/*/*/*.jsonl.gz', format='newline_delimited',"
        f" columns={of_duckdb | partitions}, hive_partitioning=true, hive_types={partitions})"
    )


def check_sums(database, memory):
    """The sums of a run's rows are the totals of its report, in the partition of its day."""
    checked = 0
    for path in (memory / "reports/json").glob("*.json.gz"):
        report = json.loads(read(path))
        registry = report["regions"][0]
        where = "WHERE runId = ? AND dt = ? AND account = ? AND region = ?"
        run = [report["runId"], report["startedAt"][:10], registry["registryId"], registry["region"]]
        names = [
            "images", "imagesInUse", "imagesKept", "imagesStale", "imagesDeleted", "imagesArchived", "imagesFailed", "bytes",
            "bytesInUse", "bytesKept", "bytesStale", "bytesDeleted",
        ]
        sums = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in names)
        found = database.execute(f"SELECT {sums} FROM ecr_cleanup_repositories {where}", run).fetchone()
        assert dict(zip(names, found)) == {name: report["totals"][name] for name in names}, path
        query = f"SELECT count(*), CAST(coalesce(sum(imageSizeInBytes), 0) AS BIGINT) FROM ecr_cleanup_deleted {where}"
        found = database.execute(query, run).fetchone()
        assert found == (report["totals"]["imagesDeleted"], report["totals"]["bytesDeleted"]), (path, found)
        checked += 1
    assert checked == 2, f"{checked} reports"


def check_queries(database, memory):
    """The queries in the file run, and find something."""
    queries = [statement for statement in statements() if statement.startswith("SELECT")]
    assert len(queries) == 2
    digest, = database.execute("SELECT min(imageDigest) FROM ecr_cleanup_deleted").fetchone()
    for query in queries:
        assert database.execute(re.sub(r"sha256:0{64}", digest, query)).fetchall(), query


def main():
    memory = Path(sys.argv[1])
    database = duckdb.connect()
    found = tables()
    assert found.keys() == {"ecr_cleanup_repositories", "ecr_cleanup_deleted"}
    for name, (columns, location) in found.items():
        check_columns(memory, columns, location)
        create(database, memory, name, columns, location)
    check_sums(database, memory)
    check_queries(database, memory)
    print("athena.sql: ok", file=sys.stderr)


main()
