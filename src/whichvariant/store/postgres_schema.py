"""The tables of the PostgreSQL store, version by version.

Portable SQL: no extension, no type beyond integers, texts and bytes, no trigger, no lock of a whole
table. Keys are bytes, because they may hold a zero byte, which PostgreSQL's texts cannot, and
because bytes are in the order of code points wherever the database was made.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Migration(NamedTuple):
    """One step from the version before, and back.

    ``needs`` is the oldest version that a program must know to work with the tables afterwards: a
    step that older releases do not notice needs no more than the one before. ``online`` steps run
    statement by statement outside of a transaction, because they must not hold locks for long; so
    each of their statements can be repeated. ``only`` names the kind of database that takes the
    step; others skip it.
    """

    version: int
    name: str
    up: tuple[str, ...]
    down: tuple[str, ...]
    needs: int
    online: bool = False
    only: str = ""


_TABLES: Final = (
    """\
CREATE TABLE wv_meta (
    name TEXT PRIMARY KEY,
    value BYTEA NOT NULL,
    seal BIGINT NOT NULL
)""",
    """\
CREATE TABLE wv_namespaces (
    number BIGINT PRIMARY KEY,
    organization BYTEA NOT NULL,
    environment BYTEA NOT NULL,
    seal BIGINT NOT NULL,
    UNIQUE (organization, environment)
)""",
    # Profiles and all other keys in one table: its primary key is what makes a key one thing only,
    # whoever writes at the same time. kind: 0 profile, 1 alias, 2 forward, 3 tombstone. profile is
    # what an alias or a forward leads to. stamp tells whose write a row is, after a connection was
    # lost in the middle of one.
    """\
CREATE TABLE wv_keys (
    namespace BIGINT NOT NULL,
    key BYTEA NOT NULL,
    kind BIGINT NOT NULL,
    version BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    seal BIGINT NOT NULL,
    stamp BIGINT NOT NULL,
    profile BYTEA,
    record BYTEA,
    PRIMARY KEY (namespace, key)
)""",
    "CREATE INDEX wv_keys_by_profile ON wv_keys (namespace, profile) WHERE profile IS NOT NULL",
    "CREATE INDEX wv_keys_of_names ON wv_keys (namespace, key) WHERE kind <> 0",
    """\
CREATE TABLE wv_history (
    namespace BIGINT NOT NULL,
    profile BYTEA NOT NULL,
    sequence BIGINT NOT NULL,
    seal BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (namespace, profile, sequence)
)""",
    "CREATE SEQUENCE wv_inbox_sequence",
    """\
CREATE TABLE wv_inbox (
    sequence BIGINT PRIMARY KEY DEFAULT nextval('wv_inbox_sequence'),
    namespace BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    seal BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    owner BYTEA,
    made_ms BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    payload BYTEA NOT NULL
)""",
    """\
CREATE TABLE wv_rejected (
    sequence BIGINT PRIMARY KEY,
    namespace BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    seal BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    rejected_ms BIGINT NOT NULL,
    reason BYTEA NOT NULL,
    payload BYTEA NOT NULL
)""",
)

TABLES: Final = (
    "wv_meta",
    "wv_namespaces",
    "wv_keys",
    "wv_history",
    "wv_inbox",
    "wv_rejected",
)

MIGRATIONS: Final = (
    Migration(
        1,
        "tables",
        _TABLES,
        (
            "DROP TABLE wv_rejected",
            "DROP TABLE wv_inbox",
            "DROP SEQUENCE wv_inbox_sequence",
            "DROP TABLE wv_history",
            "DROP TABLE wv_keys",
            "DROP TABLE wv_namespaces",
            "DROP TABLE wv_meta",
        ),
        needs=1,
    ),
    # A profile's row is written again and again. With room left on its page the new row goes there,
    # and no index has to know; and what is dead is cleared away before it is a fifth of the table.
    Migration(
        2,
        "room for updates",
        (
            (
                "ALTER TABLE wv_keys SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, "
                "autovacuum_analyze_scale_factor = 0.02)"
            ),
            (
                "ALTER TABLE wv_inbox SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, "
                "autovacuum_vacuum_threshold = 1000)"
            ),
        ),
        (
            (
                "ALTER TABLE wv_keys RESET (fillfactor, autovacuum_vacuum_scale_factor, "
                "autovacuum_analyze_scale_factor)"
            ),
            (
                "ALTER TABLE wv_inbox RESET (fillfactor, autovacuum_vacuum_scale_factor, "
                "autovacuum_vacuum_threshold)"
            ),
        ),
        needs=1,
        online=True,
        only="PostgreSQL",
    ),
)
"""All steps, ascending from 1 without gaps."""

SCHEMA_VERSION: Final = MIGRATIONS[-1].version
