"""The example in Java does what it says. It is a suite of its own, `run.sh java`, because it needs a JDK and Maven."""

import os
import unittest

from test_examples import EXAMPLES, Example


class Java(Example, unittest.TestCase):
    def test_life(self):
        self.check("java", "-cp", os.environ["JAVA_SDK_CLASSPATH"], f"{EXAMPLES}/java/Life.java")


if __name__ == "__main__":
    unittest.main(verbosity=2)
