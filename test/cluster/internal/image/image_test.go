// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// program writes a file that passes for one.
func program(t *testing.T, name, data string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(data), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func archive(t *testing.T, spec Spec) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "new", "image.tar")
	if err := Write(spec, out); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSameInputSameBytes(t *testing.T) {
	a, b := program(t, "a", "program a", 0o755), program(t, "b", "data b", 0o644)
	spec := Spec{Name: "velo/test:1", User: "65532", Files: []File{{a, "/bin/a"}, {b, "/etc/x/b"}}, Entrypoint: []string{"/bin/a"}}
	first := archive(t, spec)

	// What is not content: times, order, where it was, who may write it.
	if err := os.Chtimes(a, time.Now(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	again := spec
	again.Files = []File{{program(t, "elsewhere", "data b", 0o600), "/etc/x/b"}, {a, "/bin/a"}}
	if !bytes.Equal(first, archive(t, again)) {
		t.Error("the same content made another archive")
	}
	if err := os.WriteFile(a, []byte("program A"), 0o755); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first, archive(t, spec)) {
		t.Error("other content made the same archive")
	}
}

func TestImage(t *testing.T) {
	spec := Spec{
		Name: "velo/test:1", User: "1000:1000", Env: []string{"A=1"},
		Files: []File{{program(t, "a", "program", 0o755), "/bin/a"}, {program(t, "b", "data", 0o600), "/etc/b"}},
	}
	data := archive(t, spec)
	img, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Config.User != "1000:1000" || !slices.Equal(config.Config.Entrypoint, []string{"/bin/a"}) ||
		!slices.Contains(config.Config.Env, "A=1") {
		t.Errorf("config %+v", config)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatal(layers, err)
	}
	contents, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(contents); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.FileInfo().Mode().String()+" "+h.Name)
		if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s: time %s, owner %d:%d", h.Name, h.ModTime, h.Uid, h.Gid)
		}
	}
	want := []string{"drwxr-xr-x bin/", "drwxr-xr-x etc/", "-rwxr-xr-x bin/a", "-rw-r--r-- etc/b"}
	if !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

func TestRefused(t *testing.T) {
	a, other := program(t, "a", "program", 0o755), program(t, "b", "other", 0o755)
	for _, tt := range []struct {
		name string
		spec Spec
		want string
	}{
		{"root", Spec{Name: "test:1", User: "0", Files: []File{{a, "/a"}}}, "root"},
		{"a name for a user", Spec{Name: "test:1", User: "nobody", Files: []File{{a, "/a"}}}, "nobody"},
		{"no user", Spec{Name: "test:1", Files: []File{{a, "/a"}}}, "user"},
		{"no file", Spec{Name: "test:1", User: "1"}, "no file"},
		{"bad name", Spec{Name: "X Y", User: "1", Files: []File{{a, "/a"}}}, "X Y"},
		{"relative path", Spec{Name: "test:1", User: "1", Files: []File{{a, "a"}}}, "not absolute"},
		{"absent file", Spec{Name: "test:1", User: "1", Files: []File{{a + "-", "/a"}}}, "no such file"},
		{"two files in one place", Spec{Name: "test:1", User: "1", Files: []File{{a, "/a"}, {other, "/b/../a"}}}, "already"},
		{"a file as a directory", Spec{Name: "test:1", User: "1", Files: []File{{a, "/a"}, {other, "/a/b"}}}, "directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "image.tar")
			err := Write(tt.spec, out)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("an archive was written")
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	for path, data := range map[string]string{"a": "data a", "sub/b": "data b"} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got, err := Directory(dir)
	if err != nil {
		t.Fatal(err)
	}
	var want []File
	for _, name := range []string{"a", "link", "sub/b"} {
		path := filepath.Join(dir, name)
		want = append(want, File{path, path})
	}
	if !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	archive(t, Spec{Name: "velo/test:1", User: "65532", Files: got})

	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	if got, err = Directory(dir); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "image.tar")
	if err := Write(Spec{Name: "velo/test:1", User: "65532", Files: got}, out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to nowhere: %v", err)
	}
	for _, path := range []string{"relative", filepath.Join(dir, "absent")} {
		if _, err := Directory(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestParseLdd(t *testing.T) {
	got, err := parseLdd("\tlinux-vdso.so.1 (0x00007ffd5e9f2000)\n" +
		"\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f0a3c000000)\n" +
		"\t/lib64/ld-linux-x86-64.so.2 (0x00007f0a3c6f1000)\n")
	want := []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := parseLdd("\tstatically linked\n"); len(got) != 0 || err != nil {
		t.Errorf("static: %q, %v", got, err)
	}
	if _, err := parseLdd("\tlibx.so.1 => not found\n"); err == nil || !strings.Contains(err.Error(), "libx.so.1") {
		t.Errorf("an absent library: %v", err)
	}
}
