DROP TABLE change_counter;
DROP TABLE usage;
DROP TABLE approvals;
DROP TABLE session_leases;
DROP TABLE outbox;
DROP TABLE inbox;
DROP TABLE channel_cursors;
