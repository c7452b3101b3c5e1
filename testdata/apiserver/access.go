package main

import (
	"bytes"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	adminFile      = "admin.token"
	kubeconfigFile = "kubeconfig"
	tokenFile      = "tokens.csv"
)

// tokens are the users given by -token, as a flag.Value.
type tokens []user

type user struct{ name, token string }

func (t *tokens) String() string { return "" }

func (t *tokens) Set(text string) error {
	name, token, ok := strings.Cut(text, "=")
	if !ok || name == "" || token == "" {
		return errors.New("want NAME=TOKEN")
	}
	if strings.ContainsRune(name, os.PathSeparator) {
		return errors.New("NAME is part of a file name")
	}
	*t = append(*t, user{name, token})
	return nil
}

// writeAccess writes the token file and one kubeconfig per user, and returns
// the administrator's token. That token is made once and then kept; the other
// users are those of this start.
func writeAccess(address *net.TCPAddr, pki *pki, users tokens) (admin string, err error) {
	admin, err = adminToken()
	if err != nil {
		return "", err
	}
	// A line is token, name, uid, groups.
	lines := [][]string{{admin, "admin", "admin", "system:masters"}}
	for _, u := range users {
		lines = append(lines, []string{u.token, u.name, u.name, ""})
	}
	var file bytes.Buffer
	if err := csv.NewWriter(&file).WriteAll(lines); err != nil {
		return "", err
	}
	if err := writeFile(tokenFile, file.Bytes()); err != nil {
		return "", err
	}

	url := "https://" + address.String()
	if err := writeKubeconfig(kubeconfigFile, url, pki, user{"admin", admin}); err != nil {
		return "", err
	}
	for _, u := range users {
		if err := writeKubeconfig(kubeconfigFile+"-"+u.name, url, pki, u); err != nil {
			return "", err
		}
	}
	return admin, nil
}

// adminToken returns the administrator's token, made at the first start.
func adminToken() (string, error) {
	text, err := os.ReadFile(adminFile)
	if errors.Is(err, fs.ErrNotExist) {
		token := rand.Text()
		return token, writeFile(adminFile, []byte(token))
	}
	return string(text), err
}

// writeKubeconfig writes a kubeconfig of one context, with the authority's
// certificate in it so that the file can be moved.
func writeKubeconfig(file, url string, pki *pki, u user) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: pki.caPEM}
	config.AuthInfos[u.name] = &clientcmdapi.AuthInfo{Token: u.token}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: u.name}
	config.CurrentContext = "test"
	text, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return writeFile(file, text)
}
