// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/kubectl-velo/kubectl-velo/pkg/dependency"
	"github.com/kubectl-velo/kubectl-velo/pkg/livesession"
)

// watchEvery is how often --watch asks the sessions.
const watchEvery = time.Second

type depsOptions struct {
	allNamespaces bool
	output        string
	noHeaders     bool
	watch         bool

	target string // TYPE/NAME, or "" for the running sessions
	// Of the sessions, only those of this namespace and context are wanted, unless they are "".
	namespace, context string

	// list asks the running sessions, and find says what a session of TYPE/NAME would forward.
	list    func(ctx context.Context) ([]livesession.Session, []error)
	find    func(ctx context.Context, arg string) ([]dependency.Dependency, error)
	streams genericiooptions.IOStreams
}

func newDepsCommand(kubeconfig *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &depsOptions{streams: streams, list: livesession.List}
	cmd := &cobra.Command{
		Use:   "deps [TYPE/NAME] [-n NAMESPACE | -A] [-w] [-o wide|json|yaml|name]",
		Short: "List the dependencies that running sessions forward",
		Long: templates.LongDesc(`
			List the dependencies that are forwarded to this machine, with their local addresses and what goes through
			them. They are those of all your sessions that run on this machine; with -n, of those that intercept or run
			something in that namespace; with --context, of those that were given that context. The sessions themselves
			are asked: no cluster is, and none has to be there.

			With TYPE/NAME, list what a session of that workload would forward, and which piece of its configuration says
			so. That asks the cluster and changes nothing.

			SENT and RECEIVED are bytes since the session began, as 900B, 1.5Ki or 20Mi, rounded down. With -w, what has
			changed is listed again, the round-trip time aside, as it always does; a dependency whose session has ended is
			listed a last time with the state "ended". With -w and -o json or yaml, each change is a document of its own.
			-o name prints HOST:PORT, as --dep and --no-dep take it.`),
		Example: templates.Examples(`
			# What do my sessions forward, and to where
			kubectl velo deps

			# Follow it, with reasons and all evidence
			kubectl velo deps -w -o wide

			# What would be forwarded for a Deployment
			kubectl velo deps deploy/website`),
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageErrorf("unexpected argument %q: one workload is looked at at a time", args[1])
			}
			o.target = ""
			if len(args) == 0 {
				return nil
			}
			o.target = args[0]
			_, _, err := workloadArgument(o.target)
			return err
		},
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
	cmd.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "list sessions of all namespaces, and the dependencies' namespaces")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "output format: `wide|json|yaml|name`")
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "leave the table's headers out")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "after listing them, list what changes, until interrupted")
	return cmd
}

func (o *depsOptions) validate() error {
	switch {
	case !slices.Contains([]string{"", "wide", "json", "yaml", "name"}, o.output):
		return usageErrorf("--output %q is none of wide, json, yaml, name", o.output)
	case o.target != "" && o.allNamespaces:
		return usageErrorf("%s is in one namespace: name it with -n instead of -A", o.target)
	case o.target != "" && o.watch:
		return usageErrorf("--watch is for running sessions: leave %s out", o.target)
	}
	return nil
}

// complete needs a kubeconfig for TYPE/NAME only.
func (o *depsOptions) complete(kubeconfig *genericclioptions.ConfigFlags) error {
	if o.target == "" {
		o.context = *kubeconfig.Context
		if !o.allNamespaces {
			o.namespace = *kubeconfig.Namespace
		}
		return nil
	}
	c, err := connect(kubeconfig)
	if err != nil {
		return err
	}
	o.namespace = c.namespace
	o.find = func(ctx context.Context, arg string) ([]dependency.Dependency, error) {
		return c.wouldForward(ctx, arg, newReport(o.streams.ErrOut))
	}
	return nil
}

func (o *depsOptions) run(ctx context.Context) error {
	switch {
	case o.target != "":
		return o.runFind(ctx)
	case o.watch:
		return o.runWatch(ctx)
	}
	rows, problems, err := o.running(ctx)
	if err != nil {
		return err
	}
	report := newReport(o.streams.ErrOut)
	for _, problem := range problems {
		report.warns("%v", problem)
	}
	if len(rows.Items) == 0 && len(problems) == 0 {
		if err := o.sayNone(rows.none, rows.hint); err != nil {
			return err
		}
	}
	return o.printer().list(rows.DependencyList)
}

