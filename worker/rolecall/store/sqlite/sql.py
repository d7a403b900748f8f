"""All SQL of the SQLite store, each statement with a sentence.

A batch arrives as one JSON text and is unpacked by `json_each`, so that one statement does it: on a thread, every
single statement of an `executemany` would fight for the interpreter's lock anew (7 µs a row against 50).
"""

# Clear the places that rows had in an earlier version of the job file, but keep their outcomes.
CLEAR_PLACES = "UPDATE pair SET place = NULL, line = NULL WHERE place IS NOT NULL"
DELETE_UNSENT = "DELETE FROM unsent"

# The names that were found, those that were not, and all: a name without an id is looked up again by the next import.
FIND_NAMES = """
    SELECT name.kind, name.name, name.id, spelling, reason, message FROM json_each(?) AS each
    CROSS JOIN name ON name.kind = each.value ->> 0 AND name.name = each.value ->> 1
"""
ADD_NAME = "INSERT INTO name VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (kind, name) DO NOTHING"
DELETE_UNKNOWN_NAMES = "DELETE FROM name WHERE id = ''"
DELETE_NAMES = "DELETE FROM name"

# Insert one row; changes nothing when the present job file has had the pair before.
INSERT_PAIR = """
    INSERT INTO pair (room_id, user_id, place, line, extra) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (room_id, user_id) DO UPDATE
    SET place = excluded.place, line = excluded.line, extra = excluded.extra WHERE place IS NULL
"""
# The same for a row with names; most jobs have none, and are imported faster without them.
INSERT_NAMED_PAIR = """
    INSERT INTO pair (room_id, user_id, place, line, extra, room_name, user_name)
    VALUES (?1, ?2, ?3, ?4, ?5, nullif(?6, ''), nullif(?7, ''))
    ON CONFLICT (room_id, user_id) DO UPDATE
    SET place = excluded.place, line = excluded.line, extra = excluded.extra,
        room_name = ifnull(excluded.room_name, room_name), user_name = ifnull(excluded.user_name, user_name)
    WHERE place IS NULL
"""
# Record what an earlier run left in doubt of a pair that this run has not touched.
IMPORT_DOUBT = """
    UPDATE pair SET outcome = 'unknown', reason = ?3, in_doubt = 1, http_status = NULL, error_type = '', message = ?4,
        finished_at = ?9, prior = ?5, prior_read_at = ?6, username = ?7, accounts = ?8, attempted_at = ?9
    WHERE room_id = ?1 AND user_id = ?2 AND outcome IS NULL AND attempts = 0 AND in_doubt = 0
"""
FIRST_LINE = "SELECT line FROM pair WHERE room_id = ? AND user_id = ?"
INSERT_UNSENT = "INSERT INTO unsent VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

# Delete the pairs that only an earlier version of the job file had, unless there was an attempt or an outcome.
DELETE_UNTOUCHED = "DELETE FROM pair WHERE place IS NULL AND attempts = 0 AND in_doubt = 0 AND outcome IS NULL"

# Record an outcome that is known before anything was sent for the pair. What an attempt left that was rolled back later
# does not describe it. A doubt of an earlier run is settled only by an outcome with evidence.
PRESET_OUTCOME = """
    UPDATE pair SET outcome = ?3, reason = ?4, http_status = NULL, error_type = '', message = ?5, finished_at = ?6,
        duration_ms = NULL, evidence = ?7, in_doubt = 0
    WHERE room_id = ?1 AND user_id = ?2 AND attempts = 0
        AND CASE WHEN in_doubt THEN ?7 <> '' ELSE outcome IS NULL END
"""

# The names of a pair; the username of the prior state is the latest.
_PAIR_NAMES = "room_name, ifnull(nullif(username, ''), user_name)"

_SELECT_PAIR = f"SELECT key, line, room_id, user_id, outcome, reason, in_doubt, {_PAIR_NAMES} FROM pair"

