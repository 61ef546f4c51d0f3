// SPDX-License-Identifier: Apache-2.0

package selector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

// The names that changes are made under: the plugin's, and the traffic-proxy's when it restores a Service by itself.
const (
	FieldManager      = "kubectl-velo"
	ProxyFieldManager = "kubectl-velo-traffic-proxy"
)

// Services are those of one namespace. Clientsets have them; so does what needs no more of an API than this.
type Services interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (*corev1.Service, error)
	Patch(ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (*corev1.Service, error)
}

// InterceptedError says that somebody's session holds the Service.
type InterceptedError struct {
	Namespace, Service string
	By                 Intercept
}

func (e *InterceptedError) Error() string {
	return fmt.Sprintf("service %s/%s is already intercepted by %s, for %s",
		e.Namespace, e.Service, e.By.Owner, time.Since(e.By.Since).Round(time.Second))
}

// Swap points the Service's selector at the pods that to selects, and notes in its annotation how to undo that. The
// note's Version and Selector are filled in. The Service is one that was just read: if it has changed since, the API's
// Conflict is returned.
func Swap(ctx context.Context, client Services, service *corev1.Service, note Intercept, to map[string]string) (*corev1.Service, error) {
	body, err := SwapPatch(service, note, to)
	if err != nil {
		return nil, err
	}
	swapped, err := patch(ctx, client, service, body, FieldManager)
	if err != nil {
		return nil, fmt.Errorf("swapping the selector of service %s/%s: %w", service.Namespace, service.Name, err)
	}
	return swapped, nil
}

// Restored is what [Restore] found and did.
type Restored struct {
	// Was is what the annotation said, or nil if there was none and nothing had to be done.
	Was *Intercept
	// Edited says that somebody else has set the selector meanwhile. It was left as they meant it: only what a swap had
	// put into it was removed, and the annotation.
	Edited bool
}

// ErrOtherSession is returned by [Restore] when it was asked for one session's intercept and found another's.
var ErrOtherSession = errors.New("the service is intercepted by another session")

// Restore undoes the swap of a Service, from what its annotation says. With a session it undoes only that session's.
// A Service that is not intercepted is left alone. It is changed under the name of manager.
func Restore(ctx context.Context, client Services, name, session, manager string) (Restored, error) {
	var result Restored
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		service, err := client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		held, err := Of(service)
		if err != nil || held == nil {
			result = Restored{}
			return err
		}
		if session != "" && held.Session != session {
			return ErrOtherSession
		}
		original, edited := originalOf(service, held)
		result = Restored{Was: held, Edited: edited}
		body, err := patchBody(service, original, nil)
		if err != nil {
			return err
		}
		_, err = patch(ctx, client, service, body, manager)
		return err
	})
	if err != nil {
		return Restored{}, err
	}
	return result, nil
}

// originalOf returns what a held Service's selector is without the intercept, and whether somebody else has set it. An
// edit that left the swap's own keys in place was made on top of it, like those of kubectl apply and kubectl patch, which
// set the keys they know and leave others: it is the same edit of the original.
func originalOf(service *corev1.Service, held *Intercept) (original map[string]string, edited bool) {
	isOurs := func(key, _ string) bool { return strings.HasPrefix(key, domain) }
	theirs := maps.Clone(service.Spec.Selector)
	maps.DeleteFunc(theirs, isOurs)
	if len(theirs) == len(service.Spec.Selector) {
		return theirs, true
	}
	original = maps.Clone(held.Selector)
	maps.Copy(original, theirs)
	return original, len(theirs) > 0
}

// patchBody is the JSON merge patch that sets the selector and the annotation, or removes the latter, provided that the
// Service is as it was read.
func patchBody(service *corev1.Service, selector map[string]string, annotation *string) ([]byte, error) {
	// In a JSON merge patch, null removes (RFC 7396); the API server compares the resourceVersion and answers Conflict.
	merged := make(map[string]*string, len(selector))
	for key := range service.Spec.Selector {
		merged[key] = nil
	}
	for key, value := range selector {
		merged[key] = &value
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]any{
			"uid":             service.UID,
			"resourceVersion": service.ResourceVersion,
			"annotations":     map[string]*string{Annotation: annotation},
		},
		"spec": map[string]any{"selector": merged},
	})
}

func patch(ctx context.Context, client Services, service *corev1.Service, body []byte, manager string) (*corev1.Service, error) {
	return client.Patch(ctx, service.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: manager})
}
