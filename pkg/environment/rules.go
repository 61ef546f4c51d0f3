// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"fmt"
	"path"
)

// Rule says that variables of some name belong to a container, and why a laptop must not have them.
type Rule struct {
	// Pattern of the names, as [path.Match] has it.
	Pattern string
	// Reason they are left out for.
	Reason string
}

// ContainerRules are the rules for what a container needs and a laptop must not have. What isn't named here is kept.
// Paths of the container that are carried over aren't left out but rewritten.
func ContainerRules() []Rule {
	const (
		user     = "who runs the process differs"
		shell    = "a shell sets it"
		loader   = "the container's libraries are not on this machine"
		install  = "the container's installation is not on this machine"
		apiLinks = "the API server's address inside of the cluster; client libraries take it to mean that they run there"
	)
	return []Rule{
		{"PATH", "the container's programs are not on this machine"},
		{"HOME", user},
		{"USER", user},
		{"LOGNAME", user},
		{"SHELL", user},
		{"XDG_*", "names the directories of the container's user"},
		{"TMPDIR", "the container's directories are not on this machine"},
		{"HOSTNAME", "names the pod"},
		{"PWD", shell},
		{"OLDPWD", shell},
		{"SHLVL", shell},
		{"_", shell},
		{"TERM", "the terminal differs"},
		{"LD_LIBRARY_PATH", loader},
		{"LD_PRELOAD", loader},
		{"JAVA_HOME", install},
		{"PYTHONHOME", install},
		{"GOROOT", install},
		{"KUBERNETES_SERVICE_*", apiLinks},
		{"KUBERNETES_PORT", apiLinks},
		{"KUBERNETES_PORT_*", apiLinks},
	}
}

// Rules decide which variables of a container a process on this machine gets: all but those that a rule is for, unless
// they are included, and none that are excluded.
type Rules struct {
	rules            []Rule
	include, exclude []string
}

// LeftOut is a variable that the process doesn't get.
type LeftOut struct{ Name, Reason string }

// NewRules returns [ContainerRules] with a user's own patterns: a name that matches one of include is kept whatever
// rule there is for it, and one that matches one of exclude is left out whatever else is said. The error names a
// pattern that [path.Match] can't read.
func NewRules(include, exclude []string) (*Rules, error) {
	for _, patterns := range [][]string{include, exclude} {
		for _, pattern := range patterns {
			if _, err := path.Match(pattern, ""); err != nil {
				return nil, fmt.Errorf("pattern %q: %w", pattern, err)
			}
		}
	}
	return &Rules{rules: ContainerRules(), include: include, exclude: exclude}, nil
}

// Apply divides variables, in their order, into those that are kept and those that are left out.
func (r *Rules) Apply(all []Variable) (kept []Variable, left []LeftOut) {
	for _, one := range all {
		if reason := r.reason(one.Name); reason != "" {
			left = append(left, LeftOut{one.Name, reason})
		} else {
			kept = append(kept, one)
		}
	}
	return kept, left
}

// reason returns why a variable is left out, or "" if it isn't.
func (r *Rules) reason(name string) string {
	if pattern, ok := matching(r.exclude, name); ok {
		return "excluded by " + pattern
	}
	if _, ok := matching(r.include, name); ok {
		return ""
	}
	for _, rule := range r.rules {
		if _, ok := matching([]string{rule.Pattern}, name); ok {
			return rule.Reason
		}
	}
	return ""
}

// matching returns the first pattern that a name matches. Patterns are known to be readable.
func matching(patterns []string, name string) (string, bool) {
	for _, pattern := range patterns {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return pattern, true
		}
	}
	return "", false
}
