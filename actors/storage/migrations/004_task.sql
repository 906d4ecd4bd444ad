-- Tasks, how they hang together, and which incidents they belong to.

CREATE TABLE tasks (
    guild_id       text NOT NULL REFERENCES guilds,
    task_id        text NOT NULL,
    name           text NOT NULL CHECK (name <> '' AND length(name) <= 200),
    description    text NOT NULL,
    category       text NOT NULL,
    status         text NOT NULL CHECK (status IN
                       ('pending', 'in_progress', 'blocked', 'completed', 'failed', 'cancelled')),
    priority       text NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'critical')),
    origin         text NOT NULL CHECK (origin IN ('person', 'runbook', 'review')),
    ordinal        integer NOT NULL CHECK (ordinal >= 0),
    assignee       text,
    due_at         timestamptz,
    scheduled_at   timestamptz,
    started_at     timestamptz,
    progress       double precision NOT NULL CHECK (progress BETWEEN 0 AND 1),
    result         text NOT NULL,
    error          text NOT NULL,
    reason         text NOT NULL,
    retry_count    integer NOT NULL CHECK (retry_count >= 0),
    max_retries    integer NOT NULL CHECK (max_retries >= 0),
    knowledge_refs text[] NOT NULL,
    incident_refs  text[] NOT NULL,
    blocked_by     jsonb NOT NULL,
    tags           text[] NOT NULL CHECK (cardinality(tags) <= 10),
    labels         jsonb NOT NULL,
    correlation_id text NOT NULL,
    version        integer NOT NULL CHECK (version > 0),
    created_at     timestamptz NOT NULL,
    created_by     text NOT NULL,
    updated_at     timestamptz NOT NULL,
    updated_by     text NOT NULL,
    deleted_at     timestamptz,
    PRIMARY KEY (guild_id, task_id),
    CHECK (status <> 'in_progress' OR assignee IS NOT NULL),
    CHECK (status <> 'blocked' OR blocked_by <> '[]'),
    CHECK (status NOT IN ('pending', 'in_progress') OR blocked_by = '[]')
);
CREATE INDEX tasks_in_order ON tasks (guild_id, created_at, ordinal, task_id)
    WHERE deleted_at IS NULL;
CREATE INDEX tasks_of_assignee ON tasks (guild_id, assignee, created_at, ordinal, task_id)
    WHERE deleted_at IS NULL;
CREATE INDEX tasks_unfinished ON tasks (guild_id, created_at, ordinal, task_id)
    WHERE deleted_at IS NULL AND status IN ('pending', 'in_progress', 'blocked', 'failed');
CALL guild_protect('tasks');
REVOKE DELETE ON tasks FROM guild_app;

-- A table and not a GIN index on incident_refs: under row-level security PostgreSQL does not use
-- one for `@>`, whose operator it does not know to be leakproof.
CREATE TABLE task_incidents (
    guild_id    text NOT NULL,
    incident_id text NOT NULL,
    task_id     text NOT NULL,
    PRIMARY KEY (guild_id, incident_id, task_id),
    FOREIGN KEY (guild_id, task_id) REFERENCES tasks
);
CREATE INDEX task_incidents_of_task ON task_incidents (guild_id, task_id);
CALL guild_protect('task_incidents');

-- Each relation between two tasks is here twice, once from each side.
CREATE TABLE task_relations (
    guild_id text NOT NULL,
    task_id  text NOT NULL,
    kind     text NOT NULL CHECK (kind IN
                 ('subtask', 'parent', 'related', 'duplicate_of', 'duplicates', 'blocking',
                  'blocked', 'precedes', 'follows', 'copied_from', 'copied_to',
                  'caused_by_incident', 'documented_by')),
    other_id text NOT NULL CHECK (other_id <> task_id),
    PRIMARY KEY (guild_id, task_id, kind, other_id),
    FOREIGN KEY (guild_id, task_id) REFERENCES tasks
);
CALL guild_protect('task_relations');
REVOKE UPDATE ON task_relations FROM guild_app;

-- One number a guild. Two relations that are fine alone may close a ring together; whoever adds
-- one proves that no other came between looking and writing.
CREATE TABLE task_plans (
    guild_id text PRIMARY KEY REFERENCES guilds,
    version  bigint NOT NULL CHECK (version > 0)
);
CALL guild_protect('task_plans');
REVOKE DELETE ON task_plans FROM guild_app;
