// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"slices"
	"strings"
)

// State is how a hop is, or a path.
type State string

// The states, from the least to the worst.
const (
	// OK was looked at and holds.
	OK State = "ok"
	// Warning holds, but there is something to know about it.
	Warning State = "warning"
	// Unknown couldn't be looked at.
	Unknown State = "unknown"
	// Broken keeps callers from getting through.
	Broken State = "broken"
)

// Worst returns the worst of some states. That of none is [Unknown]: nothing was looked at.
func Worst(states ...State) State {
	for _, state := range []State{Broken, Unknown, Warning, OK} {
		if slices.Contains(states, state) {
			return state
		}
	}
	return Unknown
}

// Object is one of the cluster's, or an address that leads to one.
type Object struct {
	// Kind is in the singular and in lower case: service, ingress, loadbalancer.
	Kind string
	// Namespace is empty for what is in none.
	Namespace, Name string
}

func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// What hops look at.
const (
	CheckBackend   = "backend"   // what an Ingress or HTTPRoute sends requests to exists
	CheckClass     = "class"     // the Ingress is of a class that there is
	CheckAddress   = "address"   // there is an address to call
	CheckHost      = "host"      // no other Ingress has the same host and path
	CheckTLS       = "tls"       // the certificate is there, for the host, and valid
	CheckParent    = "parent"    // a Gateway has accepted the HTTPRoute
	CheckFronts    = "fronts"    // what leads to the Service could be found
	CheckIntercept = "intercept" // the Service leads to its own pods
	CheckSelector  = "selector"  // the Service's selector matches pods
	CheckReadiness = "readiness" // these pods are ready
	CheckPort      = "port"      // the target port is one that containers have
	CheckEndpoints = "endpoints" // the EndpointSlices lead to ready pods
	CheckPolicies  = "policies"  // NetworkPolicies let callers in
	CheckRequest   = "request"   // a request is answered
)

// Hop is one step of a path, and what was found there.
type Hop struct {
	// Object is what was looked at.
	Object Object
	// Check is what of it, one of the Check constants.
	Check string
	// Live is whether a request was sent. What other hops say comes from the API's objects alone.
	Live  bool
	State State
	// Message is what was found: the cause, if the hop is broken.
	Message string
	// Hint is what to do about it, with a command that runs, if there is something to do.
	Hint string
}

// Path is one way to a Service, or what should be one.
type Path struct {
	// Route is what callers pass, in order. Its last is the Service, if there is one.
	Route []Object
	// Port is the Service's, where there are several.
	Port string
	// Hops are in the order of the route, static ones first.
	Hops []Hop
}

func (p *Path) String() string {
	names := make([]string, len(p.Route))
	for i, object := range p.Route {
		names[i] = object.String()
	}
	title := strings.Join(names, " → ")
	if p.Port != "" {
		title += " port " + p.Port
	}
	return title
}

// State is the worst of the path's hops.
func (p *Path) State() State {
	states := make([]State, len(p.Hops))
	for i := range p.Hops {
		states[i] = p.Hops[i].State
	}
	return Worst(states...)
}

// Causes are the hops that break the path. A request that fails on the way to another one that fails is no cause of its
// own, and no request is one where the objects say what is wrong.
func (p *Path) Causes() []Hop {
	var static, live []Hop
	for _, hop := range p.Hops {
		switch {
		case hop.State != Broken:
		case hop.Live:
			live = append(live, hop)
		default:
			static = append(static, hop)
		}
	}
	if len(static) == 0 && len(live) > 0 {
		return live[len(live)-1:]
	}
	return static
}

// Report is what was found of a target.
type Report struct {
	Target Target
	// Paths lead to the target's Service, or Services.
	Paths []Path
}

// State is the worst of the paths'.
func (r *Report) State() State {
	states := make([]State, len(r.Paths))
	for i := range r.Paths {
		states[i] = r.Paths[i].State()
	}
	return Worst(states...)
}

// Broken says of every broken path in one line why it is, such as
// "ingress shop/web → service shop/web: selector app=web-v2 matches no pod".
func (r *Report) Broken() []string {
	var lines []string
	for i := range r.Paths {
		var causes []string
		for _, hop := range r.Paths[i].Causes() {
			causes = append(causes, hop.Message)
		}
		if len(causes) > 0 {
			lines = append(lines, r.Paths[i].String()+": "+strings.Join(causes, "; "))
		}
	}
	return lines
}
