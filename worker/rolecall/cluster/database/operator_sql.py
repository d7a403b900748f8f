"""The statements of commands on runs and schedules, beside those of the run store and of the workers."""

from rolecall.cluster.database.worker_sql import NOW_MS

# The workspaces, by name and by URL.
WORKSPACE_URL = "SELECT url FROM workspace WHERE name = %(name)s"
WORKSPACE_OF_URL = "SELECT name FROM workspace WHERE url = %(url)s"

# Lock a run while its rows are being prepared: as long as the connection lasts. A run that is not released, and neither
# locked nor of a schedule, is abandoned.
LOCK_SUBMISSION = "SELECT pg_advisory_lock(hashtextextended('rolecall submit ' || %(run)s::bigint, 0))"
_IS_ABANDONED = """
    NOT is_released AND schedule IS NULL AND NOT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (classid::bigint << 32 | objid::bigint) = hashtextextended('rolecall submit ' || run.id, 0)
            AND objsubid = 1
    )
"""

# What is recorded of runs: the newest first, or one of them.
_RUN = f"""
    SELECT run.id, run.workspace, workspace.url, run.operation, run.job_digest, run.account, run.reason, run.parent,
        run.schedule, run.due_at, run.is_released, run.stop, run.stop_detail, run.created_at, run.ended_at,
        run.settings, (SELECT count(*) FROM shard WHERE run_id = run.id),
        (SELECT count(*) FROM shard WHERE run_id = run.id AND done), {NOW_MS}, run.refusal, {_IS_ABANDONED}
    FROM run JOIN workspace ON workspace.name = run.workspace
"""
RUNS = f"""{_RUN}
    WHERE %(workspace)s::text IS NULL OR run.workspace = %(workspace)s ORDER BY run.id DESC LIMIT %(limit)s
"""
RUN = f"{_RUN} WHERE run.id = %(run)s"
# The runs of a workspace without an end, and those with rows that are due again: of the same job, the newest first.
SAME_JOB = """
    SELECT run.id FROM run
    WHERE workspace = %(workspace)s AND operation = %(operation)s AND job_digest = %(digest)s AND is_released AND (
        ended_at IS NULL OR EXISTS (
            SELECT FROM group_count
            WHERE run_id = run.id AND part = 'job' AND outcome IN ('', 'unknown') AND rows > 0
        )
    )
    ORDER BY run.id DESC LIMIT 1
"""
# The undo of a run that has begun, the newest one.
UNDO_OF = """
    SELECT id, job_digest FROM run
    WHERE parent = %(run)s AND is_released ORDER BY id DESC LIMIT 1
"""
# Another undo of exactly these rows.
UNDONE_BY = """
    SELECT id FROM run WHERE parent = %(parent)s AND is_released AND job_digest = %(digest)s AND id <> %(run)s
    ORDER BY id DESC LIMIT 1
"""

# How many rows of these runs have which outcome.
GROUPS = """
    SELECT run_id, part, outcome, reason, in_doubt::integer, '', sum(rows)::bigint
    FROM group_count WHERE run_id = ANY (%(runs)s)
    GROUP BY run_id, part, outcome, reason, in_doubt HAVING sum(rows) > 0
"""
# The rows of these runs that were finished in the last minute.
LATELY = f"""
    SELECT run_id, sum(rows)::bigint FROM settled
    WHERE run_id = ANY (%(runs)s) AND finished_at >= {NOW_MS} - %(ms)s GROUP BY run_id
"""
# The live workers that have a shard of these runs, with the number of their shards.
WORKING = f"""
    SELECT run_id, worker.id, worker.host, worker.egress, count(*) FROM shard JOIN worker ON worker.id = shard.holder
    WHERE run_id = ANY (%(runs)s) AND NOT done AND seen_at > {NOW_MS} - %(ms)s
    GROUP BY run_id, worker.id, worker.host, worker.egress ORDER BY worker.egress, worker.id
"""
# The workspaces that a live worker has credentials for.
SERVED = f"SELECT DISTINCT unnest(workspaces) FROM worker WHERE seen_at > {NOW_MS} - %(ms)s"
# The live workers that can send rows of a workspace at the same time: of those behind one address one is active.
COUNT_SENDERS = f"""
    SELECT count(DISTINCT egress) FROM worker
    WHERE %(workspace)s = ANY (workspaces) AND seen_at > {NOW_MS} - %(ms)s
"""
# The sessions of a run with the workers that had them.
SESSIONS = """
    SELECT started_at, ended_at, stop, account, worker, coalesce(shard_id, 0) FROM session WHERE run_id = %(run)s
    ORDER BY started_at, id
"""

