"""Runs TPC-DS queries with Spark: tpcds.py DATA QUERIES RESULTS [NAME,...] (URLs of any file system Spark reads).

DATA holds <table>.parquet for each table, QUERIES <name>.sql, and RESULTS receives <name>/part-*.csv with a header, in the
order of the query. Without NAMEs all queries that are there are run; they are one argument, as ECI takes no more than 101. Each
query is a job group of its name, so that event log and history server tell what belongs to it.

A line of the log that begins with "tpcds: " says what was done: `tpcds: q6 ok 1.234 47` (seconds, rows), or
`tpcds: q6 failed`, with the error after it. The exit code is 1 when a query failed; the others are run all the same.
"""

import sys
import time
import traceback

from pyspark.sql import Observation, SparkSession
from pyspark.sql import functions as F


def files(spark, url):
    """Returns the files right under `url`, as Hadoop's paths."""
    path = spark._jvm.org.apache.hadoop.fs.Path(url)
    system = path.getFileSystem(spark._jsc.hadoopConfiguration())
    return [status.getPath() for status in system.listStatus(path)]


def natural(name):
    """Sorts q2 before q10, and q14a before q14b."""
    digits = "".join(c for c in name if c.isdigit())
    return int(digits or 0), name


def rows_as_text(result):
    """Makes a result fit for CSV: names that are there twice get a number, and a NULL that is alone in its row becomes an
    empty text, as an empty line is no row."""
    names = []
    for name in result.columns:
        again = sum(name == other for other in result.columns[: len(names)])
        names.append("%s_%d" % (name, again + 1) if again else name)
    result = result.toDF(*names)
    if len(names) == 1:
        result = result.select(F.coalesce(F.col(names[0]).cast("string"), F.lit("")).alias(names[0]))
    return result


def main(data, queries, results, names):
    spark = SparkSession.builder.appName("tpcds").getOrCreate()
    for path in files(spark, data):
        table, dot, kind = path.getName().rpartition(".")
        if kind == "parquet":
            spark.read.parquet(path.toString()).createOrReplaceTempView(table)
    # What the specification calls c_last_review_date_sk, Spark's edition of q30 calls c_last_review_date.
    customer = spark.table("customer").withColumnRenamed("c_last_review_date_sk", "c_last_review_date")
    customer.createOrReplaceTempView("customer")

    texts = {}
    for path in files(spark, queries):
        name, dot, kind = path.getName().rpartition(".")
        if kind == "sql":
            texts[name] = path.toString()
    missing = sorted(set(names) - set(texts))
    if missing:
        sys.exit("error: there is no query %s; there are %s" % (", ".join(missing), ", ".join(sorted(texts, key=natural))))

    failed = False
    for name in sorted(names or texts, key=natural):
        text = spark.read.text(texts[name], wholetext=True).first()[0]
        spark.sparkContext.setJobGroup(name, "TPC-DS %s" % name)
        start = time.monotonic()
        try:
            # Counted on the way, so that the plan stays the query's own.
            counted = Observation(name)
            result = spark.sql(text).observe(counted, F.count(F.lit(1)).alias("rows"))
            # One file: results are small, and their order is a part of them.
            rows_as_text(result).coalesce(1).write.mode("overwrite").options(header=True, escape='"', emptyValue='""').csv(
                "%s/%s" % (results, name)
            )
            rows = counted.get["rows"]
        except Exception:
            failed = True
            print("tpcds: %s failed" % name, flush=True)
            traceback.print_exc()
            continue
        print("tpcds: %s ok %.3f %d" % (name, time.monotonic() - start, rows), flush=True)
    spark.stop()
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: tpcds.py DATA QUERIES RESULTS [NAME,...]")
    main(*sys.argv[1:4], [name for name in "".join(sys.argv[4:]).split(",") if name])
