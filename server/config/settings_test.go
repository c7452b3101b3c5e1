package config

import (
	"errors"
	"flag"
	"regexp"
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		flags       string
		environment string
		want        Settings
		err         string
	}{
		{want: Settings{Conf: "Corefile", Port: 53}},
		{flags: "-conf /etc/coredns/Corefile", want: Settings{Conf: "/etc/coredns/Corefile", Port: 53}},
		{flags: "-dns.port=1053 -quiet -version",
			want: Settings{Conf: "Corefile", Port: 1053, Quiet: true, Version: true}},
		{flags: "--p 54 -pidfile x -plugins", want: Settings{Conf: "Corefile", Port: 54, PIDFile: "x", Plugins: true}},
		{environment: "CLUSTERDNS_CONF=a CLUSTERDNS_DNSPORT=55 CLUSTERDNS_QUIET=1 CLUSTERDNS_PIDFILE=b",
			want: Settings{Conf: "a", Port: 55, Quiet: true, PIDFile: "b"}},
		{flags: "-p 56 -quiet=false", environment: "CLUSTERDNS_DNSPORT=55 CLUSTERDNS_QUIET=true",
			want: Settings{Conf: "Corefile", Port: 56}},
		// What Kubernetes sets for a service called clusterdns.
		{environment: "CLUSTERDNS_PORT=udp://10.96.0.10:53 CLUSTERDNS_SERVICE_HOST=10.96.0.10 " +
			"CLUSTERDNS_SERVICE_PORT=53",
			want: Settings{Conf: "Corefile", Port: 53}},
		{flags: "-p 65536", err: `-dns.port: got "65536", wants a port from 0 to 65535`},
		{environment: "CLUSTERDNS_QUIET=maybe", err: `-quiet: got "maybe", wants true or false`},
		{flags: "-cnf x", err: "flag provided but not defined: -cnf; clusterdns -h lists the flags"},
		{flags: "-quiet x", err: `unexpected argument "x"; clusterdns -h lists the flags`},
		{flags: "-conf=", err: "-conf: needs a file"},
	} {
		t.Run(c.flags+" "+c.environment, func(t *testing.T) {
			for _, pair := range strings.Fields(c.environment) {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			got, err := ReadSettings("clusterdns", strings.Fields(c.flags))
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Errorf("got %v, want %s", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
	if _, err := ReadSettings("clusterdns", []string{"-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}

// TestVariables: a variable that Kubernetes may inject for some service would change settings behind the user's back.
func TestVariables(t *testing.T) {
	injected := regexp.MustCompile(`_PORT(_|$)|_SERVICE_(HOST|PORT)`)
	for _, s := range settings() {
		if injected.MatchString(s.variable) {
			t.Errorf("%s may be injected by Kubernetes", s.variable)
		}
		for _, word := range append(s.flags, s.variable) {
			if !strings.Contains(Flags(), word) {
				t.Errorf("%s is missing in the help", word)
			}
		}
	}
}
