// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// clusterNetwork is the network namespace of the test's own cluster, which its Ingress's address is in.
const clusterNetwork = "/run/velo-cluster/net"

// pathCheck is what verify prints with -o json.
type pathCheck struct {
	Kind, State string
	Items       []struct {
		State  string
		Causes []string
		Hops   []struct{ Check, State, Message, Hint string }
	}
}

// production is a path that is broken and repaired, and looked at from somewhere.
type production struct {
	*env

	from *env
}

func (e *production) within(t *testing.T) *production {
	return &production{e.env.within(t), e.from.within(t)}
}

// besideIngress returns an environment whose plugin runs where the cluster's Ingress can be reached. On other clusters than
// the test's own that is here, if anywhere.
func (e *env) besideIngress(t *testing.T) *env {
	t.Helper()
	ingressURL(t)
	b := e.within(t)
	if _, err := os.Stat(clusterNetwork); err != nil || os.Getenv("VELO_CONTEXT") != "" {
		return b
	}
	if os.Geteuid() != 0 {
		t.Skip("to be where the Ingress is takes root")
	}
	list, err := e.client.DiscoveryV1().EndpointSlices("default").List(t.Context(), metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=kubernetes",
	})
	if err != nil || len(list.Items) == 0 {
		t.Fatalf("the API server's own Service: %v, %v", list, err)
	}
	slice := list.Items[0]
	b.via = []string{"nsenter", "--net=" + clusterNetwork, "--"}
	b.kubeconfig = e.kubeconfigVia(t, net.JoinHostPort(slice.Endpoints[0].Addresses[0], strconv.Itoa(int(*slice.Ports[0].Port))))
	return b
}

// verify runs verify -o json, and returns what it prints and its exit code.
func (e *env) verify(args ...string) (pathCheck, int) {
	e.Helper()
	var check pathCheck
	command := append(slices.Concat(e.via, []string{"kubectl"}), e.flags(append([]string{"velo", "verify", "-o", "json"}, args...))...)
	out, err := exec.CommandContext(e.Context(), command[0], command[1:]...).Output()
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		e.Fatal(err)
	}
	if len(out) > 0 {
		if err := json.Unmarshal(out, &check); err != nil || check.Kind != "PathCheck" {
			e.Fatalf("%v: %s", err, out)
		}
	}
	return check, code
}

// breaks waits until verify ends with 1 and names a cause, and returns the hint that comes with it.
func (e *production) breaks(target, cause string) (hint string) {
	e.Helper()
	e.eventually(fmt.Sprintf("%s to be broken: %s", target, cause), func() error {
		check, code := e.from.verify(target)
		if code != 1 || check.State != "broken" {
			return fmt.Errorf("exit code %d, %+v", code, check)
		}
		named := false
		for _, path := range check.Items {
			for _, found := range path.Causes {
				named = true
				if !strings.Contains(found, cause) {
					return fmt.Errorf("it says %q", found)
				}
				for _, hop := range path.Hops {
					if hop.Message == found {
						hint = hop.Hint
					}
				}
			}
		}
		if !named {
			return fmt.Errorf("no cause is named: %+v", check)
		}
		return nil
	})
	return hint
}

// heals waits until verify ends with 0 and a state.
func (e *production) heals(target, state string) {
	e.Helper()
	e.eventually(target+" to be "+state, func() error {
		check, code := e.from.verify(target)
		if code != 0 || check.State != state {
			return fmt.Errorf("exit code %d, %+v", code, check)
		}
		return nil
	})
}

// follow runs the command of a hint.
func (e *production) follow(hint string) {
	e.Helper()
	command, plain := strings.CutPrefix(hint, "run: ")
	if !plain {
		_, rest, _ := strings.Cut(hint, "run '")
		command, _, _ = strings.Cut(rest, "'")
	}
	if !strings.HasPrefix(command, "kubectl ") {
		e.Fatalf("hint %q has no command to run", hint)
	}
	shell := append(slices.Clone(e.from.via), "sh", "-c", command) // its flags are for where verify was run
	if out, err := exec.CommandContext(e.Context(), shell[0], shell[1:]...).CombinedOutput(); err != nil {
		e.Fatalf("%s: %v: %s", command, err, out)
	}
}

