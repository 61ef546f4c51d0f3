// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func TestObjectName(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct{ name, service, suffix, want string }{
		{"short", "cart", "-origin", "cart-origin"},
		{"just fits", long[:56], "-origin", long[:56] + "-origin"},
		{"one too long", long[:57], "-origin", long[:47] + "-f13b2d72-origin"},
		{"as long as can be", long, "-traffic-proxy", long[:40] + "-7d3e74a0-traffic-proxy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := objectName(tt.service, tt.suffix)
			if got != tt.want {
				t.Errorf("objectName = %s, want %s", got, tt.want)
			}
			if problems := validation.IsDNS1035Label(got); len(problems) > 0 {
				t.Errorf("%s: %v", got, problems)
			}
		})
	}
}

func TestObjectNamesDiffer(t *testing.T) {
	prefix := strings.Repeat("a", 62)
	names := map[string]string{}
	for _, service := range []string{prefix, prefix + "b", prefix + "c", prefix[:57], prefix[:58]} {
		for _, name := range []string{DeploymentName(service), OriginName(service)} {
			if other, taken := names[name]; taken {
				t.Errorf("%s is the name of an object of both %s and %s", name, other, service)
			}
			names[name] = service
		}
	}
}

func specOf(ports ...Port) *Spec {
	return &Spec{
		Service: &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"},
			Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "cart"}},
		},
		Ports: ports, Session: "1a2b3c4d", Owner: "ada@laptop", Image: "registry.example/proxy:1",
	}
}

