-- What the operator wants of a server while the gateway runs: enabled, cordoned, draining, disabled. No row is enabled.
CREATE TABLE servers (
    server     TEXT PRIMARY KEY,
    mode       TEXT NOT NULL,
    changed_at INTEGER NOT NULL  -- ms since the epoch
) STRICT;

-- Which tenants the operator has suspended while the gateway runs, beside those whose file says so.
CREATE TABLE tenants (
    tenant     TEXT PRIMARY KEY,
    suspended  INTEGER NOT NULL,
    changed_at INTEGER NOT NULL  -- ms since the epoch
) STRICT;
