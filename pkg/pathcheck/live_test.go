// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// answers are an asker's. What it is asked, it remembers.
type answers struct {
	front, service, pod, loopback answer

	mu    sync.Mutex
	asked []string
}

func (a *answers) hear(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, what)
}

func (a *answers) at(_ context.Context, address string, q question) answer {
	a.hear(q.title(address))
	return a.front
}

func (a *answers) proxied(_ context.Context, of Object, port string, q question) answer {
	a.hear(q.scheme + " " + of.String() + ":" + port + q.path)
	if of.Kind == "pod" {
		return a.pod
	}
	return a.service
}

func (a *answers) forwarded(_ context.Context, _ Object, _ int32, q question) answer {
	a.hear(q.scheme + " loopback" + q.path)
	return a.loopback
}

func fails(f fault) answer { return answer{fault: f, err: errors.New("the reason")} }

func TestLiveCauses(t *testing.T) {
	ok := answer{status: http.StatusOK}
	const path = "ingress shop/web → service shop/web: "
	tests := []struct {
		name    string
		make    func(s *shop)
		request Request
		answers answers
		broken  string
		// states are those of the live hops, in order.
		states string
	}{
		{
			name: "all is well", answers: answers{front: ok, service: ok, pod: ok, loopback: ok},
			states: "ok ok ok ok",
		},
		{
			name: "out of reach", answers: answers{front: fails(unreachable), service: ok, pod: ok, loopback: ok},
			states: "unknown ok ok ok",
		},
		{
			name: "the front alone", answers: answers{front: answer{status: http.StatusBadGateway}, service: ok, pod: ok, loopback: ok},
			broken: "GET https://shop.test/ at 192.0.2.80:443 is answered with 502", states: "broken ok ok ok",
		},
		{
			name: "a front that refuses", answers: answers{front: fails(refused), service: ok, pod: ok, loopback: ok},
			broken: "GET https://shop.test/ at 192.0.2.80:443: the connection is refused", states: "broken ok ok ok",
		},
		{
			name: "a front at the loopback of another machine", make: func(s *shop) { s.ingress.Status.LoadBalancer.Ingress[0].IP = "127.0.0.1" },
			answers: answers{front: fails(refused), service: ok, pod: ok, loopback: ok}, states: "unknown ok ok ok",
		},
		{
			name: "a front that fails at the loopback", make: func(s *shop) { s.ingress.Status.LoadBalancer.Ingress[0].IP = "127.0.0.1" },
			answers: answers{front: answer{status: http.StatusBadGateway}, service: ok, pod: ok, loopback: ok},
			broken:  "GET https://shop.test/ at 127.0.0.1:443 is answered with 502", states: "broken ok ok ok",
		},
		{
			name: "a front that doesn't know the host", answers: answers{front: answer{status: http.StatusNotFound}, service: ok, pod: ok, loopback: ok},
			states: "warning ok ok ok",
		},
		{
			name: "not found by anybody",
			answers: answers{
				front: answer{status: http.StatusNotFound}, service: answer{status: http.StatusNotFound},
				pod: answer{status: http.StatusNotFound}, loopback: answer{status: http.StatusNotFound},
			},
			states: "ok ok ok ok",
		},
		{
			name: "on 127.0.0.1 only", answers: answers{front: answer{status: http.StatusBadGateway}, service: fails(refused), pod: fails(refused), loopback: ok},
			broken: "what listens at port 8080 of pod shop/web-1 does so on 127.0.0.1 only: from elsewhere connections are refused",
			states: "broken broken broken ok",
		},
		{
			name: "nothing listens", answers: answers{front: answer{status: http.StatusBadGateway}, service: fails(refused), pod: fails(refused), loopback: fails(refused)},
			broken: "nothing listens at target port 8080 of pod shop/web-1; its containers have http (8080)",
			states: "broken broken broken broken",
		},
		{
			name: "the process fails",
			answers: answers{
				front: answer{status: http.StatusInternalServerError}, service: answer{status: http.StatusInternalServerError},
				pod: answer{status: http.StatusInternalServerError}, loopback: answer{status: http.StatusInternalServerError},
			},
			broken: "GET / of port 8080 of its loopback is answered with 500", states: "broken broken broken broken",
		},
		{
			name: "the process hangs", answers: answers{front: fails(silent), service: fails(silent), pod: fails(silent), loopback: fails(silent)},
			broken: "GET / of port 8080 of its loopback gets no answer within 8s", states: "broken broken broken broken",
		},
		{
			name: "an API server that reaches no pods", answers: answers{front: ok, service: fails(unreachable), pod: fails(silent), loopback: ok},
			states: "ok unknown unknown ok",
		},
		{
			name:    "an API server that finds no endpoints where there are EndpointSlices",
			answers: answers{front: ok, service: fails(noEndpoints), pod: ok, loopback: ok}, states: "ok unknown ok ok",
		},
		{
			name: "no rights", answers: answers{front: ok, service: fails(forbidden), pod: fails(forbidden), loopback: fails(forbidden)},
			states: "ok unknown unknown unknown",
		},
		{
			name: "not on the loopback", answers: answers{front: ok, service: ok, pod: ok, loopback: fails(refused)},
			states: "ok ok ok warning",
		},
		{
			name: "an expected status", request: Request{Expect: []StatusRange{{200, 299}, {404, 404}}},
			answers: answers{front: answer{status: http.StatusFound}, service: ok, pod: ok, loopback: ok},
			broken:  "GET https://shop.test/ at 192.0.2.80:443 is answered with 302, not with 200-299 or 404", states: "broken ok ok ok",
		},
		{
			name: "a header that is the API server's", request: Request{Header: http.Header{"Authorization": {"Bearer secret"}}},
			answers: answers{front: ok, loopback: ok}, states: "ok unknown unknown ok",
		},
		{
			name: "an untrusted front", request: Request{Header: http.Header{"Cookie": {"a=b"}}},
			make: func(*shop) {}, answers: answers{front: ok, service: ok, pod: ok, loopback: ok}, states: "ok ok ok ok",
		},
		{
			name:    "broken without asking behind",
			make:    func(s *shop) { s.service.Spec.Selector = map[string]string{"app": "web-v2"} },
			answers: answers{front: answer{status: http.StatusServiceUnavailable}},
			broken:  "selector app=web-v2 matches no pod; pods of deployment shop/web have app=web", states: "broken",
		},
		{
			name: "without an address", make: func(s *shop) { s.ingress.Status = networkingv1.IngressStatus{} },
			answers: answers{service: ok, pod: ok, loopback: ok}, states: "unknown ok ok ok",
		},
		{
			name: "another's path", make: func(s *shop) { s.ingress.Spec.Rules[0].HTTP.Paths[0].Path = "/shop" }, request: Request{Path: "/api"},
			answers: answers{service: ok, pod: ok, loopback: ok}, states: "unknown ok ok ok",
		},
		{
			name: "not HTTP", make: func(s *shop) { s.service.Spec.Ports[0].AppProtocol = new("kubernetes.io/h2c") },
			answers: answers{front: ok, loopback: answer{}}, states: "ok unknown unknown ok",
		},
		{
			name: "not HTTP after all", answers: answers{front: ok, service: fails(strange), pod: fails(strange), loopback: fails(strange)},
			states: "ok unknown unknown ok",
		},
		{
			name: "UDP", make: func(s *shop) {
				s.service.Spec.Ports[0].Protocol = corev1.ProtocolUDP
				s.service.Spec.Ports[0].TargetPort.StrVal = "dns"
				s.udp()
			},
			answers: answers{front: ok}, states: "ok unknown",
		},
	}
	for i := range tests {
		tt := &tests[i]
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			if tt.make != nil {
				tt.make(s)
			}
			checker := s.checker(s.client())
			checker.Static, checker.ask, checker.Request = false, &tt.answers, tt.request
			r, err := checker.Check(t.Context(), ingressTarget)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if tt.broken != "" {
				want = []string{path + tt.broken}
			}
			if got := r.Broken(); !slices.Equal(got, want) {
				t.Errorf("broken is %q,\nwant %q\n%s", got, want, said(r))
			}
			var states []string
			for _, hop := range r.Paths[0].Hops {
				if hop.Live {
					states = append(states, string(hop.State))
				}
				if strings.Contains(hop.Message, "secret") && hop.Live {
					t.Errorf("a header's value is said: %s", hop.Message)
				}
			}
			if got := strings.Join(states, " "); got != tt.states {
				t.Errorf("live hops are %s, want %s\n%s", got, tt.states, said(r))
			}
			again, err := checker.Check(t.Context(), ingressTarget)
			if err != nil || said(again) != said(r) {
				t.Errorf("a second check says something else: %v\n%s\n%s", err, said(r), said(again))
			}
		})
	}
}

