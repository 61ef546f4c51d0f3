// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// lookTimeout bounds commands that look at the cluster, or change it once.
const lookTimeout = time.Minute

// InterceptList is what kubectl velo status prints with -o json or yaml. Its field names are interface.
type InterceptList struct {
	metav1.TypeMeta `json:",inline"`

	Items []Intercept `json:"items"`
}

// Intercept is one intercepted Service, as its annotation tells.
type Intercept struct {
	// Name and Namespace are the Service's.
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Owner runs the session, as user@host.
	Owner string `json:"owner"`
	// Session is its ID.
	Session string `json:"session"`
	// Since is when the intercept began, Expires when it ends by itself, if it does.
	Since   metav1.Time  `json:"since"`
	Expires *metav1.Time `json:"expires,omitempty"`
	// Proxy is the name of the traffic-proxy's Deployment.
	Proxy string `json:"proxy"`
	// Selector is what the Service's selector will be again.
	Selector map[string]string `json:"selector"`
}

// ends says when the intercept ends by itself, for people. One that should have ended already was left by a dead session.
func (i *Intercept) ends() string {
	if i.Expires == nil {
		return "never"
	}
	left := time.Until(i.Expires.Time)
	if left < 0 {
		return duration.HumanDuration(-left) + " ago"
	}
	return "in " + duration.HumanDuration(left)
}

// DeepCopyObject makes InterceptList a runtime.Object, which the printers want.
func (l *InterceptList) DeepCopyObject() runtime.Object {
	dup := &InterceptList{TypeMeta: l.TypeMeta, Items: slices.Clone(l.Items)}
	for i := range dup.Items {
		item := &dup.Items[i]
		item.Expires = item.Expires.DeepCopy()
		item.Selector = maps.Clone(item.Selector)
	}
	return dup
}

// outputGroup is the API group of what commands print.
var outputGroup = schema.GroupVersion{Group: "kubectl-velo.github.io", Version: "v1alpha1"} //nolint:gochecknoglobals // a constant

type statusOptions struct {
	allNamespaces bool
	output        string
	noHeaders     bool

	cluster *cluster
	streams genericiooptions.IOStreams
}

func newStatusCommand(kubeconfig *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &statusOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "status [-A] [-o wide|json|yaml|name]",
		Short: "List the intercepted Services, whoever intercepts them",
		Long: templates.LongDesc(`
			List the intercepted Services of a namespace, or of all, with who intercepts them and since when. It reads the
			Services' annotations and changes nothing.`),
		Example: templates.Examples(`
			# Who intercepts what in this namespace
			kubectl velo status

			# The same in the whole cluster, with the names of the traffic-proxies
			kubectl velo status -A -o wide`),
		DisableFlagsInUseLine: true,
		Args:                  noArguments,
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
	cmd.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "look in all namespaces")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "output format: `wide|json|yaml|name`")
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "leave the table's headers out")
	return cmd
}

func (o *statusOptions) validate() error {
	if !slices.Contains([]string{"", "wide", "json", "yaml", "name"}, o.output) {
		return usageErrorf("--output %q is none of wide, json, yaml, name", o.output)
	}
	return nil
}

func (o *statusOptions) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	namespace := o.cluster.namespace
	if o.allNamespaces {
		namespace = metav1.NamespaceAll
	}
	list, problems, err := o.cluster.intercepts(ctx, namespace)
	if err != nil {
		return err
	}
	if err := o.print(list, namespace); err != nil {
		return err
	}
	return problems
}

// intercepts lists the intercepted Services. Those whose annotation can't be understood are in problems.
func (c *cluster) intercepts(ctx context.Context, namespace string) (list *InterceptList, problems, err error) {
	services, err := c.client.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("listing services: %w", err)
	}
	list = &InterceptList{Items: []Intercept{}}
	list.SetGroupVersionKind(outputGroup.WithKind("InterceptList"))
	for i := range services.Items {
		service := &services.Items[i]
		held, err := selector.Of(service)
		switch {
		case err != nil:
			problems = errors.Join(problems, err)
		case held != nil:
			list.Items = append(list.Items, listed(service, held))
		}
	}
	return list, problems, nil
}

func listed(service *corev1.Service, held *selector.Intercept) Intercept {
	i := Intercept{
		Name: service.Name, Namespace: service.Namespace, Owner: held.Owner, Session: held.Session,
		Since: metav1.NewTime(held.Since), Proxy: held.Proxy, Selector: held.Selector,
	}
	if held.Expires != nil {
		expires := metav1.NewTime(*held.Expires)
		i.Expires = &expires
	}
	return i
}

func (o *statusOptions) print(list *InterceptList, namespace string) error {
	switch o.output {
	case "json":
		return (&printers.JSONPrinter{}).PrintObj(list, o.streams.Out)
	case "yaml":
		return (&printers.YAMLPrinter{}).PrintObj(list, o.streams.Out)
	case "name":
		for _, item := range list.Items {
			if _, err := fmt.Fprintf(o.streams.Out, "service/%s\n", item.Name); err != nil {
				return err
			}
		}
		return nil
	}
	if len(list.Items) == 0 {
		where := "in " + namespace + " namespace"
		if namespace == metav1.NamespaceAll {
			where = "in any namespace"
		}
		_, err := fmt.Fprintf(o.streams.ErrOut, "No intercepts found %s.\n", where)
		return err
	}
	return o.printTable(list, o.streams.Out)
}

func (o *statusOptions) printTable(list *InterceptList, w io.Writer) error {
	const wideOnly = 1 // the printer leaves columns of a priority above 0 out, but for -o wide
	table := &metav1.Table{ColumnDefinitions: []metav1.TableColumnDefinition{
		{Name: "Service", Type: "string"},
		{Name: "Owner", Type: "string"},
		{Name: "Age", Type: "string"},
		{Name: "Expires", Type: "string"},
		{Name: "Session", Type: "string", Priority: wideOnly},
		{Name: "Proxy", Type: "string", Priority: wideOnly},
		{Name: "Selector", Type: "string", Priority: wideOnly},
	}}
	for i := range list.Items {
		item := &list.Items[i]
		table.Rows = append(table.Rows, metav1.TableRow{
			Cells: []any{
				item.Name, item.Owner, duration.HumanDuration(time.Since(item.Since.Time)), item.ends(),
				item.Session, item.Proxy, metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: item.Selector}),
			},
			Object: runtime.RawExtension{Object: &metav1.PartialObjectMetadata{
				ObjectMeta: metav1.ObjectMeta{Name: item.Name, Namespace: item.Namespace},
			}},
		})
	}
	return printers.NewTablePrinter(printers.PrintOptions{
		Wide: o.output == "wide", WithNamespace: o.allNamespaces, NoHeaders: o.noHeaders,
	}).PrintObj(table, w)
}
