package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"
)

// Files of the certificates and keys. The serving certificate is written
// last: where it is, all are.
const (
	caCert      = "ca.crt"
	servingCert = "tls.crt"
	servingKey  = "tls.key"
	accountKey  = "serviceaccount.key"
)

// A pki is what clients are told to trust.
type pki struct {
	ca    *x509.Certificate
	caPEM []byte
}

// loadPKI returns the certificates of the current directory, which it makes
// at the first start. The certificate is for ip and localhost.
func loadPKI(ip net.IP) (*pki, error) {
	if _, err := os.Stat(servingCert); errors.Is(err, fs.ErrNotExist) {
		if err := makePKI(ip); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(caCert)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New(caCert + ": not a certificate")
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	return &pki{ca: ca, caPEM: text}, nil
}

// makePKI writes a certificate authority, a serving certificate with its key,
// and the key that signs service account tokens. The authority's own key is
// not kept: it signs once.
func makePKI(ip net.IP) error {
	authority := template("clusterdns test authority")
	authority.IsCA = true
	authority.KeyUsage = x509.KeyUsageCertSign
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return err
	}

	serving := template("kube-apiserver")
	serving.KeyUsage = x509.KeyUsageDigitalSignature
	serving.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	serving.IPAddresses = []net.IP{ip, net.IPv4(10, 96, 0, 1)}
	serving.DNSNames = []string{"localhost", "kubernetes.default.svc"}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	servingDER, err := x509.CreateCertificate(rand.Reader, serving, authority, key.Public(), authorityKey)
	if err != nil {
		return err
	}
	account, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}

	return errors.Join(
		writePEM(accountKey, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(account)),
		writePEM(caCert, "CERTIFICATE", authorityDER),
		writePEM(servingKey, "PRIVATE KEY", keyDER),
		writePEM(servingCert, "CERTIFICATE", servingDER),
	)
}

// template returns what the certificates have in common.
func template(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(10, 0, 0),
		BasicConstraintsValid: true,
	}
}

// writePEM writes one block to a file.
func writePEM(name, kind string, der []byte) error {
	return writeFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
