// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// One session takes another's place: the other ends and says to whom.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	was := e.serviceBytes("web")
	r := e.startLoad("http://web/")
	first := e.intercept("web", port(1, "http"))
	e.fails(1, []string{"intercept", "svc/web"}, "already intercepted by", "--take-over")
	second := e.start("intercept", "svc/web", port(l.http, "http"), "--take-over")
	second.says("taking service/web over from")
	first.says("has taken service " + e.namespace + "/web over")
	first.ends(1)
	first.says("◎ leaving service/web to ")
	if said := first.output.String(); strings.Contains(said, "bypass") || strings.Contains(said, "✔ service/web is") || strings.Contains(said, "restor") {
		t.Errorf("the first says of what isn't its own any more:\n%s", said)
	}
	second.says(" intercepted: ")
	e.answeredBy("http://web/", localName)
	second.interrupt()
	r.stop(0)
	e.sameService("web", was)
	e.nothingLeft()
}

// Two sessions begin at the same time: exactly one wins.
func TestSimultaneousIntercepts(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	was := e.serviceBytes("web")
	both := []*velo{e.start("intercept", "svc/web", port(1, "http")), e.start("intercept", "svc/web", port(1, "http"))}
	e.eventually("one of them to end", func() error {
		for _, v := range both {
			select {
			case <-v.ended:
				return nil
			default:
			}
		}
		return errNotYet
	})
	var winner *velo
	for _, v := range both {
		select {
		case <-v.ended:
			v.ends(1)
			if !strings.Contains(v.output.String(), "@") {
				t.Errorf("the loser doesn't say who won:\n%s", v.output.String())
			}
		default:
			winner = v
		}
	}
	if winner == nil {
		t.Fatal("both have ended")
	}
	winner.says(" intercepted: ")
	winner.interrupt()
	e.sameService("web", was)
	e.nothingLeft()
}

// Somebody else's edit is left as it is, and the session pauses; --reassert intercepts again.
func TestForeignEdit(t *testing.T) {
	for _, reassert := range []bool{false, true} {
		name := "pause"
		if reassert {
			name = "reassert"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, nil)
			e.deployWeb()
			l := startLocal(t)
			args := []string{"intercept", "svc/web", port(l.http, "http")}
			if reassert {
				args = append(args, "--reassert")
			}
			v := e.start(args...)
			v.says(" intercepted: ")
			e.answeredBy("http://web/", localName)
			// As kubectl apply of the manifest would: it sets its own keys and knows nothing of others.
			if _, err := e.kubectl("patch", "service", "web", "--field-manager=gitops", "-p", `{"spec":{"selector":{"app":"web"}}}`); err != nil {
				t.Fatal(err)
			}
			v.says("changed by gitops")
			e.served("http://web/") // their edit alone, before the session notices, selects nothing
			if reassert {
				v.says("service/web intercepted again")
				e.answeredBy("http://web/", localName)
			} else {
				e.answeredBy("http://web/", "web-")
			}
			v.interrupt()
			service, err := e.client.CoreV1().Services(e.namespace).Get(t.Context(), "web", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(service.Spec.Selector) != 1 || service.Spec.Selector["app"] != "web" || len(service.Annotations) > 0 {
				t.Errorf("selector %v, annotations %v", service.Spec.Selector, service.Annotations)
			}
			e.nothingLeft()
		})
	}
}

// A Service that is deleted and created again belongs to whoever did that.
func TestServiceRecreated(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	v := e.intercept("web", port(l.http, "http"))
	service, err := e.client.CoreV1().Services(e.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.client.CoreV1().Services(e.namespace).Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	v.says("service/web was deleted")
	service.ObjectMeta = metav1.ObjectMeta{Name: "web"}
	service.Spec.ClusterIP, service.Spec.ClusterIPs = "", nil
	service.Spec.Selector = map[string]string{"app": "web"}
	e.createServiceObject(service)
	was := e.serviceBytes("web")
	e.served("http://web/")
	e.answeredBy("http://web/", "web-")
	v.interrupt()
	e.sameService("web", was)
	e.nothingLeft()
}

// A namespace that is deleted goes, and the session with it.
func TestNamespaceDeleted(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	v := e.intercept("web", port(1, "http"))
	if err := e.client.CoreV1().Namespaces().Delete(t.Context(), e.namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	v.ends(1)
	e.eventually("the namespace to be gone", func() error {
		_, err := e.client.CoreV1().Namespaces().Get(t.Context(), e.namespace, metav1.GetOptions{})
		if err == nil {
			return errNotYet
		}
		return nil
	})
}
