// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// cluster is the one that the kubeconfig and the flags lead to.
type cluster struct {
	config    *rest.Config
	client    kubernetes.Interface
	namespace string
	// context is the kubeconfig's that leads there, or the API server's address if there is none.
	context string
	// flags are those of this call that another command needs to reach the same cluster, ready to be appended to it.
	flags string
}

// Requests per second. Client-go's own limit of 5 would make a session's start wait for itself.
const (
	requestRate  = 50
	requestBurst = 100
)

// connect reads the kubeconfig. It asks nothing of the cluster yet.
func connect(flags *genericclioptions.ConfigFlags) (*cluster, error) {
	loader := flags.ToRawKubeConfigLoader()
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS, config.Burst = requestRate, requestBurst
	// All requests of HTTP/2 share one connection, and when that is dead, as after a sleep, they all wait for it for up to
	// 45 s. Of HTTP/1.1, one that times out takes only its own with it.
	config.NextProtos = []string{"http/1.1"}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	c := &cluster{config: config, client: client, namespace: namespace, context: config.Host}
	if raw, err := loader.RawConfig(); err == nil {
		c.context = cmp.Or(*flags.Context, raw.CurrentContext, c.context)
	}
	if value := *flags.KubeConfig; value != "" {
		c.flags += " --kubeconfig " + value
	}
	if value := *flags.Context; value != "" {
		c.flags += " --context " + value
	}
	return c, nil
}

// restoreCommand is the command that undoes what a dead session left of a Service's intercept.
func (c *cluster) restoreCommand(service string) string {
	return fmt.Sprintf("kubectl velo restore svc/%s -n %s%s", service, c.namespace, c.flags)
}

// serviceNames reads arguments of the form svc/NAME.
func serviceNames(args []string) ([]string, error) {
	names := make([]string, 0, len(args))
	for _, arg := range args {
		kind, name, ok := strings.Cut(arg, "/")
		switch {
		case arg == "":
			return nil, usageErrorf("%q is not of the form svc/NAME", arg)
		case !ok:
			return nil, withHint(usageErrorf("%q is not of the form svc/NAME", arg), "did you mean svc/%s?", arg)
		case kind != "svc" && kind != "service" && kind != "services":
			return nil, usageErrorf("%q is not a Service; want svc/NAME", arg)
		case name == "" || strings.Contains(name, "/"):
			return nil, usageErrorf("%q names no Service; want svc/NAME", arg)
		}
		names = append(names, name)
	}
	return names, nil
}
