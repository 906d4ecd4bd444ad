-- The log in partitions, its identities and heads, and what subscribers, timers and sagas keep.

-- Which log this is. Positions are comparable within one epoch only, and an epoch belongs to one
-- server: transaction ids of another say nothing. `python -m cluster.renumber` begins a new one.
CREATE TABLE log_state (
    only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch             integer NOT NULL CHECK (epoch > 0),
    system_identifier bigint NOT NULL,
    router_partitions integer NOT NULL DEFAULT 1 CHECK (router_partitions > 0)
);
INSERT INTO log_state (epoch, system_identifier)
SELECT 1, system_identifier FROM pg_control_system();
GRANT SELECT ON log_state TO guild_app, guild_log;
GRANT UPDATE (router_partitions) ON log_state TO guild_log;

-- The log itself, by the week it was written in. What uniqueness there must be is kept beside it,
-- because a key of a partitioned table would have to contain the time.
ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_event_id_fkey;
ALTER TABLE events NO FORCE ROW LEVEL SECURITY;
ALTER TABLE events RENAME TO events_before;
ALTER TABLE events_before RENAME CONSTRAINT events_pkey TO events_before_pkey;
ALTER INDEX events_position RENAME TO events_before_position;
ALTER INDEX events_correlation RENAME TO events_before_correlation;

CREATE SEQUENCE event_numbers;
GRANT USAGE ON SEQUENCE event_numbers TO guild_app, guild_log;

