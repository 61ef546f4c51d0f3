// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// A certificate is one with its key, both PEM; "" stands for the fallback.
type certificate string

// File is where nginx finds it. Another certificate has another name, so that what it is replaced by is loaded.
func (c certificate) File(dir string) string {
	if c == "" {
		return filepath.Join(dir, "fallback.pem")
	}
	sum := sha256.Sum256([]byte(c))
	return filepath.Join(dir, hex.EncodeToString(sum[:])+".pem")
}

// fallbackHost is whom the fallback is for: no host that there is.
const fallbackHost = "ingress.invalid"

// selfSigned makes a certificate that nobody vouches for.
func selfSigned(host string) (certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	return certificate(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) +
		certificate(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), err
}

// certificateOf is what an Ingress has shown to callers of a host: the fallback, unless it names a Secret that has another.
// Whether that is for the host, and still valid, is the callers' business.
func certificateOf(ing *networkingv1.Ingress, host string, find lookup[corev1.Secret]) certificate {
	for _, entry := range ing.Spec.TLS {
		if len(entry.Hosts) > 0 && !slices.ContainsFunc(entry.Hosts, func(of string) bool { return covers(of, host) }) {
			continue
		}
		secret := find(ing.Namespace, entry.SecretName)
		if secret == nil {
			continue
		}
		cert, key := secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]
		if _, err := tls.X509KeyPair(cert, key); err == nil {
			return certificate(cert) + "\n" + certificate(key)
		}
	}
	return ""
}

// covers tells whether a host, or a wildcard for its first label, is for another.
func covers(of, host string) bool {
	suffix, wild := strings.CutPrefix(of, "*.")
	_, rest, _ := strings.Cut(host, ".")
	return of == host || wild && rest == suffix
}
