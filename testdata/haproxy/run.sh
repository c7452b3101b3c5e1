#!/usr/bin/env bash
# HAProxy beside clusterdns, and beside CoreDNS when its binary is named: how many servers of headless services Debian's
# HAProxy finds, which asks over UDP alone, and how many queries that takes.
#
#     testdata/haproxy/run.sh [COREDNS]
#
# It needs Go, Python 3 and HAProxy (apt-get install haproxy), uses 127.0.0.1 alone, and takes half a minute for each
# server: not for CI. It fails when HAProxy does not find every server with clusterdns.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$folder"' EXIT
(cd "$here/../.." && go build -o "$folder/clusterdns" .)
haproxy -v | head -1

# An API server that knows lists and watches, with headless services of 100 endpoints, and of 60 with short names and with
# longer ones: 60 SRV records and addresses of the short ones fit into 4096 octets, those of the longer ones do not.
python3 - "$folder/port" <<'END' &
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sizes = {"hundred": 100, "srv": 60, "longer": 60}

def service(name):
    return {"metadata": {"name": name, "namespace": "prod", "resourceVersion": "1"},
            "spec": {"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}}

def endpoint(name, i):
    host = ("webserver-%d" if name == "longer" else "w-%d") % i
    return {"addresses": ["10.%d.0.%d" % (len(name), i + 1)], "hostname": host, "conditions": {"ready": True}}

def slices(name, size):
    return {"metadata": {"name": name, "namespace": "prod", "resourceVersion": "1", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            "endpoints": [endpoint(name, i) for i in range(size)]}

lists = {
    "services": ("v1", "ServiceList", [service(n) for n in sizes]),
    "endpointslices": ("discovery.k8s.io/v1", "EndpointSliceList", [slices(n, s) for n, s in sizes.items()]),
    "namespaces": ("v1", "NamespaceList", [{"metadata": {"name": "prod", "resourceVersion": "1"}}]),
}

class API(BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        plural = path.rstrip("/").split("/")[-1]
        if "sendInitialEvents" in query or plural not in lists and "version" not in path:
            body, code = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "BadRequest", "code": 400}, 400
        elif "version" in path:
            body, code = {"major": "1", "minor": "37", "gitVersion": "v1.37.0"}, 200
        elif "watch=" in query:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.flush()
            time.sleep(3600)
            return
        else:
            version, kind, items = lists[plural]
            body, code = {"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": items}, 200
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), API)
server.daemon_threads = True
with open(sys.argv[1], "w") as f:
    f.write(str(server.server_port))
server.serve_forever()
END
until [ -s "$folder/port" ]; do sleep 0.1; done

# trial NAME SERVER asks SERVER through HAProxy and counts.
trial() {
	local port=$((20000 + RANDOM % 10000)) pid=
	cat >"$folder/Corefile" <<END
.:$port {
    bind 127.0.0.1
    log
    kubernetes cluster.local {
        endpoint http://127.0.0.1:$(cat "$folder/port")
    }
}
END
	"$2" -conf "$folder/Corefile" >"$folder/log" 2>&1 &
	pid=$!
	for _ in $(seq 100); do
		[ -n "$(dig +short +tries=1 +time=1 @127.0.0.1 -p "$port" w-0.srv.prod.svc.cluster.local 2>/dev/null)" ] && break
		sleep 0.1
	done
	: >"$folder/log"
	cat >"$folder/haproxy.cfg" <<END
global
    stats socket $folder/socket
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
resolvers cluster
    nameserver dns 127.0.0.1:$port
    accepted_payload_size 8192
    resolve_retries 3
    timeout resolve 1s
    timeout retry 1s
    hold valid 60s
backend a
    server-template a 100 hundred.prod.svc.cluster.local:80 resolvers cluster resolve-prefer ipv4 init-addr none
backend srv
    server-template s 60 _http._tcp.srv.prod.svc.cluster.local resolvers cluster resolve-prefer ipv4 init-addr none
backend longer
    server-template l 60 _http._tcp.longer.prod.svc.cluster.local resolvers cluster resolve-prefer ipv4 init-addr none
END
	haproxy -f "$folder/haproxy.cfg" >"$folder/haproxy" 2>&1 &
	local proxy=$!
	sleep 10
	python3 - "$folder/socket" >"$folder/state" <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"show servers state\n")
while data := s.recv(65536):
    sys.stdout.write(data.decode())
END
	kill "$proxy" "$pid"
	wait "$proxy" "$pid" 2>/dev/null || true
	printf '%-12s' "$1"
	for of in a:hundred:100 srv:srv:60 longer:longer:60; do
		IFS=: read -r backend service all <<<"$of"
		# Fields: backend id, backend, server id, server, address, …
		found=$(awk -v b="$backend" '$2 == b && $5 ~ /^10/ {print $5}' "$folder/state" | sort -u | wc -l)
		queries=$(grep -c "$service.prod.svc.cluster.local. udp" "$folder/log" || true)
		printf '%4d of %d servers with %d queries;' "$found" "$all" "$queries"
		[ "$found" = "$all" ] || complete=no
	done
	echo
}

echo "in 10 s       100 by A; 60 by SRV with short names; 60 by SRV with longer names"
[ $# = 0 ] || trial CoreDNS "$1"
[ -z "${BEFORE:-}" ] || trial before "$BEFORE"
complete=yes
trial clusterdns "$folder/clusterdns"
[ "$complete" = yes ]
