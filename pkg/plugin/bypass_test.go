// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-velo/kubectl-velo/pkg/pathcheck"
	"github.com/kubectl-velo/kubectl-velo/pkg/podforward"
)

// aLooker is what a test makes of looking at paths.
type aLooker func(ctx context.Context) (*pathcheck.Report, error)

func (l aLooker) Check(ctx context.Context, _ pathcheck.Target) (*pathcheck.Report, error) {
	return l(ctx)
}

func finding(report *pathcheck.Report) aLooker {
	return func(context.Context) (*pathcheck.Report, error) { return report, nil }
}

// hangs is an answer that doesn't come.
func hangs(ctx context.Context) (*pathcheck.Report, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// onPort is a path to the Service's port by an Ingress, and one from inside of the cluster, which are broken if there is a cause.
func onPort(port, cause string) []pathcheck.Path {
	hop := pathcheck.Hop{Object: webService, State: pathcheck.OK}
	if cause != "" {
		hop.State, hop.Message = pathcheck.Broken, cause
	}
	ingress := pathcheck.Object{Kind: pathcheck.KindIngress, Namespace: "shop", Name: "web"}
	return []pathcheck.Path{
		{Route: []pathcheck.Object{ingress, webService}, Port: port, Hops: []pathcheck.Hop{hop}},
		{Route: []pathcheck.Object{webService}, Port: port, Hops: []pathcheck.Hop{hop}},
	}
}

func reportOf(paths ...[]pathcheck.Path) *pathcheck.Report {
	return &pathcheck.Report{Target: pathcheck.Target(webService), Paths: slices.Concat(paths...)}
}

const (
	missed       = "selector app=web-v2 matches no pod"
	missedByPath = "ingress shop/web → service shop/web: " + missed
)

func aBypass(static, live aLooker) *bypass {
	return &bypass{static: static, live: live, paths: func(context.Context) ([]pathcheck.Target, error) {
		return []pathcheck.Target{pathcheck.Target(webService)}, nil
	}}
}

func TestBypassLook(t *testing.T) {
	well, broken := finding(reportOf(onPort("", ""))), finding(reportOf(onPort("", missed)))
	unasked := aLooker(func(context.Context) (*pathcheck.Report, error) { return nil, errors.New("it was asked") })
	twoPorts := finding(reportOf(onPort("80 (http)", ""), onPort("5432 (db)", missed)))
	tests := []struct {
		name         string
		static, live aLooker
		asks         bool
		ports        []uint16
		want         []string
		err          bool
	}{
		{name: "well", static: well, live: well, asks: true},
		{name: "broken", static: broken, live: unasked, asks: true, want: []string{missedByPath}},
		{name: "broken, which only a request tells", static: well, live: broken, asks: true, want: []string{missedByPath}},
		{name: "no requests", static: well, live: unasked},
		{name: "requests fail", static: well, live: unasked, asks: true, err: true},
		{name: "another port", static: twoPorts, ports: []uint16{80}},
		{
			name: "this port", static: twoPorts, ports: []uint16{80, 5432},
			want: []string{"ingress shop/web → service shop/web port 5432 (db): " + missed},
		},
		{
			name: "another port for the same reason", static: finding(reportOf(onPort("80 (http)", missed), onPort("81", missed)[1:])),
			want: []string{"ingress shop/web → service shop/web port 80 (http): " + missed},
		},
		{
			name: "another port for another reason", static: finding(reportOf(onPort("80 (http)", missed), onPort("81", "it is shut")[1:])),
			want: []string{"ingress shop/web → service shop/web port 80 (http): " + missed, "service shop/web port 81: it is shut"},
		},
		{name: "a Service by itself", static: finding(reportOf(onPort("", missed)[1:])), want: []string{"service shop/web: " + missed}},
		{name: "not to be read", static: unasked, err: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := aBypass(tt.static, tt.live)
			b.ports = tt.ports
			got, err := b.look(t.Context(), tt.asks)
			if !slices.Equal(got, tt.want) || (err != nil) != tt.err {
				t.Errorf("look: %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// bypassSession is one that forwards to a Service.
func bypassSession(b *bypass) (s *forwardSession, said func() string) {
	streams, _, _, errOut := genericiooptions.NewTestIOStreams()
	target := &forwardTarget{Target: podforward.Target{Name: "service/web"}, service: &forwardedService{service: service("shop", "web", "")}, bypass: b}
	s = newForwardSession(&forwardOptions{cluster: &cluster{namespace: "shop"}, streams: streams})
	s.targets = []*forwardTarget{target}
	return s, func() string {
		s.report.mu.Lock()
		defer s.report.mu.Unlock()
		defer errOut.Reset()
		return errOut.String()
	}
}

// What is broken is said at the start, what breaks later once that is no passing matter, and what was mended when it was.
func TestWatchPaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		well, broken := reportOf(onPort("", "")), reportOf(onPort("", missed))
		var now atomic.Pointer[pathcheck.Report]
		now.Store(broken)
		var looks atomic.Int32
		s, said := bypassSession(aBypass(func(context.Context) (*pathcheck.Report, error) {
			looks.Add(1)
			if report := now.Load(); report != nil {
				return report, nil
			}
			return nil, errors.New("the API server is away")
		}, finding(well)))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.watchPaths(ctx)
		}()
		says := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := said(); got != want {
				t.Errorf("it says %q, want %q", got, want)
			}
		}
		const bypassed = "⚠ this forward is a bypass; closing this terminal brings the outage back: " + missedByPath + "\n"
		says(bypassed)
		time.Sleep(2 * pathEvery)
		says("")
		if told := s.targets[0].bypass.told(); told == nil || time.Since(told.Since) != 2*pathEvery || !slices.Equal(told.Paths, []string{missedByPath}) {
			t.Errorf("others are told %+v", told)
		}
		now.Store(nil) // what can't be looked at, is as it was
		time.Sleep(pathEvery)
		says("")
		now.Store(well)
		time.Sleep(pathEvery)
		says("✔ the production path of service/web works again, after 2m0s\n")
		if told := s.targets[0].bypass.told(); told != nil {
			t.Errorf("others are told %+v", told)
		}
		now.Store(broken)
		time.Sleep(pathEvery)
		says("")
		now.Store(well) // in time
		time.Sleep(pathEvery)
		says("")
		now.Store(broken)
		time.Sleep(pathEvery + doubtful)
		says(bypassed)
		stop()
		<-done
		if n := looks.Load(); n > 12 {
			t.Errorf("it has looked %d times", n)
		}
	})
}

// A healthy path is no matter, and one that can't be looked at neither.
func TestSayBypassed(t *testing.T) {
	well, broken := finding(reportOf(onPort("", ""))), finding(reportOf(onPort("", missed)))
	const bypassed = "⚠ this forward was a bypass; it is closed now, and nothing was mended " +
		"(see 'kubectl velo verify svc/web -n shop'): " + missedByPath + "\n"
	const quick = 100 * time.Millisecond
	tests := []struct {
		name         string
		static, live aLooker
		asked        time.Duration
		known        []string
		want         string
		takes        time.Duration
	}{
		{name: "well", static: well, live: well, asked: quick},
		{name: "broken", static: broken, want: bypassed},
		{name: "broken, which only a request tells", static: well, live: broken, asked: quick, want: bypassed},
		{name: "mended", static: well, live: well, asked: quick, known: []string{missedByPath}},
		{name: "not to be found out", static: hangs, takes: 2 * time.Second},
		{name: "never asked", static: well, live: hangs},
		{name: "slow requests", static: well, live: hangs, asked: endPatience},
		{name: "slow requests, which told", static: well, live: hangs, asked: endPatience, known: []string{missedByPath}, want: bypassed},
		{name: "requests that are slow now", static: well, live: hangs, asked: quick, takes: 2 * time.Second},
		{name: "not to be found out any more", static: hangs, known: []string{missedByPath}, want: bypassed, takes: 2 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := aBypass(tt.static, tt.live)
				b.note(tt.known)
				b.asked = tt.asked
				s, said := bypassSession(b)
				ctx, cancel := context.WithCancel(t.Context())
				cancel() // as when a session ends
				began := time.Now()
				s.sayBypassed(ctx)
				if got := said(); got != tt.want {
					t.Errorf("it says %q, want %q", got, tt.want)
				}
				if took := time.Since(began); took != tt.takes {
					t.Errorf("it took %v, want %v", took, tt.takes)
				}
			})
		})
	}
}

