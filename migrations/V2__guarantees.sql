-- What it takes to answer each message once, whatever happens in between, and to tell what it cost.

-- How far each channel has read.
CREATE TABLE channel_cursors (
    channel    TEXT PRIMARY KEY NOT NULL,
    cursor     TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

-- Messages accepted. The id of a row is the id of the turn that answers it.
CREATE TABLE inbox (
    id          TEXT PRIMARY KEY NOT NULL,
    channel     TEXT NOT NULL,
    external_id TEXT NOT NULL,
    chat_id     TEXT NOT NULL,
    raw         TEXT NOT NULL CHECK (json_valid(raw)),
    state       TEXT NOT NULL CHECK (state IN ('pending', 'working', 'done', 'failed')),
    attempts    INTEGER NOT NULL DEFAULT 0,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    UNIQUE (channel, external_id)
) STRICT;

CREATE INDEX inbox_open ON inbox (channel, chat_id, created_at) WHERE state IN ('pending', 'working');

-- Messages to be sent. `external_id` is the channel's id of the first send: everything later is an
-- edit of it, so only a row without one can be uncertain.
CREATE TABLE outbox (
    id          TEXT PRIMARY KEY NOT NULL,
    session_id  TEXT REFERENCES sessions (id) ON DELETE CASCADE,
    turn_id     TEXT,
    channel     TEXT NOT NULL,
    chat_id     TEXT NOT NULL,
    content     TEXT NOT NULL,
    reply_to    TEXT,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'delivered', 'uncertain', 'failed')),
    external_id TEXT,
    reason      TEXT,
    attempts    INTEGER NOT NULL DEFAULT 0,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    metadata    TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata))
) STRICT;

CREATE INDEX outbox_open ON outbox (channel, chat_id, created_at)
    WHERE state IN ('pending', 'sending', 'uncertain');
CREATE INDEX outbox_by_turn ON outbox (turn_id) WHERE turn_id IS NOT NULL;

-- Who speaks in a session just now. `instance` names the lock file that its holder keeps locked.
CREATE TABLE session_leases (
    session_id   TEXT PRIMARY KEY NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    token        TEXT NOT NULL,
    instance     TEXT NOT NULL,
    who          TEXT NOT NULL,
    pid          INTEGER NOT NULL,
    acquired_at  TEXT NOT NULL,
    heartbeat_at TEXT NOT NULL
) STRICT;

-- Questions to the owner. An answer is given once.
CREATE TABLE approvals (
    id          TEXT PRIMARY KEY NOT NULL,
    session_id  TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    turn_id     TEXT,
    call_id     TEXT,
    question    TEXT NOT NULL CHECK (json_valid(question)),
    answer      TEXT CHECK (answer IN ('approved', 'denied', 'expired')),
    answered_by TEXT,
    created_at  TEXT NOT NULL,
    answered_at TEXT,
    CHECK ((answer IS NULL) = (answered_at IS NULL))
) STRICT;

CREATE INDEX approvals_open ON approvals (session_id, created_at) WHERE answer IS NULL;

-- One row a model call. A session that is deleted leaves its costs behind.
CREATE TABLE usage (
    id           TEXT PRIMARY KEY NOT NULL,
    session_id   TEXT REFERENCES sessions (id) ON DELETE SET NULL,
    turn_id      TEXT,
    model        TEXT NOT NULL,
    input        INTEGER NOT NULL CHECK (input >= 0),
    output       INTEGER NOT NULL CHECK (output >= 0),
    cache_read   INTEGER NOT NULL CHECK (cache_read >= 0),
    cache_write  INTEGER NOT NULL CHECK (cache_write >= 0),
    cost_micros  INTEGER CHECK (cost_micros >= 0),
    created_at   TEXT NOT NULL
) STRICT;

CREATE INDEX usage_by_time ON usage (created_at);

-- Grows with every write, so that another process knows when its caches are old.
CREATE TABLE change_counter (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL
) STRICT;

INSERT INTO change_counter (id, value) VALUES (1, 0);
