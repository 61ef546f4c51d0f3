// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

func TestServicesFor(t *testing.T) {
	tests := []struct {
		name   string
		change func(*shop)
		want   []string
	}{
		{"selects them", func(*shop) {}, []string{"web"}},
		{"nearly selects them", func(s *shop) { s.service.Spec.Selector = map[string]string{"app": "web-v2"} }, []string{"web"}},
		{"selects something else", func(s *shop) {
			other := s.pod.DeepCopy()
			other.Name, other.Labels = "other", map[string]string{"app": "web-v2"}
			s.more = append(s.more, other)
			s.service.Spec.Selector = map[string]string{"app": "web-v2"}
		}, nil},
		{"selects nothing alike", func(s *shop) {
			s.service.Name, s.service.Spec.Selector = "orders", map[string]string{"app": "orders"}
		}, nil},
		{"without a selector", func(s *shop) { s.service.Spec.Selector = nil }, nil},
		{"of an intercept", func(s *shop) {
			origin := s.service.DeepCopy()
			origin.Name, origin.Labels = "web-origin", map[string]string{"app.kubernetes.io/managed-by": selector.FieldManager}
			s.more = append(s.more, origin)
		}, []string{"web"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			tt.change(s)
			found, err := (&Checker{client: s.client()}).ServicesFor(t.Context(), "shop", []corev1.Pod{*s.pod})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, target := range found {
				names = append(names, target.Name)
			}
			if !slices.Equal(names, tt.want) {
				t.Errorf("services are %v, want %v", names, tt.want)
			}
		})
	}
}
