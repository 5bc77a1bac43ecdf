-- Webhooks of the model registry (room record, docs/formats/record.md).

CREATE TABLE webhook (
  num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, url TEXT NOT NULL, description TEXT NOT NULL DEFAULT '',
  secret BLOB,                             -- sealed with the key beside the database; NULL: deliveries are not signed
  status TEXT NOT NULL,                    -- ACTIVE, DISABLED
  deleted BIGINT NOT NULL DEFAULT 0, created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL);
CREATE TABLE webhook_event (webhook BIGINT NOT NULL, entity TEXT NOT NULL, action TEXT NOT NULL, PRIMARY KEY (entity, action, webhook)) WITHOUT ROWID;
CREATE INDEX webhook_event_webhook ON webhook_event(webhook);
-- One row for each event and webhook that listens to it, written in the event's own transaction.
CREATE TABLE webhook_delivery (
  num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, webhook BIGINT NOT NULL, entity TEXT NOT NULL, action TEXT NOT NULL,
  body TEXT NOT NULL,                      -- what is sent and signed
  state TEXT NOT NULL,                     -- waiting, delivered, failed
  tries BIGINT NOT NULL DEFAULT 0, due_ms BIGINT NOT NULL, created_ms BIGINT NOT NULL, ended_ms BIGINT,
  http_status BIGINT, problem TEXT NOT NULL DEFAULT '');
CREATE INDEX webhook_delivery_due ON webhook_delivery(due_ms, num) WHERE state = 'waiting';
CREATE INDEX webhook_delivery_webhook ON webhook_delivery(webhook, num);
