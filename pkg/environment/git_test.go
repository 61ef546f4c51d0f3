// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestTracked(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip(err)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	outside, tree := t.TempDir(), t.TempDir()
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(outside)) // whatever the temporary directory itself is in
	git := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", tree}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	git("init", "--quiet")
	for name, content := range map[string]string{".gitignore": "*.env\n", "added.env": "", "sub/.gitignore": "here\n"} {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git("add", "--force", "added.env")
	tests := []struct {
		name, path string
		want       bool
	}{
		{"not in a work tree", filepath.Join(outside, "x"), false},
		{"new, not ignored", filepath.Join(tree, "x"), true},
		{"ignored", filepath.Join(tree, "x.env"), false},
		{"ignored, but already added", filepath.Join(tree, "added.env"), true},
		{"ignored in a directory", filepath.Join(tree, "sub", "here"), false},
		{"git's own", filepath.Join(tree, ".git", "x"), false},
		{"in a directory that isn't there", filepath.Join(tree, "none", "x"), false},
		{"what looks like an option", filepath.Join(tree, "--stdin"), true},
		{"what looks like a pattern", filepath.Join(tree, ":(top)x.env"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Tracked(t.Context(), tt.path)
			if got != tt.want || err != nil {
				t.Errorf("Tracked = %t, %v; want %t", got, err, tt.want)
			}
		})
	}
	t.Run("relative", func(t *testing.T) {
		t.Chdir(tree)
		if got, err := Tracked(t.Context(), "x"); !got || err != nil {
			t.Errorf("Tracked = %t, %v; want true", got, err)
		}
	})
	t.Run("git doesn't answer", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := Tracked(ctx, filepath.Join(tree, "x")); got || err == nil {
			t.Errorf("Tracked = %t, %v; want an error", got, err)
		}
	})
	t.Run("no git", func(t *testing.T) {
		t.Setenv("PATH", outside)
		if got, err := Tracked(t.Context(), filepath.Join(tree, "x")); got || err != nil {
			t.Errorf("Tracked = %t, %v; want false", got, err)
		}
	})
}
