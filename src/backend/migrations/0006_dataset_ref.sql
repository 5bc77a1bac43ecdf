-- Names for versions of a dataset. kind: tag (stays where it is), branch (moves)
CREATE TABLE dataset_ref (
  dataset TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, hash TEXT NOT NULL, changed_ms BIGINT NOT NULL, PRIMARY KEY (dataset, name));
-- Datasets that were dropped: out of sight, and kept until `gc` finds them dropped for long enough.
CREATE TABLE dataset_dropped (dataset TEXT PRIMARY KEY, dropped_ms BIGINT NOT NULL);
-- Versions whose bytes `gc` may remove, by a retention rule or after a drop. seq: dataset_version; the row itself stays.
CREATE TABLE dataset_expired (seq BIGINT PRIMARY KEY, expired_ms BIGINT NOT NULL);
