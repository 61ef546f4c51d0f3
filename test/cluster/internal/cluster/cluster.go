// SPDX-License-Identifier: Apache-2.0

// Package cluster runs a real single-node Kubernetes as plain processes on one Linux machine, for tests and the demo.
//
// # Where it runs
//
// Everything stands in one network namespace without an uplink, so pod, Service and node addresses never leave it and
// collide with nothing on the machine. The root namespace is the developer's laptop: a relay carries two loopback
// ports from there to the API server and to the Ingress.
//
// # What it leaves on the machine
//
// Runtime state is in RunDir and StateDir, of which there is one per machine; both go on Down. The repository's
// .cluster directory holds what people use (kubeconfig, ingress-url) and what is worth keeping (bin, images, logs).
//
// # What always holds
//
//   - A process is only ever signalled after it was recognised: by its pid and start time, by the network namespace it
//     is in, by the mark in its environment, or by our state directory below its mounts. Never by its name.
//   - Up and Down start from whatever they find: nothing they do relies on an earlier run having ended in order.
//   - The state is thrown away with the cluster, so ending means SIGKILL: one path for the orderly and the crashed.
package cluster

import (
	"fmt"
	"os"
	"path/filepath"
)

// One cluster per machine, so its places are fixed. They are short because paths of unix sockets must be.
const (
	RunDir   = "/run/velo-cluster"
	StateDir = "/var/lib/velo-cluster"
)

// Versions of what is built from source; the go.mod of each directory pins the same.
const (
	KubernetesVersion = "v1.36.3"
	EtcdVersion       = "v3.6.8"
	CoreDNSVersion    = "v1.15.0"
)

const (
	// name is the cluster's name wherever one is needed: network namespace, cgroup, kubeconfig context.
	name = "velo-cluster"
	// nodeName is the one node's name.
	nodeName = "velo"

	// The cluster's addresses mean something only inside its own network namespace.
	nodeIP         = "172.18.0.2"
	nodeCIDR       = "172.18.0.2/16"
	nodeGateway    = "172.18.0.1"
	podCIDR        = "10.244.0.0/16"
	serviceCIDR    = "10.96.0.0/16"
	serviceIP      = "10.96.0.1" // of the Service kubernetes, the first of the range
	dnsIP          = "10.96.0.10"
	apiPort        = 6443
	ingressPort    = 80
	ingressTLSPort = 443

	// Preferred loopback ports on the laptop's side, below the range that outgoing connections take theirs from.
	laptopAPIPort     = 16443
	laptopIngressPort = 18080
)

// A Cluster is the machine's cluster as one clone of the repository sees it.
type Cluster struct {
	repo string // root of the clone
	out  *Steps // progress, on stderr
}

// New returns the cluster for the clone at repo, or, if that is empty, for the clone this program was built into.
func New(repo string, out *Steps) (*Cluster, error) {
	if repo == "" {
		exe, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("finding this program: %w", err)
		}
		// <repo>/.cluster/bin/velo-cluster
		repo = filepath.Dir(filepath.Dir(filepath.Dir(exe)))
	}
	repo, err := filepath.Abs(repo)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(repo, "test", "cluster", "kube", "go.mod")); err != nil {
		return nil, hint(fmt.Errorf("%s is not a clone of kubectl-velo", repo),
			"build this program into the clone's .cluster/bin, or name the clone with --repo")
	}
	return &Cluster{repo: repo, out: out}, nil
}

// Dir is the clone's directory for what the cluster offers and keeps.
func (c *Cluster) Dir() string { return filepath.Join(c.repo, ".cluster") }

// Kubeconfig is the administrator's kubeconfig, usable in any shell of the machine while the cluster runs.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.Dir(), "kubeconfig") }

// IngressURLFile holds the Ingress's address on loopback.
func (c *Cluster) IngressURLFile() string { return filepath.Join(c.Dir(), "ingress-url") }

func (c *Cluster) bin(program string) string    { return filepath.Join(c.Dir(), "bin", program) }
func (c *Cluster) image(file string) string     { return filepath.Join(c.Dir(), "images", file) }
func (c *Cluster) logFile(daemon string) string { return filepath.Join(c.Dir(), "logs", daemon+".log") }

func (c *Cluster) source(dir string) string { return filepath.Join(c.repo, "test", "cluster", dir) }

func runPath(elem ...string) string   { return filepath.Join(append([]string{RunDir}, elem...)...) }
func statePath(elem ...string) string { return filepath.Join(append([]string{StateDir}, elem...)...) }

// A hinted error says what the user can do about it.
type hinted struct {
	error
	hint string
}

func hint(err error, h string) error { return hinted{err, h} }

func (h hinted) Hint() string  { return h.hint }
func (h hinted) Unwrap() error { return h.error }
