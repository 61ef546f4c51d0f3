// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

var yes = true

func object(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: name} }

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: object(name), Data: data, BinaryData: map[string][]byte{"binary": {1}}}
}

func secret(name string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: object(name), Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	return s
}

// podOf returns a running pod with one container and no service links.
func podOf(container corev1.Container) *corev1.Pod {
	no := false
	container.Name = "web"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-1", UID: "1234",
			Labels:      map[string]string{"app": "web", "tier": "front"},
			Annotations: map[string]string{"example.com/note": "it's"},
		},
		Spec: corev1.PodSpec{
			Containers:         []corev1.Container{container},
			EnableServiceLinks: &no,
			NodeName:           "node-1",
			ServiceAccountName: "robot",
		},
		Status: corev1.PodStatus{
			HostIP: "192.0.2.1", HostIPs: []corev1.HostIP{{IP: "192.0.2.1"}, {IP: "2001:db8::1"}},
			PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}},
		},
	}
}

func fromConfigMap(name, key string, optional *bool) *corev1.EnvVarSource {
	ref := &corev1.ConfigMapKeySelector{Key: key, Optional: optional}
	ref.Name = name
	return &corev1.EnvVarSource{ConfigMapKeyRef: ref}
}

func fromSecret(name, key string, optional *bool) *corev1.EnvVarSource {
	ref := &corev1.SecretKeySelector{Key: key, Optional: optional}
	ref.Name = name
	return &corev1.EnvVarSource{SecretKeyRef: ref}
}

func fromField(path string) *corev1.EnvVarSource {
	return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
}

func fromResource(name, divisor string) *corev1.EnvVarSource {
	ref := &corev1.ResourceFieldSelector{Resource: name}
	if divisor != "" {
		ref.Divisor = resource.MustParse(divisor)
	}
	return &corev1.EnvVarSource{ResourceFieldRef: ref}
}

func allOfConfigMap(prefix, name string, optional *bool) corev1.EnvFromSource {
	ref := &corev1.ConfigMapEnvSource{Optional: optional}
	ref.Name = name
	return corev1.EnvFromSource{Prefix: prefix, ConfigMapRef: ref}
}

func allOfSecret(prefix, name string, optional *bool) corev1.EnvFromSource {
	ref := &corev1.SecretEnvSource{Optional: optional}
	ref.Name = name
	return corev1.EnvFromSource{Prefix: prefix, SecretRef: ref}
}

// lines returns variables as name=value, in their order.
func lines(all []Variable) []string {
	var texts []string
	for _, one := range all {
		texts = append(texts, one.Name+"="+one.Value)
	}
	return texts
}

// forbid lets the API refuse to show an object, or every one of its kind.
func forbid(client *fake.Clientset, verb, kind, name string) {
	client.PrependReactor(verb, kind, func(action clienttesting.Action) (bool, runtime.Object, error) {
		if get, ok := action.(clienttesting.GetAction); ok && name != "" && get.GetName() != name {
			return false, nil, nil
		}
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: kind}, name, errors.New("ada may not"))
	})
}

