-- The schema of Rolecall, version 1. Times are UTC in milliseconds since the epoch, except those of schedules.
-- Roles are granted their rights in roles.sql.

-- `answered_at`: the last good answer of the workspace to any worker; 0 for none.
CREATE TABLE workspace (
    name text PRIMARY KEY,
    url text NOT NULL UNIQUE,
    rate double precision,
    paused boolean NOT NULL DEFAULT false,
    answered_at bigint NOT NULL DEFAULT 0
);

CREATE TABLE schedule (
    name text PRIMARY KEY,
    cron text NOT NULL,
    tz text NOT NULL,
    next_at timestamptz,
    overlap text NOT NULL DEFAULT 'skip',
    late interval NOT NULL DEFAULT '6 hours',
    workspace text NOT NULL REFERENCES workspace (name),
    source jsonb NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}',
    paused boolean NOT NULL DEFAULT false,
    last_run bigint,
    last_error text NOT NULL DEFAULT ''
);

-- The moments at which a schedule made no run, and why.
CREATE TABLE missed (
    schedule text NOT NULL REFERENCES schedule (name) ON DELETE CASCADE,
    due_at timestamptz NOT NULL,
    why text NOT NULL,
    PRIMARY KEY (schedule, due_at)
);

-- `parent`: the run that this one verifies or undoes. `is_released`: its rows are complete and may be sent. `stop`: why
-- no worker sends its rows any more; the first reason stays. `resumption`: how often it was released or resumed.
-- `refusal`: why a worker left a shard of it, the last one.
CREATE TABLE run (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace text NOT NULL REFERENCES workspace (name),
    operation text NOT NULL DEFAULT '',
    job_digest text NOT NULL DEFAULT '',
    account text NOT NULL DEFAULT '',
    settings jsonb NOT NULL DEFAULT '{}',
    reason text NOT NULL DEFAULT '',
    parent bigint REFERENCES run (id) ON DELETE SET NULL,
    schedule text,
    due_at timestamptz,
    is_released boolean NOT NULL DEFAULT false,
    stop text NOT NULL DEFAULT '',
    stop_detail text NOT NULL DEFAULT '',
    resumption integer NOT NULL DEFAULT 0,
    refusal text NOT NULL DEFAULT '',
    created_at bigint NOT NULL,
    ended_at bigint,
    UNIQUE (schedule, due_at)
);
CREATE INDEX run_of_workspace ON run (workspace, id);
CREATE INDEX run_of_parent ON run (parent) WHERE parent IS NOT NULL;

CREATE TABLE meta (
    run_id bigint NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    name text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (run_id, name)
);

-- The names that the job has instead of ids, as they were found once for this run.
CREATE TABLE name (
    run_id bigint NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    kind text NOT NULL,
    name text NOT NULL,
    id text NOT NULL,
    spelling text NOT NULL,
    reason text NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (run_id, kind, name)
);

