// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-velo/kubectl-velo/pkg/environment"
)

var yes = true

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: data}
}

func secret(name string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	return s
}

func newTree(t *testing.T, client *fake.Clientset, pod *corev1.Pod) *Tree {
	t.Helper()
	tree, err := NewTree(filepath.Join(t.TempDir(), "root"), client.CoreV1(), pod, "web")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Remove(); err != nil {
			t.Error(err)
		}
	})
	return tree
}

func refresh(t *testing.T, tree *Tree) {
	t.Helper()
	if err := tree.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// holds checks the files below a directory, and their modes.
func holds(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if info.Mode().Perm() != 0o700 {
				t.Errorf("the mode of %s is %v", name, info.Mode())
			}
			return nil
		}
		if info.Mode() != 0o600 {
			t.Errorf("the mode of %s is %v", name, info.Mode())
		}
		text, err := os.ReadFile(name)
		got[strings.TrimPrefix(name, dir)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("there is %q\nwant     %q", got, want)
	}
}

func forbid(client *fake.Clientset, verb, kind string) {
	client.PrependReactor(verb, kind, func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: kind}, "", errors.New("ada may not"))
	})
}

func TestTree(t *testing.T) {
	app := configMap("app", map[string]string{"app.yaml": "a: 1\n", "empty": ""})
	app.BinaryData = map[string][]byte{"logo": {0, 1, 0xff}}
	mode := int32(0o755)
	field := func(path string) *corev1.ObjectFieldSelector { return &corev1.ObjectFieldSelector{FieldPath: path} }
	tests := []struct {
		name    string
		volumes []corev1.Volume
		mounts  []corev1.VolumeMount
		want    map[string]string
	}{
		{name: "nothing"},
		{
			"a ConfigMap and a Secret",
			[]corev1.Volume{configMapVolume("app", "app"), secretVolume("db", "db")},
			[]corev1.VolumeMount{mount("app", "/etc/app"), mount("db", "/run/secrets/db/")},
			map[string]string{
				"/etc/app/app.yaml": "a: 1\n", "/etc/app/empty": "", "/etc/app/logo": "\x00\x01\xff",
				"/run/secrets/db/password": "p", "/run/secrets/db/user": "ada",
			},
		},
		{
			"items at paths of their own",
			[]corev1.Volume{
				configMapVolume("app", "app", corev1.KeyToPath{Key: "logo", Path: "img/logo.png", Mode: &mode}),
				secretVolume("db", "db", corev1.KeyToPath{Key: "password", Path: "a"}, corev1.KeyToPath{Key: "password", Path: "b"}),
			},
			[]corev1.VolumeMount{mount("app", "/etc/app"), mount("db", "/db")},
			map[string]string{"/etc/app/img/logo.png": "\x00\x01\xff", "/db/a": "p", "/db/b": "p"},
		},
		{
			"subPaths: a file, a directory, and what isn't there",
			[]corev1.Volume{configMapVolume("app", "app", corev1.KeyToPath{Key: "app.yaml", Path: "dir/x"}, corev1.KeyToPath{Key: "empty", Path: "dirt"})},
			[]corev1.VolumeMount{
				{Name: "app", MountPath: "/etc/app.yaml", SubPath: "dir/x"},
				{Name: "app", MountPath: "/etc/dir", SubPath: "dir"},
				{Name: "app", MountPath: "/etc/none", SubPath: "none"},
			},
			map[string]string{"/etc/app.yaml": "a: 1\n", "/etc/dir/x": "a: 1\n"},
		},
		{
			"optional, and not there",
			[]corev1.Volume{
				named("a", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: reference("none"), Optional: &yes}}),
				named("b", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "none", Optional: &yes}}),
				named("c", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
					SecretName: "db", Optional: &yes, Items: []corev1.KeyToPath{{Key: "none", Path: "none"}, {Key: "user", Path: "user"}},
				}}),
			},
			[]corev1.VolumeMount{mount("a", "/a"), mount("b", "/b"), mount("c", "/c")},
			map[string]string{"/c/user": "ada"},
		},
		{
			"the downward API",
			[]corev1.Volume{named("info", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "labels", FieldRef: field("metadata.labels")},
				{Path: "pod/name", FieldRef: field("metadata.name")},
				{Path: "memory", ResourceFieldRef: &corev1.ResourceFieldSelector{
					ContainerName: "web", Resource: "limits.memory", Divisor: resource.MustParse("1Mi"),
				}},
			}}})},
			[]corev1.VolumeMount{mount("info", "/info")},
			map[string]string{"/info/labels": "app=\"web\"\ntier=\"front\"", "/info/pod/name": "web-1", "/info/memory": "64"},
		},
		{
			"several sources in one, the last of a path",
			[]corev1.Volume{projectedVolume("all",
				corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: reference("app"), Items: []corev1.KeyToPath{{Key: "app.yaml", Path: "x"}}}},
				corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: reference("db"), Items: []corev1.KeyToPath{{Key: "user", Path: "x"}}}},
				corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "ns", FieldRef: field("metadata.namespace")}}}},
				tokenOf("vault", "token"),
			)},
			[]corev1.VolumeMount{mount("all", "/all")},
			map[string]string{"/all/x": "ada", "/all/ns": "shop", "/all/token": "token 1 of robot for vault"},
		},
		{
			"mounts within others hide what is there",
			[]corev1.Volume{
				configMapVolume("app", "app", corev1.KeyToPath{Key: "app.yaml", Path: "sub/hidden"}, corev1.KeyToPath{Key: "app.yaml", Path: "tmp/hidden"}, corev1.KeyToPath{Key: "empty", Path: "subway"}),
				secretVolume("db", "db"), named("scratch", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}),
			},
			[]corev1.VolumeMount{mount("db", "/etc/app/sub"), mount("scratch", "/etc/app/tmp"), mount("app", "/etc/app")},
			map[string]string{"/etc/app/subway": "", "/etc/app/sub/user": "ada", "/etc/app/sub/password": "p"},
		},
		{
			"a mount path that leads upwards",
			[]corev1.Volume{configMapVolume("app", "app", corev1.KeyToPath{Key: "empty", Path: "x"})},
			[]corev1.VolumeMount{mount("app", "../../../etc")},
			map[string]string{"/etc/x": ""},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.NewClientset(app, secret("db", map[string]string{"user": "ada", "password": "p"}))
			issueTokens(client)
			pod := podWith(tt.volumes, tt.mounts...)
			pod.Spec.ServiceAccountName = "robot"
			pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
			tree := newTree(t, client, pod)
			refresh(t, tree)
			holds(t, tree.Root(), tt.want)
		})
	}
}

