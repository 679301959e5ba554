-- Numbers are never given out twice: what is noted of a session that is gone must not be taken for another one's. SQLite can
-- only be told so when a table is made, and a parent that is dropped takes its children with it: those come first.
CREATE TABLE sessions_before AS SELECT id, meeting, token, seat_until FROM sessions;
DROP TABLE sessions;

CREATE TABLE meetings_now (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant       TEXT NOT NULL,
    account      TEXT NOT NULL,
    ext_id       TEXT NOT NULL,  -- the tenant's meetingID
    server       TEXT NOT NULL,
    participants INTEGER,        -- what its creator asked for; NULL for as many as the level allows
    internal_id  TEXT,           -- NULL until the server has answered
    create_time  INTEGER,        -- likewise
    created_at   INTEGER NOT NULL,
    ended_at     INTEGER,        -- NULL while it runs
    records      INTEGER NOT NULL DEFAULT 0,  -- whether it may leave a recording
    owner        TEXT,           -- which gateway asks a server for it
    ends_at      INTEGER,        -- when its time is over; NULL where that was not written down
    expected     INTEGER,        -- how many people were expected at its `create`; NULL for nobody knows
    strangers    INTEGER NOT NULL DEFAULT 0   -- people whom its server counts and who have come by no join of ours
) STRICT;
INSERT INTO meetings_now (id, tenant, account, ext_id, server, participants, internal_id, create_time, created_at, ended_at,
                          records)
SELECT id, tenant, account, ext_id, server, participants, internal_id, create_time, created_at, ended_at, records FROM meetings;
DROP TABLE meetings;
ALTER TABLE meetings_now RENAME TO meetings;

CREATE UNIQUE INDEX meetings_running ON meetings (tenant, ext_id) WHERE ended_at IS NULL;
CREATE INDEX meetings_of_account ON meetings (tenant, account, ended_at);
CREATE INDEX meetings_of_room ON meetings (tenant, ext_id, ended_at);
CREATE INDEX meetings_ended ON meetings (ended_at) WHERE ended_at IS NOT NULL;
-- Rooms and accounts are counted by tenant, and ended meetings only while they are retained.
CREATE INDEX meetings_retained ON meetings (tenant, ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE sessions (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    meeting       INTEGER NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    token         BLOB UNIQUE,    -- SHA-256 of the session token; NULL until the server has answered
    seat_until    INTEGER NOT NULL,
    user_key      BLOB,           -- a digest of the caller's userID; NULL where it gave none
    present_since INTEGER         -- NULL while nobody is present
) STRICT;
INSERT INTO sessions (id, meeting, token, seat_until) SELECT id, meeting, token, seat_until FROM sessions_before;
DROP TABLE sessions_before;

CREATE INDEX sessions_seats ON sessions (meeting, seat_until);

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