func TestResolve(t *testing.T) {
	objects := []runtime.Object{
		configMap("app", map[string]string{"COLOR": "blue", "ANIMAL": "cat", "app.properties": "a=b\n"}),
		configMap("other", map[string]string{"COLOR": "red", "1ST": "digit"}),
		secret("db", map[string]string{"user": "ada", "password": "p$(ANIMAL)$$"}),
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("3500m"), corev1.ResourceMemory: resource.MustParse("1Gi"),
		}}},
	}
	limits := corev1.ResourceRequirements{
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m"), corev1.ResourceMemory: resource.MustParse("100Mi")},
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")},
	}
	tests := []struct {
		name      string
		container corev1.Container
		change    func(*corev1.Pod)
		want      []string
	}{
		{name: "nothing"},
		{
			name: "values in their order, the last of a name",
			container: corev1.Container{Env: []corev1.EnvVar{
				{Name: "B", Value: "1"}, {Name: "A", Value: ""}, {Name: "B", Value: "2"}, {Name: "C", Value: "$(B)$(D)$$(B)"}, {Name: "D", Value: "late"},
			}},
			want: []string{"B=2", "A=", "C=2$(D)$(B)", "D=late"},
		},
		{
			name: "a value that refers to the one before it of its own name",
			container: corev1.Container{Env: []corev1.EnvVar{
				{Name: "LIST", Value: "a"}, {Name: "LIST", Value: "$(LIST),b"},
			}},
			want: []string{"LIST=a,b"},
		},
		{
			name: "whole ConfigMaps and Secrets, with every key",
			container: corev1.Container{EnvFrom: []corev1.EnvFromSource{
				allOfConfigMap("", "app", nil), allOfConfigMap("X_", "app", nil), allOfSecret("DB_", "db", nil), allOfConfigMap("", "other", nil),
			}},
			want: []string{
				"ANIMAL=cat", "COLOR=red", "app.properties=a=b\n", "X_ANIMAL=cat", "X_COLOR=blue", "X_app.properties=a=b\n",
				"DB_password=p$(ANIMAL)$$", "DB_user=ada", "1ST=digit",
			},
		},
		{
			name: "env wins over envFrom, and refers to it",
			container: corev1.Container{
				EnvFrom: []corev1.EnvFromSource{allOfConfigMap("", "app", nil)},
				Env:     []corev1.EnvVar{{Name: "COLOR", Value: "dark $(COLOR)"}, {Name: "PET", Value: "$(ANIMAL)"}},
			},
			want: []string{"ANIMAL=cat", "COLOR=dark blue", "app.properties=a=b\n", "PET=cat"},
		},
		{
			name: "keys, whose values aren't expanded",
			container: corev1.Container{Env: []corev1.EnvVar{
				{Name: "ANIMAL", ValueFrom: fromConfigMap("app", "ANIMAL", nil)},
				{Name: "PASSWORD", ValueFrom: fromSecret("db", "password", nil)},
				{Name: "URL", Value: "db://$(PASSWORD)@db"},
			}},
			want: []string{"ANIMAL=cat", "PASSWORD=p$(ANIMAL)$$", "URL=db://p$(ANIMAL)$$@db"},
		},
		{
			name: "optional, and not there",
			container: corev1.Container{
				EnvFrom: []corev1.EnvFromSource{allOfConfigMap("", "none", &yes), allOfSecret("", "none", &yes), allOfConfigMap("", "app", &yes)},
				Env: []corev1.EnvVar{
					{Name: "A", ValueFrom: fromConfigMap("none", "key", &yes)},
					{Name: "B", ValueFrom: fromConfigMap("app", "none", &yes)},
					{Name: "C", ValueFrom: fromSecret("none", "key", &yes)},
					{Name: "D", ValueFrom: fromSecret("db", "none", &yes)},
					{Name: "COLOR", ValueFrom: fromSecret("none", "key", &yes)},
				},
			},
			want: []string{"ANIMAL=cat", "COLOR=blue", "app.properties=a=b\n"},
		},
		{
			name:      "keys that aren't text aren't there",
			container: corev1.Container{Env: []corev1.EnvVar{{Name: "A", ValueFrom: fromConfigMap("app", "binary", &yes)}}},
		},
		{
			name: "fields of a running pod",
			container: corev1.Container{Env: []corev1.EnvVar{
				{Name: "NAME", ValueFrom: fromField("metadata.name")},
				{Name: "NAMESPACE", ValueFrom: fromField("metadata.namespace")},
				{Name: "UID", ValueFrom: fromField("metadata.uid")},
				{Name: "APP", ValueFrom: fromField("metadata.labels['app']")},
				{Name: "NONE", ValueFrom: fromField("metadata.labels['none']")},
				{Name: "NOTE", ValueFrom: fromField("metadata.annotations['example.com/note']")},
				{Name: "NODE", ValueFrom: fromField("spec.nodeName")},
				{Name: "ACCOUNT", ValueFrom: fromField("spec.serviceAccountName")},
				{Name: "HOST", ValueFrom: fromField("status.hostIP")},
				{Name: "HOSTS", ValueFrom: fromField("status.hostIPs")},
				{Name: "IP", ValueFrom: fromField("status.podIP")},
				{Name: "IPS", ValueFrom: fromField("status.podIPs")},
			}},
			want: []string{
				"NAME=web-1", "NAMESPACE=shop", "UID=1234", "APP=web", "NONE=", "NOTE=it's", "NODE=node-1", "ACCOUNT=robot",
				"HOST=192.0.2.1", "HOSTS=192.0.2.1,2001:db8::1", "IP=10.0.0.1", "IPS=10.0.0.1,fd00::1",
			},
		},
		{
			name: "fields of a template",
			container: corev1.Container{Env: []corev1.EnvVar{
				{Name: "NODE", ValueFrom: fromField("spec.nodeName")},
				{Name: "ACCOUNT", ValueFrom: fromField("spec.serviceAccountName")},
				{Name: "HOSTS", ValueFrom: fromField("status.hostIPs")},
				{Name: "IP", ValueFrom: fromField("status.podIP")},
			}},
			change: func(p *corev1.Pod) { p.Spec.NodeName, p.Spec.ServiceAccountName, p.Status = "", "", corev1.PodStatus{} },
			want:   []string{"NODE=", "ACCOUNT=default", "HOSTS=", "IP="},
		},
		{
			name: "resources that are set, in their units",
			container: corev1.Container{Resources: limits, Env: []corev1.EnvVar{
				{Name: "CPU", ValueFrom: fromResource("limits.cpu", "")},
				{Name: "MILLICPU", ValueFrom: fromResource("limits.cpu", "1m")},
				{Name: "MEMORY", ValueFrom: fromResource("limits.memory", "")},
				{Name: "MEBIBYTES", ValueFrom: fromResource("limits.memory", "1Mi")},
				{Name: "GIGABYTES", ValueFrom: fromResource("limits.memory", "1G")},
				{Name: "REQUESTED", ValueFrom: fromResource("requests.cpu", "1m")},
				{Name: "HUGE", ValueFrom: fromResource("limits.hugepages-2Mi", "1Mi")},
			}},
			change: func(p *corev1.Pod) { p.Spec.NodeName = "" },
			want: []string{
				"CPU=2", "MILLICPU=1500", "MEMORY=104857600", "MEBIBYTES=100", "GIGABYTES=1", "REQUESTED=100", "HUGE=0",
			},
		},
		{
			name: "a request that isn't set is the limit",
			container: corev1.Container{Resources: limits, Env: []corev1.EnvVar{
				{Name: "MEMORY", ValueFrom: fromResource("requests.memory", "1Mi")},
			}},
			want: []string{"MEMORY=100"},
		},
		{
			name: "a limit that isn't set is what the node can give",
			container: corev1.Container{Env: []corev1.EnvVar{
				{Name: "CPU", ValueFrom: fromResource("limits.cpu", "1m")},
				{Name: "MEMORY", ValueFrom: fromResource("limits.memory", "1Mi")},
				{Name: "REQUESTED", ValueFrom: fromResource("requests.cpu", "")},
			}},
			want: []string{"CPU=3500", "MEMORY=1024", "REQUESTED=0"},
		},
		{
			name:      "or the pod's",
			container: corev1.Container{Env: []corev1.EnvVar{{Name: "CPU", ValueFrom: fromResource("limits.cpu", "")}}},
			change: func(p *corev1.Pod) {
				p.Spec.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("7")}}
			},
			want: []string{"CPU=7"},
		},
		{
			name: "another container's resource",
			container: corev1.Container{Env: []corev1.EnvVar{{Name: "CPU", ValueFrom: &corev1.EnvVarSource{
				ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "side", Resource: "limits.cpu"},
			}}}},
			change: func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{{Name: "side", Resources: limits}}
			},
			want: []string{"CPU=2"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pod := podOf(tt.container)
			if tt.change != nil {
				tt.change(pod)
			}
			before := pod.DeepCopy()
			got, err := Resolve(t.Context(), NewObjects(fake.NewClientset(objects...).CoreV1(), "shop"), pod, "web")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(lines(got), tt.want) {
				t.Errorf("got  %q\nwant %q", lines(got), tt.want)
			}
			if !before.Spec.Containers[0].Resources.Limits.Cpu().Equal(*pod.Spec.Containers[0].Resources.Limits.Cpu()) {
				t.Error("the pod was changed")
			}
		})
	}
}

