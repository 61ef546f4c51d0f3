// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/util/templates"
)

// forwardOptions are those of kubectl velo forward.
type forwardOptions struct {
	// Bound to flags.
	addresses []string
	selector  string
	all       bool
	timeout   time.Duration
	output    string

	// From the arguments.
	targets []targetArgument
	command []string

	// Computed.
	listen  []listenAddress
	cluster *cluster

	kubeconfig *genericclioptions.ConfigFlags
	interrupts *Interrupts
	streams    genericiooptions.IOStreams
}

func newForwardCommand(kubeconfig *genericclioptions.ConfigFlags, interrupts *Interrupts, streams genericiooptions.IOStreams) *cobra.Command {
	o := &forwardOptions{kubeconfig: kubeconfig, interrupts: interrupts, streams: streams}
	cmd := &cobra.Command{
		Use:   "forward (TYPE/NAME [LOCAL:]REMOTE...)... [flags] [-- COMMAND...]",
		Short: "Forward ports of this machine to pods, and go on when pods and connections go",
		Long: templates.LongDesc(`
			Forward ports of this machine to pods, as 'kubectl port-forward' does, with the same arguments and the same
			rights; nothing is created in the cluster. But it goes on: when a pod is deleted, a Deployment rolls out, the API
			server restarts, the machine sleeps or comes into another network, new connections go to another ready pod, to
			which there is a connection already. While there is none, they wait, for up to 30 seconds. What a pod has not
			taken goes to the next one; what was inside a pod that dies is lost, and so is what may have been taken by one,
			but for HTTP requests that are safe to repeat. One client's end, or reset, harms no other.

			New connections go to the ready pod with the fewest, and, of pods with equally few, always to the same. A pod
			that is named itself needn't be ready.

			A connection of a client that doesn't read is kept apart once it has more than 1 MiB to read, so that it stops
			no others. Clients that were there before wait for one that has 32 MiB to read, for up to 10 seconds; then it
			is reset. When a client ends its side, its pod has one more second to answer: container runtimes do that, with
			'kubectl port-forward' too.

			It is a bypass of the way that callers take in production. When it starts and when it ends, it says if that is
			broken, and why, as 'kubectl velo verify' finds it.

			Without COMMAND, it goes on until it is interrupted. With it, COMMAND is started once every port answers, and its
			exit code is passed on; 124 means that not all were ready within --timeout.`),
		Example: templates.Examples(`
			# Port 8080 of this machine to port 80 of a Service
			kubectl velo forward svc/web 8080:80

			# Two Services in one command, one of them at a free port
			kubectl velo forward svc/web 8080:http svc/db :5432

			# Every Service of the namespace, and where they are
			kubectl velo forward --all -o json

			# In a pipeline: the tests' exit code is this command's
			kubectl velo forward deploy/web 8080:80 --timeout 2m -- go test ./...`),
		DisableFlagsInUseLine: true,
		Args:                  o.takeArguments,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := o.validate(); err != nil {
				return err
			}
			if o.cluster, err = connect(kubeconfig); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.addresses, "address", []string{"localhost"}, "`IP`s to listen at, or localhost, comma separated; localhost is 127.0.0.1 and ::1, or the one of them that there is")
	flags.StringVarP(&o.selector, "selector", "l", "", "forward to the pods with these `LABELS`, instead of TYPE/NAME")
	flags.BoolVar(&o.all, "all", false, "forward every TCP port of every Service of the namespace that has pods, to the local port of the same number, or a free one")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "how long everything may take to be ready")
	flags.DurationVar(&o.timeout, "pod-running-timeout", time.Minute, "the same, as kubectl port-forward has it")
	_ = flags.MarkHidden("pod-running-timeout") // it is there
	flags.StringVarP(&o.output, "output", "o", "", "print the addresses once they are ready: `json|yaml`")
	return cmd
}

func (o *forwardOptions) validate() (err error) {
	switch {
	case o.timeout <= 0:
		return usageErrorf("--timeout must be more than 0")
	case !slices.Contains([]string{"", "json", "yaml"}, o.output):
		return usageErrorf("--output %q is neither json nor yaml", o.output)
	}
	if o.listen, err = listenAddresses(o.addresses); err != nil {
		return err
	}
	if len(o.command) > 0 {
		return findProgram(o.command)
	}
	return nil
}

func (o *forwardOptions) run(ctx context.Context) error {
	return notOver(newForwardSession(o).run(ctx))
}
