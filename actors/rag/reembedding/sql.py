"""The statements of re-embedding."""

PROGRESS = """
SELECT count(*) AS passages, count(next.chunk_id) AS ready
FROM chunks LEFT JOIN next_vectors AS next
  ON next.guild_id = $1 AND next.model_id = $2 AND next.dimension = $3
 AND next.chunk_id = chunks.chunk_id
WHERE chunks.guild_id = $1
"""

WAITING = """
SELECT chunks.chunk_id, chunks.source_id, sources.title, chunks.heading, chunks.body
FROM chunks JOIN sources USING (guild_id, source_id)
WHERE chunks.guild_id = $1 AND chunks.chunk_id > $4 AND NOT EXISTS (
    SELECT FROM next_vectors AS next
    WHERE next.guild_id = $1 AND next.model_id = $2 AND next.dimension = $3
      AND next.chunk_id = chunks.chunk_id)
ORDER BY chunks.chunk_id LIMIT $5
"""

KEEP = """
INSERT INTO next_vectors (guild_id, model_id, dimension, chunk_id, embedding)
SELECT $1, $2, $3, chunk_id, embedding
FROM unnest($4::text[], $5::vector[]) AS new(chunk_id, embedding)
ON CONFLICT DO NOTHING
"""

LOCK = "SELECT pg_advisory_xact_lock(guild_model_lock($1))"

# Claims end with it: what they were made for is embedded in the former model and not written.
EXCHANGE = """
UPDATE chunks
SET embedding = next.embedding, model_id = next.model_id, claimed_until = NULL
FROM chunks AS present LEFT JOIN next_vectors AS next
  ON next.guild_id = $1 AND next.model_id = $2 AND next.dimension = $3
 AND next.chunk_id = present.chunk_id
WHERE present.guild_id = $1 AND chunks.guild_id = $1 AND chunks.chunk_id = present.chunk_id
"""

SET_MODEL = """
INSERT INTO guild_models (guild_id, model_id, dimension, version, switched_at)
VALUES ($1, $2, $3, 1, now())
ON CONFLICT (guild_id) DO UPDATE
SET model_id = excluded.model_id, dimension = excluded.dimension,
    version = guild_models.version + 1, switched_at = now()
RETURNING version
"""

FORGET = """
DELETE FROM next_vectors WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM next_vectors WHERE guild_id = $1 LIMIT $2))
"""