func TestDeployment(t *testing.T) {
	const tcp, udp = corev1.ProtocolTCP, corev1.ProtocolUDP
	sysctl := []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}
	tests := []struct {
		name     string
		ports    []Port
		declared []corev1.ContainerPort
		args     []string // after --session and --tunnel
		tunnel   string
		sysctls  []corev1.Sysctl
	}{
		{
			name:     "named",
			ports:    []Port{{Name: "http", Protocol: tcp, Container: 8080, Service: 80}},
			declared: []corev1.ContainerPort{{Name: "http", Protocol: tcp, ContainerPort: 8080}},
			args:     []string{"--port=tcp/8080:80"},
		},
		{
			name:     "numeric",
			ports:    []Port{{Protocol: tcp, Container: 21458, Service: 21458}},
			declared: []corev1.ContainerPort{{Protocol: tcp, ContainerPort: 21458}},
			args:     []string{"--port=tcp/21458:21458"},
		},
		{
			name:     "privileged",
			ports:    []Port{{Protocol: tcp, Container: 8080, Service: 8080}, {Protocol: tcp, Container: 1023, Service: 80}},
			declared: []corev1.ContainerPort{{Protocol: tcp, ContainerPort: 8080}, {Protocol: tcp, ContainerPort: 1023}},
			args:     []string{"--port=tcp/8080:8080", "--port=tcp/1023:80"},
			sysctls:  sysctl,
		},
		{
			name:     "first unprivileged",
			ports:    []Port{{Protocol: tcp, Container: 1024, Service: 80}},
			declared: []corev1.ContainerPort{{Protocol: tcp, ContainerPort: 1024}},
			args:     []string{"--port=tcp/1024:80"},
		},
		{
			name: "two ports of the Service lead to one of the container",
			ports: []Port{
				{Name: "http", Protocol: tcp, Container: 8080, Service: 80},
				{Name: "http", Protocol: tcp, Container: 8080, Service: 8080},
			},
			declared: []corev1.ContainerPort{{Name: "http", Protocol: tcp, ContainerPort: 8080}},
			args:     []string{"--port=tcp/8080:80"},
		},
		{
			name: "by name and by number",
			ports: []Port{
				{Protocol: tcp, Container: 8080, Service: 8080},
				{Name: "http", Protocol: tcp, Container: 8080, Service: 80},
			},
			declared: []corev1.ContainerPort{
				{Protocol: tcp, ContainerPort: 8080}, {Name: "http", Protocol: tcp, ContainerPort: 8080},
			},
			args: []string{"--port=tcp/8080:8080"},
		},
		{
			name: "TCP and UDP of one number",
			ports: []Port{
				{Name: "dns", Protocol: udp, Container: 53, Service: 53},
				{Name: "dns-tcp", Protocol: tcp, Container: 53, Service: 53},
			},
			declared: []corev1.ContainerPort{
				{Name: "dns", Protocol: udp, ContainerPort: 53}, {Name: "dns-tcp", Protocol: tcp, ContainerPort: 53},
			},
			args:    []string{"--port=udp/53:53", "--port=tcp/53:53"},
			sysctls: sysctl,
		},
		{
			name: "the tunnel's own port is taken",
			ports: []Port{
				{Protocol: tcp, Container: tunnelPort, Service: 80}, {Protocol: udp, Container: tunnelPort + 1, Service: 81},
			},
			declared: []corev1.ContainerPort{
				{Protocol: tcp, ContainerPort: tunnelPort}, {Protocol: udp, ContainerPort: tunnelPort + 1},
			},
			args:   []string{"--port=tcp/9021:80", "--port=udp/9022:81"},
			tunnel: "--tunnel=127.0.0.1:9023",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := specOf(tt.ports...)
			d, err := spec.deployment()
			if err != nil {
				t.Fatal(err)
			}
			if d.Namespace != "shop" || d.Name != "cart-traffic-proxy" {
				t.Errorf("it is %s/%s", d.Namespace, d.Name)
			}
			if !d.Spec.Paused {
				t.Error("it isn't paused, and starts before everything is there")
			}
			if d.Annotations[OwnerAnnotation] != "ada@laptop" {
				t.Errorf("its annotations are %v", d.Annotations)
			}
			pod := d.Spec.Template.Spec
			container := pod.Containers[0]
			if container.Image != "registry.example/proxy:1" {
				t.Errorf("the image is %s", container.Image)
			}
			if !equality.Semantic.DeepEqual(container.Ports, tt.declared) {
				t.Errorf("declared are the ports %v, want %v", container.Ports, tt.declared)
			}
			if tt.tunnel == "" {
				tt.tunnel = "--tunnel=127.0.0.1:9021"
			}
			want := append([]string{"--session=1a2b3c4d", tt.tunnel}, tt.args...)
			if !slices.Equal(container.Args, want) {
				t.Errorf("the arguments are %q, want %q", container.Args, want)
			}
			if !slices.Equal(pod.SecurityContext.Sysctls, tt.sysctls) {
				t.Errorf("the sysctls are %v, want %v", pod.SecurityContext.Sysctls, tt.sysctls)
			}
			assertRestricted(t, d.Spec.Template)
			assertLabelled(t, d)
			assertLabelled(t, &d.Spec.Template)
			if !maps.Equal(d.Spec.Selector.MatchLabels, spec.Selector()) {
				t.Errorf("it selects %v, the Service will select %v", d.Spec.Selector.MatchLabels, spec.Selector())
			}
		})
	}
}

