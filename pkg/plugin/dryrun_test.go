// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// rehearsing lets the fake cluster keep nothing of a dry run, and complain about what would be kept. Refusals are by the
// resource they are of.
func rehearsing(t *testing.T, client *fake.Clientset, refusals map[string]error) {
	t.Helper()
	react := func(action clienttesting.Action, dryRun []string, object runtime.Object) (bool, runtime.Object, error) {
		resource := action.GetResource().Resource
		if resource == "selfsubjectaccessreviews" {
			return false, nil, nil
		}
		if !slices.Equal(dryRun, []string{metav1.DryRunAll}) {
			t.Errorf("it did %s %s", action.GetVerb(), resource)
		}
		return true, object, refusals[action.GetVerb()+" "+resource]
	}
	client.PrependReactor("create", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		create := action.(clienttesting.CreateActionImpl)
		return react(action, create.CreateOptions.DryRun, create.Object)
	})
	client.PrependReactor("patch", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		return react(action, action.(clienttesting.PatchActionImpl).PatchOptions.DryRun, &corev1.Service{})
	})
	for _, verb := range []string{"delete", "update", "delete-collection"} {
		client.PrependReactor(verb, "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
			t.Errorf("it did %s %s", verb, action.GetResource().Resource)
			return true, nil, errors.ErrUnsupported
		})
	}
}

// dryRunIn makes a dry run in the fake cluster and returns what it says.
func dryRunIn(t *testing.T, client *fake.Clientset, options interceptOptions) (stdout, stderr string, err error) {
	t.Helper()
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	options.streams, options.timeout, options.grace, options.proxyImage = streams, time.Minute, 30*time.Second, "registry.example/proxy:1"
	s := sessionIn(client)
	s.id, s.owner, s.options, s.report = "1a2b3c4d", "ada@laptop", &options, newReport(errOut)
	err = s.dryRun(t.Context())
	return out.String(), errOut.String(), err
}

func noGrants(a authorizationv1.ResourceAttributes) bool { return a.Group != rbacv1.GroupName }

const notRestoring = "⚠ you may not create Roles in namespace shop: if this session dies, callers go on to their pods, but only 'kubectl velo restore' puts the selector of service/cart back; 'kubectl velo rbac' prints what is missing\n"

func TestDryRunClient(t *testing.T) {
	tests := []struct {
		name   string
		may    func(authorizationv1.ResourceAttributes) bool
		kinds  []string
		stderr string
	}{
		{"all", everything, []string{"Deployment", "Service", "Role", "ServiceAccount", "RoleBinding", ""}, ""},
		{"no Roles", noGrants, []string{"Deployment", "Service", ""}, notRestoring},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.NewClientset(service("shop", "cart", ""), cartPod())
			rehearsing(t, client, nil)
			allow(client, tt.may)
			stdout, stderr, err := dryRunIn(t, client, interceptOptions{dryRun: dryRunClient, ttl: time.Hour})
			if err != nil || stderr != tt.stderr {
				t.Fatalf("dryRun: %v, stderr %q", err, stderr)
			}
			var kinds []string
			documents := strings.Split(stdout, "---\n")
			for _, document := range documents {
				var object struct {
					metav1.TypeMeta `json:",inline"`
				}
				if err := yaml.Unmarshal([]byte(document), &object); err != nil {
					t.Fatal(err)
				}
				kinds = append(kinds, object.Kind)
			}
			if !slices.Equal(kinds, tt.kinds) {
				t.Errorf("it prints %q, want %q", kinds, tt.kinds)
			}
			patch := documents[len(documents)-1]
			if !strings.HasPrefix(patch, "# merge patch of service/cart in namespace shop\n") {
				t.Errorf("the patch is\n%s", patch)
			}
			var patched struct {
				Metadata struct {
					Annotations map[string]string
				}
				Spec struct {
					Selector map[string]*string
				}
			}
			if err := yaml.Unmarshal([]byte(patch), &patched); err != nil {
				t.Fatal(err)
			}
			want := []string{"app", "kubectl-velo.github.io/service", "kubectl-velo.github.io/session"}
			if got := slices.Sorted(maps.Keys(patched.Spec.Selector)); !slices.Equal(got, want) || patched.Spec.Selector["app"] != nil {
				t.Errorf("the patch is\n%s", patch)
			}
			held, err := selector.Of(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: patched.Metadata.Annotations}})
			if err != nil || held.Session != "1a2b3c4d" || held.Selector["app"] != "cart" || held.Expires.Sub(held.Since) != time.Hour {
				t.Errorf("the annotation is %+v, %v", held, err)
			}
		})
	}
}

