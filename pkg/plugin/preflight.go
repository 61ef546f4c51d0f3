// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// permission is one thing the user must be allowed to do in the Service's namespace.
type permission struct{ group, resource, subresource, verb string }

func (p permission) String() string {
	s := p.verb + " " + p.resource
	if p.subresource != "" {
		s += "/" + p.subresource
	}
	if p.group != "" {
		s += "." + p.group
	}
	return s
}

// interceptPermissions are what an intercept takes.
func interceptPermissions() []permission {
	var all []permission
	allow := func(group, resource, subresource string, verbs ...string) {
		for _, verb := range verbs {
			all = append(all, permission{group, resource, subresource, verb})
		}
	}
	allow("", "services", "", "get", "list", "watch", "patch", "create")
	allow("", "pods", "", "list", "watch")
	allow("", "pods", "portforward", "create")
	allow("apps", "deployments", "", "get", "list", "watch", "create", "patch", "delete")
	allow("discovery.k8s.io", "endpointslices", "", "list", "watch")
	return all
}

// missing returns those of the permissions that the user hasn't got.
func (c *cluster) missing(ctx context.Context, wanted []permission) ([]permission, error) {
	denied := make([]bool, len(wanted))
	g, ctx := errgroup.WithContext(ctx)
	for i, p := range wanted {
		g.Go(func() error {
			review, err := c.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: c.namespace, Verb: p.verb, Group: p.group, Resource: p.resource, Subresource: p.subresource,
				}},
			}, metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("asking for permissions in namespace %s: %w", c.namespace, err)
			}
			denied[i] = !review.Status.Allowed
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var lacking []permission
	for i, p := range wanted {
		if denied[i] {
			lacking = append(lacking, p)
		}
	}
	return lacking, nil
}

// preflight finds out all that is needed to intercept the Service, or everything that stands against it. It changes
// nothing.
func (s *session) preflight(ctx context.Context) error {
	lacking, err := s.missing(ctx, interceptPermissions())
	if err != nil {
		return err
	}
	if len(lacking) > 0 {
		return s.lackError("intercept Services", lacking)
	}
	s.service, err = s.client.CoreV1().Services(s.namespace).Get(ctx, s.name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading service %s/%s: %w", s.namespace, s.name, err)
	}
	if err := s.suits(); err != nil {
		return err
	}
	pods, err := s.client.CoreV1().Pods(s.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(s.service.Spec.Selector).String(),
	})
	if err != nil {
		return fmt.Errorf("listing the pods of service %s/%s: %w", s.namespace, s.name, err)
	}
	s.all = servicePorts(s.service, pods.Items)
	if s.ports, err = choosePorts(s.namespace+"/"+s.name, s.all, s.options.portFlags); err != nil {
		return err
	}
	if s.spec == nil { // else the COMMAND runs, and it was said before
		if err := s.needFreePorts(ctx); err != nil {
			return err
		}
		for _, warning := range s.warnings(ctx, pods.Items) {
			s.report.warns("%s", warning)
		}
	}
	return nil
}

// suits says why the Service can't be intercepted, if so.
func (s *session) suits() error {
	title := s.namespace + "/" + s.name
	held, err := selector.Of(s.service)
	if _, newer := errors.AsType[*selector.NewerError](err); newer {
		return err // it has a hint of its own
	}
	switch {
	case err != nil:
		return withHint(err, "see 'kubectl get svc %s -n %s -o yaml'", s.name, s.namespace)
	case held != nil && s.options.takeOver:
		// From here on, the Service is looked at as it will be then.
		s.evicts = held
		s.service.Spec.Selector = held.Selector
	case held != nil:
		return withHint(&selector.InterceptedError{Namespace: s.namespace, Service: s.name, By: *held},
			"if that session is dead, run '%s'; --take-over ends it and takes its place", s.repair())
	}
	switch {
	case s.service.Spec.Type == corev1.ServiceTypeExternalName:
		return fmt.Errorf("service %s is of type ExternalName: it has no pods to stand in for", title)
	case len(s.service.Spec.Selector) == 0:
		return fmt.Errorf("service %s has no selector: something else than its pods' labels decides where it leads", title)
	case len(s.service.Spec.Ports) == 0:
		return fmt.Errorf("service %s has no ports", title)
	}
	var problems []error
	for _, port := range s.service.Spec.Ports {
		if port.Protocol == corev1.ProtocolSCTP {
			problems = append(problems, fmt.Errorf("port %d of service %s is SCTP, which can't be passed on to its pods", port.Port, title))
		}
	}
	return errors.Join(problems...)
}
