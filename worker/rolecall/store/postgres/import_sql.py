"""All SQL of an import, each statement with a sentence; `run` is the run.

The rows arrive in temporary tables, whose schema is named: another one could have tables of these names.
"""

# Begin an import: one at a time for a run; clear the places that rows had in an earlier version of the job, but keep
# their outcomes. The rows arrive in a table that ends with the transaction.
LOCK_RUN = "SELECT is_released FROM run WHERE id = %(run)s FOR UPDATE"
CLEAR_PLACES = "UPDATE pair SET place = NULL, line = NULL WHERE run_id = %(run)s AND place IS NOT NULL"
DELETE_UNSENT = "DELETE FROM unsent WHERE run_id = %(run)s"
CREATE_ARRIVALS = """
    CREATE TEMPORARY TABLE arrival (
        place bigint, line bigint, room_id text COLLATE "C", user_id text COLLATE "C", extra text, room_name text,
        user_name text, reason text, message text
    ) ON COMMIT DROP;
    CREATE TEMPORARY TABLE arrived_doubt (
        place bigint, reason text, message text, prior text, prior_read_at bigint, username text, accounts text,
        attempted_at bigint
    ) ON COMMIT DROP;
    CREATE TEMPORARY TABLE arrived_preset (
        number bigint, room_id text COLLATE "C", user_id text COLLATE "C", outcome text, reason text, message text,
        at bigint, evidence text
    ) ON COMMIT DROP;
    CREATE TEMPORARY TABLE arrived_room (room_id text COLLATE "C", shard_id bigint) ON COMMIT DROP;
    SET LOCAL work_mem = '64MB'
"""
COPY_ROWS = "COPY pg_temp.arrival FROM STDIN"
COPY_DOUBTS = "COPY pg_temp.arrived_doubt FROM STDIN"
COPY_PRESETS = "COPY pg_temp.arrived_preset FROM STDIN"
ANALYSE_ARRIVALS = "ANALYZE pg_temp.arrival"
HAS_PAIRS = "SELECT EXISTS (SELECT FROM pair WHERE run_id = %(run)s)"

