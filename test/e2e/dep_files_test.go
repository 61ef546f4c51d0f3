// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// freshWithin is how soon a change of a ConfigMap is to be seen.
const freshWithin = 90 * time.Second

// The files that are mounted in a container stand below VELO_ROOT, for their owner alone, are kept fresh, and go at the
// end.
func TestFiles(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	binary := string([]byte{0, 1, 0xff, '\n'})
	e.createSecret("keys", map[string]string{"key": "secret", "binary": binary})
	settings, err := e.client.CoreV1().ConfigMaps(e.namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"app.yaml": "color: blue\n", "other": "other"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e.deployMounts()

	d := e.talk("run", "deployment/app", "--", "sh", "-c", `echo "$VELO_ROOT" && echo "$CONFIG" && echo "$SEARCH" && cat "$CONFIG" && exec cat`)
	root := d.line()
	for _, want := range []string{root + "/etc/app/app.yaml", "/opt:" + root + "/etc/app:" + root + "/etc/keys", "color: blue"} {
		if got := d.line(); got != want {
			t.Errorf("the command says %q, not %q", got, want)
		}
	}
	d.says("/scratch (volume scratch) is not carried over: an emptyDir belongs to the pod")
	got := tree(t, root)
	const access = "var/run/secrets/kubernetes.io/serviceaccount/"
	e.namesAccount(got["etc/all/token"], "default", "vault")
	e.namesAccount(got[access+"token"], "default", "")
	if !strings.Contains(got[access+"ca.crt"], "BEGIN CERTIFICATE") || !strings.HasPrefix(got["etc/pod/labels"], `app="app"`) {
		t.Errorf("files %q", got)
	}
	own := []string{"etc/all/token", access + "token", access + "ca.crt", "etc/pod/labels"} // what no other pod has
	maps.DeleteFunc(got, func(name, _ string) bool { return slices.Contains(own, name) })
	want := map[string]string{
		"etc/app/app.yaml": "color: blue\n", "etc/app/other": "other", "etc/one.yaml": "color: blue\n", "etc/all/settings": "color: blue\n",
		"etc/keys/key": "secret", "etc/keys/binary": binary, "etc/pod/sub/namespace": e.namespace, access + "namespace": e.namespace,
	}
	if !maps.Equal(got, want) {
		t.Errorf("files %q, not %q", got, want)
	}

	settings.Data = map[string]string{"app.yaml": "color: red\n", "new": "new"}
	if _, err := e.client.CoreV1().ConfigMaps(e.namespace).Update(t.Context(), settings, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	delete(want, "etc/app/other")
	for name, content := range map[string]string{"app/app.yaml": "color: red\n", "one.yaml": "color: red\n", "all/settings": "color: red\n", "app/new": "new"} {
		want["etc/"+name] = content
	}
	changed := time.Now()
	for {
		got = tree(t, root)
		maps.DeleteFunc(got, func(name, _ string) bool { return slices.Contains(own, name) })
		if maps.Equal(got, want) {
			break
		}
		if time.Since(changed) > freshWithin {
			t.Fatalf("%v after the change the files are %q, not %q", freshWithin, got, want)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("files: %d, fresh %v after a change", len(got), time.Since(changed).Round(time.Second/10))
	d.done(0)
	if _, err := os.Stat(filepath.Dir(root)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s stays: %v", filepath.Dir(root), err)
	}
	e.nothingStays()
}

// tree reads all files below a directory, and checks that nobody else may.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	read := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // replaced meanwhile
		}
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if info.Mode().Perm() != 0o700 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			return nil
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path) // it is below
		read[name] = string(content)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return read
}

// namesAccount checks whose token it is, and for whom, without trusting it: it came from the API server.
func (e *env) namesAccount(token, account, audience string) {
	e.Helper()
	var claims struct {
		Subject   string   `json:"sub"`
		Audiences []string `json:"aud"`
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		e.Fatalf("%d parts are no token", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		e.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		e.Fatal(err)
	}
	if want := "system:serviceaccount:" + e.namespace + ":" + account; claims.Subject != want ||
		audience != "" && !slices.Equal(claims.Audiences, []string{audience}) {
		e.Errorf("the token is %s's for %v, not %s's for %s", claims.Subject, claims.Audiences, want, audience)
	}
}

// deployMounts deploys a pod with a volume of every kind that is carried over, and one of a kind that isn't.
func (e *env) deployMounts() {
	e.Helper()
	settings := corev1.LocalObjectReference{Name: "settings"}
	expires := int64(600)
	template := appPod(
		corev1.EnvVar{Name: "CONFIG", Value: "/etc/app/app.yaml"},
		corev1.EnvVar{Name: "SEARCH", Value: "/opt:/etc/app:/etc/keys"})
	template.Spec.Volumes = []corev1.Volume{
		{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: settings}}},
		{Name: "keys", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "keys"}}},
		{Name: "pod", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}},
			{Path: "sub/namespace", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}},
		}}}},
		{Name: "all", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "vault", ExpirationSeconds: &expires, Path: "token"}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: settings, Items: []corev1.KeyToPath{{Key: "app.yaml", Path: "settings"}}}},
		}}}},
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	template.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{
		{Name: "settings", MountPath: "/etc/app"},
		{Name: "settings", MountPath: "/etc/one.yaml", SubPath: "app.yaml"},
		{Name: "keys", MountPath: "/etc/keys"},
		{Name: "pod", MountPath: "/etc/pod"},
		{Name: "all", MountPath: "/etc/all"},
		{Name: "scratch", MountPath: "/scratch"},
	}
	e.deploy("app", 1, template)
}
