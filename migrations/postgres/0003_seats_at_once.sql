-- A join looks for the seats of its meeting and for those of its person: neither is to read all sessions of a large meeting.
DROP INDEX sessions_seats;
CREATE INDEX sessions_seats ON sessions (meeting, seat_until) INCLUDE (id, breakout);
CREATE INDEX sessions_of_person ON sessions (meeting, user_key) WHERE user_key IS NOT NULL;
