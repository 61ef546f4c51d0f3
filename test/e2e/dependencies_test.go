// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// dialogue is a plugin whose COMMAND is spoken with: it reads lines, and says some.
type dialogue struct {
	*velo
	stdin io.WriteCloser
	lines chan string
}

// longest is how long a line may be.
const longest = 1 << 20

// talk starts kubectl velo with a COMMAND that is spoken with. What the plugin says is on stderr.
func (e *env) talk(args ...string) *dialogue {
	e.Helper()
	d := &dialogue{velo: &velo{env: e, ended: make(chan struct{})}, lines: make(chan string, 1000)}
	command := append(slices.Concat(e.via, []string{"kubectl"}), e.flags(append([]string{"velo"}, args...))...)
	d.cmd = exec.Command(command[0], command[1:]...)
	d.cmd.Stderr = &d.output
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		e.Fatal(err)
	}
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		e.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		e.Fatal(err)
	}
	go func() {
		defer close(d.ended)
		defer close(d.lines)
		said := bufio.NewScanner(stdout)
		said.Buffer(nil, longest)
		for said.Scan() {
			d.lines <- said.Text()
		}
		_ = d.cmd.Wait() // its exit code is asked for later
	}()
	e.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		_, _ = d.stdin.Close(), stdout.Close() // the COMMAND may have outlived it
		for range d.lines {                    // to its end
		}
		<-d.ended
		if e.Failed() {
			e.Logf("kubectl velo %s:\n%s", strings.Join(args, " "), d.output.String())
		}
	})
	return d
}

// line returns the next line that the COMMAND says.
func (d *dialogue) line() string {
	d.Helper()
	select {
	case line, ok := <-d.lines:
		if !ok {
			<-d.ended
			d.Fatalf("the command ended with code %d, and says no more:\n%s", d.cmd.ProcessState.ExitCode(), d.output.String())
		}
		return line
	case <-time.After(patience):
		d.Fatalf("the command says nothing:\n%s", d.output.String())
	}
	return ""
}

// tells waits for a line of JSON.
func (d *dialogue) tells(result any) {
	d.Helper()
	line := d.line()
	if err := json.Unmarshal([]byte(line), result); err != nil {
		d.Fatalf("%v: %s", err, line)
	}
}

// asks says a line, and waits for one of JSON.
func (d *dialogue) asks(line string, result any) {
	d.Helper()
	if _, err := fmt.Fprintln(d.stdin, line); err != nil {
		d.Fatal(err)
	}
	d.tells(result)
}

// done ends the COMMAND's input, and waits until it and the plugin have ended with an exit code.
func (d *dialogue) done(code int) {
	d.Helper()
	if err := d.stdin.Close(); err != nil {
		d.Error(err)
	}
	d.ends(code)
}

// must is what kubectl velo prints, if it doesn't fail.
func (e *env) must(args ...string) string {
	e.Helper()
	out, err := e.kubectl(append([]string{"velo"}, args...)...)
	if err != nil {
		e.Fatal(err)
	}
	return out
}