// issueTokens lets the API issue tokens that live an hour and say which request they answer.
func issueTokens(client *fake.Clientset) {
	count := 0
	client.PrependReactor("create", "serviceaccounts", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "token" {
			return false, nil, nil
		}
		create := action.(clienttesting.CreateActionImpl)
		request := create.GetObject().(*authenticationv1.TokenRequest).DeepCopy()
		count++
		request.Status.Token = strings.TrimSpace(strings.Join([]string{
			"token", string(rune('0' + count)), "of", create.Name, "for", strings.Join(request.Spec.Audiences, ","),
		}, " "))
		request.Status.ExpirationTimestamp = metav1.NewTime(time.Now().Add(time.Duration(*request.Spec.ExpirationSeconds) * time.Second))
		return true, request, nil
	})
}

func TestRefresh(t *testing.T) {
	client := fake.NewClientset(configMap("app", map[string]string{"same": "1", "changed": "1", "gone": "1"}), secret("db", map[string]string{"user": "ada"}))
	tree := newTree(t, client, podWith(
		[]corev1.Volume{configMapVolume("app", "app"), secretVolume("db", "db")}, mount("app", "/etc/app"), mount("db", "/db")))
	refresh(t, tree)
	same, err := os.Stat(filepath.Join(tree.Root(), "/etc/app/same"))
	if err != nil {
		t.Fatal(err)
	}
	changed, err := os.Open(filepath.Join(tree.Root(), "/etc/app/changed"))
	if err != nil {
		t.Fatal(err)
	}
	defer changed.Close()

	update := configMap("app", map[string]string{"same": "1", "changed": "2, and longer", "new": "1"})
	if _, err := client.CoreV1().ConfigMaps("shop").Update(t.Context(), update, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	refresh(t, tree)
	holds(t, tree.Root(), map[string]string{"/etc/app/same": "1", "/etc/app/changed": "2, and longer", "/etc/app/new": "1", "/db/user": "ada"})
	if now, err := os.Stat(filepath.Join(tree.Root(), "/etc/app/same")); err != nil || !os.SameFile(same, now) {
		t.Errorf("what hasn't changed was written again, %v", err)
	}
	old := make([]byte, 10)
	if n, err := changed.Read(old); err != nil || string(old[:n]) != "1" {
		t.Errorf("who has the file open reads %q, %v", old[:n], err)
	}

	t.Run("a Secret that has gone keeps its files", func(t *testing.T) {
		if err := client.CoreV1().Secrets("shop").Delete(t.Context(), "db", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		update.Data = map[string]string{"same": "1"}
		if _, err := client.CoreV1().ConfigMaps("shop").Update(t.Context(), update, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		err := tree.Refresh(t.Context())
		missing, ok := errors.AsType[*environment.MissingError](err)
		if !ok || !slices.Equal(missing.Missing, []string{"secret/db"}) {
			t.Errorf("Refresh: %v, want a MissingError for secret/db", err)
		}
		holds(t, tree.Root(), map[string]string{"/etc/app/same": "1", "/db/user": "ada"})
	})
	t.Run("a cluster that can't be reached changes nothing", func(t *testing.T) {
		down := errors.New("connection refused")
		client.PrependReactor("get", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, down })
		if err := tree.Refresh(t.Context()); !errors.Is(err, down) {
			t.Errorf("Refresh: %v, want %v", err, down)
		}
		holds(t, tree.Root(), map[string]string{"/etc/app/same": "1", "/db/user": "ada"})
	})
}

func TestRefreshUnreadable(t *testing.T) {
	client := fake.NewClientset(configMap("app", map[string]string{"a": "1"}))
	forbid(client, "get", "secrets")
	forbid(client, "create", "serviceaccounts")
	tree := newTree(t, client, podWith(
		[]corev1.Volume{
			configMapVolume("app", "app"), secretVolume("db", "db"), projectedVolume("vault", tokenOf("vault", "token")),
			named("info", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "cpu", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "web", Resource: "limits.cpu"}},
				{Path: "name", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}},
			}}}),
		},
		mount("app", "/app"), mount("db", "/db"), mount("vault", "/vault"), mount("info", "/info")))
	err := tree.Refresh(t.Context())
	unreadable, ok := errors.AsType[*environment.UnreadableError](err)
	if !ok {
		t.Fatalf("Refresh: %v, want an UnreadableError", err)
	}
	var got []string
	for _, one := range unreadable.Unreadable {
		got = append(got, one.String())
	}
	if want := []string{"secret/db", "node", "token/default"}; !slices.Equal(got, want) {
		t.Errorf("unreadable are %q, want %q", got, want)
	}
	holds(t, tree.Root(), map[string]string{"/app/a": "1", "/info/name": "web-1"})
}

