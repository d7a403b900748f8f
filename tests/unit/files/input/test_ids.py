"""What is removed around ids."""

import re

from rolecall.files.input.ids import INVISIBLE, trim


def test_every_blank_and_invisible_character_is_trimmed() -> None:
    """The characters that are removed are white space, or in the class of invisible ones."""
    every = "".join(map(chr, range(0x110000)))
    assert [character for character in every if not trim(character)] == re.findall(rf"[\s{INVISIBLE}]", every)
