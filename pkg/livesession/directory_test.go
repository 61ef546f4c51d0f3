// SPDX-License-Identifier: Apache-2.0

//go:build unix

package livesession

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestDirectory(t *testing.T) {
	own, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	home, temp := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("TMPDIR", temp)
	fallback := filepath.Join(temp, "kubectl-velo-"+strconv.Itoa(os.Geteuid()))
	if runtime.GOOS == "darwin" {
		fallback = filepath.Join(home, "Library", "Caches", "kubectl-velo", "run")
	}
	tests := []struct{ name, runtimeDir, want string }{
		{"of this user", own, filepath.Join(own, "kubectl-velo")},
		{"not set", "", fallback},
		{"relative", "run", fallback},
		{"missing", filepath.Join(own, "missing"), fallback},
		{"a file", file, fallback},
	}
	if os.Geteuid() == 0 {
		others := t.TempDir()
		if err := os.Chown(others, 1234, -1); err != nil {
			t.Fatal(err)
		}
		tests = append(tests, struct{ name, runtimeDir, want string }{"of another user", others, fallback})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("XDG_RUNTIME_DIR", tt.runtimeDir)
			got, err := directory()
			if err != nil || got != tt.want {
				t.Errorf("directory() = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestUnsafe(t *testing.T) {
	mkdir := func(t *testing.T, dir string, mode fs.FileMode) {
		t.Helper()
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		make func(t *testing.T, dir string)
		want string
		hint string
		root bool
	}{
		{"for the group", func(t *testing.T, dir string) { mkdir(t, dir, 0o710) }, "others may enter it (mode 0710)", "run 'chmod 700 PATH'", false},
		{"for all to read", func(t *testing.T, dir string) { mkdir(t, dir, 0o704) }, "others may enter it (mode 0704)", "run 'chmod 700 PATH'", false},
		{"a file", func(t *testing.T, dir string) {
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "it is no directory", "remove it, or set XDG_RUNTIME_DIR to a directory of your own", false},
		{"a link to a safe one", func(t *testing.T, dir string) {
			mkdir(t, dir+"2", 0o700)
			if err := os.Symlink(dir+"2", dir); err != nil {
				t.Fatal(err)
			}
		}, "it is no directory", "remove it, or set XDG_RUNTIME_DIR to a directory of your own", false},
		{"of another user", func(t *testing.T, dir string) {
			mkdir(t, dir, 0o700)
			if err := os.Chown(dir, 1234, -1); err != nil {
				t.Fatal(err)
			}
		}, "it belongs to another user", "remove it, or set XDG_RUNTIME_DIR to a directory of your own", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("only root can give a directory away")
			}
			t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
			dir, err := directory()
			if err != nil {
				t.Fatal(err)
			}
			tt.make(t, dir)
			refusal := func(who string, err error) {
				unsafe, ok := errors.AsType[*UnsafeDirectoryError](err)
				if !ok {
					t.Fatalf("%s: %v, want UnsafeDirectoryError", who, err)
				}
				if want := "the directory of sessions " + dir + " is not safe: " + tt.want; unsafe.Error() != want {
					t.Errorf("%s: %q, want %q", who, unsafe, want)
				}
				if want := strings.ReplaceAll(tt.hint, "PATH", dir); unsafe.Hint() != want {
					t.Errorf("%s: the hint is %q, want %q", who, unsafe.Hint(), want)
				}
			}
			refusal("Serve", Serve(t.Context(), "a", func() Session { return Session{} }))
			sessions, errs := List(t.Context())
			if len(sessions) != 0 || len(errs) != 1 {
				t.Fatal(sessions, errs)
			}
			refusal("List", errs[0])
		})
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	listener, err := listen(t.Context(), dir, "1a2b")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{
		filepath.Dir(dir): fs.ModeDir | 0o700, dir: fs.ModeDir | 0o700, filepath.Join(dir, "1a2b"): fs.ModeSocket | 0o600,
	} {
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("the mode of %s is %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}

func TestIDs(t *testing.T) {
	for _, id := range []string{"", "..", "a/b", "A", "é", "a\x00", "-.", strings.Repeat("a", longestPath)} {
		listener, err := listen(t.Context(), filepath.Join(t.TempDir(), "s"), id)
		if err == nil {
			t.Errorf("the ID %q is none", id)
			_ = listener.Close()
		}
	}
}
