// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/kubectl-velo/kubectl-velo/pkg/pathcheck"
)

// PathCheck is what kubectl velo verify prints with -o json or yaml, a document each time with --watch. Its field names are
// interface.
type PathCheck struct {
	metav1.TypeMeta `json:",inline"`

	// Target is what was verified.
	Target CheckedObject `json:"target"`
	// State is the worst of the paths': ok, warning, unknown or broken, from best to worst. Unknown is what could not be
	// looked at.
	State pathcheck.State `json:"state"`
	// Items are the paths that lead to the target's Service, or Services.
	Items []CheckedPath `json:"items"`
}

// CheckedPath is one way to a Service.
type CheckedPath struct {
	// Route is what callers pass, in order.
	Route []CheckedObject `json:"route"`
	// Port is the Service's, as NUMBER or NUMBER (NAME), where it has several.
	Port string `json:"port,omitempty"`
	// State is the worst of the hops'.
	State pathcheck.State `json:"state"`
	// Causes are why the path is broken, for people.
	Causes []string `json:"causes,omitempty"`
	// Hops are in the order of the route: first those that compare what objects say, then those that sent a request.
	Hops []CheckedHop `json:"hops"`
}

// CheckedHop is one step of a path.
type CheckedHop struct {
	// Object is what was looked at.
	Object CheckedObject `json:"object"`
	// Check is what of it: address, backend, class, endpoints, fronts, host, intercept, parent, policies, port, readiness,
	// request, selector or tls.
	Check string `json:"check"`
	// Live is whether a request was sent.
	Live  bool            `json:"live"`
	State pathcheck.State `json:"state"`
	// Message is what was found, and Hint what to do about it, for people.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// CheckedObject is an object of the cluster, or an address that leads to one.
type CheckedObject struct {
	// Kind is in the singular and in lower case: service, ingress, loadbalancer.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// DeepCopyObject makes PathCheck a runtime.Object, which the printers want.
func (p *PathCheck) DeepCopyObject() runtime.Object {
	dup := *p
	dup.Items = slices.Clone(p.Items)
	for i := range dup.Items {
		item := &dup.Items[i]
		item.Route, item.Causes, item.Hops = slices.Clone(item.Route), slices.Clone(item.Causes), slices.Clone(item.Hops)
	}
	return &dup
}

func (o *verifyOptions) listed(report *pathcheck.Report) *PathCheck {
	list := &PathCheck{Target: CheckedObject(report.Target), State: report.State(), Items: []CheckedPath{}}
	list.SetGroupVersionKind(outputGroup.WithKind("PathCheck"))
	for i := range report.Paths {
		path := &report.Paths[i]
		item := CheckedPath{Port: path.Port, State: path.State(), Hops: []CheckedHop{}}
		for _, object := range path.Route {
			item.Route = append(item.Route, CheckedObject(object))
		}
		for _, cause := range path.Causes() {
			item.Causes = append(item.Causes, cause.Message)
		}
		for _, hop := range path.Hops {
			item.Hops = append(item.Hops, CheckedHop{
				Object: CheckedObject(hop.Object), Check: hop.Check, Live: hop.Live, State: hop.State,
				Message: hop.Message, Hint: o.reaching(hop.Hint, hop.Object.Namespace),
			})
		}
		list.Items = append(list.Items, item)
	}
	return list
}

// reaching gives the commands of a hint the flags that lead to the same cluster.
func (o *verifyOptions) reaching(hint, namespace string) string {
	flag := " -n " + namespace
	return strings.NewReplacer(flag+" ", flag+o.flags+" ", flag+"'", flag+o.flags+"'").Replace(hint)
}

// print prints a report in the format that was asked for.
func (o *verifyOptions) print(report *pathcheck.Report) error {
	switch o.output {
	case "json":
		return (&printers.JSONPrinter{}).PrintObj(o.listed(report), o.streams.Out)
	case "yaml":
		return (&printers.YAMLPrinter{}).PrintObj(o.listed(report), o.streams.Out)
	}
	out := &strings.Builder{}
	p := &hopPrinter{w: out, colour: takesColour(o.streams.Out), hint: o.reaching, printed: make(map[pathcheck.Hop]bool)}
	if o.output == "short" {
		p.short(report)
		if o.watch && report.State() == pathcheck.OK { // after what wasn't well, nothing would say nothing
			p.summary(report)
		}
	} else {
		p.table(report)
	}
	_, err := io.WriteString(o.streams.Out, out.String())
	return err
}

// hopPrinter prints hops for people.
type hopPrinter struct {
	w      io.Writer
	colour bool
	hint   func(hint, namespace string) string
	// printed are the hops that have been: paths share some.
	printed map[pathcheck.Hop]bool
}

// sign is how a state looks.
func (p *hopPrinter) sign(state pathcheck.State) string {
	sign, colour := "?", cyan
	switch state {
	case pathcheck.OK:
		sign, colour = "√", green
	case pathcheck.Warning:
		sign, colour = "‼", yellow
	case pathcheck.Broken:
		sign, colour = "×", red
	case pathcheck.Unknown:
	}
	if p.colour {
		return inColour(colour, sign)
	}
	return sign
}

// short prints what isn't well, once.
func (p *hopPrinter) short(report *pathcheck.Report) {
	for _, path := range report.Paths {
		for _, hop := range path.Hops {
			if hop.State != pathcheck.OK && !p.printed[hop] {
				p.printed[hop] = true
				fmt.Fprintf(p.w, "%s %s: %s\n", p.sign(hop.State), hop.Object, oneLine(hop.Message))
			}
		}
	}
}

// oneLine is what it takes to say a thing in one line: messages of others may have more.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// table prints every path with its hops, and then how it is on the whole.
func (p *hopPrinter) table(report *pathcheck.Report) {
	for i := range report.Paths {
		path := &report.Paths[i]
		title := path.String()
		fmt.Fprintf(p.w, "%s\n%s\n", title, strings.Repeat("─", utf8.RuneCountInString(title)))
		var again []pathcheck.State
		for _, hop := range path.Hops {
			if p.printed[hop] {
				again = append(again, hop.State)
				continue
			}
			p.asAbove(again)
			again = nil
			p.printed[hop] = true
			fmt.Fprintf(p.w, "%s %s: %s\n", p.sign(hop.State), hop.Object, oneLine(hop.Message))
			if hop.Hint != "" {
				fmt.Fprintf(p.w, "  hint: %s\n", p.hint(hop.Hint, hop.Object.Namespace))
			}
		}
		p.asAbove(again)
		fmt.Fprintln(p.w)
	}
	p.summary(report)
}

// asAbove stands for hops that have been printed with another path.
func (p *hopPrinter) asAbove(again []pathcheck.State) {
	if len(again) > 0 {
		fmt.Fprintf(p.w, "%s %d more, as above\n", p.sign(pathcheck.Worst(again...)), len(again))
	}
}

func (p *hopPrinter) summary(report *pathcheck.Report) {
	for _, line := range report.Broken() {
		fmt.Fprintf(p.w, "%s %s\n", p.sign(pathcheck.Broken), oneLine(line))
	}
	found := make(map[pathcheck.State]map[pathcheck.Hop]bool)
	for _, path := range report.Paths {
		for _, hop := range path.Hops {
			if found[hop.State] == nil {
				found[hop.State] = make(map[pathcheck.Hop]bool)
			}
			found[hop.State][hop] = true // paths share some
		}
	}
	unknown, warnings := len(found[pathcheck.Unknown]), len(found[pathcheck.Warning])
	switch {
	case unknown > 0:
		fmt.Fprintf(p.w, "%s %d of the above could not be checked\n", p.sign(pathcheck.Unknown), unknown)
	case report.State() == pathcheck.Warning && warnings == 1:
		fmt.Fprintf(p.w, "%s nothing is broken; 1 warning above\n", p.sign(pathcheck.Warning))
	case report.State() == pathcheck.Warning:
		fmt.Fprintf(p.w, "%s nothing is broken; %d warnings above\n", p.sign(pathcheck.Warning), warnings)
	case report.State() == pathcheck.OK:
		fmt.Fprintf(p.w, "%s traffic flows to %s\n", p.sign(pathcheck.OK), report.Target)
	}
}
