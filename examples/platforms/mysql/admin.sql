-- The provider's own account with the least privileges that this example needs. Run schema.sql before it.
CREATE USER nhi_admin@'app.internal' IDENTIFIED BY 'CHANGE-ME';

-- Make, lock and drop accounts; see what they hold; see and end their sessions.
GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO nhi_admin@'app.internal';
GRANT SELECT ON mysql.* TO nhi_admin@'app.internal';

-- MariaDB lets nobody change the default role of others without UPDATE ON mysql.*, which is as good as every right there
-- is. Grant it only if default_role:… entitlements are needed.
-- GRANT UPDATE ON mysql.* TO nhi_admin@'app.internal';

-- Ownership marks.
GRANT SELECT, INSERT, UPDATE, DELETE ON nhi.* TO nhi_admin@'app.internal';

-- What it may pass on: exactly the rights that entitlements name.
GRANT SELECT ON finance.* TO nhi_admin@'app.internal' WITH GRANT OPTION;
