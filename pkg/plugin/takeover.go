// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

// evict ends the session that holds the Service, in order: it is told by whom, the Service goes back to its pods, and
// then its traffic-proxy goes. In between nobody's request is lost.
func (s *session) evict(ctx context.Context) error {
	held := s.evicts
	taking := s.report.undoing("taking service/%s over from %s", s.name, held.Owner)
	defer taking.ends()
	if err := trafficproxy.MarkTakenOver(ctx, s.client, s.namespace, held.Proxy, held.Session, s.owner); err != nil {
		return err
	}
	_, err := selector.Restore(ctx, s.client.CoreV1().Services(s.namespace), s.name, held.Session, selector.FieldManager)
	switch {
	case errors.Is(err, selector.ErrOtherSession):
		return withHint(fmt.Errorf("service %s/%s was taken over by somebody else meanwhile", s.namespace, s.name), "see 'kubectl velo status'")
	case err != nil:
		return fmt.Errorf("restoring service %s/%s: %w", s.namespace, s.name, err)
	}
	if err := trafficproxy.Delete(ctx, s.client, s.namespace, held.Proxy, held.Session); err != nil {
		return err
	}
	s.evicts = nil
	s.service, err = s.client.CoreV1().Services(s.namespace).Get(ctx, s.name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading service %s/%s: %w", s.namespace, s.name, err)
	}
	return nil
}
