# Sourced by findings about who asks a name server. `upstream PORT` makes one in a temp folder that answers as the Go
# statements on standard input say, and serves at 127.0.0.1:PORT until the script ends. They see name and q, the
# question, and fill in m, the reply, with add(TEXT), deny() and reason(CODE, TEXT). With the port 53 the script runs once
# more, in network and mount namespaces of its own with the /etc/resolv.conf of $resolv. It needs Go, the Go module proxy
# and, for port 53, root.

source "$(dirname "${BASH_SOURCE[0]}")/seen.bash"
resolv=$'nameserver 127.0.0.1\nsearch a.test b.test c.test\noptions ndots:5'
folder=${FINDING_FOLDER:-$(mktemp -d)}
started=()
ended() {
	[ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null
	[ -n "${FINDING_FOLDER:-}" ] || rm -rf "$folder"
}
trap ended EXIT

upstream() {
	if [ ! -e "$folder/upstream" ]; then
		compile || { cat "$folder/build"; exit 1; }
	fi
	if [ "$1" = 53 ] && [ -z "${FINDING_FOLDER:-}" ]; then
		printf '%s\n' "$resolv" >"$folder/resolv.conf"
		printf 'hosts: dns\n' >"$folder/nsswitch.conf"
		FINDING_FOLDER=$folder unshare --net --mount bash -euo pipefail -c 'ip link set lo up
			mount --bind "$FINDING_FOLDER/resolv.conf" /etc/resolv.conf
			mount --bind "$FINDING_FOLDER/nsswitch.conf" /etc/nsswitch.conf
			bash "$0"' "$0"
		exit
	fi
	"$folder/upstream" "127.0.0.1:$1" "$folder/asked" &
	started+=($!)
	until_asked "$1"
}

compile() {
	mkdir "$folder/source"
	(
		cd "$folder/source"
		{
			cat <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/miekg/dns"
)

func main() {
	asked, err := os.Create(os.Args[2])
	if err != nil {
		panic(err)
	}
	dns.HandleFunc(".", func(w dns.ResponseWriter, query *dns.Msg) {
		m, q, name := new(dns.Msg).SetReply(query), query.Question[0], query.Question[0].Name
		m.RecursionAvailable = true
		record := func(text string) dns.RR {
			rr, err := dns.NewRR(text)
			if err != nil {
				panic(err)
			}
			return rr
		}
		add := func(text string) { m.Answer = append(m.Answer, record(name+" 30 "+text)) }
		deny := func() { m.Ns = append(m.Ns, record("test. 30 SOA ns.test. host.test. 1 60 60 60 30")) }
		reason := func(code uint16, text string) {
			if opt := query.IsEdns0(); opt != nil {
				m.SetEdns0(1232, opt.Do())
				m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: text})
			}
		}
		_, _, _ = add, deny, reason
		network := w.LocalAddr().Network()
		fmt.Fprintln(asked, name, dns.TypeToString[q.Qtype], network)
		if is := func(first string) bool { return strings.HasPrefix(name, first+".") }; is("ready") {
			deny()
		} else {
GO
			cat
			cat <<'GO'
		}
		if network == "udp" {
			size := uint16(dns.MinMsgSize)
			if opt := query.IsEdns0(); opt != nil {
				size = opt.UDPSize()
			}
			m.Truncate(int(size))
		}
		w.WriteMsg(m)
	})
	go func() { panic((&dns.Server{Addr: os.Args[1], Net: "tcp"}).ListenAndServe()) }()
	panic((&dns.Server{Addr: os.Args[1], Net: "udp"}).ListenAndServe())
}
GO
		} >main.go
		go mod init finding
		go get github.com/miekg/dns@v1.1.73
		go build -o "$folder/upstream" .
	) >"$folder/build" 2>&1
}

# until_asked PORT waits until a name server answers there.
until_asked() {
	for _ in $(seq 100); do
		dig @127.0.0.1 -p "$1" +tries=1 +time=1 ready.test >/dev/null && return
		sleep 0.1
	done
	exit 1
}

# asked prints what has been asked since forget: name, type and transport.
forget() { : >"$folder/asked"; }
asked() { tr -d '\0' <"$folder/asked"; }
questions() { asked | wc -l; }

# installed PACKAGE is the version of a package of Debian.
installed() { dpkg-query --show --showformat='${Version}' "$1"; }

# client FILE compiles a program in C that asks getaddrinfo for a name and prints its addresses, or why there are none.
client() {
	cat >"$folder/client.c" <<'C'
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int count, char **words) {
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int error = getaddrinfo(words[count - 1], 0, &hints, &found);
	if (error) {
		puts(gai_strerror(error));
		return 0;
	}
	for (; found; found = found->ai_next) {
		char text[64];
		getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST);
		puts(text);
	}
	return 0;
}
C
	"$@" -o "$folder/client" "$folder/client.c"
}
ask() { "$folder/client" "$1"; }

# dnsmasq_before UPSTREAM PORT starts Debian 12's dnsmasq at 127.0.0.1:PORT.
dnsmasq_before() {
	wants dnsmasq 2.90-4~deb12u2 "$(installed dnsmasq-base)"
	dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --pid-file --listen-address=127.0.0.1 \
		--bind-interfaces --port="$2" --server="127.0.0.1#$1" --log-facility="$folder/dnsmasq.log" &
	started+=($!)
	until_asked "$2"
}