// deploy deploys pods under a name, and waits for them.
func (e *env) deploy(name string, replicas int32, template corev1.PodTemplateSpec) {
	e.Helper()
	labels := map[string]string{"app": name}
	template.Labels = labels
	_, err := e.client.AppsV1().Deployments(e.namespace).Create(e.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
	e.available(name, replicas)
}

// available waits until a Deployment has all of its pods, and no others.
func (e *env) available(name string, replicas int32) {
	e.Helper()
	e.eventually("deployment "+name, func() error {
		d, err := e.client.AppsV1().Deployments(e.namespace).Get(e.Context(), name, metav1.GetOptions{})
		if err == nil && (d.Status.ObservedGeneration < d.Generation || d.Status.AvailableReplicas != replicas) {
			err = fmt.Errorf("%d of %d replicas are available", d.Status.AvailableReplicas, replicas)
		}
		return err
	})
}

// deployStateful deploys pods that have names of their own below a headless Service, and waits for them.
func (e *env) deployStateful(name, headless string, replicas int32, template corev1.PodTemplateSpec) {
	e.Helper()
	labels := map[string]string{"app": name}
	template.Labels = labels
	e.createServiceObject(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: headless},
		Spec:       corev1.ServiceSpec{Selector: labels, ClusterIP: corev1.ClusterIPNone},
	})
	_, err := e.client.AppsV1().StatefulSets(e.namespace).Create(e.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.StatefulSetSpec{
			ServiceName: headless, Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template,
			PodManagementPolicy: appsv1.ParallelPodManagement,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
	e.eventually("statefulset "+name, func() error {
		s, err := e.client.AppsV1().StatefulSets(e.namespace).Get(e.Context(), name, metav1.GetOptions{})
		if err == nil && s.Status.ReadyReplicas != replicas {
			err = fmt.Errorf("%d of %d replicas are ready", s.Status.ReadyReplicas, replicas)
		}
		return err
	})
}

// deployApp deploys what is run on this machine instead: a pod that does nothing, with an environment.
func (e *env) deployApp(name string, environment ...corev1.EnvVar) {
	e.Helper()
	e.deploy(name, 1, appPod(environment...))
}

func appPod(environment ...corev1.EnvVar) corev1.PodTemplateSpec {
	template := peerPod(nil, nil, "wait")
	template.Spec.Containers[0].Env = environment
	return template
}

// named is who answered a variable's URL; see the peer's urls.
type named struct{ URL, Host string }

// dependencyList is what deps prints as JSON.
type dependencyList struct {
	APIVersion, Kind string
	Items            []dependencyItem
}

type dependencyItem struct {
	Name, Namespace, Protocol, Local, State, Reason string
	Port                                            int
}

// dependencies returns those of the running sessions.
func (e *env) dependencies() dependencyList {
	e.Helper()
	var list dependencyList
	if out := e.must("deps", "-o", "json"); json.Unmarshal([]byte(out), &list) != nil {
		e.Fatalf("deps says %s", out)
	}
	return list
}

// local returns where a dependency is reached on this machine.
func (l dependencyList) local(name string, port int, protocol string) (string, error) {
	for _, item := range l.Items {
		if item.Name == name && item.Port == port && strings.EqualFold(item.Protocol, protocol) {
			return item.Local, nil
		}
	}
	return "", fmt.Errorf("there is no %s:%d/%s among %v", name, port, protocol, l.Items)
}

// Dependencies of every kind, each at an address of its own, with its own port.
func TestDependencies(t *testing.T) {
	t.Parallel()
	e, other := newEnv(t, nil), newEnv(t, nil)
	http := []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	e.createService("orders", tcpPort("http", 8080, intstr.FromString("http")),
		corev1.ServicePort{Name: "log", Port: 9002, Protocol: corev1.ProtocolUDP})
	e.createService("cart", tcpPort("http", 8080, intstr.FromString("http")))
	other.createService("catalog", tcpPort("http", 8080, intstr.FromString("http")))
	e.deployPeer("orders", 1, http, "--http=:8080", "--datagrams=:9002")
	e.deployPeer("cart", 1, http, "--http=:8080")
	other.deployPeer("catalog", 1, http, "--http=:8080")
	e.deployStateful("db", "db", 2, peerPod(nil, http, "serve", "--http=:8080"))
	e.deployApp("app",
		corev1.EnvVar{Name: "ORDERS_URL", Value: "http://orders:8080/"},
		corev1.EnvVar{Name: "CART_URL", Value: "http://cart." + e.namespace + ".svc.cluster.local:8080/"},
		corev1.EnvVar{Name: "CATALOG_URL", Value: "http://catalog." + other.namespace + ":8080/"},
		corev1.EnvVar{Name: "FIRST_URL", Value: "http://db-0.db:8080/"},
		corev1.EnvVar{Name: "SECOND_URL", Value: "http://db-1.db." + e.namespace + ".svc:8080/"},
		corev1.EnvVar{Name: "LOG", Value: "orders:9002"})

	d := e.talk("run", "deployment/app", "--dep", "kube-dns.kube-system:53", "--",
		"sh", "-c", `peer urls && peer datagram --address="$LOG" && exec cat`)
	var answered map[string]named
	d.tells(&answered)
	addresses := map[string]string{}
	for variable, want := range map[string]string{
		"ORDERS_URL": "orders-", "CART_URL": "cart-", "CATALOG_URL": "catalog-", "FIRST_URL": "db-0", "SECOND_URL": "db-1",
	} {
		got := answered[variable]
		address := strings.TrimSuffix(strings.TrimPrefix(got.URL, "http://"), "/")
		host, port, err := net.SplitHostPort(address)
		if err != nil || !net.ParseIP(host).IsLoopback() || port != "8080" || !strings.HasPrefix(got.Host, want) {
			t.Errorf("%s is %+v, %v", variable, got, err)
		}
		if taken, ok := addresses[host]; ok {
			t.Errorf("%s and %s are both at %s", variable, taken, host)
		}
		addresses[host] = variable
	}
	var who struct{ Host string }
	d.tells(&who)
	if !strings.HasPrefix(who.Host, "orders-") {
		t.Errorf("a datagram was answered by %s", who.Host)
	}
	t.Logf("dependencies on port 8080, each at an address of its own: %d", len(addresses))
	e.resolves(d, other)
	d.done(0)
	e.nothingStays()
}

// nothingStays waits until nothing of the plugin's is in the namespace: pods take a moment to go.
func (e *env) nothingStays() {
	e.Helper()
	e.eventually("everything to be gone", func() error {
		out, err := e.kubectl("get", "all,serviceaccounts,roles,rolebindings", "-o", "name", "-l", "app.kubernetes.io/managed-by=kubectl-velo")
		if err == nil && out != "" {
			err = fmt.Errorf("left: %s", out)
		}
		return err
	})
}

// resolves looks names up over the forwarded port of the cluster's DNS, by UDP and by TCP.
func (e *env) resolves(d *dialogue, other *env) {
	e.Helper()
	lookups := 0
	for _, protocol := range []string{"udp", "tcp"} {
		address, err := e.dependencies().local("kube-dns.kube-system", 53, protocol)
		if err != nil {
			e.Fatal(err)
		}
		resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, protocol, address)
		}}
		for _, in := range []*env{e, other} {
			services, err := in.client.CoreV1().Services(in.namespace).List(e.Context(), metav1.ListOptions{})
			if err != nil {
				e.Fatal(err)
			}
			for _, s := range services.Items {
				if s.Spec.ClusterIP == corev1.ClusterIPNone {
					continue
				}
				name := fmt.Sprintf("%s.%s.svc.cluster.local.", s.Name, s.Namespace)
				got, err := resolver.LookupHost(e.Context(), name)
				if err != nil || !slices.Equal(got, []string{s.Spec.ClusterIP}) {
					e.Errorf("%s by %s: %v, %v, not %s", name, protocol, got, err, s.Spec.ClusterIP)
				}
				lookups++
			}
		}
		_, err = resolver.LookupHost(e.Context(), "nobody."+e.namespace+".svc.cluster.local.")
		if failure, ok := errors.AsType[*net.DNSError](err); !ok || !failure.IsNotFound {
			e.Errorf("a name that isn't there, by %s: %v", protocol, err)
		}
		lookups++
	}
	e.Logf("names looked up over the forwarded DNS: %d", lookups)
}
