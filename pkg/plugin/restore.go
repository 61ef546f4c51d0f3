// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

type restoreOptions struct {
	all bool

	services []string
	cluster  *cluster
	streams  genericiooptions.IOStreams
}

func newRestoreCommand(kubeconfig *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &restoreOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "restore (svc/NAME... | --all)",
		Short: "Undo what a dead session left",
		Long: templates.LongDesc(`
			Undo the intercepts of Services, whoever made them: put their selectors back as their annotations say, and
			delete their traffic-proxies from the cluster. It needs nothing from the machine that the session ran on. A Service that is not
			intercepted is left as it is.

			A session that is alive loses its Service, too.`),
		Example: templates.Examples(`
			# Undo one intercept
			kubectl velo restore svc/website-container

			# Undo all intercepts of a namespace
			kubectl velo restore --all -n shop`),
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) (err error) {
			o.services, err = serviceNames(args)
			return err
		},
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
	cmd.Flags().BoolVar(&o.all, "all", false, "undo all intercepts of the namespace")
	return cmd
}

func (o *restoreOptions) validate() error {
	switch {
	case o.all && len(o.services) > 0:
		return usageErrorf("name Services or give --all, not both")
	case !o.all && len(o.services) == 0:
		return usageErrorf("name the Services to restore, as svc/NAME, or give --all")
	}
	return nil
}

func (o *restoreOptions) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	report := newReport(o.streams.ErrOut)
	names := o.services
	var problems error
	if o.all {
		var err error
		if names, problems, err = o.left(ctx); err != nil {
			return err
		}
		if len(names) == 0 && problems == nil {
			report.is("nothing to restore in namespace %s", o.cluster.namespace)
		}
	}
	for _, name := range names {
		problems = errors.Join(problems, o.restore(ctx, report, name))
	}
	return problems
}

// left names the Services that are intercepted, or have a traffic-proxy of a session that didn't get so far.
func (o *restoreOptions) left(ctx context.Context) (names []string, problems, err error) {
	list, problems, err := o.cluster.intercepts(ctx, o.cluster.namespace)
	if err != nil {
		return nil, nil, err
	}
	for _, item := range list.Items {
		names = append(names, item.Name)
	}
	staged, err := trafficproxy.List(ctx, o.cluster.client, o.cluster.namespace)
	if err != nil {
		return nil, nil, err
	}
	for _, proxy := range staged {
		if !slices.Contains(names, proxy.Service) {
			names = append(names, proxy.Service)
		}
	}
	return names, problems, nil
}

func (o *restoreOptions) restore(ctx context.Context, report *report, name string) error {
	c := o.cluster
	restored, err := selector.Restore(ctx, c.client.CoreV1().Services(c.namespace), name, "", selector.FieldManager)
	if err != nil {
		err = fmt.Errorf("restoring service %s/%s: %w", c.namespace, name, err)
	}
	gone := apierrors.IsNotFound(err)
	switch {
	case gone: // or it never was; its traffic-proxy tells
	case err != nil:
		return err
	case restored.Edited:
		report.warns("service/%s was given another selector by somebody; that is left as it is", name)
	case restored.Was != nil:
		report.is("service/%s restored: it was intercepted by %s", name, restored.Was.Owner)
	default:
		report.is("service/%s is not intercepted", name)
	}
	staged, listErr := trafficproxy.List(ctx, c.client, c.namespace)
	staged = slices.DeleteFunc(staged, func(proxy trafficproxy.Staged) bool { return proxy.Service != name })
	switch {
	case listErr != nil:
		return errors.Join(err, listErr)
	case gone && len(staged) == 0:
		return err
	case gone:
		report.warns("service/%s doesn't exist any more; there is nothing to restore", name)
	}
	for _, proxy := range staged {
		removing := report.undoing("removing deployment/%s", proxy.Name)
		err := trafficproxy.Delete(ctx, c.client, c.namespace, proxy.Name, proxy.Session)
		removing.ends()
		if err != nil {
			return withHint(err, "run the same command again")
		}
		report.is("deployment/%s removed", proxy.Name)
	}
	return nil
}
