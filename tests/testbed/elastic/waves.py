"""Needs many executors, then none, then one: waves.py OUTPUT (a URL of any file system Spark reads).

For dynamic allocation: twelve tasks of some seconds, nothing to do until there is a file OUTPUT.go, and one more task. OUTPUT receives the
number of tasks of each wave.
"""

import sys
import time

from pyspark.sql import SparkSession

TASKS, SECONDS = 12, 6


def work(number):
    time.sleep(SECONDS)
    return number


def wait_for(context, url):
    """Returns once there is something at that URL."""
    path = context._jvm.org.apache.hadoop.fs.Path(url)
    files = path.getFileSystem(context._jsc.hadoopConfiguration())
    while not files.exists(path):
        time.sleep(1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: waves.py OUTPUT")
    spark = SparkSession.builder.appName("waves").getOrCreate()
    context = spark.sparkContext
    first = context.parallelize(range(TASKS), TASKS).map(work).count()
    print("waves: first wave over", flush=True)
    wait_for(context, sys.argv[1] + ".go")
    second = context.parallelize(range(1), 1).map(work).count()
    context.parallelize(["%d\t%d" % (first, second)], 1).saveAsTextFile(sys.argv[1])
    spark.stop()
