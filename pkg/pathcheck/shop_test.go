// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
)

// now is when the tests take place.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// shop is a namespace in which a website is reached through an Ingress with TLS. All is well with it.
type shop struct {
	class    *networkingv1.IngressClass
	ingress  *networkingv1.Ingress
	secret   *corev1.Secret
	service  *corev1.Service
	deploy   *appsv1.Deployment
	pod      *corev1.Pod
	slice    *discoveryv1.EndpointSlice
	policies []networkingv1.NetworkPolicy
	more     []runtime.Object
}

func meta(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: name} }

func newShop(t *testing.T) *shop {
	t.Helper()
	prefix := networkingv1.PathTypePrefix
	labels := map[string]string{"app": "web"}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "web", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		}}},
	}
	s := &shop{
		class: &networkingv1.IngressClass{
			ObjectMeta: metav1.ObjectMeta{Name: "nginx", Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}},
			Spec:       networkingv1.IngressClassSpec{Controller: "k8s.io/ingress-nginx"},
		},
		ingress: &networkingv1.Ingress{
			ObjectMeta: meta("web"),
			Spec: networkingv1.IngressSpec{
				IngressClassName: new("nginx"),
				TLS:              []networkingv1.IngressTLS{{Hosts: []string{"shop.test"}, SecretName: "web-tls"}},
				Rules: []networkingv1.IngressRule{{Host: "shop.test", IngressRuleValue: networkingv1.IngressRuleValue{
					HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
						Path: "/", PathType: &prefix, Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
							Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80},
						}},
					}}},
				}}},
			},
		},
		secret: tlsSecret(t, "web-tls", now.AddDate(0, -1, 0), now.AddDate(0, 2, 0), "shop.test", "www.shop.test"),
		service: &corev1.Service{ObjectMeta: meta("web"), Spec: corev1.ServiceSpec{
			Selector: labels, ClusterIP: "10.0.0.9",
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}},
		}},
		deploy: &appsv1.Deployment{ObjectMeta: meta("web"), Spec: appsv1.DeploymentSpec{Template: template, Replicas: new(int32(1))}},
		pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", Labels: labels}, Spec: template.Spec, Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.1.0.7", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		}},
		slice: &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-x", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
			Ports:      []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080))}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.1.0.7"}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}}},
		},
	}
	s.ingress.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "192.0.2.80"}}
	return s
}

func (s *shop) client() *fake.Clientset {
	objects := s.more
	if s.class != nil {
		objects = append(objects, s.class)
	}
	if s.ingress != nil {
		objects = append(objects, s.ingress)
	}
	if s.secret != nil {
		objects = append(objects, s.secret)
	}
	if s.service != nil {
		objects = append(objects, s.service)
	}
	if s.deploy != nil {
		objects = append(objects, s.deploy)
	}
	if s.pod != nil {
		objects = append(objects, s.pod)
	}
	if s.slice != nil {
		objects = append(objects, s.slice)
	}
	for i := range s.policies {
		objects = append(objects, &s.policies[i])
	}
	return fake.NewClientset(objects...)
}

// checker is one that asks nobody.
func (s *shop) checker(client *fake.Clientset) *Checker {
	return &Checker{
		Static: true, client: client, now: func() time.Time { return now },
		gateway: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme()),
	}
}

// unready has the pod fail its readiness probe.
func (s *shop) unready() {
	s.pod.UID = "u-1"
	s.pod.Status.Conditions[0] = corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, Message: "containers with unready status: [web]"}
	s.slice.Endpoints[0].Conditions.Ready = new(false)
}

// event is one of a pod's.
func event(name, kind, message string, at time.Time) *corev1.Event {
	return &corev1.Event{
		ObjectMeta: meta(name), Type: kind, Message: message, LastTimestamp: metav1.NewTime(at),
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "web-1", UID: "u-1"},
	}
}

// certificatePair is a certificate and its key, as PEM.
func certificatePair(t *testing.T, from, until time.Time, hosts ...string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: until, DNSNames: hosts,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func tlsSecret(t *testing.T, name string, from, until time.Time, hosts ...string) *corev1.Secret {
	t.Helper()
	certificate, key := certificatePair(t, from, until, hosts...)
	return &corev1.Secret{ObjectMeta: meta(name), Type: corev1.SecretTypeTLS, Data: map[string][]byte{
		corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key,
	}}
}

// find returns the first hop of a check.
func find(r *Report, check string, live bool) (Hop, bool) {
	for _, path := range r.Paths {
		for _, hop := range path.Hops {
			if hop.Check == check && hop.Live == live {
				return hop, true
			}
		}
	}
	return Hop{}, false
}

// said is all of a report, for a test that fails.
func said(r *Report) string {
	var b strings.Builder
	for i := range r.Paths {
		b.WriteString(r.Paths[i].String() + "\n")
		for _, hop := range r.Paths[i].Hops {
			b.WriteString("  " + string(hop.State) + " " + hop.Check + " " + hop.Object.String() + ": " + hop.Message + " [" + hop.Hint + "]\n")
		}
	}
	return b.String()
}
