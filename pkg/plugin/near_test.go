// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"strings"
	"testing"
)

func TestMistakes(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "env", 3},
		{"help", "help", 0},
		{"hepl", "help", 1}, // swapped
		{"hepl", "deps", 2},
		{"hlp", "help", 1},
		{"hellp", "help", 1},
		{"permisssions", "permissions", 1},
		{"kubctl", "kubectl", 1},
		{"trubelshooting", "troubleshooting", 2},
	}
	for _, tt := range tests {
		for _, pair := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
			if got := mistakes(pair[0], pair[1]); got != tt.want {
				t.Errorf("between %q and %q are %d mistakes, want %d", pair[0], pair[1], got, tt.want)
			}
		}
	}
}

func TestNear(t *testing.T) {
	names := []string{"deps", "env", "intercept", "help", "status", "permissions"}
	tests := map[string]string{
		"hepl": "help", "HELP": "help", "interept": "intercept", "inter": "intercept", "statsu": "status",
		"permisssions": "permissions", "evn": "env", "dpes": "deps", "": "", "frobnicate": "", "xyz": "",
	}
	for word, want := range tests {
		if got := strings.Join(near(word, names), " "); got != want {
			t.Errorf("near %q is %q, want %q", word, got, want)
		}
	}
	if got := strings.Join(near("ports", []string{"parts", "port", "pods", "sports", "ports-of", "pprots"}), " "); got != "parts port sports ports-of pods pprots" {
		t.Errorf("they are not in order: %s", got)
	}
}
