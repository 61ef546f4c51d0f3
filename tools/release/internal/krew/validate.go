// SPDX-License-Identifier: Apache-2.0

package krew

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

const (
	// shortest is how long a short description may be: what `kubectl krew search` shows of it on a terminal.
	shortest = 50
	// widest is a line of the description and the caveats, which krew prints indented.
	widest = 80
)

var (
	// kebab is what the naming guide of the index asks for: https://krew.sigs.k8s.io/docs/developer-guide/develop/naming-guide/
	kebab  = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	sha    = regexp.MustCompile(`^[a-f0-9]{64}$`)
	semver = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)
)

// Validate says what krew or the reviewers of its index would refuse.
func (p *Plugin) Validate() error {
	var all []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	name, s := p.Metadata.Name, &p.Spec
	refuse(p.APIVersion != apiVersion || p.Kind != kind, "it is a %s of %s", p.Kind, p.APIVersion)
	refuse(!kebab.MatchString(name), "the name %q is not in kebab case", name)
	refuse(strings.HasPrefix(name, "kube"), "the name %q says again that it is for kubectl", name)
	refuse(!semver.MatchString(s.Version), "the version %q is not a semantic one with a v", s.Version)
	if _, err := version.ParseSemantic(s.Version); err != nil {
		all = append(all, err)
	}
	refuse(!strings.HasPrefix(s.Homepage, "https://"), "the homepage %q is no URL", s.Homepage)
	short := s.ShortDescription
	refuse(short == "" || strings.ContainsAny(short, "\r\n"), "the short description is not one line")
	refuse(len(short) >= shortest, "the short description has %d characters", len(short))
	refuse(strings.HasSuffix(short, "."), "the short description ends in a full stop")
	refuse(strings.Contains(strings.ToLower(short), "kube"), "the short description says again that it is for kubectl")
	refuse(s.Description == "", "there is no description")
	for line := range strings.Lines(s.Description + s.Caveats) {
		refuse(len(strings.TrimSpace(line)) > widest, "a line of %d characters: %s", len(line), line)
	}
	refuse(len(s.Platforms) == 0, "there is no platform")
	for i := range s.Platforms {
		if err := s.Platforms[i].validate(s.Version); err != nil {
			all = append(all, fmt.Errorf("platform %d: %w", i, err))
		}
	}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, goarch := range []string{"amd64", "arm64"} {
			if err := p.hasOne(goos, goarch); err != nil {
				all = append(all, err)
			}
		}
	}
	return errors.Join(all...)
}

// hasOne makes sure that a platform has exactly one archive.
func (p *Plugin) hasOne(goos, goarch string) error {
	matching := 0
	for i := range p.Spec.Platforms {
		matches, err := p.Spec.Platforms[i].matches(goos, goarch)
		if err != nil {
			return err
		}
		if matches {
			matching++
		}
	}
	if matching != 1 {
		return fmt.Errorf("%d archives are for %s/%s", matching, goos, goarch)
	}
	return nil
}

func (p *Platform) validate(tag string) error {
	if p.Selector == nil || len(p.Selector.MatchLabels)+len(p.Selector.MatchExpressions) == 0 {
		return errors.New("it has no selector")
	}
	keys := make([]string, 0, len(p.Selector.MatchLabels))
	for key := range p.Selector.MatchLabels {
		keys = append(keys, key)
	}
	for _, expression := range p.Selector.MatchExpressions {
		keys = append(keys, expression.Key)
	}
	for _, key := range keys {
		if key != "os" && key != "arch" {
			return fmt.Errorf("its selector has the key %q", key)
		}
	}
	switch {
	case !strings.HasPrefix(p.URI, "https://") || !strings.Contains(p.URI, "/"+tag+"/"):
		return fmt.Errorf("its archive %q is not one of release %s", p.URI, tag)
	case !sha.MatchString(p.Sha256):
		return fmt.Errorf("its sha256 %q is none", p.Sha256)
	case p.Bin == "":
		return errors.New("it has no program")
	}
	for _, wanted := range []string{p.Bin, "LICENSE"} {
		if !slices.ContainsFunc(p.Files, func(f FileOperation) bool { return path.Join(f.To, path.Base(f.From)) == wanted }) {
			return fmt.Errorf("it doesn't install %s", wanted)
		}
	}
	return nil
}
