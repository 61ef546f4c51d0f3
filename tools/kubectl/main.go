// SPDX-License-Identifier: Apache-2.0

// Command kubectl is kubectl of the newest release, from its published module, for the tests and the demo of a plugin
// that needs one: nothing is added and nothing left out.
//
// The release is told to it at build time, as it is upstream:
//
//	go build -C tools/kubectl -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2" -o DIR/kubectl .
//
// Then `kubectl version --client` says v1.37.2 (kubectl's module counts v0.37.2).
package main

import (
	"os"

	_ "k8s.io/client-go/plugin/pkg/client/auth" // the credential plugins kubeconfigs may name
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	// What is logged while the command is put together (plugins, kuberc) must already heed -v.
	_, _ = logs.GlogSetter(cmd.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err) // prints as kubectl does, and exits
	}
}
