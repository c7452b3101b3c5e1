package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/clientcmd"
)

// TestRun: help, and mistakes in the arguments. testdata/apiserver/e2e runs explain on a real API server.
func TestRun(t *testing.T) {
	for arguments, want := range map[string]string{
		"":                    "Usage: kubectl dns explain NAME",
		"explain --help":      "--from",
		"tpo":                 "the commands are explain, records, top and tail",
		"records a b":         "wants one namespace, or -A for all",
		"records -A a":        "wants one namespace, or -A for all",
		"explain --nothing":   "unknown flag: --nothing",
		"top --kubeconfig /x": "/x",
	} {
		var out bytes.Buffer
		status, err := run(t.Context(), strings.Fields(arguments), &out, &out)
		if err != nil {
			out.WriteString(err.Error())
		}
		if !strings.Contains(out.String(), want) || (status == 0) == (err != nil) {
			t.Errorf("kubectl dns %s: status %d, %v\n%s", arguments, status, err, &out)
		}
	}
}

// TestFlagsOfKubectl: explain is handed whom kubectl's flags and each file of $KUBECONFIG say, and no file stays behind.
func TestFlagsOfKubectl(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", t.TempDir())
	first, second := filepath.Join(folder, "first"), filepath.Join(folder, "second")
	for file, text := range map[string]string{
		first: "clusters: [{name: a, cluster: {server: 'https://a'}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n",
		second: "clusters: [{name: b, cluster: {server: 'https://b', proxy-url: 'http://proxy:1'}}]\n" +
			"users: [{name: a, user: {token: of-a}}, {name: b, user: {token: of-b}}]\ncontexts: [{name: b, context: {cluster: b, user: b}}]\n",
	} {
		if err := os.WriteFile(file, []byte("apiVersion: v1\nkind: Config\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KUBECONFIG", first+string(filepath.ListSeparator)+second)
	for flags, want := range map[string]string{
		"":                       "https://a of-a  false",
		"--context b":            "https://b of-b  true",
		"--cluster b":            "https://b of-a  true",
		"--user b":               "https://a of-b  false",
		"--server https://c":     "https://c of-a  false",
		"--context b --token t":  "https://b t  true",
		"--context b --as alice": "https://b of-b alice true",
	} {
		p := newPlugin()
		if err := p.Parse(strings.Fields(flags)); err != nil {
			t.Fatal(err)
		}
		config, err := p.config.ToRESTConfig()
		if err != nil {
			t.Fatal(err)
		}
		file, remove, err := handOn(config)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		c, err := clientcmd.BuildConfigFromFlags("", file)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(c.Host, " ", c.BearerToken, " ", c.Impersonate.UserName, " ", c.Proxy != nil); got != want {
			t.Errorf("%s: got %s, want %s", flags, got, want)
		}
		remove()
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// TestPod: a pod of clusterdns, and one that is ready before one that is not.
func TestPod(t *testing.T) {
	pod := func(name, of string, ready corev1.ConditionStatus) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "kube-system",
			Labels: map[string]string{"k8s-app": "kube-dns", "app.kubernetes.io/name": of}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
	}
	a, b, c := pod("a", "coredns", "True"), pod("b", "clusterdns", "False"), pod("c", "clusterdns", "True")
	if got, err := newPlugin().pod(t.Context(), fake.NewClientset(a, b, c)); err != nil || got != "c" {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := newPlugin().pod(t.Context(), fake.NewClientset(a, b)); err != nil || got != "b" {
		t.Errorf("%s, %v", got, err)
	}
}
