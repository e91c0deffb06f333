"""Conversion of a gateway's request logs to a folder of tables."""
