// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// threeIntercepts are one without an end, one with, and one that a dead session left.
func threeIntercepts() *InterceptList {
	now := time.Now().UTC()
	at := func(d time.Duration) *metav1.Time { return new(metav1.NewTime(now.Add(d))) }
	list := newInterceptList()
	list.Items = []Intercept{
		{
			Name: "cart", Namespace: "shop", Owner: "ada@laptop", Session: "1a2b3c4d", Since: *at(-90 * time.Minute),
			Proxy: "cart-traffic-proxy", Selector: map[string]string{"tier": "web", "app": "cart"},
		},
		{
			Name: "orders", Namespace: "shop", Owner: "bob@desk", Session: "5e6f7a8b", Since: *at(-time.Minute), Expires: at(time.Hour),
			Proxy: "orders-traffic-proxy", Selector: map[string]string{"app": "orders"},
		},
		{
			Name: "ledger", Namespace: "bank", Owner: "eve@phone", Session: "9c0d1e2f", Since: *at(-48 * time.Hour), Expires: at(-47 * time.Hour),
			Proxy: "ledger-traffic-proxy", Selector: map[string]string{"app": "ledger"},
		},
	}
	return list
}

func TestPrintStatus(t *testing.T) {
	tests := []struct {
		name    string
		options statusOptions
		want    string
	}{
		{
			name: "table",
			want: `
SERVICE   OWNER        AGE   EXPIRES
cart      ada@laptop   90m   never
orders    bob@desk     60s   in 60m
ledger    eve@phone    2d    47h ago
`,
		},
		{
			name: "all namespaces", options: statusOptions{allNamespaces: true},
			want: `
NAMESPACE   SERVICE   OWNER        AGE   EXPIRES
shop        cart      ada@laptop   90m   never
shop        orders    bob@desk     60s   in 60m
bank        ledger    eve@phone    2d    47h ago
`,
		},
		{
			name: "no headers", options: statusOptions{noHeaders: true},
			want: `
cart     ada@laptop   90m   never
orders   bob@desk     60s   in 60m
ledger   eve@phone    2d    47h ago
`,
		},
		{
			name: "wide", options: statusOptions{output: "wide"},
			want: `
SERVICE   OWNER        AGE   EXPIRES   SESSION    PROXY                  SELECTOR
cart      ada@laptop   90m   never     1a2b3c4d   cart-traffic-proxy     app=cart,tier=web
orders    bob@desk     60s   in 60m    5e6f7a8b   orders-traffic-proxy   app=orders
ledger    eve@phone    2d    47h ago   9c0d1e2f   ledger-traffic-proxy   app=ledger
`,
		},
		{
			name: "name", options: statusOptions{output: "name"},
			want: `
service/cart
service/orders
service/ledger
`,
		},
		{
			name: "json", options: statusOptions{output: "json"},
			want: `
{
    "kind": "InterceptList",
    "apiVersion": "kubectl-velo.github.io/v1alpha1",
    "items": [
        {
            "name": "cart",
            "namespace": "shop",
            "owner": "ada@laptop",
            "session": "1a2b3c4d",
            "since": "1999-12-31T22:30:00Z",
            "proxy": "cart-traffic-proxy",
            "selector": {
                "app": "cart",
                "tier": "web"
            }
        },
        {
            "name": "orders",
            "namespace": "shop",
            "owner": "bob@desk",
            "session": "5e6f7a8b",
            "since": "1999-12-31T23:59:00Z",
            "expires": "2000-01-01T01:00:00Z",
            "proxy": "orders-traffic-proxy",
            "selector": {
                "app": "orders"
            }
        },
        {
            "name": "ledger",
            "namespace": "bank",
            "owner": "eve@phone",
            "session": "9c0d1e2f",
            "since": "1999-12-30T00:00:00Z",
            "expires": "1999-12-30T01:00:00Z",
            "proxy": "ledger-traffic-proxy",
            "selector": {
                "app": "ledger"
            }
        }
    ],
    "forwards": []
}
`,
		},
		{
			name: "yaml", options: statusOptions{output: "yaml"},
			want: `
apiVersion: kubectl-velo.github.io/v1alpha1
forwards: []
items:
- name: cart
  namespace: shop
  owner: ada@laptop
  proxy: cart-traffic-proxy
  selector:
    app: cart
    tier: web
  session: 1a2b3c4d
  since: "1999-12-31T22:30:00Z"
- expires: "2000-01-01T01:00:00Z"
  name: orders
  namespace: shop
  owner: bob@desk
  proxy: orders-traffic-proxy
  selector:
    app: orders
  session: 5e6f7a8b
  since: "1999-12-31T23:59:00Z"
- expires: "1999-12-30T01:00:00Z"
  name: ledger
  namespace: bank
  owner: eve@phone
  proxy: ledger-traffic-proxy
  selector:
    app: ledger
  session: 9c0d1e2f
  since: "1999-12-30T00:00:00Z"
kind: InterceptList
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// In it the time is midnight of 2000-01-01, UTC.
			synctest.Test(t, func(t *testing.T) {
				o := tt.options
				streams, _, out, errOut := genericiooptions.NewTestIOStreams()
				o.streams = streams
				if err := o.print(threeIntercepts(), "shop", true); err != nil {
					t.Fatal(err)
				}
				if got := trimLines(out.String()); got != strings.TrimPrefix(tt.want, "\n") {
					t.Errorf("printed is\n%s\nwant%s", got, tt.want)
				}
				if errOut.Len() > 0 {
					t.Errorf("stderr: %s", errOut)
				}
			})
		})
	}
}

// trimLines removes the blanks that a table's last column is padded with.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

func TestPrintStatusOfNone(t *testing.T) {
	const hint = "hint: -A (--all-namespaces) looks in all namespaces\n"
	tests := []struct{ name, output, given, namespace, out, errOut string }{
		{"table", "", "shop", "shop", "", "No intercepts found in shop namespace.\n"},
		{"table, by default", "", "", "shop", "", "No intercepts found in shop namespace.\n" + hint},
		{"wide, by default", "wide", "", "shop", "", "No intercepts found in shop namespace.\n" + hint},
		{"wide, all namespaces", "wide", "", "", "", "No intercepts found in any namespace.\n"},
		{"name", "name", "", "shop", "", ""},
		{"json", "json", "", "shop", "{\n    \"kind\": \"InterceptList\",\n    \"apiVersion\": \"kubectl-velo.github.io/v1alpha1\",\n    \"items\": [],\n    \"forwards\": []\n}\n", ""},
		{"yaml", "yaml", "", "shop", "apiVersion: kubectl-velo.github.io/v1alpha1\nforwards: []\nitems: []\nkind: InterceptList\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			streams, _, out, errOut := genericiooptions.NewTestIOStreams()
			o := statusOptions{output: tt.output, namespace: tt.given, streams: streams}
			list, problems, err := (&cluster{client: fake.NewClientset()}).intercepts(t.Context(), tt.namespace)
			if err != nil || problems != nil {
				t.Fatal(err, problems)
			}
			if err := o.print(list, tt.namespace, true); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.out || errOut.String() != tt.errOut {
				t.Errorf("stdout %q, stderr %q; want %q, %q", out, errOut, tt.out, tt.errOut)
			}
		})
	}
}

const annotation = `{"version":1,"session":"1a2b3c4d","owner":"ada@laptop","since":"2026-01-02T03:04:05Z",` +
	`"expires":"2026-01-02T04:04:05Z","selector":{"app":"cart"},"proxy":"cart-traffic-proxy"}`

func service(namespace, name, intercept string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "u-1", ResourceVersion: "41"}}
	s.Spec.Selector = map[string]string{"app": name}
	s.Spec.Ports = []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}
	if intercept != "" {
		s.Annotations = map[string]string{selector.Annotation: intercept}
		s.Spec.Selector = map[string]string{selector.SessionLabel: "1a2b3c4d"}
	}
	return s
}

func TestStatus(t *testing.T) {
	client := fake.NewClientset(
		service("shop", "cart", annotation), service("shop", "orders", ""),
		service("shop", "broken", "{}"), service("bank", "ledger", annotation),
	)
	tests := []struct {
		name string
		all  bool
		want []string
	}{
		{"one namespace", false, []string{"service/cart"}},
		{"all namespaces", true, []string{"service/cart", "service/ledger"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			streams, _, out, errOut := genericiooptions.NewTestIOStreams()
			o := statusOptions{
				allNamespaces: tt.all, output: "name", streams: streams, cluster: &cluster{client: client, namespace: "shop"},
				sessions: answering(nil),
			}
			// What can be told is told, whatever else is wrong.
			err := o.run(t.Context())
			if !errors.Is(err, selector.ErrAnnotation) || !strings.Contains(err.Error(), "shop/broken") {
				t.Errorf("run: %v, want ErrAnnotation of shop/broken", err)
			}
			got := slices.Sorted(strings.Lines(out.String()))
			if want := strings.SplitAfter(strings.Join(tt.want, "\n")+"\n", "\n"); !slices.Equal(got, want[:len(want)-1]) {
				t.Errorf("stdout is %q, want %q", got, want)
			}
			if errOut.Len() > 0 {
				t.Errorf("stderr: %s", errOut)
			}
		})
	}
}

func TestListed(t *testing.T) {
	list, problems, err := (&cluster{client: fake.NewClientset(service("shop", "cart", annotation))}).intercepts(t.Context(), "shop")
	if err != nil || problems != nil || len(list.Items) != 1 {
		t.Fatal(list, problems, err)
	}
	got := list.Items[0]
	if got.Name != "cart" || got.Namespace != "shop" || got.Owner != "ada@laptop" || got.Session != "1a2b3c4d" ||
		got.Proxy != "cart-traffic-proxy" || got.Selector["app"] != "cart" ||
		!got.Since.Equal(new(metav1.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))) ||
		!got.Expires.Equal(new(metav1.Date(2026, 1, 2, 4, 4, 5, 0, time.UTC))) {
		t.Errorf("listed is %+v", got)
	}
}

func TestInterceptListDeepCopy(t *testing.T) {
	list := threeIntercepts()
	dup, ok := list.DeepCopyObject().(*InterceptList)
	if !ok || len(dup.Items) != 3 {
		t.Fatalf("the copy is %v", dup)
	}
	dup.Items[0].Selector["app"] = "changed"
	*dup.Items[1].Expires = metav1.Time{}
	if list.Items[0].Selector["app"] != "cart" || list.Items[1].Expires.IsZero() {
		t.Error("a change of the copy changes the original")
	}
}
