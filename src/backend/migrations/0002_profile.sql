-- Remembered: what a dataset version's rows look like (docs/formats/profile.md), by the version's hash.
CREATE TABLE dataset_profile (hash TEXT PRIMARY KEY, profile TEXT NOT NULL, made_ms BIGINT NOT NULL);
