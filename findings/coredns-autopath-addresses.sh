#!/usr/bin/env bash
# CoreDNS 1.15.0: `autopath @kubernetes` takes any pod with the client's address for the client, so that for an address of
# several pods the answer to one question is another one from query to query.
#
# Pods with hostNetwork have the address of their node, and so have all processes there. A pod that is being deleted has its
# address in its status until it is gone, and another pod may have got it by then. Of such pods the cache gives one, in no order:
# the search list is that of its namespace. The pod whose name was not completed goes on by itself; but a full name in the
# other's namespace is answered with another name, or denied, by chance.
#
# Needs Go, the Go module proxy, and dig. An API server of one page gives CoreDNS two pods of 127.0.0.1 on the network of a node,
# in namespaces prod and dev. Seen: the rcodes of 64 equal questions in each namespace, and that of a client that is no pod.
set -euo pipefail
source "$(dirname "$0")/coredns.bash"
mkdir "$folder/api"
cat >"$folder/api/main.go" <<'GO'
package main

import (
	"fmt"
	"net/http"
	"strings"
)

const pod = `{"metadata": {"name": "agent", "namespace": "%s", "uid": "%[1]s", "resourceVersion": "1"}, "spec": {"hostNetwork": true},
	"status": {"phase": "Running", "hostIP": "127.0.0.1", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}`

func main() {
	lists := map[string][3]string{
		"services": {"ServiceList", "v1", ""}, "namespaces": {"NamespaceList", "v1", ""},
		"endpointslices": {"EndpointSliceList", "discovery.k8s.io/v1", ""},
		"pods":           {"PodList", "v1", fmt.Sprintf(pod, "prod") + "," + fmt.Sprintf(pod, "dev")},
	}
	panic(http.ListenAndServe("127.0.0.1:5399", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		list, ok := lists[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]
		switch {
		case r.FormValue("sendInitialEvents") == "true":
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422}`)
		case !ok:
			http.NotFound(w, r)
		case r.FormValue("watch") != "":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			fmt.Fprintf(w, `{"kind": %q, "apiVersion": %q, "metadata": {"resourceVersion": "1"}, "items": [%s]}`, list[0], list[1], list[2])
		}
	})))
}
GO
(cd "$folder/api" && go mod init api && go build -o api .) >"$folder/build" 2>&1
"$folder/api/api" &
api=$!
trap 'kill "$api" "$server" 2>/dev/null; rm -rf "$folder"' EXIT
serve bind autopath hosts kubernetes <<'COREFILE'
.:5398 {
    bind 127.0.0.1
    autopath @kubernetes
    hosts /dev/null {
        192.0.2.1 www.example.com
        fallthrough
    }
    kubernetes cluster.local {
        endpoint http://127.0.0.1:5399
        pods verified
    }
}
COREFILE
# rcodes CLIENT NAMESPACE are those of 64 questions, each once.
rcodes() {
	for _ in $(seq 64); do
		dig @127.0.0.1 -p 5398 -b "$1" "www.example.com.$2.svc.cluster.local" A +noall +comments 2>/dev/null
	done | sed -n 's/.*status: \([A-Z]*\).*/\1/p' | sort -u | paste -sd ' '
}
seen 'no pod' "$(rcodes 127.0.0.2 prod)" NXDOMAIN
seen 'in prod' "$(rcodes 127.0.0.1 prod)" 'NOERROR NXDOMAIN'
seen 'in dev' "$(rcodes 127.0.0.1 dev)" 'NOERROR NXDOMAIN'
