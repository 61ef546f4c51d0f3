// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

func TestAt(t *testing.T) {
	web := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case r.Host == "shop.test" && r.URL.RawQuery == "a=b" && r.Header.Get("X-Who") == "ada":
			w.WriteHeader(http.StatusTeapot)
		}
	})
	plainly, tlsServer := httptest.NewServer(web), httptest.NewUnstartedServer(web)
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0) // of the caller that doesn't trust it
	tlsServer.StartTLS()
	t.Cleanup(plainly.Close)
	t.Cleanup(tlsServer.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	who := http.Header{"X-Who": {"ada"}}
	tests := []struct {
		name, address string
		question      question
		fault         fault
		status        int
		shown         bool
	}{
		{"HTTP", plainly.Listener.Addr().String(), question{scheme: schemeHTTP, path: "/"}, answered, 200, false},
		{"host, query and header", plainly.Listener.Addr().String(), question{scheme: schemeHTTP, host: "shop.test", path: "/?a=b", header: who}, answered, 418, false},
		{"a redirect", plainly.Listener.Addr().String(), question{scheme: schemeHTTP, path: "/moved"}, answered, 302, false},
		{"TLS", tlsServer.Listener.Addr().String(), question{scheme: schemeHTTPS, host: "shop.test", path: "/"}, answered, 200, true},
		{"TLS with headers", tlsServer.Listener.Addr().String(), question{scheme: schemeHTTPS, host: "shop.test", path: "/", header: who}, untrusted, 0, true},
		{"HTTPS to HTTP", plainly.Listener.Addr().String(), question{scheme: schemeHTTPS, path: "/"}, strange, 0, false},
		{"refused", closed.Addr().String(), question{scheme: schemeHTTP, path: "/"}, refused, 0, false},
		{"a connection", plainly.Listener.Addr().String(), question{scheme: schemeTCP}, answered, 0, false},
		{"a connection, refused", closed.Addr().String(), question{scheme: schemeTCP}, refused, 0, false},
		{"no such host", "kubectl-velo.invalid:80", question{scheme: schemeTCP}, unreachable, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := (&calls{}).at(t.Context(), tt.address, tt.question)
			if got.fault != tt.fault || got.status != tt.status || (got.certificate != nil) != tt.shown || (got.err == nil) != (tt.fault == answered) {
				t.Errorf("the answer is %+v", got)
			}
		})
	}
}

func TestAtOthers(t *testing.T) {
	serve := func(answer string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				buf := make([]byte, 1024)
				_, _ = conn.Read(buf)
				_, _ = io.WriteString(conn, answer)
				_ = conn.Close()
			}
		}()
		return l.Addr().String()
	}
	if got := (&calls{}).at(t.Context(), serve("-ERR unknown command\r\n"), question{scheme: schemeHTTP, path: "/"}); got.fault != strange {
		t.Errorf("another protocol: %+v", got)
	}
	if got := (&calls{}).at(t.Context(), serve(""), question{scheme: schemeHTTP, path: "/"}); got.fault != dropped {
		t.Errorf("a closed connection: %+v", got)
	}
}

func TestProxied(t *testing.T) {
	says := func(code int, reason metav1.StatusReason, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(metav1.Status{
				TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
			})
		}
	}
	trying := func(reason string) http.HandlerFunc {
		return says(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "error trying to reach service: "+reason)
	}
	service := Object{KindService, "shop", "web"}
	tests := []struct {
		name   string
		server http.HandlerFunc
		fault  fault
		status int
	}{
		{"answered", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/v1/namespaces/shop/services/http:web:80/proxy/x" || r.URL.RawQuery != "y=z" || r.Header.Get("Authorization") != "Bearer token" {
				w.WriteHeader(http.StatusTeapot)
			}
		}, answered, 200},
		{"forbidden by the process", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"message":"no"}`)
		}, answered, 403},
		{"forbidden", says(http.StatusForbidden, metav1.StatusReasonForbidden, `services "web" is forbidden`), forbidden, 0},
		{"no endpoints", says(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, `no endpoints available for service "web"`), noEndpoints, 0},
		{"refused", trying("dial tcp 10.1.0.7:8080: connect: connection refused"), refused, 0},
		{"timed out", trying("dial tcp 10.1.0.7:8080: i/o timeout"), unreachable, 0},
		{"not HTTP", trying(`net/http: HTTP/1.x transport connection broken: malformed HTTP response "x"`), strange, 0},
		{"closed", trying("EOF"), dropped, 0},
		{"something else", says(http.StatusInternalServerError, metav1.StatusReasonInternalError, "oops"), other, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.server)
			defer server.Close()
			c, err := newCalls(&rest.Config{Host: server.URL, BearerToken: "token"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.http.CloseIdleConnections()
			got := c.proxied(t.Context(), service, "80", question{scheme: schemeHTTP, path: "/x?y=z"})
			if got.fault != tt.fault || got.status != tt.status {
				t.Errorf("the answer is %+v", got)
			}
			if got.err != nil && strings.Contains(got.err.Error(), server.URL) {
				t.Errorf("the URL is in the error: %v", got.err)
			}
		})
	}
}

// refusal is the word of the kubelet that comes after a while.
type refusal struct {
	net.Conn

	after time.Duration
}

func (r refusal) Read([]byte) (int, error) {
	time.Sleep(r.after)
	return 0, errors.New("error forwarding port 80 to pod: dial tcp4 127.0.0.1:80: connect: connection refused")
}

func TestTaken(t *testing.T) {
	tests := []struct {
		name  string
		speak func(conn net.Conn)
		wrap  func(conn net.Conn) net.Conn
		fault fault
		took  time.Duration
	}{
		{name: "silent", fault: answered, took: refusalTimeout},
		{name: "speaks first", speak: func(conn net.Conn) { _, _ = io.WriteString(conn, "*") }, fault: answered},
		{name: "closed", speak: func(conn net.Conn) { _ = conn.Close() }, fault: answered},
		{
			name: "refused", wrap: func(conn net.Conn) net.Conn { return refusal{conn, time.Second} },
			fault: refused, took: time.Second,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer far.Close()
				if tt.wrap != nil {
					near = tt.wrap(near)
				}
				if tt.speak != nil {
					go tt.speak(far)
				}
				began := time.Now()
				if got := taken(t.Context(), near); got.fault != tt.fault || time.Since(began) != tt.took {
					t.Errorf("%+v after %v", got, time.Since(began))
				}
				_ = near.Close()
			})
		})
	}
}
