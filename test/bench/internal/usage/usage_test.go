// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0 9 0 4711 100 200"
	for _, test := range []struct {
		name, stat string
		used       time.Duration
		started    string
		ok         bool
	}{
		{"a program", "42 (kubelet)" + rest, 1500 * time.Millisecond, "4711", true},
		{"an awkward name", "42 (a) R (b)" + rest, 1500 * time.Millisecond, "4711", true},
		{"cut short", "42 (kubelet) S 1 2", 0, "", false},
		{"nothing", "", 0, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			used, started, ok := parseStat(test.stat)
			if used != test.used || started != test.started || ok != test.ok {
				t.Errorf("it is %v, %q, %v", used, started, ok)
			}
		})
	}
}

func TestNameOf(t *testing.T) {
	for _, test := range []struct {
		command []string
		want    string
	}{
		{[]string{"/usr/bin/containerd", "--config=x", ""}, "containerd"},
		{[]string{"/bin/bench", "serve", "--listen=:1", ""}, "bench serve"},
		{[]string{"nginx: worker process", ""}, "nginx: worker process"},
		{[]string{"kubectl", "port-forward", ""}, "kubectl port-forward"},
		{[]string{"/pause"}, "pause"},
	} {
		if got := nameOf(test.command); got != test.want {
			t.Errorf("%q is called %q, not %q", test.command, got, test.want)
		}
	}
}

func TestSince(t *testing.T) {
	earlier := Snapshot{processes: map[string]process{"1@1": {"kubelet", time.Second, time.Second}}, all: 10 * time.Second}
	later := Snapshot{
		processes: map[string]process{
			"1@1": {"kubelet", 3 * time.Second, 1500 * time.Millisecond},
			"2@5": {"wrk", time.Second, 0}, "3@6": {"wrk", time.Second, 0},
			"4@7": {"idle", 0, time.Second},
		},
		all: 15 * time.Second,
	}
	var b strings.Builder
	if err := later.Since(earlier).Write(&b, "download", "kubectl"); err != nil {
		t.Fatal(err)
	}
	const want = "| download | kubectl | 5.00 | kubelet 2.00 (0.50), wrk 2.00 (0.00), all else 1.00 |\n"
	if b.String() != want {
		t.Errorf("it is %q, not %q", b.String(), want)
	}
}

func TestTake(t *testing.T) {
	if s := Take(); len(s.processes) == 0 || s.all == 0 {
		t.Errorf("nobody has ever worked: %+v", s)
	}
}

func TestWaitedBy(t *testing.T) {
	dir := t.TempDir()
	for thread, stat := range map[string]string{"1": "5 1000000000 3\n", "2": "7 500000000 1\n", "3": ""} {
		if err := os.MkdirAll(filepath.Join(dir, "task", thread), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "task", thread, "schedstat"), []byte(stat), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := waitedBy(dir); got != 1500*time.Millisecond {
		t.Errorf("its threads waited for %v, want 1.5s", got)
	}
}
