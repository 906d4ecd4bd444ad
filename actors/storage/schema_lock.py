"""Who may change the schema: a migration or the log's partitions, and nobody while it is copied."""

LOCK = 0x6775696C64
"""Key of an advisory lock ("guild"): exclusive to change the schema, shared to copy the database.

A copy holds every table's weakest lock until its end. A change of a table would wait for it, and
everybody else behind the change.
"""
