// SPDX-License-Identifier: Apache-2.0

package selector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/retry"
)

// FieldManager is the name that changes are made under.
const FieldManager = "kubectl-velo"

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
func Swap(ctx context.Context, client corev1client.ServiceInterface, service *corev1.Service, note Intercept, to map[string]string) (*corev1.Service, error) {
	held, err := Of(service)
	if err != nil {
		return nil, err
	}
	if held != nil {
		return nil, &InterceptedError{Namespace: service.Namespace, Service: service.Name, By: *held}
	}
	if len(service.Spec.Selector) == 0 {
		return nil, fmt.Errorf("service %s/%s has no selector to swap", service.Namespace, service.Name)
	}
	if note.Session == "" || to[SessionLabel] != note.Session {
		return nil, fmt.Errorf("a selector without %s=%s couldn't be recognized as this session's", SessionLabel, note.Session)
	}
	note.Version = version
	note.Selector = maps.Clone(service.Spec.Selector)
	value, err := note.encode()
	if err != nil {
		return nil, err
	}
	swapped, err := patch(ctx, client, service, to, &value)
	if err != nil {
		return nil, fmt.Errorf("swapping the selector of service %s/%s: %w", service.Namespace, service.Name, err)
	}
	return swapped, nil
}

// Restored is what [Restore] found and did.
type Restored struct {
	// Was is what the annotation said, or nil if there was none and nothing had to be done.
	Was *Intercept
	// Edited says that the selector no longer was the session's: somebody else has set it, so that it was left as it
	// is and only the annotation removed.
	Edited bool
}

// ErrOtherSession is returned by [Restore] when it was asked for one session's intercept and found another's.
var ErrOtherSession = errors.New("the service is intercepted by another session")

// Restore undoes the swap of a Service, from what its annotation says. With a session it undoes only that session's.
// A Service that is not intercepted is left alone.
func Restore(ctx context.Context, client corev1client.ServiceInterface, name, session string) (Restored, error) {
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
		result = Restored{Was: held, Edited: service.Spec.Selector[SessionLabel] != held.Session}
		original := held.Selector
		if result.Edited {
			original = service.Spec.Selector
		}
		_, err = patch(ctx, client, service, original, nil)
		return err
	})
	if err != nil {
		return Restored{}, err
	}
	return result, nil
}

// patch sets the selector and the annotation, or removes the latter, provided that the Service is as it was read.
func patch(ctx context.Context, client corev1client.ServiceInterface, service *corev1.Service, selector map[string]string, annotation *string) (*corev1.Service, error) {
	// In a JSON merge patch, null removes (RFC 7396); the API server compares the resourceVersion and answers Conflict.
	merged := make(map[string]*string, len(selector))
	for key := range service.Spec.Selector {
		merged[key] = nil
	}
	for key, value := range selector {
		merged[key] = &value
	}
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{
			"uid":             service.UID,
			"resourceVersion": service.ResourceVersion,
			"annotations":     map[string]*string{Annotation: annotation},
		},
		"spec": map[string]any{"selector": merged},
	})
	if err != nil {
		return nil, err
	}
	return client.Patch(ctx, service.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: FieldManager})
}
