// Command kubectl-dns is a plugin of kubectl: `kubectl dns explain web.prod --from dev/mypod`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterdns/clusterdns/server"
)

const usage = `Usage: kubectl dns explain NAME [--from NAMESPACE[/POD]] [--libc glibc|musl|go] [--type TYPE] [-o json]
       kubectl dns records [NAMESPACE | -A] [-o json]
       kubectl dns top [--hour]
       kubectl dns tail [--client CLIENT] [--name DOMAIN] [--rcode RCODE]

explain and records answer from the objects of the cluster, which you must be permitted to list: services, endpointslices
and namespaces. top and tail ask the page of a pod of clusterdns, by the API server's proxy or else a port-forward: the Corefile
needs the directive dashboard.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	status, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

// plugin is the flags of kubectl that are of use here, and those of the commands.
type plugin struct {
	*pflag.FlagSet
	config           *genericclioptions.ConfigFlags
	selector, system string
	port             int
	words            map[string]*string // by flag of explain and tail
	hour, all        bool
}

func newPlugin() *plugin {
	p := &plugin{FlagSet: pflag.NewFlagSet("kubectl dns", pflag.ContinueOnError), config: genericclioptions.NewConfigFlags(true)}
	p.config.AddFlags(p.FlagSet)
	p.StringVar(&p.system, "dns-namespace", "kube-system", "namespace of clusterdns")
	p.StringVar(&p.selector, "dns-selector", "app.kubernetes.io/name=clusterdns", "labels of its pods")
	p.IntVar(&p.port, "dns-port", 1054, "port of its page")
	p.words = map[string]*string{}
	for name, usage := range map[string]string{"from": "ask as this NAMESPACE or NAMESPACE/POD", "libc": "glibc, musl or go",
		"type": "type of the records to ask for", "zone": "cluster domain", "client": "only queries of it", "name": "only names below it",
		"rcode": "only answers with it"} {
		p.words[name] = p.String(name, "", usage)
	}
	p.words["o"] = p.StringP("output", "o", "", "json")
	p.BoolVarP(&p.all, "all-namespaces", "A", false, "records of all namespaces")
	p.BoolVar(&p.hour, "hour", false, "the last hour")
	return p
}

// of are the flags of each command.
var of = map[string][]string{"explain": {"from", "libc", "type", "zone", "o"}, "top": {}, "tail": {"client", "name", "rcode", "o"},
	"records": {"zone", "o"}}

// run does one command, and returns the exit status.
func run(ctx context.Context, arguments []string, out, mistakes io.Writer) (int, error) {
	p := newPlugin()
	p.SetOutput(io.Discard)
	switch err := p.Parse(arguments); {
	case errors.Is(err, pflag.ErrHelp) || err == nil && p.NArg() == 0:
		fmt.Fprint(out, usage+p.FlagUsages())
		return 0, nil
	case err != nil:
		return 1, err
	}
	name := p.Arg(0)
	flags, known := of[name]
	if !known {
		return 1, fmt.Errorf("unknown command %q; the commands are explain, records, top and tail", name)
	}
	words := []string{"clusterdns", name}
	if name != "records" {
		words = append(words, p.Args()[1:]...)
	}
	for _, flag := range flags {
		if value := *p.words[flag]; value != "" {
			words = append(words, "-"+flag, value)
		}
	}
	switch name {
	case "explain":
		return p.explain(words, out, mistakes)
	case "records":
		return p.records(words, p.Args()[1:], out, mistakes)
	}
	if p.hour {
		words = append(words, "-hour")
	}
	return p.onPage(ctx, words, out, mistakes)
}

// explain answers from the cluster of kubectl's flags. A namespace of kubectl is that of the asking pod.
func (p *plugin) explain(words []string, out, mistakes io.Writer) (int, error) {
	loader := p.config.ToRawKubeConfigLoader()
	if *p.words["from"] == "" {
		namespace, _, err := loader.Namespace()
		if err != nil {
			return 1, err
		}
		words = append(words, "-from", namespace)
	}
	return p.live(words, out, mistakes)
}

// records lists the records of a namespace, which is kubectl's unless one is named.
func (p *plugin) records(words, namespaces []string, out, mistakes io.Writer) (int, error) {
	switch {
	case len(namespaces) > 1 || p.all && len(namespaces) > 0:
		return 1, errors.New("records: wants one namespace, or -A for all")
	case p.all:
		return p.live(words, out, mistakes)
	case len(namespaces) == 0:
		namespace, _, err := p.config.ToRawKubeConfigLoader().Namespace()
		if err != nil {
			return 1, err
		}
		namespaces = []string{namespace}
	}
	return p.live(append(words, "-name", namespaces[0]), out, mistakes)
}

// live runs a command on the cluster of kubectl's flags.
func (p *plugin) live(words []string, out, mistakes io.Writer) (int, error) {
	config, err := p.config.ToRESTConfig()
	if err != nil {
		return 1, err
	}
	file, remove, err := handOn(config)
	if err != nil {
		return 1, err
	}
	defer remove()
	words = append(words, "-kubeconfig", file)
	cluster := config.Host
	if *p.config.KubeConfig != "" {
		cluster = *p.config.KubeConfig
	}
	return server.Main(words, nil, &naming{out, file, cluster}, &naming{mistakes, file, cluster}), nil
}

// pod is a running pod of clusterdns.
func (p *plugin) pod(ctx context.Context, client kubernetes.Interface) (string, error) {
	pods, err := client.CoreV1().Pods(p.system).List(ctx, metav1.ListOptions{LabelSelector: p.selector})
	if err != nil {
		return "", err
	}
	running := slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.Status.Phase != corev1.PodRunning })
	if i := slices.IndexFunc(running, isReady); i >= 0 {
		return running[i].Name, nil
	}
	if len(running) > 0 {
		return running[0].Name, nil
	}
	return "", fmt.Errorf("no pod runs in namespace %s with the labels %s; --dns-namespace and --dns-selector say others", p.system, p.selector)
}

func isReady(p corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
