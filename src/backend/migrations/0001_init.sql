-- The first schema. Times are milliseconds since 1970 UTC; hashes are 64 lower-case hex digits; ids are ULIDs.
-- What is listed under "remembered" may be thrown away at any time and is rebuilt; everything else is covered by ledger entries.

CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);

-- Runs -----------------------------------------------------------------------------------------------------------------
-- kind: run (one `sluice run`), step, ingest, check, train, evaluate, monitor; status: running, ok, failed, cancelled, killed
CREATE TABLE run (
  id TEXT PRIMARY KEY, parent TEXT, kind TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',         -- why it ran, in words
  cause TEXT NOT NULL DEFAULT '',          -- how it ended, in words
  started_ms BIGINT NOT NULL, ended_ms BIGINT,
  fingerprint TEXT,                        -- of the step's definition, parameters, code and inputs
  environment TEXT NOT NULL DEFAULT '{}',  -- JSON: program, libraries, git commit and diff hash, host, cpu
  record TEXT                              -- SHA-256 of the run's canonical record, once ended (docs/formats/run.md)
);
CREATE INDEX run_parent ON run(parent, id);
CREATE INDEX run_name ON run(name, id);
CREATE INDEX run_open ON run(id) WHERE ended_ms IS NULL; -- few, whatever the history
CREATE INDEX run_running ON run(id) WHERE status = 'running'; -- keeps the look for dead runs away from the history
CREATE TABLE run_param (run TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run, name)); -- value: JSON
CREATE TABLE run_tag (run TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run, name));
-- A point of a series; seq keeps the order in which they came. value is NULL for NaN.
CREATE TABLE run_metric (
  run TEXT NOT NULL, name TEXT NOT NULL, step BIGINT NOT NULL, seq BIGINT NOT NULL, time_ms BIGINT NOT NULL,
  value DOUBLE PRECISION, PRIMARY KEY (run, name, step, seq));
-- kind: dataset, model, file (a raw file: name is its path), code, output
CREATE TABLE run_input (run TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (run, kind, name));
-- Lineage walks these: who used or made the bytes, under which name; ids sort by time.
CREATE INDEX run_input_hash ON run_input(hash, name, run);
CREATE INDEX run_input_name ON run_input(name, run);
CREATE TABLE run_output (run TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (run, kind, name));
CREATE INDEX run_output_hash ON run_output(hash, name, run);
CREATE INDEX run_output_name ON run_output(name, run);
CREATE TABLE run_artifact (run TEXT NOT NULL, path TEXT NOT NULL, hash TEXT NOT NULL, size_bytes BIGINT NOT NULL, PRIMARY KEY (run, path));
CREATE INDEX run_artifact_hash ON run_artifact(hash);

-- Datasets -------------------------------------------------------------------------------------------------------------
-- One row per commit of a dataset; the newest row of a name is its head. The same hash may come again (a revert).
CREATE TABLE dataset_version (
  seq BIGINT PRIMARY KEY, dataset TEXT NOT NULL, hash TEXT NOT NULL, rows BIGINT, size_bytes BIGINT NOT NULL, files BIGINT NOT NULL,
  run TEXT NOT NULL, created_ms BIGINT NOT NULL);
CREATE INDEX dataset_version_name ON dataset_version(dataset, seq);
CREATE INDEX dataset_version_hash ON dataset_version(hash);
-- Results of checks on one version: result is JSON (docs/checks.md)
CREATE TABLE check_result (
  seq BIGINT PRIMARY KEY, run TEXT NOT NULL, dataset TEXT NOT NULL, hash TEXT NOT NULL, check_name TEXT NOT NULL, severity TEXT NOT NULL,
  passed BIGINT NOT NULL, failing_rows BIGINT NOT NULL, result TEXT NOT NULL);
CREATE INDEX check_result_dataset ON check_result(dataset, seq);

