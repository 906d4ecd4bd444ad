"""The statements of the RAG sage's store."""

from actors.storage.database import AS_GUILD

_DOCUMENT = """
d.document_id, d.external_id, d.created_at, v.version, v.title, v.content_type, v.content_sha256,
v.source_url, v.kind, v.tags, v.alert_names, v.labels, v.metadata, v.stored_at, v.vector_sha256,
v.access_level, CASE WHEN v.version < d.version THEN 'active' ELSE d.status END AS status
"""
_OF_GUILD = """
FROM documents d JOIN document_versions v USING (guild_id, document_id) WHERE d.guild_id = $1
"""
DOCUMENT = f"SELECT {_DOCUMENT}, v.content {_OF_GUILD}"  # constants only

# Without its content, which may be long, and which who stores a document brings along.
_COUNTED = f"""
SELECT {_DOCUMENT}, '' AS content,
       (SELECT count(*) FROM chunks
        WHERE chunks.guild_id = $1 AND chunks.source_id = d.document_id)::int AS chunk_count
{_OF_GUILD} AND v.version = d.version
"""  # noqa: S608  # constants only

# A row for each command, whatever is known of it. One by one: what is asked for is little, and a
# join could read a whole table for it.
LOOK_UP = f"""
WITH {AS_GUILD}
SELECT model.model_id, model.dimension, earlier.handled, earlier.request_hash, earlier.reply,
       earlier.position, present.*
FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY
     AS given(command_id, external_id, content_sha256, number)
LEFT JOIN (SELECT model_id, dimension FROM guild_models WHERE guild_id = $1) AS model ON true
LEFT JOIN LATERAL (
    SELECT true AS handled, request_hash, reply, position FROM inbox
    WHERE guild_id = $1 AND command_id = given.command_id LIMIT 1
) AS earlier ON true
LEFT JOIN LATERAL (
    {_COUNTED} AND d.external_id = given.external_id
    UNION ALL
    {_COUNTED} AND d.external_id IS NULL AND d.content_sha256 = given.content_sha256
    LIMIT 1
) AS present ON true
WHERE (SELECT id FROM guild) = $1
ORDER BY given.number
"""  # noqa: S608  # constants only

_PUT_SOURCES = """
INSERT INTO sources (guild_id, source_id, source_type, source_version, index_version, external_id,
                     title, body, kind, status, tags, alert_names, labels, urls, removed,
                     access_level, changed_at)
"""

_WHERE_NEWER = """
ON CONFLICT (guild_id, source_id) DO UPDATE
SET source_version = excluded.source_version, index_version = sources.index_version + 1,
    external_id = excluded.external_id, title = excluded.title, body = excluded.body,
    kind = excluded.kind, status = excluded.status, tags = excluded.tags,
    alert_names = excluded.alert_names, labels = excluded.labels, urls = excluded.urls,
    removed = excluded.removed, access_level = excluded.access_level,
    changed_at = excluded.changed_at
WHERE sources.source_version < excluded.source_version
RETURNING source_id, index_version
"""

# Rows come as one JSON text: the driver takes several times as long to encode them as elements of
# arrays. They are written in the order of their keys: two transactions that meet wait for each
# other, and do not lock each other out. Whoever lost a race has no row in the answer and writes
# nothing. A document is a source, too: what both say of it is given once.
PUT_DOCUMENTS = f"""
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset($2::json) AS given(
        document_id text, external_id text, version int, status text, content_sha256 text,
        created_at timestamptz, updated_at timestamptz, title text, content text,
        content_type text, source_url text, kind text, tags text[], alert_names text[],
        labels jsonb, metadata jsonb, vector_sha256 text, urls text[], removed boolean,
        access_level text, changed_at timestamptz)
), made AS (
    INSERT INTO documents (guild_id, document_id, external_id, version, status, content_sha256,
                           created_at, updated_at)
    SELECT $1, document_id, external_id, version, status, content_sha256, created_at, updated_at
    FROM given WHERE version = 1 ORDER BY external_id, content_sha256
    ON CONFLICT DO NOTHING
    RETURNING document_id
), moved AS (
    INSERT INTO documents (guild_id, document_id, external_id, version, status, content_sha256,
                           created_at, updated_at)
    SELECT $1, document_id, external_id, version, status, content_sha256, created_at, updated_at
    FROM given WHERE version > 1 ORDER BY document_id
    ON CONFLICT (guild_id, document_id) DO UPDATE
    SET version = excluded.version, status = excluded.status,
        content_sha256 = excluded.content_sha256, updated_at = excluded.updated_at
    WHERE documents.version = excluded.version - 1
    RETURNING document_id
), won AS (
    SELECT document_id FROM made UNION ALL SELECT document_id FROM moved
), versions AS (
    INSERT INTO document_versions (guild_id, document_id, version, title, content, content_type,
                                   content_sha256, source_url, kind, tags, alert_names, labels,
                                   metadata, stored_at, vector_sha256, access_level)
    SELECT $1, document_id, version, title, content, content_type, content_sha256, source_url, kind,
           tags, alert_names, labels, metadata, updated_at, vector_sha256, access_level
    FROM given JOIN won USING (document_id)
), found AS (
    {_PUT_SOURCES}
    SELECT $1, document_id, 'document', version, 1, external_id, title, '', kind, status, tags,
           alert_names, labels, urls, removed, access_level, changed_at
    FROM given JOIN won USING (document_id) ORDER BY document_id
    {_WHERE_NEWER}
)
SELECT document_id AS source_id, index_version
FROM won LEFT JOIN found ON found.source_id = won.document_id
"""  # noqa: S608  # constants only

