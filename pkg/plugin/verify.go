// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/kubectl-velo/kubectl-velo/pkg/pathcheck"
)

// verifyEvery is how often --watch and --wait look again.
const verifyEvery = 2 * time.Second

type verifyOptions struct {
	// Bound to flags.
	output  string
	watch   bool
	wait    time.Duration
	path    string
	headers []string
	expect  []string

	// Computed.
	target  pathcheck.Target
	request pathcheck.Request
	// flags are those that commands in hints need to reach the same cluster.
	flags string

	check   func(context.Context, pathcheck.Target) (*pathcheck.Report, error)
	streams genericiooptions.IOStreams
}

func newVerifyCommand(kubeconfig *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &verifyOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "verify (svc/NAME | ingress/NAME | httproute/NAME) [-w | --wait DURATION] [-o table|short|json|yaml]",
		Short: "Check whether traffic flows the real way to a Service",
		Long: templates.LongDesc(`
			Check whether traffic flows the way that it takes in production: through the Ingress, HTTPRoute, load balancer
			or node port, through the Service, to a process in a pod. For a Service, all that leads to it is checked; for an
			Ingress or HTTPRoute, all that it leads to. It changes nothing in the cluster.

			What the objects say is compared with each other first: classes, hosts, certificates, backends, selectors,
			readiness, ports, EndpointSlices, NetworkPolicies, what a dead intercept left. Then requests are sent: to the
			real front from here, and to the Service and one of its pods through the API server and over a port-forward,
			so that it shows which hop breaks. Ports that don't look like HTTP are asked for a connection only.

			√ holds, ‼ is to be known about, × is broken, and ? could not be looked at, for want of a right or because it
			can't be reached from here: that is never taken for good. The exit code is 1 if something is broken.

			A request has an answer if its status is below 500, or what --expect-status says. With --header, an Ingress is
			asked only if its certificate is trusted here; Authorization is not sent through the API server, which would
			take it for its own. -o short prints what isn't well, in one line each.`),
		Example: templates.Examples(`
			# All that leads to a Service
			kubectl velo verify svc/website-container

			# In a pipeline: wait until it is well, for two minutes at most
			kubectl velo verify ingress/website --wait 2m --path /healthz --expect-status 200 -o short`),
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) (err error) {
			switch {
			case len(args) == 0:
				return usageErrorf("name what to verify, as svc/NAME, ingress/NAME or httproute/NAME")
			case len(args) > 1:
				return usageErrorf("unexpected argument %q: one Service, Ingress or HTTPRoute is verified at a time", args[1])
			}
			o.target, err = verifyTarget(args[0])
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
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "", "output format: `table|short|json|yaml`")
	flags.BoolVarP(&o.watch, "watch", "w", false, "after printing it, print it again when it changes, until interrupted")
	flags.DurationVar(&o.wait, "wait", 0, "wait until nothing is broken or without an address, for this `DURATION` at most")
	flags.StringVar(&o.path, "path", "", "`PATH` to send requests to; by default an Ingress's own and / for a Service")
	flags.StringArrayVar(&o.headers, "header", nil, "`NAME:VALUE` of a header to send; may be repeated")
	flags.StringSliceVar(&o.expect, "expect-status", nil,
		"status `CODE` that is good, or CODE-CODE; may be repeated (default all below 500)")
	inGroup(flags, groupRequest, "path", "header", "expect-status")
	return cmd
}

// verifyKinds are the types of what can be verified.
func verifyKinds() []workloadKind {
	return []workloadKind{
		{pathcheck.KindService, "services", "svc", ""},
		{pathcheck.KindIngress, "ingresses", "ing", networkingv1.GroupName},
		{pathcheck.KindHTTPRoute, "httproutes", "", "gateway.networking.k8s.io"},
	}
}

// verifyTarget reads an argument of the form TYPE/NAME.
func verifyTarget(arg string) (pathcheck.Target, error) {
	typ, name, ok := strings.Cut(arg, "/")
	if !ok || typ == "" || name == "" || strings.Contains(name, "/") {
		return pathcheck.Target{}, usageErrorf("%q is not of the form TYPE/NAME; want svc/NAME, ingress/NAME or httproute/NAME", arg)
	}
	for _, kind := range verifyKinds() {
		if kind.isCalled(typ) {
			return pathcheck.Target{Kind: kind.singular, Name: name}, nil
		}
	}
	return pathcheck.Target{}, usageErrorf(
		"%q is neither a Service nor an Ingress nor an HTTPRoute; want svc/NAME, ingress/NAME or httproute/NAME", arg)
}

func (o *verifyOptions) validate() error {
	switch {
	case !slices.Contains([]string{"", "table", "short", "json", "yaml"}, o.output):
		return usageErrorf("--output %q is none of table, short, json, yaml", o.output)
	case o.wait < 0:
		return usageErrorf("--wait %v is in the past", o.wait)
	case o.watch && o.wait > 0:
		return usageErrorf("--watch goes on, and --wait ends: give one of them")
	}
	if o.path != "" {
		if u, err := url.ParseRequestURI(o.path); err != nil || !strings.HasPrefix(o.path, "/") || u.Host != "" {
			return usageErrorf("--path %q is no path: want one such as /healthz", o.path)
		}
	}
	o.request = pathcheck.Request{Path: o.path, Header: make(http.Header)}
	for _, header := range o.headers {
		name, value, ok := strings.Cut(header, ":")
		value = strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n") || strings.ContainsAny(value, "\r\n") {
			return usageErrorf("--header: want NAME:VALUE, such as Accept:text/html") // what is wrong with it may be a secret
		}
		o.request.Header.Add(name, value)
	}
	for _, value := range o.expect {
		status, err := parseStatus(value)
		if err != nil {
			return err
		}
		o.request.Expect = append(o.request.Expect, status)
	}
	return nil
}