-- Whole rooms of a run, the work of one worker at a time. (token_job, token_attempt) is the fence: who has the newest
-- one may write the shard's rows.
CREATE TABLE shard (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    rows bigint NOT NULL DEFAULT 0,
    token_job bigint NOT NULL DEFAULT 0,
    token_attempt integer NOT NULL DEFAULT 0,
    holder text NOT NULL DEFAULT '',
    done boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
CREATE INDEX shard_of_run ON shard (run_id, id);
CREATE INDEX shard_not_done ON shard (run_id) WHERE NOT done;

-- One line for each pair, as in the SQLite store. A foreign key would be checked for each row of an import; a trigger
-- deletes the pairs of a run that is deleted. `place` is its position in the job, NULL where an edited job has it
-- no longer. `resumption` is that of the run when the outcome was recorded. No index has a column that a commit
-- changes, and a page has room for an intent and an outcome of each of its rows: no update writes an index, and none
-- has to tidy up its page first.
CREATE TABLE pair (
    key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint NOT NULL,
    shard_id bigint NOT NULL,
    room_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    place bigint,
    line bigint,
    extra text,
    in_doubt boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 0,
    outcome text,
    reason text,
    http_status integer,
    error_type text,
    message text,
    started_at bigint,
    finished_at bigint,
    duration_ms bigint,
    evidence text,
    attempted_at bigint,
    prior text,
    prior_read_at bigint,
    username text,
    accounts text,
    prior_session bigint,
    room_name text COLLATE "C",
    user_name text,
    resumption integer NOT NULL DEFAULT 0,
    UNIQUE (run_id, room_id, user_id)
) WITH (fillfactor = 25);
CREATE INDEX pair_in_job_order ON pair (run_id, place);
CREATE INDEX pair_of_shard ON pair (shard_id, place);
CREATE INDEX pair_by_user ON pair (run_id, user_id, room_id);

-- The rows of the job that are never sent: invalid ones and duplicates.
CREATE TABLE unsent (
    run_id bigint NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    place bigint NOT NULL,
    line bigint NOT NULL,
    room_id text NOT NULL,
    user_id text NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    message text NOT NULL,
    extra text,
    room_name text,
    user_name text,
    PRIMARY KEY (run_id, place)
);

-- Who worked on what: one start of a run, or (with shard_id) of one shard by a worker.
CREATE TABLE session (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    shard_id bigint,
    worker text NOT NULL DEFAULT '',
    token_job bigint NOT NULL DEFAULT 0,
    token_attempt integer NOT NULL DEFAULT 0,
    account text NOT NULL,
    started_at bigint NOT NULL,
    ended_at bigint,
    stop text NOT NULL DEFAULT ''
);
CREATE INDEX session_of_run ON session (run_id, id);
CREATE INDEX session_of_shard ON session (shard_id, id);

-- The times in which no request was sent (see records.Pause).
CREATE TABLE pause (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id bigint NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    kind text NOT NULL,
    started_at bigint NOT NULL,
    until bigint,
    ended_at bigint,
    call_limit bigint,
    window_seconds double precision
);
CREATE INDEX pause_of_session ON pause (session_id, id);

-- The number of rows of a shard with the same recorded outcome (see rows.Group) of one resumption, up to date with every
-- commit; those without an outcome are of resumption 0.
CREATE TABLE group_count (
    run_id bigint NOT NULL,
    shard_id bigint NOT NULL,
    part text NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    in_doubt boolean NOT NULL,
    evidence text NOT NULL,
    rows bigint NOT NULL,
    resumption integer NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, shard_id, part, outcome, reason, in_doubt, evidence, resumption)
) WITH (fillfactor = 50);

-- The changes of the number of rows with an outcome, by the moment of the outcome: only added to. An index on the
-- moment in `pair` would make each of its updates write every index.
CREATE TABLE settled (
    run_id bigint NOT NULL,
    finished_at bigint NOT NULL,
    rows bigint NOT NULL
);
CREATE INDEX settled_by_time ON settled (run_id, finished_at) INCLUDE (rows);

CREATE FUNCTION delete_rows_of_run() RETURNS trigger
LANGUAGE plpgsql
SET search_path = rolecall, pg_temp
AS $$
BEGIN
    DELETE FROM pair WHERE run_id = OLD.id;
    DELETE FROM group_count WHERE run_id = OLD.id;
    DELETE FROM settled WHERE run_id = OLD.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER delete_rows_of_run AFTER DELETE ON run FOR EACH ROW EXECUTE FUNCTION delete_rows_of_run();

-- A host that works: `seen_at` is its last heartbeat.
CREATE TABLE worker (
    id text PRIMARY KEY,
    host text NOT NULL,
    egress text NOT NULL,
    version text NOT NULL,
    workspaces text[] NOT NULL DEFAULT '{}',
    started_at bigint NOT NULL,
    seen_at bigint NOT NULL
);

