-- A run's series lie together and are found by run and name at once: a row less to write for each, and what a search looks at for each run is
-- one look-up instead of two. Their numbers come from a counter, one step for all that a batch makes.
CREATE TABLE rec_counter (name TEXT PRIMARY KEY, next BIGINT NOT NULL) WITHOUT ROWID;
INSERT INTO rec_counter(name, next) SELECT 'series', coalesce(max(id), 0) + 1 FROM rec_series;
CREATE TABLE rec_series_by_run (
  run BIGINT NOT NULL, name TEXT NOT NULL, id BIGINT NOT NULL, experiment BIGINT NOT NULL, step BIGINT NOT NULL, time_ms BIGINT NOT NULL,
  value DOUBLE PRECISION,                  -- null: NaN
  PRIMARY KEY (run, name)) WITHOUT ROWID;
INSERT INTO rec_series_by_run(run, name, id, experiment, step, time_ms, value)
  SELECT run, name, id, experiment, step, time_ms, value FROM rec_series ORDER BY run, name;
DROP TABLE rec_series;
ALTER TABLE rec_series_by_run RENAME TO rec_series;
CREATE INDEX rec_series_value ON rec_series(experiment, name, value, run);