// parseStatus reads CODE or CODE-CODE.
func parseStatus(value string) (pathcheck.StatusRange, error) {
	const least, most = 100, 599
	from, to, isRange := strings.Cut(value, "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || first < least || last > most || first > last {
		return pathcheck.StatusRange{}, usageErrorf(
			"--expect-status %q: want a status code such as 200, or a range such as 200-299", value)
	}
	return pathcheck.StatusRange{From: first, To: last}, nil
}

func (o *verifyOptions) complete(kubeconfig *genericclioptions.ConfigFlags) error {
	c, err := connect(kubeconfig)
	if err != nil {
		return err
	}
	checker, err := pathcheck.New(c.config, c.client)
	if err != nil {
		return err
	}
	checker.Request = o.request
	o.target.Namespace, o.flags, o.check = c.namespace, c.flags, checker.Check
	return nil
}

func (o *verifyOptions) run(ctx context.Context) error {
	switch {
	case o.watch:
		return o.runWatch(ctx)
	case o.wait > 0:
		return o.runWait(ctx)
	}
	looking := newReport(o.streams.ErrOut).during("checking the way to %s", o.target)
	report, err := o.look(ctx)
	looking.ends()
	if err != nil {
		return err
	}
	if err := o.print(report); err != nil {
		return err
	}
	return brokenError(report)
}

// look checks once.
func (o *verifyOptions) look(ctx context.Context) (*pathcheck.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	report, err := o.check(ctx, o.target)
	if apierrors.IsForbidden(err) {
		err = withHint(err, "ask an administrator for what 'kubectl velo rbac -n %s' prints", o.target.Namespace)
	}
	return report, err
}

// brokenError says how much is broken. What it is, has been printed.
func brokenError(report *pathcheck.Report) error {
	switch broken := len(report.Broken()); {
	case broken == 0:
		return nil
	case len(report.Paths) == 1:
		return fmt.Errorf("the path of %s is broken", report.Target)
	default:
		verb := "are"
		if broken == 1 {
			verb = "is"
		}
		return fmt.Errorf("%d of %d paths of %s %s broken", broken, len(report.Paths), report.Target, verb)
	}
}

// runWatch prints what changes until ctx ends, which is what it is meant to end by. It outlives an API server that restarts.
func (o *verifyOptions) runWatch(ctx context.Context) error {
	ticker := time.NewTicker(verifyEvery)
	defer ticker.Stop()
	said := newReport(o.streams.ErrOut)
	var last *pathcheck.Report
	for {
		report, err := o.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (last == nil || !mayPass(err, true)):
			return err
		case err != nil:
			said.warnsOnce("%v", err)
		case !reflect.DeepEqual(report, last):
			if last != nil && o.output != "json" && o.output != "yaml" {
				fmt.Fprintln(o.streams.Out)
			}
			if err := o.print(report); err != nil {
				return err
			}
			last = report
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// runWait looks until nothing is broken, and every front has an address. What it waits for, it says on stderr, each thing
// once.
func (o *verifyOptions) runWait(ctx context.Context) error {
	waiting, cancel := context.WithTimeoutCause(ctx, o.wait, errTimeout)
	defer cancel()
	ticker := time.NewTicker(verifyEvery)
	defer ticker.Stop()
	said := newReport(o.streams.ErrOut)
	waits := said.spinning("waiting for %s to be well", o.target)
	defer waits.ends()
	var last *pathcheck.Report
	var lastErr error
	reached := false
	for {
		report, err := o.look(waiting)
		switch {
		case waiting.Err() != nil:
		case err != nil && !mayPass(err, reached):
			return err
		case err != nil:
			reached = reached || apierrors.IsNotFound(err)
			last, lastErr = nil, err
			said.beginsOnce("waiting: %v", err)
		default:
			reached, last, lastErr = true, report, nil
			pending := append(report.Broken(), unaddressed(report)...)
			for _, line := range pending {
				said.beginsOnce("waiting: %s", line)
			}
			if len(pending) == 0 {
				waits.ends()
				return o.print(report)
			}
		}
		select {
		case <-waiting.Done():
			waits.ends()
			return o.waitedFor(waiting, last, lastErr)
		case <-ticker.C:
		}
	}
}

// unaddressed says which fronts have no address yet: nobody can have called them.
func unaddressed(report *pathcheck.Report) []string {
	var lines []string
	for i := range report.Paths {
		for _, hop := range report.Paths[i].Hops {
			if hop.Check == pathcheck.CheckAddress && hop.State == pathcheck.Warning {
				lines = append(lines, hop.Object.String()+": "+hop.Message)
			}
		}
	}
	return lines
}

// waitedFor says what was still broken when the time was up.
func (o *verifyOptions) waitedFor(ctx context.Context, last *pathcheck.Report, lastErr error) error {
	err := fmt.Errorf("waiting for %s: %w", o.target, context.Cause(ctx))
	if lastErr != nil {
		err = fmt.Errorf("%w: %w", err, lastErr)
	}
	if last == nil {
		return err
	}
	return errors.Join(o.print(last), err)
}

// mayPass reports whether an error may be gone after a while: what is waited for isn't there yet, the API server is busy, or
// it was reached before and isn't now.
func mayPass(err error, reached bool) bool {
	answered := errors.As(err, new(apierrors.APIStatus))
	return reached && !answered || apierrors.IsNotFound(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded)
}
