package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/watch"
)

const migrateFlags = "  -f FILE            ConfigMaps in YAML or JSON, or a Corefile; - for standard input (default -)\n" +
	"  -kubeconfig FILE   read the ConfigMaps from the cluster of a kubeconfig\n" +
	"  -context NAME      of the kubeconfig (default its current one)\n" +
	"  -namespace NAME    of the ConfigMap, where its name is not one that a distribution gives\n" +
	"  -configmap NAME    of the ConfigMap with the Corefile\n" +
	"  -o kustomize DIR   write overlays: DIR/beside and DIR/join\n" +
	"  -o values          print values for the Helm chart\n" +
	"  -force             of -o kustomize: overwrite files that were changed\n" +
	"  -base DIR          of -o kustomize: the base, a folder or a URL (default deploy/base if it is here, else that of\n" +
	"                     the version of this program)\n" +
	"  -shadow ADDRESS    compare with the server at that address: a Corefile of its own with the directive shadow\n" +
	"  -image NAME:TAG    of -o kustomize: the image\n" +
	"Without -o it says what would change. The exit status is 1 if the Corefile has what is not served.\n"

// migrating is what the flags of migrate say.
type migrating struct {
	file, kubeconfig, context, namespace, name, base, image, shadow string
	output, dir                                                     string
	force                                                           bool
}

// migrate reads what CoreDNS is configured with, says what changes, and writes what serves it here.
func (c *console) migrate(arguments []string) error {
	o, err := readMigrating(arguments)
	if err != nil {
		return err
	}
	source, content, err := c.configMaps(o)
	if err != nil {
		return err
	}
	m, err := config.ReadMigration(source, content, config.Settings{Port: 53})
	if err != nil {
		return err
	}
	to := c.out
	if o.output == "values" {
		to = c.err // the values alone are to be redirected
	}
	fmt.Fprint(to, changes(m))
	if len(m.Report.Errors) > 0 {
		return errRefused
	}
	if o.shadow != "" {
		if err := m.Shadow(o.shadow); err != nil {
			return fmt.Errorf("-shadow: %w", err)
		}
	}
	switch o.output {
	case "values":
		values, err := m.Values("Values for the Helm chart, made from the Corefile of " + cmp.Or(m.ConfigMap, source) + ".")
		if err == nil {
			_, err = c.out.Write(values)
		}
		return err
	case "kustomize":
		return o.writeOverlays(c.out, m)
	}
	return nil
}

// readMigrating reads the flags. What follows -o kustomize is a folder.
func readMigrating(arguments []string) (*migrating, error) {
	o := &migrating{}
	flags := flag.NewFlagSet("clusterdns migrate", flag.ContinueOnError)
	flags.StringVar(&o.file, "f", "", "")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "")
	flags.StringVar(&o.context, "context", "", "")
	flags.StringVar(&o.namespace, "namespace", "kube-system", "")
	flags.StringVar(&o.name, "configmap", "", "")
	flags.StringVar(&o.base, "base", "", "")
	flags.StringVar(&o.image, "image", "", "")
	flags.StringVar(&o.shadow, "shadow", "", "")
	flags.StringVar(&o.output, "o", "", "")
	flags.BoolVar(&o.force, "force", false, "")
	if i := slices.Index(arguments, "kustomize"); i > 0 && slices.Contains([]string{"-o", "--o"}, arguments[i-1]) && i+1 < len(arguments) {
		o.dir = arguments[i+1]
		arguments = slices.Delete(slices.Clone(arguments), i+1, i+2)
	}
	if err := parseFlags(flags, arguments); err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains([]string{"", "values", "kustomize"}, o.output):
		return nil, fmt.Errorf("-o: got %q, wants kustomize DIR or values", o.output)
	case o.output == "kustomize" && (o.dir == "" || strings.HasPrefix(o.dir, "-")):
		return nil, errors.New("-o kustomize: wants a folder for the overlays after it")
	case o.force && o.output != "kustomize":
		return nil, errors.New("-force: is for -o kustomize DIR")
	case o.kubeconfig != "" && o.file != "":
		return nil, errors.New("-f and -kubeconfig: give one of them")
	case o.kubeconfig == "" && (o.context != "" || o.name != ""):
		return nil, errors.New("-context and -configmap: are for -kubeconfig")
	}
	return o, nil
}

// knownConfigMap is a ConfigMap with a Corefile, and the one of what it imports; "" for none.
type knownConfigMap struct{ namespace, name, custom string }

// knownConfigMaps are those of distributions.
var knownConfigMaps = []knownConfigMap{
	{"kube-system", "coredns", "coredns-custom"},
	{"kube-system", "rke2-coredns-rke2-coredns", ""},
	{"openshift-dns", "dns-default", ""},
}

