// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-velo/kubectl-velo/pkg/pathcheck"
)

var (
	webTarget  = pathcheck.Target{Kind: pathcheck.KindService, Namespace: "shop", Name: "web"}
	webService = webTarget.Object()
	webIngress = pathcheck.Object{Kind: pathcheck.KindIngress, Namespace: "shop", Name: "web"}
)

// twoPaths are of a Service whose selector matches nothing, through an Ingress that can't be reached from here.
func twoPaths() *pathcheck.Report {
	selector := pathcheck.Hop{
		Object: webService, Check: pathcheck.CheckSelector, State: pathcheck.Broken,
		Message: "selector app=web-v2 matches no pod; pods of deployment shop/web have app=web", Hint: "run 'kubectl set selector svc/web -n shop app=web'",
	}
	return &pathcheck.Report{Target: webTarget, Paths: []pathcheck.Path{
		{Route: []pathcheck.Object{webIngress, webService}, Hops: []pathcheck.Hop{
			{Object: webIngress, Check: pathcheck.CheckClass, State: pathcheck.OK, Message: "class nginx is of controller k8s.io/ingress-nginx"},
			{
				Object: webIngress, Check: pathcheck.CheckTLS, State: pathcheck.Warning,
				Message: "the certificate in secret shop/web-tls is for shop.test until 2026-03-04, which is soon", Hint: "see 'kubectl describe certificates.cert-manager.io -n shop'",
			},
			selector,
			{
				Object: webIngress, Check: pathcheck.CheckRequest, Live: true, State: pathcheck.Unknown,
				Message: "GET https://shop.test/ at 192.0.2.80:443: it can't be reached from here: i/o timeout",
			},
		}},
		{Route: []pathcheck.Object{webService}, Hops: []pathcheck.Hop{selector}},
	}}
}

// wellPath is of a Service with which all is well.
func wellPath(state pathcheck.State) *pathcheck.Report {
	return &pathcheck.Report{Target: webTarget, Paths: []pathcheck.Path{{Route: []pathcheck.Object{webService}, Hops: []pathcheck.Hop{
		{Object: webService, Check: pathcheck.CheckReadiness, State: state, Message: "1 ready pod"},
	}}}}
}

