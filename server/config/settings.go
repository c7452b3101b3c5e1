package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/viper"
)

// Stdin is the name of a Corefile that is read from standard input.
const Stdin = "stdin"

// Settings are what the command line and the environment say. The flags are CoreDNS's.
type Settings struct {
	Conf    string // path of the Corefile, or Stdin; default "Corefile"
	Port    uint16 // of zones that name none; default 53
	PIDFile string // file to write the process id to; "" for none
	Plugins bool   // list the directives and end
	Quiet   bool   // nothing is printed at start
	Version bool   // print the version and end
}

// setting is one line of the help: its flags, its variable, its default.
type setting struct {
	key      string
	flags    []string
	variable string // "" for what makes sense on the command line only
	standard string
	value    string // what follows the flag; "" for a switch
	help     string
}

// settings is all of them, in the order of the help.
//
// Kubernetes sets variables for each service of the namespace: a service called clusterdns makes
// CLUSTERDNS_SERVICE_HOST, CLUSTERDNS_SERVICE_PORT, CLUSTERDNS_SERVICE_PORT_DNS, CLUSTERDNS_PORT,
// CLUSTERDNS_PORT_53_UDP_ADDR and more, with values such as udp://10.96.0.10:53; a service clusterdns-x makes
// CLUSTERDNS_X_PORT. So no name here may contain _PORT or _SERVICE_: the variable of the port is CLUSTERDNS_DNSPORT.
func settings() []setting {
	return []setting{
		{"conf", []string{"conf"}, "CLUSTERDNS_CONF", "Corefile", "FILE",
			`Corefile; "stdin" or "-" reads it from standard input`},
		{"port", []string{"dns.port", "p"}, "CLUSTERDNS_DNSPORT", "53", "PORT", "port of the zones that name none"},
		{"pidfile", []string{"pidfile"}, "CLUSTERDNS_PIDFILE", "", "FILE", "file to write the process id to"},
		{"quiet", []string{"quiet"}, "CLUSTERDNS_QUIET", "false", "", "print nothing at start"},
		{"plugins", []string{"plugins"}, "", "false", "", "list the directives of a Corefile and exit"},
		{"version", []string{"version"}, "", "false", "", "print the version and exit"},
	}
}

// ReadSettings reads flags over environment over defaults. It returns flag.ErrHelp when help is asked for.
func ReadSettings(command string, arguments []string) (Settings, error) {
	values := viper.New()
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, s := range settings() {
		if err := s.bind(values, flags); err != nil {
			return Settings{}, err
		}
	}
	if err := flags.Parse(arguments); errors.Is(err, flag.ErrHelp) {
		return Settings{}, err
	} else if err != nil {
		return Settings{}, fmt.Errorf("%w; %s -h lists the flags", err, command)
	}
	if flags.NArg() > 0 {
		return Settings{}, fmt.Errorf("unexpected argument %q; %s -h lists the flags", flags.Arg(0), command)
	}
	return fill(values)
}

func (s setting) bind(values *viper.Viper, flags *flag.FlagSet) error {
	values.SetDefault(s.key, s.standard)
	given := func(v string) error { values.Set(s.key, v); return nil }
	for _, name := range s.flags {
		if s.value == "" {
			flags.BoolFunc(name, s.help, given)
		} else {
			flags.Func(name, s.help, given)
		}
	}
	if s.variable == "" {
		return nil
	}
	return values.BindEnv(s.key, s.variable)
}

func fill(values *viper.Viper) (s Settings, err error) {
	s = Settings{Conf: values.GetString("conf"), PIDFile: values.GetString("pidfile")}
	switch s.Conf {
	case "":
		return s, errors.New("-conf: needs a file")
	case "-":
		s.Conf = Stdin
	}
	port, err := strconv.ParseUint(values.GetString("port"), 10, 16)
	if err != nil {
		return s, fmt.Errorf("-dns.port: got %q, wants a port from 0 to 65535", values.GetString("port"))
	}
	s.Port = uint16(port)
	for key, to := range map[string]*bool{"quiet": &s.Quiet, "plugins": &s.Plugins, "version": &s.Version} {
		if *to, err = strconv.ParseBool(values.GetString(key)); err != nil {
			return s, fmt.Errorf("-%s: got %q, wants true or false", key, values.GetString(key))
		}
	}
	return s, nil
}

// Flags is the help on flags and environment, a line for each of the settings that are named, or of all.
func Flags(keys ...string) string {
	var out strings.Builder
	for _, s := range settings() {
		if len(keys) > 0 && !slices.Contains(keys, s.key) {
			continue
		}
		usage := strings.TrimSpace("-" + strings.Join(s.flags, ", -") + " " + s.value)
		notes := ""
		if s.value != "" && s.standard != "" {
			notes += fmt.Sprintf(" (default %s)", s.standard)
		}
		if s.variable != "" {
			notes += fmt.Sprintf(" [%s]", s.variable)
		}
		fmt.Fprintf(&out, "  %-20s %s%s\n", usage, s.help, notes)
	}
	return out.String()
}
