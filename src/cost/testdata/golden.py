"""A small application whose event log is a golden case: two job groups, shuffles, an executor that is idle at the end."""
from pyspark.sql import SparkSession
import time
spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext
time.sleep(1)
sc.setJobGroup("count", "Words counted")
sc.parallelize(["a b", "b c", "c d e"] * 100, 4).flatMap(str.split).map(lambda w: (w, 1)).reduceByKey(lambda a, b: a + b, 3).collect()
sc.setJobGroup("sum", "Numbers summed")
spark.range(1000000).selectExpr("sum(id)").collect()
sc.setLocalProperty("spark.jobGroup.id", None)
sc.setLocalProperty("spark.job.description", None)
sc.parallelize(range(8), 2).count()
time.sleep(1)
spark.stop()
