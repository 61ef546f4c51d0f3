// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/portforward"
)

const (
	// dialTimeout is how long an address may take to take a connection.
	dialTimeout = 3 * time.Second
	// answerTimeout is how long a live hop may take altogether.
	answerTimeout = 8 * time.Second
	// refusalTimeout is how long the kubelet's word may take that a port refuses a connection which the API server has
	// taken already.
	refusalTimeout = 2 * time.Second
	// bodyLimit bounds what is read of an answer: no more than it takes to know the API server's own.
	bodyLimit = 16 << 10
)

// answer is what came of a question.
type answer struct {
	fault fault
	// err is the reason of a fault.
	err error
	// status is HTTP's, if there was an answer.
	status int
	// certificate is what the server showed, if it was asked with TLS.
	certificate *x509.Certificate
}

// asker asks what live hops have to know. Each question has a deadline of its own.
type asker interface {
	// at asks an address, HOST:PORT, from this machine.
	at(ctx context.Context, address string, q question) answer
	// proxied has the API server ask a port of a Service, or of a pod at its address. It speaks HTTP only.
	proxied(ctx context.Context, of Object, port string, q question) answer
	// forwarded asks a port on the loopback of a pod.
	forwarded(ctx context.Context, pod Object, port int32, q question) answer
}

// calls is the asker of a cluster.
type calls struct {
	config *rest.Config
	client kubernetes.Interface
	http   *http.Client // to the API server, as the user
	base   *url.URL
}

func newCalls(config *rest.Config, client kubernetes.Interface) (*calls, error) {
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	asUser := &http.Client{Transport: transport, CheckRedirect: noRedirects}
	return &calls{config: config, client: client, base: base, http: asUser}, nil
}

// noRedirects takes the first answer: where it leads to is another path.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (c *calls) at(ctx context.Context, address string, q question) answer {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		if utilnet.IsConnectionRefused(err) {
			return answer{fault: refused, err: err}
		}
		return answer{fault: unreachable, err: err}
	}
	defer conn.Close()
	if q.scheme == schemeTCP {
		return answer{}
	}
	return over(ctx, conn, address, q, len(q.header) > 0)
}

// over asks over a connection. With verify, it asks only somebody with a certificate that is trusted here; otherwise what
// certificate there is, is looked at afterwards: which authorities to trust, callers know best.
func over(ctx context.Context, conn net.Conn, address string, q question, verify bool) answer {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return answer{fault: other, err: err}
	}
	if q.host != "" {
		host = q.host
	}
	transport := &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		TLSClientConfig: &tls.Config{
			ServerName:         host,
			InsecureSkipVerify: !verify, //nolint:gosec // what the user gave to be sent, perhaps a secret, goes to nobody else
		},
	}
	defer transport.CloseIdleConnections()
	request, err := q.request(ctx, q.scheme+"://"+address)
	if err != nil {
		return answer{fault: other, err: err}
	}
	if q.host != "" {
		request.Host = q.host
	}
	if own := q.header.Get("Host"); own != "" {
		request.Host = own
	}
	response, err := (&http.Client{Transport: transport, CheckRedirect: noRedirects}).Do(request)
	if err != nil {
		a := answer{fault: faultOf(err), err: plain(err)}
		if shown, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			a.fault, a.certificate = untrusted, shown.UnverifiedCertificates[0]
		}
		return a
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode}
	if state := response.TLS; state != nil && len(state.PeerCertificates) > 0 {
		a.certificate = state.PeerCertificates[0]
	}
	return a
}

// request makes the question one of HTTP.
func (q question) request(ctx context.Context, base string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+q.path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "kubectl-velo")
	for name, values := range q.header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	request.Header.Del("Host")
	return request, nil
}

