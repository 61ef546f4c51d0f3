// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/yaml"
)

const httpRouteYAML = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{name: front, sectionName: tls}]
  hostnames: [shop.test]
  rules:
  - matches: [{path: {type: PathPrefix, value: /shop}}]
    backendRefs: [{name: web, port: 80}]
status:
  parents:
  - parentRef: {name: front, sectionName: tls}
    conditions: [{type: Accepted, status: "True", reason: Accepted, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]
`

const gatewayYAML = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  gatewayClassName: envoy
  listeners:
  - {name: plain, port: 80, protocol: HTTP}
  - name: tls
    hostname: "*.test"
    port: 443
    protocol: HTTPS
    tls: {certificateRefs: [{name: web-tls}]}
status:
  addresses: [{value: 192.0.2.90}]
  conditions: [{type: Programmed, status: "True", reason: Programmed, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]
`

// gateways is a client for objects of the Gateway API.
func gateways(t *testing.T, objects []*unstructured.Unstructured) dynamic.Interface {
	t.Helper()
	client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		gatewayResource("httproutes"): "HTTPRouteList", gatewayResource("gateways"): "GatewayList",
	})
	for _, object := range objects {
		resource := gatewayResource(strings.ToLower(object.GetKind()) + "s")
		if _, err := client.Resource(resource).Namespace(object.GetNamespace()).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return client
}

func TestHTTPRoute(t *testing.T) {
	const path = "gateway shop/front → httproute shop/web → service shop/web: "
	tests := []struct {
		name           string
		route, gateway func(string) string
		make           func(*shop)
		title, broken  string
		state          State
	}{
		{name: "all is well", state: OK},
		{
			name: "not accepted", state: Broken,
			route: func(s string) string {
				return strings.Replace(s, `status: "True", reason: Accepted, message: ""`, `status: "False", reason: NoMatchingListenerHostname, message: no listener`, 1)
			},
			broken: path + "gateway shop/front says NoMatchingListenerHostname: no listener",
		},
		{
			name: "taken up by nobody", state: Warning,
			route: func(s string) string {
				before, _, _ := strings.Cut(s, "status:")
				return before
			},
		},
		{
			name: "no Gateway", state: Broken, gateway: func(string) string { return "" },
			broken: path + "gateway shop/front doesn't exist",
		},
		{
			name: "a Gateway that isn't there yet", state: Broken,
			gateway: func(s string) string {
				return strings.Replace(s, `status: "True", reason: Programmed, message: ""`, `status: "False", reason: AddressNotAssigned, message: pending`, 1)
			},
			broken: path + "gateway shop/front isn't programmed: AddressNotAssigned: pending",
		},
		{
			name: "no certificate", state: Broken, make: func(s *shop) { s.secret = nil },
			broken: path + "secret shop/web-tls, where the certificate for shop.test should be, doesn't exist",
		},
		{
			name: "no such port", state: Broken,
			route:  func(s string) string { return strings.Replace(s, "port: 80", "port: 81", 1) },
			broken: path + "service shop/web has no port 81; it has 80 (http)",
		},
		{
			name: "wrong selector", state: Broken,
			make:   func(s *shop) { s.service.Spec.Selector = map[string]string{"app": "web-v2"} },
			broken: path + "selector app=web-v2 matches no pod; pods of deployment shop/web have app=web",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			s.ingress = nil
			if tt.make != nil {
				tt.make(s)
			}
			var objects []*unstructured.Unstructured
			for _, one := range []struct {
				text string
				edit func(string) string
			}{{httpRouteYAML, tt.route}, {gatewayYAML, tt.gateway}} {
				text := one.text
				if one.edit != nil {
					text = one.edit(text)
				}
				object := &unstructured.Unstructured{}
				if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
					t.Fatal(err)
				}
				if object.Object != nil {
					objects = append(objects, object)
				}
			}
			client := s.client()
			client.Discovery().(*fakediscovery.FakeDiscovery).Resources = []*metav1.APIResourceList{{GroupVersion: "gateway.networking.k8s.io/v1"}}
			checker := s.checker(client)
			checker.gateway = gateways(t, objects)
			asked := &answers{front: answer{status: 200}, service: answer{status: 200}, pod: answer{status: 200}, loopback: answer{status: 200}}
			checker.Static, checker.ask = false, asked
			r, err := checker.Check(t.Context(), Target{KindHTTPRoute, "shop", "web"})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if tt.broken != "" {
				want = []string{tt.broken}
			}
			if got := r.Broken(); !slices.Equal(got, want) || r.State() != tt.state {
				t.Errorf("it is %s: %q,\nwant %s, %q\n%s", r.State(), got, tt.state, want, said(r))
			}
			if asks := slices.Contains(asked.asked, "GET https://shop.test/shop at 192.0.2.90:443"); asks != (tt.name != "no Gateway") {
				t.Errorf("asked was %q", asked.asked)
			}
			of, err := checker.Check(t.Context(), serviceTarget)
			if err != nil || len(of.Paths) != 2 && tt.name != "no such port" {
				t.Errorf("of the Service it says %v\n%s", err, said(of))
			}
		})
	}
}
