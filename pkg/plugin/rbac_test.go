// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-velo/kubectl-velo/manifests"
)

// rbac runs kubectl velo rbac, without a cluster, and returns what it prints and its exit code.
func rbac(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	code = Main(t.Context(), nil, streams, append([]string{"rbac"}, args...))
	return out.String(), errOut.String(), code
}

func documents(t *testing.T, printed string) (role rbacv1.Role, rest string) {
	t.Helper()
	first, rest, ok := strings.Cut(printed, "\n---\n")
	if !ok {
		t.Fatalf("one document only:\n%s", printed)
	}
	if err := yaml.UnmarshalStrict([]byte(first), &role); err != nil {
		t.Fatal(err)
	}
	return role, rest
}

func TestUserRoleCoversIntercept(t *testing.T) {
	printed, _, _ := rbac(t, "-n", "shop")
	role, _ := documents(t, printed)
	wanted := slices.Concat(interceptPermissions(), grantPermissions())
	// What undoing, status and restore take, and what the traffic-proxy is granted.
	for _, verb := range []string{"get", "list", "watch", "delete"} {
		wanted = append(wanted, permission{"apps", "deployments", "", verb})
	}
	wanted = append(wanted, permission{"", "services", "", "list"}, permission{"", "pods", "portforward", "get"})
	for _, p := range wanted {
		resource := p.resource
		if p.subresource != "" {
			resource += "/" + p.subresource
		}
		if !slices.ContainsFunc(role.Rules, func(rule rbacv1.PolicyRule) bool {
			return slices.Contains(rule.APIGroups, p.group) && slices.Contains(rule.Resources, resource) && slices.Contains(rule.Verbs, p.verb)
		}) {
			t.Errorf("the Role doesn't allow to %s", p)
		}
	}
}

// RBAC lets users grant only what they hold.
func TestUserRoleCoversProxyRole(t *testing.T) {
	var user, proxy rbacv1.Role
	for manifest, role := range map[*[]byte]*rbacv1.Role{&manifests.UserRole: &user, &manifests.ProxyRole: &proxy} {
		if err := yaml.UnmarshalStrict(*manifest, role); err != nil {
			t.Fatal(err)
		}
	}
	for _, granted := range proxy.Rules {
		if !slices.ContainsFunc(user.Rules, func(held rbacv1.PolicyRule) bool {
			return containsAll(held.APIGroups, granted.APIGroups) && containsAll(held.Resources, granted.Resources) &&
				containsAll(held.Verbs, granted.Verbs) && len(held.ResourceNames) == 0
		}) {
			t.Errorf("users don't hold %+v", granted)
		}
	}
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func TestUserRoleIsNarrowAndExplained(t *testing.T) {
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict(manifests.UserRole, &role); err != nil {
		t.Fatal(err)
	}
	for _, rule := range role.Rules {
		if containsAny(slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs), "*", "bind", "escalate", "impersonate") || len(rule.NonResourceURLs) > 0 ||
			slices.Contains(rule.Resources, "secrets") && !slices.Equal(rule.Verbs, []string{"get"}) {
			t.Errorf("a rule allows too much: %+v", rule)
		}
	}
	rules := 0
	lines := strings.Split(string(manifests.UserRole), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "  - ") {
			rules++
			if !strings.HasPrefix(lines[i-1], "  # ") {
				t.Errorf("line %d: there is no reason for this rule", i+1)
			}
		}
	}
	if rules != len(role.Rules) {
		t.Errorf("%d rules were looked at, there are %d", rules, len(role.Rules))
	}
}

func containsAny(all []string, some ...string) bool {
	return slices.ContainsFunc(all, func(s string) bool { return slices.Contains(some, s) })
}

func TestRBAC(t *testing.T) {
	t.Run("keeps the comments", func(t *testing.T) {
		printed, stderr, code := rbac(t, "-n", "shop")
		if code != 0 || stderr != "" {
			t.Fatalf("exit code %d, stderr %q", code, stderr)
		}
		for line := range bytes.Lines(manifests.UserRole) {
			if !strings.Contains(printed, string(line)) {
				t.Errorf("it doesn't print %q", line)
			}
		}
		role, rest := documents(t, printed)
		if role.Name != userRole || role.Namespace != "shop" || role.Kind != "Role" {
			t.Errorf("it prints the %s %s/%s", role.Kind, role.Namespace, role.Name)
		}
		for line := range strings.Lines(rest) {
			if !strings.HasPrefix(line, "#") {
				t.Errorf("%q is no comment", line)
			}
		}
		if want := "kubectl create rolebinding kubectl-velo-user -n shop --role kubectl-velo-user --user "; !strings.Contains(rest, want) {
			t.Errorf("%q doesn't say %q", rest, want)
		}
	})
	t.Run("a namespace like a number", func(t *testing.T) {
		for _, namespace := range []string{"123", "1e3", "null", "on", "0x1f", "default"} {
			printed, _, _ := rbac(t, "-n", namespace)
			if role, _ := documents(t, printed); role.Namespace != namespace {
				t.Errorf("namespace %s became %s", namespace, role.Namespace)
			}
		}
	})
	t.Run("binding", func(t *testing.T) {
		printed, _, _ := rbac(t, "-n", "shop", "--user", "ada@example.com", "--group", "dev", "--serviceaccount", "ci:builder", "--user", "7")
		_, rest := documents(t, printed)
		var binding rbacv1.RoleBinding
		if err := yaml.UnmarshalStrict([]byte(rest), &binding); err != nil {
			t.Fatal(err)
		}
		want := []rbacv1.Subject{
			{Kind: "User", APIGroup: rbacv1.GroupName, Name: "ada@example.com"},
			{Kind: "User", APIGroup: rbacv1.GroupName, Name: "7"},
			{Kind: "Group", APIGroup: rbacv1.GroupName, Name: "dev"},
			{Kind: "ServiceAccount", Namespace: "ci", Name: "builder"},
		}
		if !slices.Equal(binding.Subjects, want) {
			t.Errorf("the subjects are %+v, want %+v", binding.Subjects, want)
		}
		if ref := (rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: userRole}); binding.RoleRef != ref || binding.Namespace != "shop" || binding.Kind != "RoleBinding" {
			t.Errorf("the binding is %+v", binding)
		}
	})
}

func TestRBACUsage(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"argument", []string{"shop"}, `unexpected argument "shop"`},
		{"namespace", []string{"-n", "Shop"}, `"Shop" is no name of a namespace: `},
		{"no user", []string{"--user", ""}, "--user is empty"},
		{"no group", []string{"--group="}, "--group is empty"},
		{"no namespace", []string{"--serviceaccount", "builder"}, `--serviceaccount "builder": want NAMESPACE:NAME`},
		{"too much", []string{"--serviceaccount", "a:b:c"}, `--serviceaccount "a:b:c": want NAMESPACE:NAME`},
		{"empty name", []string{"--serviceaccount", "shop:"}, `--serviceaccount "shop:": want NAMESPACE:NAME`},
		{"empty namespace", []string{"--serviceaccount", ":builder"}, `--serviceaccount ":builder": want NAMESPACE:NAME`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := rbac(t, tt.args...)
			if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, "error: "+tt.want) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %q", code, stdout, stderr, tt.want)
			}
		})
	}
}
