// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Bad input is refused with the reason, and changes nothing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployPeer("web", 1, nil, "--http=:8080")
	e.createService("web", tcpPort("http", 80, intstr.FromInt32(8080)), tcpPort("admin", 8080, intstr.FromInt32(9090)))
	l := startLocal(t)
	e.createService("udp", corev1.ServicePort{Port: 53, Protocol: corev1.ProtocolUDP})
	e.createService("sctp", corev1.ServicePort{Port: 36412, Protocol: corev1.ProtocolSCTP})
	e.createServiceObject(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "external"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"},
	})
	e.createServiceObject(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "manual"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	})
	tests := []struct {
		name string
		code int
		args []string
		want []string
	}{
		{"no such Service", 1, []string{"svc/nope"}, []string{`error from server (NotFound): services "nope" not found`}},
		{"ExternalName", 1, []string{"svc/external"}, []string{"ExternalName"}},
		{"no selector", 1, []string{"svc/manual"}, []string{"has no selector"}},
		{"no such port", 1, []string{"svc/web", "--port", "1:99"}, []string{"has no port 99", "80 (http), container port 8080", "8080 (admin), container port 9090"}},
		{"ambiguous port", 1, []string{"svc/web", "--port", "1:8080"}, []string{"ambiguous", "80 (http)", "8080 (admin)"}},
		{"only UDP", 1, []string{"svc/udp"}, []string{"UDP can't be intercepted"}},
		{"SCTP", 1, []string{"svc/sctp"}, []string{"SCTP"}},
		{"not a Service", 2, []string{"deployment/web"}, []string{`"deployment/web" is not a Service`}},
		{"no argument", 2, nil, []string{"name the Service"}},
		{"port garbage", 2, []string{"svc/web", "--port", "70000:1"}, []string{`"70000" is no port number`}},
		{
			"local port taken", 1,
			[]string{"svc/web", port(l.http, "http"), "--", "true"},
			[]string{fmt.Sprintf("localhost:%d is taken", l.http), "hint: free it, or name another port"},
		},
		{"local port twice", 2, []string{"svc/web", "--port", "5000:http", "--port", "5000:admin"}, []string{"local port 5000 twice"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sub := e.within(t)
			sub.unchanged(func() { sub.fails(test.code, append([]string{"intercept"}, test.args...), test.want...) })
		})
	}
}

// quickly is how soon a pod that can't start is to be reported; the kubelet's own tries come before.
const quickly = 10 * time.Second

func TestPodThatCannotStart(t *testing.T) {
	t.Parallel()
	t.Run("image", func(t *testing.T) {
		e := newEnv(t, nil)
		e.deployPeer("web", 1, nil, "--http=:8080")
		e.createService("web", tcpPort("", 80, intstr.FromInt32(8080)))
		started := time.Now()
		e.unchanged(func() {
			e.fails(1, []string{"intercept", "svc/web", "--proxy-image", "127.0.0.1:1/traffic-proxy:1"},
				"can't start: ", "127.0.0.1:1/traffic-proxy:1", "--proxy-image")
		})
		if took := time.Since(started); took > quickly {
			t.Errorf("it took %v", took)
		}
	})
	t.Run("quota", func(t *testing.T) {
		e := newEnv(t, nil)
		e.deployPeer("web", 1, nil, "--http=:8080")
		e.createService("web", tcpPort("", 80, intstr.FromInt32(8080)))
		_, err := e.client.CoreV1().ResourceQuotas(e.namespace).Create(t.Context(), &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "one-pod"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		e.eventually("the quota", func() error {
			_, err := e.kubectl("wait", "resourcequota/one-pod", "--for=jsonpath={.status.used.pods}=1", "--timeout=30s")
			return err
		})
		e.unchanged(func() { e.fails(1, []string{"intercept", "svc/web"}, "can't start: ", "exceeded quota: one-pod") })
	})
	t.Run("admission", func(t *testing.T) {
		// The pod meets every Pod Security Standard; a policy that refuses it all the same is refused in the same way.
		e := newEnv(t, nil)
		e.deployPeer("web", 1, nil, "--http=:8080")
		e.createService("web", tcpPort("", 80, intstr.FromInt32(8080)))
		e.refusePods()
		e.unchanged(func() { e.fails(1, []string{"intercept", "svc/web"}, "can't start: ", "no pods are wanted here") })
	})
}

// refusePods has the API server refuse every new pod of the namespace.
func (e *env) refusePods() {
	e.Helper()
	name := e.namespace + ".example"
	policies := e.client.AdmissionregistrationV1()
	_, err := policies.ValidatingAdmissionPolicies().Create(e.Context(), &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
				},
			}}},
			Validations: []admissionregistrationv1.Validation{{Expression: "false", Message: "no pods are wanted here"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _, _ = e.kubectlAfter("delete", "validatingadmissionpolicy", name) })
	_, err = policies.ValidatingAdmissionPolicyBindings().Create(e.Context(), &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName:        name,
			ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
			MatchResources: &admissionregistrationv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{"kubernetes.io/metadata.name": e.namespace},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _, _ = e.kubectlAfter("delete", "validatingadmissionpolicybinding", name) })
	e.eventually("the policy to be in force", func() error {
		_, err := e.kubectl("run", "probe", "--image", peerImage, "--dry-run=server")
		if err == nil {
			return errNotYet
		}
		return nil
	})
}

