-- Makes the database and its roles; run it as a superuser, again whenever a service is added:
--
--   psql -v owner_password=… -v tenants_password=… -v auth_password=… -v payment_password=… \
--        -v forms_password=… -v notify_password=… -v booking_password=… -v console_password=… \
--        -v edge_password=… -f roles.sql
--
-- basis_owner owns schemas and tables and migrates (owner_url). basis_<service> serves (url): it
-- reads and writes the rows of its own schema, keeps tenants apart by row-level security, and
-- sees nothing of other services. No role is superuser or may bypass row-level security; the
-- programs refuse to serve with one that could.
--
-- -v database=… (default basis) and -v schema_prefix=… (default none) as in the configuration.
\set ON_ERROR_STOP on
\if :{?database}
\else
\set database basis
\endif
\if :{?schema_prefix}
\else
\set schema_prefix ''
\endif

SELECT format('CREATE ROLE basis_%s', name)
FROM unnest('{owner,tenants,auth,payment,forms,notify,booking,console,edge}'::text[]) AS name
WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'basis_' || name) \gexec
ALTER ROLE basis_owner   LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'owner_password';
ALTER ROLE basis_tenants LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'tenants_password';
ALTER ROLE basis_auth    LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'auth_password';
ALTER ROLE basis_payment LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'payment_password';
ALTER ROLE basis_forms   LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'forms_password';
ALTER ROLE basis_notify  LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'notify_password';
ALTER ROLE basis_booking LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'booking_password';
ALTER ROLE basis_console LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'console_password';
ALTER ROLE basis_edge    LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'edge_password';

SELECT format('CREATE DATABASE %I ENCODING ''UTF8'' TEMPLATE template0', :'database')
WHERE NOT EXISTS (SELECT 1 FROM pg_database WHERE datname = :'database') \gexec
\connect :"database"

REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO basis_owner;

CREATE TEMPORARY TABLE service ON COMMIT PRESERVE ROWS AS
SELECT name, 'basis_' || name AS role, :'schema_prefix' || name AS schema
FROM unnest('{tenants,auth,payment,forms,notify,booking,console,edge}'::text[]) AS name;

SELECT format('GRANT CONNECT ON DATABASE %I TO %I', :'database', role) FROM service
UNION ALL SELECT format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION basis_owner', schema) FROM service \gexec
SELECT format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', schema) FROM service
UNION ALL SELECT format('GRANT USAGE ON SCHEMA %I TO %I', schema, role) FROM service
-- What migrations make later belongs to the service at once.
UNION ALL SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE basis_owner IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', schema, role) FROM service
UNION ALL SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE basis_owner IN SCHEMA %I GRANT USAGE ON SEQUENCES TO %I', schema, role) FROM service
UNION ALL SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO %I', schema, role) FROM service
UNION ALL SELECT format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO %I', schema, role) FROM service
\gexec
