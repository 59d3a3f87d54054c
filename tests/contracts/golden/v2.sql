BEGIN TRANSACTION;
CREATE TABLE blob (
    blob_key INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    blob_id TEXT NOT NULL,
    blob_type TEXT NOT NULL CHECK (blob_type IN ('data', 'flow', 'binary')),
    content_key INTEGER NOT NULL REFERENCES blob_content (content_key),
    UNIQUE (namespace, blob_id)
) STRICT;
INSERT INTO "blob" VALUES(1,'default','sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','data',1);
CREATE TABLE blob_content (
    content_key INTEGER PRIMARY KEY,
    raw_sha256 BLOB NOT NULL UNIQUE CHECK (length(raw_sha256) = 32),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    data BLOB,
    file_name TEXT,
    CHECK ((data IS NULL) <> (file_name IS NULL))
) STRICT;
INSERT INTO "blob_content" VALUES(1,X'44136FA355B3678A1146AD16F7E8649E94FB4FC21FE77E8310C060F61CAAFF8A',2,X'7B7D',NULL);
CREATE TABLE garbage (
    garbage_id INTEGER PRIMARY KEY,
    run_key INTEGER,
    input_set_id INTEGER,
    CHECK ((run_key IS NULL) <> (input_set_id IS NULL))
) STRICT;
CREATE TABLE incarnation (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    pid INTEGER NOT NULL,
    host TEXT NOT NULL
) STRICT;
INSERT INTO "incarnation" VALUES(1,1,1,'host');
CREATE TABLE input_chunk (
    input_set_id INTEGER NOT NULL,
    first_item INTEGER NOT NULL CHECK (first_item >= 0),
    item_count INTEGER NOT NULL CHECK (item_count > 0),
    data BLOB NOT NULL,
    PRIMARY KEY (input_set_id, first_item)
) STRICT, WITHOUT ROWID;
INSERT INTO "input_chunk" VALUES(1,0,3,X'0300000000000000020000000200000002000000313031313132');
CREATE TABLE input_set (
    input_set_id INTEGER PRIMARY KEY AUTOINCREMENT,
    stage_id TEXT UNIQUE
) STRICT;
INSERT INTO "input_set" VALUES(1,NULL);
CREATE TABLE item_index (
    run_key INTEGER PRIMARY KEY REFERENCES run (run_key) ON DELETE CASCADE,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE log_head (
    run_key INTEGER PRIMARY KEY REFERENCES run (run_key) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    next_seq INTEGER NOT NULL CHECK (next_seq > 0),
    is_open INTEGER NOT NULL CHECK (is_open IN (0, 1))
) STRICT;
INSERT INTO "log_head" VALUES(1,1,3,1);
CREATE TABLE log_row (
    run_key INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run_key, last_seq),
    CHECK (first_seq BETWEEN 1 AND last_seq)
) STRICT, WITHOUT ROWID;
INSERT INTO "log_row" VALUES(1,2,1,X'6669727374');
CREATE TABLE request_key (
    namespace TEXT NOT NULL,
    request_key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    run_id TEXT NOT NULL,
    expires_at_us INTEGER NOT NULL,
    is_tombstone INTEGER NOT NULL DEFAULT 0 CHECK (is_tombstone IN (0, 1)),
    UNIQUE (namespace, request_key)
) STRICT;
CREATE TABLE run (
    run_key INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    run_id TEXT NOT NULL,
    flow_id TEXT NOT NULL,
    flow_name TEXT,
    flow_label TEXT,
    root_run_id TEXT NOT NULL,
    parent_run_id TEXT,
    source_run_id TEXT,
    created_at_us INTEGER NOT NULL,
    total INTEGER NOT NULL CHECK (total >= 0),
    status INTEGER NOT NULL CHECK (status BETWEEN 2 AND 5),
    completed_at_us INTEGER,
    counts TEXT,
    cancel_reason TEXT,
    input_set_id INTEGER NOT NULL REFERENCES input_set (input_set_id),
    UNIQUE (namespace, run_id),
    CHECK ((status = 2) = (completed_at_us IS NULL)),
    CHECK ((status = 2) = (counts IS NULL))
) STRICT;
INSERT INTO "run" VALUES(1,'default','golden','sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','greet',NULL,'golden',NULL,NULL,1000,3,2,NULL,NULL,NULL,1);
CREATE TABLE run_document (
    run_key INTEGER PRIMARY KEY REFERENCES run (run_key) ON DELETE CASCADE,
    description BLOB NOT NULL,
    settings BLOB NOT NULL
) STRICT;
INSERT INTO "run_document" VALUES(1,X'7B2272756E4964223A22676F6C64656E227D',X'7B22676F6C64656E223A747275657D');
CREATE TABLE run_metadata (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    run_key INTEGER NOT NULL REFERENCES run (run_key) ON DELETE CASCADE,
    PRIMARY KEY (namespace, name, value, run_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE schema_version (version INTEGER PRIMARY KEY) STRICT;
INSERT INTO "schema_version" VALUES(1);
INSERT INTO schema_version VALUES(2);
CREATE INDEX run_by_namespace ON run (namespace);
CREATE INDEX run_by_status ON run (namespace, status);
CREATE INDEX run_by_flow ON run (namespace, flow_id);
CREATE INDEX run_by_label ON run (namespace, flow_label) WHERE flow_label IS NOT NULL;
CREATE INDEX run_by_parent ON run (namespace, parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX run_by_root ON run (namespace, root_run_id);
CREATE INDEX run_by_inputs ON run (input_set_id);
CREATE INDEX run_open ON run (run_key) WHERE status = 2;
CREATE TRIGGER terminal_is_final BEFORE UPDATE ON run WHEN OLD.status <> 2
BEGIN
    SELECT RAISE (ABORT, 'a terminal run never changes');
END;
CREATE INDEX run_metadata_by_run ON run_metadata (run_key);
CREATE TRIGGER closed_log_is_final BEFORE UPDATE ON log_head WHEN OLD.is_open = 0
BEGIN
    SELECT RAISE (ABORT, 'nothing follows the last event of a run');
END;
CREATE INDEX request_key_by_run ON request_key (namespace, run_id);
CREATE INDEX request_key_tombstone ON request_key (expires_at_us) WHERE is_tombstone = 1;
CREATE INDEX blob_by_type ON blob (namespace, blob_type);
CREATE INDEX blob_by_content ON blob (content_key);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('input_set',1);
INSERT INTO "sqlite_sequence" VALUES('run',1);
INSERT INTO "sqlite_sequence" VALUES('blob',1);
COMMIT;