// Most users may not request tokens, and every pod has one for the API server.
func TestRefreshWithoutAPIAccess(t *testing.T) {
	client := fake.NewClientset(configMap("kube-root-ca.crt", map[string]string{"ca.crt": "CA"}))
	forbid(client, "create", "serviceaccounts")
	tree := newTree(t, client, podWith([]corev1.Volume{projectedVolume("kube-api-access-x",
		tokenOf("", "token"),
		corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: reference("kube-root-ca.crt")}},
	)}, mount("kube-api-access-x", "/var/run/secrets/kubernetes.io/serviceaccount")))
	if left := tree.NotCarried(); len(left) > 0 {
		t.Errorf("not carried over, before: %v", left)
	}
	for range 2 {
		refresh(t, tree)
	}
	holds(t, tree.Root(), map[string]string{"/var/run/secrets/kubernetes.io/serviceaccount/ca.crt": "CA"})
	left := tree.NotCarried()
	if len(left) != 1 || left[0].Volume != "kube-api-access-x" || !strings.Contains(left[0].Reason, "serviceaccount/default") {
		t.Errorf("not carried over: %v", left)
	}
}

func TestTokensAreRenewed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		issueTokens(client)
		pod := podWith([]corev1.Volume{projectedVolume("api", tokenOf("", "token"))}, mount("api", "/api"), mount("api", "/again"))
		tree, err := NewTree(dir, client.CoreV1(), pod, "web")
		if err != nil {
			t.Fatal(err)
		}
		after := func(elapsed time.Duration, want string) {
			t.Helper()
			time.Sleep(elapsed)
			refresh(t, tree)
			holds(t, dir, map[string]string{"/api/token": want, "/again/token": want})
		}
		after(0, "token 1 of default for")
		after(47*time.Minute, "token 1 of default for")
		after(time.Minute, "token 2 of default for")
		after(47*time.Minute, "token 2 of default for")
		after(time.Hour, "token 3 of default for")
		if err := tree.Remove(); err != nil {
			t.Error(err)
		}
	})
}