# Lock what a release decides about: the same job cannot be released twice at a time.
LOCK_JOB = "SELECT pg_advisory_xact_lock(hashtextextended('rolecall job ' || %(job)s, 0))"
# Release a run: its rows are complete and confirmed, and no other worker has imported others since.
RELEASE = """
    UPDATE run SET is_released = true, resumption = 1, settings = settings || %(settings)s::jsonb
    WHERE id = %(run)s AND NOT is_released AND stop = '' AND job_digest = %(digest)s RETURNING id
"""
SHARDS_TO_DO = "SELECT id FROM shard WHERE run_id = %(run)s AND NOT done ORDER BY id"
# Delete a run that was not released; or only where it is abandoned.
DISCARD = "DELETE FROM run WHERE id = %(run)s AND NOT is_released"
DISCARD_ABANDONED = f"DELETE FROM run WHERE id = %(run)s AND {_IS_ABANDONED} RETURNING id"
# End a run that cannot be released, with the reason.
REFUSE = f"""
    UPDATE run SET stop = %(stop)s, stop_detail = %(detail)s, ended_at = {NOW_MS}
    WHERE id = %(run)s AND NOT is_released AND stop = '' RETURNING id
"""

# Lock a run for a change of its state, and read what decides about it.
LOCK_RUN = "SELECT is_released, stop, ended_at, settings FROM run WHERE id = %(run)s FOR UPDATE"
# Let the shards with due rows be processed again.
REOPEN_SHARDS = """
    UPDATE shard SET done = false WHERE run_id = %(run)s AND done AND EXISTS (
        SELECT FROM group_count WHERE run_id = shard.run_id AND shard_id = shard.id AND part = 'job'
            AND outcome = ANY (%(outcomes)s) AND rows > 0
    )
    RETURNING id
"""
# Its account is then that of the first worker that goes on, as the token may be another one now; that of a plan stays.
RESUME = """
    UPDATE run SET stop = '', stop_detail = '', ended_at = NULL, resumption = resumption + 1, refusal = '',
        settings = settings || %(settings)s::jsonb,
        account = CASE WHEN settings -> 'follows_plan' = 'true' THEN account ELSE '' END
    WHERE id = %(run)s
"""

# End a run that was stopped at its end: no row of it is due.
FINISH = f"""
    UPDATE run SET stop = '', stop_detail = '', ended_at = coalesce(ended_at, {NOW_MS}) WHERE id = %(run)s
"""

