// SPDX-License-Identifier: Apache-2.0

package krew

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// release is archives and their tag: those of VELO_DIST, a directory that GoReleaser has filled, or else one made here for this
// platform, with stand-ins for the others.
type release struct {
	dist, tag string
	real      bool
}

func theRelease(t *testing.T) release {
	t.Helper()
	if dir := os.Getenv("VELO_DIST"); dir != "" {
		found, err := filepath.Glob(filepath.Join(dir, "kubectl-velo_*_linux_amd64.tar.gz"))
		if err != nil || len(found) != 1 {
			t.Fatalf("the archives in %s: %q, %v", dir, found, err)
		}
		tag := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), "kubectl-velo_"), "_linux_amd64.tar.gz")
		return release{dist: dir, tag: tag, real: true}
	}
	if runtime.GOOS == "windows" {
		t.Skip("this test makes tar archives")
	}
	r := release{dist: dist(t, testTag), tag: testTag}
	program := filepath.Join(t.TempDir(), "kubectl-velo")
	root := filepath.Join("..", "..", "..", "..")
	build := exec.Command("go", "build", "-C", root, "-trimpath",
		"-ldflags", "-X github.com/kubectl-velo/kubectl-velo/pkg/plugin.Version="+testTag, "-o", program, "./cmd/kubectl-velo")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pack(t, filepath.Join(r.dist, "kubectl-velo_"+testTag+"_"+runtime.GOOS+"_"+runtime.GOARCH+".tar.gz"),
		program, filepath.Join(root, "LICENSE"))
	return r
}

func pack(t *testing.T, archive string, files ...string) {
	t.Helper()
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	w := tar.NewWriter(compressed)
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteHeader(&tar.Header{Name: filepath.Base(path), Mode: 0o755, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), compressed.Close(), os.WriteFile(archive, out.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// install does what `kubectl krew install --manifest --archive` does: it takes the platform's archive, checks its sum, unpacks
// it, copies the manifest's files into the store, and links the program into the directory that is in the user's PATH.
func install(t *testing.T, plugin *Plugin, dist, goos, goarch string) (bin string) {
	t.Helper()
	platform, ok, err := plugin.For(goos, goarch)
	if err != nil || !ok {
		t.Fatalf("no archive for %s/%s: %v", goos, goarch, err)
	}
	archive := filepath.Join(dist, filepath.Base(platform.URI))
	if got, err := sum(archive); err != nil || got != platform.Sha256 {
		t.Fatalf("%s has the sum %s, %v; want %s", archive, got, err, platform.Sha256)
	}
	root := t.TempDir()
	unpacked := filepath.Join(root, "unpacked")
	if err := os.Mkdir(unpacked, 0o755); err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(archive, ".zip") {
		unzip(t, archive, unpacked)
	} else {
		untar(t, archive, unpacked)
	}
	store := filepath.Join(root, "store", plugin.Metadata.Name, plugin.Spec.Version)
	for _, operation := range platform.Files {
		found, err := filepath.Glob(filepath.Join(unpacked, filepath.FromSlash(operation.From)))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s has no %s: %v", archive, operation.From, err)
		}
		to := filepath.Join(store, filepath.FromSlash(operation.To))
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if err := os.Rename(path, filepath.Join(to, filepath.Base(path))); err != nil {
				t.Fatal(err)
			}
		}
	}
	bin = filepath.Join(root, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	name := "kubectl-" + strings.ReplaceAll(plugin.Metadata.Name, "-", "_")
	if goos == "windows" {
		name += ".exe"
	}
	target := filepath.Join(store, filepath.FromSlash(platform.Bin))
	info, err := os.Stat(target)
	if err != nil {
		t.Fatal(err)
	}
	if goos != "windows" && info.Mode()&0o111 != 0o111 {
		t.Errorf("%s is %s", platform.Bin, info.Mode())
	}
	if err := os.Symlink(target, filepath.Join(bin, name)); err != nil {
		t.Fatal(err)
	}
	return bin
}

func untar(t *testing.T, archive, to string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	compressed, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(compressed); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		// Krew refuses links, and so do we.
		if header.Typeflag != tar.TypeReg || !filepath.IsLocal(header.Name) {
			t.Fatalf("%s: %c is no plain file", header.Name, header.Typeflag)
		}
		unpackFile(t, filepath.Join(to, header.Name), r, header.FileInfo().Mode())
	}
}

func unzip(t *testing.T, archive, to string) {
	t.Helper()
	r, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, file := range r.File {
		if !file.Mode().IsRegular() || !filepath.IsLocal(file.Name) {
			t.Fatalf("%s is no plain file", file.Name)
		}
		data, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		unpackFile(t, filepath.Join(to, file.Name), data, file.Mode())
		_ = data.Close()
	}
}

func unpackFile(t *testing.T, path string, from io.Reader, mode os.FileMode) {
	t.Helper()
	data, err := io.ReadAll(from)
	if err == nil {
		err = os.WriteFile(path, data, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The real kubectl finds the plugin that was installed from manifest and archive, and runs it.
func TestInstall(t *testing.T) {
	r := theRelease(t)
	manifest, err := Render(templateFile, r.tag, r.dist)
	if err != nil {
		t.Fatal(err)
	}
	plugin, err := Parse(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if r.real { // the others' archives are whole as well
		for _, goos := range []string{"linux", "darwin", "windows"} {
			for _, goarch := range []string{"amd64", "arm64"} {
				install(t, plugin, r.dist, goos, goarch)
			}
		}
	}
	bin := install(t, plugin, r.dist, runtime.GOOS, runtime.GOARCH)
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		if r.real {
			t.Fatal(err)
		}
		t.Skip("kubectl is not in the PATH: whether it finds the plugin was not tested")
	}
	run := func(args ...string) string {
		cmd := exec.Command(kubectl, args...)
		cmd.Env = append(os.Environ(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"), "VELO_PROXY_IMAGE=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if got := run("plugin", "list"); !strings.Contains(got, filepath.Join(bin, "kubectl-velo")) {
		t.Errorf("kubectl's plugins are\n%s", got)
	}
	said := run("velo", "version", "--client")
	if !strings.Contains(said, "Plugin: "+r.tag+"\n") {
		t.Errorf("want version %s:\n%s", r.tag, said)
	}
	// A released plugin names its image by digest: the one that was made with it.
	if r.real {
		digest, err := os.ReadFile(filepath.Join(r.dist, "..", "image", "digest"))
		if err != nil {
			t.Fatal(err)
		}
		want := "ghcr.io/kubectl-velo/traffic-proxy:" + r.tag + "@" + strings.TrimSpace(string(digest))
		if !regexp.MustCompile(`@sha256:[0-9a-f]{64}$`).MatchString(want) || !strings.Contains(said, want+"\n") {
			t.Errorf("want the image %s:\n%s", want, said)
		}
	}
	if got := run("velo", "--help"); !strings.Contains(got, "kubectl velo") || !strings.Contains(got, "intercept") {
		t.Errorf("the help is\n%s", got)
	}
}
