"""Writes small tables in every supported file format, for the tests of readers."""

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq


def write_rows(path, rows):
    """Writes rows of cells in the format of the suffix; the columns are those that any row has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".gz":
        write_rows(path.with_suffix(""), rows)
        path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
        path.with_suffix("").unlink()
    elif path.suffix == ".parquet":
        table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
        pq.write_table(table, path, write_page_checksum=True)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=2))
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            for row in rows:
                writer.writerow({k: "|".join(map(str, v)) if isinstance(v, list) else v for k, v in row.items()})
    return path
