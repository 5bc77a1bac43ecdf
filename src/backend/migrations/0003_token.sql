-- Who may ask the server for what. hash: SHA-256 of the secret, which is shown once and kept nowhere; permissions: a bit each, in the
-- order of enum sl_permission; expires_ms, revoked_ms: 0 while there is none. A revoked token's row stays, so that a name in the ledger
-- means one token for ever.
CREATE TABLE access_token (
  name TEXT PRIMARY KEY, hash TEXT NOT NULL, permissions BIGINT NOT NULL, created_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL DEFAULT 0,
  revoked_ms BIGINT NOT NULL DEFAULT 0);
