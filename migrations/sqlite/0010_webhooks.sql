-- Webhooks of tenants (`hooks/create`). One gateway at a time delivers the events of a webhook, in their order.
CREATE TABLE webhooks (
    id            TEXT PRIMARY KEY,          -- a random UUID, the `hookID`
    tenant        TEXT NOT NULL,
    url           TEXT NOT NULL,
    meeting       TEXT,                      -- the tenant's `meetingID`; NULL for all meetings
    events        TEXT,                      -- names of events, with commas; NULL for all events
    secret        TEXT NOT NULL,             -- the label of the tenant's secret that signed the `hooks/create`
    created_at    INTEGER NOT NULL,
    due_at        INTEGER NOT NULL,           -- no event is sent before
    tries         INTEGER NOT NULL DEFAULT 0, -- failed tries in a row
    failing_since INTEGER,                    -- since when all tries have failed; NULL where the last one has not
    held_until    INTEGER NOT NULL DEFAULT 0, -- a gateway delivers its events, and no other does until then
    result        TEXT,                      -- of the last try
    UNIQUE (tenant, url)
) STRICT, WITHOUT ROWID;

-- Events of servers, one row for each webhook that gets one. Those that are delivered stay for a while: a server that
-- has not seen the answer of the gateway says them again.
CREATE TABLE webhook_events (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook      TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    tenant       TEXT NOT NULL,
    content      BLOB NOT NULL,             -- a digest of what the server said
    body         TEXT NOT NULL,              -- what the tenant gets, unsigned; empty once it is delivered
    received_at  INTEGER NOT NULL,
    delivered_at INTEGER,                     -- NULL while it waits
    UNIQUE (webhook, content)
) STRICT;

CREATE INDEX webhook_events_waiting ON webhook_events (webhook, id) WHERE delivered_at IS NULL;
CREATE INDEX webhook_events_of_tenant ON webhook_events (tenant) WHERE delivered_at IS NULL;
CREATE INDEX webhook_events_delivered ON webhook_events (delivered_at) WHERE delivered_at IS NOT NULL;
