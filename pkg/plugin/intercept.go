// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/util/templates"
)

// interceptOptions are those of kubectl velo intercept.
type interceptOptions struct {
	surroundingsOptions
	proxyOptions

	// Bound to flags.
	ports    []string
	ttl      time.Duration
	takeOver bool
	reassert bool
	dryRun   string

	// From the arguments.
	service string
	command []string

	// Computed.
	portFlags []portFlag
	cluster   *cluster

	interrupts *Interrupts
	streams    genericiooptions.IOStreams
}

func newInterceptCommand(kubeconfig *genericclioptions.ConfigFlags, interrupts *Interrupts, streams genericiooptions.IOStreams) *cobra.Command {
	o := &interceptOptions{interrupts: interrupts, streams: streams}
	cmd := &cobra.Command{
		Use:   "intercept svc/NAME [--port LOCAL:REMOTE]... [flags] [-- COMMAND...]",
		Short: "Let requests to a Service reach a process on this machine",
		Long: templates.LongDesc(`
			Let requests to a Service in the cluster reach a process on this machine, until Ctrl-C, until COMMAND ends or
			until the time given with --ttl is over.

			In the Service's namespace it creates a traffic-proxy (a Deployment of one small pod, and a Service that leads
			to the original pods) and points the Service's selector at it. Ending, it puts the selector back and deletes
			what it created. Ports that are not named by --port go on to the original pods, and so does everything while
			the traffic-proxy has no session.

			--port LOCAL:REMOTE reads as in kubectl port-forward: LOCAL is a port of this machine, REMOTE one of the
			Service's ports by number, by name, or by its target port. A number alone is both. A name alone, and every
			port of the Service without --port, comes to the local port of the same number as its container port.

			COMMAND gets the environment and files of a pod of the Service, and ways to its dependencies, as 'kubectl velo
			run' gives them. So does a process that you start yourself with what --env-file has written. Without either,
			none of that is read.`),
		Example: templates.Examples(`
			# Requests to the Service's container port 21458 reach localhost:3002
			kubectl velo intercept svc/website-container --port 3002:21458

			# The same, for as long as a program runs
			kubectl velo intercept svc/website-container --port 3002:21458 -- ./website

			# Every port of the Service, at most for an hour, with an environment for a debugger to read
			kubectl velo intercept svc/orders --ttl 1h --env-file .env

			# What it would create and change, checked by the API server
			kubectl velo intercept svc/orders --dry-run=server`),
		DisableFlagsInUseLine: true,
		Args:                  o.takeArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			if err := o.complete(kubeconfig); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	o.surroundingsOptions.addFlags(flags)
	o.proxyOptions.addFlags(flags, "restores the Service")
	flags.StringArrayVar(&o.ports, "port", nil, "`LOCAL:REMOTE`: a local port for one of the Service's ports; may be repeated")
	flags.BoolVar(&o.takeOver, "take-over", false, "end the session that intercepts the Service, if there is one, and take its place")
	flags.BoolVar(&o.reassert, "reassert", false, "intercept again when somebody else changes the Service's selector, instead of pausing")
	flags.DurationVar(&o.ttl, "ttl", 0, "end by itself after this time (default never)")
	flags.StringVar(&o.dryRun, "dry-run", dryRunNone, `must be "none", "server" or "client": with client, print what would be created and changed; with server, have the API server check it without keeping it`)
	return cmd
}

func (o *interceptOptions) takeArguments(cmd *cobra.Command, args []string) error {
	if !slices.Contains([]string{dryRunNone, dryRunClient, dryRunServer}, o.dryRun) { // it may have taken a flag for its value
		return usageErrorf("--dry-run %q is none of %s, %s, %s", o.dryRun, dryRunNone, dryRunServer, dryRunClient)
	}
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		args, o.command = args[:dash], args[dash:]
		if len(o.command) == 0 {
			return usageErrorf("there is no command after --")
		}
	}
	switch len(args) {
	case 0:
		return usageErrorf("name the Service to intercept, as svc/NAME")
	case 1:
	default:
		return unexpectedArgument(args[1])
	}
	names, err := serviceNames(args)
	if err != nil {
		return err
	}
	o.service = names[0]
	return nil
}

// unexpectedArgument says what may have been meant with an argument after the Service.
func unexpectedArgument(arg string) error {
	err := usageErrorf("unexpected argument %q: one Service is intercepted at a time", arg)
	if local, _, _ := strings.Cut(arg, ":"); strings.Trim(local, "0123456789") == "" {
		if _, invalid := parsePortFlag(arg); invalid == nil {
			return withHint(err, "did you mean --port %s?", arg)
		}
	}
	if strings.Contains(arg, "/") && !strings.ContainsAny(arg[:1], "./") {
		return err
	}
	return withHint(err, "put a command after --, as in 'kubectl velo intercept svc/NAME -- COMMAND'")
}

func (o *interceptOptions) validate() error {
	if err := o.proxyOptions.validate(); err != nil {
		return err
	}
	if o.ttl < 0 {
		return usageErrorf("--ttl can't be less than 0")
	}
	local := make(map[uint16]bool)
	for _, value := range o.ports {
		p, err := parsePortFlag(value)
		if err != nil {
			return err
		}
		if p.local != 0 && local[p.local] {
			return usageErrorf("--port gives local port %d twice", p.local)
		}
		local[p.local] = true
		o.portFlags = append(o.portFlags, p)
	}
	if err := o.surroundingsOptions.validate(); err != nil {
		return err
	}
	if len(o.command) > 0 {
		return findProgram(o.command)
	}
	return nil
}

// surrounded reports whether a process on this machine is given what its pod has: one that the session starts, or one that
// its user does with what the session has written.
func (o *interceptOptions) surrounded() bool {
	return len(o.command) > 0 || o.envFile != "" || len(o.add) > 0
}

func (o *interceptOptions) complete(kubeconfig *genericclioptions.ConfigFlags) (err error) {
	o.cluster, err = connect(kubeconfig)
	return err
}

func (o *interceptOptions) run(ctx context.Context) error {
	s, err := newSession(o)
	if err != nil {
		return err
	}
	if o.dryRun != dryRunNone {
		return s.dryRun(ctx)
	}
	return s.run(ctx)
}
