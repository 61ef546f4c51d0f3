// SPDX-License-Identifier: Apache-2.0

package selector

import (
	"errors"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// cart is a Service as its owner wrote it.
func cart() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "cart", UID: "u-1", ResourceVersion: "41",
			Annotations: map[string]string{"team": "checkout"},
		},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "cart", "tier": "web"},
			Ports:    []corev1.ServicePort{{Port: 80}},
		},
	}
}

func toProxy(session string) map[string]string {
	return map[string]string{domain + "service": "cart", SessionLabel: session}
}

func note(session string) Intercept {
	return Intercept{
		Session: session, Owner: "ada@laptop", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Proxy: "cart-traffic-proxy",
	}
}

// swapped is cart while a session holds it.
func swapped(t *testing.T, session string) *corev1.Service {
	t.Helper()
	s := cart()
	n := note(session)
	n.Version, n.Selector = version, s.Spec.Selector
	value, err := n.encode()
	if err != nil {
		t.Fatal(err)
	}
	s.Annotations[Annotation] = value
	s.Spec.Selector = toProxy(session)
	return s
}

// patches returns the patches of Services that were sent.
func patches(t *testing.T, client *fake.Clientset) []clienttesting.PatchActionImpl {
	t.Helper()
	var all []clienttesting.PatchActionImpl
	for _, action := range client.Actions() {
		if !action.Matches("get", "services") && !action.Matches("patch", "services") {
			t.Errorf("unexpected request: %s %s", action.GetVerb(), action.GetResource().Resource)
		}
		if patch, ok := action.(clienttesting.PatchActionImpl); ok {
			all = append(all, patch)
		}
	}
	return all
}

// onePatch asserts that exactly one patch was sent, and what it says.
func onePatch(t *testing.T, client *fake.Clientset, want string) {
	t.Helper()
	all := patches(t, client)
	if len(all) != 1 {
		t.Fatalf("%d patches were sent, want 1", len(all))
	}
	if got := string(all[0].Patch); got != want {
		t.Errorf("the patch is\n%s\nwant\n%s", got, want)
	}
	if all[0].PatchType != types.MergePatchType {
		t.Errorf("the patch is of type %s", all[0].PatchType)
	}
	if all[0].PatchOptions.FieldManager != FieldManager {
		t.Errorf("the field manager is %q", all[0].PatchOptions.FieldManager)
	}
	if all[0].Namespace != "shop" || all[0].Name != "cart" {
		t.Errorf("patched is %s/%s", all[0].Namespace, all[0].Name)
	}
}

func get(t *testing.T, client *fake.Clientset) *corev1.Service {
	t.Helper()
	s, err := client.CoreV1().Services("shop").Get(t.Context(), "cart", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSwap(t *testing.T) {
	client := fake.NewClientset(cart())
	given := cart()
	got, err := Swap(t.Context(), client.CoreV1().Services("shop"), given, note("1a2b3c4d"), toProxy("1a2b3c4d"))
	if err != nil {
		t.Fatal(err)
	}
	onePatch(t, client, `{"metadata":{"annotations":{"kubectl-velo.github.io/intercept":`+
		strconv.Quote(`{"version":1,"session":"1a2b3c4d","owner":"ada@laptop","since":"2026-01-02T03:04:05Z",`+
			`"selector":{"app":"cart","tier":"web"},"proxy":"cart-traffic-proxy"}`)+
		`},"resourceVersion":"41","uid":"u-1"},"spec":{"selector":`+
		`{"app":null,"kubectl-velo.github.io/service":"cart","kubectl-velo.github.io/session":"1a2b3c4d","tier":null}}}`)

	// What the patch makes of the Service, by RFC 7396 as the fake tracker applies it.
	if !maps.Equal(got.Spec.Selector, toProxy("1a2b3c4d")) {
		t.Errorf("the selector is %v", got.Spec.Selector)
	}
	held, err := Of(got)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(held.Selector, cart().Spec.Selector) {
		t.Errorf("noted is the selector %v", held.Selector)
	}
	if got.Annotations["team"] != "checkout" || len(got.Annotations) != 2 {
		t.Errorf("the annotations are %v", got.Annotations)
	}
	if !maps.Equal(given.Spec.Selector, cart().Spec.Selector) {
		t.Error("the caller's Service was changed")
	}
}

func TestSwapRefused(t *testing.T) {
	tests := []struct {
		name    string
		service func(t *testing.T) *corev1.Service
		session string
		to      map[string]string
		err     string
	}{
		{"held", func(t *testing.T) *corev1.Service { return swapped(t, "theirs") }, "ours", toProxy("ours"), "already intercepted by ada@laptop"},
		{"held by the same session", func(t *testing.T) *corev1.Service { return swapped(t, "ours") }, "ours", toProxy("ours"), "already intercepted"},
		{"annotation not understood", func(*testing.T) *corev1.Service {
			s := cart()
			s.Annotations[Annotation] = "{}"
			return s
		}, "ours", toProxy("ours"), "can't be understood"},
		{"no selector", func(*testing.T) *corev1.Service {
			s := cart()
			s.Spec.Selector = nil
			return s
		}, "ours", toProxy("ours"), "no selector to swap"},
		{"no session label", func(*testing.T) *corev1.Service { return cart() }, "ours", map[string]string{"app": "proxy"}, "couldn't be recognized"},
		{"another session's label", func(*testing.T) *corev1.Service { return cart() }, "ours", toProxy("theirs"), "couldn't be recognized"},
		{"a key that isn't ours", func(*testing.T) *corev1.Service { return cart() }, "ours", map[string]string{"app": "proxy", SessionLabel: "ours"}, "couldn't be told"},
		{"no session at all", func(*testing.T) *corev1.Service { return cart() }, "", map[string]string{"app": "proxy"}, "couldn't be recognized"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			service := tt.service(t)
			client := fake.NewClientset(service)
			_, err := Swap(t.Context(), client.CoreV1().Services("shop"), service, note(tt.session), tt.to)
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Swap: %v, want an error with %q", err, tt.err)
			}
			if len(client.Actions()) > 0 {
				t.Errorf("something was asked of the cluster: %v", client.Actions())
			}
		})
	}
}

