-- How long what follows the end of a meeting is carried, ms; NULL for as long as where nothing was asked for.
ALTER TABLE meetings ADD COLUMN afterglow BIGINT;

-- The sessions of meetings that have ended, for as long: the learning dashboard is opened with them.
CREATE TABLE ended_sessions (
    token   BYTEA PRIMARY KEY,  -- SHA-256 of the session token
    id      BIGINT NOT NULL,
    meeting BIGINT NOT NULL REFERENCES meetings (id) ON DELETE CASCADE
);

CREATE INDEX ended_sessions_of_meeting ON ended_sessions (meeting);