func TestDryRunServer(t *testing.T) {
	forbidden := func(resource string) error {
		return apierrors.NewForbidden(corev1.Resource(resource), "cart", errors.New("no"))
	}
	const deployment, origin, patched = "deployment.apps/cart-traffic-proxy created (server dry run)\n",
		"service/cart-origin created (server dry run)\n", "service/cart patched (server dry run)\n"
	const grants = "role.rbac.authorization.k8s.io/cart-traffic-proxy created (server dry run)\n" +
		"serviceaccount/cart-traffic-proxy created (server dry run)\n" +
		"rolebinding.rbac.authorization.k8s.io/cart-traffic-proxy created (server dry run)\n"
	tests := []struct {
		name           string
		refusals       map[string]error
		stdout, stderr string
		problems       []string
	}{
		{name: "all", stdout: deployment + origin + grants + patched},
		{
			name: "no Roles", refusals: map[string]error{"create roles": forbidden("roles")},
			stdout: deployment + origin + patched, stderr: notRestoring,
		},
		{
			// The Role that was rehearsed doesn't exist when its binding is.
			name: "no such Role", refusals: map[string]error{"create rolebindings": apierrors.NewNotFound(rbacv1.Resource("roles"), "cart-traffic-proxy")},
			stdout: deployment + origin + grants + patched,
		},
		{
			name: "problems", refusals: map[string]error{
				"create deployments": apierrors.NewInvalid(appsv1.SchemeGroupVersion.WithKind("Deployment").GroupKind(), "cart-traffic-proxy", nil),
				"create services":    forbidden("services"),
				"patch services":     apierrors.NewConflict(corev1.Resource("services"), "cart", errors.New("changed")),
			},
			stdout: grants,
			problems: []string{
				"creating deployment shop/cart-traffic-proxy: ", "creating service shop/cart-origin: ", "swapping the selector of service shop/cart: ",
			},
		},
		{
			name: "problems but with the patch", refusals: map[string]error{"create services": forbidden("services"), "create roles": forbidden("roles")},
			stdout: deployment + patched, problems: []string{"creating service shop/cart-origin: "},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.NewClientset(service("shop", "cart", ""), cartPod())
			rehearsing(t, client, tt.refusals)
			allow(client, everything)
			stdout, stderr, err := dryRunIn(t, client, interceptOptions{dryRun: dryRunServer})
			if stdout != tt.stdout || stderr != tt.stderr {
				t.Errorf("stdout:\n%s\nwant:\n%s\nstderr %q, want %q", stdout, tt.stdout, stderr, tt.stderr)
			}
			var said bytes.Buffer
			if err != nil {
				printError(&said, "kubectl velo intercept", err)
			}
			lines := slices.DeleteFunc(strings.Split(said.String(), "\n"), func(line string) bool { return !strings.HasPrefix(line, "error: ") })
			if len(lines) != len(tt.problems) {
				t.Fatalf("it said %q, want %q", lines, tt.problems)
			}
			for i, line := range lines {
				if !strings.HasPrefix(line, "error: "+tt.problems[i]) {
					t.Errorf("it said %q, want %q", line, tt.problems[i])
				}
			}
		})
	}
}

func TestDryRunServerFindsStagedProxy(t *testing.T) {
	staged := proxyOf("cart")
	staged.Annotations = map[string]string{"kubectl-velo.github.io/owner": "bob@desk"}
	client := fake.NewClientset(service("shop", "cart", ""), cartPod(), staged)
	rehearsing(t, client, map[string]error{"create deployments": apierrors.NewAlreadyExists(appsv1.Resource("deployments"), staged.Name)})
	allow(client, everything)
	_, _, err := dryRunIn(t, client, interceptOptions{dryRun: dryRunServer})
	if err == nil || !strings.Contains(err.Error(), "bob@desk began to intercept the service") {
		t.Errorf("dryRun: %v", err)
	}
}

func TestDryRunRefuses(t *testing.T) {
	for _, mode := range []string{dryRunClient, dryRunServer} {
		t.Run(mode, func(t *testing.T) {
			client := fake.NewClientset(service("shop", "cart", annotation))
			rehearsing(t, client, nil)
			allow(client, everything)
			stdout, _, err := dryRunIn(t, client, interceptOptions{dryRun: mode})
			if _, held := errors.AsType[*selector.InterceptedError](err); !held || stdout != "" {
				t.Errorf("dryRun: %v, stdout %q", err, stdout)
			}
		})
	}
}

func TestDryRunTakesOver(t *testing.T) {
	const warning = "⚠ service/cart would be taken over from ada@laptop\n"
	client := fake.NewClientset(service("shop", "cart", annotation), cartPod())
	rehearsing(t, client, nil)
	allow(client, everything)
	stdout, stderr, err := dryRunIn(t, client, interceptOptions{dryRun: dryRunClient, takeOver: true})
	if err != nil || stderr != warning || !strings.Contains(stdout, `"selector":{"app":"cart"}`) {
		t.Errorf("dryRun: %v, stderr %q, stdout\n%s", err, stderr, stdout)
	}
	stdout, stderr, err = dryRunIn(t, client, interceptOptions{dryRun: dryRunServer, takeOver: true})
	if err == nil || !strings.Contains(err.Error(), "can't be rehearsed") || stderr != warning || stdout != "" {
		t.Errorf("dryRun: %v, stderr %q, stdout\n%s", err, stderr, stdout)
	}
}

func TestDryRunFlag(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no value", []string{"--dry-run"}, "error: flag needs an argument: --dry-run\n"},
		{"another value", []string{"--dry-run=maybe"}, `error: --dry-run "maybe" is none of none, server, client` + "\n"},
		{"empty", []string{"--dry-run="}, `error: --dry-run "" is none of none, server, client` + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			streams, _, out, errOut := genericiooptions.NewTestIOStreams()
			code := Main(t.Context(), nil, streams, append([]string{"intercept", "svc/cart"}, tt.args...))
			if code != exitUsage || out.Len() > 0 || !strings.HasPrefix(errOut.String(), tt.want) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errOut)
			}
		})
	}
}
