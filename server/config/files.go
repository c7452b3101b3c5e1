package config

import (
	"crypto/tls"
	"crypto/x509"
	"io/fs"
)

// content reads a file that an option names, and reports whether it could.
func (a *args) content(file string) ([]byte, bool) {
	if a.err != nil {
		return nil, false
	}
	content, err := a.read(file)
	if err != nil {
		a.fail("%q cannot be read: %v", file, err)
	}
	return content, err == nil
}

// checkKeyPair fails unless the files are a TLS certificate in PEM and its private key.
func (a *args) checkKeyPair(certFile, keyFile string) {
	certificate, haveCertificate := a.content(certFile)
	key, haveKey := a.content(keyFile)
	if !haveCertificate || !haveKey {
		return
	}
	if _, err := tls.X509KeyPair(certificate, key); err != nil {
		a.fail("%q and %q are not a certificate and its key in PEM: %v", certFile, keyFile, err)
	}
}

// checkRoots fails unless the file has a certificate of an authority in PEM.
func (a *args) checkRoots(file string) {
	if content, ok := a.content(file); ok && !x509.NewCertPool().AppendCertsFromPEM(content) {
		a.fail("%q has no certificate in PEM", file)
	}
}

// checkFolder fails unless name is a folder.
func (a *args) checkFolder(name string) {
	info, err := fs.Stat(a.files, a.rooted(name))
	if err != nil {
		a.fail("%q cannot be read: %v", name, reason(err))
	} else if !info.IsDir() {
		a.fail("%q is not a folder", name)
	}
}