func TestSwapHeldSaysByWhom(t *testing.T) {
	service := swapped(t, "theirs")
	client := fake.NewClientset(service)
	_, err := Swap(t.Context(), client.CoreV1().Services("shop"), service, note("ours"), toProxy("ours"))
	held, ok := errors.AsType[*InterceptedError](err)
	if !ok {
		t.Fatalf("Swap: %v, want an InterceptedError", err)
	}
	if held.Namespace != "shop" || held.Service != "cart" || held.By.Session != "theirs" || held.By.Owner != "ada@laptop" {
		t.Errorf("InterceptedError = %+v", held)
	}
}

// Whether to try again is the caller's to decide: the Service may have become another one.
func TestSwapReturnsConflict(t *testing.T) {
	client := fake.NewClientset(cart())
	conflictOnce(client, nil)
	_, err := Swap(t.Context(), client.CoreV1().Services("shop"), cart(), note("ours"), toProxy("ours"))
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "swapping the selector of service shop/cart") {
		t.Errorf("Swap: %v, want a Conflict that names the Service", err)
	}
	if n := len(patches(t, client)); n != 1 {
		t.Errorf("%d patches were sent, want 1", n)
	}
}

// conflictOnce lets the first patch fail with a Conflict, after calling meanwhile.
func conflictOnce(client *fake.Clientset, meanwhile func()) {
	done := false
	client.PrependReactor("patch", "services", func(clienttesting.Action) (bool, runtime.Object, error) {
		if done {
			return false, nil, nil
		}
		done = true
		if meanwhile != nil {
			meanwhile()
		}
		return true, nil, apierrors.NewConflict(corev1.Resource("services"), "cart", errors.New("it has been modified"))
	})
}

func TestRestore(t *testing.T) {
	for _, session := range []string{"1a2b3c4d", ""} {
		t.Run("session="+session, func(t *testing.T) {
			client := fake.NewClientset(swapped(t, "1a2b3c4d"))
			got, err := Restore(t.Context(), client.CoreV1().Services("shop"), "cart", session, FieldManager)
			if err != nil {
				t.Fatal(err)
			}
			if got.Was == nil || got.Was.Session != "1a2b3c4d" || got.Edited {
				t.Errorf("Restore = %+v", got)
			}
			onePatch(t, client, `{"metadata":{"annotations":{"kubectl-velo.github.io/intercept":null},`+
				`"resourceVersion":"41","uid":"u-1"},"spec":{"selector":`+
				`{"app":"cart","kubectl-velo.github.io/service":null,"kubectl-velo.github.io/session":null,"tier":"web"}}}`)
			s := get(t, client)
			if !maps.Equal(s.Spec.Selector, cart().Spec.Selector) || !maps.Equal(s.Annotations, cart().Annotations) {
				t.Errorf("the Service has selector %v and annotations %v", s.Spec.Selector, s.Annotations)
			}
		})
	}
}

func TestRestoreIsIdempotent(t *testing.T) {
	client := fake.NewClientset(swapped(t, "ours"))
	services := client.CoreV1().Services("shop")
	if _, err := Restore(t.Context(), services, "cart", "ours", FieldManager); err != nil {
		t.Fatal(err)
	}
	client.ClearActions()
	for range 2 {
		got, err := Restore(t.Context(), services, "cart", "ours", FieldManager)
		if err != nil || got.Was != nil || got.Edited {
			t.Errorf("Restore = %+v, %v; want nothing to be done", got, err)
		}
	}
	if n := len(patches(t, client)); n != 0 {
		t.Errorf("%d patches of a Service that isn't intercepted", n)
	}
}

