-- The guild's ground: tenants, the event log, the inbox, and what router and supervisor keep.
--
-- Three roles exist before this runs (`python -m cluster.bootstrap` makes them):
--   guild_owner  owns everything here and runs migrations, nothing else;
--   guild_app    the sages: owns nothing, sees one guild a transaction (row-level security);
--   guild_log    the router and the index: reads the log across guilds, keeps its own tables.

CREATE TABLE guilds (
    guild_id   text PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE guilds ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_guild ON guilds TO guild_app
    USING (guild_id = NULLIF(current_setting('guild.id', true), ''));
CREATE POLICY every_guild ON guilds FOR SELECT TO guild_log USING (true);
GRANT SELECT ON guilds TO guild_app, guild_log;

-- Every tenant table is protected by one call. Forced, so that not even the owner reads past it;
-- a data migration that must, adds a policy for itself and drops it again.
CREATE PROCEDURE guild_protect(tenant_table regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format(
        'CREATE POLICY own_guild ON %s TO guild_app'
        ' USING (guild_id = NULLIF(current_setting(''guild.id'', true), ''''))'
        ' WITH CHECK (guild_id = NULLIF(current_setting(''guild.id'', true), ''''))',
        tenant_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO guild_app', tenant_table);
END
$$;

-- The log. A position is (xid, seq): the writing transaction first, because sequence numbers are
-- handed out before commit and a reader of bare sequence numbers would skip late commits.
CREATE TABLE events (
    seq               bigint GENERATED ALWAYS AS IDENTITY,
    xid               xid8 NOT NULL DEFAULT pg_current_xact_id(),
    guild_id          text NOT NULL REFERENCES guilds,
    event_id          text PRIMARY KEY,
    source            text NOT NULL,
    type              text NOT NULL,
    aggregate_id      text NOT NULL,
    aggregate_version integer NOT NULL,
    priority          text NOT NULL,
    occurred_at       timestamptz NOT NULL,
    recorded_at       timestamptz NOT NULL DEFAULT now(),
    correlation_id    text NOT NULL,
    causation_id      text,
    principal_id      text NOT NULL,
    data              jsonb NOT NULL,
    UNIQUE (guild_id, aggregate_id, aggregate_version)
);
CREATE INDEX events_position ON events (xid, seq);
CREATE INDEX events_correlation ON events (guild_id, correlation_id, xid, seq);
CALL guild_protect('events');
REVOKE UPDATE, DELETE ON events FROM guild_app;
CREATE POLICY whole_log ON events FOR SELECT TO guild_log USING (true);
GRANT SELECT ON events TO guild_log;

-- One row per command that took effect, written in the transaction of the effect. A repeat finds
-- its first reply here. A delivered event is such a command: <subscription>/<event id>.
CREATE TABLE inbox (
    guild_id     text NOT NULL REFERENCES guilds,
    command_id   text NOT NULL,
    request_hash text NOT NULL DEFAULT '',
    reply        jsonb,
    position     text,
    handled_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (guild_id, command_id)
);
CREATE INDEX inbox_handled_at ON inbox (handled_at);
CALL guild_protect('inbox');

-- Who leads. An actor's name is no fence: whoever moves a cursor or a pool proves its epoch here.
CREATE TABLE leaders (
    name       text PRIMARY KEY,
    holder     text NOT NULL,
    epoch      bigint NOT NULL,
    renewed_at timestamptz NOT NULL DEFAULT now()
);

-- How far each subscription has come: everything at or below is acknowledged or dead-lettered.
CREATE TABLE cursors (
    subscription text PRIMARY KEY,
    xid          xid8 NOT NULL,
    seq          bigint NOT NULL,
    moved_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE dead_letters (
    subscription text NOT NULL,
    event_id     text NOT NULL REFERENCES events,
    guild_id     text NOT NULL REFERENCES guilds,
    attempts     integer NOT NULL,
    reason       text NOT NULL,
    dead_at      timestamptz NOT NULL DEFAULT now(),
    redriven_at  timestamptz,
    PRIMARY KEY (subscription, event_id)
);
CREATE INDEX dead_letters_recent ON dead_letters (guild_id, dead_at DESC);
CALL guild_protect('dead_letters');
REVOKE INSERT, UPDATE, DELETE ON dead_letters FROM guild_app;
CREATE POLICY every_dead_letter ON dead_letters TO guild_log USING (true) WITH CHECK (true);

-- The pools as they should be; the supervisor makes them so.
CREATE TABLE pools (
    name       text PRIMARY KEY,
    generation integer NOT NULL CHECK (generation > 0),
    size       integer NOT NULL CHECK (size >= 0),
    min_size   integer NOT NULL CHECK (min_size >= 0),
    max_size   integer NOT NULL CHECK (max_size >= min_size),
    version    bigint NOT NULL DEFAULT 1,
    changed_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT, UPDATE, DELETE ON leaders, cursors, dead_letters, pools TO guild_log;
