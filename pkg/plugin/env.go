// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/cmd/util/podcmd"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/kubectl-velo/kubectl-velo/pkg/environment"
)

// environmentOptions say which environment a process on this machine gets. Commands that start one embed them.
type environmentOptions struct {
	// Bound to flags.
	container        string
	include, exclude []string
	skipUnreadable   bool

	// Computed.
	rules *environment.Rules
}

func (o *environmentOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVarP(&o.container, "container", "c", "", "`NAME` of the container (default the one that kubectl takes)")
	flags.StringArrayVar(&o.include, "env-include", nil, "keep variables whose names match `PATTERN`, such as 'JAVA_*', whatever rule there is for them; may be repeated")
	flags.StringArrayVar(&o.exclude, "env-exclude", nil, "leave out variables whose names match `PATTERN`; may be repeated")
	flags.BoolVar(&o.skipUnreadable, "skip-unreadable", false, "go on without the variables that can't be read, such as those of Secrets that you may not see")
	inGroup(flags, groupEnvironment, "container", "env-include", "env-exclude", "skip-unreadable")
}

func (o *environmentOptions) validate() (err error) {
	if _, err = environment.NewRules(o.include, nil); err != nil {
		return usageErrorf("--env-include: %v", err)
	}
	if o.rules, err = environment.NewRules(o.include, o.exclude); err != nil {
		return usageErrorf("--env-exclude: %v", err)
	}
	return nil
}

// resolve returns the environment that the workload's container has in the cluster, but for what this machine must not
// have. It says what is left out, by name, and what couldn't be read, if that may be skipped.
//
// An error without any variables names everything that stands against it at once: an [environment.MissingError] or an
// [environment.UnreadableError], unless it is the API's, or for a container that isn't there.
func (o *environmentOptions) resolve(ctx context.Context, c *cluster, w *workload, report *report) ([]environment.Variable, error) {
	wrap := func(err error) error { return fmt.Errorf("computing the environment of %s: %w", w, err) }
	container, err := environment.Container(w.pod, o.container)
	if err != nil {
		return nil, wrap(err)
	}
	all, err := environment.Resolve(ctx, environment.NewObjects(c.client.CoreV1(), w.namespace), w.pod, container.Name)
	unreadable, partly := errors.AsType[*environment.UnreadableError](err)
	if err != nil && (!partly || !o.skipUnreadable) {
		return nil, wrap(err)
	}
	if o.container == "" && len(w.pod.Spec.Containers) > 1 && w.pod.Annotations[podcmd.DefaultContainerAnnotationName] == "" {
		report.warns("container %s is taken, of %s; --container takes another", container.Name, podcmd.AllContainerNames(w.pod))
	}
	if w.pod.Name == "" {
		report.warns("%s has no pod that runs: the environment is its pod template's, and what only a pod knows is empty", w)
	}
	if partly {
		for _, one := range unreadable.Unreadable {
			report.warns("going on without %s, which can't be read: %v", one, one.Err)
		}
	}
	kept, left := o.rules.Apply(all)
	if names := worthTelling(all, left); len(names) > 0 {
		report.warns("left out: %s (see 'kubectl velo env --help')", strings.Join(names, ", "))
	}
	return kept, nil
}

// worthTelling names what is left out, but for the links to the API server, which every pod has.
func worthTelling(all []environment.Variable, left []environment.LeftOut) []string {
	var names []string
	for _, one := range left {
		at := slices.IndexFunc(all, func(v environment.Variable) bool { return v.Name == one.Name })
		if all[at].From != "service/kubernetes" {
			names = append(names, one.Name)
		}
	}
	return names
}

// envOptions are those of kubectl velo env.
type envOptions struct {
	environmentOptions

	// Bound to flags.
	output string

	// From the arguments.
	workload string

	// Computed.
	format  environment.Format
	cluster *cluster

	streams genericiooptions.IOStreams
}

func newEnvCommand(kubeconfig *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &envOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "env TYPE/NAME [-c CONTAINER] [-o dotenv|shell|docker|json|yaml] [flags]",
		Short: "Print the environment that a container has in the cluster",
		Long: templates.LongDesc(`
			Print the environment that a container would be started with now, as the kubelet computes it: from its env and
			envFrom, with the ConfigMaps, Secrets, fields, resources and Services they refer to. What the image sets isn't
			known.

			TYPE is pod, deployment, statefulset, daemonset, replicaset, job, cronjob, service, or a short name of one. Of
			several pods it takes the one that has been ready for longest. Where none runs it takes the pod template, and
			what only a pod knows, such as its name, is empty. The pods of an intercepted Service are its own. It reads from
			the cluster and changes nothing there.

			The formats: dotenv for libraries of that name, shell for a shell to source, docker for docker run --env-file,
			json and yaml for one object, name to value. Whatever is written reads back as exactly the same values; what a
			format can't hold is refused.

			What a container needs and a laptop must not have is left out, unless --env-include names it:`) + "\n\n" + rulesHelp(),
		Example: templates.Examples(`
			# The environment of a Deployment's pods
			kubectl velo env deploy/orders

			# Run a program with it
			(eval "$(kubectl velo env deploy/orders -o shell)" && ./orders)

			# That of a sidecar, as JSON, with nothing left out but passwords
			kubectl velo env pod/orders-0 -c sidecar -o json --env-include '*' --env-exclude '*_PASSWORD'`),
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
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *envOptions) addFlags(flags *pflag.FlagSet) {
	o.environmentOptions.addFlags(flags)
	flags.StringVarP(&o.output, "output", "o", string(environment.Dotenv), "output `FORMAT`: dotenv, shell, docker, json or yaml")
}

// rulesHelp lists the rules for what is left out, those of one reason together.
func rulesHelp() string {
	rules := environment.ContainerRules()
	var b strings.Builder
	for i, rule := range rules {
		if i > 0 && rules[i-1].Reason == rule.Reason {
			continue
		}
		b.WriteString(itemMark + rule.Pattern)
		for _, next := range rules[i+1:] {
			if next.Reason != rule.Reason {
				break
			}
			b.WriteString(", " + next.Pattern)
		}
		b.WriteString(": " + rule.Reason + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (o *envOptions) takeArguments(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return usageErrorf("name what has the container, as TYPE/NAME")
	case 1:
		o.workload = args[0]
		_, _, err := workloadArgument(o.workload)
		return err
	default:
		return usageErrorf("unexpected argument %q: want one TYPE/NAME, such as deploy/NAME", args[1])
	}
}

func (o *envOptions) validate() (err error) {
	if o.format, err = environment.ParseFormat(o.output); err != nil {
		return usageErrorf("--output: %v", err)
	}
	return o.environmentOptions.validate()
}

func (o *envOptions) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	report := newReport(o.streams.ErrOut)
	var variables []environment.Variable
	err := report.while(func() error {
		w, err := findWorkload(ctx, o.cluster, o.workload)
		if err != nil {
			return err
		}
		variables, err = o.resolve(ctx, o.cluster, w, report)
		return err
	}, "reading the environment of %s", o.workload)
	if err != nil {
		return err
	}
	return environment.Write(o.streams.Out, o.format, variables)
}