func TestTreeStaysWithin(t *testing.T) {
	for _, key := range []string{"..", "../x", "a/../../x", "/etc/passwd", "", "."} {
		t.Run("key "+key, func(t *testing.T) {
			client := fake.NewClientset(configMap("app", map[string]string{"fine": "1", key: "x"}))
			tree := newTree(t, client, podWith([]corev1.Volume{configMapVolume("app", "app")}, mount("app", "/a/b")))
			if err := tree.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "volume app") {
				t.Errorf("Refresh: %v, want an error that names the volume", err)
			}
			holds(t, tree.Root(), nil)
		})
	}
	t.Run("symbolic links", func(t *testing.T) {
		outside := t.TempDir()
		theirs := filepath.Join(outside, "a")
		if err := os.WriteFile(theirs, []byte("theirs"), 0o600); err != nil {
			t.Fatal(err)
		}
		client := fake.NewClientset(configMap("app", map[string]string{"a": "1", "b": "1"}))
		tree := newTree(t, client, podWith([]corev1.Volume{configMapVolume("app", "app")}, mount("app", "/etc/app")))
		if err := os.Symlink(outside, filepath.Join(tree.Root(), "etc")); err != nil {
			t.Fatal(err)
		}
		if err := tree.Refresh(t.Context()); err == nil {
			t.Error("Refresh followed a directory's link")
		}
		if err := os.Remove(filepath.Join(tree.Root(), "etc")); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(tree.Root(), "etc/app"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(theirs, filepath.Join(tree.Root(), "etc/app/a")); err != nil {
			t.Fatal(err)
		}
		refresh(t, tree)
		holds(t, tree.Root(), map[string]string{"/etc/app/a": "1", "/etc/app/b": "1"})
		if got, err := os.ReadFile(theirs); err != nil || string(got) != "theirs" {
			t.Errorf("what the link led to holds %q, %v", got, err)
		}
	})
}

func TestNewTreeTakesNoDirectoryThatIsThere(t *testing.T) {
	dir := t.TempDir()
	if _, err := NewTree(dir, fake.NewClientset().CoreV1(), podWith(nil), "web"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("NewTree: %v, want ErrExist", err)
	}
	if _, err := NewTree(filepath.Join(dir, "new"), fake.NewClientset().CoreV1(), podWith(nil), "none"); err == nil {
		t.Error("NewTree takes any container")
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused tree left a directory, %v", err)
	}
}

func TestRemove(t *testing.T) {
	client := fake.NewClientset(configMap("app", map[string]string{"a": "1"}))
	tree := newTree(t, client, podWith([]corev1.Volume{configMapVolume("app", "app")}, mount("app", "/etc/app")))
	refresh(t, tree)
	for range 2 {
		if err := tree.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(tree.Root()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there, %v", err)
	}
	if err := tree.Refresh(t.Context()); err == nil {
		t.Error("Refresh writes after Remove")
	}
}
