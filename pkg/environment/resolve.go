// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/kubectl/pkg/cmd/util/podcmd"
)

// Container returns the container of a name. No name means the one that kubectl takes: what the annotation
// kubectl.kubernetes.io/default-container names, or else the first.
func Container(pod *corev1.Pod, name string) (*corev1.Container, error) {
	if name == "" {
		return podcmd.FindOrDefaultContainerByName(pod, "", true, nil)
	}
	container, _ := podcmd.FindContainerByName(pod, name)
	if container == nil {
		return nil, unknownContainer(pod, name)
	}
	return container, nil
}

func unknownContainer(pod *corev1.Pod, name string) error {
	return fmt.Errorf("no container %q, only %s", name, podcmd.AllContainerNames(pod))
}

// Resolve returns the environment of a container of a pod, as the kubelet computes it.
//
// A variable of a later source replaces one of an earlier, which are: service links, envFrom in its order, env in its
// order. A reference $(NAME) sees the variables before it, and service links. An optional reference to something that
// isn't there sets nothing. The variables are in the order that their names first appear in: those of envFrom (the keys
// of one ConfigMap or Secret sorted), then of env, then the links.
//
// The pod runs, or is made of a workload's pod template, with its namespace set and the fields that it gets when it
// runs empty; references to these give "", and a limit that only the node knows is unreadable.
//
// Errors: no such container; a [*MissingError] with all that isn't there; a [*UnreadableError] with all that can't be
// read, along with the variables that don't need it.
func Resolve(ctx context.Context, objects *Objects, pod *corev1.Pod, container string) ([]Variable, error) {
	c, err := Container(pod, container)
	if err != nil {
		return nil, err
	}
	r := &resolver{objects: objects, pod: pod, container: c, links: newVariables(), own: newVariables()}
	if err := r.readLinks(ctx); err != nil {
		return nil, err
	}
	for _, source := range c.EnvFrom {
		if err := r.addSource(ctx, source); err != nil {
			return nil, err
		}
	}
	for _, env := range c.Env {
		if err := r.add(ctx, env); err != nil {
			return nil, fmt.Errorf("variable %s: %w", env.Name, err)
		}
	}
	err = r.gaps.Err()
	if _, missing := errors.AsType[*MissingError](err); missing {
		return nil, err
	}
	return r.all(), err
}

// resolver is one run of Resolve.
type resolver struct {
	objects   *Objects
	pod       *corev1.Pod
	container *corev1.Container
	links     *variables
	own       *variables
	gaps      Gaps
}

func (r *resolver) all() []Variable {
	all := make([]Variable, 0, len(r.own.names)+len(r.links.names))
	for _, name := range r.own.names {
		all = append(all, r.own.byName[name])
	}
	for _, name := range r.links.names {
		if _, replaced := r.own.byName[name]; !replaced {
			all = append(all, r.links.byName[name])
		}
	}
	return all
}

func (r *resolver) readLinks(ctx context.Context) error {
	services, err := r.objects.linked(ctx, r.pod)
	if err != nil {
		return r.gaps.Note("services", "", err)
	}
	for i := range services {
		for _, link := range serviceLinks(&services[i]) {
			r.links.set(link)
		}
	}
	return nil
}

// addSource adds all keys of a ConfigMap or Secret. Every key is a name that an environment may have; kubelets before
// 1.34 skipped those that begin with a digit.
func (r *resolver) addSource(ctx context.Context, source corev1.EnvFromSource) error {
	switch {
	case source.ConfigMapRef != nil:
		name := source.ConfigMapRef.Name
		object, err := r.objects.ConfigMap(ctx, name)
		if err != nil {
			return r.absent("configmap", name, source.ConfigMapRef.Optional, err)
		}
		for _, key := range slices.Sorted(maps.Keys(object.Data)) {
			r.own.set(Variable{Name: source.Prefix + key, Value: object.Data[key], From: "configmap/" + name})
		}
	case source.SecretRef != nil:
		name := source.SecretRef.Name
		object, err := r.objects.Secret(ctx, name)
		if err != nil {
			return r.absent("secret", name, source.SecretRef.Optional, err)
		}
		for _, key := range slices.Sorted(maps.Keys(object.Data)) {
			r.own.set(Variable{Name: source.Prefix + key, Value: string(object.Data[key]), From: "secret/" + name, Secret: true})
		}
	}
	return nil
}

