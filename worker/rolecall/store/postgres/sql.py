"""All SQL of the PostgreSQL store that is neither in a migration nor of the import, each statement with a sentence.

Values are named: `run` is the run, `shard` the shard of a store that has a lease. The texts in braces are the
conditions that restrict a statement to them, see `in_scope`.
"""

# Where a store of a whole run, and one of a shard, looks. An id of a shard implies its run; `+ 0` keeps an index out of
# a plan that looks for one room or user of a shard.
_WHOLE_RUN = {
    "pairs": "run_id = %(run)s",
    "pairs_of": "run_id = %(run)s",
    "sessions": "run_id = %(run)s",
    "groups": "run_id = %(run)s",
    "unsent": "run_id = %(run)s",
    "before": "true",
}
_ONE_SHARD = {
    "pairs": "shard_id = %(shard)s",
    "pairs_of": "run_id = %(run)s AND shard_id + 0 = %(shard)s",
    "sessions": "run_id = %(run)s AND shard_id = %(shard)s",
    "groups": "run_id = %(run)s AND shard_id = %(shard)s",
    "unsent": "false",
    "before": "resumption < (SELECT run.resumption FROM run WHERE id = %(run)s)",
}


def in_scope(statement: str, *, is_shard: bool) -> bytes:
    """Return a statement for a store of a whole run or of one shard."""
    return statement.format_map(_ONE_SHARD if is_shard else _WHOLE_RUN).encode()


# The run itself, and its facts.
CREATE_RUN = """
    INSERT INTO run (workspace, settings, reason, parent, schedule, due_at, created_at)
    VALUES (%(workspace)s, %(settings)s, %(reason)s, %(parent)s, %(schedule)s, %(due_at)s, %(created_at)s)
    RETURNING id
"""
ADD_WORKSPACE = "INSERT INTO workspace (name, url) VALUES (%(name)s, %(url)s) ON CONFLICT (name) DO NOTHING"
RUN_STOP = "SELECT stop FROM run WHERE id = %(run)s"
SET_META = """
    INSERT INTO meta VALUES (%(run)s, %(name)s, %(value)s)
    ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value
"""
GET_META = "SELECT name, value FROM meta WHERE run_id = %(run)s"

# The names that were found; a stored one stays as it is.
FIND_NAMES = """
    SELECT name.kind, name.name, name.id, spelling, reason, message
    FROM (SELECT DISTINCT each ->> 0 AS kind, each ->> 1 AS name FROM jsonb_array_elements(%(keys)s) AS each) AS wanted
    JOIN name ON name.run_id = %(run)s AND name.kind = wanted.kind AND name.name = wanted.name
"""
ADD_NAME = """
    INSERT INTO name SELECT %(run)s, each ->> 0, each ->> 1, each ->> 2, each ->> 3, each ->> 4, each ->> 5
    FROM jsonb_array_elements(%(found)s) AS each ON CONFLICT (run_id, kind, name) DO NOTHING
"""
DELETE_NAMES = "DELETE FROM name WHERE run_id = %(run)s"

# Count the groups again after a change of all rows: reads all of them, a second for a million.
COUNT_GROUPS = "SELECT count_groups(%(run)s)"
# The names of a pair; the username of the prior state is the latest.
_PAIR_NAMES = "room_name, coalesce(nullif(username, ''), user_name)"
_SELECT_PAIR = f"SELECT key, line, room_id, user_id, outcome, reason, in_doubt, {_PAIR_NAMES} FROM pair"

# The pairs room by room, and user by user.
PAIRS_BY_ROOM = f"""
    {_SELECT_PAIR} WHERE {{pairs_of}} AND (room_id, user_id) > (%(one)s, %(other)s)
    ORDER BY room_id, user_id LIMIT %(count)s
"""
PAIRS_BY_USER = f"""
    {_SELECT_PAIR} WHERE {{pairs_of}} AND (user_id, room_id) > (%(one)s, %(other)s)
    ORDER BY user_id, room_id LIMIT %(count)s
"""

