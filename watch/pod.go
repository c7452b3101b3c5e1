package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// PodDNS is what a pod says of its resolv.conf.
type PodDNS struct {
	Policy      string   // dnsPolicy
	HostNetwork bool     // hostNetwork
	Searches    []string // of dnsConfig
	Ndots       string   // of the options of dnsConfig; "" for none
}

// ReadPodDNS reads one pod of the cluster of options.
func ReadPodDNS(ctx context.Context, options Options, namespace, name string) (PodDNS, error) {
	config, err := restConfig(options)
	if err != nil {
		return PodDNS{}, err
	}
	clients, err := newClients(config, options.Selection)
	if err != nil {
		return PodDNS{}, err
	}
	pods := clients[schema.GroupVersion{Version: "v1"}]
	text, err := pods.Get().Namespace(namespace).Resource("pods").Name(name).SetHeader("Accept", "application/json").Do(ctx).Raw()
	if err != nil {
		return PodDNS{}, fmt.Errorf("pod %s/%s: %w", namespace, name, err)
	}
	return parsePodDNS(text)
}

func parsePodDNS(text []byte) (d PodDNS, err error) {
	var pod struct {
		Spec struct {
			DNSPolicy   string
			HostNetwork bool
			DNSConfig   struct {
				Searches []string
				Options  []struct{ Name, Value string }
			}
		}
	}
	if err := json.Unmarshal(text, &pod); err != nil {
		return d, err
	}
	d = PodDNS{Policy: pod.Spec.DNSPolicy, HostNetwork: pod.Spec.HostNetwork}
	for _, search := range pod.Spec.DNSConfig.Searches {
		d.Searches = append(d.Searches, strings.TrimSuffix(search, "."))
	}
	for _, option := range pod.Spec.DNSConfig.Options {
		if option.Name == "ndots" {
			d.Ndots = option.Value
		}
	}
	return d, nil
}
