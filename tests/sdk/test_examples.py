"""The examples for users (mock-eci/examples) do what they say."""

import os
import subprocess
import sys
import unittest

from mock import KEY, SECRET, Mock

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../mock-eci/examples")


class Example:
    def check(self, *command):
        with Mock() as mock:
            environment = {
                **os.environ, "ECI_ENDPOINT": mock.address,
                "ALIBABA_CLOUD_ACCESS_KEY_ID": KEY, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": SECRET,
            }
            run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stdout, r"""(?x)
            ^created\ (eci-[a-z0-9]{20})\n
            Running\ at\ [0-9.]+\n
            .*started\n
            (.*:\ line\ \d+\n)*
            deleted\ \1\n$
        """)


class Python(Example, unittest.TestCase):
    def test_life(self):
        self.check(sys.executable, f"{EXAMPLES}/python/life.py")


class Go(Example, unittest.TestCase):
    def test_life(self):
        self.check(os.environ["GO_SDK_EXAMPLE"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
