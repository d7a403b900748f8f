"""The statements of workers, beside those of the run store and of the job queue. Times are the database's own."""

RUN_STOPPED = "rolecall_stop"
"""The channel on which the id of a run is sent when it is stopped."""

NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

# Record that a worker is there; with its next heartbeats only the moment changes.
ADD_WORKER = f"""
    INSERT INTO worker (id, host, egress, version, workspaces, started_at, seen_at)
    VALUES (%(id)s, %(host)s, %(egress)s, %(version)s, %(workspaces)s, {NOW_MS}, {NOW_MS})
    ON CONFLICT (id) DO UPDATE SET workspaces = excluded.workspaces, seen_at = excluded.seen_at
    RETURNING extract(epoch FROM clock_timestamp())::double precision
"""
SEE_WORKER = f"""
    UPDATE worker SET seen_at = {NOW_MS} WHERE id = %(id)s
    RETURNING extract(epoch FROM clock_timestamp())::double precision
"""
DELETE_WORKER = "DELETE FROM worker WHERE id = %(id)s"
# Delete the workers that were last seen long ago.
FORGET_WORKERS = f"DELETE FROM worker WHERE seen_at < {NOW_MS} - 7 * 86400 * 1000"
# The workers, with the seconds since their last heartbeats.
WORKERS = f"""
    SELECT id, host, egress, version, workspaces, started_at, ({NOW_MS} - seen_at) / 1000.0::double precision,
        ARRAY(SELECT run_id::text || '/' || id FROM shard WHERE holder = worker.id AND NOT done ORDER BY id)
    FROM worker ORDER BY egress, started_at
"""

# Lock the place of the one active worker for a workspace behind an address: as long as the connection lasts.
LOCK_EGRESS = (
    "SELECT pg_try_advisory_lock(hashtextextended('rolecall egress ' || %(workspace)s || ' ' || %(egress)s, 0))"
)
UNLOCK_EGRESS = (
    "SELECT pg_advisory_unlock(hashtextextended('rolecall egress ' || %(workspace)s || ' ' || %(egress)s, 0))"
)

