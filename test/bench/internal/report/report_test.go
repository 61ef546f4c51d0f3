// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/result"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/wan"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

var update = flag.Bool("update", false, "write the golden files anew")

// example is a run in which nearly everything occurs that can.
func example() *result.Run {
	sizes := work.Sizes{
		Wrk: 10 * time.Second, Transfer: 200 << 20, Each: 200 << 20, Limit: 45 * time.Second, Probe: 5 * time.Second,
		Fresh: 15, Idle: 10000,
	}
	r := &result.Run{
		Command: "bench --rtt 0,180", Rounds: 3,
		Began: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Took: 83 * time.Minute,
		Machine: result.Machine{
			Processor: "AMD EPYC", Processors: 2, Memory: 24 << 30, Kernel: "6.18.44", Load: 0.2,
			Congestion: "bbr", SendBuffer: 4 << 20,
			Versions: map[string]string{"Go": "go1.26.8", "kubectl": "v1.37.2", "kubectl-velo": "sha256:0123456789ab"},
		},
		Ways: []result.Name{
			{Name: "clusterip", Title: "direct to the ClusterIP"},
			{Name: "kubectl", Title: "kubectl port-forward"},
			{Name: "velo-reverse", Title: "kubectl velo intercept"},
		},
		LeftOut: []result.Name{{Name: "velo-forward", Title: "kubectl velo run"}},
	}
	for _, name := range []string{
		work.KeepAlive10, work.Connections, work.NewConnection, work.Download, work.Latency, work.Idle,
	} {
		w, _ := work.Find(name)
		r.Works = append(r.Works, result.Name{Name: w.Name, Title: w.Title})
	}
	near := result.Line{Name: "RTT 0 ms", Sizes: sizes, Reopened: map[string]int{"kubectl": 2}}
	far := result.Line{
		Name: "RTT 180 ms", RTT: 180 * time.Millisecond, Sizes: sizes,
		Carried: &[2]wan.Counts{
			{Carried: 12345, Late: time.Second, Latest: 3 * time.Millisecond},
			{Carried: 54321, Lost: 7, Late: time.Second, Latest: 2 * time.Millisecond},
		},
	}
	add := func(l *result.Line, name, way string, figures ...map[string]float64) {
		for round, f := range figures {
			l.Samples = append(l.Samples, result.Sample{
				Round: round, Work: name, Way: way,
				Sample: work.Sample{Figures: f},
			})
		}
	}
	type fs = map[string]float64
	add(&near, work.Connections, "clusterip", fs{"rate": 4000, "p50": 0.0002, "p99": 0.002},
		fs{"rate": 4200, "p50": 0.0003, "p99": 0.003})
	add(&near, work.Connections, "kubectl", fs{"rate": 300, "p50": 0.03, "p99": 0.06},
		fs{"rate": 310, "p50": 0.03, "p99": 0.06})
	add(&near, work.Connections, "velo-reverse", fs{"rate": 1000, "p50": 0.01, "p99": 0.02},
		fs{"rate": 900, "p50": 0.01, "p99": 0.02})
	near.Samples[1].Errors = 1234
	near.Samples = append(near.Samples, result.Sample{
		Round: 2, Work: work.Connections, Way: "velo-reverse",
		Failed: "it fell over",
	})
	add(&near, work.Idle, "velo-reverse", fs{"laptop": 20000, "cluster": -500}, fs{"laptop": 50000, "cluster": 500})
	add(&far, work.KeepAlive10, "clusterip", fs{"rate": 50, "p50": 0.181, "p99": 0.183})
	add(&far, work.KeepAlive10, "velo-reverse", fs{"rate": 49.8, "p50": 0.182, "p99": 0.19})
	add(&far, work.NewConnection, "clusterip", fs{"p50": 0.362}, fs{"p50": 0.363}, fs{"p50": 0.361})
	add(&far, work.NewConnection, "kubectl", fs{"p50": 0.55}, fs{"p50": 0.551}, fs{"p50": 0.549})
	add(&far, work.NewConnection, "velo-reverse", fs{"p50": 0.185}, fs{"p50": 0.186}, fs{"p50": 0.184})
	add(&far, work.Download, "clusterip", fs{"rate": 13.7e6}, fs{"rate": 13.8e6})
	add(&far, work.Download, "velo-reverse", fs{"rate": 10e6}, fs{"rate": 90e6})
	add(&far, work.Latency, "clusterip", fs{"added p50": 0, "added p99": -0.002, "idle p50": 0.18, "idle p99": 0.182})
	add(&far, work.Latency, "velo-reverse",
		fs{"added p50": 0.001, "added p99": 0.02, "idle p50": 0.18, "idle p99": 0.182})
	far.Samples[len(far.Samples)-1].Repeated = 1
	r.Lines = []result.Line{near, far}
	return r
}

func TestGolden(t *testing.T) {
	for name, write := range map[string]func(io.Writer, *result.Run) error{
		"example.txt": Text,
		"example.md":  func(w io.Writer, r *result.Run) error { return Markdown(w, r, "benchmarks.svg") },
		"example.svg": SVG,
		"example.json": func(w io.Writer, r *result.Run) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := write(&got, example()); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name)
			if *update {
				if err := errors.Join(os.MkdirAll("testdata", 0o755),
					os.WriteFile(file, got.Bytes(), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("it isn't %s any more (-update writes it anew):\n%s", file, &got)
			}
		})
	}
}

// What is written as JSON can be shown from it just as well.
func TestFromJSON(t *testing.T) {
	data, err := json.Marshal(example())
	if err != nil {
		t.Fatal(err)
	}
	var read result.Run
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	var want, got bytes.Buffer
	if err := errors.Join(Markdown(&want, example(), "x.svg"), Markdown(&got, &read, "x.svg")); err != nil {
		t.Fatal(err)
	}
	if got.String() != want.String() {
		t.Errorf("it has become\n%s", &got)
	}
}

func TestSVGIsXML(t *testing.T) {
	var b bytes.Buffer
	if err := SVG(&b, example()); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(&b); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A run of nothing is shown without falling over.
func TestEmpty(t *testing.T) {
	if err := errors.Join(Text(io.Discard, &result.Run{}), Markdown(io.Discard, &result.Run{}, ""),
		SVG(io.Discard, &result.Run{})); err != nil {
		t.Error(err)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", 0.5: "0.5", 0.9991: "0.999", 0.00049: "0", -0.0001: "0", 1.6: "1.6", 15.33: "15.3",
		999.4: "999", 1000: "1,000", 44215: "44,215", 1234567: "1,234,567", -5.07: "−5.07", -12345: "−12,345", 0.0123: "0.012",
	} {
		if got := number(v); got != want {
			t.Errorf("%v is %q, not %q", v, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		2 * time.Second: "2s", 1200 * time.Millisecond: "1.2s", time.Minute: "1m", 83 * time.Minute: "1h23m",
		4*time.Minute + 27900*time.Millisecond: "4m27.9s",
	} {
		if got := duration(d); got != want {
			t.Errorf("%v is %q, not %q", d, got, want)
		}
	}
}
