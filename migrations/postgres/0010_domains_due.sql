-- Names that are due, those that have a certificate apart from those that have none: with many of one kind, the others are
-- found as fast as if they were alone. `<> 0` and not `> 0`: else `domains_by_expiry` is taken, and all names are read.
DROP INDEX domains_due;
CREATE INDEX domains_due ON domains (next_at) WHERE gone_at IS NULL AND good_until <> 0;
CREATE INDEX domains_due_first ON domains (next_at, name) WHERE gone_at IS NULL AND good_until = 0;
CREATE INDEX domains_due_new ON domains (next_at, name) WHERE gone_at IS NULL AND good_until = 0 AND state = 'configured';
