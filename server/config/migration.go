package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// Migration is what the ConfigMaps of a distribution say: the Corefile, and what the pod has beside it.
type Migration struct {
	Report       *Report
	Distribution Distribution
	Corefile     string
	ConfigMap    string            // that has the Corefile; "" where it was given without one
	Namespace    string            // of the ConfigMap
	Custom       string            // the ConfigMap of what the Corefile imports from custom; "" for none
	Beside       map[string]string // the other keys of ConfigMap

	written *writtenCorefile
}

// Distribution is what is known of who has written a Corefile.
type Distribution struct {
	Name    string // its heading in docs/migrate.md
	Keeper  string // who changes CoreDNS's objects back, and what to do about it; "" for nobody
	Ports   bool   // the Service finds ports by CoreDNS's chart's names, udp-53 and tcp-53
	Foreign bool   // the Service selects labels that are CoreDNS's alone; it has the name of the ConfigMap
	Stays   bool   // whoever manages CoreDNS starts it again within minutes
	Assumed string // what is taken for given where nothing says who has written the Corefile
}

// distributions are tried in order.
var distributions = []struct {
	Distribution
	is func(m configMap) bool
}{
	{Distribution{Name: "OpenShift", Foreign: true, Keeper: "the DNS operator changes its objects back"},
		func(m configMap) bool { return m.Metadata.Name == "dns-default" }},
	{Distribution{Name: "RKE2", Foreign: true, Ports: true,
		Keeper: "the Helm controller of RKE2 upgrades its chart; disable: rke2-coredns would delete the Service too"},
		func(m configMap) bool { return strings.HasPrefix(m.Metadata.Name, "rke2-coredns") }},
	{Distribution{Name: "k3s", Keeper: "k3s applies its manifest again when it starts; --disable=coredns would delete the Service kube-dns too"},
		func(m configMap) bool { _, has := m.Data["NodeHosts"]; return has }},
	{Distribution{Name: "EKS", Keeper: "the add-on coredns changes its objects back: remove it with --preserve"},
		func(m configMap) bool { return m.Metadata.Labels["eks.amazonaws.com/component"] != "" }},
	{Distribution{Name: "AKS", Stays: true, Keeper: "the add-on manager changes its objects back: let clusterdns join, and keep CoreDNS"},
		func(m configMap) bool { return strings.Contains(m.Data["Corefile"], "cloudapp.net") }},
	{Distribution{Name: "Gardener", Stays: true, Keeper: "the resource manager changes its objects back: let clusterdns join, and keep CoreDNS"},
		func(m configMap) bool {
			return m.Metadata.Labels["resources.gardener.cloud/managed-by"] != "" || strings.Contains(m.Data["Corefile"], ".:8053")
		}},
	{Distribution{Name: "kops", Keeper: "kops applies its add-on again when it updates the cluster, and coredns-autoscaler scales CoreDNS up"},
		func(m configMap) bool {
			return strings.Contains(m.Metadata.Labels["addon.kops.k8s.io/name"], "coredns")
		}},
	{Distribution{Name: "Helm", Foreign: true, Ports: true},
		func(m configMap) bool { return m.Metadata.Labels["app.kubernetes.io/managed-by"] == "Helm" }},
	{Distribution{Name: "kubeadm"}, func(m configMap) bool {
		return m.Metadata.Name == "coredns" && cmp.Or(m.Metadata.Namespace, systemNamespace) == systemNamespace
	}},
}

// unknownDistribution is for a Corefile without its ConfigMap, and for a ConfigMap of no name that is known.
var unknownDistribution = Distribution{Name: "unknown distribution",
	Assumed: "the Service kube-dns with the selector k8s-app: kube-dns, as kubeadm makes it"}

// systemNamespace is where a ConfigMap is that does not say.
const systemNamespace = "kube-system"

