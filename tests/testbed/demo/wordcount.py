"""Counts the words of a file: wordcount.py INPUT OUTPUT (URLs of any file system Spark reads).

A word is a longest run of bytes that are not ASCII white space (space, tab, line feed,
vertical tab, form feed, carriage return): what `tr -s '[:space:]' '\\n'` makes of the
file in the C locale, and `bytes.split()` in Python. Bytes are compared as they are; the
file may be in any encoding that keeps ASCII, or in none.

OUTPUT receives text files whose concatenation, in the order of their names, is lines of
`word<TAB>count`, the largest count first and words of the same count in byte order.
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

WHITE_SPACE = b" \t\n\v\f\r"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# How much of the input decides where it is cut into records.
SAMPLES = 16
SAMPLE_BYTES = 64 * 1024

# Each byte is one character in it, so text gets through string functions unharmed.
BYTES = "ISO-8859-1"


def sample(spark, url):
    """Returns some pieces of the file, taken at even distances, as bytes."""
    path = spark._jvm.org.apache.hadoop.fs.Path(url)
    files = path.getFileSystem(spark._jsc.hadoopConfiguration())
    length = files.getFileStatus(path).getLen()
    stream = files.open(path)
    try:
        pieces = []
        for number in range(SAMPLES):
            stream.seek(length * number // SAMPLES)
            pieces.append(bytes(stream.readNBytes(SAMPLE_BYTES)))
        return b"".join(pieces)
    finally:
        stream.close()


def separator(text):
    """Returns the white-space character at which the input is cut into records.

    Spark holds one record in memory and gives a record to one task. Lines would do for
    most files, but a file can be one line: so it is cut at whichever white space it has
    most of, which any of its words may be cut at.
    """
    return max(WHITE_SPACE, key=text.count).to_bytes(1, "big").decode("ascii")


def read(spark, url):
    """Returns the file as records, each a string in which a character stands for a byte."""
    text = sample(spark, url)
    records = spark.read.text(url, lineSep=separator(text))
    record = F.decode(F.col("value").cast("binary"), BYTES)
    if text.startswith(BYTE_ORDER_MARK):
        # Hadoop drops it, but it is part of the first word. The low bits of the id number
        # the records of a task, and the first block of a file is the first of its task.
        first = (F.monotonically_increasing_id().bitwiseAND((1 << 33) - 1) == 0) & (
            F.col("_metadata.file_block_start") == 0
        )
        record = F.concat(F.when(first, BYTE_ORDER_MARK.decode(BYTES)).otherwise(""), record)
    return records.select(record.alias("record"))


def main(source, target):
    spark = SparkSession.builder.appName("wordcount").getOrCreate()
    white_space = "[%s]+" % WHITE_SPACE.decode("ascii")
    words = read(spark, source).select(F.explode(F.split("record", white_space)).alias("word")).where("word != ''")
    counts = words.groupBy("word").count()
    # These characters stand for bytes, so their order is the order of the bytes.
    ordered = counts.orderBy(F.col("count").desc(), F.col("word"))
    lines = F.encode(F.concat_ws("\t", "word", F.col("count").cast("string")), BYTES).cast("string")
    ordered.select(lines.alias("line")).write.mode("overwrite").text(target)
    spark.stop()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: wordcount.py INPUT OUTPUT")
    main(sys.argv[1], sys.argv[2])
