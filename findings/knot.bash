# Sourced by findings about Knot DNS. serve serves the zone zone.test from standard input by Knot DNS 3.2.6 of Debian 12, at
# 127.0.0.1:5396, until the script ends.

source "$(dirname "${BASH_SOURCE[0]}")/seen.bash"
PATH=$PATH:/usr/sbin
folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
server=

serve() {
	wants knotd 'knotd (Knot DNS), version 3.2.6' "$(knotd -V)"
	cat >"$folder/zone"
	cat >"$folder/conf" <<-CONF
		server:
		  rundir: "$folder"
		  listen: 127.0.0.1@5396
		database:
		  storage: "$folder"
		  journal-db-max-size: 16M
		  kasp-db-max-size: 16M
		  timer-db-max-size: 16M
		zone:
		  - domain: zone.test
		    file: "$folder/zone"
	CONF
	knotd -c "$folder/conf" >"$folder/log" 2>&1 &
	server=$!
	for _ in $(seq 100); do
		dig @127.0.0.1 -p 5396 +tries=1 +time=1 zone.test SOA >/dev/null && return
		sleep 0.1
	done
	cat "$folder/log"
	exit 1
}
