// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// retryAfter is how long a failed load waits for the next change before it is tried again.
const retryAfter = 5 * time.Second

// A Controller keeps nginx's configuration what the cluster's Ingresses say.
type Controller struct {
	Kubeconfig string
	Dir        string // nginx's directory, see Prepare
	Ports      Ports
	Address    string // what an Ingress's status gives as its address
	Log        *slog.Logger
}

// Run works until ctx ends. Errors of one configuration are logged: the next may be good.
func (c *Controller) Run(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return fmt.Errorf("reading %s: %w", c.Kubeconfig, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	ingresses := factory.Networking().V1().Ingresses()
	services, secrets := factory.Core().V1().Services(), factory.Core().V1().Secrets()

	changed := make(chan struct{}, 1) // many changes are one reason to look
	notify := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	for _, informer := range []cache.SharedIndexInformer{ingresses.Informer(), services.Informer(), secrets.Informer()} {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { notify() },
			UpdateFunc: func(any, any) { notify() },
			DeleteFunc: func(any) { notify() },
		})
		if err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("reading all %s: %w", kind, ctx.Err())
		}
	}

	// Listers fail only ever because there is none.
	service := func(namespace, name string) *corev1.Service {
		found, _ := services.Lister().Services(namespace).Get(name)
		return found
	}
	secret := func(namespace, name string) *corev1.Secret {
		found, _ := secrets.Lister().Secrets(namespace).Get(name)
		return found
	}
	server := nginx{dir: c.Dir, ports: c.Ports}
	var current string
	notify()
	for generation := 1; ; generation++ {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		all, err := ingresses.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		want := routes(all, service, secret)
		// Most changes of Services and Secrets change nothing here.
		if same := fmt.Sprint(want); same != current {
			if err := server.load(ctx, strconv.Itoa(generation), want); err != nil {
				c.Log.Error("loading configuration", "error", err)
				time.AfterFunc(retryAfter, notify)
				continue
			}
			current = same
			c.Log.Info("configuration in force", "generation", generation, "servers", len(want))
		}
		if err := c.publish(ctx, client, all); err != nil {
			c.Log.Error("publishing addresses", "error", err)
			time.AfterFunc(retryAfter, notify)
		}
	}
}

// publish gives every Ingress that is served its address: a sign that it is in force.
func (c *Controller) publish(ctx context.Context, client kubernetes.Interface, all []*networkingv1.Ingress) error {
	var errs error
	for _, ing := range all {
		if !served(ing) || len(ing.Status.LoadBalancer.Ingress) > 0 {
			continue
		}
		var status networkingv1.IngressStatus
		status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: c.Address}}
		patch, err := json.Marshal(map[string]any{"status": status})
		if err != nil {
			return err
		}
		_, err = client.NetworkingV1().Ingresses(ing.Namespace).Patch(ctx, ing.Name, types.MergePatchType, patch,
			metav1.PatchOptions{}, "status")
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("patching status of ingress %s/%s: %w", ing.Namespace, ing.Name, err))
		}
	}
	return errs
}
