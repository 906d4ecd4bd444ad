-- Of the sources that are there the sages that own them know both, for every version. Where one is
-- ahead of search, its next event sets them.
ALTER TABLE sources NO FORCE ROW LEVEL SECURITY;
ALTER TABLE document_versions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE knowledge_versions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE incident_versions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE tasks NO FORCE ROW LEVEL SECURITY;
UPDATE sources SET access_level = known.access_level, changed_at = known.changed_at
FROM (
    SELECT guild_id, document_id AS source_id, version, access_level,
           stored_at AS changed_at
    FROM document_versions
    UNION ALL
    SELECT guild_id, entity_id, version, entity->>'access_level', updated_at
    FROM knowledge_versions
    UNION ALL
    SELECT guild_id, record_id, version, 'public', written_at FROM incident_versions
    UNION ALL
    SELECT guild_id, task_id, version, 'public', updated_at FROM tasks
) AS known
WHERE sources.guild_id = known.guild_id AND sources.source_id = known.source_id
  AND sources.source_version = known.version;
ALTER TABLE sources FORCE ROW LEVEL SECURITY;
ALTER TABLE document_versions FORCE ROW LEVEL SECURITY;
ALTER TABLE knowledge_versions FORCE ROW LEVEL SECURITY;
ALTER TABLE incident_versions FORCE ROW LEVEL SECURITY;
ALTER TABLE tasks FORCE ROW LEVEL SECURITY;
