// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

const (
	// requestTimeout bounds each request to the API server.
	requestTimeout = 5 * time.Second
	// nodesFollow is how long nodes are given to send callers to the origin pods again before the proxy goes, and the
	// origin Service with it.
	nodesFollow = 3 * time.Second
	// leaveTimeout bounds the restoring before the proxy goes; its pod has a grace period of its own.
	leaveTimeout = 4 * time.Second
)

// restorer restores the Service whose pods this proxy stands in for, with the ServiceAccount of its pod.
type restorer struct {
	namespace, service, deployment, session string

	client rest.Interface
	log    *slog.Logger
}

// connect reads the pod's ServiceAccount. The clientset would do for the rest, but is larger than all else in the image.
func (r *restorer) connect() error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("reading the pod's ServiceAccount: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return err
	}
	config.APIPath = "/api"
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.Timeout = requestTimeout
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return err
	}
	r.client = client
	return nil
}

// Get reads a Service; with Patch it makes the restorer a [selector.Services].
func (r *restorer) Get(ctx context.Context, name string, _ metav1.GetOptions) (*corev1.Service, error) {
	service := &corev1.Service{}
	err := r.client.Get().Namespace(r.namespace).Resource("services").Name(name).Do(ctx).Into(service)
	return service, err
}

// Patch changes a Service.
func (r *restorer) Patch(ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, _ ...string) (*corev1.Service, error) {
	service := &corev1.Service{}
	err := r.client.Patch(kind).Namespace(r.namespace).Resource("services").Name(name).
		Param("fieldManager", options.FieldManager).Body(data).Do(ctx).Into(service)
	return service, err
}

// abandoned restores the Service and deletes the proxy's own Deployment, and with it everything. It tries until it has
// succeeded, can't ever, or a session is back.
func (r *restorer) abandoned(ctx context.Context) {
	r.log.Warn("no session any more: restoring the service", "service", r.service)
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.1, Steps: 1 << 20, Cap: 30 * time.Second}
	err := wait.ExponentialBackoffWithContext(ctx, backoff, func(ctx context.Context) (bool, error) {
		err := r.restore(ctx)
		if err == nil {
			select {
			case <-time.After(nodesFollow):
				err = r.deleteDeployment(ctx)
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		switch {
		case err == nil:
			return true, nil
		case apierrors.IsForbidden(err):
			return false, err
		}
		r.log.Error("trying again", "err", err)
		return false, nil
	})
	if err != nil && ctx.Err() == nil {
		r.log.Error("giving up: callers are passed on for as long as this proxy stands", "err", err)
	}
}

// leaving restores the Service before the proxy goes: whoever deleted its pod, callers mustn't miss it.
func (r *restorer) leaving(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := r.restore(ctx); err != nil {
		r.log.Error("leaving without having restored the service", "err", err)
	}
}

func (r *restorer) restore(ctx context.Context) error {
	restored, err := selector.Restore(ctx, r, r.service, r.session, selector.ProxyFieldManager)
	switch {
	case errors.Is(err, selector.ErrOtherSession), apierrors.IsNotFound(err):
		return nil // nothing of this session's is left
	case err != nil:
		return fmt.Errorf("restoring service %s/%s: %w", r.namespace, r.service, err)
	}
	r.log.Info("service restored", "service", r.service, "was intercepted", restored.Was != nil)
	return nil
}

func (r *restorer) deleteDeployment(ctx context.Context) error {
	background := metav1.DeletePropagationBackground
	err := r.client.Verb(http.MethodDelete).
		AbsPath("/apis/apps/v1/namespaces", r.namespace, "deployments", r.deployment).
		Body(&metav1.DeleteOptions{PropagationPolicy: &background}).
		Do(ctx).Error()
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting deployment %s/%s: %w", r.namespace, r.deployment, err)
	}
	return nil
}
