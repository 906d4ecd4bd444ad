"""The statements of what was said of search results."""

KEPT = """
SELECT query_sha256, source_id, relevant, curve, model_id, dimension, given_at
FROM rag_feedback JOIN guild_models USING (guild_id, model_id, dimension)
WHERE guild_id = $1
ORDER BY rag_feedback.version DESC, given_at DESC, query_sha256, source_id
"""

# Before anything is written: who waits here gets its transaction id when it is let in, so the log's
# order is the versions' order.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('the feedback of ' || $1, 0))"

PUT = """
INSERT INTO rag_feedback (guild_id, query_sha256, source_id, relevant, curve, model_id, dimension,
                          given_at, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (guild_id, query_sha256, source_id) DO UPDATE
SET relevant = excluded.relevant, curve = excluded.curve, model_id = excluded.model_id,
    dimension = excluded.dimension, given_at = excluded.given_at,
    version = excluded.version
"""

PRUNE = """
DELETE FROM rag_feedback WHERE guild_id = $1 AND (query_sha256, source_id) IN (
    SELECT query_sha256, source_id FROM rag_feedback WHERE guild_id = $1
    ORDER BY version DESC, given_at DESC, query_sha256, source_id OFFSET $2)
"""

FORGET = "DELETE FROM rag_feedback WHERE guild_id = $1"

NEXT_VERSION = """
INSERT INTO rag_feedback_versions (guild_id, version) VALUES ($1, 1)
ON CONFLICT (guild_id) DO UPDATE SET version = rag_feedback_versions.version + 1
RETURNING version
"""
