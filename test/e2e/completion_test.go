// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCompletion completes against a real cluster, as a shell asks kubectl, and kubectl the plugin.
func TestCompletion(t *testing.T) {
	e := newEnv(t, nil)
	e.deployWeb()
	dir := t.TempDir()
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := e.kubectl("velo", "completion", "kubectl", "--dir", dir); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	tests := []struct {
		name  string
		words []string
		want  []string // of what is offered, each as its line begins
		not   []string
	}{
		{"Services", []string{"intercept", "svc/"}, []string{"svc/web", ":4"}, []string{"svc/caller"}},
		{
			"ports",
			[]string{"intercept", "svc/web", "--port", "3002:"},
			[]string{"3002:80\tcontainer port 8080", "3002:http\t", "3002:9000\t", "3002:7001\tcontainer port 9001", "3002:digest\t", ":4"},
			[]string{"3002:9002", "3002:datagrams"},
		},
		{"containers", []string{"env", "deploy/web", "-c", ""}, []string{"peer", ":4"}, nil},
		{"workloads", []string{"env", "deploy"}, []string{"deploy/web", ":4"}, nil},
		{"pods", []string{"forward", "pod/"}, []string{"pod/caller", "pod/web-", ":4"}, nil},
		{"ports of pods", []string{"forward", "deploy/web", "3002:"}, []string{"3002:8080\t", "3002:http\t", ":4"}, nil},
		{"nothing to restore", []string{"restore", ""}, []string{":4"}, []string{"svc/"}},
		{"namespaces", []string{"status", "-n", e.namespace[:len(e.namespace)-1]}, []string{e.namespace, ":4"}, nil},
		{"flags", []string{"intercept", "svc/web", "--po"}, []string{"--port\t", ":4"}, nil},
		{"files after --", []string{"intercept", "svc/web", "--", ""}, []string{":0"}, []string{"svc/"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, through := range [][]string{{"kubectl-velo", "__complete"}, {"kubectl", "__complete", "velo"}} {
				lines := strings.Split(completed(t, append(through, e.flagged(tt.words)...)), "\n")
				begins := func(with string) bool {
					return slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, with) })
				}
				for _, want := range tt.want {
					if !begins(want) {
						t.Errorf("through %s, %q is not offered:\n%s", through[0], want, strings.Join(lines, "\n"))
					}
				}
				for _, not := range tt.not {
					if begins(not) {
						t.Errorf("through %s, %q is offered:\n%s", through[0], not, strings.Join(lines, "\n"))
					}
				}
			}
		})
	}
	t.Run("an intercepted Service", func(t *testing.T) {
		within := e.within(t)
		v := within.intercept("web", "--port", "3002:http")
		for words, want := range map[string]string{"restore": "svc/web\tintercepted by ", "intercept": "svc/web\tintercepted by "} {
			if got := completed(t, append([]string{"kubectl-velo", "__complete"}, within.flagged([]string{words, ""})...)); !strings.HasPrefix(got, want) {
				t.Errorf("%s offers %q, want %q", words, got, want)
			}
		}
		v.interrupt()
	})
	// How long it takes depends on the machine: it is told, and not judged.
	for _, through := range [][]string{{"kubectl-velo", "__complete"}, {"kubectl", "__complete", "velo"}} {
		for _, words := range [][]string{{"intercept", "svc/"}, {"intercept", "svc/web", "--port", "3002:"}} {
			took := make([]time.Duration, 0, times(t, 10))
			for range cap(took) {
				began := time.Now()
				completed(t, append(through, e.flagged(words)...))
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			fmt.Printf("completing %q through %s took %v (median of %d), %v at most\n", strings.Join(words, " "), through[0],
				took[len(took)/2].Round(time.Millisecond), len(took), took[len(took)-1].Round(time.Millisecond))
		}
	}
}

// flagged puts the flags that lead to the test's namespace behind the command.
func (e *env) flagged(words []string) []string {
	flags := []string{}
	if !slices.Contains(words, "-n") {
		flags = append(flags, "-n", e.namespace)
	}
	if name := os.Getenv("VELO_CONTEXT"); name != "" {
		flags = append(flags, "--context", name)
	}
	return slices.Concat(words[:1], flags, words[1:])
}

// completed returns what a command offers on stdout.
func completed(t *testing.T, command []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(command, " "), err)
	}
	return string(out)
}