# What a worker must know to process a shard.
SHARD = """
    SELECT shard.id, run.id, run.workspace, run.operation, run.account, run.settings, run.stop, run.stop_detail,
        run.reason, workspace.url, workspace.rate, shard.done, shard.rows
    FROM shard JOIN run ON run.id = run_id JOIN workspace ON workspace.name = run.workspace
    WHERE shard.id = %(shard)s
"""
# Whether a run is stopped.
RUN_STOP = "SELECT stop, stop_detail FROM run WHERE id = %(run)s"
# Make an account that of a run that has none yet; returns the run's. A worker of this account goes on with the run.
CLAIM_ACCOUNT = """
    UPDATE run SET account = CASE WHEN account = '' THEN %(account)s ELSE account END,
        refusal = CASE WHEN account IN ('', %(account)s) THEN '' ELSE refusal END
    WHERE id = %(run)s
    RETURNING account
"""
# Record why a worker leaves the shards of a run to others.
RECORD_REFUSAL = "UPDATE run SET refusal = %(detail)s WHERE id = %(run)s AND refusal <> %(detail)s"
# Stop a run; the first reason stays.
STOP_RUN = """
    UPDATE run SET stop = %(stop)s, stop_detail = %(detail)s
    WHERE id = %(run)s AND stop = '' AND ended_at IS NULL
    RETURNING id, pg_notify('rolecall_stop', id::text)
"""
# End a shard with no row left, by the worker that has it; and end a run whose shards are all done. (A failed row whose
# repetition was not sent has its outcome again, but then the run is being stopped.)
FINISH_SHARD = """
    UPDATE shard SET done = true, holder = ''
    WHERE id = %(shard)s AND (token_job, token_attempt) = (%(job)s, %(attempt)s)
        AND NOT EXISTS (SELECT FROM pair WHERE shard_id = shard.id AND outcome IS NULL AND place IS NOT NULL)
    RETURNING id
"""
# Record that a worker has ended its work on a shard that has rows left, unless another one has taken it; and that one
# which starts anew works on none.
RELEASE_SHARD = """
    UPDATE shard SET holder = ''
    WHERE id = %(shard)s AND (token_job, token_attempt) = (%(job)s, %(attempt)s) AND holder <> ''
"""
RELEASE_SHARDS = "UPDATE shard SET holder = '' WHERE holder = %(worker)s"
# `xmin`: a statement that had to wait for a resumption sees the run as it is then, and its shards as they were before.
END_RUN = f"""
    UPDATE run SET ended_at = {NOW_MS}
    WHERE id = %(run)s AND ended_at IS NULL AND is_released
        AND xmin = (SELECT seen.xmin FROM run AS seen WHERE seen.id = run.id)
        AND NOT EXISTS (SELECT FROM shard WHERE run_id = run.id AND NOT done)
    RETURNING id
"""
# The shards that no worker has, and for which no job waits.
LOST_SHARDS = """
    SELECT run.workspace, shard.id
    FROM shard JOIN run ON run.id = run_id
    WHERE NOT done AND is_released AND stop = '' AND ended_at IS NULL
        AND NOT EXISTS (
            SELECT FROM procrastinate_jobs WHERE lock = 'shard:' || shard.id AND status = 'doing'
        )
        AND NOT EXISTS (
            SELECT FROM procrastinate_jobs WHERE queueing_lock = 'shard:' || shard.id AND status = 'todo'
        )
    ORDER BY shard.id LIMIT 1000
"""
# The runs whose shards are all done, and which were not ended with the last of them.
DONE_RUNS = """
    SELECT id FROM run WHERE ended_at IS NULL AND is_released
        AND NOT EXISTS (SELECT FROM shard WHERE run_id = run.id AND NOT done)
"""
# The workspaces with jobs that wait, but for those that are paused.
WAITING_QUEUES = """
    SELECT DISTINCT substr(queue_name, 4) FROM procrastinate_jobs
    WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now())
        AND queue_name LIKE 'ws:%%' AND substr(queue_name, 4) = ANY (%(names)s)
        AND NOT EXISTS (SELECT FROM workspace WHERE name = substr(queue_name, 4) AND paused)
"""
# The rows of a run that were done since it was released or last resumed, and those of them that failed. Unknown rows of
# a shard that is not done are tried again where another worker goes on with it.
FAILURES = """
    SELECT coalesce(sum(counted.rows), 0)::bigint,
        coalesce(sum(counted.rows) FILTER (WHERE outcome = 'failed' OR (outcome = 'unknown' AND done)), 0)::bigint
    FROM run JOIN group_count AS counted ON counted.run_id = run.id AND counted.resumption = run.resumption
    LEFT JOIN shard ON shard.id = shard_id
    WHERE run.id = %(run)s AND part = 'job' AND outcome <> ''
"""

# Lease slots of a rate: the first moment, and the clock. A slot that passed is lost; after a step of the clock back no
# slot is far away.
LEASE_SLOTS = """
    INSERT INTO pace AS paced (workspace, kind, next_slot)
    VALUES (%(workspace)s, %(kind)s, extract(epoch FROM clock_timestamp()) + %(count)s * %(interval)s)
    ON CONFLICT (workspace, kind) DO UPDATE SET next_slot = greatest(
        extract(epoch FROM clock_timestamp())::double precision - 0.003,
        least(
            paced.next_slot,
            extract(epoch FROM clock_timestamp())::double precision + 64 * greatest(%(interval)s, 0.25)
        )
    ) + %(count)s * %(interval)s
    RETURNING next_slot - %(count)s * %(interval)s, extract(epoch FROM clock_timestamp())::double precision
"""
# Record that a workspace gave an answer, and whether it did within so many seconds, to any worker.
RECORD_ANSWER = f"UPDATE workspace SET answered_at = {NOW_MS} WHERE name = %(workspace)s"
ANSWERED_WITHIN = f"SELECT answered_at > {NOW_MS} - %(ms)s FROM workspace WHERE name = %(workspace)s"

# Whether every shard of a run is done.
HAS_ENDED = "SELECT ended_at IS NOT NULL FROM run WHERE id = %(run)s"
