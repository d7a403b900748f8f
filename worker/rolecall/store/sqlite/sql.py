"""All of the ledger's SQL, each statement with a sentence.

A batch arrives as one JSON text and is unpacked by `json_each`, so that one statement does it: on a thread, every
single statement of an `executemany` would fight for the interpreter's lock anew (7 µs a row against 50).
"""

SCHEMA_VERSION = 2
APPLICATION_ID = 0x526F6C65  # 'Role': tells a ledger from any other SQLite file

# FULL makes each commit wait for the disk, so that a power cut cannot lose an intent; NORMAL could. The cache is
# kept small because memory must not grow with the job.
SETTINGS = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA cache_size = -8000;
    PRAGMA temp_store = FILE;
    PRAGMA journal_size_limit = 16777216;
"""

# What a reader beside a run sees: one moment of it, and nothing that it could change.
SNAPSHOT = "PRAGMA query_only = ON; BEGIN;"

SCHEMA = f"""
    PRAGMA application_id = {APPLICATION_ID};
    PRAGMA user_version = {SCHEMA_VERSION};

    CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE session (
        id INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        ended_at INTEGER,
        stop TEXT NOT NULL DEFAULT ''
    );

    -- One line for each pair. `place` is its position in the present job file, NULL when that has it no more.
    -- `doubt` is 1 while an attempt may have been carried out whose outcome is not recorded.
    CREATE TABLE pair (
        key INTEGER PRIMARY KEY,
        room_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        place INTEGER,
        line INTEGER,
        extra TEXT,
        doubt INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        outcome TEXT,
        reason TEXT,
        http_status INTEGER,
        error_type TEXT,
        message TEXT,
        started_at INTEGER,
        finished_at INTEGER,
        duration_ms INTEGER,
        UNIQUE (room_id, user_id)
    );
    CREATE INDEX pair_in_job_order ON pair (place);

    -- The rows of the job file that are never sent: invalid ones and duplicates.
    CREATE TABLE unsent (
        place INTEGER PRIMARY KEY,
        line INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        outcome TEXT NOT NULL,
        reason TEXT NOT NULL,
        message TEXT NOT NULL,
        extra TEXT
    );

    -- The groups of the rows (see GROUPS) when the last session closed; empty as soon as anything has changed since.
    CREATE TABLE tally (
        outcome TEXT,
        reason TEXT,
        doubt INTEGER NOT NULL,
        in_job INTEGER NOT NULL,
        rows INTEGER NOT NULL
    );
"""

# Forget where the rows stood in an earlier version of the job file, but not what came of them.
FORGET_PLACES = "UPDATE pair SET place = NULL, line = NULL WHERE place IS NOT NULL"
FORGET_UNSENT = "DELETE FROM unsent"

# Take in one row; changes nothing when the present job file has had the pair before.
TAKE_IN = """
    INSERT INTO pair (room_id, user_id, place, line, extra) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (room_id, user_id) DO UPDATE
    SET place = excluded.place, line = excluded.line, extra = excluded.extra WHERE place IS NULL
"""
FIRST_LINE = "SELECT line FROM pair WHERE room_id = ? AND user_id = ?"
TAKE_IN_UNSENT = "INSERT INTO unsent VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

# Drop the pairs that only an earlier version of the job file had, unless they were worked on.
DROP_UNTOUCHED = "DELETE FROM pair WHERE place IS NULL AND attempts = 0 AND doubt = 0 AND outcome IS NULL"

# What is known of a pair before anything is sent for it.
KNOW = """
    UPDATE pair SET outcome = ?3, reason = ?4, error_type = '', message = ?5, finished_at = ?6
    WHERE room_id = ?1 AND user_id = ?2 AND outcome IS NULL AND attempts = 0 AND doubt = 0
"""

_PAIR = "SELECT key, line, room_id, user_id, outcome, reason, doubt FROM pair"

# The pairs room by room, along the index that makes them unique.
PAIRS_BY_ROOM = f"{_PAIR} WHERE (room_id, user_id) > (?, ?) ORDER BY room_id, user_id LIMIT ?"

# The pairs user by user, along an index that is made when it is first wanted: a run itself has no use for it.
INDEX_BY_USER = "CREATE INDEX IF NOT EXISTS pair_by_user ON pair (user_id, room_id)"
PAIRS_BY_USER = f"{_PAIR} WHERE (user_id, room_id) > (?, ?) ORDER BY user_id, room_id LIMIT ?"

# How many rooms and users have pairs of some outcomes.
COUNT_ROOMS_AND_USERS = """
    SELECT count(DISTINCT room_id), count(DISTINCT user_id) FROM pair
    WHERE outcome IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR reason = ?2)
