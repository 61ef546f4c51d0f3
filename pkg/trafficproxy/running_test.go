// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

func TestListRunning(t *testing.T) {
	pod := func(name string, phase corev1.PodPhase, edit func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{
				managedByLabel: managedBy, nameLabel: proxyName, ServiceLabel: "cart", selector.SessionLabel: "1a2b",
			}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Image: "example.org/traffic-proxy:v1", Args: []string{"--session=1a2b", "--tunnel=127.0.0.1:9022", "--port=tcp/9021:80"},
			}}},
			Status: corev1.PodStatus{Phase: phase},
		}
		if edit != nil {
			edit(p)
		}
		return p
	}
	client := fake.NewClientset(
		pod("on", corev1.PodRunning, nil),
		pod("starting", corev1.PodPending, nil),
		pod("ending", corev1.PodRunning, func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) }),
		pod("of-others", corev1.PodRunning, func(p *corev1.Pod) { p.Labels = map[string]string{nameLabel: proxyName} }),
		pod("run", corev1.PodRunning, func(p *corev1.Pod) {
			delete(p.Labels, ServiceLabel)
			p.Spec.Containers[0].Args = []string{"--tunnel=nonsense"}
		}),
	)
	got, err := ListRunning(t.Context(), client, "shop")
	if err != nil {
		t.Fatal(err)
	}
	want := []Running{
		{Namespace: "shop", Pod: "on", Service: "cart", Session: "1a2b", Image: "example.org/traffic-proxy:v1", TunnelPort: 9022},
		{Namespace: "shop", Pod: "run", Session: "1a2b", Image: "example.org/traffic-proxy:v1"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
