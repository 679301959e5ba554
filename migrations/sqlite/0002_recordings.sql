-- Whether a meeting may leave a recording: what its `create` asked for and its level allows.
ALTER TABLE meetings ADD COLUMN records INTEGER NOT NULL DEFAULT 0;

-- Earlier runs of a room count towards its duration.
CREATE INDEX meetings_of_room ON meetings (tenant, ext_id, ended_at);

-- Whose a recording is, whatever it says of itself. One row per meeting that may leave one, from the moment its server has
-- answered; it outlives the meeting's own row, unless nobody ever came.
CREATE TABLE recordings (
    record_id TEXT PRIMARY KEY,  -- the server's internal id of the meeting
    tenant    TEXT NOT NULL,
    ext_id    TEXT NOT NULL,
    server    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
