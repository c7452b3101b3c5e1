package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// Files of the state directory. Unix sockets have short names because the
// process makes the directory its own: a path of more than 108 bytes could
// not be bound.
const (
	addressFile = "address"
	etcdDir     = "etcd"
	lockFile    = "lock"
	logFile     = "apiserver.log"
)

// advertised is the address of the endpoint that the API server writes for
// the service kubernetes.default. It is one of TEST-NET-1 (RFC 5737), since a
// loopback address is not allowed there and the machine's own would make the
// objects differ between machines. Nothing connects to it.
const advertised = "192.0.2.1"

// runServer runs etcd and the API server until a signal.
func runServer(args []string) error {
	flags := newFlags("apiserver")
	dir := flags.String("dir", "", "directory of all state; made if missing")
	listen := flags.String("listen", "127.0.0.1:0", "loopback address; port 0 is the port of the last start, or any free one")
	mode := flags.String("authorization-mode", "AlwaysAllow", "AlwaysAllow or RBAC")
	gates := flags.String("feature-gates", "", "as in kube-apiserver; WatchList=false is one that does not stream lists")
	var users tokens
	flags.Var(&users, "token", "NAME=TOKEN: a user without rights of its own; may be repeated")
	if err := parse(flags, args, "dir"); err != nil {
		return err
	}

	unlock, err := enter(*dir)
	if err != nil {
		return err
	}
	defer unlock()
	address, err := chooseAddress(*listen)
	if err != nil {
		return err
	}
	pki, err := loadPKI(address.IP)
	if err != nil {
		return err
	}
	admin, err := writeAccess(address, pki, users)
	if err != nil {
		return err
	}
	if err := logTo(logFile); err != nil {
		return err
	}
	stopEtcd, err := startEtcd(etcdDir, etcdURL, false)
	if err != nil {
		return err
	}
	defer stopEtcd()
	go announce(address, pki, admin)
	return serve(address, *mode, *gates)
}

// serve runs the API server until a signal. The directory is the current one.
func serve(address *net.TCPAddr, mode, gates string) error {
	command := app.NewAPIServerCommand()
	command.SetArgs([]string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=" + address.IP.String(),
		fmt.Sprintf("--secure-port=%d", address.Port),
		"--advertise-address=" + advertised,
		"--tls-cert-file=" + servingCert,
		"--tls-private-key-file=" + servingKey,
		"--token-auth-file=" + tokenFile,
		"--authorization-mode=" + mode,
		"--feature-gates=" + gates,
		"--disable-admission-plugins=ServiceAccount",
		"--service-cluster-ip-range=10.96.0.0/12,fd00:10:96::/112",
		"--service-account-issuer=https://test",
		"--service-account-key-file=" + accountKey,
		"--service-account-signing-key-file=" + accountKey,
		// Without it an orderly end waits a minute for watches to end.
		"--shutdown-watch-termination-grace-period=1s",
	})
	return cli.RunNoErrOutput(command)
}

// enter makes dir, takes its lock and makes it the current directory. The
// lock goes with the process, however it ends.
func enter(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%s is in use by a running API server", dir)
	}
	if err := os.Chdir(dir); err != nil {
		lock.Close()
		return nil, err
	}
	return func() { lock.Close() }, nil
}

// chooseAddress resolves listen and remembers the result, so that a start
// with port 0 after an outage is found by the clients of the last one.
func chooseAddress(listen string) (*net.TCPAddr, error) {
	address, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return nil, err
	}
	if !address.IP.IsLoopback() {
		return nil, fmt.Errorf("-listen %s: not a loopback address", listen)
	}
	if address.Port == 0 {
		if last, err := lastAddress(); err != nil {
			return nil, err
		} else if last != nil && last.IP.Equal(address.IP) {
			return last, nil
		}
		listener, err := net.ListenTCP("tcp", address)
		if err != nil {
			return nil, err
		}
		listener.Close()
		address = listener.Addr().(*net.TCPAddr)
	}
	return address, writeFile(addressFile, []byte(address.String()+"\n"))
}

// lastAddress returns the address of the last start, or nil for the first.
func lastAddress() (*net.TCPAddr, error) {
	text, err := os.ReadFile(addressFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return net.ResolveTCPAddr("tcp", strings.TrimSpace(string(text)))
}

// present are what must answer before the ready line: the API server's own
// check, then objects that it writes a moment later at its first start. A test
// counts on them.
var present = []string{
	"/readyz",
	"/api/v1/namespaces/kube-system",
	"/api/v1/namespaces/default/services/kubernetes",
	"/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
}

// announce prints the ready line once the API server is ready. It asks often,
// because start-up time is part of every test.
func announce(address *net.TCPAddr, pki *pki, token string) {
	roots := x509.NewCertPool()
	roots.AddCert(pki.ca)
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	url := "https://" + address.String()
	for _, path := range present {
		for {
			if _, err := get(client, url+path, token); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	client.CloseIdleConnections()
	fmt.Println("ready", url)
}

// get returns the body of url, which must answer 200.
func get(client *http.Client, url, token string) (string, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return string(body), err
}

// logTo appends standard error to file: the log of Kubernetes and etcd, and
// what the runtime says of a panic.
func logTo(file string) error {
	log, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	return unix.Dup2(int(log.Fd()), int(os.Stderr.Fd()))
}

// writeFile writes a file whole or not at all, so that a kill in between
// leaves the last one.
func writeFile(name string, data []byte) error {
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