"""

# Drop the pairs that only an earlier version of the job file had, whatever was told of them: for a check, which has
# worked on none.
DROP_FORMER = "DELETE FROM pair WHERE place IS NULL"

# Forget what came of every pair: for a check, which is made anew.
FORGET_OUTCOMES = """
    UPDATE pair SET outcome = NULL, reason = NULL, message = NULL, finished_at = NULL WHERE outcome IS NOT NULL
"""

# A row is due while it has no outcome, or one that another attempt can settle.
_DUE = "place > :after AND (outcome IS NULL OR outcome = 'unknown' OR (:retry_failed AND outcome = 'failed'))"

# The next rows to be done, in job order.
DUE = f"""
    SELECT place, key, line, room_id, user_id, attempts, doubt
    FROM pair WHERE {_DUE} ORDER BY place LIMIT :count
"""

# How much there is to do, for the question before the run.
COUNT_DUE = f"SELECT count(*), count(DISTINCT room_id) FROM pair WHERE {_DUE}"

# Outcomes: from now on the row is told so.
SETTLE = """
    UPDATE pair SET
        outcome = each.value ->> 1, reason = each.value ->> 2, http_status = each.value ->> 3,
        error_type = each.value ->> 4, message = each.value ->> 5, finished_at = each.value ->> 6,
        duration_ms = each.value ->> 7, doubt = each.value ->> 8
    FROM json_each(?) AS each WHERE pair.key = each.value ->> 0
"""

# Requests that did not leave, or were certainly not carried out: the doubt is what it was before.
WITHDRAW = """
    UPDATE pair SET attempts = each.value ->> 1, doubt = each.value ->> 2
    FROM json_each(?) AS each WHERE pair.key = each.value ->> 0
"""

# Requests about to leave: until an outcome is recorded, the row may have been carried out.
INTEND = """
    UPDATE pair SET
        doubt = 1, outcome = NULL, reason = NULL,
        attempts = each.value ->> 1, started_at = ifnull(started_at, each.value ->> 2)
    FROM json_each(?) AS each WHERE pair.key = each.value ->> 0
"""

OPEN_SESSION = "INSERT INTO session (account, started_at) VALUES (?, ?)"
CLOSE_SESSION = "UPDATE session SET stop = ?, ended_at = ? WHERE id = (SELECT max(id) FROM session)"
SESSIONS = "SELECT started_at, ended_at, stop, account FROM session ORDER BY id"

NOTE = "INSERT INTO note VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
NOTES = "SELECT name, value FROM note"

# Every row of the present job file in its order: both parts are read along an index, so nothing is sorted.
RESULTS = """
    SELECT place, line, room_id, user_id, outcome, reason, http_status, error_type, message, attempts,
        started_at, finished_at, duration_ms, extra, doubt
    FROM pair WHERE place IS NOT NULL
    UNION ALL
    SELECT place, line, room_id, user_id, outcome, reason, NULL, '', message, 0, NULL, NULL, NULL, extra, 0
    FROM unsent
    ORDER BY place
"""

# The pairs that were worked on, but stand in an earlier version of the job file only.
FORMER_RESULTS = """
    SELECT place, line, room_id, user_id, outcome, reason, http_status, error_type, message, attempts,
        started_at, finished_at, duration_ms, extra, doubt
    FROM pair WHERE place IS NULL ORDER BY key
"""

# Single rows, by their keys.
RESULTS_OF = """
    SELECT place, line, room_id, user_id, outcome, reason, http_status, error_type, message, attempts,
        started_at, finished_at, duration_ms, extra, doubt
    FROM pair WHERE key IN (SELECT value FROM json_each(?)) ORDER BY place
"""

# How many rows came to what; rows without an outcome are told by their doubt. What is never sent is not `in_job`, nor
# is a pair that only an earlier version of the job file has.
GROUPS = """
    SELECT outcome, reason, CASE WHEN outcome IS NULL THEN doubt ELSE 0 END AS doubt, place IS NOT NULL AS in_job,
        count(*) AS rows
    FROM pair GROUP BY 1, 2, 3, 4
    UNION ALL SELECT outcome, reason, 0, 0, count(*) FROM unsent GROUP BY outcome, reason
"""

# All rows must be looked at to group them, a second for a million; so that is kept until something changes.
KEEP_TALLY = f"INSERT INTO tally {GROUPS}"
FORGET_TALLY = "DELETE FROM tally"
TALLY = "SELECT outcome, reason, doubt, in_job, rows FROM tally"

# How many rows came to their outcome since a moment: how fast a run is, for those who look at it from outside.
COUNT_SETTLED = "SELECT count(*) FROM pair WHERE finished_at >= ?"
