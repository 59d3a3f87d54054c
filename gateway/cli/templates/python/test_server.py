"""Tests of the components of @NAME@, without a gateway."""

import unittest

from flowspan import ComponentError
from server import count


class CountTest(unittest.TestCase):
    def test_counts_words(self) -> None:
        self.assertEqual(count("or not to be"), 4)

    def test_refuses_a_text_without_words(self) -> None:
        with self.assertRaisesRegex(ComponentError, "without words"):
            count(" ")


if __name__ == "__main__":
    unittest.main()
