"""The tables of a store file, and how it is opened."""

SCHEMA_VERSION = 5
APPLICATION_ID = 0x526F6C65  # 'Role': distinguishes a store from any other SQLite file

# FULL makes each commit wait for the disk, so that a power cut cannot lose an intent; NORMAL could. The cache is
# small because memory must not grow with the job.
SETTINGS = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA cache_size = -8000;
    PRAGMA temp_store = FILE;
    PRAGMA journal_size_limit = 16777216;
"""

# A reader beside a run sees one moment of it and can change nothing.
SNAPSHOT = "PRAGMA query_only = ON; BEGIN;"

SCHEMA = f"""
    PRAGMA application_id = {APPLICATION_ID};
    PRAGMA user_version = {SCHEMA_VERSION};

    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE session (
        id INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        ended_at INTEGER,
        stop TEXT NOT NULL DEFAULT ''
    );

    -- The times in which no request was sent (see records.Pause).
    CREATE TABLE pause (
        id INTEGER PRIMARY KEY,
        session_id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        until INTEGER,
        ended_at INTEGER,
        call_limit INTEGER,
        window_seconds REAL
    );

    -- One line for each pair. `place` is its position in the present job file, NULL when the file no longer has it.
    -- `in_doubt` is 1 while an attempt may have been carried out whose outcome is not recorded. `prior` is the state
    -- before the first call, `prior_session` the session that read it, `accounts` who sent calls (ids, blanks between),
    -- `username` the name at that moment. `room_name` and `user_name` are for people: NULL if they are not known.
    CREATE TABLE pair (
        key INTEGER PRIMARY KEY,
        room_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        place INTEGER,
        line INTEGER,
        extra TEXT,
        in_doubt INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        outcome TEXT,
        reason TEXT,
        http_status INTEGER,
        error_type TEXT,
        message TEXT,
        started_at INTEGER,
        finished_at INTEGER,
        duration_ms INTEGER,
        evidence TEXT,
        attempted_at INTEGER,
        prior TEXT,
        prior_read_at INTEGER,
        username TEXT,
        accounts TEXT,
        prior_session INTEGER,
        room_name TEXT,
        user_name TEXT,
        UNIQUE (room_id, user_id)
    );
    CREATE INDEX pair_in_job_order ON pair (place);
    CREATE INDEX pair_by_end ON pair (finished_at) WHERE outcome IS NOT NULL;

    -- The rows of the job file that are never sent: invalid ones and duplicates.
    CREATE TABLE unsent (
        place INTEGER PRIMARY KEY,
        line INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        outcome TEXT NOT NULL,
        reason TEXT NOT NULL,
        message TEXT NOT NULL,
        extra TEXT,
        room_name TEXT,
        user_name TEXT
    );

    -- The names that the job has instead of ids, as they were found once for this run: a room that is renamed later, or
    -- another one that gets its name, changes no row.
    CREATE TABLE name (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        id TEXT NOT NULL,
        spelling TEXT NOT NULL,
        reason TEXT NOT NULL,
        message TEXT NOT NULL,
        PRIMARY KEY (kind, name)
    ) WITHOUT ROWID;

    -- The number of rows in each group (see sql.py), up to date with every commit: nothing scans to count.
    CREATE TABLE group_count (
        part TEXT, outcome TEXT, reason TEXT, in_doubt INTEGER, evidence TEXT, rows INTEGER NOT NULL,
        PRIMARY KEY (part, outcome, reason, in_doubt, evidence)
    ) WITHOUT ROWID;
"""
