-- Certificates that were ordered or imported. One that was removed keeps its row for a while, without a chain: other gateways
-- find changed rows by their time.
CREATE TABLE certificates (
    name       TEXT COLLATE "C" PRIMARY KEY,  -- a host, or `*.<name>`
    chain      TEXT NOT NULL,       -- PEM, the certificate of the name first; empty for one that was removed
    key        BYTEA NOT NULL,       -- PKCS#8, encrypted
    issuer     TEXT NOT NULL,
    authority  TEXT NOT NULL,       -- the ACME directory; empty for an imported one
    not_before BIGINT NOT NULL,    -- ms since the epoch, as all times
    not_after  BIGINT NOT NULL,
    version    BIGINT NOT NULL,    -- another one for each chain of a name
    changed_at BIGINT NOT NULL
);

CREATE INDEX certificates_by_change ON certificates (changed_at);

-- The names that need a certificate.
CREATE TABLE domains (
    name       TEXT COLLATE "C" PRIMARY KEY,  -- in the order of its bytes, as pages are listed
    tenant     TEXT NOT NULL,       -- empty for a wildcard
    state      TEXT NOT NULL,       -- configured, waiting_for_dns, ordering, active, failing
    since      BIGINT NOT NULL,
    reason     TEXT,
    found      TEXT,                -- what DNS says
    expected   TEXT,                -- what it should say
    failures   BIGINT NOT NULL DEFAULT 0,
    next_at    BIGINT NOT NULL,
    good_until BIGINT NOT NULL DEFAULT 0,  -- of its certificate; 0 without one
    renew_at   BIGINT NOT NULL DEFAULT 0,  -- when its certificate is to be renewed; 0 without one
    authority  TEXT,                -- that of the order under way, or of the last one
    owner      TEXT,                -- the gateway that orders
    progress   BYTEA,                -- of the order under way, encrypted
    gone_at    BIGINT              -- since when no configuration has the name
);

CREATE INDEX domains_due ON domains (next_at) WHERE gone_at IS NULL;
CREATE INDEX domains_of_tenant ON domains (tenant, name) WHERE gone_at IS NULL;
CREATE INDEX domains_in_state ON domains (state, name) WHERE gone_at IS NULL;
CREATE INDEX domains_by_expiry ON domains (good_until) WHERE gone_at IS NULL AND good_until > 0;
CREATE INDEX domains_gone ON domains (gone_at) WHERE gone_at IS NOT NULL;

-- Orders of the last days, for budgets.
CREATE TABLE certificate_orders (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    authority  TEXT NOT NULL,
    name       TEXT NOT NULL,
    registered TEXT NOT NULL,       -- the registered domain that the name is below
    at         BIGINT NOT NULL,
    is_exempt  BOOLEAN NOT NULL,   -- a renewal that the authority has suggested
    failed_at  BIGINT
);

CREATE INDEX certificate_orders_of_authority ON certificate_orders (authority, at);
CREATE INDEX certificate_orders_of_domain ON certificate_orders (authority, registered, at);
CREATE INDEX certificate_orders_of_name ON certificate_orders (authority, name, at);
CREATE INDEX certificate_orders_by_time ON certificate_orders (at);

-- Challenges that are open on port 443.
CREATE TABLE certificate_challenges (
    host              TEXT PRIMARY KEY,
    key_authorization TEXT NOT NULL,
    until             BIGINT NOT NULL
);

-- Keys that are not made of 32 bytes alone, encrypted.
CREATE TABLE sealed_keys (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);
