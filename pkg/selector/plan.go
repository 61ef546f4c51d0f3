// SPDX-License-Identifier: Apache-2.0

package selector

import (
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// SwapPatch returns the JSON merge patch that [Swap] sends with the same arguments.
func SwapPatch(service *corev1.Service, note Intercept, to map[string]string) ([]byte, error) {
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
	for key := range to {
		if !strings.HasPrefix(key, domain) {
			return nil, fmt.Errorf("a selector with %s couldn't be told from somebody else's", key)
		}
	}
	note.Version = version
	note.Selector = maps.Clone(service.Spec.Selector)
	value, err := note.encode()
	if err != nil {
		return nil, err
	}
	return patchBody(service, to, &value)
}
