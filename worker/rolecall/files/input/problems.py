"""What can be wrong with a job file: the whole file (an exception) or one of its rows (a word)."""

from rolecall.models import RolecallError
from rolecall.text import sanitise


class JobFileError(RolecallError):
    """The job file as a whole cannot be used: str() is one line that says which file, where, what and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sanitise(sentence, limit=2_000))


BAD_ROW_REASONS = {
    "missing_room_id": "The row has no roomId: fill it in, or delete the row.",
    "missing_user_id": "The row has no userId: fill it in, or delete the row.",
    "not_text": "An id must be text in quotes: a JSON number may already have lost digits.",
    "room_id_too_long": "The roomId is longer than 256 characters: two cells have probably run together.",
    "user_id_too_long": "The userId is longer than 256 characters: two cells have probably run together.",
    "room_id_control_character": "The roomId holds a line break, a control or a lost character: copy the id again.",
    "user_id_control_character": "The userId holds a line break, a control or a lost character: copy the id again.",
    "two_room_ids": "The object names the room twice, differently: keep one of the keys.",
    "two_user_ids": "The object names the user twice, differently: keep one of the keys.",
    "too_many_cells": "The row has more cells than the header: put quotes around a cell that holds the delimiter.",
    "bad_quotes": 'A quoted cell goes on after its closing quote: write a quote inside a quoted cell as "".',
    "not_json": "The line is not valid JSON: one object or pair on each line, text in double quotes.",
    "not_a_pair": "The array is no pair: it must be [roomId, userId].",
    "not_an_object": "The value is neither an object nor a [roomId, userId] pair.",
    "unreportable_value": "A further key holds a value that no report can carry: a whole number beyond 64 bits, or "
    "lists nested hundreds deep.",
}
"""Every `BadRow.reason`, with a hint for the person who has to mend the row."""