# The pairs room by room, along the index that makes them unique.
PAIRS_BY_ROOM = f"{_SELECT_PAIR} WHERE (room_id, user_id) > (?, ?) ORDER BY room_id, user_id LIMIT ?"

# The pairs user by user, along an index that is created when it is first needed: a run itself does not use it.
INDEX_BY_USER = "CREATE INDEX IF NOT EXISTS pair_by_user ON pair (user_id, room_id)"
PAIRS_BY_USER = f"{_SELECT_PAIR} WHERE (user_id, room_id) > (?, ?) ORDER BY user_id, room_id LIMIT ?"

# How many rooms and users have pairs of some outcomes.
COUNT_ROOMS_AND_USERS = """
    SELECT count(DISTINCT room_id), count(DISTINCT user_id) FROM pair
    WHERE outcome IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR reason = ?2)
"""

# The rooms with the most pairs of some outcomes.
ROOMS_BY_PAIRS = """
    SELECT room_id, max(room_name), count(*) FROM pair
    WHERE outcome IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR reason = ?2)
    GROUP BY room_id ORDER BY 3 DESC, min(key) LIMIT ?3
"""

# Delete the pairs that only an earlier version of the job file had, with their outcomes: for a check, which changes
# nothing in the workspace.
DELETE_REMOVED = "DELETE FROM pair WHERE place IS NULL"

# Delete the outcomes and doubts of all pairs: for a check that starts again.
RESET_OUTCOMES = """
    UPDATE pair SET outcome = NULL, reason = NULL, http_status = NULL, error_type = NULL, message = NULL,
        finished_at = NULL, duration_ms = NULL, evidence = NULL, in_doubt = 0
    WHERE outcome IS NOT NULL OR in_doubt
"""

# A row is due while it has no outcome, or one that another attempt can settle.
_DUE = "place > :after AND (outcome IS NULL OR outcome = 'unknown' OR (:retry_failed AND outcome = 'failed'))"

# A prior state counts in the session that read it, and for a row in doubt until it is settled.
_DUE_COLUMNS = f"""
    place, key, line, room_id, user_id, attempts, in_doubt,
    CASE WHEN in_doubt OR prior_session = (SELECT max(id) FROM session) THEN prior END,
    prior_read_at, username, accounts, attempted_at, {_PAIR_NAMES}, outcome, reason
"""


def _due_rows(condition: str) -> str:
    """Return the statement that reads the next due rows as one JSON array: each step of a query waits for the GIL."""
    keys = f"SELECT key FROM pair WHERE {condition} LIMIT :count"
    return f"SELECT json_group_array(json_array({_DUE_COLUMNS})) FROM pair WHERE key IN ({keys})"


# The next due rows; and those of one room or one user, which `+place` keeps from scanning the whole job.
DUE = _due_rows(f"{_DUE} ORDER BY place")
DUE_IN_ROOM = _due_rows(f"room_id = :id AND +{_DUE} ORDER BY +place")
DUE_OF_USER = _due_rows(f"user_id = :id AND +{_DUE} ORDER BY +place")

# The number of due rows and of their rooms, for the question before the run.
COUNT_DUE = f"SELECT count(*), count(DISTINCT room_id) FROM pair WHERE {_DUE}"
COUNT_DUE_USERS = f"SELECT count(DISTINCT user_id) FROM pair WHERE {_DUE}"

# Record outcomes.
WRITE_OUTCOME = """
    UPDATE pair SET
        outcome = each.value ->> 1, reason = each.value ->> 2, http_status = each.value ->> 3,
        error_type = each.value ->> 4, message = each.value ->> 5, finished_at = each.value ->> 6,
        duration_ms = each.value ->> 7, in_doubt = each.value ->> 8, evidence = each.value ->> 9,
        room_name = ifnull(nullif(each.value ->> 10, ''), room_name),
        user_name = ifnull(nullif(each.value ->> 11, ''), user_name)
    FROM json_each(?) AS each WHERE pair.key = each.value ->> 0
"""

