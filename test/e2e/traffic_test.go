// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// What connections carry arrives, whole, whatever they are.
func TestTraffic(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	v := e.intercept("web", port(l.http, "http"), port(l.echo, "echo"), port(l.digest, "digest"))
	e.answeredBy("http://web/", localName)
	e.traffic(t)
	v.interrupt()
	e.nothingLeft()
}

func (e *env) traffic(t *testing.T) {
	tests := []struct {
		name string
		args []string
	}{
		{"100 MiB each way", []string{"transfer", "--url=http://web", "--bytes=104857600"}},
		{"200 connections at once", []string{"concurrent", "--url=http://web", "--count=200"}},
		{"half-close", []string{"digest", "--address=web:7001", "--bytes=3000000"}},
		{"half-close of nothing", []string{"digest", "--address=web:7001", "--bytes=0"}},
		{"WebSocket", []string{"websocket", "--url=ws://web/ws"}},
		{"raw TCP", []string{"echo", "--address=web:9000", "--bytes=33554432"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sub := e.within(t)
			var saw map[string]any
			sub.mustCall(&saw, test.args...)
			t.Log(saw)
		})
	}
}

// An API server, or something before it, that doesn't speak WebSocket.
func TestFallbackToSPDY(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	var webSocket, spdy atomic.Int32
	target, err := url.Parse(e.config.Host)
	if err != nil {
		t.Fatal(err)
	}
	upstream := rest.CopyConfig(e.config)
	upstream.NextProtos = []string{"http/1.1"} // HTTP/2 has no upgrades
	transport, err := rest.TransportFor(upstream)
	if err != nil {
		t.Fatal(err)
	}
	relay := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport,
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch upgrade := strings.ToLower(r.Header.Get("Upgrade")); {
		case upgrade == "websocket":
			webSocket.Add(1)
			http.Error(w, "no WebSocket here", http.StatusBadRequest)
			return
		case strings.HasPrefix(upgrade, "spdy"):
			spdy.Add(1)
		}
		relay.ServeHTTP(w, r)
	}))
	defer server.Close()

	e = e.within(t)
	direct := *e
	e.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: server.URL, InsecureSkipTLSVerify: true}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c"}},
		CurrentContext: "c",
	}, e.kubeconfig); err != nil {
		t.Fatal(err)
	}
	v := e.intercept("web", port(l.http, "http"), port(l.echo, "echo"), port(l.digest, "digest"))
	direct.answeredBy("http://web/", localName)
	direct.traffic(t)
	// A traffic-proxy that isn't listening yet is tried again, so that there may be more than one.
	if webSocket.Load() == 0 || webSocket.Load() != spdy.Load() {
		t.Errorf("%d attempts with WebSocket and %d with SPDY, instead of the same number", webSocket.Load(), spdy.Load())
	}
	v.interrupt()
	direct.nothingLeft()
}
