// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var epochs = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ingress makes an Ingress of rules like "shop.example/cart cart:80" or "=/exact cart:web"; age orders them.
func ingress(name string, age int, rules ...string) *networkingv1.Ingress {
	ing := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(epochs.Add(-time.Duration(age) * time.Hour)),
	}}
	for _, r := range rules {
		where, to, _ := strings.Cut(r, " ")
		kind := networkingv1.PathTypePrefix
		if rest, ok := strings.CutPrefix(where, "="); ok {
			where, kind = rest, networkingv1.PathTypeExact
		}
		host, path := where, ""
		if i := strings.Index(where, "/"); i >= 0 {
			host, path = where[:i], where[i:]
		}
		ing.Spec.Rules = append(ing.Spec.Rules, networkingv1.IngressRule{
			Host: host,
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{Path: path, PathType: &kind, Backend: *serviceBackend(to)}},
			}},
		})
	}
	return ing
}

func serviceBackend(to string) *networkingv1.IngressBackend {
	name, port, _ := strings.Cut(to, ":")
	b := &networkingv1.IngressServiceBackend{Name: name}
	if _, err := fmt.Sscan(port, &b.Port.Number); err != nil {
		b.Port.Name = port
	}
	return &networkingv1.IngressBackend{Service: b}
}

func find(namespace, name string) *corev1.Service {
	ips := map[string]string{"shop/cart": "10.96.0.1", "shop/web": "10.96.0.2", "shop/headless": "None", "shop/external": ""}
	ip, ok := ips[namespace+"/"+name]
	if !ok {
		return nil
	}
	return &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: []corev1.ServicePort{
		{Name: "metrics", Port: 9090}, {Name: "http", Port: 80},
	}}}
}

func noSecret(_, _ string) *corev1.Secret { return nil }

