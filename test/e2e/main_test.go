// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e runs the built plugin, through the real kubectl, against a real cluster, as a user would.
//
// `make e2e` runs it. Environment:
//
//	KUBECONFIG, VELO_CONTEXT  the cluster; its nodes have the project's images
//	VELO_INGRESS              URL of its Ingress controller, if it has one
//	PATH                      has kubectl and kubectl-velo
package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	peerImage = "ghcr.io/kubectl-velo/peer:dev"
	// patience is how long anything may take that isn't measured.
	patience = time.Minute
)

// counts are what the suite has sent, printed at its end.
var counts struct {
	sync.Mutex
	sent, failed int
}

func TestMain(m *testing.M) {
	code := m.Run()
	fmt.Printf("requests sent: %d, failed: %d\n", counts.sent, counts.failed)
	os.Exit(code)
}

// env is one test's namespace on the cluster.
type env struct {
	*testing.T
	config     *rest.Config
	client     kubernetes.Interface
	namespace  string
	kubeconfig string   // another one than the suite's, if not empty
	via        []string // what the plugin is run through
}

// newEnv makes a namespace that goes with the test. Labels are those of the namespace.
func newEnv(t *testing.T, labels map[string]string) *env {
	t.Helper()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(),
		&clientcmd.ConfigOverrides{CurrentContext: os.Getenv("VELO_CONTEXT")}).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 100, 200
	e := &env{T: t, config: config, client: kubernetes.NewForConfigOrDie(config)}
	ns, err := e.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "velo-e2e-", Labels: labels},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e.namespace = ns.Name
	t.Cleanup(func() {
		if out, err := e.kubectlAfter("delete", "namespace", e.namespace, "--wait=false", "--ignore-not-found"); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	e.eventually("the namespace's ServiceAccount", func() error {
		_, err := e.client.CoreV1().ServiceAccounts(e.namespace).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return e
}

// eventually waits until so returns nil.
func (e *env) eventually(what string, so func() error) {
	e.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := so()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			e.Fatalf("waited %v for %s: %v", patience, what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// errNotYet is what eventually is told while there is nothing more to say.
var errNotYet = errors.New("not yet")

// kubectlAfter runs kubectl for a test's cleanup, when its context has ended.
func (e *env) kubectlAfter(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "kubectl", e.flags(args)...).CombinedOutput()
	return string(out), err
}

// within returns a copy of the environment for a subtest.
func (e *env) within(t *testing.T) *env {
	c := *e
	c.T = t
	return &c
}

// peerPod is a pod that meets the restricted Pod Security Standard.
func peerPod(labels map[string]string, ports []corev1.ContainerPort, args ...string) corev1.PodTemplateSpec {
	yes, no, user := true, false, int64(65532)
	grace := int64(1)
	spec := corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: &yes, RunAsUser: &user,
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "peer", Image: peerImage, Args: args, Ports: ports, ImagePullPolicy: corev1.PullIfNotPresent,
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
	}
	for _, port := range ports {
		if port.ContainerPort < 1024 {
			spec.SecurityContext.Sysctls = []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}
		}
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}
}

// deployPeer deploys the service under a name, with as many pods as replicas, and waits for them.
func (e *env) deployPeer(name string, replicas int32, ports []corev1.ContainerPort, args ...string) {
	e.Helper()
	labels := map[string]string{"app": name}
	_, err := e.client.AppsV1().Deployments(e.namespace).Create(e.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: peerPod(labels, ports, append([]string{"serve"}, args...)...),
		},
	}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
	e.eventually("deployment "+name, func() error {
		d, err := e.client.AppsV1().Deployments(e.namespace).Get(e.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if d.Status.AvailableReplicas != replicas {
			return fmt.Errorf("%d of %d replicas are available", d.Status.AvailableReplicas, replicas)
		}
		return nil
	})
}

// createService creates a Service for the pods of a deployment of the same name.
func (e *env) createService(name string, ports ...corev1.ServicePort) *corev1.Service {
	e.Helper()
	return e.createServiceObject(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: ports},
	})
}

func (e *env) createServiceObject(service *corev1.Service) *corev1.Service {
	e.Helper()
	created, err := e.client.CoreV1().Services(e.namespace).Create(e.Context(), service, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
	return created
}

func tcpPort(name string, port int32, target intstr.IntOrString) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: port, TargetPort: target}
}

