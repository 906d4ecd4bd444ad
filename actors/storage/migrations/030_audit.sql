-- Who did what: one chain of entries a guild. It only grows, and each entry seals the one before.

CREATE TABLE audit_heads (
    guild_id text PRIMARY KEY REFERENCES guilds,
    number   bigint NOT NULL,
    hash     text NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE audit_log (
    guild_id       text NOT NULL REFERENCES guilds,
    number         bigint NOT NULL CHECK (number > 0),
    at             timestamptz NOT NULL,
    actor          text NOT NULL CHECK (length(actor) <= 200),
    action         text NOT NULL CHECK (length(action) BETWEEN 1 AND 100),
    entity_type    text NOT NULL CHECK (length(entity_type) <= 100),
    entity_id      text NOT NULL CHECK (length(entity_id) <= 500),
    outcome        text NOT NULL CHECK (outcome IN ('success', 'failure', 'denied')),
    request_id     text NOT NULL CHECK (length(request_id) <= 200),
    correlation_id text NOT NULL CHECK (length(correlation_id) <= 200),
    details        jsonb NOT NULL CHECK (octet_length(details::text) <= 4096),
    prev_hash      text NOT NULL,
    hash           text NOT NULL,
    PRIMARY KEY (guild_id, number)
);
CREATE INDEX audit_log_actor ON audit_log (guild_id, actor, number);
CREATE INDEX audit_log_action ON audit_log (guild_id, action, number);
CREATE INDEX audit_log_at ON audit_log (guild_id, at);

-- The sages read their guild's chain, and lengthen it by the function below alone.
CALL guild_protect('audit_heads');
CALL guild_protect('audit_log');
REVOKE INSERT, UPDATE, DELETE ON audit_heads, audit_log FROM guild_app;
CREATE POLICY chained_head ON audit_heads TO guild_owner
    USING (guild_id = NULLIF(current_setting('guild.id', true), ''))
    WITH CHECK (guild_id = NULLIF(current_setting('guild.id', true), ''));
CREATE POLICY chained ON audit_log FOR INSERT TO guild_owner
    WITH CHECK (guild_id = NULLIF(current_setting('guild.id', true), ''));

-- Nobody changes it by a statement, not even who owns it. Who may take this trigger away can do so
-- without a trace here; the chain then tells.
CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = 'the audit log only grows';
END
$$;
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();

-- SHA-256 over the parts, each behind its length in bytes: no two lists of parts read the same.
-- `actors.audit` does the same, and checks this one.
CREATE FUNCTION audit_hash(VARIADIC parts text[]) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT encode(sha256(convert_to(string_agg(
        octet_length(convert_to(part, 'UTF8')) || ':' || part, '' ORDER BY place), 'UTF8')), 'hex')
    FROM unnest(parts) WITH ORDINALITY AS given(part, place);
END;

-- Lengthens the chain of the transaction's guild. The head is locked until the commit, so entries
-- of one guild have one order; number, time and hashes are given here, and to nobody's choice.
CREATE FUNCTION audit_append(entries jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    guild text := NULLIF(current_setting('guild.id', true), '');
    head  audit_heads;
    entry jsonb;
    line  audit_log;
BEGIN
    INSERT INTO audit_heads (guild_id, number, hash) VALUES (guild, 0, repeat('0', 64))
    ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT head FROM audit_heads WHERE guild_id = guild FOR UPDATE;
    FOR entry IN
        SELECT value FROM jsonb_array_elements(entries) WITH ORDINALITY ORDER BY ordinality
    LOOP
        line := jsonb_populate_record(NULL::audit_log, entry);
        line.guild_id := guild;
        line.number := head.number + 1;
        line.at := clock_timestamp();
        line.prev_hash := head.hash;
        line.hash := audit_hash(
            'audit-1', guild, line.number::text,
            to_char(line.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            line.actor, line.action, line.entity_type, line.entity_id, line.outcome,
            line.request_id, line.correlation_id, line.details::text, line.prev_hash);
        INSERT INTO audit_log SELECT line.*;
        head.number := line.number;
        head.hash := line.hash;
    END LOOP;
    UPDATE audit_heads SET number = head.number, hash = head.hash WHERE guild_id = guild;
    RETURN head.number;
END
$$;
REVOKE ALL ON FUNCTION audit_append(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_append(jsonb) TO guild_app;
