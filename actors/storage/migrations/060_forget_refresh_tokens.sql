-- A session that was renewed every few minutes for a month has thousands of tokens. They are
-- deleted a part at a time, before their session.
CREATE POLICY forget_refresh_tokens ON refresh_tokens TO guild_log USING (true);
GRANT SELECT (digest, session_id), DELETE ON refresh_tokens TO guild_log;