# How many rooms and users have pairs of some outcomes, and the rooms with the most of them.
_WITH_OUTCOME = "outcome = ANY (%(outcomes)s) AND (%(reason)s::text IS NULL OR reason = %(reason)s)"
COUNT_ROOMS_AND_USERS = f"""
    SELECT count(DISTINCT room_id), count(DISTINCT user_id) FROM pair WHERE {{pairs}} AND {_WITH_OUTCOME}
"""
ROOMS_BY_PAIRS = f"""
    SELECT room_id, max(room_name), count(*) FROM pair WHERE {{pairs}} AND {_WITH_OUTCOME}
    GROUP BY room_id ORDER BY 3 DESC, min(key) LIMIT %(count)s
"""

# Delete the pairs that only an earlier version of the job had, with their outcomes.
DELETE_REMOVED = "DELETE FROM pair WHERE run_id = %(run)s AND place IS NULL"

# Delete the outcomes and doubts of all pairs: for a check that starts again.
RESET_OUTCOMES = """
    UPDATE pair SET outcome = NULL, reason = NULL, http_status = NULL, error_type = NULL, message = NULL,
        finished_at = NULL, duration_ms = NULL, evidence = NULL, in_doubt = false
    WHERE run_id = %(run)s AND (outcome IS NOT NULL OR in_doubt)
"""

# A row is due while it has no outcome, or one that another attempt can settle. Workers send a failed row once in each
# resumption: where it fails again, another worker that goes on with its shard leaves it.
_DUE = """place > %(after)s AND (
    outcome IS NULL OR outcome = 'unknown' OR (%(retry_failed)s::boolean AND outcome = 'failed' AND {before})
)"""

# A prior state counts in the session that read it, and for a row in doubt until it is settled.
_DUE_COLUMNS = f"""
    place, key, line, room_id, user_id, attempts, in_doubt,
    CASE WHEN in_doubt OR prior_session = (SELECT max(id) FROM session WHERE {{sessions}}) THEN prior END,
    prior_read_at, username, accounts, attempted_at, {_PAIR_NAMES}, outcome, reason
"""

# The next due rows, in job order; and those of one room or one user.
DUE = f"SELECT {_DUE_COLUMNS} FROM pair WHERE {{pairs}} AND {_DUE} ORDER BY place LIMIT %(count)s"
DUE_IN_ROOM = f"""
    SELECT {_DUE_COLUMNS} FROM pair WHERE {{pairs_of}} AND room_id = %(id)s AND {_DUE}
    ORDER BY place + 0 LIMIT %(count)s
"""
DUE_OF_USER = f"""
    SELECT {_DUE_COLUMNS} FROM pair WHERE {{pairs_of}} AND user_id = %(id)s AND {_DUE}
    ORDER BY place + 0 LIMIT %(count)s
"""

# The number of due rows, of their rooms and of their users.
COUNT_DUE = f"SELECT count(*), count(DISTINCT room_id) FROM pair WHERE {{pairs}} AND {_DUE}"
COUNT_DUE_USERS = f"SELECT count(DISTINCT user_id) FROM pair WHERE {{pairs}} AND {_DUE}"

# Write a batch, see the function in the first migration: returns the stop of the run.
COMMIT_BATCH = """
    SELECT stop, stop_detail FROM commit_batch(
        %(run)s, %(shard)s, %(job)s, %(attempt)s, %(keys)s::bigint[],
        %(outcomes)s, %(rollbacks)s, %(priors)s, %(intents)s, %(pauses)s
    )
"""

# A session of the run, or of a shard with the token of its worker; the end of one ends the pauses whose end was not
# planned.
OPEN_SESSION = """
    INSERT INTO session (run_id, shard_id, worker, token_job, token_attempt, account, started_at)
    VALUES (%(run)s, %(shard)s, %(worker)s, %(job)s, %(attempt)s, %(account)s, %(at)s)
"""
CLOSE_SESSION = """
    UPDATE session SET stop = %(stop)s, ended_at = %(at)s
    WHERE id = (SELECT max(id) FROM session WHERE {sessions}) RETURNING id
"""
END_PAUSES = """
    UPDATE pause SET ended_at = %(at)s
    WHERE ended_at IS NULL AND until IS NULL AND session_id = (SELECT max(id) FROM session WHERE {sessions})
"""
SESSIONS = "SELECT started_at, ended_at, stop, account FROM session WHERE {sessions} ORDER BY id"