// configMaps is what is to be migrated, with the name of where it is from.
func (c *console) configMaps(o *migrating) (source string, content []byte, err error) {
	if o.kubeconfig != "" {
		content, err = o.fromCluster()
		return o.kubeconfig, content, err
	}
	if o.file == "" || o.file == "-" {
		if content, err = io.ReadAll(c.in); err == nil && len(bytes.TrimSpace(content)) == 0 {
			err = errEmptyInput
		}
		return "stdin", content, err
	}
	content, err = os.ReadFile(o.file)
	if err != nil {
		err = fmt.Errorf("-f: %w", err)
	}
	return o.file, content, err
}

func (o *migrating) fromCluster() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), clusterTimeout)
	defer cancel()
	from := watch.Options{Kubeconfig: o.kubeconfig, Context: o.context}
	known := knownConfigMaps
	if o.name != "" {
		known = []knownConfigMap{{o.namespace, o.name, o.name + "-custom"}}
	}
	var looked []string
	for _, k := range known {
		content, err := watch.ConfigMap(ctx, from, k.namespace, k.name)
		if err != nil {
			return nil, err
		}
		if looked = append(looked, k.namespace+"/"+k.name); content == nil {
			continue
		}
		if k.custom == "" {
			return content, nil
		}
		custom, err := watch.ConfigMap(ctx, from, k.namespace, k.custom)
		if err == nil && custom != nil {
			content = slices.Concat(content, []byte("\n---\n"), custom)
		}
		return content, err
	}
	return nil, fmt.Errorf("no ConfigMap %s is in this cluster: name it with -namespace and -configmap", strings.Join(looked, ", "))
}

// changes says what changes with the server.
func changes(m *config.Migration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", m.Distribution.Name)
	if m.ConfigMap != "" {
		fmt.Fprintf(&b, ": ConfigMap %s of %s", m.ConfigMap, m.Namespace)
	}
	if m.Custom != "" {
		fmt.Fprintf(&b, ", with %s", m.Custom)
	}
	if m.Distribution.Assumed != "" {
		b.WriteString(": assumed is " + m.Distribution.Assumed)
	}
	b.WriteString("\n\nThe Corefile\n")
	(&console{out: &b}).printProblems(m.Report)
	fmt.Fprintf(&b, "  %s\n\nWhat is answered otherwise, by item of docs/differences.md\n", m.Report.Counts())
	used := m.Directives()
	for _, d := range differences {
		if d.directive == "" || slices.Contains(used, d.directive) {
			fmt.Fprintf(&b, "  %2d  %s\n", d.item, d.text)
		}
	}
	if m.Distribution.Keeper != "" {
		fmt.Fprintf(&b, "\nWho changes it back\n  %s\n", m.Distribution.Keeper)
	}
	return b.String() + "\n"
}

// printProblems prints the mistakes and warnings of a report, indented.
func (c *console) printProblems(r *config.Report) {
	var b bytes.Buffer
	for _, warning := range r.Config.Warnings {
		fmt.Fprintln(&b, "warning: "+warning)
	}
	for _, mistake := range r.Errors {
		fmt.Fprintln(&b, mistake)
		if advice := mistake.Advice(); advice != "" {
			fmt.Fprintln(&b, "  "+advice)
		}
	}
	for line := range strings.Lines(b.String()) {
		fmt.Fprint(c.out, "  "+line)
	}
}

// differences are those of docs/differences.md that somebody may notice, by the directive that they are about.
var differences = []struct {
	item      int
	directive string // "" for every Corefile
	text      string
}{
	{1, "kubernetes", "a name with names below it is NODATA, not NXDOMAIN: prod.svc.cluster.local, dns.cluster.local"},
	{4, "forward", "RA is set in every answer, AA in those of the server's own zones alone"},
	{5, "cache", "the cluster's names and those of hosts are not cached: a new service answers at once, TTLs do not count down"},
	{6, "kubernetes", "an ExternalName answers its CNAME to every type, also when the target does not exist"},
	{8, "kubernetes", "until the cluster has been read, its names are SERVFAIL with the reason"},
	{9, "", "an answer without records says why, to clients with EDNS"},
	{10, "", "replies over UDP have at most 4096 octets, forwarded ones 1232, unless bufsize says otherwise"},
	{12, "", "classes other than IN are refused"},
	{13, "forward", "EDNS options of clients, such as their subnet, are not sent upstream"},
	{16, "forward", "an upstream given by name is looked up again when its TTL ends"},
	{17, "k8s_external", "labels before a service that are none of its ports or endpoints are NXDOMAIN"},
	{18, "rewrite", "after rewrite cname the rcode is that of the new target"},
	{19, "forward", "a denial is kept for the smaller one of the SOA record's TTL and its MINIMUM"},
	{20, "dns64", "dns64 PREFIX { … } reads its block"},
	{23, "file", "an empty non-terminal of a zone file is NODATA"},
	{23, "auto", "an empty non-terminal of a zone file is NODATA"},
	{23, "secondary", "an empty non-terminal of a zone is NODATA"},
	{24, "cancel", "cancel ends the wait when its time is over"},
	{25, "dnssec", "answers are signed as the client sees them, and denied by compact NSEC records"},
}
