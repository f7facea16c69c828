DROP TRIGGER messages_fts_delete;
DROP TABLE messages_fts;
