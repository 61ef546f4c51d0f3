// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

func proxyPod(namespace, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{
			"app.kubernetes.io/managed-by": "kubectl-velo", "app.kubernetes.io/name": "traffic-proxy",
			"kubectl-velo.github.io/service": strings.TrimSuffix(name, "-proxy"), "kubectl-velo.github.io/session": "1a2b",
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Image: "example.org/traffic-proxy:v1", Args: []string{"--tunnel=127.0.0.1:9021"},
		}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

// asked answers for traffic-proxies of all kinds.
func asked(_ context.Context, r trafficproxy.Running) (proxy.Peer, error) {
	switch r.Pod {
	case "old-proxy":
		return proxy.Peer{Protocol: proxy.ProtocolVersion - 1}, nil
	case "new-proxy":
		return proxy.Peer{Version: "v2.0.0", Protocol: proxy.ProtocolVersion + 1}, nil
	case "mute-proxy":
		return proxy.Peer{}, errors.New("no answer")
	}
	return proxy.Peer{Version: "v1.2.3", Protocol: proxy.ProtocolVersion}, nil
}

const pluginVersion = `Plugin: dev
Tunnel protocol: 1
Traffic-proxy image: ghcr.io/kubectl-velo/traffic-proxy:dev
`

func TestVersion(t *testing.T) {
	t.Setenv(proxyImageEnv, "")
	tests := []struct {
		name             string
		options          versionOptions
		pods             []runtime.Object
		wantOut, wantErr string
	}{
		{
			name: "no traffic-proxy", wantOut: pluginVersion, wantErr: "No traffic-proxies found in shop namespace.\n",
			pods: []runtime.Object{proxyPod("bank", "ledger-proxy")},
		},
		{
			name: "some", pods: []runtime.Object{
				proxyPod("shop", "cart-proxy"), proxyPod("shop", "old-proxy"), proxyPod("shop", "new-proxy"), proxyPod("shop", "mute-proxy"),
			},
			wantOut: pluginVersion + `
TRAFFIC-PROXY   VERSION   PROTOCOL   GOES WITH PLUGIN
cart-proxy      v1.2.3    1          yes
mute-proxy      unknown   unknown    unknown
new-proxy       v2.0.0    2          no: it is newer
old-proxy       unknown   0          no: it is older
`,
			wantErr: "⚠ pod shop/mute-proxy doesn't say its version: no answer\n",
		},
		{
			name: "in all namespaces", options: versionOptions{allNamespaces: true},
			pods: []runtime.Object{proxyPod("shop", "cart-proxy"), proxyPod("bank", "ledger-proxy")},
			wantOut: pluginVersion + `
NAMESPACE   TRAFFIC-PROXY   VERSION   PROTOCOL   GOES WITH PLUGIN
bank        ledger-proxy    v1.2.3    1          yes
shop        cart-proxy      v1.2.3    1          yes
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			streams, _, out, errOut := genericiooptions.NewTestIOStreams()
			o := tt.options
			o.streams, o.ask = streams, asked
			o.cluster = &cluster{client: fake.NewClientset(tt.pods...), namespace: "shop"}
			if err := o.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.wantOut {
				t.Errorf("stdout is\n%swant\n%s", out, tt.wantOut)
			}
			if errOut.String() != tt.wantErr {
				t.Errorf("stderr is\n%swant\n%s", errOut, tt.wantErr)
			}
		})
	}
}

func TestVersionJSON(t *testing.T) {
	t.Setenv(proxyImageEnv, "registry.internal/velo/traffic-proxy")
	streams, _, out, _ := genericiooptions.NewTestIOStreams()
	o := versionOptions{output: "json", streams: streams, ask: asked, cluster: &cluster{
		client: fake.NewClientset(proxyPod("shop", "new-proxy")), namespace: "shop",
	}}
	if err := o.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got Versions
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Kind != "Versions" || got.Plugin.ProxyImage != "registry.internal/velo/traffic-proxy:dev" || len(got.TrafficProxies) != 1 {
		t.Fatalf("got %+v", got)
	}
	p := got.TrafficProxies[0]
	if p.Service != "new" || p.Version != "v2.0.0" || p.Protocol != 2 || p.Compatible == nil || *p.Compatible {
		t.Errorf("got %+v", p)
	}
}

// What is known without the cluster is printed without it.
func TestVersionWithoutCluster(t *testing.T) {
	t.Setenv(proxyImageEnv, "")
	client := fake.NewClientset()
	refused := errors.New("nobody is there")
	client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, refused })
	streams, _, out, _ := genericiooptions.NewTestIOStreams()
	o := versionOptions{streams: streams, ask: asked, cluster: &cluster{client: client, namespace: "shop"}}
	if err := o.run(t.Context()); !errors.Is(err, refused) {
		t.Errorf("got %v, want %v", err, refused)
	}
	if out.String() != pluginVersion {
		t.Errorf("stdout is\n%s", out)
	}
}