# Requests that were not sent, or were certainly not carried out: attempts, doubt and outcome are as before, the prior
# state is that of the intent. An outcome that was recorded since stays. A row without an attempt that counts was not
# started.
ROLLBACK_INTENT = """
    UPDATE pair SET attempts = each.value ->> 1, in_doubt = each.value ->> 2,
        started_at = iif(each.value ->> 1 = 0 AND NOT each.value ->> 2, NULL, started_at),
        attempted_at = ifnull(each.value ->> 3, attempted_at),
        outcome = ifnull(outcome, each.value ->> 4), reason = iif(outcome IS NULL, each.value ->> 5, reason)
    FROM json_each(?) AS each WHERE pair.key = each.value ->> 0
"""

# Requests about to be sent: until an outcome is recorded, the row is in doubt.
WRITE_INTENT = """
    UPDATE pair SET
        in_doubt = 1, outcome = NULL, reason = NULL,
        attempts = each.value ->> 1, started_at = ifnull(started_at, each.value ->> 2), attempted_at = each.value ->> 2,
        prior = each.value ->> 3, prior_read_at = each.value ->> 4, username = each.value ->> 5,
        accounts = each.value ->> 6
    FROM json_each(?) AS each WHERE pair.key = each.value ->> 0
"""

# Record the prior states that the current session has read; that of a row in doubt is never replaced.
WRITE_PRIOR = """
    UPDATE pair SET
        prior = each.value ->> 1, prior_read_at = each.value ->> 2, username = each.value ->> 3,
        accounts = each.value ->> 4, prior_session = (SELECT max(id) FROM session),
        room_name = ifnull(nullif(each.value ->> 5, ''), room_name)
    FROM json_each(?) AS each WHERE pair.key = each.value ->> 0 AND in_doubt = 0
"""

OPEN_SESSION = "INSERT INTO session (account, started_at) VALUES (?, ?)"
# The end of a session ends the pauses whose end was not planned.
END_PAUSES = """
    UPDATE pause SET ended_at = ?
    WHERE ended_at IS NULL AND until IS NULL AND session_id = (SELECT max(id) FROM session)
"""
CLOSE_SESSION = "UPDATE session SET stop = ?, ended_at = ? WHERE id = (SELECT max(id) FROM session)"
SESSIONS = "SELECT started_at, ended_at, stop, account FROM session ORDER BY id"

SET_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
GET_META = "SELECT name, value FROM meta"

_RESULT_COLUMNS = """
        place, line, room_id, user_id, outcome, reason, http_status, error_type, message, attempts,
        started_at, finished_at, duration_ms, extra, in_doubt,
        evidence, prior, prior_read_at, username, accounts, attempted_at, room_name, user_name
"""

# Every row of the present job file in its order: both parts are read along an index, so nothing is sorted.
RESULTS = f"""
    SELECT {_RESULT_COLUMNS}
    FROM pair WHERE place IS NOT NULL
    UNION ALL
    SELECT place, line, room_id, user_id, outcome, reason, NULL, '', message, 0, NULL, NULL, NULL, extra, 0,
        NULL, NULL, NULL, NULL, NULL, NULL, room_name, user_name
    FROM unsent
    ORDER BY place
"""

# The pairs with an attempt or an outcome that only an earlier version of the job file had.
REMOVED_RESULTS = f"""
    SELECT {_RESULT_COLUMNS}
    FROM pair WHERE place IS NULL ORDER BY key
"""

# Single rows, by their keys.
RESULTS_BY_KEY = f"""
    SELECT {_RESULT_COLUMNS}
    FROM pair WHERE key IN (SELECT value FROM json_each(?)) ORDER BY place
"""

