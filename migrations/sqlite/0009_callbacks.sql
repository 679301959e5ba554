-- Where what a server says of a meeting goes on to, as its `create` asked for. They go with the meeting's own row.
CREATE TABLE callback_addresses (
    code      BLOB NOT NULL,    -- part of the gateway's address, which that server was given instead
    parameter TEXT NOT NULL,     -- of the `create`
    meeting   INTEGER NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    url       TEXT NOT NULL,
    secret    TEXT NOT NULL,     -- the label of the tenant's secret that signed the `create`
    PRIMARY KEY (code, parameter)
) STRICT, WITHOUT ROWID;

CREATE INDEX callback_addresses_of_meeting ON callback_addresses (meeting);

-- What servers have said, each with its delivery. Said once more while it waits, it is the same.
CREATE TABLE callbacks (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    meeting     INTEGER NOT NULL REFERENCES meetings (id) ON DELETE CASCADE,
    tenant      TEXT NOT NULL,
    ext_id      TEXT NOT NULL,
    parameter   TEXT NOT NULL,
    url         TEXT NOT NULL,
    secret      TEXT NOT NULL,
    form        TEXT NOT NULL,             -- ended, parameters, json
    algorithm   TEXT NOT NULL,             -- of its signature; empty where it has none
    content     BLOB NOT NULL,            -- a digest of what was said; the same for all ends of one meeting
    body        TEXT NOT NULL,             -- what the tenant gets, unsigned; empty once it is delivered
    state       TEXT NOT NULL,             -- waiting, delivered, given_up
    received_at INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,           -- of the next try
    try_until   INTEGER NOT NULL,
    tries       INTEGER NOT NULL DEFAULT 0,
    held_until  INTEGER NOT NULL DEFAULT 0, -- a gateway delivers it, and no other does until then
    result      TEXT,                      -- of the last try
    UNIQUE (meeting, parameter, content)
) STRICT;

CREATE INDEX callbacks_waiting ON callbacks (tenant, due_at) WHERE state = 'waiting';