_RESULT_COLUMNS = """
    place, line, room_id, user_id, outcome, reason, http_status, error_type, message, attempts,
    started_at, finished_at, duration_ms, extra, in_doubt,
    evidence, prior, prior_read_at, username, accounts, attempted_at, room_name, user_name
"""

# The next rows of the job in its order: each part is read along an index.
RESULTS = f"""
    (
        SELECT {_RESULT_COLUMNS} FROM pair WHERE {{pairs}} AND place > %(after)s ORDER BY place LIMIT %(count)s
    ) UNION ALL (
        SELECT place, line, room_id, user_id, outcome, reason, NULL, '', message, 0, NULL, NULL, NULL, extra, false,
            NULL, NULL, NULL, NULL, NULL, NULL, room_name, user_name
        FROM unsent WHERE {{unsent}} AND place > %(after)s ORDER BY place LIMIT %(count)s
    )
    ORDER BY place LIMIT %(count)s
"""

# The next pairs with an attempt or an outcome that only an earlier version of the job had, with their keys in front.
REMOVED_RESULTS = f"""
    SELECT key, {_RESULT_COLUMNS} FROM pair
    WHERE {{pairs}} AND place IS NULL AND key > %(after)s ORDER BY key LIMIT %(count)s
"""

# Single rows, by their keys.
RESULTS_BY_KEY = f"""
    SELECT {_RESULT_COLUMNS} FROM pair
    WHERE key = ANY (%(keys)s::bigint[]) AND run_id + 0 = %(run)s ORDER BY place NULLS FIRST
"""

# The rows by group, and the number of rows with an outcome since a moment.
GROUPS = """
    SELECT part, outcome, reason, in_doubt, evidence, sum(rows)::bigint FROM group_count WHERE {groups}
    GROUP BY 1, 2, 3, 4, 5 HAVING sum(rows) > 0
"""
COUNT_SETTLED = """
    SELECT coalesce(sum(rows), 0)::bigint FROM settled WHERE run_id = %(run)s AND finished_at >= %(since)s
"""

_PAUSE_COLUMNS = "kind, started_at, until, ended_at, call_limit, window_seconds"
PAUSES = f"""
    SELECT id, {_PAUSE_COLUMNS} FROM pause
    WHERE id > %(after)s AND session_id IN (SELECT id FROM session WHERE {{sessions}}) ORDER BY id LIMIT %(count)s
"""

# The pauses of the latest session that last at a moment.
OPEN_PAUSES = f"""
    SELECT {_PAUSE_COLUMNS} FROM pause
    WHERE session_id = (SELECT max(id) FROM session WHERE {{sessions}}) AND ended_at IS NULL
        AND (until IS NULL OR until > %(at)s)
    ORDER BY id
"""

# Give a shard to the worker with a newer token, unless it is done: commits with the older token are refused from then.
TAKE_SHARD = """
    UPDATE shard SET token_job = %(job)s, token_attempt = %(attempt)s, holder = %(worker)s
    WHERE id = %(shard)s AND (token_job, token_attempt) < (%(job)s, %(attempt)s) AND NOT done
    RETURNING run_id
"""
# Record that a shard has no due row any more, by the worker that has it.
FINISH_SHARD = """
    UPDATE shard SET done = true, holder = ''
    WHERE id = %(shard)s AND (token_job, token_attempt) = (%(job)s, %(attempt)s) RETURNING id
"""

