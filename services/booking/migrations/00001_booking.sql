-- +goose Up
-- Appointments from the hold to the end; deleted some time after it.
CREATE TABLE appointments (
	tenant_id    TEXT NOT NULL,
	id           TEXT NOT NULL,
	state        TEXT NOT NULL CHECK (state IN ('held', 'confirmed', 'canceled', 'expired')),
	service_id   TEXT NOT NULL,
	office_id    TEXT NOT NULL,
	resource_id  TEXT NOT NULL,
	starts_at    BIGINT NOT NULL,
	ends_at      BIGINT NOT NULL,
	free_at      BIGINT NOT NULL,
	sequence     BIGINT NOT NULL,
	language     TEXT NOT NULL,
	name         TEXT NOT NULL,
	email        TEXT NOT NULL,
	reference    TEXT NOT NULL,
	room         TEXT NOT NULL,
	reason       TEXT NOT NULL,
	created_at   BIGINT NOT NULL,
	expires_at   BIGINT NOT NULL,
	confirmed_at BIGINT,
	ended_at     BIGINT,
	PRIMARY KEY (tenant_id, id),
	CHECK (starts_at < ends_at AND ends_at <= free_at),
	CHECK ((state IN ('canceled', 'expired')) = (ended_at IS NOT NULL)),
	CHECK (state <> 'confirmed' OR confirmed_at IS NOT NULL)
) {{partition}};
{{partitions "appointments"}}
CREATE INDEX appointments_day ON appointments (tenant_id, starts_at, office_id);
CREATE INDEX appointments_email ON appointments (tenant_id, email, starts_at) WHERE state IN ('held', 'confirmed');
CREATE INDEX appointments_holds ON appointments (tenant_id, expires_at) WHERE state = 'held';
-- Across tenants, for purging.
CREATE INDEX appointments_end ON appointments (free_at);
{{isolate "appointments"}}

-- What keeps two appointments apart: one row for each five minutes that an appointment takes
-- of a resource. A grain is the number of five minutes since 1970.
CREATE TABLE grains (
	tenant_id      TEXT NOT NULL,
	office_id      TEXT NOT NULL,
	resource_id    TEXT NOT NULL,
	grain          BIGINT NOT NULL,
	appointment_id TEXT NOT NULL,
	PRIMARY KEY (tenant_id, office_id, resource_id, grain),
	FOREIGN KEY (tenant_id, appointment_id) REFERENCES appointments (tenant_id, id) ON DELETE CASCADE
) {{partition}};
{{partitions "grains"}}
CREATE INDEX grains_appointment ON grains (tenant_id, appointment_id);
{{isolate "grains"}}

-- The same as grains for reading: a bit for each grain, by office and UTC day. Its row is
-- also what bookings of an office and day wait for.
CREATE TABLE days (
	tenant_id TEXT NOT NULL,
	office_id TEXT NOT NULL,
	day       BIGINT NOT NULL,
	busy      {{.Bytes}} NOT NULL,
	PRIMARY KEY (tenant_id, office_id, day)
) {{partition}};
{{partitions "days"}}
CREATE INDEX days_end ON days (day); -- across tenants, for purging
{{isolate "days"}}

-- Times in which an office, or one resource of it, takes no appointments.
CREATE TABLE closures (
	tenant_id   TEXT NOT NULL,
	id          TEXT NOT NULL,
	office_id   TEXT NOT NULL,
	resource_id TEXT NOT NULL,
	starts_at   BIGINT NOT NULL,
	ends_at     BIGINT NOT NULL,
	reason      TEXT NOT NULL,
	created_at  BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, id),
	CHECK (starts_at < ends_at)
);
CREATE INDEX closures_end ON closures (tenant_id, office_id, ends_at);
{{isolate "closures"}}

-- +goose Down
DROP TABLE closures;
DROP TABLE days;
DROP TABLE grains;
DROP TABLE appointments;
