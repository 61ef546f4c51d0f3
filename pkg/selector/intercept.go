// SPDX-License-Identifier: Apache-2.0

// Package selector is the swap of a Service's selector and its undoing: the one change that an intercept makes to an
// object that isn't its own.
//
// What always holds:
//
//   - Nothing but spec.selector and one annotation of the Service is touched, both in one patch that fails if the
//     Service has changed since it was read.
//   - The annotation, like a finalizer, says that something must be undone before the Service is itself again, and how.
//     Whoever finds it can do so without knowing anything else.
//   - Restoring leaves both as they were, and is idempotent.
package selector

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// domain begins every label and annotation of kubectl velo's own.
	domain = "kubectl-velo.github.io/"

	// Annotation holds an [Intercept] as JSON, for as long as the Service is intercepted.
	Annotation = domain + "intercept"
	// SessionLabel is on every object of an intercept, and in the selector of an intercepted Service.
	SessionLabel = domain + "session"

	// version is the annotation's format.
	version = 1
)

// Intercept is what the annotation of an intercepted Service says.
type Intercept struct {
	// Version of this format, 1.
	Version int `json:"version"`
	// Session is the ID of the session that holds the Service.
	Session string `json:"session"`
	// Owner is who runs the session, as user@host.
	Owner string `json:"owner"`
	// Since is when the selector was swapped.
	Since time.Time `json:"since"`
	// Expires is when the session ends by itself, if it does.
	Expires *time.Time `json:"expires,omitempty"`
	// Selector is the Service's own one.
	Selector map[string]string `json:"selector"`
	// Proxy is the name of the traffic-proxy's Deployment, in the Service's namespace.
	Proxy string `json:"proxy"`
}

// ErrAnnotation is returned for an annotation that can't be understood.
var ErrAnnotation = errors.New("annotation " + Annotation + " can't be understood")

// NewerError is what is wrong with an annotation that a newer kubectl velo has made. It comes with an [ErrAnnotation].
type NewerError struct {
	// Version is the annotation's.
	Version int
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("its version is %d, and this kubectl velo knows version %d", e.Version, version)
}

// Hint says what to do.
func (e *NewerError) Hint() string {
	return "a newer kubectl velo has intercepted it: update this one with 'kubectl krew upgrade velo'"
}

// Of returns what the annotation of a Service says, or nil if it has none: the Service is not intercepted.
func Of(service *corev1.Service) (*Intercept, error) {
	value, ok := service.Annotations[Annotation]
	if !ok {
		return nil, nil
	}
	i, err := decode(value)
	if err != nil {
		return nil, fmt.Errorf("service %s/%s: %w: %w", service.Namespace, service.Name, ErrAnnotation, err)
	}
	return i, nil
}

func decode(value string) (*Intercept, error) {
	// In another version all else may be another way.
	var format struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal([]byte(value), &format); err == nil && format.Version > version {
		return nil, &NewerError{format.Version}
	}
	var i Intercept
	if err := json.Unmarshal([]byte(value), &i); err != nil {
		return nil, err
	}
	switch {
	case i.Version != version:
		return nil, fmt.Errorf("its version is %d, and this kubectl velo knows version %d", i.Version, version)
	case i.Session == "":
		return nil, errors.New("it names no session")
	case len(i.Selector) == 0:
		return nil, errors.New("it holds no selector")
	}
	return &i, nil
}

func (i *Intercept) encode() (string, error) {
	value, err := json.Marshal(i)
	return string(value), err
}
