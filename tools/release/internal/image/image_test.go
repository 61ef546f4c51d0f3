// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// spec is of an image whose programs are a few bytes, written just now.
func spec(t *testing.T) Spec {
	t.Helper()
	dir := t.TempDir()
	write := func(name, data string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return Spec{
		Name: "traffic-proxy", Description: "a test", Source: "https://example.org/velo", Version: "v1.2.3", Revision: "0123abc",
		License: write("LICENSE", "as you like"), Created: time.Unix(1_700_000_000, 0).UTC(),
		Programs: []Program{{"arm64", write("arm", "program for arm64")}, {"amd64", write("amd", "program for amd64")}},
	}
}

func archive(t *testing.T, s Spec) (path, digest string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "new", "image.tar")
	digest, err := Write(s, path)
	if err != nil {
		t.Fatal(err)
	}
	return path, digest
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSameInputSameBytes(t *testing.T) {
	first, digest := archive(t, spec(t))
	again := spec(t) // written again: other times, another place
	slices.Reverse(again.Programs)
	second, digestAgain := archive(t, again)
	if digest != digestAgain || !bytes.Equal(contents(t, first), contents(t, second)) {
		t.Errorf("the same input made %s and %s", digest, digestAgain)
	}
	again.Revision = "4567def"
	if _, other := archive(t, again); other == digest {
		t.Error("another input made the same image")
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(first), "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the archive there is %q, %v", left, err)
	}
}

// What is pushed can be pulled by the digest that Write returned, and is what runs as nobody.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	repository := strings.TrimPrefix(server.URL, "http://") + "/velo/traffic-proxy"
	path, digest := archive(t, spec(t))
	got, err := Push(t.Context(), path, repository+":v1.2.3")
	if err != nil || got != repository+":v1.2.3@"+digest {
		t.Fatalf("pushed %s, %v; want the digest %s", got, err, digest)
	}
	reference, err := name.NewDigest(repository + "@" + digest)
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := remote.Image(reference, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Architecture != arch || config.Config.User != "65532:65532" ||
			!slices.Equal(config.Config.Entrypoint, []string{"/traffic-proxy"}) ||
			config.Config.Labels["org.opencontainers.image.revision"] != "0123abc" {
			t.Errorf("%s: %+v", arch, config)
		}
		if got, want := files(t, img), []string{"-rw-r--r-- LICENSE: as you like", "-rwxr-xr-x traffic-proxy: program for " + arch}; !slices.Equal(got, want) {
			t.Errorf("%s: files %q, want %q", arch, got, want)
		}
	}
	// One that was cut short is not pushed.
	broken := filepath.Join(t.TempDir(), "broken.tar")
	if err := os.WriteFile(broken, contents(t, path)[:2000], 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Push(t.Context(), broken, repository+":broken"); err == nil {
		t.Errorf("half an archive was pushed as %s", got)
	}
}

func files(t *testing.T, img v1.Image) []string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatal(layers, err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []string
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, header.FileInfo().Mode().String()+" "+header.Name+": "+string(data))
	}
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Spec)
		want string
	}{
		{"no program", func(s *Spec) { s.Programs = nil }, "programs"},
		{"no version", func(s *Spec) { s.Version = "" }, "version"},
		{"two for one platform", func(s *Spec) { s.Programs = append(s.Programs, s.Programs[0]) }, "two programs for arm64"},
		{"no licence", func(s *Spec) { s.License += "-" }, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := spec(t)
			tt.edit(&s)
			if _, err := Write(s, filepath.Join(t.TempDir(), "image.tar")); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