// absent notes why an object couldn't be read, unless it isn't there and needn't be.
func (r *resolver) absent(kind, name string, optional *bool, err error) error {
	if optional != nil && *optional && apierrors.IsNotFound(err) {
		return nil
	}
	return r.gaps.Note(kind, name, err)
}

func (r *resolver) add(ctx context.Context, env corev1.EnvVar) error {
	if env.ValueFrom == nil || env.Value != "" {
		r.own.set(r.expanded(env))
		return nil
	}
	from := env.ValueFrom
	switch {
	case from.FieldRef != nil:
		value, err := FieldValue(r.pod, from.FieldRef.FieldPath)
		if err != nil {
			return err
		}
		r.own.set(Variable{Name: env.Name, Value: value, From: "field " + from.FieldRef.FieldPath})
		return nil
	case from.ResourceFieldRef != nil:
		return r.addResource(ctx, env.Name, from.ResourceFieldRef)
	case from.ConfigMapKeyRef != nil:
		return r.addConfigMapKey(ctx, env.Name, from.ConfigMapKeyRef)
	case from.SecretKeyRef != nil:
		return r.addSecretKey(ctx, env.Name, from.SecretKeyRef)
	case from.FileKeyRef != nil:
		r.own.unset(env.Name)
		return r.gaps.Note("file", from.FileKeyRef.VolumeName+"/"+from.FileKeyRef.Path,
			fmt.Errorf("a container writes it, so variable %s is %w", env.Name, ErrUnknown))
	default:
		return errors.New("its source is of a kind that this version doesn't know")
	}
}

func (r *resolver) expanded(env corev1.EnvVar) Variable {
	expanded := Variable{Name: env.Name, From: "value"}
	expanded.Value = expand(env.Value, func(name string) (string, bool) {
		known, ok := r.own.byName[name]
		if !ok {
			known, ok = r.links.byName[name]
		}
		expanded.Secret = expanded.Secret || known.Secret
		return known.Value, ok
	})
	return expanded
}

func (r *resolver) addResource(ctx context.Context, name string, ref *corev1.ResourceFieldSelector) error {
	value, err := r.objects.ResourceValue(ctx, r.pod, r.container, ref)
	switch {
	case err == nil:
		r.own.set(Variable{Name: name, Value: value, From: "resource " + ref.Resource})
		return nil
	case IsUnreadable(err):
		r.own.unset(name)
		return r.gaps.Note("node", r.pod.Spec.NodeName, err)
	default:
		return err
	}
}

func (r *resolver) addConfigMapKey(ctx context.Context, name string, ref *corev1.ConfigMapKeySelector) error {
	object, err := r.objects.ConfigMap(ctx, ref.Name)
	if err != nil {
		r.forget(name, err)
		return r.absent("configmap", ref.Name, ref.Optional, err)
	}
	value, ok := object.Data[ref.Key]
	if !ok {
		r.lacks("configmap", ref.Name, ref.Key, ref.Optional)
		return nil
	}
	r.own.set(Variable{Name: name, Value: value, From: fmt.Sprintf("configmap/%s, key %s", ref.Name, ref.Key)})
	return nil
}

func (r *resolver) addSecretKey(ctx context.Context, name string, ref *corev1.SecretKeySelector) error {
	object, err := r.objects.Secret(ctx, ref.Name)
	if err != nil {
		r.forget(name, err)
		return r.absent("secret", ref.Name, ref.Optional, err)
	}
	value, ok := object.Data[ref.Key]
	if !ok {
		r.lacks("secret", ref.Name, ref.Key, ref.Optional)
		return nil
	}
	from := fmt.Sprintf("secret/%s, key %s", ref.Name, ref.Key)
	r.own.set(Variable{Name: name, Value: string(value), From: from, Secret: true})
	return nil
}

// forget unsets a variable whose source can't be read: the value that an earlier source gave it is not the one it has.
func (r *resolver) forget(name string, err error) {
	if IsUnreadable(err) {
		r.own.unset(name)
	}
}

// lacks notes a missing key, unless it needn't be there: the variable keeps what an earlier source gave it.
func (r *resolver) lacks(kind, name, key string, optional *bool) {
	if optional == nil || !*optional {
		r.gaps.NoteKey(kind, name, key)
	}
}
