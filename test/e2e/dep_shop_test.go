// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shopPage is what the shop's website says as JSON.
type shopPage struct{ Host, Orders, Redis, Greeting, APIToken string }

// The demo's website, unchanged and told nothing, run on this machine: its page through the Ingress has everything that
// the page of its pod has.
func TestShopWebsite(t *testing.T) {
	t.Parallel()
	url := ingressURL(t)
	e := newEnv(t, nil)
	for _, name := range []string{"00-config", "10-redis", "20-orders", "30-website"} {
		if _, err := e.kubectl("apply", "-f", "../../examples/shop/manifests/"+name+".yaml"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat("../../.cluster/images/shop-redis.tar"); err != nil { // made where Debian's package is
		if _, err := e.kubectl("set", "image", "deployment/redis", "redis=redis:7"); err != nil {
			t.Fatal(err)
		}
	}
	host := e.namespace + ".example"
	e.createIngress(host, "website-container", networkingv1.ServiceBackendPort{Number: 3002})
	for _, name := range []string{"redis", "orders", "website-container"} {
		e.available(name, 1)
	}
	was := e.serviceBytes("website-container")
	pod := e.shopPageFrom(url, host, "website-container-")

	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	v := e.intercept("website-container", port(21458, "21458"), "--", "website")
	local := e.shopPageFrom(url, host, machine)
	if local.Orders != pod.Orders || local.Greeting != pod.Greeting || local.APIToken != pod.APIToken || views(t, local) <= views(t, pod) {
		t.Errorf("the page of this machine differs: %+v, not %+v", local, pod)
	}
	_, html := e.get(url+"/", host)
	for _, want := range []string{machine, "Enamel teapot", local.Greeting, "page view "} {
		if !strings.Contains(html, want) {
			t.Errorf("the page doesn't say %q:\n%s", want, html)
		}
	}
	v.interrupt()
	e.sameService("website-container", was)
	e.nothingLeft()
	again := e.shopPageFrom(url, host, "website-container-")
	t.Logf("page views counted by one redis: %d by the pod, %d by this machine, then %d", views(t, pod), views(t, local), views(t, again))
}

func views(t *testing.T, page shopPage) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscanf(page.Redis, "page view %d", &n); err != nil {
		t.Fatalf("redis says %q", page.Redis)
	}
	return n
}

// shopPageFrom waits until the page is answered by a host, and by all that it depends on.
func (e *env) shopPageFrom(url, host, prefix string) shopPage {
	e.Helper()
	var page shopPage
	e.eventually("the page of "+prefix, func() error {
		code, body := e.get(url+"/api", host)
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			return fmt.Errorf("status %d: %w", code, err)
		}
		if !strings.HasPrefix(page.Host, prefix) || !strings.HasPrefix(page.Orders, "3 orders from orders-") ||
			!strings.HasPrefix(page.Redis, "page view ") || page.APIToken != "given" {
			return fmt.Errorf("it is %+v", page)
		}
		return nil
	})
	return page
}

// get returns what a host's URL answers.
func (e *env) get(url, host string) (status int, body string) {
	e.Helper()
	request, err := http.NewRequestWithContext(e.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		e.Fatal(err)
	}
	request.Host = host
	response, err := (&http.Client{Timeout: patience}).Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, err.Error()
	}
	return response.StatusCode, string(data)
}

// createIngress leads a host's requests to a port of a Service.
func (e *env) createIngress(host, service string, port networkingv1.ServiceBackendPort) {
	e.Helper()
	prefix := networkingv1.PathTypePrefix
	_, err := e.client.NetworkingV1().Ingresses(e.namespace).Create(e.Context(), &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: service},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{
			Host: host,
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: "/", PathType: &prefix,
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: port}},
			}}}},
		}}},
	}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
}
