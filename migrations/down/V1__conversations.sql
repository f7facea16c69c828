-- The vector tables are made outside the migrations, from rows that go away here.
DROP TABLE IF EXISTS message_embeddings;
DROP TABLE IF EXISTS memory_embeddings;
DROP TABLE memories;
DROP TABLE user_profiles;
DROP TABLE tool_executions;
DROP TABLE messages;
DROP TABLE sessions;