-- Models ---------------------------------------------------------------------------------------------------------------
-- status: candidate (awaits gate), refused (the gate), waiting (for approval), ready
CREATE TABLE model_version (
  model TEXT NOT NULL, version BIGINT NOT NULL, hash TEXT NOT NULL, run TEXT NOT NULL, status TEXT NOT NULL,
  gate TEXT NOT NULL DEFAULT '[]',         -- JSON: each rule, its two sides, verdict
  metrics TEXT NOT NULL DEFAULT '{}', created_ms BIGINT NOT NULL, PRIMARY KEY (model, version));
CREATE INDEX model_version_hash ON model_version(hash);
CREATE INDEX model_version_run ON model_version(run);
CREATE TABLE model_alias (model TEXT NOT NULL, alias TEXT NOT NULL, version BIGINT NOT NULL, changed_ms BIGINT NOT NULL, PRIMARY KEY (model, alias));
-- Every move of an alias; rollback goes to the version before the present one.
CREATE TABLE alias_move (
  seq BIGINT PRIMARY KEY, model TEXT NOT NULL, alias TEXT NOT NULL, version BIGINT NOT NULL, previous BIGINT,
  reason TEXT NOT NULL, actor TEXT NOT NULL, moved_ms BIGINT NOT NULL);
CREATE INDEX alias_move_model ON alias_move(model, alias, seq);

-- Watching -------------------------------------------------------------------------------------------------------------
-- level: ok, warn, alarm. evidence: JSON with every statistic, its bar, counts, versions.
CREATE TABLE monitor_window (
  monitor TEXT NOT NULL, from_ms BIGINT NOT NULL, to_ms BIGINT NOT NULL, level TEXT NOT NULL, rows BIGINT NOT NULL, evidence TEXT NOT NULL,
  made_ms BIGINT NOT NULL, PRIMARY KEY (monitor, from_ms, to_ms));
CREATE TABLE monitor_state (monitor TEXT PRIMARY KEY, level TEXT NOT NULL, since_ms BIGINT NOT NULL, state TEXT NOT NULL); -- state: JSON, where to go on
-- A change of level, new data, a cron tick, a call: what triggers consume, each exactly once.
CREATE TABLE event (
  seq BIGINT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, from_ms BIGINT, to_ms BIGINT, detail TEXT NOT NULL, made_ms BIGINT NOT NULL);
-- status: fired, running, done, failed, skipped (cool-down, or one runs already)
CREATE TABLE trigger_firing (
  seq BIGINT PRIMARY KEY, trigger_name TEXT NOT NULL, event BIGINT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  run TEXT, fired_ms BIGINT NOT NULL, ended_ms BIGINT, UNIQUE (trigger_name, event));

-- The ledger: the change's own transaction writes its entry here; tiles and checkpoint are built from these rows in order --
CREATE TABLE ledger_entry (seq BIGINT PRIMARY KEY, entry BLOB NOT NULL); -- seq from 0 without gaps; docs/formats/ledger.md

-- Remembered -------------------------------------------------------------------------------------------------------------
-- A finished step by fingerprint: what it made. `document` is the canonical JSON that the fingerprint is the hash of.
CREATE TABLE step_result (
  fingerprint TEXT PRIMARY KEY, step TEXT NOT NULL, run TEXT NOT NULL, document TEXT NOT NULL, outputs TEXT NOT NULL, ended_ms BIGINT NOT NULL);
CREATE INDEX step_result_step ON step_result(step, ended_ms);
-- The hash of a file of the user's, trusted while its identity is unchanged (size, mtime, ctime, inode) and it was not hashed in the
-- same clock tick in which it changed.
CREATE TABLE file_hash (
  path TEXT PRIMARY KEY, size_bytes BIGINT NOT NULL, mtime_ns BIGINT NOT NULL, ctime_ns BIGINT NOT NULL, inode BIGINT NOT NULL, hash TEXT NOT NULL,
  hashed_ms BIGINT NOT NULL);
-- Tables that an SQL text reads, found by the engine's parser: key is SHA-256 of engine version and text.
CREATE TABLE sql_tables (key TEXT PRIMARY KEY, tables TEXT NOT NULL);
