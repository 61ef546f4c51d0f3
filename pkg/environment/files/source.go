// SPDX-License-Identifier: Apache-2.0

package files

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/kubectl-velo/kubectl-velo/pkg/environment"
)

// API is the part of a core/v1 client that files are read with.
type API interface {
	environment.API
	corev1client.ServiceAccountsGetter
}

// content is what a source gives: by the path within its volume, what the file there holds.
type content map[string][]byte

// reader reads sources once. What can't be read is among its gaps; then the content is nil.
type reader struct {
	api       API
	objects   *environment.Objects
	pod       *corev1.Pod
	container *corev1.Container
	gaps      environment.Gaps
}

func (r *reader) configMap(ctx context.Context, from *corev1.ConfigMapProjection) (content, error) {
	object, err := r.objects.ConfigMap(ctx, from.Name)
	if err != nil {
		return r.absent("configmap", from.Name, from.Optional, err)
	}
	keys := make(content, len(object.Data)+len(object.BinaryData))
	for key, value := range object.Data {
		keys[key] = []byte(value)
	}
	maps.Copy(keys, object.BinaryData)
	return r.chosen("configmap", from.Name, keys, from.Items, from.Optional), nil
}

func (r *reader) secret(ctx context.Context, from *corev1.SecretProjection) (content, error) {
	object, err := r.objects.Secret(ctx, from.Name)
	if err != nil {
		return r.absent("secret", from.Name, from.Optional, err)
	}
	return r.chosen("secret", from.Name, object.Data, from.Items, from.Optional), nil
}

func isSet(optional *bool) bool { return optional != nil && *optional }

func (r *reader) absent(kind, name string, optional *bool, err error) (content, error) {
	if isSet(optional) && apierrors.IsNotFound(err) {
		return content{}, nil
	}
	return nil, r.gaps.Note(kind, name, err)
}

// chosen returns the keys that a volume asks for, under the paths that it wants them at; all of them if it asks for
// none.
func (r *reader) chosen(kind, name string, keys content, items []corev1.KeyToPath, optional *bool) content {
	if len(items) == 0 {
		return keys
	}
	files := content{}
	complete := true
	for _, item := range items {
		value, ok := keys[item.Key]
		switch {
		case ok:
			files[item.Path] = value
		case !isSet(optional):
			r.gaps.NoteKey(kind, name, item.Key)
			complete = false
		}
	}
	if !complete {
		return nil
	}
	return files
}

func (r *reader) downwardAPI(ctx context.Context, from *corev1.DownwardAPIProjection) (content, error) {
	files := content{}
	for _, item := range from.Items {
		value, err := r.downwardValue(ctx, item)
		switch {
		case environment.IsUnreadable(err):
			if err := r.gaps.Note("node", r.pod.Spec.NodeName, err); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, fmt.Errorf("file %s: %w", item.Path, err)
		default:
			files[item.Path] = []byte(value)
		}
	}
	return files, nil
}

func (r *reader) downwardValue(ctx context.Context, item corev1.DownwardAPIVolumeFile) (string, error) {
	switch {
	case item.FieldRef != nil:
		return environment.FieldValue(r.pod, item.FieldRef.FieldPath)
	case item.ResourceFieldRef != nil:
		return r.objects.ResourceValue(ctx, r.pod, r.container, item.ResourceFieldRef)
	default:
		return "", nil
	}
}

// token is one of a service account's.
type token struct {
	content
	// renew is when it has to be asked for again, at 80 % of its lifetime as the kubelet does.
	renew time.Time
}

// request asks for a token, with the audience and the lifetime that the pod asks for.
func (r *reader) request(ctx context.Context, from *corev1.ServiceAccountTokenProjection) (token, error) {
	request := &authenticationv1.TokenRequest{}
	request.Spec.ExpirationSeconds = from.ExpirationSeconds
	if from.Audience != "" {
		request.Spec.Audiences = []string{from.Audience}
	}
	now := time.Now()
	made, err := r.api.ServiceAccounts(r.pod.Namespace).CreateToken(ctx, r.account(), request, metav1.CreateOptions{})
	if err != nil {
		return token{}, err
	}
	lifetime := made.Status.ExpirationTimestamp.Sub(now)
	return token{content{from.Path: []byte(made.Status.Token)}, now.Add(lifetime / 5 * 4)}, nil
}

// account is the name of the pod's service account.
func (r *reader) account() string { return cmp.Or(r.pod.Spec.ServiceAccountName, "default") }
