-- RUNTIME/ephemeral.db: what ends with a process, or with the boot. Attached to registry.db's connection as `ephemeral`.

CREATE TABLE boot (
    id TEXT NOT NULL                    -- /proc/sys/kernel/random/boot_id: what is of another boot is over
);

-- Without rowids: one tree for each table, so that a change writes one page and not two. One of before, of this boot, has two, and is as good.
CREATE TABLE machines (
    name TEXT NOT NULL,
    origin TEXT NOT NULL,               -- 'apply' or 'user'
    set_name TEXT,                      -- of 'apply'
    uid INTEGER NOT NULL,
    registered_at_us INTEGER NOT NULL,  -- microseconds since 1970
    process_id INTEGER NOT NULL,        -- the record ends with this process
    process_start_ticks INTEGER NOT NULL, -- field 22 of /proc/PID/stat, which tells it from a later one of that number
    context TEXT NOT NULL,
    PRIMARY KEY (origin, name)
) WITHOUT ROWID;

CREATE TABLE services (
    name TEXT NOT NULL,
    origin TEXT NOT NULL,
    set_name TEXT,
    uid INTEGER NOT NULL,
    registered_at_us INTEGER NOT NULL,
    process_id INTEGER NOT NULL,
    process_start_ticks INTEGER NOT NULL,
    context TEXT NOT NULL,
    PRIMARY KEY (origin, name)
) WITHOUT ROWID;
