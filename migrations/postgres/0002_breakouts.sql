-- The breakout room of the meeting that a session is in, by the server's internal id; NULL in the meeting itself.
ALTER TABLE sessions ADD COLUMN breakout TEXT;

CREATE INDEX sessions_of_breakout ON sessions (breakout) WHERE breakout IS NOT NULL;