// A user without rights is told all that are missing; one with the built-in ClusterRole edit needs no more.
func TestPermissions(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	t.Run("none", func(t *testing.T) {
		u := e.as(t, "nobody", "")
		u.fails(1, []string{"intercept", "svc/web"}, "get services", "patch services", "create deployments.apps", "create pods/portforward")
		e.within(t).nothingLeft()
	})
	t.Run("view", func(t *testing.T) {
		u := e.as(t, "viewer", "view")
		u.fails(1, []string{"intercept", "svc/web"}, "patch services", "create services", "create deployments.apps",
			"patch deployments.apps", "delete deployments.apps", "create pods/portforward")
		e.within(t).nothingLeft()
	})
	t.Run("edit", func(t *testing.T) {
		u := e.as(t, "editor", "edit")
		was := e.serviceBytes("web")
		v := u.intercept("web", port(l.http, "http"))
		if said := v.output.String(); strings.Count(said, "you may not create Roles") != 1 || !strings.Contains(said, "kubectl velo rbac") {
			t.Errorf("it doesn't say once that the selector can't restore itself:\n%s", said)
		}
		e.within(t).answeredBy("http://web/", localName)
		v.interrupt()
		e.within(t).sameService("web", was)
		e.within(t).nothingLeft()
	})
}

// A user with exactly what rbac prints gets everything: a session of theirs that dies is undone without them.
func TestPrintedRoleIsEnough(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	u := e.as(t, "dev", "")
	role, err := e.kubectl("velo", "rbac", "--serviceaccount", e.namespace+":dev")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "role.yaml")
	if err := os.WriteFile(path, []byte(role), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.kubectl("apply", "-f", path); err != nil {
		t.Fatal(err)
	}
	was := e.serviceBytes("web")
	v := u.intercept("web", port(l.http, "http"), graceFlag())
	e.answeredBy("http://web/", localName)
	if status, err := u.kubectl("velo", "status", "-o", "name"); err != nil || status != "service/web\n" {
		t.Errorf("status says %q, %v", status, err)
	}
	v.signal(syscall.SIGKILL)
	v.ends(-1)
	t.Logf("restored in %v", e.restoredIn("web", was, grace+restoreSlack))
	u.intercept("web", port(l.http, "http")).interrupt()
	e.sameService("web", was)
	e.nothingLeft()
}

// as returns the environment of a user of its own, with one ClusterRole in the namespace, or none.
func (e *env) as(t *testing.T, name, clusterRole string) *env {
	t.Helper()
	u := e.within(t)
	account := metav1.ObjectMeta{Name: name}
	if _, err := e.client.CoreV1().ServiceAccounts(e.namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: account}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if clusterRole != "" {
		_, err := e.client.RbacV1().RoleBindings(e.namespace).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: account,
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: e.namespace}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	token, err := e.client.CoreV1().ServiceAccounts(e.namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {
			Server: e.config.Host, CertificateAuthorityData: e.config.CAData, CertificateAuthority: e.config.CAFile,
		}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "c",
	}, u.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return u
}
