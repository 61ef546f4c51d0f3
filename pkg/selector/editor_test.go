// SPDX-License-Identifier: Apache-2.0

package selector

import (
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestLastEditor(t *testing.T) {
	entry := func(manager string, at int, fields string) metav1.ManagedFieldsEntry {
		when := metav1.NewTime(time.Unix(int64(at), 0))
		f := &metav1.FieldsV1{}
		f.SetRawBytes([]byte(fields))
		return metav1.ManagedFieldsEntry{Manager: manager, Time: &when, FieldsV1: f}
	}
	const setsSelector, setsPorts = `{"f:spec":{"f:selector":{}}}`, `{"f:spec":{"f:ports":{}}}`
	tests := []struct {
		name    string
		entries []metav1.ManagedFieldsEntry
		want    string
	}{
		{"nobody known", nil, "somebody"},
		{"one", []metav1.ManagedFieldsEntry{entry("argocd-controller", 1, setsSelector)}, "argocd-controller"},
		{"the later of two", []metav1.ManagedFieldsEntry{entry("kubectl-edit", 2, setsSelector), entry("helm", 1, setsSelector)}, "kubectl-edit"},
		{"not who set something else", []metav1.ManagedFieldsEntry{entry("helm", 1, setsSelector), entry("kubectl-edit", 2, setsPorts)}, "helm"},
		{"not what can't be read", []metav1.ManagedFieldsEntry{entry("helm", 1, setsSelector), entry("new", 2, `[]`)}, "helm"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{ManagedFields: test.entries}}
			if got := LastEditor(service); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestOriginalOf(t *testing.T) {
	held := &Intercept{Session: "ours", Selector: map[string]string{"app": "cart"}}
	swapped := map[string]string{domain + "service": "cart", SessionLabel: "ours"}
	with := func(more map[string]string) map[string]string {
		all := maps.Clone(swapped)
		maps.Copy(all, more)
		return all
	}
	tests := []struct {
		name          string
		selector, to  map[string]string
		editedByOther bool
	}{
		{"as it was swapped", swapped, held.Selector, false},
		{"set by somebody", map[string]string{"app": "new"}, map[string]string{"app": "new"}, true},
		{"mixed by kubectl apply", with(map[string]string{"app": "cart"}), map[string]string{"app": "cart"}, true},
		{"added to by kubectl patch", with(map[string]string{"tier": "web"}), map[string]string{"app": "cart", "tier": "web"}, true},
		{"changed by kubectl apply", with(map[string]string{"app": "new"}), map[string]string{"app": "new"}, true},
		{"removed by somebody", nil, nil, true},
		{"of another session", map[string]string{SessionLabel: "older"}, held.Selector, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			service := &corev1.Service{Spec: corev1.ServiceSpec{Selector: test.selector}}
			to, edited := originalOf(service, held)
			if !maps.Equal(to, test.to) || edited != test.editedByOther {
				t.Errorf("got %v, %v; want %v, %v", to, edited, test.to, test.editedByOther)
			}
		})
	}
}
