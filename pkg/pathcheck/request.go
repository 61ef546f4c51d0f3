// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Request is what live hops ask for over HTTP.
type Request struct {
	// Path, with a query if there is one. If it is empty, an Ingress is asked for the path of its rule, and a Service for /.
	Path   string
	Header http.Header
	// Expect are the status codes that are good. If there are none, all below 500 are: whatever a process makes of the
	// request, it got it.
	Expect []StatusRange
}

// StatusRange are the status codes from the one to the other.
type StatusRange struct{ From, To int }

func (r StatusRange) String() string {
	if r.From == r.To {
		return strconv.Itoa(r.From)
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

func ranges(all []StatusRange) string {
	titles := make([]string, len(all))
	for i, r := range all {
		titles[i] = r.String()
	}
	return strings.Join(titles, " or ")
}

// good reports whether a status code is.
func (r Request) good(status int) bool {
	if len(r.Expect) == 0 {
		return status < http.StatusInternalServerError
	}
	return slices.ContainsFunc(r.Expect, func(e StatusRange) bool { return e.From <= status && status <= e.To })
}

// What a port is asked by.
const (
	schemeHTTP  = "http"
	schemeHTTPS = "https"
	// schemeTCP is a connection that nothing is sent over.
	schemeTCP = "tcp"
)

// scheme is what the port speaks, or "" if that isn't TCP. A process that doesn't speak HTTP may take offence at a request,
// so that there have to be signs that it does: what the Service says, or the kubelet's own probe, or a front that does.
func (t *tail) scheme() string {
	if t.port.Protocol != corev1.ProtocolTCP {
		return ""
	}
	if protocol := t.port.AppProtocol; protocol != nil {
		return schemeOf(strings.TrimPrefix(*protocol, "kubernetes.io/"), schemeTCP)
	}
	if scheme := schemeOf(t.port.Name, ""); scheme != "" {
		return scheme
	}
	if len(t.backend.pods) > 0 {
		if scheme := t.probed(&t.backend.pods[0]); scheme != "" {
			return scheme
		}
	}
	switch {
	case t.http || t.port.Name == "" && (isHTTPPort(t.port.Port) || isHTTPPort(t.target)):
		return schemeHTTP
	case t.port.Name == "" && (isHTTPSPort(t.port.Port) || isHTTPSPort(t.target)):
		return schemeHTTPS
	}
	return schemeTCP
}

// schemeOf is what a port's name or application protocol means, or otherwise.
func schemeOf(name, otherwise string) string {
	for word := range strings.SplitSeq(strings.ToLower(name), "-") {
		switch word {
		case "http", "ws", "web", "www":
			return schemeHTTP
		case "https", "wss":
			return schemeHTTPS
		case "grpc", "http2", "h2c", "tcp", "tls":
			return schemeTCP
		}
	}
	return otherwise
}

func isHTTPPort(number int32) bool  { return number == 80 || number == 8080 || number == 8000 }
func isHTTPSPort(number int32) bool { return number == 443 || number == 8443 }

// probed is how the kubelet asks the port, if it does so over HTTP.
func (t *tail) probed(pod *corev1.Pod) string {
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		for _, probe := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe, c.StartupProbe} {
			if probe == nil || probe.HTTPGet == nil {
				continue
			}
			at := probe.HTTPGet.Port
			named := slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool {
				return p.Name != "" && p.Name == at.StrVal && p.ContainerPort == t.target
			})
			if named || at.StrVal == "" && at.IntVal == t.target {
				return strings.ToLower(string(cmp.Or(probe.HTTPGet.Scheme, corev1.URISchemeHTTP)))
			}
		}
	}
	return ""
}

// question is one that a live hop asks.
type question struct {
	scheme string
	// host is that of the Host header and of TLS; empty for the address.
	host string
	// path begins with a slash, and may have a query.
	path   string
	header http.Header
}

// title is how a person would ask it.
func (q question) title(address string) string {
	if q.scheme == schemeTCP {
		return "a connection to " + address
	}
	host := cmp.Or(q.host, address)
	title := "GET " + q.scheme + "://" + host + q.path
	if host != address {
		title += " at " + address
	}
	return title
}

// fault is why a question got no answer.
type fault int

const (
	// answered is none: there is a status code, or a connection.
	answered fault = iota
	// refused is a port at which nobody listens.
	refused
	// unreachable is an address that can't be reached from where the question was asked.
	unreachable
	// silent took the question and said nothing in time.
	silent
	// dropped took the connection and closed it.
	dropped
	// strange answered in something other than what it was asked in.
	strange
	// untrusted showed a certificate that nobody here trusts, and was not asked.
	untrusted
	// forbidden is a question that the API server doesn't let through.
	forbidden
	// noEndpoints is a Service for which the API server knows none.
	noEndpoints
	// other is what err says.
	other
)
