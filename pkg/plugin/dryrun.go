// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/kubectl/pkg/scheme"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

// The values of --dry-run, as kubectl has them.
const (
	dryRunNone   = "none"
	dryRunClient = "client"
	dryRunServer = "server"
)

// dryRun does all that comes before the first change, and says on stdout what the changes would be.
func (s *session) dryRun(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.options.timeout,
		fmt.Errorf("%w after %v", errTimeout, s.options.timeout))
	defer cancel()
	if err := s.preflight(ctx); err != nil {
		return timedOut(ctx, err)
	}
	spec := s.proxySpec()
	patch, err := s.swapPatch(spec)
	if err != nil {
		return err
	}
	if s.options.dryRun == dryRunServer {
		return timedOut(ctx, s.rehearse(ctx, spec, patch))
	}
	return timedOut(ctx, s.printPlan(ctx, spec, patch))
}

// swapPatch is the merge patch that points the Service at the traffic-proxy.
func (s *session) swapPatch(spec *trafficproxy.Spec) ([]byte, error) {
	service := s.service.DeepCopy()
	if s.evicts != nil {
		s.report.warns("service/%s would be taken over from %s", s.name, s.evicts.Owner)
		delete(service.Annotations, selector.Annotation) // as it is then
	}
	return selector.SwapPatch(service, s.note(), spec.ServiceSelector())
}

// printPlan prints what would be created, and the patch, as YAML documents.
func (s *session) printPlan(ctx context.Context, spec *trafficproxy.Spec, patch []byte) error {
	lacking, err := s.missing(ctx, grantPermissions())
	if err != nil {
		return err
	}
	restores := len(lacking) == 0
	s.warnUnlessRestoring(restores)
	objects, err := trafficproxy.Objects(spec, restores)
	if err != nil {
		return err
	}
	printer, err := printers.NewTypeSetter(scheme.Scheme).WrapToPrinter(&printers.YAMLPrinter{}, nil)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := printer.PrintObj(object, s.options.streams.Out); err != nil {
			return err
		}
	}
	body, err := yaml.JSONToYAML(patch)
	if err != nil {
		return fmt.Errorf("writing the patch of service %s/%s: %w", s.namespace, s.name, err)
	}
	_, err = fmt.Fprintf(s.options.streams.Out, "---\n# merge patch of service/%s in namespace %s\n%s", s.name, s.namespace, body)
	return err
}

// grantPermissions are what letting the traffic-proxy restore the Service by itself takes.
func grantPermissions() []permission {
	return []permission{
		{group: rbacv1.GroupName, resource: "roles", verb: "create"},
		{group: rbacv1.GroupName, resource: "rolebindings", verb: "create"},
		{resource: "serviceaccounts", verb: "create"},
	}
}

// rehearse has the API server do everything without keeping it, and says what it did. What stands against it is told all
// at once.
func (s *session) rehearse(ctx context.Context, spec *trafficproxy.Spec, patch []byte) error {
	if s.evicts != nil {
		return withHint(fmt.Errorf("taking service %s/%s over can't be rehearsed: the session of %s has the names of what would be created",
			s.namespace, s.name, s.evicts.Owner), "print what would be created with --dry-run=client")
	}
	created, restores, problems := trafficproxy.Rehearse(ctx, s.client, spec)
	for _, object := range created {
		name, err := qualifiedName(object)
		if err != nil {
			return err
		}
		if err := s.sayRehearsed(name, "created"); err != nil {
			return err
		}
	}
	_, err := s.client.CoreV1().Services(s.namespace).Patch(ctx, s.name, types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: selector.FieldManager, DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return errors.Join(problems, fmt.Errorf("swapping the selector of service %s/%s: %w", s.namespace, s.name, err))
	}
	if err := s.sayRehearsed("service/"+s.name, "patched"); err != nil {
		return err
	}
	if problems == nil {
		s.warnUnlessRestoring(restores)
	}
	return problems
}

func (s *session) warnUnlessRestoring(restores bool) {
	if !restores {
		s.warnOfNoGrant()
	}
}

// sayRehearsed says it as kubectl does.
func (s *session) sayRehearsed(name, done string) error {
	_, err := fmt.Fprintf(s.options.streams.Out, "%s %s (server dry run)\n", name, done)
	return err
}

// qualifiedName names an object as kubectl does: deployment.apps/cart.
func qualifiedName(object runtime.Object) (string, error) {
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return "", err
	}
	named, ok := object.(metav1.Object)
	if !ok {
		return "", fmt.Errorf("a %s has no name", kinds[0].Kind)
	}
	kind := schema.GroupKind{Group: kinds[0].Group, Kind: strings.ToLower(kinds[0].Kind)}
	return kind.String() + "/" + named.GetName(), nil
}