// deployWeb deploys the usual service: HTTP on port 80 to 8080, and the others beside it. The Service comes first: a caller
// that is quicker than the nodes, which have to hear of it, would be remembered by their connection tracking and miss it
// again with every connection from the same port.
func (e *env) deployWeb() {
	e.Helper()
	e.createService("web",
		tcpPort("http", 80, intstr.FromString("http")),
		tcpPort("echo", 9000, intstr.FromInt32(9000)),
		tcpPort("digest", 7001, intstr.FromInt32(9001)),
		corev1.ServicePort{Name: "datagrams", Port: 9002, Protocol: corev1.ProtocolUDP})
	e.deployPeer("web", 1, []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		"--http=:8080", "--echo=:9000", "--digest=:9001", "--datagrams=:9002")
	e.deployCaller()
	e.served("http://web/")
}

// deployCaller starts the pod that calls of the test come from.
func (e *env) deployCaller() {
	e.Helper()
	template := peerPod(map[string]string{"app": "caller"}, nil, "wait")
	_, err := e.client.CoreV1().Pods(e.namespace).Create(e.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "caller", Labels: template.Labels}, Spec: template.Spec,
	}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
	e.eventually("pod caller", func() error {
		pod, err := e.client.CoreV1().Pods(e.namespace).Get(e.Context(), "caller", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return nil
	})
}

// kubectl runs kubectl and returns what it prints.
func (e *env) kubectl(args ...string) (stdout string, err error) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kubectl", e.flags(args)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), err
}

// flags adds the namespace and the cluster to a kubectl command line, before a -- if there is one.
func (e *env) flags(args []string) []string {
	own := []string{"--namespace", e.namespace}
	switch {
	case e.kubeconfig != "":
		own = append(own, "--kubeconfig", e.kubeconfig)
	case os.Getenv("VELO_CONTEXT") != "":
		own = append(own, "--context", os.Getenv("VELO_CONTEXT"))
	}
	at := slices.Index(args, "--")
	if at < 0 {
		at = len(args)
	}
	return slices.Insert(slices.Clone(args), at, own...)
}

// call has the caller pod call a service and decodes what it saw.
func (e *env) call(result any, args ...string) error {
	e.Helper()
	out, err := e.kubectl(append([]string{"exec", "caller", "--", "/peer"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), result)
}

// mustCall is call for what has to work.
func (e *env) mustCall(result any, args ...string) {
	e.Helper()
	if err := e.call(result, args...); err != nil {
		e.Fatal(err)
	}
}

// load is what the peer's load prints.
type load struct {
	Sent     int            `json:"sent"`
	Failed   int            `json:"failed"`
	Answered map[string]int `json:"answered"`
	Failures []string       `json:"failures"`
}

// served waits until a new Service is answered: nodes have to hear of it first.
func (e *env) served(url string) {
	e.Helper()
	e.eventually(url+" to be answered", func() error {
		var l load
		if err := e.call(&l, "load", "--url="+url, "--count=5", "--fresh=2", "--timeout=2s"); err != nil {
			return err
		}
		if l.Failed > 0 {
			return fmt.Errorf("%v", l.Failures)
		}
		return nil
	})
}

// answers sends a few requests to a URL and returns who answered them.
func (e *env) answers(url string) (load, error) {
	e.Helper()
	var l load
	err := e.call(&l, "load", "--url="+url, "--count=5", "--fresh=2", "--timeout=5s")
	counts.Lock()
	defer counts.Unlock()
	counts.sent += l.Sent
	counts.failed += l.Failed
	return l, err
}

// answeredBy waits until a URL is answered only by hosts whose names start with prefix. Nodes follow a Service's change
// within a second; a request that fails meanwhile is an error.
func (e *env) answeredBy(url, prefix string) {
	e.Helper()
	e.eventually(url+" to be answered by "+prefix, func() error {
		l, err := e.answers(url)
		if err != nil {
			return err
		}
		if l.Failed > 0 {
			e.Errorf("%s: %d of %d requests failed: %v", url, l.Failed, l.Sent, l.Failures)
		}
		for host := range l.Answered {
			if !strings.HasPrefix(host, prefix) {
				return fmt.Errorf("answered by %v", l.Answered)
			}
		}
		return nil
	})
}
