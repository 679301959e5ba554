-- What an installation keeps of its own: keys that all gateways share.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

-- One row per meeting, from the moment it is promised. Times are ms since the epoch.
CREATE TABLE meetings (
    id           INTEGER PRIMARY KEY,
    tenant       TEXT NOT NULL,
    account      TEXT NOT NULL,
    ext_id       TEXT NOT NULL,  -- the tenant's meetingID
    server       TEXT NOT NULL,
    participants INTEGER,        -- what its creator asked for; NULL for as many as the level allows
    internal_id  TEXT,           -- NULL until the server has answered
    create_time  INTEGER,        -- likewise
    created_at   INTEGER NOT NULL,
    ended_at     INTEGER         -- NULL while it runs
) STRICT;

CREATE UNIQUE INDEX meetings_running ON meetings (tenant, ext_id) WHERE ended_at IS NULL;
CREATE INDEX meetings_of_account ON meetings (tenant, account, ended_at);
CREATE INDEX meetings_ended ON meetings (ended_at) WHERE ended_at IS NOT NULL;

-- One row per join. Its seat counts while seat_until lies ahead: a lease while nobody has come yet, for ever while a
-- socket is open, a short grace after the last one has closed.
CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY,
    meeting    INTEGER NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    token      BLOB UNIQUE,      -- SHA-256 of the session token; NULL until the server has answered
    seat_until INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_seats ON sessions (meeting, seat_until);