func (e *env) mustKubectl(args ...string) {
	e.Helper()
	if _, err := e.kubectl(args...); err != nil {
		e.Fatal(err)
	}
}

// newFront deploys the service behind an Ingress, and looks at it from where all of it can be reached.
func newFront(t *testing.T) *production {
	t.Helper()
	e := newEnv(t, nil)
	b := &production{e, e.besideIngress(t)}
	e.createService("web", tcpPort("http", 80, intstr.FromString("http")))
	e.deployPeer("web", 1, []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}, "--http=:8080")
	// One pod at a time: a broken one shall not be outdone by the one before it.
	e.mustKubectl("patch", "deployment/web", "-p", `{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}`)
	e.createIngress(e.namespace+".test", "web", networkingv1.ServiceBackendPort{Number: 80})
	b.heals("ingress/web", "ok")
	return b
}

// patchJSON applies a JSON patch of one operation.
func (e *env) patchJSON(object, path, value string) {
	e.Helper()
	e.mustKubectl("patch", object, "--type=json", "-p", fmt.Sprintf(`[{"op":"replace","path":%q,"value":%s}]`, path, value))
}

// Paths that are broken in the cluster, each named by its cause; repaired, verify is green again. Where the hint has the
// command that repairs it, it is run.
func TestVerifyBrokenPaths(t *testing.T) {
	t.Parallel()
	e := newFront(t)
	e.heals("svc/web", "ok")
	const backend = "/spec/rules/0/http/paths/0/backend/service"
	undo := func(e *production) { e.mustKubectl("rollout", "undo", "deployment/web") }
	tests := []struct {
		name   string
		broken func(e *production)
		cause  string
		// repair is nil if the hint says how.
		repair func(e *production)
	}{
		{
			name: "wrong selector", broken: func(e *production) { e.mustKubectl("set", "selector", "svc/web", "app=web-v2") },
			cause: fmt.Sprintf("selector app=web-v2 matches no pod; pods of deployment %s/web have app=web", e.namespace),
		},
		{
			name: "readiness failing",
			broken: func(e *production) {
				e.mustKubectl("patch", "deployment/web", "-p",
					`{"spec":{"template":{"spec":{"containers":[{"name":"peer","readinessProbe":{"periodSeconds":1,"tcpSocket":{"port":9}}}]}}}}`)
			},
			cause: "Readiness probe failed: ", repair: undo,
		},
		{
			name: "wrong targetPort", broken: func(e *production) { e.patchJSON("svc/web", "/spec/ports/0/targetPort", "9999") },
			cause: "nothing listens at target port 9999 of pod ",
		},
		{
			name: "wrong named port", broken: func(e *production) { e.patchJSON("svc/web", "/spec/ports/0/targetPort", `"htp"`) },
			cause: "port 80 (http) leads to target port htp, but no container of its pods has a port of that name; they have http (8080)",
		},
		{
			name: "Ingress to a missing Service", broken: func(e *production) { e.patchJSON("ingress/web", backend+"/name", `"nope"`) },
			cause:  fmt.Sprintf("service %s/nope doesn't exist", e.namespace),
			repair: func(e *production) { e.patchJSON("ingress/web", backend+"/name", `"web"`) },
		},
		{
			name: "Ingress to a wrong port", broken: func(e *production) { e.patchJSON("ingress/web", backend+"/port", `{"number":81}`) },
			cause:  fmt.Sprintf("service %s/web has no port 81; it has 80 (http)", e.namespace),
			repair: func(e *production) { e.patchJSON("ingress/web", backend+"/port", `{"number":80}`) },
		},
		{
			name: "NetworkPolicy that blocks the Ingress", broken: (*production).keepIngressOut,
			cause:  "networkpolicy/callers doesn't admit the controller's pod ",
			repair: func(e *production) { e.mustKubectl("delete", "networkpolicy/callers", "pod/controller") },
		},
		{
			name: "NetworkPolicy that admits nobody", broken: func(e *production) { e.createPolicy("closed", nil) },
			cause:  "networkpolicy/closed admits nobody to port http of its pods",
			repair: func(e *production) { e.mustKubectl("delete", "networkpolicy/closed") },
		},
		{
			name: "a dead intercept's selector", broken: (*production).leaveIntercept,
			cause: "its selector was left by a dead intercept of ",
		},
		{
			name: "listening on 127.0.0.1 only",
			broken: func(e *production) {
				e.patchJSON("deployment/web", "/spec/template/spec/containers/0/args", `["serve","--http=127.0.0.1:8080"]`)
			},
			cause: "does so on 127.0.0.1 only", repair: undo,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sub := e.within(t)
			tt.broken(sub)
			hint := sub.breaks("ingress/web", tt.cause)
			if tt.repair == nil {
				sub.follow(hint)
			} else {
				tt.repair(sub)
			}
			sub.heals("ingress/web", "ok")
			sub.heals("svc/web", "ok")
		})
	}
}

