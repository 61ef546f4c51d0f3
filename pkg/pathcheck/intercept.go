// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// own looks whether the Service leads to its own pods, and reports whether there is any use in following its selector:
// that of an intercept whose traffic-proxy is gone selects nothing.
func (w *walk) own(ctx context.Context, b *backend) bool {
	held, err := selector.Of(b.service)
	hop := b.hop(CheckIntercept)
	_, ours := b.service.Spec.Selector[selector.SessionLabel]
	switch {
	case err != nil:
		hop.State, hop.Message = Unknown, err.Error()
		hop.Hint = "see '" + b.command("get", "-o yaml") + "'"
		b.add(hop)
		return !ours
	case held == nil && ours:
		hop.State = Broken
		hop.Message = "its selector was left by an intercept, and the annotation that says what it was is gone"
		hop.Hint = "give it its own selector again, with '" + b.command("set selector", "KEY=VALUE") + "'"
		b.add(hop)
		return false
	case held == nil:
		return true // which goes without saying
	}
	proxy := Object{"deployment", b.key.namespace, held.Proxy}
	d, err := w.client.AppsV1().Deployments(b.key.namespace).Get(ctx, held.Proxy, metav1.GetOptions{})
	gone := apierrors.IsNotFound(err)
	switch {
	case err != nil && !gone:
		hop = unread(b.object(), CheckIntercept, fmt.Sprintf("it is intercepted by %s; %s", held.Owner, proxy), err,
			right{"get", "deployments.apps", b.key.namespace})
	case gone || d.Labels[selector.SessionLabel] != held.Session || d.Status.ReadyReplicas == 0:
		hop.State = Broken
		hop.Message = fmt.Sprintf("its selector was left by a dead intercept of %s: %s is not there", held.Owner, proxy)
		if !gone {
			hop.Message = fmt.Sprintf("its selector was left by a dead intercept of %s: %s has no ready pod of it", held.Owner, proxy)
		}
		hop.Hint = fmt.Sprintf("run 'kubectl velo restore svc/%s -n %s'", b.key.name, b.key.namespace)
	default:
		hop.State = Warning
		hop.Message = fmt.Sprintf("it is intercepted by %s: callers get what runs there, not its own pods", held.Owner)
		hop.Hint = fmt.Sprintf("if that session is dead, run 'kubectl velo restore svc/%s -n %s'", b.key.name, b.key.namespace)
	}
	b.add(hop)
	return hop.State != Broken
}
