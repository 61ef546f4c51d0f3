// SPDX-License-Identifier: Apache-2.0

// Package docs_test keeps the documentation to what the code does: pages that are made of it are compared with it, and
// what pages say that can be looked up is looked up. `make docs` writes the pages anew.
package docs_test

import (
	"context"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-velo/kubectl-velo/pkg/plugin"
)

var update = flag.Bool("update", false, "write the pages that are made of the code")

// asPlugin is set for the processes that command blocks start as kubectl velo: this program is the plugin for them.
const asPlugin = "VELO_DOCS_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		ctx, cancel := context.WithCancel(context.Background())
		streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
		code := plugin.Main(ctx, plugin.NewInterrupts(cancel), streams, os.Args[1:])
		cancel()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// newRoot returns all commands as they are in the plugin, on whichever machine: no default is this one's.
func newRoot(t *testing.T) *cobra.Command {
	t.Helper()
	t.Setenv("KUBECACHEDIR", "$HOME/.kube/cache")
	return plugin.NewCommand(nil, genericiooptions.IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: io.Discard})
}

// page is a file of documentation.
type page struct {
	path string // below the repository's root
	text string
}

// pages returns all of the repository's Markdown but for what is built or brought up in it.
func pages(t *testing.T) []page {
	t.Helper()
	skipped := []string{"testdata", "bin", "dist", "node_modules"}
	var all []page
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && (slices.Contains(skipped, d.Name()) || strings.HasPrefix(d.Name(), ".") && d.Name() != ".github"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel("..", path)
		all = append(all, page{filepath.ToSlash(relative), string(text)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d pages were found", len(all))
	}
	return all
}

// golden compares a page that is made of the code with the one that is there, or writes it.
func golden(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run 'make docs'", err)
	}
	if string(got) != want {
		t.Errorf("docs/%s is not what the code says: run 'make docs' (it differs from line %d on)", path, differsAt(string(got), want))
	}
}

func differsAt(a, b string) int {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return i + 1
		}
	}
	return min(len(as), len(bs)) + 1
}
