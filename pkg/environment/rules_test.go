// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	tests := []struct {
		name             string
		include, exclude []string
		keeps, leavesOut []string
	}{
		{
			name:  "the container's own",
			keeps: []string{"DB_HOST", "PATHS", "MY_HOME", "KUBERNETES_NAMESPACE", "ORDERS_SERVICE_HOST", "home", "GOMAXPROCS"},
			leavesOut: []string{
				"PATH", "HOME", "HOSTNAME", "PWD", "SHLVL", "TERM", "_", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT_HTTPS",
				"KUBERNETES_PORT", "KUBERNETES_PORT_443_TCP_ADDR", "LD_PRELOAD", "XDG_CACHE_HOME",
			},
		},
		{name: "included", include: []string{"KUBERNETES_*", "HOME"}, keeps: []string{"KUBERNETES_SERVICE_HOST", "HOME"}, leavesOut: []string{"PATH"}},
		{name: "including one leaves out no other", include: []string{"HOME"}, keeps: []string{"DB_HOST"}},
		{name: "excluded", exclude: []string{"DB_*", "[AB]"}, keeps: []string{"X_DB_HOST", "C"}, leavesOut: []string{"DB_HOST", "DB_", "A", "B"}},
		{name: "excluded and included", include: []string{"*"}, exclude: []string{"PATH"}, keeps: []string{"HOME"}, leavesOut: []string{"PATH"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules, err := NewRules(tt.include, tt.exclude)
			if err != nil {
				t.Fatal(err)
			}
			var all []Variable
			for _, name := range slices.Concat(tt.leavesOut, tt.keeps) {
				all = append(all, Variable{Name: name})
			}
			kept, left := rules.Apply(all)
			var keeps, leavesOut []string
			for _, one := range kept {
				keeps = append(keeps, one.Name)
			}
			for _, one := range left {
				leavesOut = append(leavesOut, one.Name)
				if one.Reason == "" {
					t.Errorf("%s is left out for no reason", one.Name)
				}
			}
			if !slices.Equal(keeps, tt.keeps) || !slices.Equal(leavesOut, tt.leavesOut) {
				t.Errorf("kept %q, left out %q", keeps, leavesOut)
			}
		})
	}
}

func TestRulesSayWhichPattern(t *testing.T) {
	rules, err := NewRules(nil, []string{"A*", "B*"})
	if err != nil {
		t.Fatal(err)
	}
	if _, left := rules.Apply([]Variable{{Name: "BC"}}); len(left) != 1 || left[0].Reason != "excluded by B*" {
		t.Errorf("left out %v", left)
	}
}

func TestNewRulesRefuses(t *testing.T) {
	for _, patterns := range [][2][]string{{{"OK", "[A"}, nil}, {nil, []string{"[A"}}} {
		if _, err := NewRules(patterns[0], patterns[1]); !errors.Is(err, path.ErrBadPattern) || !strings.Contains(err.Error(), "[A") {
			t.Errorf("NewRules(%q): %v, want ErrBadPattern for [A", patterns, err)
		}
	}
}

func TestContainerRulesAreReadable(t *testing.T) {
	for _, rule := range ContainerRules() {
		if _, err := path.Match(rule.Pattern, ""); err != nil || rule.Reason == "" {
			t.Errorf("%+v: %v", rule, err)
		}
	}
}
