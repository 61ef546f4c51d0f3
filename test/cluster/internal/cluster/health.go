// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// healthTimeout bounds one question to one component.
const healthTimeout = 5 * time.Second

// unhealthy returns nil for a cluster of this clone that runs and answers, and otherwise what is wrong with it.
func (c *Cluster) unhealthy(ctx context.Context) error {
	if ownerDir() != c.Dir() {
		return errors.New("no cluster of this clone is up")
	}
	all, err := daemons()
	if err != nil {
		return err
	}
	for _, d := range all {
		if !d.Process.alive() {
			return fmt.Errorf("%s does not run", d.Name)
		}
	}
	url, err := os.ReadFile(c.IngressURLFile())
	if err != nil {
		return fmt.Errorf("the last up did not come to its end: %w", err)
	}
	return errors.Join(
		c.apiReady(ctx),
		c.kubeletReady(ctx),
		c.nodeReady(ctx),
		ingressAnswers(ctx, strings.TrimSpace(string(url))),
	)
}

// restConfig is the administrator's access, by the kubeconfig that everybody uses.
func (c *Cluster) restConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, err
	}
	config.Timeout = healthTimeout
	return config, nil
}

func (c *Cluster) client() (kubernetes.Interface, error) {
	config, err := c.restConfig()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

func (c *Cluster) apiReady(ctx context.Context) error { return c.get(ctx, "/readyz") }

// kubeletReady asks the kubelet itself, on the way that logs and port-forwards take.
func (c *Cluster) kubeletReady(ctx context.Context) error {
	return c.get(ctx, "/api/v1/nodes/"+nodeName+"/proxy/healthz")
}

func (c *Cluster) get(ctx context.Context, path string) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return client.Discovery().RESTClient().Get().AbsPath(path).Do(ctx).Error()
}

func (c *Cluster) nodeReady(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	node, err := client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			if condition.Status == corev1.ConditionTrue {
				return nil
			}
			return fmt.Errorf("node %s is not ready: %s", nodeName, condition.Message)
		}
	}
	return fmt.Errorf("node %s does not say whether it is ready", nodeName)
}

// defaultAccount tells whether pods can be created: they run as their namespace's default account.
func (c *Cluster) defaultAccount(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	_, err = client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
	return err
}

// ingressAnswers tells whether nginx answers at all: what, is the Ingresses' business.
func ingressAnswers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// podTroubles says of a namespace's pods how far they came and what last went wrong, for an error message.
func (c *Cluster) podTroubles(ctx context.Context, namespace string) string {
	client, err := c.client()
	if err != nil {
		return err.Error()
	}
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	events, err := client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "type=Warning"})
	if err != nil {
		return err.Error()
	}
	var out strings.Builder
	for _, p := range pods.Items {
		fmt.Fprintf(&out, "  pod %s is %s\n", p.Name, p.Status.Phase)
	}
	for _, e := range events.Items {
		fmt.Fprintf(&out, "  %s %s: %s\n", e.InvolvedObject.Name, e.Reason, e.Message)
	}
	return out.String()
}

func containerdReady(ctx context.Context) error {
	// The images service answers once the plugins it needs are loaded.
	return run(ctr(ctx, "images", "list", "-q"))
}

// Resolve asks a DNS server for a name until it answers or ctx ends.
func Resolve(ctx context.Context, server, host string) error {
	resolver := net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return new(net.Dialer).DialContext(ctx, network, server)
		},
	}
	return await(ctx, "an answer for "+host+" from "+server, time.Minute, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := resolver.LookupHost(ctx, host)
		return err
	})
}
