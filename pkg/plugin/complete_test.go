// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// aCatalogue is a namespace with a few objects, one Service of which is intercepted.
func aCatalogue(t *testing.T) *catalogue {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	object := func(api, kind, name string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{
			TypeMeta: metav1.TypeMeta{APIVersion: api, Kind: kind}, ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		}
	}
	held := object("v1", "Service", "cart")
	held.Annotations = map[string]string{selector.Annotation: `{"version":1,"session":"1a2b3c4d","owner":"ada@host","since":"2026-01-02T03:04:05Z",` +
		`"selector":{"app":"cart"},"proxy":"cart-traffic-proxy"}`}
	own := object("v1", "Service", "cart-origin")
	own.Labels = map[string]string{"app.kubernetes.io/managed-by": selector.FieldManager}
	names := metadatafake.NewSimpleMetadataClient(scheme, held, own,
		object("v1", "Service", "web"), object("apps/v1", "Deployment", "web"), object("apps/v1", "Deployment", "worker"),
		object("networking.k8s.io/v1", "Ingress", "front"))
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{
			{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("main")},
			{Name: "admin", Port: 81, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(9090)},
			{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
		}},
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "web", Ports: []corev1.ContainerPort{{Name: "main", ContainerPort: 8080}}}, {Name: "sidecar"},
		}},
	}
	return &catalogue{&cluster{client: fake.NewClientset(service, pod), namespace: "shop"}, names}
}

// completing runs an offering of a command as cobra does.
func completing(t *testing.T, c *completer, command, flag string, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	t.Helper()
	root := NewCommand(NewInterrupts(func() {}), genericiooptions.NewTestIOStreamsDiscard())
	cmd, _, err := root.Find([]string{command})
	if err != nil {
		t.Fatal(err)
	}
	cmd.SetContext(t.Context())
	of := c.ofCommands()[command]
	complete := of.arguments
	if flag != "" {
		complete = of.flags[flag]
	}
	return complete(cmd, args, toComplete)
}

func TestComplete(t *testing.T) {
	const (
		noFiles = cobra.ShellCompDirectiveNoFileComp
		more    = noFiles | cobra.ShellCompDirectiveNoSpace
	)
	tests := []struct {
		name          string
		command, flag string
		args          []string
		toComplete    string
		want          []string
		directive     cobra.ShellCompDirective
	}{
		{"Services", "intercept", "", nil, "", []string{"svc/cart\tintercepted by ada@host", "svc/web"}, noFiles},
		{"in another spelling", "intercept", "", nil, "service", []string{"service/cart\tintercepted by ada@host", "service/web"}, noFiles},
		{"with the group that kubectl prints", "env", "", nil, "deployment.apps/wo", []string{"deployment.apps/worker"}, noFiles},
		{"one only", "intercept", "", []string{"svc/web"}, "svc/", nil, noFiles},
		{"types first", "env", "", nil, "s", []string{"sts/", "svc/"}, more},
		{"names when there is one type", "env", "", nil, "dep", []string{"deploy/web", "deploy/worker"}, noFiles},
		{"a type that has none", "env", "", nil, "sts/", nil, noFiles},
		{"Ingresses", "verify", "", nil, "ing", []string{"ingress/front"}, noFiles},
		{"what can be restored", "restore", "", nil, "", []string{"svc/cart\tintercepted by ada@host"}, noFiles},
		{"what is named already", "restore", "", []string{"svc/cart"}, "", nil, noFiles},
		{"dependencies", "run", "dep", []string{"deploy/web"}, "w", []string{"web"}, noFiles},
		{"containers", "env", "container", []string{"svc/web"}, "", []string{"web", "sidecar"}, noFiles},
		{"containers of nothing", "env", "container", nil, "", nil, noFiles},
		{"ports", "intercept", "port", []string{"svc/web"}, "3002:", []string{
			"3002:80\tcontainer port 8080", "3002:http\tcontainer port 8080", "3002:81\tcontainer port 9090", "3002:admin\tcontainer port 9090",
		}, noFiles},
		{"ports after a local one", "intercept", "port", []string{"svc/web"}, "3002:8", []string{
			"3002:80\tcontainer port 8080", "3002:81\tcontainer port 9090",
		}, noFiles},
		{"ports of a number that may be a local one", "intercept", "port", []string{"svc/web"}, "81", []string{
			"81:80\tcontainer port 8080", "81:http\tcontainer port 8080",
			"81\tcontainer port 9090", "81:81\tcontainer port 9090", "81:admin\tcontainer port 9090",
		}, noFiles},
		{"ports of a Service that isn't there", "intercept", "port", []string{"svc/nobody"}, "3002:", nil, noFiles},
		{"ports to forward", "forward", "", []string{"svc/web", "80"}, "a", []string{"admin\tcontainer port 9090"}, noFiles},
		{"ports of a pod", "forward", "", []string{"web-1"}, "", []string{"8080\tof container web", "main\tof container web"}, noFiles},
		{"a second target", "forward", "", []string{"svc/web", "80"}, "dep", []string{"deploy/web", "deploy/worker"}, noFiles},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := aCatalogue(t)
			c := &completer{open: func() (*catalogue, error) { return l, nil }}
			got, directive := completing(t, c, tt.command, tt.flag, tt.args, tt.toComplete)
			if !slices.Equal(got, tt.want) || directive != tt.directive {
				t.Errorf("offered is %q, %d; want %q, %d", got, directive, tt.want, tt.directive)
			}
		})
	}
}

