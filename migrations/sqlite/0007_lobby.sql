-- A guest who waits to be let in has no seat; whoever is let in asks for one.
ALTER TABLE sessions ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;
