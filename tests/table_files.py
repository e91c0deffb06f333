"""Writing small tables in every format that is read, for the tests of readers."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq


def write_rows(path, rows):
    """Writes rows of cells in the format of the suffix; the columns are those of the first row."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            for row in rows:
                writer.writerow({k: "|".join(v) if isinstance(v, list) else v for k, v in row.items()})
    return path
