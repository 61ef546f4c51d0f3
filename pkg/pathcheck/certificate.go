// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// soon is how long before its end a certificate is warned of.
const soon = 7 * 24 * time.Hour

// certificate looks at the Secret that a front has its certificate for a host from.
func (w *walk) certificate(ctx context.Context, front Object, secret, host, hint string) Hop {
	hop := Hop{Object: front, Check: CheckTLS, State: Broken}
	namespace := front.Namespace
	title := "secret " + namespace + "/" + secret
	create := fmt.Sprintf("kubectl create secret tls %s -n %s --cert=FILE --key=FILE", secret, namespace)
	s, err := w.client.CoreV1().Secrets(namespace).Get(ctx, secret, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		hop.Message = fmt.Sprintf("%s, where the certificate for %s should be, doesn't exist", title, titleOf(host))
		hop.Hint = cmp.Or(hint, "run '"+create+"'")
		return hop
	case err != nil:
		return unread(front, CheckTLS, title+" with the certificate for "+titleOf(host), err, right{"get", "secrets", namespace})
	}
	subject := "the certificate in " + title
	hop.Hint = cmp.Or(hint, "run '"+create+" --dry-run=client -o yaml | kubectl apply -f -'")
	for _, key := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		if len(s.Data[key]) == 0 {
			hop.Message = fmt.Sprintf("%s, where the certificate for %s should be, has no %s", title, titleOf(host), key)
			return hop
		}
	}
	pair, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		hop.Message = fmt.Sprintf("%s can't be used: %v", subject, err)
		return hop
	}
	state, finding := w.valid(pair.Leaf, host)
	hop.State, hop.Message = state, subject+" "+finding
	if state == OK {
		hop.Hint = ""
	}
	return hop
}

// valid says whether a certificate is for a host and for now. Who issued it is between its owner and the callers.
func (w *walk) valid(leaf *x509.Certificate, host string) (state State, finding string) {
	now := w.now()
	switch {
	case now.After(leaf.NotAfter):
		return Broken, "expired on " + date(leaf.NotAfter)
	case now.Before(leaf.NotBefore):
		return Broken, "is valid only from " + date(leaf.NotBefore) + " on"
	}
	if host != "" && !isFor(leaf, host) {
		return Broken, fmt.Sprintf("is for %s, not for %s", subjects(leaf), host)
	}
	finding = fmt.Sprintf("is for %s until %s", cmp.Or(host, subjects(leaf)), date(leaf.NotAfter))
	if now.Add(soon).After(leaf.NotAfter) {
		return Warning, finding + ", which is soon"
	}
	return OK, finding
}

func isFor(leaf *x509.Certificate, host string) bool {
	if suffix, ok := strings.CutPrefix(host, "*."); ok {
		return slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return strings.EqualFold(name, "*."+suffix) })
	}
	return leaf.VerifyHostname(host) == nil
}

// subjects are what a certificate is for. A common name is not: it counts for nothing any more.
func subjects(leaf *x509.Certificate) string {
	all := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no host"
	}
	return strings.Join(all, ", ")
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// titleOf names a host, of which none is any.
func titleOf(host string) string { return cmp.Or(host, "any host") }