// udp has the pod's port be one of UDP.
func (s *shop) udp() {
	s.pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}}
}

// All paths that share a Service ask it once.
func TestAskedOnce(t *testing.T) {
	s := newShop(t)
	asked := &answers{front: answer{status: 200}, service: answer{status: 200}, pod: answer{status: 200}, loopback: answer{status: 200}}
	checker := s.checker(s.client())
	checker.Static, checker.ask, checker.Request = false, asked, Request{Path: "/healthz?full"}
	r, err := checker.Check(t.Context(), serviceTarget)
	if err != nil || r.State() != OK || len(r.Paths) != 2 {
		t.Fatalf("%v\n%s", err, said(r))
	}
	slices.Sort(asked.asked)
	want := []string{
		"GET https://shop.test/healthz?full at 192.0.2.80:443",
		"http loopback/healthz?full",
		"http pod shop/web-1:8080/healthz?full",
		"http service shop/web:http/healthz?full",
	}
	if !slices.Equal(asked.asked, want) {
		t.Errorf("asked was\n%s\nwant\n%s", strings.Join(asked.asked, "\n"), strings.Join(want, "\n"))
	}
}

func TestScheme(t *testing.T) {
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Scheme: corev1.URISchemeHTTPS}}}
	tests := []struct {
		name string
		port corev1.ServicePort
		http bool
		edit func(*corev1.Pod)
		want string
	}{
		{name: "by its name", port: corev1.ServicePort{Name: "http-admin", Port: 9000}, want: schemeHTTP},
		{name: "by its name, with TLS", port: corev1.ServicePort{Name: "https", Port: 9000}, want: schemeHTTPS},
		{name: "by its protocol", port: corev1.ServicePort{Name: "x", Port: 9000, AppProtocol: new("kubernetes.io/wss")}, want: schemeHTTPS},
		{name: "of another protocol", port: corev1.ServicePort{Name: "http", Port: 80, AppProtocol: new("mysql")}, want: schemeTCP},
		{name: "of another name", port: corev1.ServicePort{Name: "redis", Port: 6379}, want: schemeTCP},
		{name: "gRPC", port: corev1.ServicePort{Name: "grpc-http", Port: 80}, want: schemeTCP},
		{name: "by its front", port: corev1.ServicePort{Name: "app", Port: 9000}, http: true, want: schemeHTTP},
		{name: "by its number", port: corev1.ServicePort{Port: 80}, want: schemeHTTP},
		{name: "by its number, with TLS", port: corev1.ServicePort{Port: 443}, want: schemeHTTPS},
		{name: "by nothing", port: corev1.ServicePort{Port: 5432}, want: schemeTCP},
		{name: "by its probe", port: corev1.ServicePort{Name: "app", Port: 9000}, want: schemeHTTPS, edit: func(pod *corev1.Pod) {
			p := probe.DeepCopy()
			p.HTTPGet.Port.IntVal = 8080
			pod.Spec.Containers[0].ReadinessProbe = p
		}},
		{name: "not UDP", port: corev1.ServicePort{Name: "http", Port: 80, Protocol: corev1.ProtocolUDP}, want: ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pod := newShop(t).pod
			if tt.edit != nil {
				tt.edit(pod)
			}
			if tt.port.Protocol == "" {
				tt.port.Protocol = corev1.ProtocolTCP
			}
			tail := &tail{backend: &backend{pods: []corev1.Pod{*pod}}, port: tt.port, target: 8080, http: tt.http}
			if tt.name == "by its number, with TLS" || tt.name == "by nothing" {
				tail.target = 9999
			}
			if got := tail.scheme(); got != tt.want {
				t.Errorf("it is asked by %q, want %q", got, tt.want)
			}
		})
	}
}
