-- Experiments, and what is logged into runs (room record, docs/formats/record.md). A run that a client logs has a row in `run` too (kind
-- 'logged'), under the same id; a run of this program's own gets its row here when a client first asks for it or logs into it.
-- Everything hangs off small integers, so that a point costs about 30 bytes.

CREATE TABLE experiment (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, artifact_location TEXT NOT NULL,
  deleted BIGINT NOT NULL DEFAULT 0,       -- 1: in the bin
  created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL);
CREATE TABLE experiment_tag (experiment BIGINT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (experiment, name)) WITHOUT ROWID;

CREATE TABLE rec_run (
  num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, experiment BIGINT NOT NULL, deleted BIGINT NOT NULL DEFAULT 0, deleted_ms BIGINT,
  status TEXT NOT NULL,                    -- RUNNING, SCHEDULED, FINISHED, FAILED, KILLED
  started_ms BIGINT NOT NULL, ended_ms BIGINT, name TEXT NOT NULL, user_name TEXT NOT NULL, artifact_uri TEXT NOT NULL);
-- The default order of a search; the last column is the tie.
CREATE INDEX rec_run_order ON rec_run(experiment, deleted, started_ms DESC, num);
CREATE TABLE rec_param (run BIGINT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run, name)) WITHOUT ROWID;
CREATE TABLE rec_tag (run BIGINT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run, name)) WITHOUT ROWID;
-- Values can be long; an index over their beginnings finds them as well.
CREATE INDEX rec_param_value ON rec_param(name, substr(value, 1, 48), run);
CREATE INDEX rec_tag_value ON rec_tag(name, substr(value, 1, 48), run);

-- One series per run and metric, with its latest point: the greatest by (step, time, value). value is NULL for NaN.
CREATE TABLE rec_series (
  id INTEGER PRIMARY KEY, experiment BIGINT NOT NULL, run BIGINT NOT NULL, name TEXT NOT NULL, step BIGINT NOT NULL, time_ms BIGINT NOT NULL,
  value DOUBLE PRECISION, UNIQUE (run, name));
-- The run's experiment is here too, so that a search ordered by a metric walks that experiment's values only.
CREATE INDEX rec_series_value ON rec_series(experiment, name, value, run);
-- Points in the order in which a history is read; the key is all of the row, so a point that is sent twice is there once. NaN is stored as
-- infinity, which never occurs otherwise (clients' infinities are stored as the largest finite numbers).
CREATE TABLE rec_point (
  series BIGINT NOT NULL, time_ms BIGINT NOT NULL, step BIGINT NOT NULL, value DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (series, time_ms, step, value)) WITHOUT ROWID;
-- Metrics that belong to a logged model, with the dataset that they were measured on ('' when none).
CREATE TABLE rec_model_metric (
  model TEXT NOT NULL, name TEXT NOT NULL, time_ms BIGINT NOT NULL, step BIGINT NOT NULL, run BIGINT NOT NULL, value DOUBLE PRECISION,
  dataset_name TEXT NOT NULL, dataset_digest TEXT NOT NULL, PRIMARY KEY (model, name, time_ms, step, run)) WITHOUT ROWID;

CREATE TABLE rec_dataset (
  id INTEGER PRIMARY KEY, experiment BIGINT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, source_type TEXT NOT NULL, source TEXT NOT NULL,
  schema TEXT, profile TEXT, UNIQUE (experiment, name, digest));
CREATE TABLE rec_input (run BIGINT NOT NULL, dataset BIGINT NOT NULL, context TEXT NOT NULL DEFAULT '', tags TEXT NOT NULL DEFAULT '[]', PRIMARY KEY (run, dataset)) WITHOUT ROWID;
CREATE INDEX rec_input_dataset ON rec_input(dataset, run);
-- direction: 'in' a model that the run read, 'out' one that it made
CREATE TABLE rec_run_model (run BIGINT NOT NULL, direction TEXT NOT NULL, model TEXT NOT NULL, step BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (run, direction, model)) WITHOUT ROWID;
CREATE INDEX rec_run_model_model ON rec_run_model(model, direction, run);
