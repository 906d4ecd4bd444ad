-- The router tells how much there is, of all guilds together: it may count, and read nothing else.
CREATE POLICY count_every ON tasks FOR SELECT TO guild_log USING (true);
GRANT SELECT (status, deleted_at) ON tasks TO guild_log;
CREATE POLICY count_every ON incidents FOR SELECT TO guild_log USING (true);
GRANT SELECT (status, severity) ON incidents TO guild_log;
CREATE POLICY count_every ON knowledge_entities FOR SELECT TO guild_log USING (true);
GRANT SELECT (deleted_at) ON knowledge_entities TO guild_log;
