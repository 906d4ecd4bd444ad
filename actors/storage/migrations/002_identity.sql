-- Users and clients, and which guild a login belongs to.

CREATE TABLE principals (
    guild_id     text NOT NULL REFERENCES guilds,
    principal_id text PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('user', 'client')),
    login        text NOT NULL,
    role         text CHECK (role IN ('admin', 'elder', 'sage', 'user', 'guest')),
    serves       text,
    scopes       text[] NOT NULL DEFAULT '{}',
    secret_hash  text NOT NULL,
    disabled     boolean NOT NULL DEFAULT false,
    version      integer NOT NULL CHECK (version > 0),
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (guild_id, login),
    CHECK ((kind = 'user') = (role IS NOT NULL)),
    CHECK ((role = 'sage') IS NOT DISTINCT FROM (serves IS NOT NULL) OR role IS NULL)
);
CALL guild_protect('principals');
REVOKE DELETE ON principals FROM guild_app;

-- At sign-in the guild is not known yet, so a name must decide it: one row a name, unique in the
-- installation. Row-level security hides the other guilds' rows from guild_app; the function below
-- is the one hole in it, and all it tells is the guild of a name that the caller knows already.
CREATE TABLE logins (
    login    text PRIMARY KEY,
    guild_id text NOT NULL REFERENCES guilds
);
CALL guild_protect('logins');
REVOKE UPDATE, DELETE ON logins FROM guild_app;
CREATE POLICY guild_of_login ON logins FOR SELECT TO guild_owner USING (true);

-- BEGIN ATOMIC binds the table when the function is made: no search_path can redirect it later.
CREATE FUNCTION guild_of_login(wanted text) RETURNS text
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT guild_id FROM logins WHERE login = wanted;
END;
REVOKE ALL ON FUNCTION guild_of_login(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guild_of_login(text) TO guild_app;
