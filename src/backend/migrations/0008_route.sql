-- How requests of an endpoint go over models (room serve, docs/traffic.md).

-- Rules that were set while the project ran: they stand instead of the project file's until the row is removed. Covered by the ledger.
CREATE TABLE route (endpoint TEXT PRIMARY KEY, rules TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', changed_ms BIGINT NOT NULL) WITHOUT ROWID;

-- Where an experiment (canary, test, bandit) stands. rules: SHA-256 of the rules that it is of; another one begins anew. phase: running,
-- done, rolled_back, stopped. weights: JSON {"MODEL@ALIAS": share}, which the endpoint uses instead of its rules'; '' = the rules'. state: JSON, where to go on.
CREATE TABLE route_state (
  endpoint TEXT PRIMARY KEY, rules TEXT NOT NULL, phase TEXT NOT NULL, weights TEXT NOT NULL DEFAULT '', state TEXT NOT NULL, changed_ms BIGINT NOT NULL) WITHOUT ROWID;