func TestResolveSaysWhereFrom(t *testing.T) {
	objects := NewObjects(fake.NewClientset(
		configMap("app", map[string]string{"COLOR": "blue"}), secret("db", map[string]string{"password": "p", "user": "ada"}),
		service("orders", "10.0.0.9", corev1.ServicePort{Port: 80}),
	).CoreV1(), "shop")
	pod := podOf(corev1.Container{
		EnvFrom: []corev1.EnvFromSource{allOfConfigMap("", "app", nil), allOfSecret("", "db", nil)},
		Env: []corev1.EnvVar{
			{Name: "PLAIN", Value: "$(COLOR)"},
			{Name: "URL", Value: "$(user)@db"},
			{Name: "URLS", Value: "$(URL)"},
			{Name: "KEY", ValueFrom: fromConfigMap("app", "COLOR", nil)},
			{Name: "PASSWORD", ValueFrom: fromSecret("db", "password", nil)},
			{Name: "POD", ValueFrom: fromField("metadata.name")},
			{Name: "CPU", ValueFrom: fromResource("requests.cpu", "")},
		},
	})
	pod.Spec.EnableServiceLinks = &yes
	got, err := Resolve(t.Context(), objects, pod, "web")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Variable{
		"COLOR":               {From: "configmap/app"},
		"password":            {From: "secret/db", Secret: true},
		"PLAIN":               {From: "value"},
		"URL":                 {From: "value", Secret: true},
		"URLS":                {From: "value", Secret: true},
		"KEY":                 {From: "configmap/app, key COLOR"},
		"PASSWORD":            {From: "secret/db, key password", Secret: true},
		"POD":                 {From: "field metadata.name"},
		"CPU":                 {From: "resource requests.cpu"},
		"ORDERS_SERVICE_HOST": {From: "service/orders"},
	}
	for _, one := range got {
		if w, ok := want[one.Name]; ok && (one.From != w.From || one.Secret != w.Secret) {
			t.Errorf("%s is from %q, secret: %t; want %q, %t", one.Name, one.From, one.Secret, w.From, w.Secret)
		}
		delete(want, one.Name)
	}
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}
}

