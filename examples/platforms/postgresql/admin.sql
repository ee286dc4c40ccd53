CREATE ROLE nhi_admin LOGIN CREATEROLE;            -- and a password, with \password
GRANT pg_signal_backend TO nhi_admin;              -- to end sessions
GRANT CONNECT ON DATABASE analytics TO nhi_admin;  -- and on every other database in which accounts may own objects

-- The owners of what entitlements name, because only they may grant rights on it.
GRANT app_owner TO nhi_admin;
-- The role in reassign_owned_to has to have a place for what it inherits.
GRANT CREATE ON SCHEMA finance TO app_owner;

-- From PostgreSQL 16 on: the roles that nhi_admin did not create itself. Roles that entitlements name,
GRANT reporting TO nhi_admin WITH ADMIN OPTION;
-- accounts that it shall adopt,
GRANT svc_billing TO nhi_admin WITH ADMIN OPTION;
-- and the role in reassign_owned_to.
GRANT app_owner TO nhi_admin WITH ADMIN OPTION;
