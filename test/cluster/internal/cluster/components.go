// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"strings"
	"text/template"
)

//go:embed config
var configs embed.FS

const (
	containerdSocket = RunDir + "/containerd.sock"
	etcdURL          = "http://127.0.0.1:2379"

	pauseImage   = "docker.io/kubectl-velo/pause:1"
	coreDNSImage = "docker.io/kubectl-velo/coredns:" + CoreDNSVersion
)

// render fills in a configuration file. All of them see the same names.
func render(file string) ([]byte, error) {
	t, err := template.New(file).Option("missingkey=error").ParseFS(configs, "config/"+file)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]string{
		"Name": name, "Node": nodeName, "Run": RunDir, "State": StateDir, "PKI": statePath("pki"),
		"PodCIDR": podCIDR, "DNSIP": dnsIP, "Containerd": containerdSocket, "CNIBin": cniDir(),
		"PauseImage": pauseImage, "CoreDNSImage": coreDNSImage,
	})
	return out.Bytes(), err
}

// writeConfigs writes the configuration files of the components to where their arguments say.
func writeConfigs() error {
	for file, path := range map[string]string{
		"kubelet.yaml":    statePath("kubelet.yaml"),
		"kube-proxy.yaml": statePath("kube-proxy.yaml"),
		"containerd.toml": statePath("containerd.toml"),
		"pods.conflist":   statePath("cni", "10-pods.conflist"),
	} {
		data, err := render(file)
		if err != nil {
			return err
		}
		if err := writeFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// component describes one daemon by the name of its program; arguments that are not obvious say why.
func (c *Cluster) component(program string, args ...string) *daemon {
	path := c.bin(program)
	if _, err := os.Stat(path); err != nil {
		path = findTool(program) // a package's
	}
	return &daemon{Name: program, Command: append([]string{path}, args...), Log: c.logFile(program)}
}

func (c *Cluster) etcd() *daemon {
	return c.component("etcd",
		"--data-dir="+statePath("etcd"),
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls=http://127.0.0.1:2380",
		"--unsafe-no-fsync", // nothing here outlives the machine's memory
		"--log-level=warn",
	)
}

func (c *Cluster) apiserver() *daemon {
	return c.component("kube-apiserver",
		"--etcd-servers="+etcdURL,
		"--advertise-address="+nodeIP, fmt.Sprintf("--secure-port=%d", apiPort),
		"--service-cluster-ip-range="+serviceCIDR,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--client-ca-file="+pkiPath("ca.crt"),
		"--tls-cert-file="+pkiPath("apiserver.crt"), "--tls-private-key-file="+pkiPath("apiserver.key"),
		"--kubelet-certificate-authority="+pkiPath("ca.crt"),
		"--kubelet-client-certificate="+pkiPath("apiserver-kubelet-client.crt"),
		"--kubelet-client-key="+pkiPath("apiserver-kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP", // the node's name resolves nowhere
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+pkiPath("service-account.pub"),
		"--service-account-signing-key-file="+pkiPath("service-account.key"),
		"--profiling=false",
	)
}

func (c *Cluster) controllerManager() *daemon {
	kubeconfig := pkiPath("kube-controller-manager.conf")
	return c.component("kube-controller-manager",
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--controllers=*,-nodeipam", // pods have their addresses from CNI
		"--use-service-account-credentials=true",
		"--root-ca-file="+pkiPath("ca.crt"),
		"--service-account-private-key-file="+pkiPath("service-account.key"),
		"--leader-elect=false",                       // there is no other, and it survives an API server that is away for long
		"--kube-api-qps=200", "--kube-api-burst=400", // the defaults ration its start to twice the time
		"--profiling=false",
	)
}

func (c *Cluster) scheduler() *daemon {
	kubeconfig := pkiPath("kube-scheduler.conf")
	return c.component("kube-scheduler",
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--leader-elect=false",
		"--profiling=false",
	)
}

func (c *Cluster) kubelet() *daemon {
	return c.component("kubelet",
		"--config="+statePath("kubelet.yaml"), "--kubeconfig="+pkiPath("kubelet.conf"),
		"--hostname-override="+nodeName, "--node-ip="+nodeIP,
		"--root-dir="+statePath("kubelet"), "--cert-dir="+statePath("kubelet", "pki"),
	)
}

func (c *Cluster) proxy() *daemon {
	return c.component("kube-proxy", "--config="+statePath("kube-proxy.yaml"))
}

func (c *Cluster) containerd() *daemon {
	return c.component("containerd", "--config="+statePath("containerd.toml"), "--log-level=warn")
}

// relay carries the laptop's loopback ports into the namespace: listeners that were opened out here, in order.
func (c *Cluster) relay(listeners []*os.File, targets ...string) *daemon {
	d := c.itself("relay", append([]string{"relay", "--"}, targets...)...)
	d.files = listeners
	return d
}

func (c *Cluster) ingress() *daemon {
	return c.itself("ingress", "ingress", "--kubeconfig="+pkiPath("ingress.conf"), "--dir="+runPath("nginx"))
}

// itself describes a daemon that is this very program.
func (c *Cluster) itself(name string, args ...string) *daemon {
	exe, err := os.Executable()
	if err != nil {
		exe = c.bin("velo-cluster")
	}
	// A newer build may have taken its place since it was started.
	exe = strings.TrimSuffix(exe, " (deleted)")
	return &daemon{Name: name, Command: append([]string{exe}, args...), Log: c.logFile(name)}
}
