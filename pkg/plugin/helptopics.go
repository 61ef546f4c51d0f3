// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	_ "embed" // the topics' texts
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-velo/kubectl-velo/manifests"
)

//go:embed help/permissions.txt
var permissionsHelp string

//go:embed help/troubleshooting.txt
var troubleshootingHelp string

// newTopics returns what help is about that is no command.
func newTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "permissions", Short: "Which rights are needed, and why", Long: permissionsHelp + rightsHelp(manifests.UserRole)},
		{Use: "troubleshooting", Short: "What to do when something is wrong", Long: troubleshootingHelp},
	}
}

// right is a rule of a Role, with the comment that stands before it.
type right struct {
	rule   rbacv1.PolicyRule
	reason string
}

// rightsOf reads the rules of a Role's manifest, each with its comment.
func rightsOf(manifest []byte) ([]right, error) {
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict(manifest, &role); err != nil {
		return nil, err
	}
	var reasons []string
	var comment []string
	for line := range strings.Lines(string(manifest)) {
		text := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(text, "#"):
			comment = append(comment, strings.TrimSpace(strings.TrimPrefix(text, "#")))
			continue
		case strings.HasPrefix(text, "- apiGroups:"):
			reasons = append(reasons, strings.Join(comment, " "))
		}
		comment = nil
	}
	if len(reasons) != len(role.Rules) {
		return nil, fmt.Errorf("the Role has %d rules, and %d of them begin with their apiGroups", len(role.Rules), len(reasons))
	}
	rights := make([]right, 0, len(reasons))
	for i, rule := range role.Rules {
		rights = append(rights, right{rule, reasons[i]})
	}
	return rights, nil
}

// rightsHelp lists the rules of a Role's manifest for people.
func rightsHelp(manifest []byte) string {
	rights, err := rightsOf(manifest)
	if err != nil {
		return "'kubectl velo rbac' prints them."
	}
	var b strings.Builder
	for _, one := range rights {
		resources := strings.Join(one.rule.Resources, ", ")
		if group := one.rule.APIGroups[0]; group != "" {
			resources += " (" + group + ")"
		}
		fmt.Fprintf(&b, "%s: %s\n  %s\n\n", resources, strings.Join(one.rule.Verbs, ", "), one.reason)
	}
	return strings.TrimSpace(b.String())
}