-- The own rate of a workspace, for changes and for reads: the moment of the next free slot, seconds since the epoch.
CREATE TABLE pace (
    workspace text NOT NULL REFERENCES workspace (name) ON DELETE CASCADE,
    kind text NOT NULL,
    next_slot double precision NOT NULL,
    PRIMARY KEY (workspace, kind)
) WITH (fillfactor = 20);

-- The group in which a pair is counted.
CREATE TYPE pair_group AS (
    shard_id bigint, part text, outcome text, reason text, in_doubt boolean, evidence text, finished_at bigint,
    resumption integer
);

-- Return the groups of some pairs of a run, or of one shard of it, as they are now. `+ 0` keeps other indexes out of it.
CREATE FUNCTION groups_of_pairs(of_run bigint, of_shard bigint, keys bigint[]) RETURNS pair_group[]
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT array_agg(ROW(
            shard_id, CASE WHEN place IS NULL THEN 'removed' ELSE 'job' END, coalesce(outcome, ''),
            coalesce(reason, ''), outcome IS NULL AND in_doubt,
            CASE WHEN outcome IS NULL THEN '' ELSE coalesce(evidence, '') END,
            CASE WHEN outcome IS NOT NULL THEN finished_at END,
            CASE WHEN outcome IS NULL THEN 0 ELSE resumption END
        )::pair_group)
        FROM pair WHERE key = ANY (keys) AND run_id + 0 = of_run AND (of_shard IS NULL OR shard_id + 0 = of_shard)
    );
END
$$;

-- Write a batch in one transaction: outcomes, rollbacks, prior states and pauses in any case; intents only while the run
-- is not stopped. Pauses are a JSON array of arrays, in the order of the fields in records.py.
-- Raises RC001 where the shard has another token: another worker has taken it. The lock lets a takeover wait for a
-- commit under way, and no commit with the old token succeed after it. Without a shard there is no fence, which only
-- users may do who could change the rows anyway.
-- Each part is a JSON object of arrays by key, so that its UPDATE has no join, which could be planned as a scan while
-- little is known of the table: a batch took a hundred times as long. `+ 0` and the settings leave one plan, a look-up
-- for each key.
CREATE FUNCTION commit_batch(
    of_run bigint, of_shard bigint, job bigint, attempt integer, keys bigint[],
    outcomes jsonb, rollbacks jsonb, priors jsonb, intents jsonb, pauses jsonb,
    OUT stop text, OUT stop_detail text
)
LANGUAGE plpgsql SECURITY DEFINER
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
SET search_path = rolecall, pg_temp
AS $$
DECLARE
    before pair_group[];
    latest bigint;
    current_resumption integer;
    entry jsonb;
