// SPDX-License-Identifier: Apache-2.0

package environment

import "testing"

func TestExpand(t *testing.T) {
	known := map[string]string{"A": "a", "REF": "$(A)", "EMPTY": "", "A B": "space", "": "nameless"}
	lookup := func(name string) (string, bool) {
		value, ok := known[name]
		return value, ok
	}
	tests := []struct{ name, value, want string }{
		{"empty", "", ""},
		{"no reference", "plain", "plain"},
		{"reference", "$(A)", "a"},
		{"within", "x$(A)y$(A)z", "xayaz"},
		{"to an empty value", "x$(EMPTY)y", "xy"},
		{"values aren't expanded again", "$(REF)", "$(A)"},
		{"unknown", "$(B)", "$(B)"},
		{"escaped", "$$(A)", "$(A)"},
		{"escaped, then a reference", "$$$(A)", "$a"},
		{"escaped twice", "$$$$(A)", "$$(A)"},
		{"escaped alone", "$$", "$"},
		{"one at the end", "x$", "x$"},
		{"not closed", "$(A", "$(A"},
		{"not closed, with another", "$(A$(A)", "$(A$(A)"},
		{"after one that isn't closed", "$(", "$("},
		{"closed only", "$A)", "$A)"},
		{"shell's own", "${A} $A", "${A} $A"},
		{"no name", "$()", "nameless"},
		{"any name", "$(A B)", "space"},
		{"non-ASCII", "$é$(A)é", "$éaé"},
		{"escape within a name", "$($$)", "$($$)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := expand(tt.value, lookup); got != tt.want {
				t.Errorf("expand(%q) = %q, want %q", tt.value, got, tt.want)
			}
		})
	}
}
