-- What was said, by whom, and what was done about it.
-- Times are UTC, RFC 3339 with milliseconds, of fixed width, so that they sort as text.
-- Ids are UUIDs of version 7 as text; rows are read in the order (created_at, id).

CREATE TABLE sessions (
    id          TEXT PRIMARY KEY NOT NULL,
    provider    TEXT NOT NULL,
    chat_id     TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('private', 'group')),
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    metadata    TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
    UNIQUE (provider, chat_id)
) STRICT;

-- `seq` is what the full-text index calls a message: a rowid would change in a VACUUM.
CREATE TABLE messages (
    id          TEXT PRIMARY KEY NOT NULL,
    session_id  TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    role        TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'tool')),
    content     TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    token_count INTEGER CHECK (token_count >= 0),
    metadata    TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
    turn_id     TEXT,
    author      TEXT,
    seq         INTEGER NOT NULL UNIQUE
) STRICT;

CREATE INDEX messages_by_session ON messages (session_id, created_at, id);

-- `success`, `output`, `duration_ms` and `finished_at` are filled when the tool ends. A row without
-- them is a tool that started and whose outcome is unknown.
CREATE TABLE tool_executions (
    id          TEXT PRIMARY KEY NOT NULL,
    session_id  TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    tool_name   TEXT NOT NULL,
    input       TEXT NOT NULL CHECK (json_valid(input)),
    output      TEXT,
    success     INTEGER CHECK (success IN (0, 1)),
    duration_ms INTEGER CHECK (duration_ms >= 0),
    created_at  TEXT NOT NULL,
    turn_id     TEXT,
    call_id     TEXT,
    finished_at TEXT,
    CHECK ((success IS NULL) = (finished_at IS NULL))
) STRICT;

CREATE INDEX tool_executions_by_session ON tool_executions (session_id, created_at, id);
CREATE INDEX tool_executions_by_turn ON tool_executions (turn_id) WHERE turn_id IS NOT NULL;

-- Accounts at a provider; `user_id` is `provider:id`.
CREATE TABLE user_profiles (
    user_id      TEXT PRIMARY KEY NOT NULL,
    provider     TEXT NOT NULL,
    username     TEXT,
    display_name TEXT,
    profile_data TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(profile_data)),
    notes        TEXT,
    updated_at   TEXT NOT NULL
) STRICT;

CREATE TABLE memories (
    id                TEXT PRIMARY KEY NOT NULL,
    content           TEXT NOT NULL,
    source            TEXT NOT NULL,
    created_at        TEXT NOT NULL,
    expires_at        TEXT,
    owner_user_id     TEXT,
    subject_person_id TEXT,
    metadata          TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata))
) STRICT;
