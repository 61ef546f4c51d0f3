// SPDX-License-Identifier: Apache-2.0

package krew

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// templateFile is the one that the release bot takes.
var templateFile = filepath.Join("..", "..", "..", "..", ".krew.yaml")

const testTag = "v1.2.3"

// archiveNames are those of a release, as .goreleaser.yaml has them.
func archiveNames(tag string) []string {
	var names []string
	for goos, extension := range map[string]string{"linux": "tar.gz", "darwin": "tar.gz", "windows": "zip"} {
		for _, goarch := range []string{"amd64", "arm64"} {
			names = append(names, fmt.Sprintf("kubectl-velo_%s_%s_%s.%s", tag, goos, goarch, extension))
		}
	}
	return names
}

// dist is a directory with files of these names.
func dist(t *testing.T, tag string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range archiveNames(tag) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRender(t *testing.T) {
	dir := dist(t, testTag)
	manifest, err := Render(templateFile, testTag, dir)
	if err != nil {
		t.Fatal(err)
	}
	plugin, err := Parse(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if plugin.Metadata.Name != "velo" || plugin.Spec.Version != testTag || plugin.Spec.Caveats == "" {
		t.Errorf("got %+v", plugin)
	}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, goarch := range []string{"amd64", "arm64"} {
			platform, ok, err := plugin.For(goos, goarch)
			if err != nil || !ok {
				t.Fatalf("there is nothing for %s/%s: %v", goos, goarch, err)
			}
			name := filepath.Base(platform.URI)
			want, err := sum(filepath.Join(dir, name))
			if err != nil || platform.Sha256 != want || !strings.Contains(name, "_"+goos+"_"+goarch+".") {
				t.Errorf("%s/%s has %s with sum %s; want %s, %v", goos, goarch, platform.URI, platform.Sha256, want, err)
			}
		}
	}
	if _, ok, err := plugin.For("linux", "riscv64"); ok || err != nil {
		t.Errorf("there is something for linux/riscv64: %v", err)
	}
	if _, err := Render(templateFile, "v1.2.4", dir); err == nil {
		t.Error("archives of another version pass for this one's")
	}
	bad := filepath.Join(t.TempDir(), "krew.yaml")
	if err := os.WriteFile(bad, []byte("spec: {edition: 1}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Render(bad, testTag, dir); err == nil || !strings.Contains(err.Error(), "edition") {
		t.Errorf("a field that krew doesn't know: %v", err)
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Plugin)
		want string
	}{
		{"kind", func(p *Plugin) { p.Kind = "Thing" }, "Thing"},
		{"name in camel case", func(p *Plugin) { p.Metadata.Name = "veloIntercept" }, "kebab"},
		{"name with a prefix", func(p *Plugin) { p.Metadata.Name = "kubectl-velo" }, "again"},
		{"version without v", func(p *Plugin) { p.Spec.Version = "1.2.3" }, `"1.2.3"`},
		{"version with two numbers", func(p *Plugin) { p.Spec.Version = "v1.2" }, `"v1.2"`},
		{"no homepage", func(p *Plugin) { p.Spec.Homepage = "" }, "homepage"},
		{"long short description", func(p *Plugin) { p.Spec.ShortDescription = strings.Repeat("a", 50) }, "50 characters"},
		{"two lines", func(p *Plugin) { p.Spec.ShortDescription = "a\nb" }, "one line"},
		{"full stop", func(p *Plugin) { p.Spec.ShortDescription = "Does it." }, "full stop"},
		{"kubectl", func(p *Plugin) { p.Spec.ShortDescription = "A kubectl plugin" }, "again"},
		{"no description", func(p *Plugin) { p.Spec.Description = "" }, "description"},
		{"wide caveats", func(p *Plugin) { p.Spec.Caveats = strings.Repeat("a", 81) }, "81"},
		{"no platforms", func(p *Plugin) { p.Spec.Platforms = nil }, "no platform"},
		{"one platform missing", func(p *Plugin) { p.Spec.Platforms = p.Spec.Platforms[1:] }, "0 archives are for linux/amd64"},
		{"one twice", func(p *Plugin) { p.Spec.Platforms = append(p.Spec.Platforms, p.Spec.Platforms[0]) }, "2 archives"},
		{"no selector", func(p *Plugin) { p.Spec.Platforms[0].Selector = nil }, "selector"},
		{"another key", func(p *Plugin) { p.Spec.Platforms[0].Selector.MatchLabels["libc"] = "musl" }, "libc"},
		{"another release's archive", func(p *Plugin) { p.Spec.Platforms[0].URI = "https://example.org/v1.0.0/a.zip" }, "v1.0.0"},
		{"bad sum", func(p *Plugin) { p.Spec.Platforms[0].Sha256 = "ABC" }, "sha256"},
		{"no program", func(p *Plugin) { p.Spec.Platforms[0].Bin = "" }, "program"},
		{"no licence", func(p *Plugin) { p.Spec.Platforms[0].Files = p.Spec.Platforms[0].Files[:1] }, "LICENSE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			manifest, err := Render(templateFile, testTag, dist(t, testTag))
			if err != nil {
				t.Fatal(err)
			}
			plugin, err := Parse(manifest)
			if err != nil {
				t.Fatal(err)
			}
			tt.edit(plugin)
			if err := plugin.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
