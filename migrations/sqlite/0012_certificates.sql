-- Certificates that were ordered or imported. One that was removed keeps its row for a while, without a chain: other gateways
-- find changed rows by their time.
CREATE TABLE certificates (
    name       TEXT PRIMARY KEY,    -- a host, or `*.<name>`
    chain      TEXT NOT NULL,       -- PEM, the certificate of the name first; empty for one that was removed
    key        BLOB NOT NULL,       -- PKCS#8, encrypted
    issuer     TEXT NOT NULL,
    authority  TEXT NOT NULL,       -- the ACME directory; empty for an imported one
    not_before INTEGER NOT NULL,    -- ms since the epoch, as all times
    not_after  INTEGER NOT NULL,
    version    INTEGER NOT NULL,    -- another one for each chain of a name
    changed_at INTEGER NOT NULL
) STRICT;

CREATE INDEX certificates_by_change ON certificates (changed_at);

-- The names that need a certificate.
CREATE TABLE domains (
    name       TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,       -- empty for a wildcard
    state      TEXT NOT NULL,       -- configured, waiting_for_dns, ordering, active, failing
    since      INTEGER NOT NULL,
    reason     TEXT,
    found      TEXT,                -- what DNS says
    expected   TEXT,                -- what it should say
    failures   INTEGER NOT NULL DEFAULT 0,
    next_at    INTEGER NOT NULL,
    good_until INTEGER NOT NULL DEFAULT 0,  -- of its certificate; 0 without one
    renew_at   INTEGER NOT NULL DEFAULT 0,  -- when its certificate is to be renewed; 0 without one
    authority  TEXT,                -- that of the order under way, or of the last one
    owner      TEXT,                -- the gateway that orders
    progress   BLOB,                -- of the order under way, encrypted
    gone_at    INTEGER              -- since when no configuration has the name
) STRICT;

CREATE INDEX domains_due ON domains (next_at) WHERE gone_at IS NULL;
CREATE INDEX domains_of_tenant ON domains (tenant, name) WHERE gone_at IS NULL;
CREATE INDEX domains_in_state ON domains (state, name) WHERE gone_at IS NULL;
CREATE INDEX domains_by_expiry ON domains (good_until) WHERE gone_at IS NULL AND good_until > 0;
CREATE INDEX domains_gone ON domains (gone_at) WHERE gone_at IS NOT NULL;

-- Orders of the last days, for budgets.
CREATE TABLE certificate_orders (
    id         INTEGER PRIMARY KEY,
    authority  TEXT NOT NULL,
    name       TEXT NOT NULL,
    registered TEXT NOT NULL,       -- the registered domain that the name is below
    at         INTEGER NOT NULL,
    is_exempt  INTEGER NOT NULL,    -- 1 for a renewal that the authority has suggested
    failed_at  INTEGER
) STRICT;

CREATE INDEX certificate_orders_of_authority ON certificate_orders (authority, at);
CREATE INDEX certificate_orders_of_domain ON certificate_orders (authority, registered, at);
CREATE INDEX certificate_orders_of_name ON certificate_orders (authority, name, at);
CREATE INDEX certificate_orders_by_time ON certificate_orders (at);

-- Challenges that are open on port 443.
CREATE TABLE certificate_challenges (
    host              TEXT PRIMARY KEY,
    key_authorization TEXT NOT NULL,
    until             INTEGER NOT NULL
) STRICT;

-- Keys that are not made of 32 bytes alone, encrypted.
CREATE TABLE sealed_keys (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