func (o *depsOptions) runFind(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	report := newReport(o.streams.ErrOut)
	var found []dependency.Dependency
	err := report.while(func() (err error) {
		found, err = o.find(ctx, o.target)
		return err
	}, "looking for dependencies of %s", o.target)
	if err != nil {
		return err
	}
	list := newDependencyList(len(found))
	for i := range found {
		item := listedFound(&found[i])
		list.Items = append(list.Items, item)
		for _, note := range item.Notes {
			report.warns("%s: %s", item.hostPort(), note)
		}
	}
	if len(list.Items) == 0 {
		if err := o.sayNone(fmt.Sprintf("No dependencies of %s found in %s namespace", o.target, o.namespace), ""); err != nil {
			return err
		}
	}
	return o.printer().list(list)
}

// sayNone says why a table is empty. Other formats say it themselves.
func (o *depsOptions) sayNone(why, hint string) error {
	if o.output == "" || o.output == "wide" {
		return sayNone(o.streams, why, hint)
	}
	return nil
}

// runningDependencies are those of the running sessions. If there are none, it says why, and maybe what to do instead.
type runningDependencies struct {
	*DependencyList

	none, hint string
}

// running asks the sessions. Problems are of single sessions.
func (o *depsOptions) running(ctx context.Context) (rows runningDependencies, problems []*livesession.SessionError, err error) {
	sessions, errs := o.list(ctx)
	if ctx.Err() != nil {
		return rows, nil, ctx.Err()
	}
	for _, err := range errs {
		problem, ok := errors.AsType[*livesession.SessionError](err)
		if !ok {
			return rows, nil, err
		}
		problems = append(problems, problem)
	}
	where := " found on this machine"
	if o.namespace != "" {
		where = " found in " + o.namespace + " namespace on this machine"
	}
	if o.context != "" {
		where = " of context " + o.context + where
	}
	rows = runningDependencies{newDependencyList(0), "No running sessions" + where, ""}
	if o.namespace == "" && o.context == "" {
		rows.hint = "'kubectl velo deps TYPE/NAME' lists what a session would forward"
	}
	for i := range sessions {
		session := &sessions[i]
		if o.namespace != "" && session.Namespace != o.namespace || o.context != "" && session.Context != o.context {
			continue
		}
		rows.none, rows.hint = "No dependencies of the running sessions"+where, ""
		for j := range session.Dependencies {
			rows.Items = append(rows.Items, listedRunning(session, &session.Dependencies[j]))
		}
	}
	return rows, problems, nil
}

// runWatch lists what changes until ctx ends, which is what it is meant to end by.
func (o *depsOptions) runWatch(ctx context.Context) error {
	printer := o.printer()
	w := &dependencyWatch{shown: printer.shown}
	report := newReport(o.streams.ErrOut)
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for first := true; ; first = false {
		rows, problems, err := o.running(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if first && len(rows.Items) == 0 && len(problems) == 0 {
			if err := o.sayNone(rows.none, rows.hint); err != nil {
				return err
			}
		}
		for _, problem := range w.news(problems) {
			report.warns("%v", problem)
		}
		if err := printer.changes(w.changes(rows.Items)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// dependencyWatch knows what was listed last.
type dependencyWatch struct {
	// shown is what one sees of a row.
	shown func(*Dependency) string
	last  []Dependency
	// troubled are the sessions that didn't answer last time, and why. Their dependencies are as they were.
	troubled map[string]string
}

// news returns the problems that are not those of last time. It comes before changes.
func (w *dependencyWatch) news(problems []*livesession.SessionError) []error {
	var news []error
	troubled := make(map[string]string, len(problems))
	for _, problem := range problems {
		troubled[problem.ID] = problem.Error()
		if w.troubled[problem.ID] != problem.Error() {
			news = append(news, problem)
		}
	}
	w.troubled = troubled
	return news
}

// changes returns the rows that look different from last time, and then those that are gone.
func (w *dependencyWatch) changes(rows []Dependency) []Dependency {
	type key struct {
		session, name, protocol string
		port                    uint16
	}
	keyOf := func(d *Dependency) key { return key{d.Session, d.Name, d.Protocol, d.Port} }
	before := make(map[key]string, len(w.last))
	for i := range w.last {
		before[keyOf(&w.last[i])] = w.shown(&w.last[i])
	}
	var changed []Dependency
	now := make(map[key]bool, len(rows))
	for i := range rows {
		k := keyOf(&rows[i])
		now[k] = true
		if was, ok := before[k]; !ok || was != w.shown(&rows[i]) {
			changed = append(changed, rows[i])
		}
	}
	last := slices.Clone(rows)
	for _, d := range w.last {
		if now[keyOf(&d)] {
			continue
		}
		if w.troubled[d.Session] != "" {
			last = append(last, d)
			continue
		}
		d.State, d.Reason, d.Connections = stateEnded, "", new(int64)
		changed = append(changed, d)
	}
	w.last = last
	return changed
}