func TestRoutes(t *testing.T) {
	other := "traefik"
	foreign := ingress("foreign", 0, "/ cart:80")
	foreign.Spec.IngressClassName = &other
	fallback := ingress("fallback", 0)
	fallback.Spec.DefaultBackend = serviceBackend("web:80")

	for _, tt := range []struct {
		name      string
		ingresses []*networkingv1.Ingress
		want      []string
	}{
		{"none", nil, []string{"*:"}},
		{"root", []*networkingv1.Ingress{ingress("a", 0, "/ cart:80")}, []string{"*: /→10.96.0.1:80"}},
		{"no path is the root", []*networkingv1.Ingress{ingress("a", 0, "x cart:80")}, []string{"*:", "x: /→10.96.0.1:80"}},
		{
			"a prefix is of elements",
			[]*networkingv1.Ingress{ingress("a", 0, "/shop/ cart:http")},
			[]string{"*: =/shop→10.96.0.1:80 /shop/→10.96.0.1:80"},
		},
		{"exact", []*networkingv1.Ingress{ingress("a", 0, "=/shop cart:metrics")}, []string{"*: =/shop→10.96.0.1:9090"}},
		{
			"exact before a prefix that is older",
			[]*networkingv1.Ingress{ingress("a", 1, "/shop cart:80"), ingress("b", 0, "=/shop web:80")},
			[]string{"*: =/shop→10.96.0.2:80 /shop/→10.96.0.1:80"},
		},
		{
			"the older has it",
			[]*networkingv1.Ingress{ingress("a", 0, "/ cart:80"), ingress("b", 1, "/ web:80")},
			[]string{"*: /→10.96.0.2:80"},
		},
		{
			"of one age, the first by name",
			[]*networkingv1.Ingress{ingress("b", 0, "/ web:80"), ingress("a", 0, "/ cart:80")},
			[]string{"*: /→10.96.0.1:80"},
		},
		{
			"without a host is for all hosts",
			[]*networkingv1.Ingress{ingress("a", 0, "x/cart cart:80"), ingress("b", 0, "/ web:80")},
			[]string{"*: /→10.96.0.2:80", "x: /→10.96.0.2:80 =/cart→10.96.0.1:80 /cart/→10.96.0.1:80"},
		},
		{
			"a default comes after all rules",
			[]*networkingv1.Ingress{fallback, ingress("b", 0, "x/ cart:80")},
			[]string{"*: /→10.96.0.2:80", "x: /→10.96.0.1:80"},
		},
		{"another class", []*networkingv1.Ingress{foreign}, []string{"*:"}},
		{
			"no such Service, port or address",
			[]*networkingv1.Ingress{
				ingress("a", 0, "=/a absent:80", "=/b cart:81", "=/c headless:80", "=/d external:80"),
			},
			[]string{"*: =/a→ =/b→ =/c→ =/d→"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, s := range routes(tt.ingresses, find, noSecret) {
				line := s.Host + ":"
				if s.Host == "" {
					line = "*:"
				}
				for _, l := range s.Locations {
					line += map[bool]string{true: " =", false: " "}[l.Exact] + l.Path + "→" + l.Target
				}
				got = append(got, line)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// What nginx makes of it: the real one, answering real requests.
func TestNginx(t *testing.T) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Skip("nginx is not installed")
		}
	}
	t.Setenv("PATH", filepath.Dir(program)+string(os.PathListSeparator)+os.Getenv("PATH"))
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %d", r.Host, r.URL, r.Header.Get("X-Forwarded-Proto"), len(body))
	}))
	defer backend.Close()
	target := backend.Listener.Addr().String()

	dir, err := os.MkdirTemp("", "nginx") //nolint:usetesting // t.TempDir's path is too long for a unix socket's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // its workers are not root
		t.Fatal(err)
	}
	ports := Ports{freePort(t), freePort(t)}
	if err := Prepare(dir, ports); err != nil {
		t.Fatal(err)
	}
	command := Command(program, dir)
	cmd := exec.Command(command[0], command[1:]...)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	}()

	n := nginx{dir: dir, ports: ports}
	waitFor(t, func() bool { g, err := n.generation(t.Context()); return err == nil && g == "none" })
	get := func(host, path string, body io.Reader) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d%s", ports.HTTP, path), body)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(data)
	}
	if status, _ := get("x", "/", nil); status != 404 {
		t.Errorf("without an Ingress: %d", status)
	}

	servers := []server{
		{Locations: []location{{Path: "/cart", Exact: true, Target: target}, {Path: "/cart/", Target: target}, {Path: "/gone/"}}},
		{Host: "*.shop.example", Locations: []location{{Path: "/", Target: target}}},
		{Host: "www.shop.example", Locations: []location{{Path: `/odd "path" {$x;}/`, Target: target}}},
	}
	if err := n.load(t.Context(), "1", servers); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		host, path string
		status     int
		body       string
	}{
		{"any", "/cart", 200, "any /cart http 0"},
		{"any", "/cart/a%20b?q=1", 200, "any /cart/a%20b?q=1 http 0"},
		{"any", "/cartoon", 404, ""},
		{"any", "/", 404, ""},
		{"any", "/gone/x", 503, ""},
		{"a.shop.example", "/x", 200, "a.shop.example /x http 0"},
		{"a.b.shop.example", "/x", 404, ""}, // a wildcard is one label; this falls to the default
		{"www.shop.example", "/x", 404, ""},
		{"www.shop.example", "/odd%20%22path%22%20%7B$x;%7D/", 200, "www.shop.example /odd%20%22path%22%20%7B$x;%7D/ http 0"},
	} {
		status, body := get(tt.host, tt.path, nil)
		if status != tt.status || tt.body != "" && body != tt.body {
			t.Errorf("%s%s: %d %q, want %d %q", tt.host, tt.path, status, body, tt.status, tt.body)
		}
	}
	const large = 4 << 20 // more than nginx takes unless told
	if status, body := get("any", "/cart", strings.NewReader(strings.Repeat("x", large))); status != 200 || !strings.HasSuffix(body, fmt.Sprint(large)) {
		t.Errorf("large body: %d %q", status, body)
	}

	ofShop := selfSignedFor(t, "www.shop.example")
	servers[2].Certificate = ofShop
	if err := n.load(t.Context(), "tls", servers); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ host, certified, body string }{
		{"www.shop.example", "www.shop.example", ""},
		{"a.shop.example", fallbackHost, "a.shop.example /cart https 0"},
		{"any", fallbackHost, "any /cart https 0"},
	} {
		certified, body := getTLS(t, ports.HTTPS, tt.host, "/cart")
		if certified != tt.certified || tt.body != "" && body != tt.body {
			t.Errorf("https://%s/cart: certificate of %s, %q; want %s, %q", tt.host, certified, body, tt.certified, tt.body)
		}
	}

	// One that nginx refuses must not take the good one out of force.
	if err := n.load(t.Context(), "2", []server{{Locations: []location{{Path: "/", Target: "not an address"}}}}); err == nil {
		t.Error("a bad configuration was loaded")
	}
	if status, _ := get("any", "/cart", nil); status != 200 {
		t.Errorf("after a bad configuration: %d", status)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited too long")
		}
	}
}
