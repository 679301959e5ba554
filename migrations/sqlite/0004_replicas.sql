-- Which gateway asks a server for the meeting; of no account once internal_id is there.
ALTER TABLE meetings ADD COLUMN owner TEXT;
-- When its time is over, ms since the epoch; NULL for never.
ALTER TABLE meetings ADD COLUMN ends_at INTEGER;

-- People whom its server counts and who have come by no join of ours.
ALTER TABLE meetings ADD COLUMN strangers INTEGER NOT NULL DEFAULT 0;

-- How many people were expected at its `create`; NULL for nobody knows.
ALTER TABLE meetings ADD COLUMN expected INTEGER;

-- Rooms and accounts are counted by tenant, and ended meetings only while they are retained.
CREATE INDEX meetings_retained ON meetings (tenant, ended_at) WHERE ended_at IS NOT NULL;

-- Whose session it is: a digest of the caller's userID, NULL where it gave none.
ALTER TABLE sessions ADD COLUMN user_key BLOB;
-- Since when somebody is present, NULL while nobody is.
ALTER TABLE sessions ADD COLUMN present_since INTEGER;

-- Which gateways have sockets of a session open. A seat is present while there is one.
CREATE TABLE presences (
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    gateway TEXT NOT NULL,
    PRIMARY KEY (session, gateway)
) STRICT, WITHOUT ROWID;

CREATE INDEX presences_of_gateway ON presences (gateway);

-- The gateways that share this store, each with the time until which it is taken to live.
CREATE TABLE gateways (
    id          TEXT PRIMARY KEY,
    alive_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What one gateway does for all, and for how long it may without saying so again.
CREATE TABLE leases (
    name   TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What polls have found of a server, as the gateway that polls writes it down for the others.
CREATE TABLE server_reports (
    server TEXT PRIMARY KEY,
    report TEXT NOT NULL,        -- JSON
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Runs that were given up while their server was away: should it come back with them, they are ended.
CREATE TABLE leftovers (
    server      TEXT NOT NULL,
    internal_id TEXT NOT NULL,
    server_id   TEXT NOT NULL,   -- the meetingID on the server
    since       INTEGER NOT NULL,
    PRIMARY KEY (server, internal_id)
) STRICT, WITHOUT ROWID;

-- What a tenant has used on a day (UTC).
CREATE TABLE usage (
    tenant         TEXT NOT NULL,
    day            TEXT NOT NULL,             -- YYYY-MM-DD
    meetings       INTEGER NOT NULL DEFAULT 0,
    participant_ms INTEGER NOT NULL DEFAULT 0,
    peak           INTEGER NOT NULL DEFAULT 0, -- most people present at once
    bytes_up       INTEGER NOT NULL DEFAULT 0,
    bytes_down     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, day)
) STRICT, WITHOUT ROWID;

-- How many people of a tenant are present: what its peak is taken from.
CREATE TABLE present (
    tenant TEXT PRIMARY KEY,
    people INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
