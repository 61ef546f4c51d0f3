// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-velo/kubectl-velo/pkg/dependency"
	"github.com/kubectl-velo/kubectl-velo/pkg/livesession"
)

// twoSessions are an intercept with dependencies of all kinds, and a run that has one of them, too.
func twoSessions() []livesession.Session {
	return []livesession.Session{
		{
			ID: "1a2b3c4d", Kind: livesession.Intercept, Context: "prod", Namespace: "shop", Name: "svc/web",
			Dependencies: []livesession.Dependency{
				{
					Name: "orders", Namespace: "shop", Port: 8080, Protocol: "tcp", Local: "127.84.0.3:8080", State: livesession.Ready,
					Connections: 2, BytesSent: 1536, BytesReceived: 20 << 20, RoundTripMicros: 420,
					Evidence: []string{"environment:ORDERS_URL (http://orders:8080)", "configmap/app:app.yaml (orders:8080)", "configmap/app:app.yaml (http://orders:8080/v2)"},
				},
				{
					Name: "db.data", Namespace: "data", Port: 5432, Protocol: "tcp", Local: "127.84.0.4:5432", State: livesession.Failed,
					Reason: "connection refused", Evidence: []string{"secret/db:dsn (db.data:5432)"}, Notes: []string{"service data/db has no port 5432"},
				},
				{
					Name: "8.8.8.8", Port: 53, Protocol: "udp", Local: "127.84.0.5:53", State: livesession.Waiting, Reason: "the tunnel is down",
					RoundTripMicros: 1_250_000, Evidence: []string{"--dep (8.8.8.8:53/udp)"},
				},
			},
		},
		{
			ID: "5e6f7a8b", Kind: livesession.Run, Context: "test", Namespace: "bank", Name: "deployment/ledger",
			Dependencies: []livesession.Dependency{{
				Name: "orders.shop", Namespace: "shop", Port: 8080, Protocol: "tcp", Local: "127.84.0.6:8080", State: livesession.Ready,
			}},
		},
	}
}

// answering is a function for depsOptions.list.
func answering(sessions []livesession.Session, errs ...error) func(context.Context) ([]livesession.Session, []error) {
	return func(context.Context) ([]livesession.Session, []error) { return sessions, errs }
}

