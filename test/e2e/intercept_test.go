// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubectl-velo/kubectl-velo/test/e2e/service"
)

func port(local int, remote string) string { return fmt.Sprintf("--port=%d:%s", local, remote) }

// An intercept from before to after, ended by each of the signals that end one.
func TestInterceptEndsBySignal(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	was := e.serviceBytes("web")
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			sub := e.within(t)
			sub.answeredBy("http://web/", "web-")
			v := sub.start("intercept", "svc/web", port(l.http, "http"))
			v.says("service/web intercepted: 80 (http) → localhost:")
			sub.answeredBy("http://web/", localName)
			v.signal(signal)
			v.ends(0)
			v.says("✔ service/web restored")
			sub.sameService("web", was)
			sub.nothingLeft()
			sub.answeredBy("http://web/", "web-")
		})
	}
}

// Signals that come together are one: timeout(1) tells the process, and then its group.
func TestEchoOfInterrupt(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	was := e.serviceBytes("web")
	v := e.intercept("web", port(l.http, "http"))
	v.signal(syscall.SIGINT)
	v.signal(syscall.SIGTERM)
	v.ends(0)
	e.sameService("web", was)
	e.nothingLeft()
}

// Two Ctrl-Cs in a row leave at once, and say what undoes the rest.
func TestSecondInterruptPrintsTheRepair(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	was := e.serviceBytes("web")
	v := e.intercept("web", port(l.http, "http"))
	v.signal(syscall.SIGINT)
	v.says("◎ restoring")
	time.Sleep(150 * time.Millisecond) // as long as a quick hand takes; what comes sooner is the same signal
	v.signal(syscall.SIGINT)
	v.ends(1)
	repair := regexp.MustCompile(`run 'kubectl (velo restore svc/web -n \S+.*)'`).FindStringSubmatch(v.output.String())
	if repair == nil {
		t.Fatalf("it doesn't say how to repair:\n%s", v.output.String())
	}
	if out, err := e.kubectl(strings.Fields(repair[1])...); err != nil || out != "" {
		t.Fatalf("%s: %q, %v", repair[1], out, err)
	}
	e.sameService("web", was)
	e.nothingLeft()
	e.answeredBy("http://web/", "web-")
}

// A plugin that is killed leaves an intercept that anybody can see and undo.
func TestKilledSession(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	was := e.serviceBytes("web")
	v := e.intercept("web", port(l.http, "http"))
	e.answeredBy("http://web/", localName)
	v.signal(syscall.SIGKILL)
	v.ends(-1)
	e.answeredBy("http://web/", "web-") // the traffic-proxy stands, and passes on

	status, err := e.kubectl("velo", "status")
	if err != nil || !regexp.MustCompile(`(?m)^web +\S+@\S+ +\d+s +never$`).MatchString(status) {
		t.Errorf("status says %q, %v", status, err)
	}
	e.fails(1, []string{"intercept", "svc/web"}, "already intercepted by", "@", "kubectl velo restore svc/web -n "+e.namespace)
	if out, err := e.kubectl("velo", "restore", "svc/web"); err != nil || out != "" {
		t.Errorf("restore says %q, %v", out, err)
	}
	e.sameService("web", was)
	e.nothingLeft()
	e.answeredBy("http://web/", "web-")
	if out, err := e.kubectl("velo", "restore", "svc/web"); err != nil || out != "" {
		t.Errorf("restore says %q, %v, the second time", out, err)
	}
	e.sameService("web", was)
}

// What the browser of the person this is built for sees.
func TestThroughIngress(t *testing.T) {
	t.Parallel()
	url := ingressURL(t)
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	prefix := networkingv1.PathTypePrefix
	host := e.namespace + ".example"
	_, err := e.client.NetworkingV1().Ingresses(e.namespace).Create(t.Context(), &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{
			Host: host,
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: "/", PathType: &prefix,
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
					Name: "web", Port: networkingv1.ServiceBackendPort{Name: "http"},
				}},
			}}}},
		}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e.pageFrom(url, host, "web-")
	v := e.intercept("web", port(l.http, "http"))
	e.pageFrom(url, host, localName)
	v.interrupt()
	e.pageFrom(url, host, "web-")
}

func (e *env) pageFrom(url, host, prefix string) {
	e.Helper()
	e.eventually("the Ingress to be answered by "+prefix, func() error {
		ctx, cancel := context.WithTimeout(e.Context(), patience)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/", nil)
		if err != nil {
			return err
		}
		request.Host = host
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var who service.Who
		if err := json.NewDecoder(response.Body).Decode(&who); err != nil {
			return fmt.Errorf("status %s: %w", response.Status, err)
		}
		if !strings.HasPrefix(who.Host, prefix) {
			return fmt.Errorf("answered by %s", who.Host)
		}
		return nil
	})
}

// The session lasts as long as its command, or its time.
func TestSessionEndsByItself(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	was := e.serviceBytes("web")
	t.Run("command", func(t *testing.T) {
		sub := e.within(t)
		held := filepath.Join(t.TempDir(), "held")
		v := sub.start("intercept", "svc/web", port(laterPort(), "http"), "--", "sh", "-c",
			`kubectl get svc web -n `+sub.namespace+` -o jsonpath='{.metadata.annotations}' >`+held+`; exit 7`)
		v.ends(7)
		if said, err := os.ReadFile(held); err != nil || !strings.Contains(string(said), "kubectl-velo.github.io/intercept") {
			t.Errorf("the command saw a Service with annotations %q, %v", said, err)
		}
		sub.sameService("web", was)
		sub.nothingLeft()
	})
	t.Run("ttl", func(t *testing.T) {
		sub := e.within(t)
		v := sub.intercept("web", "--ttl", "12s")
		status, err := sub.kubectl("velo", "status", "--no-headers")
		if err != nil || !strings.Contains(status, " in ") {
			t.Errorf("status says %q, %v", status, err)
		}
		v.ends(0)
		sub.sameService("web", was)
		sub.nothingLeft()
	})
}

