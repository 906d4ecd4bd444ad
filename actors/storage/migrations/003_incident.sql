-- Incidents, their alerts, dossiers and reviews.
--
-- A record is kept whole as JSON, and every version of it once more in incident_versions. What is
-- searched by stands beside it: generated from the record, so that the two cannot disagree.

CREATE TABLE incidents (
    guild_id        text NOT NULL REFERENCES guilds,
    incident_id     text NOT NULL,
    version         integer NOT NULL CHECK (version > 0),
    detected_at     timestamptz NOT NULL,
    record          jsonb NOT NULL,
    status          text NOT NULL GENERATED ALWAYS AS (record ->> 'status') STORED
                    CHECK (status IN ('open', 'acknowledged', 'assessing', 'responding',
                                      'resolved', 'closed', 'merged')),
    severity        text NOT NULL GENERATED ALWAYS AS (record ->> 'severity') STORED
                    CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    assignee        text GENERATED ALWAYS AS (record ->> 'assignee') STORED,
    correlation_key text GENERATED ALWAYS AS (record ->> 'correlation_key') STORED,
    PRIMARY KEY (guild_id, incident_id)
);
CREATE INDEX incidents_latest ON incidents (guild_id, detected_at DESC, incident_id DESC);
CREATE INDEX incidents_latest_by_status
    ON incidents (guild_id, status, detected_at DESC, incident_id DESC);
-- However many members receive one group's alerts at the same moment: one open incident.
CREATE UNIQUE INDEX incidents_one_open ON incidents (guild_id, correlation_key)
    WHERE status IN ('open', 'acknowledged', 'assessing', 'responding');
CALL guild_protect('incidents');

CREATE TABLE alerts (
    guild_id          text NOT NULL REFERENCES guilds,
    fingerprint       text NOT NULL,
    alert_id          text NOT NULL,
    incident_id       text NOT NULL,
    name              text NOT NULL,
    status            text NOT NULL CHECK (status IN ('firing', 'resolved')),
    labels            jsonb NOT NULL,
    annotations       jsonb NOT NULL,
    starts_at         timestamptz NOT NULL,
    ends_at           timestamptz,
    generator_url     text NOT NULL,
    received_count    integer NOT NULL CHECK (received_count > 0),
    first_received_at timestamptz NOT NULL,
    last_received_at  timestamptz NOT NULL,
    changed_at        timestamptz NOT NULL,
    PRIMARY KEY (guild_id, fingerprint),
    FOREIGN KEY (guild_id, incident_id) REFERENCES incidents
);
CREATE INDEX alerts_of_incident ON alerts (guild_id, incident_id, fingerprint);
CALL guild_protect('alerts');

CREATE TABLE dossiers (
    guild_id    text NOT NULL REFERENCES guilds,
    incident_id text NOT NULL,
    version     integer NOT NULL CHECK (version > 0),
    record      jsonb NOT NULL,
    PRIMARY KEY (guild_id, incident_id),
    FOREIGN KEY (guild_id, incident_id) REFERENCES incidents
);
CALL guild_protect('dossiers');

CREATE TABLE reviews (
    guild_id    text NOT NULL REFERENCES guilds,
    incident_id text NOT NULL,
    version     integer NOT NULL CHECK (version > 0),
    record      jsonb NOT NULL,
    status      text NOT NULL GENERATED ALWAYS AS (record ->> 'status') STORED
                CHECK (status IN ('draft', 'final')),
    PRIMARY KEY (guild_id, incident_id),
    FOREIGN KEY (guild_id, incident_id) REFERENCES incidents
);
CALL guild_protect('reviews');

-- Every version of an incident, a dossier or a review, for good.
CREATE TABLE incident_versions (
    guild_id   text NOT NULL REFERENCES guilds,
    record_id  text NOT NULL,
    version    integer NOT NULL,
    record     jsonb NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (guild_id, record_id, version)
);
CALL guild_protect('incident_versions');
REVOKE UPDATE, DELETE ON incident_versions FROM guild_app;