func TestResolveReadsOnce(t *testing.T) {
	client := fake.NewClientset(configMap("app", map[string]string{"A": "1"}), secret("db", map[string]string{"B": "2"}))
	container := corev1.Container{
		EnvFrom: []corev1.EnvFromSource{allOfConfigMap("", "app", nil), allOfSecret("", "db", nil), allOfSecret("", "none", &yes)},
		Env: []corev1.EnvVar{
			{Name: "A", ValueFrom: fromConfigMap("app", "A", nil)},
			{Name: "B", ValueFrom: fromSecret("db", "B", nil)},
			{Name: "C", ValueFrom: fromSecret("none", "B", &yes)},
		},
	}
	objects := NewObjects(client.CoreV1(), "shop")
	for range 2 {
		if _, err := Resolve(t.Context(), objects, podOf(container), ""); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	for _, action := range client.Actions() {
		seen[action.GetVerb()+" "+action.GetResource().Resource]++
	}
	if seen["get configmaps"] != 1 || seen["get secrets"] != 2 || seen["get services"] != 1 {
		t.Errorf("read %v", seen)
	}
}

func TestResolveMissing(t *testing.T) {
	client := fake.NewClientset(configMap("app", nil), secret("db", nil))
	forbid(client, "get", "secrets", "closed")
	_, err := Resolve(t.Context(), NewObjects(client.CoreV1(), "shop"), podOf(corev1.Container{
		EnvFrom: []corev1.EnvFromSource{allOfConfigMap("", "gone", nil), allOfSecret("", "gone", nil), allOfSecret("", "closed", nil)},
		Env: []corev1.EnvVar{
			{Name: "A", ValueFrom: fromConfigMap("gone", "a", nil)},
			{Name: "B", ValueFrom: fromConfigMap("app", "b", nil)},
			{Name: "C", ValueFrom: fromSecret("db", "c", nil)},
		},
	}), "web")
	missing, ok := errors.AsType[*MissingError](err)
	if !ok {
		t.Fatalf("Resolve: %v, want a MissingError", err)
	}
	want := []string{"configmap/gone", "secret/gone", "key b of configmap/app", "key c of secret/db"}
	if !slices.Equal(missing.Missing, want) {
		t.Errorf("missing %q, want %q", missing.Missing, want)
	}
	if text := err.Error(); text != "the container couldn't start without "+strings.Join(want, ", ") {
		t.Errorf("the error is %q", text)
	}
}

func TestResolveUnreadable(t *testing.T) {
	client := fake.NewClientset(configMap("app", map[string]string{"PASSWORD": "not this one", "COLOR": "blue"}))
	forbid(client, "get", "secrets", "")
	forbid(client, "get", "nodes", "")
	forbid(client, "list", "services", "")
	pod := podOf(corev1.Container{
		EnvFrom: []corev1.EnvFromSource{allOfConfigMap("", "app", nil), allOfSecret("", "all", &yes)},
		Env: []corev1.EnvVar{
			{Name: "PASSWORD", ValueFrom: fromSecret("db", "password", nil)},
			{Name: "USER", ValueFrom: fromSecret("db", "user", &yes)},
			{Name: "CPU", ValueFrom: fromResource("limits.cpu", "")},
			{Name: "FILE", ValueFrom: &corev1.EnvVarSource{FileKeyRef: &corev1.FileKeySelector{VolumeName: "run", Path: "a.env", Key: "x"}}},
			{Name: "URL", Value: "$(PASSWORD)@$(COLOR)"},
		},
	})
	pod.Spec.EnableServiceLinks = nil // as in most templates: it's true
	got, err := Resolve(t.Context(), NewObjects(client.CoreV1(), "shop"), pod, "web")
	unreadable, ok := errors.AsType[*UnreadableError](err)
	if !ok {
		t.Fatalf("Resolve: %v, want an UnreadableError", err)
	}
	var names []string
	for _, one := range unreadable.Unreadable {
		names = append(names, one.String())
		if !strings.Contains(err.Error(), one.String()) {
			t.Errorf("the error %q doesn't name %s", err, one)
		}
	}
	if want := []string{"services", "secret/all", "secret/db", "node/node-1", "file/run/a.env"}; !slices.Equal(names, want) {
		t.Errorf("unreadable are %q, want %q", names, want)
	}
	if !apierrors.IsForbidden(err) {
		t.Errorf("the error %v isn't the API's any more", err)
	}
	if !strings.Contains(unreadable.Hint(), "--skip-unreadable") {
		t.Errorf("the hint is %q", unreadable.Hint())
	}
	if want := []string{"COLOR=blue", "URL=$(PASSWORD)@blue"}; !slices.Equal(lines(got), want) {
		t.Errorf("the rest is %q, want %q", lines(got), want)
	}
}

func TestResolveWithoutANode(t *testing.T) {
	pod := podOf(corev1.Container{Env: []corev1.EnvVar{{Name: "CPU", ValueFrom: fromResource("limits.cpu", "")}}})
	pod.Spec.NodeName = ""
	_, err := Resolve(t.Context(), NewObjects(fake.NewClientset().CoreV1(), "shop"), pod, "web")
	if !errors.Is(err, ErrUnknown) {
		t.Errorf("Resolve: %v, want ErrUnknown", err)
	}
}

func TestResolveRefuses(t *testing.T) {
	tests := []struct {
		name, container string
		env             corev1.EnvVar
		err             string // part of it
	}{
		{name: "unknown container", container: "wbe", err: `no container "wbe", only web, setup (init)`},
		{
			name: "unknown field", container: "web", env: corev1.EnvVar{Name: "A", ValueFrom: fromField("status.phase")},
			err: "variable A: unsupported fieldPath: status.phase",
		},
		{
			name: "unknown resource", container: "web", env: corev1.EnvVar{Name: "A", ValueFrom: fromResource("limits.gpu", "")},
			err: "variable A: ",
		},
		{
			name: "resource of an unknown container", container: "web", err: `variable A: no container "none"`,
			env: corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{
				ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "none", Resource: "limits.cpu"},
			}},
		},
		{
			name: "a source of the future", container: "web", env: corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{}},
			err: "variable A: its source",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pod := podOf(corev1.Container{Env: []corev1.EnvVar{tt.env}})
			pod.Spec.InitContainers = []corev1.Container{{Name: "setup"}}
			got, err := Resolve(t.Context(), NewObjects(fake.NewClientset().CoreV1(), "shop"), pod, tt.container)
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Resolve = %q, %v; want an error with %q", lines(got), err, tt.err)
			}
		})
	}
}

