CREATE ROLE nhi_admin LOGIN CREATEROLE;  -- and a password, with \password
GRANT pg_signal_backend TO nhi_admin;    -- to end sessions

-- The owners of what entitlements name, because only they may grant it.
GRANT app_owner TO nhi_admin;
-- The roles that entitlements name.
GRANT reporting TO nhi_admin WITH ADMIN OPTION;
-- From PostgreSQL 16 on: accounts that it did not make itself and shall adopt.
GRANT svc_billing TO nhi_admin WITH ADMIN OPTION;
