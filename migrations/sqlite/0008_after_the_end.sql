-- How long what follows the end of a meeting is carried, ms; NULL for as long as where nothing was asked for.
ALTER TABLE meetings ADD COLUMN afterglow INTEGER;

-- The sessions of meetings that have ended, for as long: the learning dashboard is opened with them.
CREATE TABLE ended_sessions (
    token   BLOB PRIMARY KEY,  -- SHA-256 of the session token
    id      INTEGER NOT NULL,
    meeting INTEGER NOT NULL REFERENCES meetings (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX ended_sessions_of_meeting ON ended_sessions (meeting);
