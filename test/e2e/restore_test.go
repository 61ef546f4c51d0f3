// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// interceptList is what status prints with -o json or yaml.
type interceptList struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Items      []struct {
		Name, Namespace, Owner, Session, Since, Proxy string
		Selector                                      map[string]string
	} `json:"items"`
}

// Several dead sessions, seen and undone without anything but the cluster.
func TestStatusAndRestore(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployPeer("web", 1, nil, "--http=:8080")
	e.deployCaller()
	names := []string{"a", "b", "c"}
	was := make(map[string]string)
	for _, name := range names {
		e.createServiceObject(&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.ServiceSpec{
				Selector: map[string]string{"app": "web"},
				Ports:    []corev1.ServicePort{tcpPort("", 80, intstr.FromInt32(8080))},
			},
		})
		was[name] = e.serviceBytes(name)
		e.served("http://" + name + "/")
	}
	if out, err := e.kubectl("velo", "status", "-o", "name"); err != nil || out != "" {
		t.Errorf("status says %q, %v, with nothing intercepted", out, err)
	}
	kill := func(names ...string) {
		t.Helper()
		for _, name := range names {
			v := e.start("intercept", "svc/"+name, port(1, "80"))
			v.says(" intercepted: ")
			v.signal(syscall.SIGKILL)
			v.ends(-1)
		}
	}
	kill(names...)
	e.statusShows(names)

	if _, err := e.kubectl("velo", "restore", "svc/a", "service/b"); err != nil {
		t.Error(err)
	}
	e.sameService("a", was["a"])
	e.sameService("b", was["b"])
	e.statusShows([]string{"c"})
	kill("a")
	if _, err := e.kubectl("velo", "restore", "--all"); err != nil {
		t.Error(err)
	}
	for _, name := range names {
		e.sameService(name, was[name])
		e.answeredBy("http://"+name+"/", "web-")
	}
	e.statusShows(nil)
	e.nothingLeft()
	e.fails(1, []string{"restore", "svc/nope"}, `error from server (NotFound): services "nope" not found`)
	e.fails(2, []string{"restore"}, "--all")
}

// statusShows checks every format of status.
func (e *env) statusShows(names []string) {
	e.Helper()
	var want []string
	for _, name := range names {
		want = append(want, "service/"+name)
	}
	out, err := e.kubectl("velo", "status", "-o", "name")
	if err != nil || !slices.Equal(strings.Fields(out), want) {
		e.Errorf("status -o name: %q, %v; want %v", out, err, want)
	}
	for _, format := range []string{"json", "yaml"} {
		out, err := e.kubectl("velo", "status", "-o", format)
		if err != nil {
			e.Fatal(err)
		}
		data := []byte(out)
		if format == "yaml" {
			if data, err = yaml.YAMLToJSON(data); err != nil {
				e.Fatal(err)
			}
		}
		var list interceptList
		if err := json.Unmarshal(data, &list); err != nil {
			e.Fatal(err)
		}
		if list.APIVersion != "kubectl-velo.github.io/v1alpha1" || list.Kind != "InterceptList" || len(list.Items) != len(names) {
			e.Fatalf("status -o %s: %s", format, out)
		}
		for i, item := range list.Items {
			if item.Name != names[i] || item.Namespace != e.namespace || item.Proxy != names[i]+"-traffic-proxy" ||
				item.Selector["app"] != "web" || !strings.Contains(item.Owner, "@") || item.Session == "" || item.Since == "" {
				e.Errorf("status -o %s: %+v", format, item)
			}
		}
	}
	for _, name := range names {
		out, err := e.kubectl("velo", "status", "-A", "-o", "wide")
		row := regexp.MustCompile(`(?m)^` + e.namespace + ` +` + name + ` +\S+@\S+ .*` + name + `-traffic-proxy +app=web$`)
		if err != nil || !row.MatchString(out) {
			e.Errorf("status -A -o wide: %q, %v", out, err)
		}
	}
}

// A session that was killed before it got so far as to swap.
func TestRestoreOfAStagedProxy(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployPeer("web", 1, nil, "--http=:8080")
	e.createService("web", tcpPort("", 80, intstr.FromInt32(8080)))
	was := e.serviceBytes("web")
	v := e.start("intercept", "svc/web", port(1, "80"))
	v.says("deploying")
	e.eventually("the Deployment", func() error {
		_, err := e.kubectl("get", "deployment", "web-traffic-proxy")
		return err
	})
	v.signal(syscall.SIGSTOP)
	v.signal(syscall.SIGKILL)
	v.ends(-1)
	e.fails(1, []string{"intercept", "svc/web"}, "@", "kubectl velo restore svc/web -n "+e.namespace)
	if _, err := e.kubectl("velo", "restore", "svc/web"); err != nil {
		t.Error(err)
	}
	e.sameService("web", was)
	e.nothingLeft()
}