// assertRestricted asks the code that admits pods to namespaces of the restricted Pod Security Standard.
func assertRestricted(t *testing.T, pod corev1.PodTemplateSpec) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	results := evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec)
	if len(results) == 0 {
		t.Error("nothing was checked")
	}
	for _, result := range results {
		if !result.Allowed {
			t.Errorf("not restricted: %s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
}

func TestPodIsModest(t *testing.T) {
	d, err := specOf(Port{Protocol: corev1.ProtocolTCP, Container: 80, Service: 80}).deployment()
	if err != nil {
		t.Fatal(err)
	}
	pod := d.Spec.Template.Spec
	container := pod.Containers[0]
	if root := container.SecurityContext.ReadOnlyRootFilesystem; root == nil || !*root {
		t.Error("it may write to its root file system")
	}
	if mount := pod.AutomountServiceAccountToken; mount == nil || *mount {
		t.Error("it has a token")
	}
	if cpu, memory := container.Resources.Requests.Cpu().String(), container.Resources.Requests.Memory().String(); cpu != "10m" || memory != "16Mi" {
		t.Errorf("it requests %s of CPU, %s of memory", cpu, memory)
	}
	if container.ImagePullPolicy != corev1.PullIfNotPresent {
		t.Errorf("its image is pulled %s", container.ImagePullPolicy)
	}
	if d.Spec.Replicas == nil || *d.Spec.Replicas != 1 {
		t.Error("it isn't one")
	}
}

func assertLabelled(t *testing.T, object metav1.Object) {
	t.Helper()
	want := map[string]string{
		"app.kubernetes.io/managed-by":   "kubectl-velo",
		"app.kubernetes.io/name":         "traffic-proxy",
		"kubectl-velo.github.io/service": "cart",
		"kubectl-velo.github.io/session": "1a2b3c4d",
	}
	if !maps.Equal(object.GetLabels(), want) {
		t.Errorf("the labels of %T are %v, want %v", object, object.GetLabels(), want)
	}
}

// No two objects share what their manifests say.
func TestDeploymentsAreTheirOwn(t *testing.T) {
	one, err := specOf(Port{Protocol: corev1.ProtocolTCP, Container: 80, Service: 80}).deployment()
	if err != nil {
		t.Fatal(err)
	}
	other, err := specOf(Port{Protocol: corev1.ProtocolTCP, Container: 8080, Service: 80}).deployment()
	if err != nil {
		t.Fatal(err)
	}
	one.Labels["changed"] = "yes"
	if _, ok := other.Labels["changed"]; ok || len(other.Spec.Template.Spec.SecurityContext.Sysctls) > 0 {
		t.Error("a change of one Deployment changes another")
	}
}

func TestOriginService(t *testing.T) {
	appProtocol := "http"
	families := corev1.IPFamilyPolicyPreferDualStack
	local := corev1.ServiceInternalTrafficPolicyLocal
	spec := specOf()
	spec.Service.Annotations = map[string]string{"cloud.example/load-balancer": "internal"}
	spec.Service.Labels = map[string]string{"app": "cart"}
	spec.Service.Spec = corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.0.0.7", ClusterIPs: []string{"10.0.0.7"}, ExternalIPs: []string{"192.0.2.1"},
		Selector: map[string]string{"app": "cart", "tier": "web"},
		Ports: []corev1.ServicePort{
			{Name: "http", Port: 80, TargetPort: intstr.FromString("web"), NodePort: 30080, AppProtocol: &appProtocol},
			{Name: "dns", Port: 53, TargetPort: intstr.FromInt32(5353), Protocol: corev1.ProtocolUDP, NodePort: 30053},
		},
		IPFamilies: []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}, IPFamilyPolicy: &families,
		InternalTrafficPolicy: &local, PublishNotReadyAddresses: true,
	}
	before := spec.Service.DeepCopy()
	owner := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart-traffic-proxy", UID: "d-1"}}
	got, err := spec.originService(owner)
	if err != nil {
		t.Fatal(err)
	}
	if got.Namespace != "shop" || got.Name != "cart-origin" {
		t.Errorf("it is %s/%s", got.Namespace, got.Name)
	}
	assertLabelled(t, got)
	wantOwner := []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "cart-traffic-proxy", UID: "d-1"}}
	if !equality.Semantic.DeepEqual(got.OwnerReferences, wantOwner) {
		t.Errorf("its owners are %v, want %v", got.OwnerReferences, wantOwner)
	}
	want := corev1.ServiceSpec{
		Type:     corev1.ServiceTypeClusterIP,
		Selector: map[string]string{"app": "cart", "tier": "web"},
		Ports: []corev1.ServicePort{
			{Name: "http", Port: 80, TargetPort: intstr.FromString("web"), AppProtocol: &appProtocol},
			{Name: "dns", Port: 53, TargetPort: intstr.FromInt32(5353), Protocol: corev1.ProtocolUDP},
		},
		IPFamilies: []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}, IPFamilyPolicy: &families,
		PublishNotReadyAddresses: true,
	}
	if !equality.Semantic.DeepEqual(got.Spec, want) {
		t.Errorf("its spec is\n%v\nwant\n%v", got.Spec, want)
	}
	if len(got.Annotations) > 0 {
		t.Errorf("it has annotations of a Service that it isn't: %v", got.Annotations)
	}
	got.Spec.Selector["tier"] = "changed"
	if !equality.Semantic.DeepEqual(spec.Service, before) {
		t.Error("the intercepted Service was changed")
	}
}
