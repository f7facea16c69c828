-- Full text of what people and the assistant said. `before` and `after` hold the neighbouring messages,
-- which find a short reply by what it replies to. The text is cut into terms before it gets here (words
-- of scripts without spaces into pairs of letters), so the table keeps no text of its own; it is derived
-- from `messages` and can be rebuilt. Marks belong to words: without them Hindi and Thai fall apart.

CREATE VIRTUAL TABLE messages_fts USING fts5 (
    body,
    before,
    after,
    content = '',
    contentless_delete = 1,
    tokenize = "porter unicode61 remove_diacritics 2 categories 'L* N* Co M*'"
);

CREATE TRIGGER messages_fts_delete AFTER DELETE ON messages BEGIN
    DELETE FROM messages_fts WHERE rowid = OLD.seq;
END;
