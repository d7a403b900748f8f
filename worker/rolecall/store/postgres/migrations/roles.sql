-- The group roles, without login, and their rights on what there is now. They are created where the user may; an
-- administrator grants them to the users that log in. Executed after every migration.
--   rolecall_report   reads
--   rolecall_submit   also makes, edits and removes runs, schedules and workspaces
--   rolecall_worker   reads, takes shards, and writes outcomes only through `commit_batch`, which has the fence

DO $$
DECLARE
    role text;
    each text;
BEGIN
    FOREACH role IN ARRAY ARRAY['rolecall_report', 'rolecall_submit', 'rolecall_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION
                WHEN insufficient_privilege THEN CONTINUE;
                WHEN duplicate_object OR unique_violation THEN NULL; -- another database of this server made it just now
            END;
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA rolecall TO %I', role);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA rolecall TO %I', role);
    END LOOP;

    REVOKE EXECUTE ON FUNCTION rolecall.commit_batch FROM PUBLIC;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rolecall_submit') THEN
        GRANT INSERT, UPDATE, DELETE ON rolecall.workspace, rolecall.schedule, rolecall.missed, rolecall.run,
            rolecall.meta, rolecall.name, rolecall.shard, rolecall.pair, rolecall.unsent, rolecall.session,
            rolecall.pause, rolecall.group_count, rolecall.settled, rolecall.pace TO rolecall_submit;
        GRANT DELETE ON rolecall.worker TO rolecall_submit; -- those that were not seen for long, when pruned
        GRANT EXECUTE ON FUNCTION rolecall.commit_batch TO rolecall_submit;
        GRANT DELETE ON rolecall.worker TO rolecall_submit;
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO rolecall_submit', current_database());
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rolecall_worker') THEN
        GRANT UPDATE (token_job, token_attempt, holder, done) ON rolecall.shard TO rolecall_worker;
        GRANT UPDATE (answered_at) ON rolecall.workspace TO rolecall_worker;
        GRANT UPDATE (stop, stop_detail, account, ended_at, refusal) ON rolecall.run TO rolecall_worker;
        GRANT INSERT, UPDATE ON rolecall.session, rolecall.meta, rolecall.pace, rolecall.missed TO rolecall_worker;
        GRANT UPDATE ON rolecall.pause TO rolecall_worker;
        GRANT UPDATE (next_at, last_run, last_error) ON rolecall.schedule TO rolecall_worker;
        GRANT INSERT, UPDATE, DELETE ON rolecall.worker TO rolecall_worker;
        GRANT EXECUTE ON FUNCTION rolecall.commit_batch TO rolecall_worker;
    END IF;
    FOREACH role IN ARRAY ARRAY['rolecall_submit', 'rolecall_worker'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role);
        EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA rolecall TO %I', role);
        FOR each IN
            SELECT tablename FROM pg_tables WHERE schemaname = 'rolecall' AND tablename LIKE 'procrastinate\_%'
        LOOP
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON rolecall.%I TO %I', each, role);
        END LOOP;
    END LOOP;
END
$$;
