-- Sessions and what ends them: refresh tokens, authorization codes, the deny list of access tokens.

-- Where a client may have a person sent back to. With an address it acts for people, by
-- authorization codes; without one it acts for itself. A public client has no secret.
ALTER TABLE principals ADD COLUMN redirect_uris text[] NOT NULL DEFAULT '{}';
CREATE INDEX principals_by_kind ON principals (guild_id, kind, principal_id);

-- One sign-in, and all tokens that came of it. The versions are those of the principals then: once
-- either was changed, nothing more comes of it.
CREATE TABLE sessions (
    session_id        text PRIMARY KEY,
    guild_id          text NOT NULL REFERENCES guilds,
    principal_id      text NOT NULL,
    principal_version integer NOT NULL,
    client_id         text NOT NULL,
    client_version    integer NOT NULL,
    scopes            text[] NOT NULL,
    created_at        timestamptz NOT NULL,
    expires_at        timestamptz NOT NULL,
    ended_at          timestamptz
);
CREATE INDEX sessions_expiry ON sessions (expires_at);
CALL guild_protect('sessions');
REVOKE DELETE ON sessions FROM guild_app;

-- Used ones stay as long as their session: that is how a second use is noticed.
CREATE TABLE refresh_tokens (
    digest     text PRIMARY KEY,
    guild_id   text NOT NULL REFERENCES guilds,
    session_id text NOT NULL REFERENCES sessions ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);
CALL guild_protect('refresh_tokens');
REVOKE DELETE ON refresh_tokens FROM guild_app;

CREATE TABLE authorization_codes (
    digest            text PRIMARY KEY,
    guild_id          text NOT NULL REFERENCES guilds,
    principal_id      text NOT NULL,
    principal_version integer NOT NULL,
    client_id         text NOT NULL,
    redirect_uri      text NOT NULL,
    challenge         text NOT NULL,
    scopes            text[] NOT NULL,
    expires_at        timestamptz NOT NULL,
    session_id        text
);
CREATE INDEX authorization_codes_expiry ON authorization_codes (expires_at);
CALL guild_protect('authorization_codes');
REVOKE DELETE ON authorization_codes FROM guild_app;

-- Which access tokens are refused before they expire: one by its id, those of a session, or those
-- of a principal (a client's too) that were issued before it had this version. Versions and not
-- times: clocks of two machines differ, and who was loaded before a change may sign after it.
CREATE TABLE revocations (
    guild_id   text NOT NULL REFERENCES guilds,
    kind       text NOT NULL CHECK (kind IN ('token', 'session', 'principal')),
    subject    text NOT NULL,
    version    integer NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL,
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (guild_id, kind, subject)
);
CREATE INDEX revocations_xid ON revocations (xid);
CREATE INDEX revocations_expiry ON revocations (expires_at);
CALL guild_protect('revocations');
REVOKE DELETE ON revocations FROM guild_app;
CREATE POLICY revocations_since ON revocations FOR SELECT TO guild_owner USING (true);

-- A gateway admits callers of every guild, so it needs the list of every guild. All that this
-- tells of another guild is which ids are refused. What a transaction that is still open will add
-- is at or above the horizon, so reading on from there misses nothing. Transaction ids begin anew
-- on another server; from beyond its newest one everything is read again.
CREATE FUNCTION revocations_since(seen xid8, most integer)
RETURNS TABLE (xid xid8, kind text, subject text, version integer, expires_at timestamptz)
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT one.xid, one.kind, one.subject, one.version, one.expires_at
    FROM revocations AS one
    WHERE one.expires_at > now() AND one.xid >= CASE
        WHEN seen > pg_snapshot_xmax(pg_current_snapshot()) THEN '0'::xid8 ELSE seen END
    ORDER BY one.xid LIMIT most;
END;
REVOKE ALL ON FUNCTION revocations_since(xid8, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION revocations_since(xid8, integer) TO guild_app;

-- Sign-ins that failed, by digest of what was tried or of the address it came from. Nobody's guild
-- is known yet, and an unknown name must count like a known one.
CREATE TABLE sign_in_attempts (
    lane     text PRIMARY KEY,
    failures integer NOT NULL,
    began_at timestamptz NOT NULL,
    next_at  timestamptz NOT NULL
);
CREATE INDEX sign_in_attempts_began_at ON sign_in_attempts (began_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_attempts TO guild_app;

CREATE POLICY forget_sessions ON sessions TO guild_log USING (true);
GRANT SELECT (session_id, expires_at), DELETE ON sessions TO guild_log;
CREATE POLICY forget_codes ON authorization_codes TO guild_log USING (true);
GRANT SELECT (digest, expires_at), DELETE ON authorization_codes TO guild_log;
CREATE POLICY forget_revocations ON revocations TO guild_log USING (true);
GRANT SELECT (guild_id, kind, subject, expires_at), DELETE ON revocations TO guild_log;
GRANT SELECT (lane, began_at), DELETE ON sign_in_attempts TO guild_log;