# The group of a pair: part of the store, outcome, reason, doubt and evidence. Parts are 'job'; 'removed' for pairs that
# only an earlier version of the job file has; 'unsent' for rows that are never sent. Rows without an outcome, which is
# then empty, are grouped by doubt, the others by evidence.
_GROUP = """
    iif(place IS NULL, 'removed', 'job'), ifnull(outcome, ''), ifnull(reason, ''), iif(outcome IS NULL, in_doubt, 0),
    iif(outcome IS NULL, '', ifnull(evidence, ''))
"""

# Subtract some pairs from the counts of their groups before they are changed; add them to those of their groups after.
SHIFT_GROUPS = f"""
    INSERT INTO group_count
    SELECT {_GROUP}, :sign * count(*) FROM pair WHERE key IN (SELECT value FROM json_each(:keys))
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT DO UPDATE SET rows = rows + excluded.rows
"""
DELETE_EMPTY_GROUPS = "DELETE FROM group_count WHERE rows = 0"

# Count the groups again after a change of all rows: reads all of them, a second for a million.
CLEAR_GROUPS = "DELETE FROM group_count"
COUNT_GROUPS = f"""
    INSERT INTO group_count
    SELECT {_GROUP}, count(*) FROM pair GROUP BY 1, 2, 3, 4, 5
    UNION ALL SELECT 'unsent', outcome, reason, 0, '', count(*) FROM unsent GROUP BY outcome, reason
"""
GROUPS = "SELECT part, outcome, reason, in_doubt, evidence, rows FROM group_count"

# The number of rows with an outcome since a moment, along an index: the speed of a run, as seen from outside. (A row
# that is sent again keeps `finished_at` while it has no outcome.)
COUNT_SETTLED = "SELECT count(*) FROM pair WHERE finished_at >= ? AND outcome IS NOT NULL"

_PAUSE_COLUMNS = "kind, started_at, until, ended_at, call_limit, window_seconds"

# Record the start of a pause in the current session, and the end of its latest pause of a kind.
START_PAUSE = f"""
    INSERT INTO pause (session_id, {_PAUSE_COLUMNS})
    VALUES ((SELECT max(id) FROM session), ?, ?, ?, ?, ?, ?)
"""
END_PAUSE = """
    UPDATE pause SET ended_at = ?2 WHERE id = (
        SELECT max(id) FROM pause WHERE kind = ?1 AND session_id = (SELECT max(id) FROM session) AND ended_at IS NULL
    )
"""

PAUSES = f"SELECT id, {_PAUSE_COLUMNS} FROM pause WHERE id > ? ORDER BY id LIMIT ?"

# The pauses of the latest session that last at a moment.
OPEN_PAUSES = f"""
    SELECT {_PAUSE_COLUMNS} FROM pause
    WHERE session_id = (SELECT max(id) FROM session) AND ended_at IS NULL AND (until IS NULL OR until > ?)
    ORDER BY id
"""

# All that a store has, table by table, for a copy in another database: the next rows beyond a key, which comes first.
COPIED_PAIRS = """
    SELECT key, room_id, user_id, place, line, extra, in_doubt, attempts, outcome, reason, http_status, error_type,
        message, started_at, finished_at, duration_ms, evidence, attempted_at, prior, prior_read_at, username, accounts,
        prior_session, room_name, user_name
    FROM pair WHERE key > ? ORDER BY key LIMIT ?
"""
COPIED_UNSENT = """
    SELECT place, line, room_id, user_id, outcome, reason, message, extra, room_name, user_name
    FROM unsent WHERE place > ? ORDER BY place LIMIT ?
"""
COPIED_SESSIONS = "SELECT id, account, started_at, ended_at, stop FROM session WHERE id > ? ORDER BY id LIMIT ?"
COPIED_PAUSES = f"SELECT id, session_id, {_PAUSE_COLUMNS} FROM pause WHERE id > ? ORDER BY id LIMIT ?"
COPIED_NAMES = """
    SELECT number, kind, name, id, spelling, reason, message
    FROM (SELECT row_number() OVER (ORDER BY kind, name) AS number, * FROM name) WHERE number > ? LIMIT ?
"""
