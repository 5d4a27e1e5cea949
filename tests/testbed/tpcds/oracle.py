"""Holds Spark's results of TPC-DS queries against those of DuckDB on the same files.

oracle.py DATA QUERIES RESULTS NAME...

DATA holds <table>.parquet, QUERIES <name>.sql, RESULTS <name>.csv with a header, as tpcds.py writes them. Prints a row a
query; the exit code is 1 if any differs.

Two results are equal if they have the same rows in the same order, where

- numbers may differ by 10⁻⁶ of their size, and by 10⁻⁶: Spark divides and averages decimals as decimals of six or more places,
  DuckDB as floating point;
- trailing blanks do not count: columns of a fixed length are padded by one and not by the other;
- rows that the query's own order leaves equal may come in any order, and where it cuts its result in the midst of such
  rows, any of them may be there: both are found by ranking DuckDB's whole result, before the cut, by that order.
"""

import csv
import re
import sys
from decimal import Decimal
from pathlib import Path

import duckdb

RELATIVE, ABSOLUTE = 1e-6, 1e-6

# `at`, a column of q90, is a keyword of DuckDB, and its concat skips a NULL, which Spark's does not.
DIALECT = {
    "q84": [("concat(c_last_name, ', ', c_first_name)", "c_last_name || ', ' || c_first_name")],
    "q90": [(") at,", ') "at",')],
}

# At the end of a query, after its last parenthesis or outside of all of them.
LIMIT = re.compile(r"\blimit\s+(\d+)\s*;?\s*$", re.IGNORECASE)
ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)
FROM = re.compile(r"\bfrom\b", re.IGNORECASE)


def connect(data):
    """Opens the tables of a folder, with NULL where Spark sorts it."""
    database = duckdb.connect()
    database.execute("set default_null_order = 'nulls_first_on_asc_last_on_desc'")
    for path in sorted(Path(data).glob("*.parquet")):
        columns = "* rename (c_last_review_date_sk as c_last_review_date)" if path.stem == "customer" else "*"
        database.execute("create view %s as select %s from '%s'" % (path.stem, columns, path))
    return database


def depth_at(text, end):
    """How many parentheses are open before `end`; no query has one within a text."""
    return text.count("(", 0, end) - text.count(")", 0, end)


def split(text):
    """Splits a query into itself without order and limit, its order ('' if none), and its limit (or None)."""
    text = text.strip().rstrip(";").rstrip()
    limit = LIMIT.search(text)
    if limit:
        text = text[: limit.start()].rstrip()
    order = [found for found in ORDER.finditer(text) if depth_at(text, found.start()) == 0]
    if not order:
        return text, "", limit and int(limit[1])
    return text[: order[-1].start()], text[order[-1].end() :], limit and int(limit[1])


def plain(value):
    """A value of DuckDB's as it is compared: a number, a text, or None."""
    if isinstance(value, (int, float, Decimal)):
        return None if value != value else float(value)
    return value if value is None else str(value).rstrip()


def agree(spark, duck):
    """Whether a field of the CSV is DuckDB's value; a NULL is an empty field."""
    if duck is None:
        return spark in ("", "NaN")
    if isinstance(duck, float):
        try:
            return abs(float(spark) - duck) <= max(ABSOLUTE, RELATIVE * abs(duck))
        except ValueError:
            return False
    return spark.rstrip() == duck


def rows_agree(spark, duck):
    """Whether two rows are equal."""
    return len(spark) == len(duck) and all(map(agree, spark, duck))


def ranked(database, query, order):
    """Each row of the whole result with its rank by the query's order, or None if that cannot be asked.

    Most orders name columns of the result, and can be asked of that. Others name what the result was made of, and are asked
    in the query itself.
    """
    rank = "rank() over (order by %s)" % order
    begins = next((found.start() for found in FROM.finditer(query) if depth_at(query, found.start()) == 0), len(query))
    for text in "select *, %s from (%s)" % (rank, query), "%s, %s %s" % (query[:begins], rank, query[begins:]):
        try:
            return [(row[-1], tuple(map(plain, row[:-1]))) for row in database.execute(text).fetchall()]
        except duckdb.Error:
            continue
    return None


def compare(database, text, spark):
    """Returns how the results relate, and whether that is good enough."""
    duck = [tuple(map(plain, row)) for row in database.execute(text).fetchall()]
    if len(spark) != len(duck):
        return "Spark has %d rows, DuckDB %d" % (len(spark), len(duck)), False
    first = next((i for i, pair in enumerate(zip(spark, duck)) if not rows_agree(*pair)), None)
    if first is None:
        return "equal", True
    difference = "row %d: Spark %s, DuckDB %s" % (first + 1, spark[first], duck[first])
    query, order, limit = split(text)
    whole = ranked(database, query, order) if order else [(1, row) for row in duck] if limit is None else None
    if whole is None:
        return difference, False
    # Equal rows have equal ranks, so it does not matter which of them is taken.
    left, ranks = sorted(whole, key=lambda row: row[0]), []
    for row in spark:
        found = next((i for i, (_, other) in enumerate(left) if rows_agree(row, other)), None)
        if found is None:
            return difference, False
        ranks.append(left.pop(found)[0])
    wanted = sorted(rank for rank, _ in whole)[: len(duck)]
    return ("equal but for ties", True) if ranks == wanted else (difference, False)


def read(path):
    """The rows of a CSV, without its header."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def main(data, queries, results, names):
    database = connect(data)
    good = True
    for name in names:
        text = Path(queries, name + ".sql").read_text(encoding="utf-8")
        for there, here in DIALECT.get(name, []):
            text = text.replace(there, here)
        spark = read(Path(results, name + ".csv"))
        what, fine = compare(database, text, spark)
        good = good and fine
        print("%-6s %6d  %s" % (name, len(spark), what if fine else "DIFFERENT: " + what), flush=True)
    if not good:
        sys.exit(1)


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit("usage: oracle.py DATA QUERIES RESULTS NAME...")
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