# A copy of a run of one machine. Its sessions and pairs arrive in tables that end with the transaction: a session gets
# another number here, and a pair a shard.
CREATE_COPIES = """
    CREATE TEMPORARY TABLE copied_session (
        id bigint, account text, started_at bigint, ended_at bigint, stop text, new_id bigint
    ) ON COMMIT DROP;
    CREATE TEMPORARY TABLE copied_pause (
        id bigint, session_id bigint, kind text, started_at bigint, until bigint, ended_at bigint, call_limit bigint,
        window_seconds double precision
    ) ON COMMIT DROP;
    CREATE TEMPORARY TABLE copied_pair (
        key bigint, room_id text COLLATE "C", user_id text COLLATE "C", place bigint, line bigint, extra text,
        in_doubt boolean, attempts integer, outcome text, reason text, http_status integer, error_type text,
        message text, started_at bigint, finished_at bigint, duration_ms bigint, evidence text, attempted_at bigint,
        prior text, prior_read_at bigint, username text, accounts text, prior_session bigint, room_name text,
        user_name text
    ) ON COMMIT DROP
"""
COPY_SESSIONS = "COPY pg_temp.copied_session (id, account, started_at, ended_at, stop) FROM STDIN"
COPY_PAUSES = "COPY pg_temp.copied_pause FROM STDIN"
COPY_PAIRS = "COPY pg_temp.copied_pair FROM STDIN"
COPY_UNSENT = "COPY unsent FROM STDIN"
COPY_NAMES = "COPY name (run_id, kind, name, id, spelling, reason, message) FROM STDIN"
INSERT_COPIED_SESSIONS = """
    WITH numbered AS (
        UPDATE pg_temp.copied_session SET new_id = nextval(pg_get_serial_sequence('session', 'id')) RETURNING *
    )
    INSERT INTO session (id, run_id, account, started_at, ended_at, stop) OVERRIDING SYSTEM VALUE
    SELECT new_id, %(run)s, account, started_at, ended_at, stop FROM numbered ORDER BY numbered.id
"""
INSERT_COPIED_PAUSES = """
    INSERT INTO pause (session_id, kind, started_at, until, ended_at, call_limit, window_seconds)
    SELECT new_id, kind, each.started_at, until, each.ended_at, call_limit, window_seconds
    FROM pg_temp.copied_pause AS each JOIN pg_temp.copied_session ON copied_session.id = session_id ORDER BY each.id
"""
# Pairs that the job no longer has come after all others.
ARRIVE_COPIED_PAIRS = """
    INSERT INTO pg_temp.arrival (place, room_id, user_id)
    SELECT coalesce(place, 4611686018427387904 + key), room_id, user_id FROM pg_temp.copied_pair
"""
INSERT_COPIED_PAIRS = """
    INSERT INTO pair (
        run_id, shard_id, room_id, user_id, place, line, extra, in_doubt, attempts, outcome, reason, http_status,
        error_type, message, started_at, finished_at, duration_ms, evidence, attempted_at, prior, prior_read_at,
        username, accounts, prior_session, room_name, user_name
    )
    SELECT %(run)s, shard_id, room_id, user_id, place, line, extra, in_doubt, attempts, outcome, reason, http_status,
        error_type, message, each.started_at, finished_at, duration_ms, evidence, attempted_at, prior, prior_read_at,
        username, accounts, new_id, room_name, user_name
    FROM pg_temp.copied_pair AS each JOIN pg_temp.arrived_room USING (room_id)
    LEFT JOIN pg_temp.copied_session ON copied_session.id = prior_session ORDER BY each.key
"""
END_COPIED_SHARDS = """
    UPDATE shard SET done = true WHERE run_id = %(run)s
        AND NOT EXISTS (SELECT FROM pair WHERE shard_id = shard.id AND place IS NOT NULL AND outcome IS NULL)
"""
END_COPIED_RUN = """
    UPDATE run SET is_released = true, ended_at = %(ended_at)s::bigint,
        stop = CASE WHEN %(is_finished)s THEN '' ELSE 'interrupted' END,
        stop_detail = CASE WHEN %(is_finished)s THEN '' ELSE 'brought in from one machine' END
    WHERE id = %(run)s
"""
