// SPDX-License-Identifier: Apache-2.0

package work

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

const wrkOutput = `Running 2s test @ http://10.96.1.2/small
  2 threads and 10 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   182.10ms    1.20ms 190.00ms   90.00%
    Req/Sec    24.00      3.00    30.00     80.00%
  Latency Distribution
     50%  181.50ms
     75%  182.00ms
     90%  183.00ms
     99%    1.02s 
  100 requests in 2.00s, 114.00KB read
Requests/sec:     49.92
Transfer/sec:     56.90KB
`

func TestParseWrk(t *testing.T) {
	figures := map[string]float64{Rate: 49.92, P50: 0.1815, P99: 1.02}
	insert := func(line string) string {
		return strings.Replace(wrkOutput, "Requests/sec", line+"\nRequests/sec", 1)
	}
	for _, test := range []struct {
		name, out string
		errors    int
		ok        bool
	}{
		{"all is well", wrkOutput, 0, true},
		{"errors", insert("  Socket errors: connect 1, read 20, write 300, timeout 4000"), 4321, true},
		{"refused", insert("  Non-2xx or 3xx responses: 17"), 17, true},
		{
			"both", insert("  Socket errors: connect 1, read 0, write 0, timeout 0\n  Non-2xx or 3xx responses: 17"), 18,
			true,
		},
		{"nothing answered", strings.Replace(wrkOutput, "49.92", "0.00", 1), 0, false},
		{"no percentiles", strings.Replace(wrkOutput, "99%", "98%", 1), 0, false},
		{"a strange time", strings.Replace(wrkOutput, "1.02s", "1.02d", 1), 0, false},
		{"no such host", "unable to resolve x:http Name or service not known\n", 0, false},
		{"nothing", "", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := parseWrk(test.out)
			if (err == nil) != test.ok {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			if s.Errors != test.errors {
				t.Errorf("%d errors, not %d", s.Errors, test.errors)
			}
			if !maps.EqualFunc(s.Figures, figures, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
				t.Errorf("figures %v, not %v", s.Figures, figures)
			}
		})
	}
}

func TestParseWrkTime(t *testing.T) {
	for s, want := range map[string]float64{
		"12.50us": 12.5e-6, "3.00ms": 3e-3, "1.50s": 1.5, "2.00m": 120,
		"1.00h": 3600,
	} {
		if got, err := parseWrkTime(s); err != nil || math.Abs(got-want) > 1e-12 {
			t.Errorf("%s is %v (%v), not %v", s, got, err, want)
		}
	}
}

func FuzzParseWrk(f *testing.F) {
	f.Add(wrkOutput)
	f.Fuzz(func(t *testing.T, out string) {
		s, err := parseWrk(out)
		if err == nil && len(s.Figures) != 3 {
			t.Errorf("figures %v", s.Figures)
		}
	})
}

func TestWrkArgs(t *testing.T) {
	got := wrkArgs(Caller{Host: "a.test"}, 10, 2*time.Second, "Connection: close")
	want := []string{
		"-t2", "-c10", "-d2s", "--latency", "--timeout", "30s", "-H", "Host: a.test", "-H",
		"Connection: close",
	}
	if !slices.Equal(got, want) {
		t.Errorf("arguments %q, not %q", got, want)
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.2: 1, 0.5: 3, 0.99: 5, 1: 5} {
		if got := Quantile(values, q); got != want {
			t.Errorf("quantile %v is %v, not %v", q, got, want)
		}
	}
}