# Move the pairs that the run already has to their places in the present job: the first row of each pair counts.
MOVE_PAIRS = """
    UPDATE pair SET place = each.place, line = each.line, extra = each.extra,
        room_name = coalesce(each.room_name, pair.room_name), user_name = coalesce(each.user_name, pair.user_name)
    FROM (
        SELECT DISTINCT ON (room_id, user_id) * FROM pg_temp.arrival WHERE reason IS NULL
        ORDER BY room_id, user_id, place
    ) AS each
    WHERE pair.run_id = %(run)s AND pair.room_id = each.room_id AND pair.user_id = each.user_id
"""
# Pack whole rooms, in the order of their first row, into new shards of about `shard_rows`; a larger room is one shard.
# A room that the run already has stays in its shard.
PACK_ROOMS = """
    WITH room AS (
        SELECT room_id, min(place) AS first, count(*) AS rows FROM pg_temp.arrival WHERE reason IS NULL GROUP BY room_id
    ), known AS (
        SELECT room_id, min(shard_id) AS shard_id FROM pair WHERE run_id = %(run)s GROUP BY room_id
    ), fresh AS (
        SELECT room_id, first, rows, rows >= %(shard_rows)s AS is_large,
            sum(CASE WHEN rows >= %(shard_rows)s THEN 0 ELSE rows END) OVER (ORDER BY first) AS small_rows
        FROM room WHERE NOT EXISTS (SELECT FROM known WHERE known.room_id = room.room_id)
    ), packed AS (
        SELECT room_id, first,
            CASE WHEN is_large THEN -first ELSE floor((small_rows - rows) / %(shard_rows)s) END AS bin
        FROM fresh
    ), bin AS (
        SELECT bin, row_number() OVER (ORDER BY min(first)) AS number FROM packed GROUP BY bin
    ), made AS (
        INSERT INTO shard (run_id) SELECT %(run)s FROM bin ORDER BY number RETURNING id
    ), numbered AS (
        SELECT id, row_number() OVER (ORDER BY id) AS number FROM made
    )
    INSERT INTO pg_temp.arrived_room
    SELECT room_id, numbered.id FROM packed JOIN bin USING (bin) JOIN numbered USING (number)
    UNION ALL SELECT room_id, shard_id FROM known
"""
ANALYSE_ROOMS = "ANALYZE pg_temp.arrived_room"
# Insert the pairs of a new run; or, where a pair is repeated or the run has pairs, those that it has not, the first row
# of each. To look for each pair first would cost a third more.
HAS_DUPLICATES = """
    SELECT EXISTS (SELECT FROM pg_temp.arrival WHERE reason IS NULL GROUP BY room_id, user_id HAVING count(*) > 1)
"""
INSERT_PAIRS = """
    INSERT INTO pair (run_id, shard_id, room_id, user_id, place, line, extra, room_name, user_name)
    SELECT %(run)s, shard_id, room_id, user_id, place, line, extra, room_name, user_name
    FROM pg_temp.arrival JOIN pg_temp.arrived_room USING (room_id) WHERE reason IS NULL ORDER BY place
"""
INSERT_OTHER_PAIRS = INSERT_PAIRS + "ON CONFLICT (run_id, room_id, user_id) DO NOTHING"
# Insert the rows that are never sent: invalid ones, and those whose pair an earlier row has.
INSERT_INVALID = """
    INSERT INTO unsent
    SELECT %(run)s, place, line, room_id, user_id, 'invalid', reason, message, extra, room_name, user_name
    FROM pg_temp.arrival WHERE reason IS NOT NULL
"""
INSERT_DUPLICATES = """
    INSERT INTO unsent
    SELECT %(run)s, each.place, each.line, each.room_id, each.user_id, 'duplicate', 'duplicate_of',
        'the same pair stands in line ' || pair.line, each.extra, each.room_name, each.user_name
    FROM pg_temp.arrival AS each
    JOIN pair ON pair.run_id = %(run)s AND pair.room_id = each.room_id AND pair.user_id = each.user_id
    WHERE each.reason IS NULL AND pair.place <> each.place
"""
# Record what an earlier run left in doubt of a pair that this run has not touched.
IMPORT_DOUBTS = """
    UPDATE pair SET outcome = 'unknown', reason = each.reason, in_doubt = true, http_status = NULL, error_type = '',
        message = each.message, finished_at = each.attempted_at, prior = each.prior,
        prior_read_at = each.prior_read_at, username = each.username, accounts = each.accounts,
        attempted_at = each.attempted_at
    FROM pg_temp.arrived_doubt AS each
    WHERE run_id = %(run)s AND pair.place = each.place AND outcome IS NULL AND attempts = 0 AND NOT in_doubt
"""
# Delete the pairs that only an earlier version of the job had, unless there was an attempt or an outcome.
DELETE_UNTOUCHED = """
    DELETE FROM pair
    WHERE run_id = %(run)s AND place IS NULL AND attempts = 0 AND NOT in_doubt AND outcome IS NULL
"""
# Record outcomes that are known before anything was sent for a pair, the first one that fits. What an attempt left that
# was rolled back later does not describe it. A doubt of an earlier run is settled only by an outcome with evidence.
PRESET_OUTCOMES = """
    UPDATE pair SET outcome = each.outcome, reason = each.reason, http_status = NULL, error_type = '',
        message = each.message, finished_at = each.at, duration_ms = NULL, evidence = each.evidence, in_doubt = false
    FROM (
        SELECT DISTINCT ON (key) key AS pair_key, preset.* FROM pg_temp.arrived_preset AS preset
        JOIN pair ON run_id = %(run)s AND pair.room_id = preset.room_id AND pair.user_id = preset.user_id
        WHERE attempts = 0 AND CASE WHEN in_doubt THEN preset.evidence <> '' ELSE pair.outcome IS NULL END
        ORDER BY key, number
    ) AS each
    WHERE key = pair_key
"""
# A shard with new rows is not done.
REOPEN_SHARDS = "UPDATE shard SET done = false WHERE run_id = %(run)s AND done"
# Remove the shards that have no pair any more.
DELETE_EMPTY_SHARDS = """
    DELETE FROM shard WHERE run_id = %(run)s AND NOT EXISTS (SELECT FROM pair WHERE shard_id = shard.id)
"""
# What the run is, and the names that were not found: they are looked up again.
SET_IDENTITY = "UPDATE run SET operation = %(operation)s, job_digest = %(job_digest)s WHERE id = %(run)s"
DELETE_UNKNOWN_NAMES = "DELETE FROM name WHERE run_id = %(run)s AND id = ''"
