// SPDX-License-Identifier: Apache-2.0

// Package cluster sets up what is measured, in a namespace of its own on the cluster of test/cluster.
package cluster

import (
	"bytes"
	"context"
	"debug/elf"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"
)

const (
	// Image is that of the benchmark's own program.
	Image = "ghcr.io/kubectl-velo/bench:dev"
	// host is the Ingress's.
	host = "server.bench.test"
	// label is on namespaces of benchmarks.
	label    = "kubectl-velo.github.io/benchmark"
	patience = time.Minute
)

// errDynamic is why a program can't run in a pod that has nothing else.
var errDynamic = errors.New("it needs libraries")

//go:embed objects.yaml
var source string

var objects = template.Must(template.New("objects.yaml").Parse(source))

// A Cluster is a real one, with what is measured on it.
type Cluster struct {
	Namespace string
	// Kubeconfig leads to the API server by its address in the cluster, for those who can reach that.
	Kubeconfig string
	// ServerURL is that of the server's ClusterIP, IngressURL and IngressHost lead there through the Ingress.
	ServerURL, IngressURL, IngressHost string
	// ServerVersion is the cluster's.
	ServerVersion string
}

// Setup deploys what is measured and Services to be intercepted. Dir is for files that are needed as long as the cluster
// is used.
func Setup(ctx context.Context, dir string, intercepted []string) (*Cluster, error) {
	c := &Cluster{Namespace: fmt.Sprintf("velo-bench-%d", os.Getpid()), IngressHost: host}
	if err := c.removeOthers(ctx); err != nil {
		return nil, err
	}
	if err := c.readAddresses(ctx, dir); err != nil {
		return nil, err
	}
	if err := loadImage(ctx, dir); err != nil {
		return nil, err
	}
	var manifest bytes.Buffer
	err := objects.Execute(&manifest, map[string]any{"Image": Image, "Host": host, "Intercepted": intercepted})
	if err != nil {
		return nil, err
	}
	deploy := func() error {
		namespace := fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,"labels":{%q:""}}}`,
			c.Namespace, label)
		if _, err := kubectl(ctx, []byte(namespace), "create", "-f", "-"); err != nil {
			return err
		}
		if _, err := kubectl(ctx, manifest.Bytes(), "create", "-n", c.Namespace, "-f", "-"); err != nil {
			return err
		}
		for _, name := range []string{"server", "origin", "client"} {
			_, err := kubectl(ctx, nil, "rollout", "status", "-n", c.Namespace, "deployment/"+name,
				"--timeout", patience.String())
			if err != nil {
				return err
			}
		}
		url, err := c.ServiceURL(ctx, "server")
		c.ServerURL = url
		return err
	}
	if err := deploy(); err != nil {
		return nil, errors.Join(err, c.Remove(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// Remove removes the namespace. What is in it goes within seconds after.
func (c *Cluster) Remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := kubectl(ctx, nil, "delete", "namespace", c.Namespace, "--ignore-not-found", "--wait=false")
	return err
}

// removeOthers removes what a benchmark has left that was killed. None runs: it would have the line.
func (c *Cluster) removeOthers(ctx context.Context) error {
	_, err := kubectl(ctx, nil, "delete", "namespace", "-l", label, "--wait=false")
	return err
}

// ServiceURL is the URL of a Service's ClusterIP.
func (c *Cluster) ServiceURL(ctx context.Context, name string) (string, error) {
	ip, err := kubectl(ctx, nil, "get", "service", "-n", c.Namespace, name, "-o", "jsonpath={.spec.clusterIP}")
	return "http://" + ip, err
}

// Proxies are the containers of the traffic-proxies there are.
func (c *Cluster) Proxies(ctx context.Context) ([]string, error) {
	out, err := kubectl(ctx, nil, "get", "pods", "-n", c.Namespace, "-l", "app.kubernetes.io/name=traffic-proxy",
		"-o", `jsonpath={range .items[*]}{.status.containerStatuses[0].containerID}{"\n"}{end}`)
	ids := strings.Fields(out)
	for i, id := range ids {
		ids[i] = strings.TrimPrefix(id, "containerd://")
	}
	return ids, err
}

// readAddresses finds out where API server and Ingress are in the cluster, and writes the kubeconfig. The one that we
// have leads there by another way.
func (c *Cluster) readAddresses(ctx context.Context, dir string) error {
	server, err := kubectl(ctx, nil, "get", "endpointslices", "-n", "default", "kubernetes",
		"-o", "jsonpath={.endpoints[0].addresses[0]}:{.ports[0].port}")
	if err != nil {
		return err
	}
	node, err := kubectl(ctx, nil, "get", "nodes",
		"-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
	if err != nil {
		return err
	}
	c.IngressURL = "http://" + node
	config, err := kubectl(ctx, nil, "config", "view", "--raw", "--minify", "--flatten")
	if err != nil {
		return err
	}
	c.Kubeconfig = filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(c.Kubeconfig, []byte(config), 0o600); err != nil {
		return err
	}
	name, err := kubectl(ctx, nil, "--kubeconfig", c.Kubeconfig, "config", "view", "-o", "jsonpath={.clusters[0].name}")
	if err != nil {
		return err
	}
	if _, err = kubectl(ctx, nil, "--kubeconfig", c.Kubeconfig, "config", "set-cluster", name,
		"--server", "https://"+server); err != nil {
		return err
	}
	out, err := kubectl(ctx, nil, "version", "-o", "json")
	if err != nil {
		return err
	}
	var version struct {
		ServerVersion struct {
			GitVersion string `json:"gitVersion"`
		} `json:"serverVersion"`
	}
	err = json.Unmarshal([]byte(out), &version)
	c.ServerVersion = version.ServerVersion.GitVersion
	return err
}

// loadImage puts this program into the cluster.
func loadImage(ctx context.Context, dir string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	binary, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer binary.Close()
	if slices.ContainsFunc(binary.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return fmt.Errorf("%s: %w: build it with CGO_ENABLED=0", program, errDynamic)
	}
	archive := filepath.Join(dir, "bench.tar")
	if _, err := run(ctx, nil, "velo-cluster", "image", "--name", Image, "-o", archive,
		"--file", program+":/bench"); err != nil {
		return err
	}
	_, err = run(ctx, nil, "velo-cluster", "load", archive)
	return err
}

func kubectl(ctx context.Context, stdin []byte, args ...string) (string, error) {
	return run(ctx, stdin, "kubectl", args...)
}

func run(ctx context.Context, stdin []byte, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err,
			strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
