"""Shuffles, and takes its time to read what was shuffled: shuffle.py OUTPUT (a URL of any file system Spark reads).

Each of 2,000 keys has 200 values of 200 bytes, 80 MB in all, from 16 map tasks. 24 reduce tasks group them, each at its leisure, so
that there is a while in which every executor's map output is still wanted. OUTPUT receives `key<TAB>values<TAB>bytes`, sorted by
key.
"""

import sys
import time

from pyspark.sql import SparkSession

KEYS, VALUES, BYTES = 2000, 200, 200
MAPS, REDUCES = 16, 24
# Seconds for each key: 30 in all for two executors.
LEISURE = 0.03


def pair(number):
    return number % KEYS, "x" * BYTES


def measure(group):
    key, values = group
    time.sleep(LEISURE)
    sizes = [len(value) for value in values]
    return key, len(sizes), sum(sizes)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: shuffle.py OUTPUT")
    spark = SparkSession.builder.appName("shuffle").getOrCreate()
    numbers = spark.sparkContext.range(0, KEYS * VALUES, numSlices=MAPS)
    measured = numbers.map(pair).groupByKey(REDUCES).map(measure).collect()
    lines = ["%d\t%d\t%d" % found for found in sorted(measured)]
    spark.sparkContext.parallelize(lines, 1).saveAsTextFile(sys.argv[1])
    spark.stop()