BEGIN
    IF of_shard IS NULL THEN
        IF NOT has_table_privilege(session_user, 'rolecall.pair', 'UPDATE') THEN
            RAISE insufficient_privilege USING MESSAGE = 'permission denied to write without a shard';
        END IF;
        SELECT run.stop, run.stop_detail, run.resumption INTO stop, stop_detail, current_resumption
        FROM run WHERE id = of_run;
    ELSE
        SELECT run.stop, run.stop_detail, run.resumption INTO stop, stop_detail, current_resumption
        FROM shard JOIN run ON run.id = shard.run_id
        WHERE shard.id = of_shard AND shard.run_id = of_run AND token_job = job AND token_attempt = attempt
        FOR SHARE OF shard;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'shard % of run % was taken by another worker', of_shard, of_run USING ERRCODE = 'RC001';
    END IF;
    IF cardinality(keys) > 0 THEN
        before := groups_of_pairs(of_run, of_shard, keys);
    END IF;
    IF priors IS NOT NULL OR pauses IS NOT NULL THEN
        latest := latest_session(of_run, of_shard);
    END IF;

    IF outcomes IS NOT NULL THEN
        UPDATE pair SET (outcome, reason, http_status, error_type, message, finished_at, duration_ms, in_doubt, evidence, room_name, user_name, resumption) = (
            SELECT
                each ->> 1,
                each ->> 2,
                (each ->> 3)::integer,
                each ->> 4,
                each ->> 5,
                (each ->> 6)::bigint,
                (each ->> 7)::bigint,
                (each ->> 8)::boolean,
                each ->> 9,
                coalesce(nullif(each ->> 10, ''), room_name),
                coalesce(nullif(each ->> 11, ''), user_name),
                current_resumption
            FROM (SELECT outcomes -> key::text OFFSET 0) AS entry (each)
        )
        WHERE key = ANY (keys_of(outcomes)) AND run_id + 0 = of_run AND (of_shard IS NULL OR shard_id + 0 = of_shard);
    END IF;
    IF rollbacks IS NOT NULL THEN
        UPDATE pair SET (attempts, in_doubt, started_at, attempted_at, outcome, reason) = (
            SELECT
                (each ->> 1)::integer,
                (each ->> 2)::boolean,
                CASE WHEN (each ->> 1)::integer > 0 OR (each ->> 2)::boolean THEN started_at END,
                coalesce((each ->> 3)::bigint, attempted_at),
                coalesce(outcome, each ->> 4),
                CASE WHEN outcome IS NULL THEN each ->> 5 ELSE reason END
            FROM (SELECT rollbacks -> key::text OFFSET 0) AS entry (each)
        )
        WHERE key = ANY (keys_of(rollbacks)) AND run_id + 0 = of_run AND (of_shard IS NULL OR shard_id + 0 = of_shard);
    END IF;
    IF priors IS NOT NULL THEN
        UPDATE pair SET (prior, prior_read_at, username, accounts, prior_session, room_name) = (
            SELECT
                each ->> 1,
                (each ->> 2)::bigint,
                each ->> 3,
                each ->> 4,
                latest,
                coalesce(nullif(each ->> 5, ''), room_name)
            FROM (SELECT priors -> key::text OFFSET 0) AS entry (each)
        )
        WHERE key = ANY (keys_of(priors)) AND run_id + 0 = of_run AND (of_shard IS NULL OR shard_id + 0 = of_shard)
            AND NOT in_doubt;
    END IF;
    IF intents IS NOT NULL AND stop = '' THEN
        UPDATE pair SET (in_doubt, outcome, reason, attempts, started_at, attempted_at, prior, prior_read_at, username, accounts) = (
            SELECT
                true,
                NULL,
                NULL,
                (each ->> 1)::integer,
                coalesce(started_at, (each ->> 2)::bigint),
                (each ->> 2)::bigint,
                each ->> 3,
                (each ->> 4)::bigint,
                each ->> 5,
                each ->> 6
            FROM (SELECT intents -> key::text OFFSET 0) AS entry (each)
        )
        WHERE key = ANY (keys_of(intents)) AND run_id + 0 = of_run AND (of_shard IS NULL OR shard_id + 0 = of_shard);
    END IF;
    IF pauses IS NOT NULL THEN
        FOR entry IN SELECT * FROM jsonb_array_elements(pauses) LOOP
            IF jsonb_array_length(entry) = 2 THEN
                UPDATE pause SET ended_at = (entry ->> 1)::bigint WHERE id = (
                    SELECT max(id) FROM pause
                    WHERE kind = entry ->> 0 AND session_id = latest AND ended_at IS NULL
                );
            ELSE
                INSERT INTO pause (session_id, kind, started_at, until, ended_at, call_limit, window_seconds)
                VALUES (
                    latest, entry ->> 0, (entry ->> 1)::bigint, (entry ->> 2)::bigint, (entry ->> 3)::bigint,
                    (entry ->> 4)::bigint, (entry ->> 5)::double precision
                );
            END IF;
        END LOOP;
    END IF;
    IF cardinality(keys) > 0 THEN
        PERFORM shift_groups(of_run, before, groups_of_pairs(of_run, of_shard, keys));
    END IF;
