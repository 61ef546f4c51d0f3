// SPDX-License-Identifier: Apache-2.0

package files

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// podWith returns a pod with a container that mounts each volume at the path that follows it.
func podWith(volumes []corev1.Volume, mounts ...corev1.VolumeMount) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web", "tier": "front"}},
		Spec:       corev1.PodSpec{Volumes: volumes, Containers: []corev1.Container{{Name: "web", VolumeMounts: mounts}}},
	}
}

func named(name string, source corev1.VolumeSource) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: source}
}

func reference(name string) corev1.LocalObjectReference {
	return corev1.LocalObjectReference{Name: name}
}

func configMapVolume(name, of string, items ...corev1.KeyToPath) corev1.Volume {
	return named(name, corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: reference(of), Items: items}})
}

func secretVolume(name, of string, items ...corev1.KeyToPath) corev1.Volume {
	return named(name, corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: of, Items: items}})
}

func projectedVolume(name string, sources ...corev1.VolumeProjection) corev1.Volume {
	return named(name, corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}})
}

func tokenOf(audience, at string) corev1.VolumeProjection {
	seconds := int64(3600)
	return corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
		Audience: audience, ExpirationSeconds: &seconds, Path: at,
	}}
}

func mount(name, at string) corev1.VolumeMount { return corev1.VolumeMount{Name: name, MountPath: at} }

func TestPlan(t *testing.T) {
	pod := podWith(
		[]corev1.Volume{
			configMapVolume("app", "app"),
			secretVolume("db", "db"),
			named("info", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{}}),
			projectedVolume("all", tokenOf("", "token"), corev1.VolumeProjection{PodCertificate: &corev1.PodCertificateProjection{}}),
			projectedVolume("trust", corev1.VolumeProjection{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{}}),
			named("scratch", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}),
			named("data", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "disk"}}),
			named("host", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/log"}}),
			named("csi", corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets.example.com"}}),
			named("ephemeral", corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}),
			named("image", corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "example.com/model"}}),
			named("nfs", corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{}}),
		},
		mount("db", "/etc/db/"), mount("app", "/etc/app"), mount("info", "etc/info"), mount("all", "/var/run/all"), mount("trust", "/trust"),
		corev1.VolumeMount{Name: "app", MountPath: "/app.yaml", SubPath: "./dir/app.yaml"},
		corev1.VolumeMount{Name: "app", MountPath: "/expr", SubPathExpr: "$(POD)"},
		mount("scratch", "/tmp"), mount("data", "/data"), mount("host", "/logs"), mount("csi", "/csi"), mount("ephemeral", "/ephemeral"),
		mount("image", "/model"), mount("nfs", "/nfs"), mount("none", "/none"),
	)
	pod.Spec.Containers[0].VolumeDevices = []corev1.VolumeDevice{{Name: "raw", DevicePath: "/dev/raw"}}
	carried, left, err := Plan(pod, "web")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range carried {
		got = append(got, m.Path+" "+m.Volume+" "+m.SubPath)
	}
	want := []string{"/app.yaml app dir/app.yaml", "/etc/app app ", "/etc/db db ", "/etc/info info ", "/var/run/all all "}
	if !slices.Equal(got, want) {
		t.Errorf("carried over is %q\nwant            %q", got, want)
	}
	got = nil
	for _, l := range left {
		got = append(got, l.Path+" "+l.Volume+": "+l.Reason)
	}
	want = []string{
		"/csi csi: only the driver secrets.example.com knows what it holds",
		"/data data: the data of persistentvolumeclaim/disk stays in the cluster",
		"/dev/raw raw: a block device stays in the cluster",
		"/ephemeral ephemeral: the data of an ephemeral volume stays in the cluster",
		"/expr app: its subPathExpr differs from container to container",
		"/logs host: the hostPath /var/log belongs to the node",
		"/model image: the image example.com/model stays in the cluster",
		"/nfs nfs: the data of its kind of volume stays in the cluster",
		"/none none: the pod has no such volume",
		"/tmp scratch: an emptyDir belongs to the pod",
		"/trust trust: its ClusterTrustBundle is not of this namespace",
		"/var/run/all all: its certificate is for the pod alone",
	}
	if !slices.Equal(got, want) {
		t.Errorf("not carried over is %q\nwant                %q", got, want)
	}
}

func TestPlanRefuses(t *testing.T) {
	if _, _, err := Plan(podWith(nil), "wbe"); err == nil || !strings.Contains(err.Error(), "web") {
		t.Errorf("Plan: %v, want an error with the containers", err)
	}
	for _, subPath := range []string{"..", "../x", "a/../../x", "/etc/passwd", "."} {
		pod := podWith([]corev1.Volume{configMapVolume("app", "app")}, corev1.VolumeMount{Name: "app", MountPath: "/x", SubPath: subPath})
		if _, _, err := Plan(pod, "web"); err == nil || !strings.Contains(err.Error(), "volume app") {
			t.Errorf("Plan with subPath %q: %v, want an error that names the volume", subPath, err)
		}
	}
}
