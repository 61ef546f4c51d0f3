// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

func selfSignedFor(t *testing.T, host string) certificate {
	t.Helper()
	c, err := selfSigned(host)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// secretOf puts a certificate into a Secret.
func secretOf(c certificate) *corev1.Secret {
	cert, key := pem.Decode([]byte(c))
	return &corev1.Secret{Data: map[string][]byte{
		corev1.TLSCertKey: pem.EncodeToMemory(cert), corev1.TLSPrivateKeyKey: key,
	}}
}

func TestCertificates(t *testing.T) {
	mismatched := secretOf(selfSignedFor(t, "x"))
	mismatched.Data[corev1.TLSPrivateKeyKey] = secretOf(selfSignedFor(t, "x")).Data[corev1.TLSPrivateKeyKey]
	secrets := map[string]*corev1.Secret{
		"shop/one": secretOf(selfSignedFor(t, "one")), "shop/two": secretOf(selfSignedFor(t, "two")),
		"shop/empty": {}, "shop/mismatched": mismatched, "other/elsewhere": secretOf(selfSignedFor(t, "elsewhere")),
	}
	findSecret := func(namespace, name string) *corev1.Secret { return secrets[namespace+"/"+name] }
	nameOf := func(c certificate) string {
		for name, secret := range secrets {
			if strings.HasPrefix(string(c), string(secret.Data[corev1.TLSCertKey])) && c != "" && len(secret.Data) > 0 {
				return name
			}
		}
		return "fallback"
	}
	// with gives an Ingress of a host entries like "host,host secret".
	with := func(age int, host string, entries ...string) *networkingv1.Ingress {
		ing := ingress(fmt.Sprintf("age-%d", age), age, host+"/ web:80")
		for _, e := range entries {
			hosts, secret, _ := strings.Cut(e, " ")
			ing.Spec.TLS = append(ing.Spec.TLS, networkingv1.IngressTLS{
				Hosts: strings.FieldsFunc(hosts, func(r rune) bool { return r == ',' }), SecretName: secret,
			})
		}
		return ing
	}
	for _, tt := range []struct {
		name      string
		ingresses []*networkingv1.Ingress
		want      string // of the first host after the default one
	}{
		{"without TLS", []*networkingv1.Ingress{with(0, "x")}, "fallback"},
		{"of its host", []*networkingv1.Ingress{with(0, "x", "y two", "x one")}, "shop/one"},
		{"one of several hosts", []*networkingv1.Ingress{with(0, "x", "y,x one")}, "shop/one"},
		{"of all hosts", []*networkingv1.Ingress{with(0, "x", " one")}, "shop/one"},
		{"of a wildcard", []*networkingv1.Ingress{with(0, "a.x", "*.x one")}, "shop/one"},
		{"a wildcard is one label", []*networkingv1.Ingress{with(0, "a.b.x", "*.x one")}, "fallback"},
		{"of another host", []*networkingv1.Ingress{with(0, "x", "y one")}, "fallback"},
		{"no such Secret", []*networkingv1.Ingress{with(0, "x", "x absent")}, "fallback"},
		{"of another namespace", []*networkingv1.Ingress{with(0, "x", "x elsewhere")}, "fallback"},
		{"nothing in it", []*networkingv1.Ingress{with(0, "x", "x empty")}, "fallback"},
		{"another's key", []*networkingv1.Ingress{with(0, "x", "x mismatched")}, "fallback"},
		{"the older has it", []*networkingv1.Ingress{with(0, "x", "x two"), with(1, "x", "x one")}, "shop/one"},
		{"the older has none", []*networkingv1.Ingress{with(0, "x", "x two"), with(1, "x")}, "shop/two"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			servers := routes(tt.ingresses, find, findSecret)
			if got := nameOf(servers[1].Certificate); got != tt.want {
				t.Errorf("the certificate is %s, not %s", got, tt.want)
			}
			if got := nameOf(servers[0].Certificate); got != "fallback" {
				t.Errorf("that of all other hosts is %s", got)
			}
		})
	}
}

// getTLS asks for a path of a host, and returns for whom the certificate is that is shown, and the answer.
func getTLS(t *testing.T, port int, host, path string) (certified, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.TLS.PeerCertificates[0].DNSNames[0], string(data)
}
