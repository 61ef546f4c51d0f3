// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plan completes options with a plugin that is never run.
func plan(t *testing.T, args ...string) (*options, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kubectl-velo"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	o := &options{}
	cmd := o.newCommand()
	if err := cmd.ParseFlags(args); err != nil {
		return nil, err
	}
	o.changed = cmd.Flags().Changed
	err := o.complete()
	return o, err
}

func TestPlan(t *testing.T) {
	all := "clusterip ingress kubectl velo-forward velo-reverse"
	for _, test := range []struct {
		name  string
		args  []string
		ways  string
		lines string
		works string // of the first line
	}{
		{
			"everything", nil, all, "RTT 0 ms; RTT 20 ms; RTT 20 ms, 1 % loss; RTT 180 ms; RTT 180 ms, 1 % loss",
			"idle keepalive-10 keepalive-50 connections new-connection download upload downloads-4 latency",
		},
		{
			"quick",
			[]string{"--quick"},
			"clusterip kubectl velo-forward velo-reverse", "RTT 0 ms; RTT 20 ms, 1 % loss; RTT 180 ms",
			"idle keepalive-50 connections download",
		},
		{
			"quick, with more",
			[]string{"--quick", "--only", "ingress", "--rtt", "180", "--loss", "0", "--work", "upload,idle"},
			"ingress", "RTT 180 ms", "idle upload",
		},
		{
			"some",
			[]string{"--only", "kubectl,clusterip", "--work=download", "--rtt=1.5", "--loss=0.5"},
			"clusterip kubectl", "RTT 1.5 ms, 0.5 % loss", "download",
		},
		{
			"memory on no long line",
			[]string{"--rtt=20", "--loss=0"},
			all, "RTT 20 ms",
			"keepalive-10 keepalive-50 connections new-connection download upload downloads-4 latency",
		},
		{
			"other builds",
			[]string{"--plugin", "/x/kubectl-velo", "--plugin", "old=/y/kubectl-velo,image:old", "--rtt=0"},
			all + " velo-forward@other velo-reverse@other velo-forward@old velo-reverse@old", "RTT 0 ms",
			"idle keepalive-10 keepalive-50 connections new-connection download upload downloads-4 latency",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, err := plan(t, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(o.plannedWays, " "); got != test.ways {
				t.Errorf("ways %s, not %s", got, test.ways)
			}
			var lines []string
			for _, l := range o.lines {
				lines = append(lines, l.name())
			}
			if got := strings.Join(lines, "; "); got != test.lines {
				t.Errorf("lines %s, not %s", got, test.lines)
			}
			if got := strings.Join(workNames(o.lines[0].works), " "); got != test.works {
				t.Errorf("works %s, not %s", got, test.works)
			}
		})
	}
}

func TestPlanRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--only=pigeon"},
		{"--work=juggle"},
		{"--rounds=0"},
		{"--rtt=-1"},
		{"--loss=100", "--rtt=1"},
		{"--rtt=0", "--loss=1"},
		{"--plugin=Bad Name=/x"},
		{"--plugin="},
	} {
		if _, err := plan(t, args...); !errors.Is(err, errUsage) {
			t.Errorf("%q is taken: %v", args, err)
		}
	}
}

func TestCommandLine(t *testing.T) {
	cmd := (&options{}).newCommand()
	if err := cmd.ParseFlags([]string{
		"--quick", "--rtt=0,180", "--json=/here", "--out=/there",
		"--plugin=/elsewhere",
	}); err != nil {
		t.Fatal(err)
	}
	if got, want := commandLine(cmd.Flags()), "bench --quick --rtt 0,180"; got != want {
		t.Errorf("it is %q, not %q", got, want)
	}
}

// Every option is in the README, and none besides.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var help bytes.Buffer
	cmd := (&options{}).newCommand()
	cmd.SetOut(&help)
	if err := cmd.Help(); err != nil {
		t.Fatal(err)
	}
	flags := func(text string) []string {
		var all []string
		for word := range strings.FieldsFuncSeq(text,
			func(r rune) bool { return !strings.ContainsRune("-abcdefghijklmnopqrstuvwxyz", r) }) {
			if strings.HasPrefix(word, "--") && len(word) > 3 && word != "--help" {
				all = append(all, word)
			}
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	if got, want := flags(string(readme)), flags(help.String()); !slices.Equal(got, want) {
		t.Errorf("README.md names %q, the command has %q", got, want)
	}
}