END
$$;

-- Return the keys of a part of a batch.
CREATE FUNCTION keys_of(part jsonb) RETURNS bigint[]
LANGUAGE sql IMMUTABLE STRICT
AS $$ SELECT array_agg(key::bigint) FROM jsonb_object_keys(part) AS key $$;

-- Return the latest session of a run, or of one shard of it.
CREATE FUNCTION latest_session(of_run bigint, of_shard bigint) RETURNS bigint
LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN of_shard IS NULL
        THEN (SELECT max(id) FROM rolecall.session WHERE run_id = of_run)
        ELSE (SELECT max(id) FROM rolecall.session WHERE shard_id = of_shard) END
$$;

-- Count pairs in the groups to which a change made them belong, and no longer in those of before.
CREATE FUNCTION shift_groups(of_run bigint, before pair_group[], after pair_group[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO group_count AS counted
    SELECT of_run, shard_id, part, outcome, reason, in_doubt, evidence, sum(rows), resumption
    FROM (
        SELECT shard_id, part, outcome, reason, in_doubt, evidence, -1 AS rows, resumption FROM unnest(before)
        UNION ALL SELECT shard_id, part, outcome, reason, in_doubt, evidence, 1, resumption FROM unnest(after)
    ) AS shift
    GROUP BY shard_id, part, outcome, reason, in_doubt, evidence, resumption HAVING sum(rows) <> 0
    ON CONFLICT (run_id, shard_id, part, outcome, reason, in_doubt, evidence, resumption)
    DO UPDATE SET rows = counted.rows + excluded.rows;

    INSERT INTO settled
    SELECT of_run, finished_at, sum(rows)
    FROM (
        SELECT finished_at, -1 AS rows FROM unnest(before) UNION ALL SELECT finished_at, 1 FROM unnest(after)
    ) AS shift
    WHERE finished_at IS NOT NULL GROUP BY finished_at HAVING sum(rows) <> 0;
END
$$;

-- Count the groups of a run again after a change of all its rows: reads all of them.
CREATE FUNCTION count_groups(of_run bigint) RETURNS void
LANGUAGE sql
SET search_path = rolecall, pg_temp
AS $$
    DELETE FROM group_count WHERE run_id = of_run;
    INSERT INTO group_count
    SELECT run_id, shard_id, CASE WHEN place IS NULL THEN 'removed' ELSE 'job' END, coalesce(outcome, ''),
        coalesce(reason, ''), outcome IS NULL AND in_doubt,
        CASE WHEN outcome IS NULL THEN '' ELSE coalesce(evidence, '') END, count(*),
        CASE WHEN outcome IS NULL THEN 0 ELSE resumption END AS resumption_of_outcome
    FROM pair WHERE run_id = of_run GROUP BY 1, 2, 3, 4, 5, 6, 7, resumption_of_outcome
    UNION ALL
    SELECT run_id, 0, 'unsent', outcome, reason, false, '', count(*), 0 FROM unsent WHERE run_id = of_run
    GROUP BY run_id, outcome, reason;
    DELETE FROM settled WHERE run_id = of_run;
    INSERT INTO settled
    SELECT run_id, finished_at, count(*) FROM pair WHERE run_id = of_run AND outcome IS NOT NULL
    GROUP BY run_id, finished_at;
    UPDATE shard SET rows = coalesce(counted.rows, 0)
    FROM (
        SELECT shard_id, sum(rows) FILTER (WHERE part = 'job') AS rows FROM group_count
        WHERE run_id = of_run GROUP BY shard_id
    ) AS counted
    WHERE shard.id = counted.shard_id AND shard.run_id = of_run AND shard.rows <> coalesce(counted.rows, 0);
$$;
