// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kubectl-velo": main})
}

func TestScripts(t *testing.T) {
	apiServer := startAPIServer(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(env *testscript.Env) error {
			// The cluster of a script that brings no kubeconfig is one that nobody listens for.
			env.Setenv("KUBECONFIG", filepath.Join(env.WorkDir, "kubeconfig-that-is-not-there"))
			env.Setenv("KUBERNETES_MASTER", "http://127.0.0.1:1")
			// One that there is, and a port that this process has.
			env.Setenv("APISERVER", apiServer)
			env.Setenv("TAKEN", strconv.Itoa(taken.Addr().(*net.TCPAddr).Port))
			env.Setenv("PID", strconv.Itoa(os.Getpid()))
			return nil
		},
	})
}

// exits runs a program that has to end with an exit code:
//
//	exits CODE PROGRAM [ARGUMENT...]
//
// What it wrote is for stdout and stderr to look at.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("running %s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s ended with exit code %d, want %d", args[1], got, want)
	}
}
