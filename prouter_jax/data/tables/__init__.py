"""Folders of Parquet, CSV and JSONL tables: schema, reading, writing, additions."""