// A Service's own ways from outside: a node port that is answered, and a load balancer that nobody has made.
func TestVerifyOutside(t *testing.T) {
	t.Parallel()
	e := newFront(t)
	e.mustKubectl("patch", "svc/web", "-p", `{"spec":{"type":"NodePort"}}`)
	e.heals("svc/web", "ok")
	if check, _ := e.from.verify("svc/web"); len(check.Items) != 3 {
		t.Errorf("the paths are %+v", check.Items)
	}
	e.mustKubectl("patch", "svc/web", "-p", `{"spec":{"type":"LoadBalancer"}}`)
	e.breaks("svc/web", "the Service is of type LoadBalancer and has got no address")
	e.heals("ingress/web", "ok")
}

// createPolicy creates a NetworkPolicy for the pods of the service that admits pods with some labels, or nobody.
func (e *env) createPolicy(name string, admitted map[string]string) {
	e.Helper()
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
	}}
	if admitted != nil {
		policy.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{
			From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: admitted}}},
		}}
	}
	if _, err := e.client.NetworkingV1().NetworkPolicies(e.namespace).Create(e.Context(), policy, metav1.CreateOptions{}); err != nil {
		e.Fatal(err)
	}
}

// keepIngressOut has a policy admit others only. The test cluster's controller is no pod; one with its labels stands in.
func (e *production) keepIngressOut() {
	e.Helper()
	e.createPolicy("callers", map[string]string{"app": "caller"})
	template := peerPod(map[string]string{"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}, nil, "wait")
	_, err := e.client.CoreV1().Pods(e.namespace).Create(e.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "controller", Labels: template.Labels}, Spec: template.Spec,
	}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
}

// leaveIntercept leaves what a session leaves that may not grant its traffic-proxy anything, when both are killed.
func (e *production) leaveIntercept() {
	e.Helper()
	u := e.as(e.T, "editor", "edit")
	v := u.intercept("web", port(1, "http"))
	e.from.breaksNothing()
	v.signal(syscall.SIGKILL)
	v.ends(-1)
	e.mustKubectl("delete", "deployment/web-traffic-proxy")
}

// breaksNothing checks that an intercept is to be known about, and no more.
func (e *env) breaksNothing() {
	e.Helper()
	check, code := e.verify("svc/web")
	if code != 0 {
		e.Errorf("exit code %d while it is intercepted: %+v", code, check)
	}
	for _, path := range check.Items {
		for _, hop := range path.Hops {
			if hop.Check == "intercept" && hop.State == "warning" && strings.Contains(hop.Message, "@") {
				return
			}
		}
	}
	e.Errorf("no warning of the intercept: %+v", check)
}

// Certificates, as they are in the Secret and as the Ingress shows them.
func TestVerifyCertificates(t *testing.T) {
	t.Parallel()
	e := newFront(t)
	host := e.namespace + ".test"
	e.mustKubectl("patch", "ingress/web", "-p", fmt.Sprintf(`{"spec":{"tls":[{"hosts":[%q],"secretName":"web-tls"}]}}`, host))
	now := time.Now()
	tests := []struct {
		name        string
		from, until time.Time
		host        string
		cause       string
	}{
		{name: "missing", cause: fmt.Sprintf("secret %s/web-tls, where the certificate for %s should be, doesn't exist", e.namespace, host)},
		{"expired", now.AddDate(-1, 0, 0), now.AddDate(0, 0, -1), host, "expired on " + now.AddDate(0, 0, -1).UTC().Format(time.DateOnly)},
		{"for another host", now, now.AddDate(1, 0, 0), "other.test", "is for other.test, not for " + host},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sub := e.within(t)
			if tt.host != "" {
				sub.putCertificate(tt.from, tt.until, tt.host)
			}
			sub.breaks("ingress/web", tt.cause)
			sub.putCertificate(now, now.AddDate(1, 0, 0), host)
			sub.heals("ingress/web", "ok")
			sub.heals("svc/web", "ok")
			sub.mustKubectl("delete", "secret/web-tls")
		})
	}
}

