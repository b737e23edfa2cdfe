-- Rows of these tables are updated in place again and again. Free space on each page lets PostgreSQL write the new row version
-- next to the old one without touching the indexes (HOT updates).
ALTER TABLE credits_creditbalance SET (fillfactor = 50);
ALTER TABLE credits_creditgrant SET (fillfactor = 70);
ALTER TABLE credits_credithold SET (fillfactor = 80);
ALTER TABLE credits_spendinglimit SET (fillfactor = 70);
ALTER TABLE credits_creditrollup SET (fillfactor = 80);
ALTER TABLE credits_credittotal SET (fillfactor = 50);
ALTER TABLE credits_usagewatermark SET (fillfactor = 70);

-- Each foreign key check reads one row by (balance_id, id), with a plan that PostgreSQL makes once for a connection. While
-- most balances have a single row, an index on balance_id alone looks as selective as one on both columns, and the plan then
-- reads the whole history of a balance for each check. A fixed estimate of rows per balance keeps the right index.
ALTER TABLE credits_credittransaction ALTER COLUMN balance_id SET (n_distinct = -0.02);
ALTER TABLE credits_creditgrant ALTER COLUMN balance_id SET (n_distinct = -0.02);
ALTER TABLE credits_credithold ALTER COLUMN balance_id SET (n_distinct = -0.02);
