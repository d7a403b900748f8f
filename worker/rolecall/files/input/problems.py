"""Problems of a job file: an exception for the whole file, a reason for a single row."""

from rolecall.models import Advice, RolecallError
from rolecall.text import sanitise


class JobFileError(RolecallError):
    """The whole job file is unusable; str() is one line with the file, the place, the problem and what to do."""

    def __init__(self, sentence: str, advice: Advice | None = None) -> None:
        super().__init__(sanitise(sentence, limit=2_000), advice)


BAD_ROW_REASONS = {
    "missing_room_id": "The row has no room: fill in its id or its name, or delete the row.",
    "missing_user_id": "The row has no user: fill in the id or the username, or delete the row.",
    "not_text": "An id must be text in quotes: a JSON number may already have lost digits.",
    "room_id_too_long": "The roomId is longer than 256 characters: two cells have probably run together.",
    "user_id_too_long": "The userId is longer than 256 characters: two cells have probably run together.",
    "room_id_control_character": "The roomId contains a line break, a control, invisible or lost character: copy the "
    "id again.",
    "user_id_control_character": "The userId contains a line break, a control, invisible or lost character: copy the "
    "id again.",
    "spoiled_by_spreadsheet": "A spreadsheet has rounded the id or shows an error: format the column as text, then "
    "paste the ids again.",
    "two_room_ids": "The object has two different room ids: keep one of the keys.",
    "two_user_ids": "The object has two different user ids: keep one of the keys.",
    "repeated_key": "The object has one key twice: keep one of them.",
    "too_many_cells": "The row has more cells than the header: put quotes around a cell that contains the delimiter.",
    "bad_quotes": 'There is text after the closing quote of a cell: write a quote inside a quoted cell as "".',
    "not_json": "The line is not valid JSON: one object or pair on each line, text in double quotes.",
    "not_a_pair": "The array is not a pair: it must be [roomId, userId].",
    "several_of_both": "The object has several rooms and several users: write one object for each room.",
    "not_an_object": "The value is neither an object nor a [roomId, userId] pair.",
    "unreportable_value": "A further key has a value that a report cannot contain: a whole number beyond 64 bits, or "
    "lists nested hundreds deep, or a long text beside many users.",
}
"""Every `BadRow.reason`, with a hint for the person who fixes the row."""
