"""The counts that WordCount must find in a file, found without Spark: expected.py FILE prints `word<TAB>count`, the largest
count first, words of the same count in byte order."""

import collections
import sys
from pathlib import Path

counts = collections.Counter(Path(sys.argv[1]).read_bytes().split())
for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
    sys.stdout.buffer.write(word + b"\t%d\n" % count)
