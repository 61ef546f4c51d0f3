// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-velo/kubectl-velo/manifests"
)

// The page of permissions has every rule of the manifests, with the reason that stands beside it there.
func TestPermissionsPage(t *testing.T) {
	const path = "permissions.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for _, role := range []struct {
		name     string
		manifest []byte
	}{{"user-role", manifests.UserRole}, {"proxy-role", manifests.ProxyRole}} {
		begin, end := "<!-- rules of manifests/"+role.name+".yaml, written by `make docs` -->\n", "<!-- end of rules -->"
		before, rest, found := strings.Cut(want, begin)
		_, after, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Fatalf("docs/%s has no place for the rules of %s", path, role.name)
		}
		want = before + begin + "\n" + rulesTable(t, role.manifest) + "\n" + end + after
	}
	golden(t, path, want)
}

// rulesTable has a row for each rule of a Role's manifest.
func rulesTable(t *testing.T, manifest []byte) string {
	t.Helper()
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict(manifest, &role); err != nil {
		t.Fatal(err)
	}
	reasons := ruleReasons(string(manifest))
	if len(reasons) != len(role.Rules) || len(reasons) == 0 {
		t.Fatalf("%d rules have %d reasons", len(role.Rules), len(reasons))
	}
	var b strings.Builder
	b.WriteString("| verbs | of | why |\n|---|---|---|\n")
	for i, rule := range role.Rules {
		resources := make([]string, 0, len(rule.Resources))
		for _, resource := range rule.Resources {
			if group := rule.APIGroups[0]; group != "" {
				resource += "." + group
			}
			resources = append(resources, "`"+resource+"`")
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.Join(rule.Verbs, ", "), strings.Join(resources, ", "), reasons[i])
	}
	return b.String()
}

// ruleReasons returns the comment above each rule; a rule without one has "", which is none.
func ruleReasons(manifest string) []string {
	_, rules, _ := strings.Cut(manifest, "\nrules:\n")
	var reasons, comment []string
	for line := range strings.Lines(rules) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
			comment = append(comment, strings.TrimSpace(strings.TrimPrefix(line, "#")))
		case strings.HasPrefix(line, "- apiGroups:"):
			if len(comment) > 0 {
				reasons = append(reasons, strings.Join(comment, " "))
			}
			comment = nil
		}
	}
	return reasons
}