func TestResolveStopsAtOtherErrors(t *testing.T) {
	down := errors.New("connection refused")
	for _, kind := range []string{"configmaps", "secrets", "services", "nodes"} {
		t.Run(kind, func(t *testing.T) {
			client := fake.NewClientset()
			client.PrependReactor("*", kind, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, down })
			_, err := Resolve(t.Context(), NewObjects(client.CoreV1(), "shop"), podOf(corev1.Container{Env: []corev1.EnvVar{
				{Name: "A", ValueFrom: fromConfigMap("a", "a", &yes)},
				{Name: "B", ValueFrom: fromSecret("b", "b", &yes)},
				{Name: "C", ValueFrom: fromResource("limits.cpu", "")},
			}}), "web")
			if !errors.Is(err, down) {
				t.Errorf("Resolve: %v, want %v", err, down)
			}
		})
	}
}

func TestContainer(t *testing.T) {
	pod := podOf(corev1.Container{})
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "side"})
	get := func() string {
		c, err := Container(pod, "")
		if err != nil {
			t.Fatal(err)
		}
		return c.Name
	}
	if got := get(); got != "web" {
		t.Errorf("the first is %s", got)
	}
	pod.Annotations["kubectl.kubernetes.io/default-container"] = "side"
	if got := get(); got != "side" {
		t.Errorf("the default is %s, want side", got)
	}
}

func TestReadsRemembersErrors(t *testing.T) {
	calls := 0
	r := newReads(func(context.Context, string, metav1.GetOptions) (int, error) {
		calls++
		return 0, errors.New("no")
	})
	for range 2 {
		if _, err := r.read(t.Context(), "a"); err == nil {
			t.Error("no error")
		}
	}
	if calls != 1 {
		t.Errorf("read %d times", calls)
	}
}
