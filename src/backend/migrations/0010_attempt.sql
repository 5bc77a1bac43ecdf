-- Runs of steps that are under way (docs/formats/meta.md). A row comes with the run's begin and goes with its end; what is there when no `sluice run` goes on
-- was left by one that was killed: its process may still work, or have ended and wait to be recorded.
CREATE TABLE attempt (
  run TEXT PRIMARY KEY,
  keeper TEXT NOT NULL,     -- the run over all whose keeper holds the process; names its folder below .sluice/tmp
  gpus BIGINT NOT NULL,     -- bit n: GPU n is its
  told BIGINT NOT NULL);    -- bytes of what it told (metrics) that are on record
