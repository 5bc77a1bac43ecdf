-- A run that has not ended is one whose ended_ms is null: run_open finds those, and each end and begin wrote this second index too.
DROP INDEX run_running;