func TestVerifyPrints(t *testing.T) {
	tests := []struct {
		name, output string
		report       *pathcheck.Report
		flags        string
		want, err    string
	}{
		{
			name: "table", report: twoPaths(), err: "2 of 2 paths of service shop/web are broken",
			want: `
ingress shop/web → service shop/web
───────────────────────────────────
√ ingress shop/web: class nginx is of controller k8s.io/ingress-nginx
‼ ingress shop/web: the certificate in secret shop/web-tls is for shop.test until 2026-03-04, which is soon
  hint: see 'kubectl describe certificates.cert-manager.io -n shop'
× service shop/web: selector app=web-v2 matches no pod; pods of deployment shop/web have app=web
  hint: run 'kubectl set selector svc/web -n shop app=web'
? ingress shop/web: GET https://shop.test/ at 192.0.2.80:443: it can't be reached from here: i/o timeout

service shop/web
────────────────
× 1 more, as above

× ingress shop/web → service shop/web: selector app=web-v2 matches no pod; pods of deployment shop/web have app=web
× service shop/web: selector app=web-v2 matches no pod; pods of deployment shop/web have app=web
? 1 of the above could not be checked
`,
		},
		{
			name: "short", output: "short", report: twoPaths(), err: "2 of 2 paths of service shop/web are broken",
			want: `
‼ ingress shop/web: the certificate in secret shop/web-tls is for shop.test until 2026-03-04, which is soon
× service shop/web: selector app=web-v2 matches no pod; pods of deployment shop/web have app=web
? ingress shop/web: GET https://shop.test/ at 192.0.2.80:443: it can't be reached from here: i/o timeout
`,
		},
		{
			name: "json", output: "json", err: "the path of service shop/web is broken", flags: " --context prod",
			report: &pathcheck.Report{Target: webTarget, Paths: twoPaths().Paths[1:]},
			want: `
{
    "kind": "PathCheck",
    "apiVersion": "kubectl-velo.github.io/v1alpha1",
    "target": {
        "kind": "service",
        "namespace": "shop",
        "name": "web"
    },
    "state": "broken",
    "items": [
        {
            "route": [
                {
                    "kind": "service",
                    "namespace": "shop",
                    "name": "web"
                }
            ],
            "state": "broken",
            "causes": [
                "selector app=web-v2 matches no pod; pods of deployment shop/web have app=web"
            ],
            "hops": [
                {
                    "object": {
                        "kind": "service",
                        "namespace": "shop",
                        "name": "web"
                    },
                    "check": "selector",
                    "live": false,
                    "state": "broken",
                    "message": "selector app=web-v2 matches no pod; pods of deployment shop/web have app=web",
                    "hint": "run 'kubectl set selector svc/web -n shop --context prod app=web'"
                }
            ]
        }
    ]
}
`,
		},
		{
			name: "yaml", output: "yaml", report: wellPath(pathcheck.OK),
			want: `
apiVersion: kubectl-velo.github.io/v1alpha1
items:
- hops:
  - check: readiness
    live: false
    message: 1 ready pod
    object:
      kind: service
      name: web
      namespace: shop
    state: ok
  route:
  - kind: service
    name: web
    namespace: shop
  state: ok
kind: PathCheck
state: ok
target:
  kind: service
  name: web
  namespace: shop
`,
		},
		{name: "short, all is well", output: "short", report: wellPath(pathcheck.OK), want: "\n"},
		{
			name: "table, all is well", output: "table", report: wellPath(pathcheck.OK),
			want: `
service shop/web
────────────────
√ service shop/web: 1 ready pod

√ traffic flows to service shop/web
`,
		},
		{
			name: "table, a warning", report: wellPath(pathcheck.Warning),
			want: `
service shop/web
────────────────
‼ service shop/web: 1 ready pod

‼ nothing is broken; 1 warning above
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			streams, _, out, errOut := genericiooptions.NewTestIOStreams()
			o := verifyOptions{output: tt.output, target: webTarget, flags: tt.flags, streams: streams}
			o.check = func(context.Context, pathcheck.Target) (*pathcheck.Report, error) { return tt.report, nil }
			err := o.run(t.Context())
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || err.Error() != tt.err) || err != nil && exitCode(err) != exitFailure {
				t.Errorf("run: %v, want %q", err, tt.err)
			}
			if got := out.String(); got != strings.TrimPrefix(tt.want, "\n") {
				t.Errorf("printed is\n%s\nwant%s", got, tt.want)
			}
			if errOut.Len() > 0 {
				t.Errorf("stderr: %s", errOut)
			}
		})
	}
}

func TestVerifyCountsBroken(t *testing.T) {
	report := twoPaths()
	report.Paths[1] = wellPath(pathcheck.OK).Paths[0]
	if err := brokenError(report); err == nil || err.Error() != "1 of 2 paths of service shop/web is broken" {
		t.Errorf("the error is %v", err)
	}
}

func TestVerifyColour(t *testing.T) {
	var b strings.Builder
	p := &hopPrinter{w: &b, colour: true, printed: make(map[pathcheck.Hop]bool)}
	p.short(twoPaths())
	if got := b.String(); !strings.HasPrefix(got, "\x1b[33m‼\x1b[0m ingress shop/web: ") || !strings.Contains(got, "\n\x1b[31m×\x1b[0m service ") {
		t.Errorf("printed is %q", got)
	}
}

// reports is a function for verifyOptions.check: one after the other, and the last again and again.
func reports(all ...any) func(context.Context, pathcheck.Target) (*pathcheck.Report, error) {
	return func(context.Context, pathcheck.Target) (*pathcheck.Report, error) {
		next := all[0]
		if len(all) > 1 {
			all = all[1:]
		}
		if err, ok := next.(error); ok {
			return nil, err
		}
		return next.(*pathcheck.Report), nil
	}
}

// unaddressedPath is of an Ingress that no controller has taken up.
func unaddressedPath() *pathcheck.Report {
	return &pathcheck.Report{Target: webTarget, Paths: []pathcheck.Path{{Route: []pathcheck.Object{webIngress, webService}, Hops: []pathcheck.Hop{{
		Object: webIngress, Check: pathcheck.CheckAddress, State: pathcheck.Warning,
		Message: "no controller has published an address for it: none may have taken it up",
	}}}}}
}

func TestVerifyWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, _, out, errOut := genericiooptions.NewTestIOStreams()
		unreached := errors.New("connection refused")
		o := verifyOptions{output: "short", watch: true, streams: streams, check: reports(
			twoPaths(), twoPaths(), unreached, unreached, wellPath(pathcheck.OK), wellPath(pathcheck.Warning))}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := o.run(ctx); err != nil {
			t.Error(err)
		}
		if got := out.String(); strings.Count(got, "×") != 1 || !strings.HasSuffix(got, "\n\n√ traffic flows to service shop/web\n\n‼ service shop/web: 1 ready pod\n") || strings.Count(got, "1 ready pod") != 1 {
			t.Errorf("printed is\n%s", got)
		}
		if got, want := errOut.String(), "⚠ connection refused\n"; got != want {
			t.Errorf("stderr is %q, want %q", got, want)
		}
		o.check = reports(unreached)
		if err := o.run(t.Context()); !errors.Is(err, unreached) {
			t.Errorf("without an API server: %v", err)
		}
	})
}

func TestVerifyWait(t *testing.T) {
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "services"}, "web")
	unreached := errors.New("connection refused")
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "web", nil)
	tests := []struct {
		name        string
		check       func(context.Context, pathcheck.Target) (*pathcheck.Report, error)
		code        int
		took        time.Duration
		out, errOut string
	}{
		{"well", reports(wellPath(pathcheck.Warning)), exitOK, 0, "‼ service shop/web: 1 ready pod\n", ""},
		{
			"well in the end", reports(missing, twoPaths(), twoPaths(), wellPath(pathcheck.OK)), exitOK, 3 * verifyEvery, "",
			"► waiting: services \"web\" not found\n" +
				"► waiting: ingress shop/web → service shop/web: selector app=web-v2 matches no pod; pods of deployment shop/web have app=web\n" +
				"► waiting: service shop/web: selector app=web-v2 matches no pod; pods of deployment shop/web have app=web\n",
		},
		{
			"an Ingress that is taken up in the end", reports(unaddressedPath(), unaddressedPath(), wellPath(pathcheck.OK)), exitOK, 2 * verifyEvery, "",
			"► waiting: ingress shop/web: no controller has published an address for it: none may have taken it up\n",
		},
		{
			"an API server that restarts", reports(twoPaths(), unreached, unreached, wellPath(pathcheck.OK)), exitOK, 3 * verifyEvery, "",
			"► waiting: ingress shop/web → service shop/web: selector app=web-v2 matches no pod; pods of deployment shop/web have app=web\n" +
				"► waiting: service shop/web: selector app=web-v2 matches no pod; pods of deployment shop/web have app=web\n" +
				"► waiting: connection refused\n",
		},
		{"no API server", reports(unreached), exitFailure, 0, "", ""},
		{"forbidden", reports(forbidden), exitFailure, 0, "", ""},
		{"never there", reports(missing), exitTimeout, time.Minute, "", "► waiting: services \"web\" not found\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				streams, _, out, errOut := genericiooptions.NewTestIOStreams()
				o := verifyOptions{output: "short", wait: time.Minute, target: webTarget, streams: streams, check: tt.check}
				began := time.Now()
				err := o.run(t.Context())
				if code := exitCode(err); code != tt.code || time.Since(began) != tt.took {
					t.Errorf("exit code %d after %v (%v), want %d after %v", code, time.Since(began), err, tt.code, tt.took)
				}
				if out.String() != tt.out || errOut.String() != tt.errOut {
					t.Errorf("stdout %q, stderr %q; want %q, %q", out, errOut, tt.out, tt.errOut)
				}
			})
		})
	}
	t.Run("never well", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			streams, _, out, _ := genericiooptions.NewTestIOStreams()
			o := verifyOptions{output: "short", wait: time.Minute, target: webTarget, streams: streams, check: reports(twoPaths())}
			err := o.run(t.Context())
			if !errors.Is(err, errTimeout) || exitCode(err) != exitTimeout || strings.Count(out.String(), "×") != 1 {
				t.Errorf("run: %v; printed is\n%s", err, out)
			}
		})
	})
}

func TestVerifyRequest(t *testing.T) {
	o := verifyOptions{path: "/a?b=c", headers: []string{"Accept: text/html", "accept:a:b"}, expect: []string{"200", "300-302"}}
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	want := pathcheck.Request{
		Path: "/a?b=c", Header: http.Header{"Accept": {"text/html", "a:b"}}, Expect: []pathcheck.StatusRange{{From: 200, To: 200}, {From: 300, To: 302}},
	}
	if !reflect.DeepEqual(o.request, want) {
		t.Errorf("the request is %+v, want %+v", o.request, want)
	}
}

func TestPathCheckDeepCopy(t *testing.T) {
	o := verifyOptions{}
	list := o.listed(twoPaths())
	dup, ok := list.DeepCopyObject().(*PathCheck)
	if !ok || len(dup.Items) != 2 {
		t.Fatalf("the copy is %v", dup)
	}
	dup.Items[0].Hops[0].Message, dup.Items[0].Causes[0], dup.Items[0].Route[0].Name = "changed", "changed", "changed"
	if first := list.Items[0]; first.Hops[0].Message == "changed" || first.Causes[0] == "changed" || first.Route[0].Name == "changed" {
		t.Error("a change of the copy changes the original")
	}
}
