// SPDX-License-Identifier: Apache-2.0

// Package krew makes the plugin's krew manifest of local archives, from the template that the krew release bot takes, and
// checks it against the rules of krew and of its index. Krew's own packages for this are internal to it.
//
// The format: https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/
package krew

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"text/template"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

const apiVersion, kind = "krew.googlecontainertools.github.com/v1alpha2", "Plugin"

// Plugin is a manifest.
type Plugin struct {
	metav1.TypeMeta `json:",inline"`

	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec Spec `json:"spec"`
}

// Spec is what a manifest says of the plugin.
type Spec struct {
	Version          string     `json:"version"`
	Homepage         string     `json:"homepage"`
	ShortDescription string     `json:"shortDescription"`
	Description      string     `json:"description"`
	Caveats          string     `json:"caveats,omitempty"`
	Platforms        []Platform `json:"platforms"`
}

// Platform is the archive for those that its selector matches by the labels os and arch.
type Platform struct {
	Selector *metav1.LabelSelector `json:"selector"`
	URI      string                `json:"uri"`
	Sha256   string                `json:"sha256"`
	// Bin is the program's file once it is installed.
	Bin   string          `json:"bin"`
	Files []FileOperation `json:"files,omitempty"`
}

// FileOperation copies what a pattern matches in the archive to a directory of the installation.
type FileOperation struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Render fills in the template for the release that tag names, with the archives in a directory. What it returns is valid.
func Render(file, tag, dist string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	manifest, err := fillIn(string(text), tag, func(url string) (string, error) {
		return sum(filepath.Join(dist, path.Base(url)))
	})
	if err != nil {
		return nil, fmt.Errorf("filling in %s: %w", file, err)
	}
	plugin, err := Parse(manifest)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if err := plugin.Validate(); err != nil {
		return nil, fmt.Errorf("checking %s: %w", file, err)
	}
	return manifest, nil
}

// fillIn does what the release bot does with a template: its function addURIAndSha takes a URL, itself a template, and writes
// two lines of a platform, the second indented by four spaces.
func fillIn(text, tag string, sum func(url string) (string, error)) ([]byte, error) {
	values := struct{ TagName string }{tag}
	execute := func(text string, funcs template.FuncMap) ([]byte, error) {
		t, err := template.New("krew").Option("missingkey=error").Funcs(funcs).Parse(text)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		err = t.Execute(&out, values)
		return out.Bytes(), err
	}
	return execute(text, template.FuncMap{"addURIAndSha": func(url, _ string) (string, error) {
		filled, err := execute(url, nil)
		if err != nil {
			return "", err
		}
		sha, err := sum(string(filled))
		return fmt.Sprintf("uri: %s\n    sha256: %s", filled, sha), err
	}})
}

// Parse reads a manifest. Fields that krew doesn't know are errors.
func Parse(manifest []byte) (*Plugin, error) {
	var p Plugin
	if err := yaml.UnmarshalStrict(manifest, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// For returns the platform's archive: the first that matches, as krew takes it.
func (p *Plugin) For(goos, goarch string) (Platform, bool, error) {
	for _, platform := range p.Spec.Platforms {
		matches, err := platform.matches(goos, goarch)
		if err != nil || matches {
			return platform, matches, err
		}
	}
	return Platform{}, false, nil
}

func (p *Platform) matches(goos, goarch string) (bool, error) {
	selector, err := metav1.LabelSelectorAsSelector(p.Selector)
	if err != nil {
		return false, err
	}
	return selector.Matches(labels.Set{"os": goos, "arch": goarch}), nil
}

// sum returns a file's SHA-256.
func sum(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:]), nil
}