PUT_SOURCES = f"""
{_PUT_SOURCES}
SELECT $1, source_id, source_type, source_version, 1, external_id, title, body, kind, status, tags,
       alert_names, labels, urls, removed, access_level, changed_at
FROM json_to_recordset($2::json) AS given(
    source_id text, source_type text, source_version int, external_id text, title text, body text,
    kind text, status text, tags text[], alert_names text[], labels jsonb, urls text[],
    removed boolean, access_level text, changed_at timestamptz)
ORDER BY source_id
{_WHERE_NEWER}
"""  # noqa: S608  # constants only

# One statement: the old passages leave, and their vectors go to the new ones of the same text, if
# they are of the guild's model.
REPLACE_CHUNKS = """
WITH old AS (
    DELETE FROM chunks WHERE guild_id = $1 AND source_id = ANY($2)
    RETURNING chunk_id, source_id, embedded_text, embedding, model_id
), present AS (
    SELECT old.source_id, old.embedded_text, now.model_id,
           CASE WHEN old.model_id = now.model_id AND vector_dims(old.embedding) = now.dimension
                THEN old.embedding
                ELSE (SELECT embedding FROM next_vectors AS next
                      WHERE next.guild_id = $1 AND next.model_id = now.model_id
                        AND next.dimension = now.dimension AND next.chunk_id = old.chunk_id)
           END AS embedding
    FROM old JOIN guild_models AS now ON now.guild_id = $1
), kept AS (
    SELECT DISTINCT ON (source_id, embedded_text) source_id, embedded_text, embedding, model_id
    FROM present WHERE embedding IS NOT NULL ORDER BY source_id, embedded_text
)
INSERT INTO chunks (guild_id, chunk_id, source_id, position, heading, body, char_start, char_end,
                    embedded_text, embedding, model_id)
SELECT $1, new.chunk_id, new.source_id, new.position, new.heading, new.body, new.char_start,
       new.char_end, new.embedded_text, coalesce(new.embedding, kept.embedding),
       coalesce(new.model_id, kept.model_id)
FROM (
    SELECT given.*, decode(digest, 'hex') AS embedded_text, vectors.embedding
    FROM json_to_recordset($3::json) AS given(
        source_id text, chunk_id text, position int, heading text, body text, char_start int,
        char_end int, digest text, model_id text, vector int)
    LEFT JOIN unnest($4::vector[]) WITH ORDINALITY AS vectors(embedding, number)
        ON vectors.number = given.vector
) AS new
LEFT JOIN kept USING (source_id, embedded_text)
"""

MODEL = "SELECT model_id, dimension FROM guild_models WHERE guild_id = $1"

HELD_MODEL = "SELECT model_id, dimension FROM guild_model_held($1)"

FIRST_MODEL = """
INSERT INTO guild_models (guild_id, model_id, dimension) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""

SOURCE = """
SELECT source_id, source_type, source_version, external_id, title, kind, status, tags, alert_names,
       labels, urls, removed, access_level, changed_at
"""

# A vector of another model than the wanted one is no vector. Behind a switch a passage's may still
# lie among the next ones: looked up one by one, for a join would read all of them each time.
# With `= ANY` the index is used in every mode of the plan cache; of a join with `unnest` a table
# without statistics makes one that sorts all passages of the guild.
CHUNKS = """
WITH wanted AS (
    SELECT coalesce($3::text, max(model_id)) AS model_id,
           coalesce($4::int, max(dimension)) AS dimension,
           coalesce(bool_and(model_id = $3 AND dimension = $4), $3 IS NULL) AS present
    FROM guild_models WHERE guild_id = $1
)
SELECT chunks.source_id, chunks.chunk_id, chunks.position, chunks.heading, chunks.body,
       chunks.char_start, chunks.char_end,
       vector_send(CASE WHEN chunks.model_id = wanted.model_id
                         AND vector_dims(chunks.embedding) = wanted.dimension
                        THEN chunks.embedding
                        WHEN wanted.present THEN (
                            SELECT embedding FROM next_vectors AS next
                            WHERE next.guild_id = $1 AND next.model_id = wanted.model_id
                              AND next.dimension = wanted.dimension
                              AND next.chunk_id = chunks.chunk_id) END) AS embedding
