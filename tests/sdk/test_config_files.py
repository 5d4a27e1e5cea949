"""As many config files as ECI allows, in one call. The SDKs send them in the URL, which gets longer than HTTP libraries like."""

import base64
import json
import random
import unittest

from adapters import SDKS
from mock import REGION, Mock


class ConfigFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mock = Mock("--seed", "7")
        cls.addClassCleanup(cls.mock.stop)

    def test_sixty_kilobytes(self):
        # Bytes of all values: their base64 is full of what a URL must escape.
        bytes_of = random.Random(7).randbytes
        files = [{"Path": f"f{n}", "Content": base64.b64encode(bytes_of(30 * 1024)).decode()} for n in range(2)]
        for sdk, connect in SDKS.items():
            with self.subTest(sdk):
                adapter = connect(self.mock.address)
                self.addCleanup(adapter.close)
                # Twice, because an SDK may use its connection again.
                for _ in range(2):
                    group = adapter.call("CreateContainerGroup", {
                        "RegionId": REGION, "ContainerGroupName": "files", "Container": [{"Name": "c", "Image": "i"}],
                        "Volume": [{
                            "Name": "conf", "Type": "ConfigFileVolume", "ConfigFileVolume": {"ConfigFileToPath": files},
                        }],
                    })["ContainerGroupId"]
                    found = adapter.call("DescribeContainerGroups", {
                        "RegionId": REGION, "ContainerGroupIds": json.dumps([group]),
                    })["ContainerGroups"][0]
                    self.assertEqual(found["Volumes"][0]["ConfigFileVolumeConfigFileToPaths"], files)


if __name__ == "__main__":
    unittest.main(verbosity=2)