// ReadMigration reads ConfigMaps in YAML or JSON, or a Corefile, as Check does. The name appears in messages.
func ReadMigration(name string, content []byte, s Settings) (*Migration, error) {
	m := &Migration{Distribution: unknownDistribution, Corefile: string(content),
		Namespace: systemNamespace}
	w, err := here()
	if err != nil {
		return nil, err
	}
	var files fs.FS
	var all []configMap
	at := name
	if hasConfigMap.Match(content) {
		if all, err = configMaps(content); err == nil {
			files, err = mount(all)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		m.take(all)
		at = path.Join(mountPoint, "Corefile")
	} else {
		files, _ = mount([]configMap{{Data: map[string]string{"Corefile": m.Corefile}}})
	}
	if m.Custom == "" && strings.Contains(m.Corefile, "custom/") {
		m.Custom = "coredns-custom" // its users may add it later
	}
	m.Report = w.pod(files).besideCoreDNS(all).examine(at, []byte(m.Corefile), s)
	m.written, err = readWritten(at, []byte(m.Corefile))
	if err != nil && len(m.Report.Errors) == 0 {
		return nil, err
	}
	return m, nil
}

// take takes over what the ConfigMaps have.
func (m *Migration) take(all []configMap) {
	for _, c := range all {
		text, has := c.Data["Corefile"]
		if !has {
			m.Custom = c.Metadata.Name
			continue
		}
		m.Corefile, m.ConfigMap, m.Namespace = text, c.Metadata.Name, cmp.Or(c.Metadata.Namespace, systemNamespace)
		m.Beside = maps.Clone(c.Data)
		delete(m.Beside, "Corefile")
		for _, d := range distributions {
			if d.is(c) {
				m.Distribution = d.Distribution
				break
			}
		}
	}
}

// Shadow puts the directive shadow into the block of the root, or the first one. CoreDNS does not know it: the Corefile is
// then one of clusterdns alone.
func (m *Migration) Shadow(addresses string) error {
	ignore := func(position, string, ...any) {}
	after, nesting, root := 0, 0, false
	for _, t := range lex("Corefile", []byte(m.Corefile), func(string) string { return "" }, ignore) {
		switch {
		case t.close:
			nesting--
		case t.open:
			if nesting++; nesting == 1 && (after == 0 || root) {
				after = t.at.line
			}
			root = false
		case nesting == 0:
			k, err := parseKey(strings.TrimSuffix(t.text, ","), dnsPort)
			root = root && !t.first || err == nil && slices.Contains(k.zones, ".")
		}
	}
	lines := strings.SplitAfter(m.Corefile, "\n")
	if after == 0 || after > len(lines) {
		return errors.New("the Corefile has no block { … } to write shadow into")
	}
	m.Corefile = strings.Join(lines[:after], "") + "    shadow " + addresses + "\n" + strings.Join(lines[after:], "")
	again, err := ReadMigration("Corefile", []byte(m.Corefile), Settings{Port: dnsPort})
	if err != nil {
		return err
	}
	for _, mistake := range again.Report.Errors {
		if mistake.Directive == "shadow" {
			return mistake
		}
	}
	m.written = again.written
	return nil
}

// Directives are the names of the directives in use, sorted.
func (m *Migration) Directives() (names []string) {
	for _, l := range m.Report.Config.Listeners {
		for _, b := range l.Blocks {
			names = append(names, b.Enabled()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Values are the values of a chart, behind comments.
func (m *Migration) Values(comment string) ([]byte, error) {
	if len(m.Report.Errors) > 0 {
		return nil, errors.New("the Corefile is not served: mend it first")
	}
	v, err := m.written.values()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Beside)) {
		v.ZoneFiles = append(v.ZoneFiles, chartFile{Filename: name, Contents: m.Beside[name]})
	}
	if m.Custom != "" {
		v.ExtraVolumes = []map[string]any{{"name": "custom", "configMap": map[string]any{"name": m.Custom, "optional": true}}}
		v.ExtraMounts = []map[string]any{{"name": "custom", "mountPath": mountPoint + "/custom", "readOnly": true}}
	}
	return v.text(m.written, comment)
}

// InPlace names the Service that clients ask, and what runs CoreDNS behind it, as kubectl does.
func (m *Migration) InPlace() (service, workload string) {
	switch {
	case !m.Distribution.Foreign:
		return "kube-dns", "deployment/coredns"
	case m.Distribution.Name == "OpenShift":
		return m.ConfigMap, "daemonset/" + m.ConfigMap
	}
	return m.ConfigMap, "deployment/" + m.ConfigMap
}

// Distributions are the names of those that ReadMigration knows.
func Distributions() (names []string) {
	for _, d := range distributions {
		names = append(names, d.Name)
	}
	return names
}