# Schedules.
ADD_SCHEDULE = """
    INSERT INTO schedule (name, cron, tz, next_at, overlap, late, workspace, source, settings)
    VALUES (%(name)s, %(cron)s, %(tz)s, %(next_at)s, %(overlap)s, %(late)s, %(workspace)s, %(source)s::jsonb,
        %(settings)s::jsonb)
    ON CONFLICT (name) DO NOTHING RETURNING name
"""
REMOVE_SCHEDULE = "DELETE FROM schedule WHERE name = %(name)s RETURNING name"
# End the runs of a schedule that were not made yet: a schedule that gets its name later has another source.
REFUSE_UNMADE = f"""
    UPDATE run SET stop = %(stop)s, stop_detail = %(detail)s, ended_at = {NOW_MS}
    WHERE schedule = %(name)s AND NOT is_released AND stop = '' AND ended_at IS NULL RETURNING id
"""
PAUSE_SCHEDULE = "UPDATE schedule SET paused = %(paused)s WHERE name = %(name)s RETURNING cron, tz, next_at, now()"
SET_NEXT = "UPDATE schedule SET next_at = %(next_at)s WHERE name = %(name)s"
SCHEDULE_NAMES = "SELECT name FROM schedule ORDER BY name"
# The schedules, each with its last run and the latest ticks that started none.
SCHEDULES = """
    SELECT name, cron, tz, next_at, overlap, late, workspace, source - 'content' - 'users' - 'rooms', paused, last_run,
        last_error, (SELECT count(*) FROM missed WHERE schedule = schedule.name),
        ARRAY(
            SELECT to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || ' ' || why FROM missed
            WHERE missed.schedule = schedule.name ORDER BY due_at DESC LIMIT 5
        )
    FROM schedule ORDER BY name
"""
# The schedules whose time has come; another worker that looks at the same moment passes over them.
DUE_SCHEDULES = """
    SELECT name, cron, tz, next_at, overlap, late, workspace, settings, now() FROM schedule
    WHERE NOT paused AND next_at <= now() ORDER BY next_at LIMIT 20 FOR UPDATE SKIP LOCKED
"""
UNFINISHED_OF_SCHEDULE = "SELECT EXISTS (SELECT FROM run WHERE schedule = %(name)s AND ended_at IS NULL AND stop = '')"
ADD_SCHEDULED_RUN = f"""
    INSERT INTO run (workspace, settings, reason, schedule, due_at, created_at)
    VALUES (%(workspace)s, %(settings)s::jsonb, %(reason)s, %(name)s, %(due_at)s, {NOW_MS})
    ON CONFLICT (schedule, due_at) DO NOTHING RETURNING id
"""
ADD_MISSED = """
    INSERT INTO missed (schedule, due_at, why) VALUES (%(name)s, %(due_at)s, %(why)s)
    ON CONFLICT (schedule, due_at) DO NOTHING
"""
RECORD_TICK = """
    UPDATE schedule SET next_at = %(next_at)s, last_run = coalesce(%(run)s, last_run), last_error = %(error)s
    WHERE name = %(name)s
"""
RECORD_ERROR = "UPDATE schedule SET last_error = %(error)s WHERE name = %(name)s"
# What a run of a schedule is made of.
SCHEDULED_SOURCE = """
    SELECT run.is_released, run.stop, run.ended_at, run.settings, schedule.source, run.workspace, workspace.url,
        run.schedule, run.reason
    FROM run JOIN workspace ON workspace.name = run.workspace LEFT JOIN schedule ON schedule.name = run.schedule
    WHERE run.id = %(run)s
"""
# Whether a schedule's time has come, or a run of one was not made yet.
HAS_SCHEDULE_WORK = """
    SELECT EXISTS (SELECT FROM schedule WHERE NOT paused AND next_at <= now()) OR EXISTS (
        SELECT FROM run WHERE schedule IS NOT NULL AND NOT is_released AND stop = '' AND ended_at IS NULL
    )
"""
# Runs of schedules that were never made, because the job that makes them was lost.
UNMADE_RUNS = """
    SELECT run.workspace, run.id FROM run
    WHERE schedule IS NOT NULL AND NOT is_released AND stop = '' AND ended_at IS NULL
        AND NOT EXISTS (
            SELECT FROM procrastinate_jobs
            WHERE (lock = 'run:' || run.id AND status = 'doing')
                OR (queueing_lock = 'run:' || run.id AND status = 'todo')
        )
    ORDER BY run.id LIMIT 100
"""
# The live workers, by the workspaces that they have credentials for.
LIVE_WORKERS = f"""
    SELECT name, count(*) FROM worker, unnest(workspaces) AS name WHERE seen_at > {NOW_MS} - %(ms)s
    GROUP BY name ORDER BY name
"""
# A run that was brought in from one machine before.
IMPORTED_BEFORE = """
    SELECT id FROM run
    WHERE workspace = %(workspace)s AND operation = %(operation)s AND job_digest = %(digest)s
        AND created_at = %(created_at)s AND settings ? 'imported_from'
"""

# Lock a run while one machine verifies it: as long as the connection lasts. It is not resumed meanwhile; resumptions do
# not keep each other out.
LOCK_VERIFICATION = "SELECT pg_try_advisory_lock(hashtextextended('rolecall verify ' || %(run)s::bigint, 0))"
IS_NOT_VERIFIED = "SELECT pg_try_advisory_xact_lock_shared(hashtextextended('rolecall verify ' || %(run)s::bigint, 0))"