func (c *calls) proxied(ctx context.Context, of Object, port string, q question) answer {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	base := c.base.JoinPath("api/v1/namespaces", of.Namespace, of.Kind+"s", q.scheme+":"+of.Name+":"+port, "proxy")
	request, err := q.request(ctx, strings.TrimSuffix(base.String(), "/"))
	if err != nil {
		return answer{fault: other, err: err}
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer{fault: faultOf(err), err: plain(err)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	if err != nil {
		return answer{fault: faultOf(err), err: plain(err)}
	}
	if said := ownAnswer(response, body); said != nil {
		return answer{fault: proxyFault(said), err: said}
	}
	return answer{status: response.StatusCode}
}

// ownAnswer is what the API server says for itself, instead of passing on what somebody answered.
func ownAnswer(response *http.Response, body []byte) error {
	if response.StatusCode < http.StatusBadRequest || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		return nil
	}
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err == nil && status.Kind == "Status" && status.APIVersion == "v1" {
		return &apierrors.StatusError{ErrStatus: status}
	}
	return nil
}

// proxyFault says what the API server's error is about. All that it tells is a text, with that of its own error in it.
func proxyFault(err error) fault {
	text := strings.ToLower(err.Error())
	has := func(some ...string) bool {
		for _, one := range some {
			if strings.Contains(text, one) {
				return true
			}
		}
		return false
	}
	switch {
	case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		return forbidden
	case has("no endpoints available"):
		return noEndpoints
	case has("connection refused"):
		return refused
	case has("i/o timeout", "deadline exceeded", "no route to host", "network is unreachable"):
		return unreachable
	case has("malformed http", "http response to https client", "tls:"):
		return strange
	case has("eof", "reset by peer"):
		return dropped
	}
	return other
}

func (c *calls) forwarded(ctx context.Context, pod Object, port int32, q question) answer {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	number := uint16(port) //nolint:gosec // 1 to 65535 by the API's validation
	conn, err := portforward.New(c.config, c.client.CoreV1().RESTClient(), pod.Namespace, pod.Name, number).Dial(ctx)
	if err != nil {
		if apierrors.IsForbidden(err) || strings.Contains(strings.ToLower(err.Error()), "forbidden") {
			return answer{fault: forbidden, err: err}
		}
		return answer{fault: unreachable, err: err}
	}
	defer conn.Close()
	if q.scheme == schemeTCP {
		return taken(ctx, conn)
	}
	a := over(ctx, conn, net.JoinHostPort("localhost", strconv.Itoa(int(port))), q, false)
	if a.err != nil && isRefusal(a.err) {
		a.fault = refused
	}
	return a
}

// taken waits whether a connection that was forwarded is refused after all. Nothing is sent over it; if the other side
// speaks first, that is an answer, too.
func taken(ctx context.Context, conn net.Conn) answer {
	ctx, cancel := context.WithTimeout(ctx, refusalTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_, err := conn.Read(make([]byte, 1))
	if err != nil && isRefusal(err) {
		return answer{fault: refused, err: err}
	}
	return answer{}
}

// isRefusal reports whether the kubelet says that a port refused a connection. All that it tells is a text.
func isRefusal(err error) bool {
	return strings.Contains(strings.ToLower(err.Error()), "connection refused")
}

// faultOf says why a request that was sent got no answer.
func faultOf(err error) fault {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return strange
	}
	text := err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		return silent
	case utilnet.IsConnectionRefused(err):
		return refused
	// net/http has no types for these.
	case strings.Contains(text, "malformed HTTP"), strings.Contains(text, "HTTP response to HTTPS"), strings.Contains(text, "tls: "):
		return strange
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || utilnet.IsConnectionReset(err):
		return dropped
	}
	return other
}

// plain leaves out what net puts before its errors: the hop has the URL already, and the caller's own port is never the
// same again.
func plain(err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Source != nil {
		return e.Err
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// podObject is a pod as an object of a path.
func podObject(pod *corev1.Pod) Object { return Object{"pod", pod.Namespace, pod.Name} }
