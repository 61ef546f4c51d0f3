// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// completions are what completes a command's arguments, and the values of its flags.
type completions struct {
	arguments cobra.CompletionFunc
	flags     map[string]cobra.CompletionFunc
}

// addTo has every command complete. Values that are not named here are free text: nothing is offered for them, and no files.
func (c *completer) addTo(root *cobra.Command, kubeconfig *genericclioptions.ConfigFlags) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	all := c.ofCommands()
	all[root.Name()] = completions{flags: c.ofKubectlFlags(kubeconfig)}
	for _, cmd := range slices.Concat(root.Commands(), []*cobra.Command{root}) {
		of := all[cmd.Name()]
		if cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = of.arguments
		}
		for name, complete := range of.flags {
			_ = cmd.RegisterFlagCompletionFunc(name, complete) // it fails for a flag that isn't there, and a test does then
		}
	}
}

// anyFile leaves it to the shell to offer files.
func anyFile(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// anyDirectory leaves it to the shell to offer directories.
func anyDirectory(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func oneOf(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

func (c *completer) ofCommands() map[string]completions {
	workload := objects(workloadKinds())
	service := objects(kindsCalled("service"))
	container := c.ask(containers)
	return map[string]completions{
		"intercept": {c.ask(first(service)), map[string]cobra.CompletionFunc{
			"port": c.ask(servicePortFlag), "container": container, "env-file": anyFile, "dep": c.ask(hosts),
			"dry-run": oneOf(dryRunNone, dryRunClient, dryRunServer),
		}},
		"run": {c.ask(first(workload)), map[string]cobra.CompletionFunc{
			"container": container, "env-file": anyFile, "dep": c.ask(hosts),
		}},
		"forward": {c.ask(forwardArguments), map[string]cobra.CompletionFunc{
			"address": oneOf("localhost", "127.0.0.1", "::1", "0.0.0.0"), "output": oneOf("json", "yaml"),
		}},
		"env": {c.ask(first(workload)), map[string]cobra.CompletionFunc{
			"container": container, "output": oneOf("dotenv", "shell", "docker", "json", "yaml"),
		}},
		"deps": {c.ask(first(workload)), map[string]cobra.CompletionFunc{
			"output": oneOf("wide", "json", "yaml", "name"),
		}},
		"verify": {c.ask(first(objects(verifyKinds()))), map[string]cobra.CompletionFunc{
			"output": oneOf("table", "short", "json", "yaml"),
		}},
		"status": {flags: map[string]cobra.CompletionFunc{
			"output": oneOf("wide", "json", "yaml", "name"),
		}},
		"restore": {arguments: c.ask(restorable)},
		"version": {flags: map[string]cobra.CompletionFunc{
			"output": oneOf("json", "yaml"),
		}},
	}
}

// ofKubectlFlags are those of the flags that every command takes.
func (c *completer) ofKubectlFlags(kubeconfig *genericclioptions.ConfigFlags) map[string]cobra.CompletionFunc {
	return map[string]cobra.CompletionFunc{
		"namespace": c.ask(namespaces(kubeconfig)),
		"context": ofConfig(kubeconfig, func(config *clientcmdapi.Config) []string {
			return slices.Sorted(maps.Keys(config.Contexts))
		}),
		"cluster": ofConfig(kubeconfig, func(config *clientcmdapi.Config) []string {
			return slices.Sorted(maps.Keys(config.Clusters))
		}),
		"user": ofConfig(kubeconfig, func(config *clientcmdapi.Config) []string {
			return slices.Sorted(maps.Keys(config.AuthInfos))
		}),
		"kubeconfig": anyFile, "certificate-authority": anyFile, "client-certificate": anyFile, "client-key": anyFile,
		"cache-dir": anyDirectory,
	}
}
