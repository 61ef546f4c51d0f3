// SPDX-License-Identifier: Apache-2.0

// Package trafficproxy stages the pod that stands in for a Service's pods, and everything it needs, and removes it
// again. None of it is seen by callers of the Service: that begins with the swap of its selector.
//
// What always holds: the Deployment owns every other object, so that deleting it removes all of them; it is created
// first, paused, and starts its pod only once the others are there.
package trafficproxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-velo/kubectl-velo/manifests"
	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

const (
	// ServiceLabel names, on every object of an intercept, the intercepted Service.
	ServiceLabel = "kubectl-velo.github.io/service"
	// TakenOverAnnotation says, on the Deployment of a session that is being taken over from, by whom.
	TakenOverAnnotation = "kubectl-velo.github.io/taken-over-by"
	// OwnerAnnotation says, on the Deployment, who runs the session, as user@host.
	OwnerAnnotation = "kubectl-velo.github.io/owner"

	// What the manifests label every object with.
	managedByLabel, managedBy = "app.kubernetes.io/managed-by", "kubectl-velo"
	nameLabel, proxyName      = "app.kubernetes.io/name", "traffic-proxy"

	// firstUnprivileged is the first port that any user may listen on.
	firstUnprivileged = 1024
	// tunnelPort is where the proxy listens for the tunnel, on its pod's loopback, if the Service doesn't use it.
	tunnelPort = 9021
)

// Port is one port of the Service, as the proxy serves it.
type Port struct {
	// Name of the container port, or empty.
	Name string
	// Protocol is TCP or UDP.
	Protocol corev1.Protocol
	// Container is the number of the container port.
	Container uint16
	// Service is the number of the Service's port.
	Service uint16
}

// declares reports whether declaring other as a container port leaves nothing to declare for p: several ports of a Service
// may lead to the same container port, and a container has each name once.
func (p Port) declares(other Port) bool {
	if p.Name != "" && p.Name == other.Name {
		return true
	}
	return p.Protocol == other.Protocol && p.Container == other.Container && p.Name == other.Name
}

// Spec describes a traffic-proxy.
type Spec struct {
	// Service is the intercepted one.
	Service *corev1.Service
	// Ports are all of its ports.
	Ports []Port
	// Session is the ID of the session, Owner who runs it, as user@host.
	Session, Owner string
	// Image is the traffic-proxy's.
	Image string
	// Grace is how long the proxy waits for a session before it restores the Service by itself.
	Grace time.Duration
}

// DeploymentName returns the name of the Deployment of a Service's traffic-proxy.
func DeploymentName(service string) string { return objectName(service, "-traffic-proxy") }

// OriginName returns the name of the Service that leads to a Service's origin pods.
func OriginName(service string) string { return objectName(service, "-origin") }

// objectName appends suffix to name. What gets too long for a DNS label is cut and told apart by a short hash.
func objectName(name, suffix string) string {
	if len(name)+len(suffix) <= validation.DNS1123LabelMaxLength {
		return name + suffix
	}
	sum := sha256.Sum256([]byte(name))
	hash := "-" + hex.EncodeToString(sum[:])[:8]
	return name[:validation.DNS1123LabelMaxLength-len(suffix)-len(hash)] + hash + suffix
}

// Selector selects the proxy's pod and nothing else.
func (s *Spec) Selector() map[string]string {
	return map[string]string{
		nameLabel:             proxyName,
		ServiceLabel:          s.Service.Name,
		selector.SessionLabel: s.Session,
	}
}

// ServiceSelector is what the intercepted Service's selector is swapped for. All its keys are kubectl velo's own.
func (s *Spec) ServiceSelector() map[string]string {
	return map[string]string{ServiceLabel: s.Service.Name, selector.SessionLabel: s.Session}
}

// TunnelPort returns the loopback port of the tunnel: one that is none of the Service's.
func (s *Spec) TunnelPort() uint16 {
	taken := make(map[uint16]bool, len(s.Ports))
	for _, port := range s.Ports {
		taken[port.Container] = true
	}
	port := uint16(tunnelPort)
	for taken[port] {
		port++
	}
	return port
}

func (s *Spec) label(objects ...metav1.Object) {
	for _, object := range objects {
		labels := object.GetLabels()
		maps.Copy(labels, s.Selector())
		object.SetLabels(labels)
	}
}

// deployment returns the Deployment as it is created: paused, and without the origin Service's address.
func (s *Spec) deployment() (*appsv1.Deployment, error) {
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict(manifests.Deployment, &d); err != nil {
		return nil, fmt.Errorf("reading the Deployment's manifest: %w", err)
	}
	d.Name, d.Namespace = DeploymentName(s.Service.Name), s.Service.Namespace
	d.Annotations = map[string]string{OwnerAnnotation: s.Owner}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: s.Selector()}
	s.label(&d, &d.Spec.Template)

	pod := &d.Spec.Template.Spec
	container := &pod.Containers[0]
	container.Image = s.Image
	container.Args = s.arguments()
	for i, port := range s.Ports {
		if port.Container < firstUnprivileged {
			pod.SecurityContext.Sysctls = []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}
		}
		if !slices.ContainsFunc(s.Ports[:i], port.declares) {
			container.Ports = append(container.Ports, corev1.ContainerPort{
				Name: port.Name, Protocol: port.Protocol, ContainerPort: int32(port.Container),
			})
		}
	}
	return &d, nil
}

func (s *Spec) arguments() []string {
	args := []string{
		"--session=" + s.Session,
		"--tunnel=127.0.0.1:" + strconv.Itoa(int(s.TunnelPort())),
	}
	listening := make(map[string]bool)
	for _, port := range s.Ports {
		network := "tcp"
		if port.Protocol == corev1.ProtocolUDP {
			network = "udp"
		}
		listener := network + "/" + strconv.Itoa(int(port.Container))
		if listening[listener] {
			continue
		}
		listening[listener] = true
		args = append(args, fmt.Sprintf("--port=%s:%d", listener, port.Service))
	}
	return args
}

// originService returns the Service that leads to the origin pods, owned by the Deployment.
func (s *Spec) originService(owner *appsv1.Deployment) (*corev1.Service, error) {
	var o corev1.Service
	if err := yaml.UnmarshalStrict(manifests.OriginService, &o); err != nil {
		return nil, fmt.Errorf("reading the origin Service's manifest: %w", err)
	}
	o.Name, o.Namespace = OriginName(s.Service.Name), s.Service.Namespace
	s.label(&o)
	o.OwnerReferences = []metav1.OwnerReference{ownedBy(owner)}
	o.Spec.Selector = maps.Clone(s.Service.Spec.Selector)
	o.Spec.IPFamilies = s.Service.Spec.IPFamilies
	o.Spec.IPFamilyPolicy = s.Service.Spec.IPFamilyPolicy
	o.Spec.PublishNotReadyAddresses = s.Service.Spec.PublishNotReadyAddresses
	for _, port := range s.Service.Spec.Ports {
		port.NodePort = 0
		o.Spec.Ports = append(o.Spec.Ports, port)
	}
	return &o, nil
}

func ownedBy(d *appsv1.Deployment) metav1.OwnerReference {
	// blockOwnerDeletion stays unset: where OwnerReferencesPermissionEnforcement is on, it takes a right to finalizers
	// that the built-in ClusterRole edit doesn't give.
	return metav1.OwnerReference{
		APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment", Name: d.Name, UID: d.UID,
	}
}