// Who interrupts twice doesn't wait.
func TestSayBypassedInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := bypassSession(aBypass(hangs, nil))
		s.options.interrupts = NewInterrupts(func() {})
		s.options.interrupts.Signal(nil)
		time.Sleep(echo)
		s.options.interrupts.Signal(nil)
		began := time.Now()
		s.sayBypassed(t.Context())
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// Of many broken paths not all are said.
func TestManyBypassed(t *testing.T) {
	var out strings.Builder
	newReport(&out).bypasses("this is a bypass", "close it", []string{"a", "b", "c", "d", "e"})
	const want = "⚠ this is a bypass; close it: a\n⚠ this is a bypass; close it: b\n⚠ this is a bypass; close it: c\n⚠ this is a bypass of 2 more paths\n"
	if out.String() != want {
		t.Errorf("it says %q, want %q", out.String(), want)
	}
}

// After an intercept, the cluster takes a moment to follow.
func TestSettled(t *testing.T) {
	well, broken := reportOf(onPort("", "")), reportOf(onPort("", missed))
	synctest.Test(t, func(t *testing.T) {
		for name, reports := range map[string][]*pathcheck.Report{"at once": {well}, "later": {broken, broken, well}, "never": {broken}} {
			looks := 0
			b := aBypass(func(context.Context) (*pathcheck.Report, error) {
				looks++
				return reports[min(looks, len(reports))-1], nil
			}, finding(well))
			ctx, cancel := context.WithTimeout(t.Context(), endPatience)
			got := b.settled(ctx)
			cancel()
			if name == "never" != (len(got) > 0) || name == "at once" && looks > 1 {
				t.Errorf("%s: settled: %q after %d looks", name, got, looks)
			}
		}
	})
}
