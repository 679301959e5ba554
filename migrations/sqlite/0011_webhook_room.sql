-- When a webhook was last made, asked for again, or had an event to deliver: one of a meeting goes when that is long ago.
ALTER TABLE webhooks ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;
UPDATE webhooks SET used_at = created_at;

-- The length of `body`, so that what waits of a tenant is counted from the index alone.
ALTER TABLE webhook_events ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE webhook_events SET bytes = length(CAST(body AS BLOB)) WHERE delivered_at IS NULL;
DROP INDEX webhook_events_of_tenant;
CREATE INDEX webhook_events_of_tenant ON webhook_events (tenant, webhook, bytes) WHERE delivered_at IS NULL;
