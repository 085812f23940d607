#!/usr/bin/env bash
# Makes the secrets of compose.yaml in deploy/compose/secrets: passwords, a CA and certificates.
# What is there already stays. The folder is its owner's alone; back it up like the database.
#   secrets.sh [NAME]    NAME: host name of the certificate that HAProxy shows; localhost if not given
set -euo pipefail

if [[ ${1-} == --help || ${1-} == -h ]]; then
	sed -n '2,4s/^# //p' "$0"
	exit 0
fi
site=${1:-localhost}
dir=${BASIS_SECRETS:-$(cd "$(dirname "$0")" && pwd)/secrets}
services=(tenants auth payment forms notify booking console edge)
command -v openssl >/dev/null || { echo "secrets.sh: openssl is missing: apt-get install openssl" >&2; exit 1; }

umask 077
mkdir -p "$dir"
cd "$dir"

random() { echo "p$(openssl rand -hex 24)"; } # begins with a letter, as nats-server wants it
keep() { if [[ -s $1 ]]; then cat >/dev/null; else cat >"$1"; fi; }

authority() { # NAME
	[[ -s $1.crt ]] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
		-subj "/CN=Basisdienste $1" -addext 'keyUsage=critical,keyCertSign,cRLSign' -keyout "$1.key" -out "$1.crt" 2>/dev/null
}

certificate() { # NAME CA NAMES
	[[ -s $1.crt ]] && return
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
	openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -set_serial "0x$(openssl rand -hex 16)" -days 825 -out "$1.crt" \
		-extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3") 2>/dev/null
	rm "$1.csr"
}

authority ca
authority cluster-ca
certificate nats ca DNS:nats1,DNS:nats2,DNS:nats3
certificate nats-cluster cluster-ca DNS:nats1,DNS:nats2,DNS:nats3
certificate postgres ca DNS:postgres
certificate site ca "DNS:$site"
[[ -s site.pem ]] || cat site.crt site.key >site.pem

keep service_key < <(random)
keep postgres_password < <(random)
owner=$(random)
keep owner_url <<<"postgres://basis_owner:$owner@postgres:5432/basis?sslmode=verify-full&sslrootcert=/run/secrets/ca.crt"
for s in "${services[@]}"; do
	keep "${s}_database_url" <<<"postgres://basis_$s:$(random)@postgres:5432/basis?sslmode=verify-full&sslrootcert=/run/secrets/ca.crt"
	keep "${s}_broker_password" < <(random)
done
{
	echo "NATS_PASSWORD_SYS=$(random)"
	echo "NATS_PASSWORD_OPERATOR=$(random)"
	for s in "${services[@]}"; do echo "NATS_PASSWORD_${s^^}=$(cat "${s}_broker_password")"; done
} | keep nats.env

# Containers run as users of their own and are given single files; the folder keeps others out.
chmod 0444 -- *
chmod 0400 ca.key cluster-ca.key
echo "secrets are in $dir"
