package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/clusterdns/clusterdns/resolver"
)

// chartValues is what of a Corefile goes into the values of a Helm chart. The names are those of CoreDNS's chart.
type chartValues struct {
	Servers      []chartServer         `yaml:"servers"`
	ExtraConfig  map[string]chartExtra `yaml:"extraConfig,omitempty"`
	ZoneFiles    []chartFile           `yaml:"zoneFiles,omitempty"`
	ExtraVolumes []map[string]any      `yaml:"extraVolumes,omitempty"`
	ExtraMounts  []map[string]any      `yaml:"extraVolumeMounts,omitempty"`
}

type (
	chartServer struct {
		Zones   []chartZone   `yaml:"zones"`
		Port    uint16        `yaml:"port"`
		Plugins []chartPlugin `yaml:"plugins"`
	}
	chartZone struct {
		Zone   string `yaml:"zone"`
		Scheme string `yaml:"scheme,omitempty"`
		UseTCP bool   `yaml:"use_tcp,omitempty"`
	}
	chartPlugin struct {
		Name       string `yaml:"name"`
		Parameters string `yaml:"parameters,omitempty"`
		Block      string `yaml:"configBlock,omitempty"`
	}
	chartExtra struct {
		Parameters string `yaml:"parameters"`
	}
	chartFile struct {
		Filename string `yaml:"filename"`
		Domain   string `yaml:"domain"`
		Contents string `yaml:"contents"`
	}
)

// writtenCorefile is a Corefile as it is written: with its imports of files and its variables, and without snippets.
type writtenCorefile struct {
	blocks  []serverBlock
	imports []string // outside of blocks
}

// readWritten reads a Corefile without what it imports.
func readWritten(name string, content []byte) (*writtenCorefile, error) {
	var wrong error
	ignore := func(position, string, ...any) {}
	variable := func(name string) string { return "{$" + name + "}" }
	m := importer{world: &world{getenv: variable}, snippets: map[string][]token{}, warn: ignore, verbatim: true,
		note: func(err error) { wrong = err }}
	blocks, err := m.blocks(lex(name, content, variable, ignore))
	if err = errors.Join(err, wrong); err != nil {
		return nil, err
	}
	c := &writtenCorefile{blocks: blocks}
	for _, t := range m.outside {
		c.imports = append(c.imports, t.text)
	}
	return c, nil
}

// values is the Corefile as a chart has it. A block of zones with several ports becomes several servers.
func (c *writtenCorefile) values() (*chartValues, error) {
	v := &chartValues{}
	for i, pattern := range c.imports {
		if i > 0 {
			return nil, errors.New("the Corefile imports several files outside of its blocks, and values have one: " +
				"import them from one file, or write an overlay (-o kustomize)")
		}
		v.ExtraConfig = map[string]chartExtra{"import": {quoteWord(pattern)}}
	}
	for _, b := range c.blocks {
		servers, err := b.servers()
		if err != nil {
			return nil, err
		}
		v.Servers = append(v.Servers, servers...)
	}
	return v, nil
}

// servers are the block once for each of its ports.
func (b *serverBlock) servers() (all []chartServer, err error) {
	var plugins []chartPlugin
	for _, s := range b.directives {
		plugins = append(plugins, s.plugin())
	}
	for _, t := range b.keys {
		k, err := parseKey(t.text, dnsPort)
		if err != nil {
			return nil, t.at.errorf("%v", err)
		}
		zone := chartZone{Zone: t.text, UseTCP: k.scheme == resolver.Do53}
		if scheme, rest, found := strings.Cut(t.text, "://"); found {
			zone.Scheme, zone.Zone = scheme+"://", rest
		}
		if zone.Zone, _, err = cutPort(zone.Zone, 0); err != nil {
			return nil, t.at.errorf("%v", err)
		}
		i := slices.IndexFunc(all, func(s chartServer) bool { return s.Port == k.port })
		if i < 0 {
			i = len(all)
			all = append(all, chartServer{Port: k.port, Plugins: plugins})
		}
		all[i].Zones = append(all[i].Zones, zone)
	}
	for _, s := range all { // a chart writes the port behind the last zone alone
		for i := range s.Zones[:len(s.Zones)-1] {
			if s.Port != dnsPort {
				s.Zones[i].Zone += ":" + strconv.Itoa(int(s.Port))
			}
		}
	}
	return all, nil
}

// plugin is a directive.
func (s *statement) plugin() chartPlugin {
	p := chartPlugin{Name: s.name, Parameters: quoteWords(s.words)}
	var b strings.Builder
	writeStatements(&b, s.lines, "")
	p.Block = strings.TrimSuffix(b.String(), "\n")
	return p
}

func writeStatements(b *strings.Builder, all []statement, indent string) {
	for _, s := range all {
		b.WriteString(indent + quoteWords(append([]string{s.name}, s.words...)))
		if len(s.lines) > 0 {
			b.WriteString(" {\n")
			writeStatements(b, s.lines, indent+"  ")
			b.WriteString(indent + "}")
		}
		b.WriteByte('\n')
	}
}

func quoteWords(words []string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, quoteWord(w))
	}
	return strings.Join(quoted, " ")
}

// quoteWord is a word as a Corefile has it.
func quoteWord(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\r\n\"#") {
		return word
	}
	return `"` + strings.ReplaceAll(word, `"`, `\"`) + `"`
}

// corefile is the Corefile that a chart makes of the values.
func (v *chartValues) corefile() string {
	var b strings.Builder
	for name, extra := range v.ExtraConfig {
		fmt.Fprintf(&b, "%s %s\n", name, extra.Parameters)
	}
	for _, s := range v.Servers {
		for i, z := range s.Zones {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(z.Scheme + z.Zone)
		}
		fmt.Fprintf(&b, ":%d {\n", s.Port)
		for _, p := range s.Plugins {
			b.WriteString("    " + strings.TrimSpace(p.Name+" "+p.Parameters))
			if p.Block != "" {
				b.WriteString(" {\n        " + strings.ReplaceAll(p.Block, "\n", "\n        ") + "\n    }")
			}
			b.WriteByte('\n')
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// text is the values in YAML, behind comments. It fails where a chart would make another Corefile of them.
func (v *chartValues) text(c *writtenCorefile, comment string) ([]byte, error) {
	again, err := readWritten("values", []byte(v.corefile()))
	if err == nil {
		var rendered *chartValues
		if rendered, err = again.values(); err == nil && rendered.corefile() != v.corefile() {
			err = errors.New("it has words that a chart would read otherwise")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("this Corefile cannot be written as values (%w); write an overlay: -o kustomize DIR", err)
	}
	var b bytes.Buffer
	for line := range strings.Lines(comment) {
		b.WriteString(strings.TrimRight("# "+strings.TrimSuffix(line, "\n"), " ") + "\n")
	}
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), encoder.Close()
}
