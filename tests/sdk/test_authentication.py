"""ECI's codes for whoever may not call, for both signatures.

No SDK lets itself be used wrongly, but for a wrong secret: the rest is made by hand.
"""

import unittest
import uuid

import mock
from adapters import Old, Refused, Tea
from mock import Mock, now


class Authentication(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mock = Mock()
        cls.addClassCleanup(cls.mock.stop)

    def check(self, signed, status, code):
        got, body = self.mock.send(*signed)
        self.assertEqual((got, body.get("Code")), (status, code))

    def test_codes(self):
        for sign in (mock.v1, lambda *args, **more: mock.v3(self.mock.address, *args, **more)):
            with self.subTest(sign.__name__):
                self.check(sign("DescribeRegions"), 200, None)
                self.check(sign("DescribeRegions", secret="guess"), 400, "SignatureDoesNotMatch")
                self.check(sign("DescribeRegions", key="nobody"), 404, "InvalidAccessKeyId.NotFound")
                self.check(sign("DescribeRegions", date=now(-16 * 60)), 400, "InvalidTimeStamp.Expired")
                self.check(sign("DescribeRegions", date=now(16 * 60)), 400, "InvalidTimeStamp.Expired")
                self.check(sign("DescribeRegions", date="yesterday"), 400, "InvalidTimeStamp.Format")
                nonce = uuid.uuid4().hex
                self.check(sign("DescribeRegions", nonce=nonce), 200, None)
                self.check(sign("DescribeRegions", nonce=nonce), 400, "SignatureNonceUsed")
                self.check(sign("NoSuchAction"), 404, "InvalidAction.NotFound")
        # Two operations are POST only.
        self.check(mock.v1("DescribeContainerGroupStatus"), 403, "UnsupportedHTTPMethod")

    def test_a_wrong_secret_of_an_sdk(self):
        for algorithm in (None, "v2"):
            with self.assertRaises(Refused) as refused:
                Tea(self.mock.address, algorithm, secret="guess").call("DescribeRegions", {})
            self.assertEqual((refused.exception.code, refused.exception.status), ("SignatureDoesNotMatch", 400))
        with self.assertRaises(Refused) as refused:
            Old(self.mock.address, secret="guess").call("DescribeRegions", {})
        # This SDK explains a wrong secret itself when the server's string to sign is its own: so it is.
        self.assertEqual((refused.exception.code, refused.exception.status), ("InvalidAccessKeySecret", 400))


if __name__ == "__main__":
    unittest.main(verbosity=2)
