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

	"github.com/kubectl-velo/kubectl-velo/pkg/livesession"
	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// lookTimeout bounds commands that look at the cluster, or change it once.
const lookTimeout = time.Minute

// InterceptList is what kubectl velo status prints with -o json or yaml. Its field names are interface.
type InterceptList struct {
	metav1.TypeMeta `json:",inline"`

	Items []Intercept `json:"items"`
	// Forwards are those of this user on this machine. They are beside the items because they are of another kind, and not of
	// the cluster: who reads intercepts only needs to know nothing of them.
	Forwards []Forward `json:"forwards"`
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
	dup := &InterceptList{TypeMeta: l.TypeMeta, Items: slices.Clone(l.Items), Forwards: copyForwards(l.Forwards)}
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

	// Of the forwards, only those of this namespace and context are wanted, unless they are "".
	namespace, context string

	cluster *cluster
	// sessions asks those that run on this machine.
	sessions func(ctx context.Context) ([]livesession.Session, []error)
	streams  genericiooptions.IOStreams
}

func newStatusCommand(kubeconfig *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &statusOptions{streams: streams, sessions: livesession.List}
	cmd := &cobra.Command{
		Use:   "status [-A] [-o wide|json|yaml|name]",
		Short: "List the intercepted Services, whoever intercepts them, and this machine's forwards",
		Long: templates.LongDesc(`
			List the intercepted Services of a namespace, or of all, with who intercepts them and since when. It reads the
			Services' annotations and changes nothing.

			Then list what 'kubectl velo forward' forwards on this machine, if it does: all of your forwards, or with -n or
			--context, those of that namespace or context. OPEN is the number of connections, SENT and RECEIVED are bytes
			since the forward began, and RECONNECTS is how often a connection to a pod was replaced because it, or its pod,
			had gone. BYPASS is for how long it has stood in for a production path that is broken; -o wide says why that is. With
			-o json or yaml they are in the list's field forwards. A cluster that doesn't answer hides its
			intercepts, but not the forwards.`),
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
			o.context = *kubeconfig.Context
			if !o.allNamespaces {
				o.namespace = *kubeconfig.Namespace
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
	forwards := []Forward{}
	if o.output != "name" {
		forwards = o.forwards(ctx)
	}
	listing := newReport(o.streams.ErrOut).during("listing the Services of %s", o.cluster.context)
	list, problems, err := o.cluster.intercepts(ctx, namespace)
	listing.ends()
	if err != nil {
		if len(forwards) == 0 {
			return err
		}
		list, problems = newInterceptList(), err
	}
	list.Forwards = forwards
	if err := o.print(list, namespace, err == nil); err != nil {
		return err
	}
	return problems
}

// forwards asks the sessions of this machine for those that are wanted. One that doesn't answer is warned of.
func (o *statusOptions) forwards(ctx context.Context) []Forward {
	all := []Forward{}
	sessions, errs := o.sessions(ctx)
	for i := range sessions {
		s := &sessions[i]
		if o.namespace != "" && s.Namespace != o.namespace || o.context != "" && s.Context != o.context {
			continue
		}
		all = append(all, listedForwards(s)...)
	}
	report := newReport(o.streams.ErrOut)
	for _, err := range errs {
		report.warns("%v", err)
	}
	return all
}

func newInterceptList() *InterceptList {
	list := &InterceptList{Items: []Intercept{}, Forwards: []Forward{}}
	list.SetGroupVersionKind(outputGroup.WithKind("InterceptList"))
	return list
}

// intercepts lists the intercepted Services. Those whose annotation can't be understood are in problems.
func (c *cluster) intercepts(ctx context.Context, namespace string) (list *InterceptList, problems, err error) {
	services, err := c.client.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("listing services: %w", err)
	}
	list = newInterceptList()
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

// print prints the list. Known is whether it is known that there are no other intercepts.
func (o *statusOptions) print(list *InterceptList, namespace string, known bool) error {
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
	if len(list.Items) > 0 {
		if err := o.printTable(interceptTable(list), o.streams.Out); err != nil {
			return err
		}
	} else if known {
		where := "in " + namespace + " namespace"
		if namespace == metav1.NamespaceAll {
			where = "in any namespace"
		}
		hint := ""
		if namespace != metav1.NamespaceAll && o.namespace == "" {
			hint = "-A (--all-namespaces) looks in all namespaces"
		}
		if err := sayNone(o.streams, "No intercepts found "+where, hint); err != nil {
			return err
		}
	}
	if len(list.Forwards) == 0 {
		return nil
	}
	if len(list.Items) > 0 {
		if _, err := fmt.Fprintln(o.streams.Out); err != nil {
			return err
		}
	}
	return o.printTable(forwardTable(list.Forwards), o.streams.Out)
}

// sayNone says, as kubectl does, that there is nothing to list, and where to look instead unless that is "".
func sayNone(streams genericiooptions.IOStreams, what, hint string) error {
	if hint != "" {
		hint = "hint: " + hint + "\n"
	}
	_, err := fmt.Fprintf(streams.ErrOut, "%s.\n%s", what, hint)
	return err
}

func interceptTable(list *InterceptList) *metav1.Table {
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
	return table
}

func (o *statusOptions) printTable(table *metav1.Table, w io.Writer) error {
	return printers.NewTablePrinter(printers.PrintOptions{
		Wide: o.output == "wide", WithNamespace: o.allNamespaces, NoHeaders: o.noHeaders,
	}).PrintObj(table, w)
}
