# Sourced by findings about CoreDNS. serve PLUGIN… builds CoreDNS 1.15.0 with these plugins, in their order, in a temp
# folder, and serves the Corefile from standard input until the script ends. It needs Go and the Go module proxy.

source "$(dirname "${BASH_SOURCE[0]}")/seen.bash"
version=v1.15.0
folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
server=

serve() {
	cat >"$folder/Corefile"
	(
		cd "$folder"
		{
			echo 'package main'
			printf 'import _ "github.com/coredns/coredns/plugin/%s"\n' "$@"
			echo 'import "github.com/coredns/coredns/core/dnsserver"'
			echo 'import "github.com/coredns/coredns/coremain"'
			printf 'func main() {\n\tdnsserver.Directives = []string{'
			printf '"%s", ' "$@"
			printf '}\n\tcoremain.Run()\n}\n'
		} >main.go
		go mod init finding
		go get "github.com/coredns/coredns@$version"
		go build -o coredns .
	) >"$folder/build" 2>&1 || { cat "$folder/build"; exit 1; }
	"$folder/coredns" -conf "$folder/Corefile" >"$folder/log" 2>&1 &
	server=$!
	for _ in $(seq 100); do
		grep -qs "^CoreDNS-${version#v}" "$folder/log" && return
		kill -0 "$server" 2>/dev/null || break
		sleep 0.1
	done
	cat "$folder/log"
	exit 1
}
