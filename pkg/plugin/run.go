// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/util/templates"
)

// runOptions are those of kubectl velo run.
type runOptions struct {
	surroundingsOptions
	proxyOptions

	// From the arguments.
	workload string
	command  []string

	// Computed.
	cluster *cluster

	interrupts *Interrupts
	streams    genericiooptions.IOStreams
}

func newRunCommand(kubeconfig *genericclioptions.ConfigFlags, interrupts *Interrupts, streams genericiooptions.IOStreams) *cobra.Command {
	o := &runOptions{interrupts: interrupts, streams: streams}
	cmd := &cobra.Command{
		Use:   "run TYPE/NAME [flags] -- COMMAND...",
		Short: "Run a program on this machine with the environment, files and dependencies of a pod",
		Long: templates.LongDesc(`
			Run a program on this machine as if it ran in a pod: with its container's environment, with the files that
			ConfigMaps, Secrets, the downward API and tokens bring into it, and with ways to the dependencies that those
			name. Nothing in the cluster is intercepted.

			In the namespace it creates a Job of one small pod, the traffic-proxy, that connects to the dependencies by
			their names. It goes when COMMAND ends, and by itself when this machine is gone for longer than --grace.

			Dependencies are Services that the environment, the arguments or the mounted files name with a port: in URLs
			and other connection strings, as host:port, or in pairs such as DB_HOST and DB_PORT. A word that merely equals
			a Service's name is none. Each gets an address of this machine's loopback network and keeps its port, where
			the system allows that, and the environment's values lead there. 'kubectl velo deps TYPE/NAME' shows what is
			found, and where.

			Mounted files stand below the directory that $VELO_ROOT names, with the same paths as in the container; values
			that are such paths lead there. They are kept fresh, and removed at the end.`),
		Example: templates.Examples(`
			# Run a service of your own build in the place of its pod
			kubectl velo run deploy/orders -- ./orders

			# A database of the cluster, from here
			kubectl velo run deploy/orders -- sh -c 'psql "$DATABASE_URL"'

			# A host that the configuration doesn't name, too, and one of its dependencies not
			kubectl velo run deploy/orders --dep metrics.monitoring:9090 --no-dep redis -- ./orders`),
		DisableFlagsInUseLine: true,
		Args:                  o.takeArguments,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := o.validate(); err != nil {
				return err
			}
			if o.cluster, err = connect(kubeconfig); err != nil {
				return err
			}
			s, err := newRunSession(o)
			if err != nil {
				return err
			}
			return s.run(cmd.Context())
		},
	}
	o.surroundingsOptions.addFlags(cmd.Flags())
	o.proxyOptions.addFlags(cmd.Flags(), "ends the traffic-proxy")
	return cmd
}

func (o *runOptions) takeArguments(cmd *cobra.Command, args []string) error {
	dash := cmd.ArgsLenAtDash()
	if dash < 0 || dash == len(args) {
		return usageErrorf("there is no command after --")
	}
	args, o.command = args[:dash], args[dash:]
	switch len(args) {
	case 0:
		return usageErrorf("name what has the container, as TYPE/NAME")
	case 1:
	default:
		return usageErrorf("unexpected argument %q: want one TYPE/NAME, such as deploy/NAME", args[1])
	}
	o.workload = args[0]
	_, _, err := workloadArgument(o.workload)
	return err
}

func (o *runOptions) validate() error {
	if err := o.proxyOptions.validate(); err != nil {
		return err
	}
	if err := o.surroundingsOptions.validate(); err != nil {
		return err
	}
	return findProgram(o.command)
}

// runPermissions are what a session without an intercept takes.
func runPermissions() []permission {
	return []permission{
		{"batch", "jobs", "", "create"},
		{"batch", "jobs", "", "delete"},
		{"", "pods", "", "list"},
		{"", "pods", "", "watch"},
		{"", "pods", "portforward", "create"},
		{"", "services", "", "list"},
	}
}

// lackError says what a user may not do.
func (c *cluster) lackError(what string, lacking []permission) error {
	var b strings.Builder
	for _, p := range lacking {
		b.WriteString("\n  " + p.String())
	}
	return withHint(fmt.Errorf("you may not %s in namespace %s; you lack the permission to:%s", what, c.namespace, b.String()),
		"ask an administrator for the built-in ClusterRole 'edit' in that namespace, or for what 'kubectl velo rbac -n %s' prints", c.namespace)
}

// run runs the COMMAND in its surroundings, and removes everything on every path.
func (s *runSession) run(ctx context.Context) error {
	err := s.start(ctx)
	if err == nil {
		s.report.is("running with the environment of %s/%s; dependencies: %s", s.around.workload.kind, s.around.workload.name, s.around.summary())
		err = s.hold(ctx)
	} else if ctx.Err() != nil {
		err = errors.New("interrupted before the command was started")
	}
	return errors.Join(notOver(err), s.end(ctx))
}

// hold runs the COMMAND to its end.
func (s *runSession) hold(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var goroutines sync.WaitGroup
	defer goroutines.Wait()
	defer stop() // before waiting
	s.around.serve(ctx, &goroutines)
	goroutines.Go(func() { s.answerOthers(ctx) })
	goroutines.Go(func() { s.keep(ctx) })
	defer s.report.shares()()
	return runChild(ctx, s.options.interrupts, s.options.command, s.around.process(), s.options.streams)
}
