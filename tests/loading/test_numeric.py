"""Numbers as JavaScript writes and reads them (docs/rules.md "Values")."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whichvariant.loading.numeric import number_text, to_number


class TestNumberText:
    @pytest.mark.parametrize(
        ("number", "text"),
        [
            (0.0, "0"),
            (-0.0, "0"),
            (5.0, "5"),
            (-5.5, "-5.5"),
            (0.1, "0.1"),
            (100.0, "100"),
            (123456789012345680000.0, "123456789012345680000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e21, "-1.5e+21"),
            (1.2345e25, "1.2345e+25"),
            (1e-6, "0.000001"),
            (1.5e-6, "0.0000015"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (123.456, "123.456"),
            (0.000123, "0.000123"),
            (5e-324, "5e-324"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (9007199254740993.0, "9007199254740992"),
            (1e16, "10000000000000000"),
            (12345678901234567.0, "12345678901234568"),
        ],
    )
    def test_is_what_javascript_writes(self, number: float, text: str) -> None:
        assert number_text(number) == text

    @settings(deadline=None)
    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_reads_back(self, number: float) -> None:
        text = number_text(number)
        assert float(text) == number
        assert to_number(text) == number
        assert ("e" in text) == (number != 0 and not 1e-6 <= abs(number) < 1e21)