FROM chunks CROSS JOIN wanted
WHERE chunks.guild_id = $1 AND chunks.source_id = ANY($2)
ORDER BY chunks.source_id, chunks.position
"""

# The distances first, of all that the filters leave: no index could be used on the way, and none
# can lose a row. The texts are read for the best alone. All or nothing is of the query's model.
EXACT = """
WITH compared AS MATERIALIZED (
    SELECT chunks.chunk_id, (made.embedding <#> $2::vector) * -1 AS score
    FROM chunks JOIN sources USING (guild_id, source_id)
    CROSS JOIN LATERAL (SELECT CASE
        WHEN chunks.model_id = $12 AND vector_dims(chunks.embedding) = $13 THEN chunks.embedding
        ELSE (SELECT embedding FROM next_vectors AS next
              WHERE next.guild_id = $1 AND next.model_id = $12 AND next.dimension = $13
                AND next.chunk_id = chunks.chunk_id) END AS embedding OFFSET 0) AS made
    WHERE chunks.guild_id = $1 AND made.embedding IS NOT NULL AND NOT sources.removed
      AND ($4::text[] = '{}' OR sources.source_type = ANY($4))
      AND ($5::text[] = '{}' OR sources.kind = ANY($5))
      AND ($6::text[] = '{}' OR sources.status = ANY($6))
      AND ($7::text[] = '{}' OR sources.access_level = ANY($7))
      AND sources.tags @> $8::text[]
      AND NOT sources.source_id = ANY($9::text[])
      AND ($10::timestamptz IS NULL OR sources.changed_at >= $10)
      AND ($11::timestamptz IS NULL OR sources.changed_at < $11)
      AND EXISTS (SELECT FROM guild_models WHERE guild_models.guild_id = $1
                  AND guild_models.model_id = $12 AND guild_models.dimension = $13)
), best AS (
    SELECT * FROM compared ORDER BY score DESC, chunk_id LIMIT $3
)
SELECT best.score, chunks.chunk_id, chunks.heading, chunks.body, chunks.char_start, chunks.char_end,
       sources.source_id, sources.source_type, sources.source_version, sources.external_id,
       sources.kind, sources.title
FROM best
JOIN chunks ON chunks.guild_id = $1 AND chunks.chunk_id = best.chunk_id
JOIN sources ON sources.guild_id = $1 AND sources.source_id = chunks.source_id
ORDER BY best.score DESC, chunks.chunk_id
"""

# A claim, not a lock: an open transaction would hold back every reader of the log.
CLAIM = """
WITH picked AS MATERIALIZED ( -- or the planner may run it again, and claim more than the limit
    SELECT chunk_id FROM chunks
    WHERE guild_id = $1 AND embedding IS NULL
      AND (claimed_until IS NULL OR claimed_until < now())
      AND NOT EXISTS (SELECT FROM guild_models AS now WHERE now.guild_id = $1
                      AND (now.model_id <> $4::text OR now.dimension <> $5::int))
    ORDER BY chunk_id LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE chunks SET claimed_until = now() + make_interval(secs => $3)
FROM picked, sources
WHERE chunks.guild_id = $1 AND chunks.chunk_id = picked.chunk_id
  AND sources.guild_id = $1 AND sources.source_id = chunks.source_id
RETURNING chunks.chunk_id, chunks.source_id, sources.title, chunks.heading, chunks.body
"""

# Locked in the order of their ids, as `HOLD_CHUNKS` does: nobody waits for who waits for it.
RELEASE = """
UPDATE chunks
SET claimed_until = CASE WHEN $3::float8 > 0 THEN now() + make_interval(secs => $3) END
WHERE guild_id = $1 AND embedding IS NULL AND chunk_id = ANY(ARRAY(
    SELECT chunk_id FROM chunks WHERE guild_id = $1 AND chunk_id = ANY($2)
    ORDER BY chunk_id FOR UPDATE))
"""

HOLD_SOURCES = """
SELECT FROM sources WHERE guild_id = $1 AND source_id = ANY(ARRAY(
    SELECT source_id FROM chunks WHERE guild_id = $1 AND chunk_id = ANY($2)))
ORDER BY source_id FOR UPDATE
"""

HOLD_CHUNKS = """
SELECT FROM chunks WHERE guild_id = $1 AND chunk_id = ANY($2) ORDER BY chunk_id FOR UPDATE
"""

ATTACH = """
UPDATE chunks SET embedding = new.embedding, model_id = $4, claimed_until = NULL
FROM unnest($2::text[], $3::vector[]) AS new(chunk_id, embedding)
WHERE guild_id = $1 AND chunks.chunk_id = new.chunk_id AND chunks.embedding IS NULL
RETURNING source_id
"""

COMPLETE = """
UPDATE sources SET index_version = index_version + 1
WHERE guild_id = $1 AND source_id = ANY($2) AND NOT EXISTS (
    SELECT FROM chunks WHERE chunks.guild_id = $1 AND chunks.source_id = sources.source_id
      AND chunks.embedding IS NULL)
RETURNING source_id, source_type, source_version, index_version,
    (SELECT count(*) FROM chunks
     WHERE chunks.guild_id = $1 AND chunks.source_id = sources.source_id)::int AS chunk_count
"""
