"""The table and the verb of a statement, whatever its spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botmetry.integrations.sql import OTHER, describe

READING = [
    ("SELECT 1", "none"),
    ("select * from Users where id=$1", "users"),
    ("SELECT * FROM public.users u JOIN orders o ON true", "users"),
    ('SELECT * FROM "Weird ""Name" WHERE x', 'Weird "Name'),
    ('SELECT * FROM audit."Log"', "audit.Log"),
    ("SELECT * FROM a.b.c", "b.c"),
    ("-- not FROM x\nSELECT a FROM t", "t"),
    ("/* not /* even FROM y */ FROM z */ SELECT a FROM t", "t"),
    ("SELECT 'FROM x', E'\\' FROM y', $$ FROM z $$, $tag$ FROM $$ w $tag$ FROM t", "t"),
    ("SELECT extract(year FROM at), substring(a FROM 2) FROM events", "events"),
    ("SELECT trim(both from x) FROM t", "t"),
    ("SELECT a IS DISTINCT FROM b FROM t", "t"),
    ("SELECT * FROM generate_series(1,2) g JOIN t ON true", "t"),
    ("SELECT $1::int[] FROM unnest($1) WITH ORDINALITY", "none"),
    ("SELECT pg_advisory_xact_lock($1)", "none"),
    ("SELECT * FROM (SELECT * FROM inner_t) x", "inner_t"),
    ("SELECT * FROM (a JOIN b USING (id))", "a"),
    ("SELECT * FROM LATERAL (SELECT 1 FROM z) q", "z"),
    ("(SELECT a FROM t) UNION (SELECT b FROM u)", "t"),
    ("SELECT * FROM t FOR UPDATE SKIP LOCKED", "t"),
    ("SELECT now() FOR UPDATE OF u", "none"),
    ("WITH x AS (SELECT * FROM a WHERE y IN (SELECT 1 FROM b)) SELECT * FROM x", "a"),
    ("WITH t AS (UPDATE jobs SET a=1 RETURNING id) SELECT * FROM t", "jobs"),
]
OTHERS = [
    ("INSERT INTO t (a,b) VALUES ($1,$2) ON CONFLICT DO UPDATE SET a=1", "INSERT", "t"),
    ("INSERT INTO transactions(a) SELECT a FROM staging", "INSERT", "transactions"),
    ("UPDATE ONLY t SET a = 1", "UPDATE", "t"),
    ("UPDATE t SET a = (SELECT max(x) FROM u)", "UPDATE", "t"),
    ("DELETE FROM ONLY public.t USING u", "DELETE", "t"),
    ("MERGE INTO t USING s ON true", "MERGE", "t"),
    ("WITH moved AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM moved", "INSERT", "b"),
    ("WITH RECURSIVE x(n) AS (SELECT 1 FROM x), y AS (TABLE q) INSERT INTO z TABLE x", "INSERT", "z"),
    ("TRUNCATE TABLE t", "TRUNCATE", "t"),
    ("TRUNCATE a, b", "TRUNCATE", "a"),
    ("COPY t (a) FROM STDIN", "COPY", "t"),
    ("COPY (SELECT * FROM q) TO STDOUT", "COPY", "q"),
    ("CREATE TABLE IF NOT EXISTS t (a int)", "CREATE", "t"),
    ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY public.t (a)", "CREATE", "t"),
    ("CREATE FUNCTION f() RETURNS int AS $$ SELECT 1 FROM x $$ LANGUAGE sql", "CREATE", "none"),
    ("ALTER TABLE IF EXISTS ONLY t ADD COLUMN x int", "ALTER", "t"),
    ("DROP TABLE IF EXISTS t CASCADE", "DROP", "t"),
    ("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE", "LOCK", "transactions"),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", "REFRESH", "v"),
    ("EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM t", "EXPLAIN", "t"),
    ("VACUUM (FULL, ANALYZE) t", "VACUUM", "t"),
    ("ANALYZE VERBOSE t", "ANALYZE", "t"),
    ("VACUUM", "VACUUM", "none"),
    ("TABLE t", "TABLE", "t"),
    ("VALUES (1,2)", "VALUES", "none"),
    ("DECLARE c CURSOR FOR SELECT * FROM t", "DECLARE", "t"),
    ("BEGIN;", "BEGIN", "none"),
    ("SAVEPOINT x", "SAVEPOINT", "none"),
    ("LISTEN news", "LISTEN", "none"),
    ("", OTHER, "none"),
    ("   -- nothing", OTHER, "none"),
    ("FROBNICATE t", OTHER, "none"),
]


@pytest.mark.parametrize(("sql", "table"), READING, ids=[sql for sql, _ in READING])
def test_the_table_that_is_read_is_found(sql, table):
    """A query is named after the first table it reads; functions, strings, comments and names of its own are none."""
    assert describe(sql) == ("SELECT", table)


@pytest.mark.parametrize(("sql", "operation", "table"), OTHERS, ids=[sql for sql, _, _ in OTHERS])
def test_the_table_that_is_worked_on_is_found(sql, operation, table):
    """A statement is named after its verb and the table that the verb works on."""
    assert describe(sql) == (operation, table)


_PIECES = st.sampled_from(
    [
        "SELECT",
        "FROM",
        "WITH",
        "AS",
        "(",
        ")",
        ",",
        ".",
        "t",
        '"q',
        "'s",
        "$$",
        "/*",
        "*/",
        "--",
        "\n",
        "UPDATE",
        "$1",
    ]
)


@given(st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=40).map(" ".join)))
def test_no_text_is_too_strange(sql):
    """Any text gets an operation and a table, without an error; the operations stay the known ones."""
    operation, table = describe(sql)

    assert operation == OTHER or operation.isupper()
    assert operation.isalpha()
    assert table


def test_a_long_statement_costs_no_more_than_its_beginning():
    """A statement with a hundred thousand values is read to the table, not to the end."""
    values = ", ".join(f"({number})" for number in range(100_000))

    assert describe(f"INSERT INTO t VALUES {values}") == ("INSERT", "t")
