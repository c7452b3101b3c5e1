package main

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// handOn writes what kubectl's flags and files come to as one kubeconfig, which nobody else can read. Call remove when it
// has been used.
func handOn(from *rest.Config) (file string, remove func(), err error) {
	config, err := kubeconfig(from)
	if err != nil {
		return "", nil, err
	}
	folder, err := os.MkdirTemp("", "kubectl-dns-") // 0700
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(folder) }
	file = filepath.Join(folder, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil { // 0600
		remove()
		return "", nil, err
	}
	return file, remove, nil
}

// kubeconfig is a kubeconfig of one cluster and one user.
func kubeconfig(from *rest.Config) (*api.Config, error) {
	const name = "kubectl"
	cluster, user := api.NewCluster(), api.NewAuthInfo()
	cluster.Server, cluster.TLSServerName, cluster.InsecureSkipTLSVerify = from.Host, from.ServerName, from.Insecure
	cluster.CertificateAuthority, cluster.CertificateAuthorityData = from.CAFile, from.CAData
	cluster.DisableCompression = from.DisableCompression
	if from.Proxy != nil {
		to, err := url.Parse(from.Host)
		if err != nil {
			return nil, err
		}
		proxy, err := from.Proxy(&http.Request{URL: to})
		if err != nil {
			return nil, err
		}
		if proxy != nil {
			cluster.ProxyURL = proxy.String()
		}
	}
	user.ClientCertificate, user.ClientCertificateData = from.CertFile, from.CertData
	user.ClientKey, user.ClientKeyData = from.KeyFile, from.KeyData
	user.Token, user.TokenFile, user.Username, user.Password = from.BearerToken, from.BearerTokenFile, from.Username, from.Password
	as := from.Impersonate
	user.Impersonate, user.ImpersonateUID, user.ImpersonateGroups, user.ImpersonateUserExtra = as.UserName, as.UID, as.Groups, as.Extra
	user.AuthProvider, user.Exec = from.AuthProvider, from.ExecProvider
	context := api.NewContext()
	context.Cluster, context.AuthInfo = name, name
	config := api.NewConfig()
	config.Clusters[name], config.AuthInfos[name], config.Contexts[name], config.CurrentContext = cluster, user, context, name
	return config, nil
}

// naming writes to a writer, and names the cluster where the text names the file.
type naming struct {
	to            io.Writer
	file, cluster string
}

func (n *naming) Write(p []byte) (int, error) {
	_, err := n.to.Write(bytes.ReplaceAll(p, []byte(n.file), []byte(n.cluster)))
	return len(p), err
}
