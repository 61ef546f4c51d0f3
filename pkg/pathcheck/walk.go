// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// walk is one check. What several paths share is looked at once.
type walk struct {
	*Checker

	backends map[backendKey]*backend
}

// route is a path that is being walked.
type route struct {
	through []Object
	// hops are the static ones of what is before the Service.
	hops []Hop
	// calls are the live ones.
	calls []*call
	// to is where it leads: nowhere, if nil.
	to *tail
}

func (r *route) path() Path {
	p := Path{Route: r.through, Hops: slices.Clone(r.hops)}
	if r.to != nil {
		p.Hops = slices.Concat(p.Hops, r.to.backend.hops, r.to.hops)
		if len(r.to.backend.service.Spec.Ports) > 1 {
			p.Port = portTitle(r.to.port)
		}
	}
	for _, c := range r.calls {
		if c.hop.State != "" { // or nobody was called
			p.Hops = append(p.Hops, c.hop)
		}
	}
	if r.to != nil {
		p.Hops = append(p.Hops, r.to.live...)
	}
	return p
}

// right is what RBAC has to grant.
type right struct{ verb, resource, namespace string }

func (r right) String() string {
	if r.namespace == "" {
		return r.verb + " on " + r.resource + " in the whole cluster"
	}
	return r.verb + " on " + r.resource + " in namespace " + r.namespace
}

// unread is the hop for what couldn't be read. It says which right is missing, if that is why.
func unread(object Object, check, what string, err error, needs right) Hop {
	hop := Hop{Object: object, Check: check, State: Unknown}
	if apierrors.IsForbidden(err) {
		hop.Message = what + " can't be read without the right to " + needs.String()
		hop.Hint = rightHint(needs)
		return hop
	}
	hop.Message = what + " can't be read: " + err.Error()
	return hop
}

func rightHint(needs right) string {
	if needs.namespace == "" {
		return "ask an administrator for it: it takes a ClusterRole"
	}
	return "ask an administrator for what 'kubectl velo rbac -n " + needs.namespace + "' prints"
}

// kubectl is a command about the object.
func (o Object) kubectl(verb string) string {
	return "kubectl " + verb + " " + o.Kind + "/" + o.Name + " -n " + o.Namespace
}