// putCertificate puts a certificate into the Secret that the Ingress names.
func (e *env) putCertificate(from, until time.Time, host string) {
	e.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		e.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from.Add(-time.Minute), NotAfter: until, DNSNames: []string{host}}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		e.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		e.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "web-tls"}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{
		corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}}
	secrets := e.client.CoreV1().Secrets(e.namespace)
	if _, err = secrets.Update(e.Context(), secret, metav1.UpdateOptions{}); err != nil {
		if _, err = secrets.Create(e.Context(), secret, metav1.CreateOptions{}); err != nil {
			e.Fatal(err)
		}
	}
}

// What is no HTTP is asked for a connection; what may not be asked is unknown, and says what it takes.
func TestVerifyUnknown(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.createService("web", tcpPort("http", 80, intstr.FromInt32(8080)), tcpPort("echo", 9000, intstr.FromInt32(9000)))
	e.deployPeer("web", 1, nil, "--http=:8080", "--echo=:9000")
	hops := func(e *env, want ...string) {
		e.Helper()
		check, code := e.verify("svc/web")
		var text strings.Builder
		for _, path := range check.Items {
			for _, hop := range path.Hops {
				fmt.Fprintf(&text, "%s: %s\n", hop.State, hop.Message)
			}
		}
		if code != 0 || check.State != "unknown" {
			e.Errorf("exit code %d, %s:\n%s", code, check.State, &text)
		}
		for _, w := range want {
			if !strings.Contains(text.String(), w) {
				e.Errorf("it doesn't say %q:\n%s", w, &text)
			}
		}
	}
	t.Run("TCP", func(t *testing.T) {
		hops(e.within(t), "unknown: port 9000 (echo) can't be asked through the API server", "ok: a connection to port 9000 of its loopback is taken")
	})
	t.Run("rights", func(t *testing.T) {
		hops(e.as(t, "viewer", "view"),
			"unknown: GET / of port 80 (http), through the API server, takes the right to get on services/proxy in namespace "+e.namespace,
			"unknown: GET / of port 8080, through the API server, takes the right to get on pods/proxy in namespace "+e.namespace,
			"unknown: GET / of port 8080 of its loopback takes the right to create on pods/portforward in namespace "+e.namespace)
	})
	t.Run("no rights", func(t *testing.T) {
		e.as(t, "nobody", "").fails(1, []string{"verify", "svc/web"}, "error from server (Forbidden)", `services "web" is forbidden`, "kubectl velo rbac -n "+e.namespace)
	})
	t.Run("nothing there", func(t *testing.T) {
		e.within(t).fails(1, []string{"verify", "svc/nope"}, `error from server (NotFound): services "nope" not found`)
	})
}

// A pipeline waits until it is well, or until its time is up.
func TestVerifyWaits(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.createService("web", tcpPort("http", 80, intstr.FromString("http")))
	if _, code := e.verify("svc/web", "--wait", "3s"); code != 124 {
		t.Errorf("exit code %d, not 124", code)
	}
	v := e.start("verify", "svc/web", "--wait", "1m", "--path", "/bytes?n=10", "--expect-status", "200", "-o", "short")
	v.says("► waiting: service " + e.namespace + "/web: selector app=web matches no pod")
	e.deployPeer("web", 1, []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}, "--http=:8080")
	v.ends(0)
	if check, code := e.verify("svc/web", "--expect-status", "404"); code != 1 || check.State != "broken" {
		t.Errorf("a status that wasn't expected: exit code %d, %+v", code, check)
	}
}
