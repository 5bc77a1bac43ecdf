-- Artifacts, registered models and logged models of MLflow's clients (room record, docs/formats/record.md).

-- A tree of names over objects: one row per file and per folder, under the folder that it is in ("" is the top).
CREATE TABLE artifact (
  folder TEXT NOT NULL, name TEXT NOT NULL,
  hash TEXT,                               -- of a file; NULL: a folder
  size_bytes BIGINT NOT NULL, changed_ms BIGINT NOT NULL, PRIMARY KEY (folder, name)) WITHOUT ROWID;
CREATE INDEX artifact_hash ON artifact(hash) WHERE hash IS NOT NULL;

CREATE TABLE reg_model (
  num INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL DEFAULT '', created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL);
CREATE TABLE reg_version (
  num INTEGER PRIMARY KEY, model BIGINT NOT NULL, version BIGINT NOT NULL,
  deleted BIGINT NOT NULL DEFAULT 0,       -- 1: its number is not given out again
  stage TEXT NOT NULL DEFAULT 'None',      -- None, Staging, Production, Archived
  description TEXT NOT NULL DEFAULT '', source TEXT NOT NULL,
  storage TEXT NOT NULL,                   -- where its files are
  run TEXT NOT NULL DEFAULT '', run_link TEXT NOT NULL DEFAULT '', logged_model TEXT NOT NULL DEFAULT '',
  created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL, UNIQUE (model, version));
CREATE INDEX reg_version_run ON reg_version(run);
CREATE TABLE reg_alias (model BIGINT NOT NULL, alias TEXT NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (model, alias)) WITHOUT ROWID;

CREATE TABLE logged_model (
  num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, experiment BIGINT NOT NULL, name TEXT NOT NULL, artifact_uri TEXT NOT NULL,
  status TEXT NOT NULL,                    -- LOGGED_MODEL_PENDING, ..._READY, ..._UPLOAD_FAILED
  model_type TEXT NOT NULL DEFAULT '', run TEXT NOT NULL DEFAULT '', deleted BIGINT NOT NULL DEFAULT 0, created_ms BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL);
CREATE INDEX logged_model_order ON logged_model(experiment, deleted, created_ms DESC, num);
CREATE INDEX rec_model_metric_value ON rec_model_metric(model, name, value);

-- Names with values. kind: 1 tag of a registered model, 2 tag of a version, 3 tag of a logged model, 4 parameter of a logged model; owner is
-- the num of that.
CREATE TABLE reg_pair (kind BIGINT NOT NULL, owner BIGINT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, owner, name)) WITHOUT ROWID;
