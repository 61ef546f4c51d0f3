// SPDX-License-Identifier: Apache-2.0

// Package plugin is the commands of kubectl velo, and the session that ties the parts of an intercept together.
//
// Every command is Options, a constructor, Complete, Validate and Run(ctx). Validate asks nothing of the network; a
// command that fails before its first change has changed nothing. Data goes to stdout; status and errors go to stderr.
package plugin

import (
	"context"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
	"k8s.io/kubectl/pkg/util/templates"
)

// Version is the plugin's, and the tag of the traffic-proxy's image that goes with it. Releases set it with
// -ldflags "-X github.com/kubectl-velo/kubectl-velo/pkg/plugin.Version=…".
var Version = "dev" //nolint:gochecknoglobals // the linker sets variables only

// ProxyDigest is the digest of that image, as sha256:…, or "" where only the tag is known. Releases set it with the version:
// they make the image before the plugin. It has the image be the one that was released, whatever becomes of its tag.
var ProxyDigest = "" //nolint:gochecknoglobals // the linker sets variables only

// Main runs the command that args name, writes what is wrong to stderr and returns the exit code. The end of ctx asks
// a session to end in order, which the first of interrupts does; the second asks it to end at once and leave the rest undone.
func Main(ctx context.Context, interrupts *Interrupts, streams genericiooptions.IOStreams, args []string) int {
	// What client-go logs, of watches that begin again for example, is not for users.
	klog.SetLogger(logr.Discard())
	kubeconfig := genericclioptions.NewConfigFlags(true)
	root := newRoot(kubeconfig, interrupts, streams) //nolint:contextcheck // commands take theirs from cobra, which ExecuteContextC gives it
	root.SetArgs(args)
	command, err := root.ExecuteContextC(withWords(ctx, args))
	if err != nil {
		called := &call{args: command.Flags().Args(), kubeconfig: kubeconfig}
		printError(streams.ErrOut, command.CommandPath(), called.hinted(ctx, err))
	}
	return exitCode(err)
}

// NewCommand returns the root of all commands.
func NewCommand(interrupts *Interrupts, streams genericiooptions.IOStreams) *cobra.Command {
	return newRoot(genericclioptions.NewConfigFlags(true), interrupts, streams)
}

func newRoot(kubeconfig *genericclioptions.ConfigFlags, interrupts *Interrupts, streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-velo",
		Short: "Run one service of a Kubernetes application on your own machine",
		Long: templates.LongDesc(`
			Run one service of a Kubernetes application on your own machine while the rest stays in the cluster, both
			sides talking as if nothing had moved. It needs nothing but a kubeconfig.`),
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl velo"},
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(cmd.OutOrStdout(), cmd, helpWidth(streams.Out)) })
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		usage(cmd.OutOrStderr(), cmd, helpWidth(streams.Out))
		return nil
	})
	root.SetHelpCommand(newHelpCommand())
	root.CompletionOptions.DisableDefaultCmd = true
	kubeconfig.AddFlags(root.PersistentFlags())
	root.AddCommand(
		newInterceptCommand(kubeconfig, interrupts, streams),
		newRunCommand(kubeconfig, interrupts, streams),
		newForwardCommand(kubeconfig, interrupts, streams),
		newEnvCommand(kubeconfig, streams),
		newDepsCommand(kubeconfig, streams),
		newVerifyCommand(kubeconfig, streams),
		newStatusCommand(kubeconfig, streams),
		newRestoreCommand(kubeconfig, streams),
		newRBACCommand(kubeconfig, streams),
		newVersionCommand(kubeconfig, streams),
		newCompletionCommand(streams),
	)
	for _, cmd := range root.Commands() {
		cmd.Long = unpadded(cmd.Long)
	}
	root.AddCommand(newTopics()...)
	groupCommands(root)
	newCompleter(kubeconfig).addTo(root, kubeconfig)
	return root
}