CREATE TABLE events (
    seq               bigint NOT NULL DEFAULT nextval('event_numbers'),
    xid               xid8 NOT NULL DEFAULT pg_current_xact_id(),
    guild_id          text NOT NULL,
    event_id          text NOT NULL,
    source            text NOT NULL,
    source_id         text,               -- the publisher's own id, where it is not event_id
    type              text NOT NULL,
    schema_version    smallint NOT NULL DEFAULT 1,
    subject           text,
    aggregate_id      text NOT NULL,
    aggregate_version integer NOT NULL,
    priority          text NOT NULL,
    occurred_at       timestamptz NOT NULL,
    recorded_at       timestamptz NOT NULL DEFAULT now(),
    correlation_id    text NOT NULL,
    causation_id      text,
    principal_id      text NOT NULL,
    attributes        jsonb,              -- extension attributes of a CloudEvent
    sealed_for        text,               -- data is encrypted under this subject's key; a digest
    data              jsonb NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX events_position ON events (xid, seq);
CREATE INDEX events_correlation ON events (guild_id, correlation_id, xid, seq);
CREATE TABLE events_default PARTITION OF events DEFAULT;
-- Nobody has rights on a partition itself; and without a policy not even its owner sees into it.
ALTER TABLE events_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

INSERT INTO events (seq, xid, guild_id, event_id, source, type, aggregate_id, aggregate_version,
                    priority, occurred_at, recorded_at, correlation_id, causation_id, principal_id,
                    data)
SELECT seq, xid, guild_id, event_id, source, type, aggregate_id, aggregate_version,
       priority, occurred_at, recorded_at, correlation_id, causation_id, principal_id,
       -- From here on a person's login is sealed. The earlier ones were not, and nobody could ever
       -- erase them: they stay behind. The table of principals has them.
       CASE WHEN type = 'user.created' AND data->>'kind' = 'user'
            THEN data || '{"login": ""}' ELSE data END
FROM events_before;
SELECT setval('event_numbers', (SELECT coalesce(max(seq), 0) + 1 FROM events), false);

CALL guild_protect('events');
REVOKE UPDATE, DELETE ON events FROM guild_app;
CREATE POLICY whole_log ON events FOR SELECT TO guild_log USING (true);
CREATE POLICY system_events ON events FOR INSERT TO guild_log WITH CHECK (type LIKE 'system.%');
GRANT SELECT, INSERT ON events TO guild_log;

-- The last event of each aggregate: the lock that makes the order of its versions the order of
-- the log, and what refuses a version twice.
CREATE TABLE aggregate_heads (
    guild_id     text NOT NULL,
    aggregate_id text NOT NULL,
    version      integer NOT NULL,
    xid          xid8 NOT NULL,
    PRIMARY KEY (guild_id, aggregate_id)
) WITH (fillfactor = 80);
INSERT INTO aggregate_heads (guild_id, aggregate_id, version, xid)
SELECT DISTINCT ON (guild_id, aggregate_id) guild_id, aggregate_id, aggregate_version, xid
FROM events ORDER BY guild_id, aggregate_id, aggregate_version DESC;
CALL guild_protect('aggregate_heads');
REVOKE DELETE ON aggregate_heads FROM guild_app;
CREATE POLICY every_head ON aggregate_heads TO guild_log USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON aggregate_heads TO guild_log;

-- CloudEvents identity of what came from outside: a repeat is found here.
CREATE TABLE event_identities (
    guild_id    text NOT NULL,
    source      text NOT NULL,
    source_id   text NOT NULL,
    event_id    text NOT NULL,
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq         bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (guild_id, source, source_id)
);
CALL guild_protect('event_identities');
REVOKE UPDATE, DELETE ON event_identities FROM guild_app;
CREATE POLICY forget_identities ON event_identities TO guild_log USING (true);
GRANT SELECT (guild_id, source, source_id, recorded_at), DELETE ON event_identities TO guild_log;

DROP TABLE events_before;

-- Partitions are made and dropped by the router, whose role owns nothing: it calls these.
CREATE FUNCTION log_partition_add(from_day date, to_day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    partition text := format('events_%s', to_char(from_day, 'YYYYMMDD'));
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING INDEXES)', partition);
    -- Rows whose time lies ahead wait in the default partition and move into theirs.
    ALTER TABLE events_default NO FORCE ROW LEVEL SECURITY;
    EXECUTE format(
        'WITH moved AS (DELETE FROM events_default WHERE recorded_at >= %L AND recorded_at < %L'
        ' RETURNING *) INSERT INTO %I SELECT * FROM moved',
        from_day::timestamptz, to_day::timestamptz, partition);
    ALTER TABLE events_default FORCE ROW LEVEL SECURITY;
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', partition);
    EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition, from_day::timestamptz, to_day::timestamptz);
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION log_partition_add(date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log_partition_add(date, date) TO guild_log;

-- Drops the partitions that end at or before a day, as long as every cursor is past them.
CREATE FUNCTION log_partitions_drop(before_day date) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    partition record;
    behind    boolean;
    dropped   text[] := '{}';
BEGIN
    FOR partition IN
        SELECT child.relname AS name FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'events'::regclass AND child.relname ~ '^events_\d{8}$'
          AND (regexp_match(pg_get_expr(child.relpartbound, child.oid), 'TO \(''([^'']+)'))[1]
              ::timestamptz <= before_day::timestamptz
        ORDER BY child.relname
    LOOP
        EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', partition.name);
        EXECUTE format(
            'SELECT EXISTS (SELECT 1 FROM cursors JOIN %I AS line'
            ' ON (line.xid, line.seq) > (cursors.xid, cursors.seq))', partition.name) INTO behind;
        IF behind THEN
            EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', partition.name);
            EXIT;
        END IF;
        EXECUTE format('DROP TABLE %I', partition.name);
        dropped := dropped || partition.name::text;
    END LOOP;
    RETURN dropped;
END
$$;
REVOKE ALL ON FUNCTION log_partitions_drop(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log_partitions_drop(date) TO guild_log;

CREATE POLICY forget_replies ON inbox TO guild_log USING (true);
GRANT SELECT (guild_id, command_id, handled_at), DELETE ON inbox TO guild_log;

-- Who hears what, as guilds declare it. A cursor is named <subscription_id>@<generation>: seeking
-- begins a new generation, because cursors only move forward.
CREATE TABLE subscriptions (
    guild_id        text NOT NULL REFERENCES guilds,
    name            text NOT NULL,
    subscription_id text NOT NULL UNIQUE,
    generation      integer NOT NULL DEFAULT 1,
    filter          jsonb NOT NULL,
    meaning         vector(384),
    sink            jsonb NOT NULL,
    delivery        jsonb NOT NULL,
    state           text NOT NULL DEFAULT 'active'
                    CHECK (state IN ('active', 'paused', 'disabled')),
    reason          text NOT NULL DEFAULT '',
    origin_xid      xid8 NOT NULL,
    origin_seq      bigint NOT NULL,
    version         integer NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    created_by      text NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (guild_id, name)
);
CALL guild_protect('subscriptions');
CREATE POLICY every_subscription ON subscriptions TO guild_log USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE ON subscriptions TO guild_log;

-- The sages see how far their own guild's subscriptions have come.
ALTER TABLE cursors ENABLE ROW LEVEL SECURITY;
CREATE POLICY every_cursor ON cursors TO guild_log USING (true) WITH CHECK (true);
CREATE POLICY own_cursors ON cursors FOR SELECT TO guild_app
    USING (split_part(subscription, '@', 1) IN (SELECT subscription_id FROM subscriptions));
GRANT SELECT ON cursors TO guild_app;

-- Rises with every change of a subscription or a replay: the router looks here, and reads the rest
-- only when it has risen.
CREATE TABLE subscription_revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint NOT NULL DEFAULT 1
);
INSERT INTO subscription_revision DEFAULT VALUES;
GRANT SELECT, UPDATE ON subscription_revision TO guild_app, guild_log;

-- What waits for a subscriber who pulls. A finished line stays until the cursor has passed it, so
-- that a repeated delivery finds it.
CREATE TABLE pull_deliveries (
    guild_id        text NOT NULL REFERENCES guilds,
    subscription    text NOT NULL,        -- <subscription_id>@<generation>, or a replay's id
    xid             xid8 NOT NULL,
    seq             bigint NOT NULL,
    event_id        text NOT NULL,
    aggregate_id    text NOT NULL,
    urgent          boolean NOT NULL,
    attempt         integer NOT NULL DEFAULT 0,
    available_at    timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    PRIMARY KEY (subscription, xid, seq)
) WITH (fillfactor = 80);
CREATE INDEX pull_deliveries_waiting ON pull_deliveries (subscription, aggregate_id, xid, seq)
    WHERE finished_at IS NULL;
CALL guild_protect('pull_deliveries');
CREATE POLICY every_delivery ON pull_deliveries TO guild_log USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON pull_deliveries TO guild_log;

-- Dead letters keep the whole line of the log: it outlives the partition it came from.
ALTER TABLE dead_letters
    ADD COLUMN event        jsonb,
    ADD COLUMN requested_at timestamptz,
    ADD COLUMN requested_by text,
    ADD COLUMN discarded_at timestamptz,
    ADD COLUMN discarded_by text;
ALTER TABLE dead_letters NO FORCE ROW LEVEL SECURITY;
UPDATE dead_letters AS letter SET event = to_jsonb(line)
FROM events AS line WHERE line.event_id = letter.event_id;
ALTER TABLE dead_letters FORCE ROW LEVEL SECURITY;
CREATE INDEX dead_letters_requested ON dead_letters (requested_at)
    WHERE requested_at IS NOT NULL AND redriven_at IS NULL AND discarded_at IS NULL;
GRANT INSERT, UPDATE ON dead_letters TO guild_app;

CREATE TABLE replays (
    guild_id       text NOT NULL REFERENCES guilds,
    replay_id      text NOT NULL,
    subscription   text NOT NULL,         -- the subscription's name
    from_xid       xid8 NOT NULL,
    from_seq       bigint NOT NULL,
    to_xid         xid8 NOT NULL,
    to_seq         bigint NOT NULL,
    speed          double precision NOT NULL CHECK (speed >= 0),  -- 0: as fast as it goes
    state          text NOT NULL DEFAULT 'running'
                   CHECK (state IN ('running', 'completed', 'cancelled')),
    delivered      bigint NOT NULL DEFAULT 0,
    correlation_id text NOT NULL,
    version        integer NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     text NOT NULL,
    finished_at    timestamptz,
    PRIMARY KEY (guild_id, replay_id)
);
CREATE INDEX replays_running ON replays (replay_id) WHERE state = 'running';
CALL guild_protect('replays');
CREATE POLICY every_replay ON replays TO guild_log USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE ON replays TO guild_log;

CREATE TABLE timers (
    guild_id       text NOT NULL REFERENCES guilds,
    timer_id       text NOT NULL,
    name           text NOT NULL,
    due_at         timestamptz NOT NULL,
    cron           text,                  -- fires again at its next time
    timezone       text NOT NULL DEFAULT 'UTC',
    data           jsonb NOT NULL DEFAULT '{}',
    state          text NOT NULL DEFAULT 'pending'
                   CHECK (state IN ('pending', 'fired', 'cancelled')),
    fired          integer NOT NULL DEFAULT 0,
    correlation_id text NOT NULL,
    causation_id   text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     text NOT NULL,
    finished_at    timestamptz,
    PRIMARY KEY (guild_id, timer_id)
);
CREATE INDEX timers_due ON timers (due_at) WHERE state = 'pending';
CALL guild_protect('timers');
CREATE POLICY every_timer ON timers TO guild_log USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE ON timers TO guild_log;

CREATE TABLE sagas (
    guild_id       text NOT NULL REFERENCES guilds,
    saga_id        text NOT NULL,
    kind           text NOT NULL,
    state          text NOT NULL
                   CHECK (state IN ('running', 'completed', 'compensating', 'compensated', 'failed')),
    steps          jsonb NOT NULL,        -- step → how it stands
    data           jsonb NOT NULL DEFAULT '{}',
    reason         text NOT NULL DEFAULT '',
    correlation_id text NOT NULL,
    version        integer NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (guild_id, saga_id)
);
CREATE INDEX sagas_by_state ON sagas (guild_id, state, created_at DESC);
CALL guild_protect('sagas');

-- Keys of data subjects. Erasing destroys the key: what was sealed under it stays in the log, in
-- backups and in replays, and can be read by nobody. Dead rows hold the destroyed keys: they are
-- cleared away at once, and not when many have gathered.
CREATE TABLE subject_keys (
    guild_id    text NOT NULL REFERENCES guilds,
    subject     text NOT NULL,            -- digest of its name
    kid         text,                     -- of SECRET_KEY, under which the key is wrapped
    wrapped_key bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    erased_at   timestamptz,
    erased_by   text,
    PRIMARY KEY (guild_id, subject),
    CHECK ((wrapped_key IS NULL) = (erased_at IS NOT NULL)),
    CHECK ((wrapped_key IS NULL) = (kid IS NULL))
) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);
CALL guild_protect('subject_keys');
REVOKE DELETE ON subject_keys FROM guild_app;
CREATE POLICY every_subject_key ON subject_keys FOR SELECT TO guild_log USING (true);
GRANT SELECT ON subject_keys TO guild_log;

-- What a guild's digests are made with, so that a name is not found by trying names.
CREATE TABLE digest_keys (
    guild_id    text PRIMARY KEY REFERENCES guilds,
    kid         text NOT NULL,
    wrapped_key bytea NOT NULL
);
CALL guild_protect('digest_keys');
REVOKE DELETE ON digest_keys FROM guild_app;

-- The letters of a data subject, to be put away when it is erased.
CREATE INDEX dead_letters_sealed ON dead_letters (guild_id, (event->>'sealed_for'))
    WHERE event->>'sealed_for' IS NOT NULL;