// A Service whose pods are all gone is answered by this machine alone, which is said before and after.
func TestInterceptWithoutPods(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	e.mustKubectl("scale", "deployment/web", "--replicas=0")
	e.mustKubectl("wait", "pod", "-l", "app=web", "--for=delete", "--timeout=60s")
	l := startLocal(t)
	was := e.serviceBytes("web")
	v := e.intercept("web", port(l.http, "http"))
	v.says("service/web has no pods: ")
	e.answeredBy("http://web/", localName)
	v.interrupt()
	v.says("the intercept was a bypass; ")
	v.says(fmt.Sprintf("'): service %s/web port 80 (http): ", e.namespace))

	// A COMMAND has what a pod of the Deployment would have.
	number := laterPort()
	v = e.intercept("web", port(number, "http"), "--", "peer", "serve", "--name="+localName, fmt.Sprintf("--http=:%d", number))
	e.answeredBy("http://web/", localName)
	v.interrupt()
	e.createServiceObject(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "lost"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "lost"}, Ports: []corev1.ServicePort{{Port: 80}}},
	})
	e.unchanged(func() {
		e.fails(1, []string{"intercept", "svc/lost", port(number, "80"), "--", "true"}, "it has no pods", "hint: there is no environment")
	})
	e.sameService("web", was)
	e.nothingLeft()
}

// A namespace that enforces the restricted Pod Security Standard, and target ports of every kind.
func TestTargetPorts(t *testing.T) {
	t.Parallel()
	e := newEnv(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	e.deployPeer("named", 1, []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}}, "--http=:8080")
	e.deployPeer("numeric", 1, nil, "--http=:8081")
	e.deployPeer("privileged", 1, []corev1.ContainerPort{{Name: "web", ContainerPort: 80}}, "--http=:80")
	e.createService("named", tcpPort("", 80, intstr.FromString("web")))
	e.createService("numeric", tcpPort("", 3002, intstr.FromInt32(8081)))
	e.createService("privileged", tcpPort("", 8000, intstr.FromString("web")))
	e.deployCaller()
	for _, url := range []string{"http://named/", "http://numeric:3002/", "http://privileged:8000/"} {
		e.served(url)
	}
	l := startLocal(t)
	tests := []struct{ name, service, remote, url string }{
		{"named, by Service port", "named", "80", "http://named/"},
		{"named, by target port", "named", "web", "http://named/"},
		{"named, by container port", "named", "8080", "http://named/"},
		{"numeric", "numeric", "8081", "http://numeric:3002/"},
		{"privileged", "privileged", "80", "http://privileged:8000/"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sub := e.within(t)
			was := sub.serviceBytes(test.service)
			v := sub.start("intercept", "svc/"+test.service, port(l.http, test.remote))
			v.says(" intercepted: ")
			sub.answeredBy(test.url, localName)
			v.interrupt()
			sub.sameService(test.service, was)
			sub.nothingLeft()
			sub.answeredBy(test.url, test.service+"-")
		})
	}
}

// A Service with two ports, one of them named, only one intercepted: the other, and UDP, go on to the pods.
func TestOtherPortsPassThrough(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployPeer("two", 1, nil, "--http=:8080", "--echo=:9000", "--datagrams=:9002")
	e.createService("two",
		tcpPort("http", 80, intstr.FromInt32(8080)),
		tcpPort("echo", 9000, intstr.FromInt32(9000)),
		corev1.ServicePort{Name: "datagrams", Port: 9002, Protocol: corev1.ProtocolUDP})
	e.deployCaller()
	e.served("http://two/")
	l := startLocal(t)
	check := func(whose string) {
		t.Helper()
		e.answeredBy("http://two/", whose)
		e.mustCall(&struct{}{}, "echo", "--address=two:9000", "--bytes=100000")
		var who service.Who
		e.mustCall(&who, "datagram", "--address=two:9002")
		if !strings.HasPrefix(who.Host, "two-") {
			t.Errorf("a datagram was answered by %s", who.Host)
		}
	}
	check("two-")
	// Nothing takes the echo port here: if it were intercepted, its caller would fail.
	v := e.start("intercept", "svc/two", port(l.http, "http"))
	v.says("9000 (echo) stays with its pods, 9002 (datagrams) stays with its pods")
	check(localName)
	v.interrupt()
	check("two-")
}

// Nobody listens here: callers are answered by the cluster, and the terminal says so.
func TestLocalProcessDown(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	v := e.start("intercept", "svc/web", port(1, "http"))
	v.says("nothing listens at localhost:1 yet")
	v.says(" intercepted: ")
	e.answeredBy("http://web/", "web-")
	e.eventually("a refused connection to be told", func() error {
		if _, err := e.answers("http://web/"); err != nil {
			return err
		}
		if !strings.Contains(v.output.String(), "localhost:1 refused") {
			return errNotYet
		}
		return nil
	})
	v.interrupt()
	e.nothingLeft()
}