func TestCompleteWithoutACluster(t *testing.T) {
	c := &completer{open: func() (*catalogue, error) { return nil, errors.New("no kubeconfig") }}
	got, directive := completing(t, c, "intercept", "", nil, "")
	if len(got) > 0 || directive != cobra.ShellCompDirectiveNoFileComp {
		t.Errorf("offered is %q, %d; want nothing, and no files", got, directive)
	}
}

func TestCompleteInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		c := &completer{open: func() (*catalogue, error) { <-free; return nil, context.Canceled }}
		began := time.Now()
		got, _ := completing(t, c, "intercept", "", nil, "")
		if took := time.Since(began); len(got) > 0 || took != completeTimeout {
			t.Errorf("offered is %q after %v; want nothing after %v", got, took, completeTimeout)
		}
		close(free)
	})
}

// A flag that no command has is a completion that nobody gets.
func TestCompletionsAreOfFlags(t *testing.T) {
	root := NewCommand(NewInterrupts(func() {}), genericiooptions.NewTestIOStreamsDiscard())
	c := newCompleter(genericclioptions.NewConfigFlags(true))
	all := c.ofCommands()
	all[""] = completions{flags: c.ofKubectlFlags(genericclioptions.NewConfigFlags(true))}
	for command, of := range all {
		cmd, rest, err := root.Find(strings.Fields(command))
		if err != nil || len(rest) > 0 {
			t.Errorf("there is no command %s", command)
			continue
		}
		if of.arguments != nil && cmd.ValidArgsFunction == nil {
			t.Errorf("the arguments of %s are not completed", command)
		}
		for flag := range of.flags {
			if _, ok := cmd.GetFlagCompletionFunc(flag); !ok {
				t.Errorf("--%s of %q is not completed", flag, command)
			}
		}
	}
	// What can be one of a few words is offered.
	for _, cmd := range root.Commands() {
		cmd.NonInheritedFlags().VisitAll(func(flag *pflag.Flag) {
			value, _ := pflag.UnquoteUsage(flag)
			if _, ok := cmd.GetFlagCompletionFunc(flag.Name); !ok && strings.Contains(value, "|") {
				t.Errorf("--%s of %s is one of %s, none of which is offered", flag.Name, cmd.Name(), value)
			}
		})
	}
}

func TestCompletionProgram(t *testing.T) {
	name, content := completionProgram("windows")
	if name != "kubectl_complete-velo.cmd" || !strings.Contains(string(content), "kubectl-velo __complete %* 2>nul\r\n") {
		t.Errorf("on windows it is %s: %q", name, content)
	}
	name, content = completionProgram("darwin")
	if name != "kubectl_complete-velo" || !strings.HasPrefix(string(content), "#!/bin/sh\n") {
		t.Errorf("on darwin it is %s: %q", name, content)
	}
}
