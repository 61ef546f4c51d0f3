// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func service(name, ip string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{ObjectMeta: object(name), Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: ports}}
}

func master() *corev1.Service {
	s := service("kubernetes", "10.0.0.1", corev1.ServicePort{Name: "https", Port: 443})
	s.Namespace = metav1.NamespaceDefault
	return s
}

func masterLinks() []string {
	return []string{
		"KUBERNETES_SERVICE_HOST=10.0.0.1", "KUBERNETES_SERVICE_PORT=443", "KUBERNETES_SERVICE_PORT_HTTPS=443",
		"KUBERNETES_PORT=tcp://10.0.0.1:443", "KUBERNETES_PORT_443_TCP=tcp://10.0.0.1:443",
		"KUBERNETES_PORT_443_TCP_PROTO=tcp", "KUBERNETES_PORT_443_TCP_PORT=443", "KUBERNETES_PORT_443_TCP_ADDR=10.0.0.1",
	}
}

func TestServiceLinks(t *testing.T) {
	tests := []struct {
		name    string
		service *corev1.Service
		want    []string
	}{
		{"one port", service("orders", "10.0.0.9", corev1.ServicePort{Port: 80}), []string{
			"ORDERS_SERVICE_HOST=10.0.0.9", "ORDERS_SERVICE_PORT=80", "ORDERS_PORT=tcp://10.0.0.9:80",
			"ORDERS_PORT_80_TCP=tcp://10.0.0.9:80", "ORDERS_PORT_80_TCP_PROTO=tcp", "ORDERS_PORT_80_TCP_PORT=80",
			"ORDERS_PORT_80_TCP_ADDR=10.0.0.9",
		}},
		{"two named ports, IPv6", service("my-dns", "fd00::a", corev1.ServicePort{Name: "dns-udp", Port: 53, Protocol: corev1.ProtocolUDP},
			corev1.ServicePort{Name: "dns", Port: 53, Protocol: corev1.ProtocolTCP}), []string{
			"MY_DNS_SERVICE_HOST=fd00::a", "MY_DNS_SERVICE_PORT=53", "MY_DNS_SERVICE_PORT_DNS_UDP=53", "MY_DNS_SERVICE_PORT_DNS=53",
			"MY_DNS_PORT=udp://[fd00::a]:53",
			"MY_DNS_PORT_53_UDP=udp://[fd00::a]:53", "MY_DNS_PORT_53_UDP_PROTO=udp", "MY_DNS_PORT_53_UDP_PORT=53",
			"MY_DNS_PORT_53_UDP_ADDR=fd00::a",
			"MY_DNS_PORT_53_TCP=tcp://[fd00::a]:53", "MY_DNS_PORT_53_TCP_PROTO=tcp", "MY_DNS_PORT_53_TCP_PORT=53",
			"MY_DNS_PORT_53_TCP_ADDR=fd00::a",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := lines(serviceLinks(tt.service)); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestResolveLinks(t *testing.T) {
	no := false
	elsewhere := service("elsewhere", "10.0.0.7", corev1.ServicePort{Port: 80})
	elsewhere.Namespace = "other"
	origin := service("orders-origin", "10.0.0.8", corev1.ServicePort{Port: 80})
	origin.Labels = map[string]string{"app.kubernetes.io/managed-by": "kubectl-velo"}
	client := fake.NewClientset(master(), elsewhere, origin,
		service("orders", "10.0.0.9", corev1.ServicePort{Port: 80}),
		service("headless", "None", corev1.ServicePort{Port: 80}),
		service("external", ""),
	)
	orders := lines(serviceLinks(service("orders", "10.0.0.9", corev1.ServicePort{Port: 80})))
	tests := []struct {
		name   string
		enable *bool
		env    []corev1.EnvVar
		want   []string
	}{
		{"wanted", &yes, nil, append(masterLinks(), orders...)},
		{"not said: wanted", nil, nil, append(masterLinks(), orders...)},
		{"not wanted: the API server's", &no, nil, masterLinks()},
		{
			"replaced, and referred to", &no,
			[]corev1.EnvVar{{Name: "API", Value: "$(KUBERNETES_SERVICE_HOST):$(KUBERNETES_SERVICE_PORT)"}, {Name: "KUBERNETES_SERVICE_HOST", Value: "api"}},
			append([]string{"API=10.0.0.1:443", "KUBERNETES_SERVICE_HOST=api"}, masterLinks()[1:]...),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pod := podOf(corev1.Container{Env: tt.env})
			pod.Spec.EnableServiceLinks = tt.enable
			got, err := Resolve(t.Context(), NewObjects(client.CoreV1(), "shop"), pod, "web")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(lines(got), tt.want) {
				t.Errorf("got  %q\nwant %q", lines(got), tt.want)
			}
		})
	}
	t.Run("a Service of the API server's name is the namespace's own", func(t *testing.T) {
		client := fake.NewClientset(master(), service("kubernetes", "10.9.9.9", corev1.ServicePort{Port: 1}))
		pod := podOf(corev1.Container{})
		pod.Spec.EnableServiceLinks = nil
		got, err := Resolve(t.Context(), NewObjects(client.CoreV1(), "shop"), pod, "web")
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Value != "10.9.9.9" || len(got) != 7 {
			t.Errorf("got %q", lines(got))
		}
	})
	t.Run("the API server's Service may not be read", func(t *testing.T) {
		client := fake.NewClientset()
		forbid(client, "get", "services", "")
		got, err := Resolve(t.Context(), NewObjects(client.CoreV1(), "shop"), podOf(corev1.Container{}), "web")
		if err != nil || len(got) > 0 {
			t.Errorf("Resolve = %q, %v; want nothing", lines(got), err)
		}
	})
}
