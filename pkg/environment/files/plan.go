// SPDX-License-Identifier: Apache-2.0

package files

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-velo/kubectl-velo/pkg/environment"
)

// Mount is a mount of a volume that is carried over.
type Mount struct {
	// Volume is its name in the pod.
	Volume string
	// Path in the container, absolute and clean.
	Path string
	// SubPath is the one path of the volume that is mounted, or "" for all of it.
	SubPath string

	sources []corev1.VolumeProjection
}

// NotCarried is a mount of a container, or a part of one, that is not carried over.
type NotCarried struct {
	// Volume is its name in the pod.
	Volume string
	// Path in the container, absolute and clean.
	Path string
	// Reason it isn't carried over for.
	Reason string
}

// Plan divides the mounts of a container into those that are carried over and those that aren't, each ordered by path.
// No name means the container that [environment.Container] takes. The error is for an unknown container, and for a
// subPath that leads out of its volume.
func Plan(pod *corev1.Pod, container string) (carried []Mount, left []NotCarried, err error) {
	c, err := environment.Container(pod, container)
	if err != nil {
		return nil, nil, err
	}
	for _, mount := range c.VolumeMounts {
		at := path.Clean("/" + mount.MountPath)
		sources, reasons := sourcesOf(pod, mount)
		for _, reason := range reasons {
			left = append(left, NotCarried{mount.Name, at, reason})
		}
		if len(sources) == 0 {
			continue
		}
		subPath := mount.SubPath
		if subPath != "" {
			if subPath, err = within(subPath); err != nil {
				return nil, nil, fmt.Errorf("volume %s: %w", mount.Name, err)
			}
		}
		carried = append(carried, Mount{mount.Name, at, subPath, sources})
	}
	for _, device := range c.VolumeDevices {
		at := path.Clean("/" + device.DevicePath)
		left = append(left, NotCarried{device.Name, at, "a block device stays in the cluster"})
	}
	slices.SortFunc(carried, func(a, b Mount) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(left, func(a, b NotCarried) int { return cmp.Compare(a.Path, b.Path) })
	return carried, left, nil
}

// sourcesOf returns what a mount's files are made of, and why what isn't among it is not carried over.
func sourcesOf(pod *corev1.Pod, mount corev1.VolumeMount) (sources []corev1.VolumeProjection, reasons []string) {
	if mount.SubPathExpr != "" {
		return nil, []string{"its subPathExpr differs from container to container"}
	}
	at := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
	if at < 0 {
		return nil, []string{"the pod has no such volume"}
	}
	switch volume := pod.Spec.Volumes[at].VolumeSource; {
	case volume.ConfigMap != nil:
		return []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: volume.ConfigMap.LocalObjectReference,
			Items:                volume.ConfigMap.Items, Optional: volume.ConfigMap.Optional,
		}}}, nil
	case volume.Secret != nil:
		return []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: volume.Secret.SecretName},
			Items:                volume.Secret.Items, Optional: volume.Secret.Optional,
		}}}, nil
	case volume.DownwardAPI != nil:
		return []corev1.VolumeProjection{{DownwardAPI: &corev1.DownwardAPIProjection{Items: volume.DownwardAPI.Items}}}, nil
	case volume.Projected != nil:
		return projected(volume.Projected)
	default:
		return nil, []string{staysThere(volume)}
	}
}

func projected(volume *corev1.ProjectedVolumeSource) (sources []corev1.VolumeProjection, reasons []string) {
	for _, source := range volume.Sources {
		switch {
		case source.ConfigMap != nil, source.Secret != nil, source.DownwardAPI != nil, source.ServiceAccountToken != nil:
			sources = append(sources, source)
		case source.ClusterTrustBundle != nil:
			reasons = append(reasons, "its ClusterTrustBundle is not of this namespace")
		case source.PodCertificate != nil:
			reasons = append(reasons, "its certificate is for the pod alone")
		default:
			reasons = append(reasons, "it has a source that this version doesn't know")
		}
	}
	return sources, reasons
}

// staysThere says why a volume isn't carried over.
func staysThere(volume corev1.VolumeSource) string {
	switch {
	case volume.EmptyDir != nil:
		return "an emptyDir belongs to the pod"
	case volume.PersistentVolumeClaim != nil:
		return "the data of persistentvolumeclaim/" + volume.PersistentVolumeClaim.ClaimName + " stays in the cluster"
	case volume.Ephemeral != nil:
		return "the data of an ephemeral volume stays in the cluster"
	case volume.HostPath != nil:
		return "the hostPath " + volume.HostPath.Path + " belongs to the node"
	case volume.CSI != nil:
		return "only the driver " + volume.CSI.Driver + " knows what it holds"
	case volume.Image != nil:
		return "the image " + volume.Image.Reference + " stays in the cluster"
	default:
		return "the data of its kind of volume stays in the cluster"
	}
}

// within returns a path of a volume in its shortest form. The error is for one that leads out of it.
func within(name string) (string, error) {
	clean := path.Clean(name)
	if clean == "." || path.IsAbs(name) || !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", fmt.Errorf("path %q leads out of it", name)
	}
	return clean, nil
}
