// SPDX-License-Identifier: Apache-2.0

// Command kube is the Kubernetes of the test cluster in one binary: the name it is started under picks the component.
// One binary is linked instead of five, which saves minutes on a small machine and 400 MB on disk.
// Each component is exactly what its own main upstream is; nothing of Kubernetes is changed.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // version metric
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	command := component(filepath.Base(os.Args[0]))
	if command == nil {
		fmt.Fprintf(os.Stderr, "error: %s is no component: link to this binary as kube-apiserver, "+
			"kube-controller-manager, kube-scheduler, kube-proxy or kubelet\n", os.Args[0])
		os.Exit(2)
	}
	os.Exit(cli.Run(command))
}

// component makes only the command asked for: the components would otherwise register the same flags and metrics.
func component(name string) *cobra.Command {
	switch name {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllermanager.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kube-proxy":
		return proxy.NewProxyCommand()
	case "kubelet":
		// The kubelet sets up its own signal context.
		return kubelet.NewKubeletCommand(context.Background())
	}
	return nil
}
