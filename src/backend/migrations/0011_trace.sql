-- Traces of MLflow's clients and of OpenTelemetry's exporters (room record, docs/formats/record.md).

CREATE TABLE trace (
  num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, -- "tr-" and 32 hex digits
  experiment BIGINT NOT NULL, started_ms BIGINT NOT NULL, duration_ms BIGINT,
  state TEXT NOT NULL,                     -- STATE_UNSPECIFIED, IN_PROGRESS, OK, ERROR
  finalized BIGINT NOT NULL DEFAULT 0,     -- 1: a client has said what the trace is; its spans then only fill in what is missing
  name TEXT, session TEXT, client_request TEXT, request_preview TEXT, response_preview TEXT);
-- The default order of a search; the last column is the tie.
CREATE INDEX trace_order ON trace(experiment, started_ms DESC, num);
CREATE INDEX trace_session ON trace(session, num) WHERE session IS NOT NULL;
-- kind: 1 tag, 2 metadata
CREATE TABLE trace_pair (trace BIGINT NOT NULL, kind BIGINT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (trace, kind, name)) WITHOUT ROWID;
-- content: the span as JSON, as it is answered. type and status are MLflow's, '' when there is none.
CREATE TABLE trace_span (
  trace BIGINT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, status TEXT NOT NULL,
  started_ns BIGINT NOT NULL, ended_ns BIGINT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (trace, id));
-- value: of the feedback or expectation, as JSON; number: the same when it is one; by_session: it holds for every trace of the session;
-- body: the rest as JSON, as it is answered.
CREATE TABLE trace_assessment (
  num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, trace BIGINT NOT NULL, type TEXT NOT NULL, -- feedback, expectation, issue
  name TEXT NOT NULL, value TEXT NOT NULL, number DOUBLE PRECISION, valid BIGINT NOT NULL DEFAULT 1, by_session BIGINT NOT NULL DEFAULT 0,
  overrides TEXT NOT NULL DEFAULT '', created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL, body TEXT NOT NULL);
CREATE INDEX trace_assessment_trace ON trace_assessment(trace, num);
CREATE INDEX trace_assessment_name ON trace_assessment(name, type, trace);
-- kind: run (target is its id in hex), prompt (NAME/VERSION)
CREATE TABLE trace_link (trace BIGINT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, PRIMARY KEY (trace, kind, target)) WITHOUT ROWID;
CREATE INDEX trace_link_target ON trace_link(kind, target, trace);
