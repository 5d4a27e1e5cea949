"""Needs many executors, then none, then one: waves.py OUTPUT (a URL of any file system Spark reads).

For dynamic allocation: twelve tasks of some seconds, a pause longer than executors may idle, and one more task. OUTPUT receives the
number of tasks of each wave.
"""

import sys
import time

from pyspark.sql import SparkSession

TASKS, SECONDS, PAUSE = 12, 6, 45


def work(number):
    time.sleep(SECONDS)
    return number


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: waves.py OUTPUT")
    spark = SparkSession.builder.appName("waves").getOrCreate()
    context = spark.sparkContext
    first = context.parallelize(range(TASKS), TASKS).map(work).count()
    print("waves: first wave over", flush=True)
    time.sleep(PAUSE)
    second = context.parallelize(range(1), 1).map(work).count()
    context.parallelize(["%d\t%d" % (first, second)], 1).saveAsTextFile(sys.argv[1])
    spark.stop()
