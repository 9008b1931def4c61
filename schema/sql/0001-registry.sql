-- STATE/registry.db: what hvsockd was told and has promised to keep. A context is JSON, as it was given, without defaults.
-- Every table has a rowid and a name: salvage (hvsockd --recover) reads by these.

-- The last good declared set, which runs when a file has become bad.
CREATE TABLE declared_settings (
    name TEXT NOT NULL,                 -- 'settings': there is one row
    file TEXT,
    file_line INTEGER NOT NULL,
    file_column INTEGER NOT NULL,
    registered_at_us INTEGER NOT NULL,  -- microseconds since 1970; see the view `overview`
    context TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE declared_machines (
    name TEXT NOT NULL,
    file TEXT,
    file_line INTEGER NOT NULL,
    file_column INTEGER NOT NULL,
    registered_at_us INTEGER NOT NULL,
    context TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE declared_services (
    name TEXT NOT NULL,
    file TEXT,
    file_line INTEGER NOT NULL,
    file_column INTEGER NOT NULL,
    registered_at_us INTEGER NOT NULL,
    context TEXT NOT NULL,
    PRIMARY KEY (name)
);

-- What was registered by a user, or applied as part of a set.
CREATE TABLE machines (
    name TEXT NOT NULL,
    origin TEXT NOT NULL,               -- 'apply' or 'user'
    set_name TEXT,                      -- of 'apply'
    uid INTEGER NOT NULL,
    registered_at_us INTEGER NOT NULL,
    context TEXT NOT NULL,
    PRIMARY KEY (origin, name)
);

CREATE TABLE services (
    name TEXT NOT NULL,
    origin TEXT NOT NULL,
    set_name TEXT,
    uid INTEGER NOT NULL,
    registered_at_us INTEGER NOT NULL,
    context TEXT NOT NULL,
    PRIMARY KEY (origin, name)
);

-- hvsockctl enable and disable, until the service's entry changes.
CREATE TABLE overrides (
    name TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    PRIMARY KEY (name)
);

-- The port that autoPort chose stays with the name.
CREATE TABLE auto_ports (
    name TEXT NOT NULL,
    port INTEGER NOT NULL,
    PRIMARY KEY (name)
);

-- For people: sqlite3 registry.db 'SELECT * FROM overview'.
CREATE VIEW overview AS
SELECT kind, name, origin, strftime('%Y-%m-%dT%H:%M:%fZ', registered_at_us / 1e6, 'unixepoch') AS registered_at, context
FROM (
    SELECT 'settings' AS kind, name, 'file:' || file AS origin, registered_at_us, context FROM declared_settings
    UNION ALL
    SELECT 'machine', name, 'file:' || file, registered_at_us, context FROM declared_machines
    UNION ALL
    SELECT 'service', name, 'file:' || file, registered_at_us, context FROM declared_services
    UNION ALL
    SELECT 'machine', name, iif(origin = 'apply', 'apply:' || set_name, 'user:' || uid), registered_at_us, context FROM machines
    UNION ALL
    SELECT 'service', name, iif(origin = 'apply', 'apply:' || set_name, 'user:' || uid), registered_at_us, context FROM services
);