func TestDeps(t *testing.T) {
	tests := []struct {
		name    string
		options depsOptions
		want    string
	}{
		{
			name: "table",
			want: `
NAME          PORT   PROTOCOL   LOCAL             STATE     OPEN   SENT    RECEIVED   RTT     FOUND IN
orders        8080   tcp        127.84.0.3:8080   ready     2      1.5Ki   20Mi       0.4ms   environment:ORDERS_URL +1
db.data       5432   tcp        127.84.0.4:5432   failed    0      0B      0B         -       secret/db:dsn
8.8.8.8       53     udp        127.84.0.5:53     waiting   0      0B      0B         1.2s    --dep
orders.shop   8080   tcp        127.84.0.6:8080   ready     0      0B      0B         -       -
`,
		},
		{
			name: "of a namespace, without headers", options: depsOptions{namespace: "bank", noHeaders: true},
			want: `
orders.shop   8080   tcp   127.84.0.6:8080   ready   0     0B    0B    -     -
`,
		},
		{
			name: "of a context, names", options: depsOptions{context: "prod", output: "name"},
			want: `
orders:8080
db.data:5432
8.8.8.8:53
`,
		},
		{
			name: "all namespaces", options: depsOptions{allNamespaces: true},
			want: `
NAMESPACE   NAME          PORT   PROTOCOL   LOCAL             STATE     OPEN   SENT    RECEIVED   RTT     FOUND IN
shop        orders        8080   tcp        127.84.0.3:8080   ready     2      1.5Ki   20Mi       0.4ms   environment:ORDERS_URL +1
data        db.data       5432   tcp        127.84.0.4:5432   failed    0      0B      0B         -       secret/db:dsn
-           8.8.8.8       53     udp        127.84.0.5:53     waiting   0      0B      0B         1.2s    --dep
shop        orders.shop   8080   tcp        127.84.0.6:8080   ready     0      0B      0B         -       -
`,
		},
		{
			name: "wide", options: depsOptions{output: "wide"},
			want: `
NAME          PORT   PROTOCOL   LOCAL             STATE     OPEN   SENT    RECEIVED   RTT     NAMESPACE   SESSION    TARGET              REASON                                                 FOUND IN
orders        8080   tcp        127.84.0.3:8080   ready     2      1.5Ki   20Mi       0.4ms   shop        1a2b3c4d   svc/web             -                                                      environment:ORDERS_URL (http://orders:8080), configmap/app:app.yaml (orders:8080), configmap/app:app.yaml (http://orders:8080/v2)
db.data       5432   tcp        127.84.0.4:5432   failed    0      0B      0B         -       data        1a2b3c4d   svc/web             connection refused; service data/db has no port 5432   secret/db:dsn (db.data:5432)
8.8.8.8       53     udp        127.84.0.5:53     waiting   0      0B      0B         1.2s    -           1a2b3c4d   svc/web             the tunnel is down                                     --dep (8.8.8.8:53/udp)
orders.shop   8080   tcp        127.84.0.6:8080   ready     0      0B      0B         -       shop        5e6f7a8b   deployment/ledger   -                                                      -
`,
		},
		{
			name: "json", options: depsOptions{output: "json", namespace: "bank"},
			want: `
{
    "kind": "DependencyList",
    "apiVersion": "kubectl-velo.github.io/v1alpha1",
    "items": [
        {
            "name": "orders.shop",
            "namespace": "shop",
            "port": 8080,
            "protocol": "tcp",
            "session": "5e6f7a8b",
            "target": "deployment/ledger",
            "local": "127.84.0.6:8080",
            "state": "ready",
            "connections": 0,
            "bytesSent": 0,
            "bytesReceived": 0
        }
    ]
}
`,
		},
		{
			name: "yaml", options: depsOptions{output: "yaml", namespace: "shop"},
			want: `
apiVersion: kubectl-velo.github.io/v1alpha1
items:
- bytesReceived: 20971520
  bytesSent: 1536
  connections: 2
  evidence:
  - environment:ORDERS_URL (http://orders:8080)
  - configmap/app:app.yaml (orders:8080)
  - configmap/app:app.yaml (http://orders:8080/v2)
  local: 127.84.0.3:8080
  name: orders
  namespace: shop
  port: 8080
  protocol: tcp
  roundTripMicros: 420
  session: 1a2b3c4d
  state: ready
  target: svc/web
- bytesReceived: 0
  bytesSent: 0
  connections: 0
  evidence:
  - secret/db:dsn (db.data:5432)
  local: 127.84.0.4:5432
  name: db.data
  namespace: data
  notes:
  - service data/db has no port 5432
  port: 5432
  protocol: tcp
  reason: connection refused
  session: 1a2b3c4d
  state: failed
  target: svc/web
- bytesReceived: 0
  bytesSent: 0
  connections: 0
  evidence:
  - --dep (8.8.8.8:53/udp)
  local: 127.84.0.5:53
  name: 8.8.8.8
  port: 53
  protocol: udp
  reason: the tunnel is down
  roundTripMicros: 1250000
  session: 1a2b3c4d
  state: waiting
  target: svc/web
kind: DependencyList
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.options
			streams, _, out, errOut := genericiooptions.NewTestIOStreams()
			o.streams, o.list = streams, answering(twoSessions())
			if err := o.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := trimLines(out.String()); got != strings.TrimPrefix(tt.want, "\n") {
				t.Errorf("printed is\n%s\nwant%s", got, tt.want)
			}
			if errOut.Len() > 0 {
				t.Errorf("stderr: %s", errOut)
			}
		})
	}
}

func TestDepsOfNone(t *testing.T) {
	idle := []livesession.Session{{ID: "1a2b3c4d", Namespace: "shop", Context: "prod"}}
	const emptyJSON = "{\n    \"kind\": \"DependencyList\",\n    \"apiVersion\": \"kubectl-velo.github.io/v1alpha1\",\n    \"items\": []\n}\n"
	tests := []struct {
		name        string
		options     depsOptions
		sessions    []livesession.Session
		out, errOut string
	}{
		{"table", depsOptions{}, nil, "", "No running sessions found on this machine.\nhint: 'kubectl velo deps TYPE/NAME' lists what a session would forward\n"},
		{"wide", depsOptions{output: "wide", allNamespaces: true}, nil, "", "No running sessions found on this machine.\nhint: 'kubectl velo deps TYPE/NAME' lists what a session would forward\n"},
		{"of a namespace", depsOptions{namespace: "bank"}, idle, "", "No running sessions found in bank namespace on this machine.\n"},
		{"of a context", depsOptions{namespace: "shop", context: "test"}, idle, "", "No running sessions of context test found in shop namespace on this machine.\n"},
		{"of a context alone", depsOptions{context: "test"}, idle, "", "No running sessions of context test found on this machine.\n"},
		{"idle", depsOptions{namespace: "shop"}, idle, "", "No dependencies of the running sessions found in shop namespace on this machine.\n"},
		{"name", depsOptions{output: "name"}, nil, "", ""},
		{"json", depsOptions{output: "json"}, nil, emptyJSON, ""},
		{"yaml", depsOptions{output: "yaml"}, idle, "apiVersion: kubectl-velo.github.io/v1alpha1\nitems: []\nkind: DependencyList\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.options
			streams, _, out, errOut := genericiooptions.NewTestIOStreams()
			o.streams, o.list = streams, answering(tt.sessions)
			if err := o.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.out || errOut.String() != tt.errOut {
				t.Errorf("stdout %q, stderr %q; want %q, %q", out, errOut, tt.out, tt.errOut)
			}
		})
	}
}

func TestDepsProblems(t *testing.T) {
	silent := &livesession.SessionError{ID: "9c0d1e2f"}
	unsafe := &livesession.UnsafeDirectoryError{Path: "/run/user/1000/kubectl-velo", Reason: "it belongs to another user"}

	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	o := depsOptions{streams: streams, output: "name", namespace: "bank", list: answering(twoSessions(), silent)}
	if err := o.run(t.Context()); err != nil {
		t.Errorf("one that doesn't answer: %v", err)
	}
	if got := out.String() + errOut.String(); got != "orders.shop:8080\n⚠ "+silent.Error()+"\n" {
		t.Errorf("one that doesn't answer: %q", got)
	}

	streams, _, out, errOut = genericiooptions.NewTestIOStreams()
	o = depsOptions{streams: streams, list: answering(nil, silent)}
	if err := o.run(t.Context()); err != nil || out.Len() > 0 || errOut.String() != "⚠ "+silent.Error()+"\n" {
		t.Errorf("none that answers: %v, %q, %q", err, out, errOut)
	}

	for _, watch := range []bool{false, true} {
		streams, _, out, errOut = genericiooptions.NewTestIOStreams()
		o = depsOptions{streams: streams, watch: watch, list: answering(nil, unsafe)}
		if err := o.run(t.Context()); !errors.Is(err, unsafe) || out.Len() > 0 || errOut.Len() > 0 {
			t.Errorf("unsafe directory: %v, %q, %q", err, out, errOut)
		}
	}
}

func TestDepsOfWorkload(t *testing.T) {
	found := []dependency.Dependency{
		{
			Host: "orders", Names: []string{"orders", "orders.shop.svc"}, Namespace: "shop", Service: "orders", Port: 8080, Protocol: dependency.TCP,
			Evidence: []dependency.Evidence{
				{Where: "environment", Name: "ORDERS_HOST", Excerpt: "ORDERS_HOST=orders ORDERS_PORT=8080"},
				{Where: "args", Excerpt: "orders:8080"},
				{Where: "configmap/app", Name: "app.yaml"},
			},
		},
		{Host: "::1", Port: 53, Protocol: dependency.UDP, Notes: []string{"service shop/dns has no port 53"}},
	}
	const warning = "⚠ [::1]:53: service shop/dns has no port 53\n"
	tests := []struct {
		name, output string
		found        []dependency.Dependency
		out, errOut  string
	}{
		{"table", "", found, `
NAME     PORT   PROTOCOL   LOCAL   STATE   OPEN   SENT   RECEIVED   RTT   FOUND IN
orders   8080   tcp        -       -       -      -      -          -     environment:ORDERS_HOST +2
::1      53     udp        -       -       -      -      -          -     -
`, warning},
		{"name", "name", found, "\norders:8080\n[::1]:53\n", warning},
		{"json", "json", found, `
{
    "kind": "DependencyList",
    "apiVersion": "kubectl-velo.github.io/v1alpha1",
    "items": [
        {
            "name": "orders",
            "namespace": "shop",
            "port": 8080,
            "protocol": "tcp",
            "evidence": [
                "environment:ORDERS_HOST (ORDERS_HOST=orders ORDERS_PORT=8080)",
                "args (orders:8080)",
                "configmap/app:app.yaml"
            ]
        },
        {
            "name": "::1",
            "port": 53,
            "protocol": "udp",
            "notes": [
                "service shop/dns has no port 53"
            ]
        }
    ]
}
`, warning},
		{"none", "", nil, "\n", "No dependencies of deploy/web found in shop namespace.\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			streams, _, out, errOut := genericiooptions.NewTestIOStreams()
			o := depsOptions{
				target: "deploy/web", namespace: "shop", output: tt.output, streams: streams,
				find: func(_ context.Context, arg string) ([]dependency.Dependency, error) {
					if arg != "deploy/web" {
						t.Errorf("asked for %q", arg)
					}
					return tt.found, nil
				},
			}
			if err := o.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := trimLines(out.String()); got != tt.out[1:] || errOut.String() != tt.errOut {
				t.Errorf("stdout\n%s\nstderr\n%s\nwant%s\n%s", got, errOut, tt.out, tt.errOut)
			}
		})
	}
}

// TestDepsWatch has sessions that change from second to second.
func TestDepsWatch(t *testing.T) {
	silent := &livesession.SessionError{ID: "1a2b3c4d"}
	type second struct {
		sessions func() []livesession.Session
		errs     []error
	}
	changed := func(change func([]livesession.Session) []livesession.Session) func() []livesession.Session {
		return func() []livesession.Session { return change(twoSessions()) }
	}
	none := func() []livesession.Session { return nil }
	seconds := []second{
		{none, nil},
		{twoSessions, nil},
		{twoSessions, nil}, // nothing new
		{changed(func(s []livesession.Session) []livesession.Session {
			s[0].Dependencies[0].BytesSent++ // which isn't seen in a table
			s[0].Dependencies[1].State = livesession.Ready
			s[0].Dependencies[2].RoundTripMicros++ // which isn't news
			return s
		}), nil},
		{changed(func(s []livesession.Session) []livesession.Session { return s[1:] }), []error{silent}},
		{changed(func(s []livesession.Session) []livesession.Session { return s[1:] }), []error{silent}},
		{changed(func(s []livesession.Session) []livesession.Session { return s[1:] }), nil}, // the other has ended
	}
	tests := []struct{ name, output, out, errOut string }{
		{
			"table", "", `
NAME          PORT   PROTOCOL   LOCAL             STATE     OPEN   SENT    RECEIVED   RTT     FOUND IN
orders        8080   tcp        127.84.0.3:8080   ready     2      1.5Ki   20Mi       0.4ms   environment:ORDERS_URL +1
db.data       5432   tcp        127.84.0.4:5432   failed    0      0B      0B         -       secret/db:dsn
8.8.8.8       53     udp        127.84.0.5:53     waiting   0      0B      0B         1.2s    --dep
orders.shop   8080   tcp        127.84.0.6:8080   ready     0      0B      0B         -       -
db.data       5432   tcp        127.84.0.4:5432   ready     0      0B      0B         -       secret/db:dsn
orders        8080   tcp        127.84.0.3:8080   ended     0      1.5Ki   20Mi       0.4ms   environment:ORDERS_URL +1
db.data       5432   tcp        127.84.0.4:5432   ended     0      0B      0B         -       secret/db:dsn
8.8.8.8       53     udp        127.84.0.5:53     ended     0      0B      0B         1.2s    --dep
`,
			"No running sessions found on this machine.\nhint: 'kubectl velo deps TYPE/NAME' lists what a session would forward\n⚠ " + silent.Error() + "\n",
		},
		{
			"name", "name", `
orders:8080
db.data:5432
8.8.8.8:53
orders.shop:8080
db.data:5432
orders:8080
db.data:5432
8.8.8.8:53
`, "⚠ " + silent.Error() + "\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, errOut := watchFor(t, tt.output, len(seconds), func(i int) ([]livesession.Session, []error) {
				return seconds[i].sessions(), seconds[i].errs
			})
			if got := trimLines(out); got != tt.out[1:] || errOut != tt.errOut {
				t.Errorf("stdout\n%s\nstderr\n%s\nwant%s\n%s", got, errOut, tt.out, tt.errOut)
			}
		})
	}
	t.Run("json", func(t *testing.T) {
		out, _ := watchFor(t, "json", len(seconds), func(i int) ([]livesession.Session, []error) {
			return seconds[i].sessions(), seconds[i].errs
		})
		var got []string
		for stream := json.NewDecoder(strings.NewReader(out)); ; {
			var d Dependency
			err := stream.Decode(&d)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.Kind != "Dependency" || d.APIVersion != "kubectl-velo.github.io/v1alpha1" {
				t.Errorf("a document is of %s %s", d.APIVersion, d.Kind)
			}
			got = append(got, d.Name+" "+string(d.State))
		}
		want := []string{
			"orders ready", "db.data failed", "8.8.8.8 waiting", "orders.shop ready", "orders ready", "db.data ready",
			"orders ended", "db.data ended", "8.8.8.8 ended",
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("documents of %q, want %q", got, want)
		}
	})
	t.Run("yaml", func(t *testing.T) {
		out, _ := watchFor(t, "yaml", 1, func(int) ([]livesession.Session, []error) { return twoSessions(), nil })
		if got := strings.Count("\n"+out, "\n---\napiVersion: kubectl-velo.github.io/v1alpha1\n"); got != 3 {
			t.Errorf("there are %d separators in\n%s", got, out)
		}
	})
}

// watchFor watches for a number of seconds, and then interrupts it.
func watchFor(t *testing.T, output string, seconds int, answer func(second int) ([]livesession.Session, []error)) (out, errOut string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		streams, _, stdout, stderr := genericiooptions.NewTestIOStreams()
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*watchEvery-watchEvery/2)
		defer cancel()
		asked := 0
		o := depsOptions{output: output, watch: true, streams: streams, list: func(context.Context) ([]livesession.Session, []error) {
			asked++
			return answer(asked - 1)
		}}
		if err := o.run(ctx); err != nil {
			t.Errorf("the watch ended with %v", err)
		}
		if asked != seconds {
			t.Errorf("asked %d times, want %d", asked, seconds)
		}
		out, errOut = stdout.String(), stderr.String()
	})
	return out, errOut
}

// TestDepsWatchInterrupted ends while the sessions are being asked.
func TestDepsWatchInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	o := depsOptions{watch: true, streams: streams, list: func(ctx context.Context) ([]livesession.Session, []error) {
		cancel()
		return nil, []error{ctx.Err()}
	}}
	if err := o.run(ctx); err != nil || out.Len()+errOut.Len() > 0 {
		t.Errorf("%v, %q, %q", err, out, errOut)
	}
}

// TestDepsOfRealSession asks one over its socket.
func TestDepsOfRealSession(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- livesession.Serve(ctx, "1a2b3c4d", func() livesession.Session { return twoSessions()[0] })
	}()
	for out := ""; out == ""; {
		stdout, stderr := new(strings.Builder), new(strings.Builder)
		// No kubeconfig is needed to ask.
		code := Main(t.Context(), nil, genericiooptions.IOStreams{In: strings.NewReader(""), Out: stdout, ErrOut: stderr},
			[]string{"deps", "-o", "name", "-n", "shop", "--kubeconfig", filepath.Join(t.TempDir(), "none")})
		if out = stdout.String(); code != 0 || out != "" && out != "orders:8080\ndb.data:5432\n8.8.8.8:53\n" {
			t.Fatalf("exit code %d, stdout %q, stderr %q", code, out, stderr)
		}
	}
	// A watch that is interrupted hasn't failed.
	watch, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	stderr := new(strings.Builder)
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: writerFunc(interrupt), ErrOut: stderr}
	if code := Main(watch, nil, streams, []string{"deps", "--watch"}); code != 0 || stderr.Len() > 0 {
		t.Errorf("the watch's exit code is %d, stderr %q", code, stderr)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// writerFunc is called when something is written.
type writerFunc func()

func (f writerFunc) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0B", 1: "1B", 1023: "1023B", 1024: "1.0Ki", 1535: "1.4Ki", 1536: "1.5Ki", 10<<10 - 1: "9.9Ki", 10 << 10: "10Ki",
		1<<20 - 1: "1023Ki", 1 << 20: "1.0Mi", 2_500_000_000: "2.3Gi", 1 << 40: "1.0Ti", 1<<63 - 1: "7.9Ei",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) is %s, want %s", n, got, want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for micros, want := range map[int64]string{
		-1: "-", 0: "-", 1: "0.1ms", 420: "0.4ms", 9940: "9.9ms", 10_000: "10ms", 999_999: "999ms", 1_000_000: "1.0s", 61_000_000: "61.0s",
	} {
		if got := roundTrip(micros); got != want {
			t.Errorf("roundTrip(%d) is %s, want %s", micros, got, want)
		}
	}
}

func TestDependencyDeepCopy(t *testing.T) {
	d := listedRunning(&twoSessions()[0], &twoSessions()[0].Dependencies[0])
	list := &DependencyList{Items: []Dependency{d}}
	for _, dup := range []*Dependency{d.DeepCopyObject().(*Dependency), &list.DeepCopyObject().(*DependencyList).Items[0]} {
		if !reflect.DeepEqual(*dup, d) {
			t.Errorf("the copy is %+v", dup)
		}
		*dup.BytesSent, dup.Evidence[0] = 0, "changed"
		if *d.BytesSent != 1536 || d.Evidence[0] == "changed" {
			t.Error("a change of the copy changes the original")
		}
	}
}