func TestRestoreLeavesOtherSession(t *testing.T) {
	client := fake.NewClientset(swapped(t, "theirs"))
	got, err := Restore(t.Context(), client.CoreV1().Services("shop"), "cart", "ours", FieldManager)
	if !errors.Is(err, ErrOtherSession) || got.Was != nil {
		t.Errorf("Restore = %+v, %v; want ErrOtherSession", got, err)
	}
	if n := len(patches(t, client)); n != 0 {
		t.Errorf("%d patches of another session's Service", n)
	}
}

func TestRestoreEdited(t *testing.T) {
	tests := []struct {
		name     string
		selector map[string]string
		patched  string
	}{
		{"another selector", map[string]string{"app": "cart", "track": "v2"}, `{"app":"cart","track":"v2"}`},
		{"no selector", nil, `{}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			service := swapped(t, "ours")
			service.Spec.Selector = tt.selector
			client := fake.NewClientset(service)
			got, err := Restore(t.Context(), client.CoreV1().Services("shop"), "cart", "ours", FieldManager)
			if err != nil {
				t.Fatal(err)
			}
			if got.Was == nil || !got.Edited {
				t.Errorf("Restore = %+v, want Edited", got)
			}
			onePatch(t, client, `{"metadata":{"annotations":{"kubectl-velo.github.io/intercept":null},`+
				`"resourceVersion":"41","uid":"u-1"},"spec":{"selector":`+tt.patched+`}}`)
			s := get(t, client)
			if !maps.Equal(s.Spec.Selector, tt.selector) || !maps.Equal(s.Annotations, cart().Annotations) {
				t.Errorf("the Service has selector %v and annotations %v", s.Spec.Selector, s.Annotations)
			}
		})
	}
}

func TestRestoreRetriesConflict(t *testing.T) {
	client := fake.NewClientset(swapped(t, "ours"))
	conflictOnce(client, func() {
		// The Service is another one by now; what is sent next must be made from that.
		edited := swapped(t, "ours")
		edited.ResourceVersion = "42"
		edited.Spec.Selector["extra"] = "label"
		if err := client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("services"), edited, "shop"); err != nil {
			t.Error(err)
		}
	})
	got, err := Restore(t.Context(), client.CoreV1().Services("shop"), "cart", "ours", FieldManager)
	if err != nil {
		t.Fatal(err)
	}
	if got.Was == nil || !got.Edited {
		t.Errorf("Restore = %+v", got)
	}
	all := patches(t, client)
	if len(all) != 2 {
		t.Fatalf("%d patches were sent, want 2", len(all))
	}
	if body := string(all[1].Patch); !strings.Contains(body, `"resourceVersion":"42"`) || !strings.Contains(body, `"extra":"label"`) {
		t.Errorf("the second patch is made from what was read first: %s", body)
	}
	want := cart().Spec.Selector
	want["extra"] = "label"
	if s := get(t, client); !maps.Equal(s.Spec.Selector, want) {
		t.Errorf("the selector is %v", s.Spec.Selector)
	}
}

// A conflict with somebody who restored it first leaves nothing to be done.
func TestRestoreConflictWithRestore(t *testing.T) {
	client := fake.NewClientset(swapped(t, "ours"))
	conflictOnce(client, func() {
		if err := client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("services"), cart(), "shop"); err != nil {
			t.Error(err)
		}
	})
	got, err := Restore(t.Context(), client.CoreV1().Services("shop"), "cart", "ours", FieldManager)
	if err != nil || got.Was != nil {
		t.Errorf("Restore = %+v, %v; want nothing to have been done", got, err)
	}
}

func TestRestoreFails(t *testing.T) {
	t.Run("no such Service", func(t *testing.T) {
		_, err := Restore(t.Context(), fake.NewClientset().CoreV1().Services("shop"), "cart", "", FieldManager)
		if !apierrors.IsNotFound(err) {
			t.Errorf("Restore: %v, want NotFound", err)
		}
	})
	t.Run("annotation not understood", func(t *testing.T) {
		service := cart()
		service.Annotations[Annotation] = "{}"
		client := fake.NewClientset(service)
		_, err := Restore(t.Context(), client.CoreV1().Services("shop"), "cart", "", FieldManager)
		if !errors.Is(err, ErrAnnotation) {
			t.Errorf("Restore: %v, want ErrAnnotation", err)
		}
		if n := len(patches(t, client)); n != 0 {
			t.Errorf("%d patches were sent", n)
		}
	})
	t.Run("refused", func(t *testing.T) {
		client := fake.NewClientset(swapped(t, "ours"))
		client.PrependReactor("patch", "services", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(corev1.Resource("services"), "cart", errors.New("no"))
		})
		got, err := Restore(t.Context(), client.CoreV1().Services("shop"), "cart", "ours", FieldManager)
		if !apierrors.IsForbidden(err) || got.Was != nil {
			t.Errorf("Restore = %+v, %v; want Forbidden", got, err)
		}
	})
}
